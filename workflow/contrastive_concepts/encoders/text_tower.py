"""Runs CLIP's text tower only on as many positions as the longest text in a batch, without further padding."""

from typing import Any

import torch
from torch import Tensor


def encode_tokens(model: Any, tokens: Tensor) -> Tensor:
    """Token ids int64 [n, context] -> [n, D], not normalised. Equals `model.encode_text` up to rounding, but faster.

    Padding cannot affect the result, because attention is causal and the vector is read at the end token. For models
    without a causal mask or with another pooling, `model.encode_text` is called."""
    if not reads_end_token(model):
        return model.encode_text(tokens)  # type: ignore[no-any-return]
    return encode_positions(model, tokens[:, : int(tokens.argmax(dim=-1).max()) + 1])


def reads_end_token(model: Any) -> bool:
    """Whether a text's vector is read at its end token, under a causal mask, as in CLIP."""
    return getattr(model, "attn_mask", None) is not None and getattr(model, "text_pool_type", None) == "argmax"


def encode_positions(model: Any, tokens: Tensor) -> Tensor:
    """Token ids int64 [n, length] up to the end of the longest text -> [n, D]. Only if `reads_end_token`."""
    end, length = tokens.argmax(dim=-1), tokens.shape[1]
    kind = model.transformer.get_cast_dtype()
    hidden = model.token_embedding(tokens).to(kind) + model.positional_embedding[:length].to(kind)
    hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
    pooled = model.ln_final(hidden)[torch.arange(tokens.shape[0], device=tokens.device), end]
    if model.text_projection is None:
        return pooled  # type: ignore[no-any-return]
    if isinstance(model.text_projection, torch.nn.Linear):
        return model.text_projection(pooled)  # type: ignore[no-any-return]
    return pooled @ model.text_projection  # type: ignore[no-any-return]
