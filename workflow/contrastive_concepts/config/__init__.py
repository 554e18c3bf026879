"""The configuration: one pydantic model a stage, each key documented where it is defined."""
