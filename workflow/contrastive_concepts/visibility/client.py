"""One request to an OpenAI-compatible server, tried until it is answered whole."""

import email.utils
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from contrastive_concepts.errors import UserError

RETRIED = {408, 409, 425, 429}
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
LONGEST_ASKED_WAIT_S = 300.0

Json = dict[str, Any]


class Stopped(Exception):
    """The client was closed while a request waited for its next try."""


class Client:
    """Posts JSON; safe to use from several threads. The key is sent, never shown."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 120.0,
        attempts: int = 6,
        concurrency: int = 64,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = url.rstrip("/")
        self._attempts = attempts
        self._check = check
        self._stopped = threading.Event()
        self._http = httpx.Client(
            timeout=timeout_s,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        )

    def post(self, path: str, payload: Mapping[str, Any], whole: Callable[[Json], bool]) -> Json:
        """The server's answer, once `whole` accepts it.

        Cut connections, time-outs, 429, 5xx, unreadable and partial answers are tried again, waiting as long as the
        server asks in Retry-After, else twice as long each time. Raises UserError when the tries are used up or the
        server refuses the request; whatever `check` raises (a server of ours that has died) comes first.
        """
        trouble = ""
        for attempt in range(self._attempts):
            if self._stopped.is_set():
                raise Stopped
            self._check()
            wait = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)
            try:
                response = self._http.post(f"{self.url}/{path}", json=payload)
            except (httpx.TransportError, httpx.DecodingError) as error:
                trouble = f"{type(error).__name__}: {error}".rstrip(": ")
            else:
                if response.status_code in RETRIED or response.status_code >= 500:
                    trouble = f"status {response.status_code}: {_short(response.text)}"
                    wait = _asked_wait(response.headers.get("Retry-After"), wait)
                elif response.is_error:
                    raise UserError(f"{self.url}/{path}: refused with {response.status_code}: {_short(response.text)}")
                else:
                    answer = _json(response)
                    if answer is not None and _accepts(whole, answer):
                        return answer
                    trouble = f"an answer cut short: {_short(response.text)}"
            if attempt + 1 < self._attempts and self._stopped.wait(wait):
                raise Stopped
        self._check()
        raise UserError(f"{self.url}/{path}: no answer after {self._attempts} tries, the last one: {trouble}")

    def get(self, path: str) -> Json:
        """One GET, not tried again. Raises httpx.HTTPError or ValueError."""
        answer: Json = self._http.get(f"{self.url}/{path}").raise_for_status().json()
        return answer

    def stop(self) -> None:
        """Make waiting requests give up; requests under way are answered."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and close the connections."""
        self.stop()
        self._http.close()


def _accepts(whole: Callable[[Json], bool], answer: Json) -> bool:
    try:
        return whole(answer)
    except (KeyError, IndexError, TypeError, AttributeError):
        return False


def _json(response: httpx.Response) -> Json | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _asked_wait(header: str | None, otherwise: float) -> float:
    """Seconds of a Retry-After header: a number, or an HTTP date."""
    if not header:
        return otherwise
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError):
            return otherwise
    return min(max(seconds, 0.0), LONGEST_ASKED_WAIT_S)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:197] + "..."
