"""The configuration: one pydantic model for each stage. Each key is documented where it is defined."""
