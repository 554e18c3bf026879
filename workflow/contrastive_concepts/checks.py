"""Minimum counts: a stage that found nothing, or almost nothing, stops with a one-line error."""

from contrastive_concepts.errors import UserError


def require(found: int, given: int, least: float, what: str, key: str, hint: str = "") -> None:
    """Raises UserError if `found` is 0 or less than the share `least` of `given`. If `given` is 0 it does nothing.

    what: the name of what is counted, such as "captions that mention a concept". key: the key below `checks` in the
    configuration.
    """
    if given and (found == 0 or found < least * given):
        more = f"; {hint}" if hint else ""
        wanted = f"{least:.2%} of them".replace(".00%", "%") if least else "one"
        raise UserError(f"{what}: found {found:,} of {given:,}, expected at least {wanted} (checks.{key}){more}")
