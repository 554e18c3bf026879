"""Read and validate a configuration. Each wrong key is reported in one line."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from contrastive_concepts.config.run import RunSettings
from contrastive_concepts.credentials import hide
from contrastive_concepts.errors import UserError
from contrastive_concepts.text_files import read_text


def parse_config(values: Mapping[str, Any]) -> RunSettings:
    """Validate the values of a configuration. Raises UserError with one line for each wrong key.

    Credentials in URLs are hidden in the settings (see `credentials`).
    """
    try:
        return RunSettings.model_validate(hide(dict(values)))
    except ValidationError as error:
        problems = (found for found in error.errors(include_url=False) if not _other_form(found))
        lines = dict.fromkeys(_line(found, values) for found in problems)
        raise UserError("\n".join(lines)) from None


def read_config(path: str | Path) -> RunSettings:
    """Read and validate a YAML file. Raises UserError."""
    text = read_text(path, "a configuration in YAML")
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: found {type(values).__name__}, expected keys and values")
    return parse_config(values)


def _other_form(details: ErrorDetails) -> bool:
    """Whether an error belongs to the form of selection.gamma that was not used.

    gamma is a number or a mapping of corpus names to numbers. pydantic reports an error for each form.
    """
    given_by_corpus = isinstance(details["input"], Mapping)
    whole = len(details["loc"]) == 3 and details["loc"][:2] == ("selection", "gamma")
    return whole and details["type"] == ("float_type" if given_by_corpus else "dict_type")


def _line(details: ErrorDetails, values: Mapping[str, Any]) -> str:
    key = ".".join(_key(details["loc"], values))
    found, kind = details["input"], details["type"]
    if kind == "value_error":
        return f"config: {details['msg'].removeprefix('Value error, ')}"
    if kind == "missing":
        return f"config: {key}: missing"
    if kind == "extra_forbidden":
        return f"config: {key}: unknown key{_suggestion(details['loc'])}"
    if kind == "union_tag_not_found":
        tag = details["ctx"]["discriminator"].strip("'")
        given = [str(name) for name in found] if isinstance(found, Mapping) else []
        close = difflib.get_close_matches(tag, given, n=1)
        return f"config: {key}: missing {tag!r}" + (f", found {close[0]!r}, did you mean {tag}?" if close else "")
    if kind == "union_tag_invalid":
        tag, tags = (details["ctx"][name].replace("'", "") for name in ("discriminator", "expected_tags"))
        return f"config: {key}: found {tag} {details['ctx']['tag']!r}, expected one of {tags}"
    expected = details["msg"].removeprefix("Input should be ")
    return f"config: {key}: found {_short(found)}, expected {expected}"


def _key(loc: tuple[int | str, ...], values: Any) -> list[str]:
    """The path of keys as the user wrote it, without pydantic's names of union members."""
    key: list[str] = []
    for position, part in enumerate(loc):
        tagged = position == 1 and loc[0] in ("captions", "vocabulary", "visibility", "similarity")
        if tagged and (len(loc) > 2 or not _has(values, part)):
            continue
        if position == len(loc) - 1 or _has(values, part):
            key.append(str(part))
            values = values[part] if _has(values, part) else None
    if key[:2] == ["selection", "gamma"]:
        key = [part for part in key if part not in ("float", "constrained-float") and not part.startswith("dict[")]
    return key


def _has(values: Any, part: int | str) -> bool:
    if isinstance(values, Mapping):
        return part in values
    return isinstance(values, list) and isinstance(part, int) and part < len(values)


def _suggestion(loc: tuple[int | str, ...]) -> str:
    schema = RunSettings.model_json_schema()
    nodes = [schema]
    for part in loc[:-1]:
        nodes = [below for node in nodes for below in _below(node, part, schema["$defs"])]
    known = sorted({name for node in nodes for name in node.get("properties", {})})
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f", did you mean {close[0]}?" if close else f", expected one of {', '.join(known)}"


def _below(node: dict[str, Any], part: int | str, models: dict[str, Any]) -> list[dict[str, Any]]:
    """The JSON schemas for one step of a key's path: an entry, a list's item, or a union member by its tag."""
    tags = node.get("discriminator", {}).get("mapping", {})
    if part in tags:
        return _resolved({"$ref": tags[part]}, models)
    if isinstance(part, int):
        return _resolved(node.get("items", {}), models)
    entries: Any = node.get("additionalProperties") or next(iter(node.get("patternProperties", {}).values()), {})
    return _resolved(node.get("properties", {}).get(part) or entries, models)


def _resolved(node: Any, models: dict[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(node, dict):
        return []
    if "$ref" in node:
        return [models[node["$ref"].rpartition("/")[2]]]
    if "discriminator" in node:
        return [node]
    return [below for option in node.get("anyOf", ()) for below in _resolved(option, models)] or [node]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
