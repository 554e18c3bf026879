"""The reference of all keys in Markdown, generated from the models."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from contrastive_concepts.config.base import Settings
from contrastive_concepts.config.methods import METHODS, Options
from contrastive_concepts.config.run import RunSettings

INTRODUCTION = """\
# Configuration reference

Written by `contrastive-concepts config reference` from the models in `workflow/contrastive_concepts/config`; a test
fails when this page and the models drift apart. A key that is not listed here is an error.
"""

NAMES = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}


def reference() -> str:
    """The page `docs/configuration.md`."""
    return INTRODUCTION + "".join(_section("", RunSettings, {})) + "".join(_methods())


def _section(path: str, model: type[Settings], described: dict[type[Settings], str]) -> Iterator[str]:
    """The model's keys, then the sections below it. A model that has several places is described at the first."""
    described[model] = path
    yield f"\n## {path or 'Top level'}{_choice(model)}\n\n{_summary(model)}\n\n"
    yield "| key | type | default | meaning |\n| --- | --- | --- | --- |\n"
    below: list[tuple[str, type[Settings]]] = []
    for name, field in model.model_fields.items():
        members = _models(field.annotation)
        key = f"{path}.{name}" if path else name
        new = [member for member in members if member not in described]
        below += [(key, member) for member in new]
        kind = "section" if new else f"as `{described[members[0]]}`" if members else _type(field.annotation)
        yield f"| `{name}` | {kind} | {_default(field, bool(members))} | {_cell(field.description or '')} |\n"
    for key, member in below:
        if member not in described:
            yield from _section(key, member, described)


def _methods() -> Iterator[str]:
    """The options of each segmentation method."""
    yield "\n## Options of the segmentation methods\n\nThe keys of `benchmark.segmenters.NAME.options`.\n\n"
    yield "| method | option | type | default | meaning |\n| --- | --- | --- | --- | --- |\n"
    every: dict[str, type[Options]] = {"every": Options, **{name: each.options for name, each in METHODS.items()}}
    for name, options in every.items():
        for option, field in options.model_fields.items():
            if options is Options or option not in Options.model_fields:
                kind, default = _type(field.annotation), _default(field, False)
                yield f"| {name} | `{option}` | {kind} | {default} | {_cell(field.description or '')} |\n"


def _models(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _choice(model: type[Settings]) -> str:
    """The suffix of a union member's heading, such as `, source: shards`; empty for other models."""
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            if not isinstance(get_args(field.annotation)[0], str):
                continue
            return f", {name}: {get_args(field.annotation)[0]}"
    return ""


def _summary(model: type[Settings]) -> str:
    return " ".join((model.__doc__ or "").split())


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and not get_args(annotation):
        return NAMES.get(annotation.__name__, annotation.__name__)
    origin, arguments = get_origin(annotation), [_type(argument) for argument in get_args(annotation)]
    if origin in (list, tuple):
        return f"list of {arguments[0]}"
    if origin is dict:
        return f"{arguments[1]} by name"
    return " or ".join(arguments)


def _default(field: FieldInfo, section: bool) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "null"
    if section or field.default is PydanticUndefined:
        return "see below"
    if isinstance(field.default, tuple):
        return f"`{list(field.default)}`"
    return f"`{_cell(str(field.default).lower() if isinstance(field.default, bool) else str(field.default))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
