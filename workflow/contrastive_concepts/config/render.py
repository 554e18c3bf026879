"""The commented YAML of a configuration, and its JSON schema. Both are generated from the models."""

import json
import textwrap
from typing import Any

import yaml
from pydantic import BaseModel

from contrastive_concepts.config.run import RunSettings

WIDTH = 100


def render_config(settings: RunSettings, title: str, complete: bool = True) -> str:
    """YAML with the description of each key above it. Without `complete`, it has only the keys that were set."""
    return _comment(title, 0) + "\n" + _render(settings, 0, complete)


def leading_comment(text: str) -> str:
    """The title of a configuration: the comment lines at its beginning."""
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join(line.removeprefix("#").strip() for line in lines[:end])


def schema_json() -> str:
    """The JSON schema of a configuration file."""
    return json.dumps(RunSettings.model_json_schema(), indent=2) + "\n"


def _render(model: BaseModel, indent: int, complete: bool) -> str:
    text = ""
    for name, field in type(model).model_fields.items():
        if not complete and name not in model.model_fields_set:
            continue
        value = getattr(model, name)
        text += _comment(field.description or "", indent)
        if isinstance(value, BaseModel):
            text += f"{' ' * indent}{name}:\n" + _render(value, indent + 2, complete)
        elif isinstance(value, dict) and any(isinstance(entry, BaseModel) for entry in value.values()):
            text += f"{' ' * indent}{name}:\n" + _entries(value, indent + 2)
        elif isinstance(value, list) and any(isinstance(entry, BaseModel) for entry in value):
            text += f"{' ' * indent}{name}:\n"
            text += "".join(f"{' ' * indent}  - {_scalar(_plain(entry))}\n" for entry in value)
        else:
            text += f"{' ' * indent}{name}: {_scalar(value)}\n"
        if indent == 0:
            text += "\n"
    return text if indent else text.rstrip("\n") + "\n"


def _entries(values: dict[str, BaseModel], indent: int) -> str:
    """One line for each named entry, with the keys that were set. The reference describes all keys."""
    return "".join(f"{' ' * indent}{name}: {_scalar(_plain(entry))}\n" for name, entry in values.items())


def _plain(entry: BaseModel) -> dict[str, Any]:
    written = entry.model_dump(mode="json", exclude_unset=True)
    return {name: written[name] for name in ("kind", *written) if name in written}


def _comment(text: str, indent: int) -> str:
    prefix = " " * indent + "# "
    wrapped = (
        textwrap.wrap(part, WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False)
        for part in text.split("\n")
    )
    return "".join(f"{line}\n" for lines in wrapped for line in lines)


def _scalar(value: Any) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
        .removesuffix("...\n")
        .strip()
    )
