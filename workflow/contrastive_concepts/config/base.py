"""The base of the settings models: unknown keys are errors, and values are immutable."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A name that can be part of a path."""


class Settings(BaseModel):
    """Base of all settings models. An unknown key, such as a typo, is an error that names the key."""

    # Not strict: `snakemake --config 'selection={gamma: 0.02}'` passes nested values as text.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
