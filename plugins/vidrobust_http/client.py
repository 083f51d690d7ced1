"""Requests that bring an answer or raise: retries, time-outs, bounds, no secret in sight.

What is tried again: errors of the transport (no connection, a reset, a time-out, half an answer)
and the statuses that say "later" (408, 425, 429, 500, 502, 503, 504), after the time the service
names in `Retry-After`, or after a growing one. All else is final: an answer that came whole is paid
for, and asking again would pay again.
"""

from __future__ import annotations

import email.utils
import json
import random
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
import tenacity

from vidrobust.errors import ModelError
from vidrobust_http.meter import Pace

LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request is sent again."""
LONGEST = 60.0
"""Most seconds between two attempts, unless the service names more."""


class Later(Exception):
    """An attempt that brought no answer and may be repeated, after `wait` seconds if given."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Unreadable(Exception):
    """An answer that came whole, so is paid for, and cannot be read."""


@dataclass
class Client:
    """One address, asked by several threads.

    Args:
        url: The address.
        headers: Sent with every request; the only place that holds the secret.
        secret: What must not appear in any message.
        timeout: Seconds one attempt may take.
        retries: Attempts after the first one.
        patience: Seconds after which no further attempt is made.
        backoff: Seconds before the second attempt; doubled for each further one, with jitter.
        rate: Most requests a second; 0 is no limit.
        max_response: Most bytes of an answer.
        ca: File of the certificate authorities to trust instead of the usual ones.
        connections: Most connections at a time.

    Attributes:
        requests: Requests sent.
        retried: Those of them that repeated a failed one.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str = field(default="", repr=False)
    timeout: float = 30.0
    retries: int = 8
    patience: float = 300.0
    backoff: float = 0.5
    rate: float = 0.0
    max_response: int = 2**20
    ca: str = ""
    connections: int = 8
    requests: int = field(default=0, init=False)
    retried: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._pace = Pace(self.rate)
        self._lock = threading.Lock()
        self._jitter = random.Random()
        most = httpx.Limits(
            max_connections=self.connections, max_keepalive_connections=self.connections
        )
        self._http = httpx.Client(
            headers={"accept": "application/json", "accept-encoding": "identity", **self.headers},
            timeout=self.timeout,
            limits=most,
            verify=ssl.create_default_context(cafile=self.ca or None),
            follow_redirects=False,
        )

    @property
    def place(self) -> str:
        """The address without what may be secret in it: for messages."""
        return str(httpx.URL(self.url).copy_with(query=None, userinfo=b"", fragment=None))

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def get(self) -> object:
        """What the service answers to a GET: its description.

        Raises:
            ModelError: If no answer can be had, or it is no JSON.
        """
        try:
            return self._repeat("GET", b"", {})
        except Unreadable as error:
            raise ModelError(f"{self.place}: {error}", hint="name model.classes yourself") from None

    def post(self, body: bytes, media: str, key: str) -> object:
        """The answer to one clip, as JSON has it.

        Args:
            body: The clip.
            media: Its content type.
            key: The same for every attempt at the same query, as `Idempotency-Key`.

        Raises:
            ModelError: If no answer can be had. Unreadable: If one came that is no JSON.
        """
        return self._repeat("POST", body, {"content-type": media, "idempotency-key": key})

    def _repeat(self, method: str, body: bytes, headers: Mapping[str, str]) -> object:
        begin = time.monotonic()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Later),
            wait=self._wait,
            stop=tenacity.stop_after_attempt(self.retries + 1)
            | tenacity.stop_before_delay(self.patience),
            reraise=True,
        )
        attempts = 0
        try:
            for attempt in retrying:
                with attempt:
                    attempts += 1
                    return self._attempt(method, body, headers, again=attempts > 1)
        except Later as error:
            raise ModelError(
                f"{self.place} gave no answer in {attempts} attempts and "
                f"{time.monotonic() - begin:.0f} s; the last one: {error}",
                hint="--resume goes on once it answers again; see model.retries, model.patience",
            ) from None
        raise AssertionError("an attempt returns or raises")

    def _attempt(
        self, method: str, body: bytes, headers: Mapping[str, str], *, again: bool
    ) -> object:
        self._pace.wait()
        with self._lock:
            self.requests += 1
            self.retried += again
        deadline = time.monotonic() + self.timeout
        try:
            with self._http.stream(method, self.url, content=body, headers=headers) as response:
                raw = self._read(response, deadline)
                status, wait = response.status_code, _retry_after(response)
        except httpx.TransportError as error:
            if _untrusted(error):
                raise ModelError(
                    f"{self.place}: its certificate is not trusted: {self._clean(str(error))}",
                    hint="for a private authority, give its file as model.ca",
                ) from None
            raise Later(f"{type(error).__name__}: {self._clean(str(error))}") from None
        except httpx.HTTPError as error:
            raise Unreadable(f"{type(error).__name__}: {self._clean(str(error))}") from None
        if status in LATER:
            if wait is not None:
                self._pace.hold(min(wait, self.patience))
            raise Later(f"status {status}: {self._excerpt(raw)}", wait)
        return self._parsed(status, raw)

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self.max_response:
                raise ModelError(
                    f"{self.place} answered more than {self.max_response} bytes",
                    hint="raise model.max_response if that is right",
                )
            if time.monotonic() > deadline:
                raise Later(f"the answer took longer than {self.timeout:g} s")
        return bytes(body)

    def _parsed(self, status: int, raw: bytes) -> object:
        if status != 200:
            hints = {
                401: "the service wants a credential: model.token_env names its variable",
                403: "the service refuses this credential, or this client",
                404: "check model.url",
                413: "the clip is too large for it; try model.send = 'h264'",
                415: "it takes clips in another form; see model.send",
            }
            raise ModelError(
                f"{self.place} answered status {status}: {self._excerpt(raw)}",
                hint=hints.get(status, "check model.url, model.send and the shape of the clips"),
            )
        try:
            return json.loads(raw)
        except ValueError:
            raise Unreadable(f"the answer is no JSON: {self._excerpt(raw)}") from None

    def _excerpt(self, raw: bytes) -> str:
        text = self._clean(raw[:400].decode("utf-8", "replace"))
        return repr(text if len(text) <= 120 else f"{text[:117]}...")

    def _clean(self, text: str) -> str:
        return text.replace(self.secret, "***") if self.secret else text

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Later) and error.wait is not None:
            return error.wait
        growing = self.backoff * 2 ** (state.attempt_number - 1)
        return min(growing, LONGEST) * self._jitter.uniform(0.5, 1.0)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the service asks to wait, from a number or a date; None where it does not."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    if not text:
        return None
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _untrusted(error: BaseException | None) -> bool:
    """Whether a certificate that does not verify is behind an error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
