"""Summarises a run in a few lines, which it prints at its end."""

from collections.abc import Iterator
from pathlib import Path

from contrastive_concepts.dictionary.manifest import Manifest, read_manifest
from contrastive_concepts.errors import UserError


def describe_run(results: Path) -> list[str]:
    """The counts of the dictionary in `results`, then one line per warning; empty if there is no dictionary."""
    try:
        manifest = read_manifest(results / "dictionary")
    except UserError:
        return []
    found, captions = manifest.counts, manifest.captions
    counted = f"{captions['rows']:,} captions, {captions['mentions']:,} mentions, " if captions else ""
    line = (
        f"{results}: {counted}{found['concepts']:,} concepts ({found['visible concepts']:,} visible), "
        f"{found['candidates']:,} candidates, {found['contrastive concepts']:,} contrastive concepts kept"
    )
    warnings = [f"Warning: {warning}" for warning in _warnings(manifest)]
    return [line, *warnings, *([] if warnings else ["No warnings."])]


def _warnings(manifest: Manifest) -> Iterator[str]:
    found, captions = manifest.counts, manifest.captions
    rows = captions.get("rows", 0)
    unusable = ("null", "empty", "invalid_utf8", "gigantic")
    met = [f"{captions[name]:,} {name.replace('_', ' ')}" for name in unusable if captions.get(name)]
    if met:
        yield f"of {rows:,} captions {', '.join(met)}"
    if captions.get("skipped shards"):
        yield f"{captions['skipped shards']:,} of {len(manifest.shards):,} shards skipped (captions/manifest.parquet)"
    unmet = found["concepts"] - found.get("concepts met in captions", found["concepts"])
    if unmet:
        yield f"{unmet:,} of {found['concepts']:,} concepts are in no caption"
    if found.get("unparsed verdicts"):
        yield f"{found['unparsed verdicts']:,} of {found['concepts']:,} verdicts unparsed (visibility/audit.md)"
    for remark, answers in manifest.judge.get("remarks", {}).items():
        yield f"{answers:,} answers of the judge: {remark}"
    if found.get("concepts without any"):
        yield f"{found['concepts without any']:,} of {found['concepts']:,} concepts have no contrastive concept"
