"""Merge layers of configuration: if a layer chooses another variant, the keys of the former variant are removed.

Snakemake merges the workflow's configuration file, files of the command line and `--config` key by key. If a layer
chooses another `source`, `judge`, `encoder` or `kind` than an earlier layer, keys of the earlier one do not apply.
"""

from collections.abc import Mapping, Sequence
from typing import Any

TAGS = ("source", "judge", "encoder", "kind")
"""Keys that choose a variant, and with it the other keys of their section, if their value is a name."""


def without_other_variants(config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The merged configuration without keys of variants that a later layer has replaced.

    `layers`: the merged configurations; the last one takes precedence. Keys that are in no layer stay. Keys of a layer
    that do not fit the layer's own choice also stay: they are errors of the user.
    """
    plain: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for layer in layers:
        plain = _laid_over(plain, layer, switching=False)
        given = _laid_over(given, layer, switching=True)
    return _without(config, plain, given)


def _laid_over(below: Mapping[str, Any], layer: Mapping[str, Any], switching: bool) -> dict[str, Any]:
    chosen = [tag for tag in TAGS if isinstance(layer.get(tag), str) and tag in below]
    if switching and any(layer[tag] != below[tag] for tag in chosen):
        return dict(layer)
    merged = dict(below)
    for key, value in layer.items():
        under = below.get(key)
        nested = isinstance(value, Mapping) and isinstance(under, Mapping)
        merged[key] = _laid_over(under, value, switching) if nested else value  # type: ignore[arg-type]
    return merged


def _without(config: Mapping[str, Any], plain: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for key, value in config.items():
        if key in plain and key not in given:
            continue
        nested = all(isinstance(place.get(key), Mapping) for place in (config, plain, given))
        kept[key] = _without(value, plain[key], given[key]) if nested else value
    return kept
