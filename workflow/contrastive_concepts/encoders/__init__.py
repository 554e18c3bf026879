"""Text encoders for the judge, the similarity stage, dictionaries and segmenters: CLIP and sentence encoders."""

import numpy as np

Embeddings = np.ndarray[tuple[int, int], np.dtype[np.float32]]
"""Vectors of texts, one row per text."""


def normalise(vectors: Embeddings) -> Embeddings:
    """Scale rows to unit length. A row of zeros stays unchanged."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)


def unknown_words(encoder: object, text: str) -> list[str]:
    """The words of a text that an encoder cannot tell from other unknown words: its tokenizer has no token for them.

    encoder: its tokenizer, of the library `tokenizers`, is `word_tokenizer`; without one all words count as known. A
    tokenizer that falls back to letters or bytes, such as CLIP's, knows every word."""
    tokenizer = getattr(encoder, "word_tokenizer", None)
    token = getattr(getattr(tokenizer, "model", None), "unk_token", None)
    if tokenizer is None or token is None:
        return []
    return [word for word in text.split() if token in tokenizer.encode(word, add_special_tokens=False).tokens]
