"""Nothing found is not success: a stage that would publish nothing, or almost nothing, stops with one line."""

from contrastive_concepts.errors import UserError


def require(found: int, given: int, least: float, what: str, key: str, hint: str = "") -> None:
    """Raises UserError where none of `given` was `found`, or less than the share `least`; nothing given is no fault.

    what: what is counted, as in "captions that mention a concept"; key: of `checks` in the configuration.
    """
    if given and (found == 0 or found < least * given):
        more = f"; {hint}" if hint else ""
        wanted = f"{least:.2%} of them".replace(".00%", "%") if least else "one"
        raise UserError(f"{what}: found {found:,} of {given:,}, expected at least {wanted} (checks.{key}){more}")
