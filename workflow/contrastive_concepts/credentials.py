"""Keys, tokens and passwords: used to open connections, never shown.

A configuration can contain a URL with a password or a signature, or a token for a server's environment. `hide` replaces
them by HIDDEN as soon as the configuration is read, and `reveal` restores them when a connection is opened. So no
parameter, record, manifest or log contains them. `redact` removes every known credential from a text to be shown.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, unquote_plus

HIDDEN = "***"
VARIABLE = "CONTRASTIVE_CONCEPTS_HIDDEN"
"""Environment variable that passes hidden values (JSON: shown text -> used text) to the jobs of a run."""
SHORTEST = 4
"""Least number of characters of a credential. Removing shorter ones would remove harmless text everywhere."""

_NAME = re.compile(
    r"(?:^|[_-])(?:key|token|secret|password|passwd|credentials?|key[_-]id|connection[_-]string|sas|pat)$",
    re.IGNORECASE,
)
_PARAMETER = re.compile(
    r"([?&;](?:[^=&#\s]*(?:sig|token|secret|passw|key|credential|auth)[^=&#\s]*|code|pwd)=)([^&#\s'\"<>)]+)",
    re.IGNORECASE,
)
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)([^/?#\s'\"<>]+)@", re.IGNORECASE)
_KNOWN_FORMS = re.compile(
    r"(?i:\b(?:bearer|basic)\s+)(?!authentication\b)[A-Za-z0-9._~+/=-]{8,}"
    r"|\bsk-[A-Za-z0-9_-]{4,}|\bhf_[A-Za-z0-9]{8,}|\b(?:AKIA|ASIA)[0-9A-Z]{12,}|\bgh[pousr]_[A-Za-z0-9]{16,}"
)
_told: set[str] = set()


def keep_secret(value: str) -> None:
    """Make `redact` remove this text from now on."""
    _told.update(part for part in (value, value.strip(), *value.split()) if len(part) >= SHORTEST)


def redact(text: str) -> str:
    """The text without credentials: those that this process knows, and those with a known format."""
    known = {value for name, value in os.environ.items() if _NAME.search(name) and len(value.strip()) >= 6}
    known |= {part for value in known for part in (value.strip(), *value.split()) if len(part) >= 6}
    known |= _told | _hidden_parts(os.environ.get(VARIABLE, ""))
    for part in sorted(known, key=len, reverse=True):
        # Libraries can print the escaped form of an invalid value.
        for shown in (part, part.encode("unicode_escape").decode("ascii")):
            text = text.replace(shown, HIDDEN)
    return _KNOWN_FORMS.sub(HIDDEN, redact_url(text))


def hide(value: Any, name: str = "") -> Any:
    """The value without its credentials, also inside mappings and lists.

    Credentials are the user and password of a URL, parameters of its query with names such as token, and the values of
    names such as HF_TOKEN or --hf-token.
    """
    if isinstance(value, str):
        if value and _NAME.search(name) and not value.startswith(HIDDEN):
            return _register(HIDDEN + _digest(value), value)
        shown = redact_url(value) if "://" in value else value
        return value if shown == value else _register(shown, value)
    if isinstance(value, Mapping):
        return {key: hide(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        names = ["", *(str(entry) if str(entry).startswith("--") else "" for entry in value)]
        return [_hidden_argument(entry) or hide(entry, before) for entry, before in zip(value, names, strict=False)]
    return value


def reveal(text: str) -> str:
    """The original value of a text that `hide` returned; any other text unchanged."""
    return _hidden(os.environ.get(VARIABLE, "")).get(text, text) if HIDDEN in text else text


def _hidden_argument(argument: Any) -> str | None:
    """An argument such as `--hf-token=...` with its value hidden; None if it has no credential."""
    name, equals, value = argument.partition("=") if isinstance(argument, str) else ("", "", "")
    if not (equals and name.startswith("--") and _NAME.search(name)) or value.startswith(HIDDEN):
        return None
    return _register(f"{name}={HIDDEN}{_digest(value)}", str(argument))


def _register(shown: str, value: str) -> str:
    hidden = _hidden(os.environ.get(VARIABLE, ""))
    if hidden.get(shown, value) != value:
        # Two URLs can differ only in their hidden parts.
        shown = f"{shown}#{_digest(value)}"
    os.environ[VARIABLE] = json.dumps(hidden | {shown: value})
    return shown


def redact_url(text: str) -> str:
    """The text with the credentials in its URLs replaced: the same for two signatures of an address."""
    return _PARAMETER.sub(rf"\1{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", text))


@lru_cache(maxsize=4)
def _hidden(variable: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(variable or "{}")
    return found


@lru_cache(maxsize=4)
def _hidden_parts(variable: str) -> frozenset[str]:
    """The credentials alone, also in decoded form, because libraries can print the decoded URL."""
    parts: set[str] = set()
    for value in _hidden(variable).values():
        found = [match[2] for match in _PARAMETER.finditer(value)]
        found += [match[2].partition(":")[2] or match[2] for match in _USER.finditer(value)]
        found = found or [value.partition("=")[2] if value.startswith("--") else value]
        parts.update(form for part in found for form in (part, unquote(part), unquote_plus(part)))
    return frozenset(part for part in parts if len(part) >= SHORTEST and HIDDEN not in part)


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest()[:8]
