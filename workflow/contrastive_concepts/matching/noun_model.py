"""The noun model: a small linear tagger that the kernel runs, shipped as a table, learned by `noun_training`.

The concept index of the paper [62] counts a word only where spaCy tags it NOUN or PROPN. A word's score is the sum of
small integers: of the form under its letter case, of the form beside the classes of its neighbours, of the neighbours'
forms, of the three classes, of the three letter cases. A class is the tag that a form mostly has; a form that the
table does not know has the class of its ending. Nothing is estimated at run time, and there are no floats.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from contrastive_concepts.errors import UserError
from contrastive_concepts.provenance import content_sha256
from contrastive_concepts.resources import resource

Nouns = Literal["all", "filtered", "index"]
"""all: every form counts. filtered: what is tagged NOUN or PROPN, in any letter case. index: as in the paper's index,
where a proper noun keeps its capital and its plural, so that "Orange County" is no orange and "Flowers" no flower."""
Tagger = Literal["table", "spacy"]
FILE = "nouns/noun_model.npz"
WEIGHTS = ("row_weights", "triple_weights", "case_weights")


@lru_cache(maxsize=4)
def load_model(nouns: Literal["filtered", "index"]) -> tuple[dict[str, int], dict[str, npt.NDArray[Any]]]:
    """The row of each form, and the arrays of `Tables` but form_rows. Raises UserError without the file."""
    with np.load(model_path(), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in ("row_classes", "kind_rows")}
        arrays |= {name: archive[f"{nouns}_{name}"] for name in WEIGHTS}
        forms = archive["forms"].tobytes().decode().split("\n")
    return {form: row for row, form in enumerate(forms, len(arrays["row_classes"]) - len(forms))}, arrays


def empty_model() -> dict[str, npt.NDArray[Any]]:
    """What stands in the tables where every form counts."""
    return {
        "row_classes": np.empty(0, np.uint8),
        "kind_rows": np.empty(0, np.int32),
        "row_weights": np.empty((0, 0), np.int8),
        "triple_weights": np.empty((0, 0, 0), np.int8),
        "case_weights": np.empty((0, 0, 0, 0), np.int8),
    }


def model_path() -> Path:
    """Where the table lies. Raises UserError where it does not."""
    path = resource(FILE)
    if not path.exists():
        raise UserError(f"{path}: no such file, expected the table of the noun model (matching.nouns)")
    return path


def model_sha256() -> str:
    """Which table this is, for what is counted with it."""
    return content_sha256([model_path()])
