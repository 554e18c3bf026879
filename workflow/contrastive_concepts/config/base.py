"""What every settings model shares: unknown keys are refused, values are immutable once read."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A name that may become part of a path."""


class Settings(BaseModel):
    """Base of all settings models; a typo in a key is an error that names the key."""

    # Not strict: `snakemake --config 'selection={gamma: 0.02}'` hands nested values on as text.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
