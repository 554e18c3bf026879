"""Requests to an OpenAI-compatible server, repeated until a complete answer arrives."""

import email.utils
import ipaddress
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from contrastive_concepts.credentials import keep_secret, reveal
from contrastive_concepts.errors import UserError, one_line

RETRIED = {408, 409, 425, 429}
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
LONGEST_ASKED_WAIT_S = 300.0

Json = dict[str, Any]


class Stopped(Exception):
    """The client was closed while a request waited for its next attempt."""


class Refused(UserError):
    """The server understood the request and refused it. `status` and `body` are those of its response."""

    def __init__(self, message: str, status: int, body: str) -> None:
        super().__init__(message)
        self.status, self.body = status, body


class _Again(Exception):
    """The request is to be sent again; `asked_wait` is the number of seconds that the server asks for, if it does."""

    def __init__(self, trouble: str, asked_wait: float | None = None) -> None:
        super().__init__(trouble)
        self.asked_wait = asked_wait


class Client:
    """Posts JSON. Thread-safe. The key is sent to the server and never printed.

    url: base address; a password or signature in it may be hidden (see `credentials`). key: as read from the
    environment variable `key_name`, which messages refer to. Raises UserError for an invalid address or key.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        key_name: str = "the key",
        timeout_s: float = 120.0,
        attempts: int = 6,
        concurrency: int = 64,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = url.rstrip("/")
        self._base = _address(url)
        self._key_name = key_name
        self._attempts = attempts
        self._check = check
        self._stopped = threading.Event()
        key = sendable_key(key, key_name)
        self._http = httpx.Client(
            timeout=timeout_s,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            trust_env=not is_loopback(self._base.host),
        )

    def post(self, path: str, payload: Mapping[str, Any], whole: Callable[[Json], bool]) -> Json:
        """The server's answer. `whole` decides whether an answer is complete.

        The request is repeated after broken connections, time-outs, 429, 5xx, and unreadable or partial answers. The
        wait before the next attempt is what the server asks for in Retry-After, or else doubles each time. Raises
        Refused if the server refuses the request, UserError after the last attempt. An exception from `check` (such as:
        the server that this process started has died) takes precedence.
        """
        retrying = Retrying(
            stop=stop_after_attempt(self._attempts),
            retry=retry_if_exception_type(_Again),
            wait=_wait,
            sleep=self._sleep,
        )
        try:
            return retrying(self._send, path, payload, whole)
        except RetryError as error:
            self._check()
            last = error.last_attempt.exception()
            raise UserError(
                f"{self.url}/{path}: no answer after {self._attempts} tries, the last one: {last}"
            ) from None

    def _send(self, path: str, payload: Mapping[str, Any], whole: Callable[[Json], bool]) -> Json:
        if self._stopped.is_set():
            raise Stopped
        self._check()
        try:
            response = self._http.post(self._address(path), json=payload)
        except (httpx.TransportError, httpx.DecodingError) as error:
            name = type(error).__name__
            raise _Again(f"{name}: {one_line(error)}" if str(error) else name) from None
        if response.status_code in RETRIED or response.status_code >= 500:
            trouble = f"status {response.status_code}: {one_line(response.text)}"
            raise _Again(trouble, _asked_wait(response.headers.get("Retry-After")))
        if not response.is_success:
            raise self._refused(path, response)
        answer = _json(response)
        if answer is None or not _accepts(whole, answer):
            raise _Again(f"an answer cut short: {one_line(response.text)}")
        return answer

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped

    def _address(self, path: str) -> httpx.URL:
        return self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{path}")

    def get(self, path: str) -> Json:
        """One GET, not tried again. Raises httpx.HTTPError or ValueError."""
        answer: Json = self._http.get(self._address(path)).raise_for_status().json()
        return answer

    def stop(self) -> None:
        """Cancel requests that wait for their next attempt. Requests in flight are completed."""
        self._stopped.set()

    def close(self) -> None:
        """Call `stop` and close the connections."""
        self.stop()
        self._http.close()

    def _refused(self, path: str, response: httpx.Response) -> Refused:
        hint = ""
        if response.is_redirect:
            hint = f"; it points to {response.headers.get('Location', 'nowhere')}"
        elif response.status_code in (401, 403):
            hint = f"; expected a valid key in {self._key_name}"
        elif response.status_code in (404, 405) and not self._base.path.rstrip("/").endswith("/v1"):
            hint = "; the address does not end in /v1, as that of most servers does"
        said = one_line(response.text) if response.text.strip() else response.reason_phrase
        message = f"{self.url}/{path}: refused with {response.status_code}: {said}{hint}"
        return Refused(message, response.status_code, response.text)


def sendable_key(key: str | None, name: str) -> str | None:
    """The key without surrounding white space, which often comes from a file or a shell. None if nothing remains.

    Raises UserError if the key cannot be sent in a header. The message does not contain the key.
    """
    if key is None:
        return None
    keep_secret(key)
    key = key.strip().strip("\ufeff").strip()
    for number, character in enumerate(key, 1):
        if not "!" <= character <= "~":
            kind = "white space" if character.isspace() else "a control" if character < " " else "not plain ASCII"
            raise UserError(
                f"{name}: character {number} of {len(key)} is {kind}, expected a key of printable ASCII characters"
            )
    return key or None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine. Requests to it must not go through a proxy."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(reveal(url).strip())
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UserError(f"{url}: not an address ({one_line(error)}), expected http://HOST:PORT/v1") from None
    if address.scheme not in ("http", "https") or not address.host:
        raise UserError(f"{url}: not an address of a server, expected http://HOST:PORT/v1 or https://HOST/v1")
    return address


def _accepts(whole: Callable[[Json], bool], answer: Json) -> bool:
    try:
        return whole(answer)
    except (KeyError, IndexError, TypeError, AttributeError):
        return False


def _json(response: httpx.Response) -> Json | None:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _wait(state: RetryCallState) -> float:
    """Seconds before the next try: as the server asks, else twice as long each time."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _Again) and error.asked_wait is not None:
        return error.asked_wait
    return wait_exponential(FIRST_WAIT_S, LONGEST_WAIT_S)(state)


def _asked_wait(header: str | None) -> float | None:
    """Seconds of a Retry-After header: a number, or an HTTP date. None where there is none that can be read."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_ASKED_WAIT_S)
