"""Configurations laid over each other: a layer that switches a variant leaves nothing of the other one behind.

Snakemake merges a workflow's configuration file, those of the command line and `--config` key by key. Where one of them
chooses another `source`, `judge`, `encoder` or `kind` than the ones below it, the keys below belong to something else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

TAGS = ("source", "judge", "encoder", "kind")
"""Keys that choose which others there are."""


def without_other_variants(config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The merged configuration without the keys that a later layer's choice of another variant has left behind.

    `layers`: what was merged, the last one wins. Keys that are in no layer stay; so do a layer's own keys that do not
    fit its own choice, which are mistakes.
    """
    plain: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    for layer in layers:
        plain = _laid_over(plain, layer, switching=False)
        chosen = _laid_over(chosen, layer, switching=True)
    return _without(config, plain, chosen)


def _laid_over(below: Mapping[str, Any], layer: Mapping[str, Any], switching: bool) -> dict[str, Any]:
    if switching and any(tag in layer and tag in below and layer[tag] != below[tag] for tag in TAGS):
        return dict(layer)
    merged = dict(below)
    for key, value in layer.items():
        under = below.get(key)
        nested = isinstance(value, Mapping) and isinstance(under, Mapping)
        merged[key] = _laid_over(under, value, switching) if nested else value  # type: ignore[arg-type]
    return merged


def _without(config: Mapping[str, Any], plain: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for key, value in config.items():
        if key in plain and key not in chosen:
            continue
        nested = all(isinstance(place.get(key), Mapping) for place in (config, plain, chosen))
        kept[key] = _without(value, plain[key], chosen[key]) if nested else value
    return kept
