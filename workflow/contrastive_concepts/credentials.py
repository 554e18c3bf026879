"""Keys, tokens and passwords: used where a connection is made, never shown.

A URL of a configuration may hold a password or a signature. `hide` replaces it by HIDDEN as soon as the configuration
is read, and `reveal` gives it back where the URL is opened, so that no parameter, record, manifest or log holds it.
`redact` is the last line of defence: it removes every known credential from a text that is about to be shown.
"""

import hashlib
import json
import os
import re
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

HIDDEN = "***"
VARIABLE = "CONTRASTIVE_CONCEPTS_HIDDEN_URLS"
"""Environment variable that hands the hidden URLs (JSON: as shown -> as opened) on to the jobs of a run."""
SHORTEST = 4
"""Characters of a credential; a shorter one would remove harmless letters everywhere."""

_NAMES = re.compile(r"(?:^|_)(?:key|token|secret|password|passwd|credentials?|key_id|pat)$", re.IGNORECASE)
_PARAMETER = re.compile(
    r"([?&;](?:[^=&#\s]*(?:sig|token|secret|passw|key|credential|auth)[^=&#\s]*|code|pwd)=)([^&#\s'\"<>)]+)",
    re.IGNORECASE,
)
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)([^/?#\s'\"@]+)@", re.IGNORECASE)
_KNOWN_FORMS = re.compile(
    r"(?i:\b(?:bearer|basic)\s+)(?!authentication\b)[A-Za-z0-9._~+/=-]{8,}"
    r"|\bsk-[A-Za-z0-9_-]{4,}|\bhf_[A-Za-z0-9]{8,}|\b(?:AKIA|ASIA)[0-9A-Z]{12,}|\bgh[pousr]_[A-Za-z0-9]{16,}"
)
_told: set[str] = set()

Value = TypeVar("Value")


def keep_secret(value: str) -> None:
    """Have `redact` remove this text from now on."""
    for part in {value, value.strip(), *value.split()}:
        if len(part) >= SHORTEST:
            _told.add(part)


def redact(text: str) -> str:
    """The text without any credential that this process knows or that its form gives away."""
    named = {value for name, value in os.environ.items() if _NAMES.search(name) and len(value.strip()) >= 6}
    parts = {part for value in named for part in (value, value.strip())} | _told
    for part in sorted(parts, key=len, reverse=True):
        # An escaped form is what a library prints of a value that it finds invalid.
        for shown in (part, part.encode("unicode_escape").decode("ascii")):
            text = text.replace(shown, HIDDEN)
    return _KNOWN_FORMS.sub(HIDDEN, _redacted_url(text))


def hide(value: Value) -> Value:
    """The value with each URL in it (a string, or one below a list or mapping) shown without its credentials."""
    if isinstance(value, str):
        return _hidden(value)  # type: ignore[return-value]
    if isinstance(value, dict):
        return {key: hide(entry) for key, entry in value.items()}  # type: ignore[return-value]
    if isinstance(value, list | tuple):
        return type(value)(hide(entry) for entry in value)
    return value


def reveal(url: str) -> str:
    """The URL as it is to be opened."""
    return _hidden_urls().get(url, url) if HIDDEN in url else url


def _hidden(url: str) -> str:
    if "://" not in url:
        return url
    shown = _redacted_url(url)
    if shown == url:
        return url
    hidden = _hidden_urls()
    if hidden.get(shown, url) != url:
        # Two URLs that differ only in what is hidden.
        parts = urlsplit(shown)
        mark = f"url={hashlib.sha256(url.encode()).hexdigest()[:8]}"
        shown = urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, mark]))))
    os.environ[VARIABLE] = json.dumps(hidden | {shown: url})
    return shown


def _redacted_url(text: str) -> str:
    return _PARAMETER.sub(rf"\1{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", text))


def _hidden_urls() -> dict[str, str]:
    found: dict[str, str] = json.loads(os.environ.get(VARIABLE) or "{}")
    return found
