"""What every settings model shares: unknown keys are refused, values are immutable once read."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of all settings models; a typo in a key is an error that names the key."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, strict=True)
