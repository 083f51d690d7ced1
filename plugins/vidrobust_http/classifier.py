"""The service as a `vidrobust.protocols.Classifier`, and as the `Remote` it is."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

import torch
from torch import Tensor

from vidrobust.errors import ModelError
from vidrobust.types import Access, ClipSpec
from vidrobust.video.wire import MEDIA, Wire, pack
from vidrobust_http.client import Client, Unreadable
from vidrobust_http.kept import Kept
from vidrobust_http.meter import Meter
from vidrobust_http.schema import Schema

_REMEMBERED = 65_536
"""Clips of which it is remembered how often they were asked."""


class HttpClassifier:
    """Asks a service about every clip by itself, several at a time.

    Either every clip of a call is answered, or the call raises; an answer that came is written down
    first (`keep`), so what was paid for is not asked again by the process that goes on.

    Args:
        spec: The clips the service takes and the classes it answers.
        client: Sends the requests.
        schema: Reads the answers.
        meter: Counts what is paid.
        top_k: How many classes an answer shows under `top-k`.
        send: How clips are sent.
        quality: Constant rate factor of `h264`.
        concurrency: Requests at a time.
    """

    def __init__(
        self,
        spec: ClipSpec,
        client: Client,
        schema: Schema,
        meter: Meter,
        *,
        top_k: int = 5,
        send: Wire = "npy",
        quality: int = 23,
        concurrency: int = 8,
    ) -> None:
        self._spec, self._client, self._schema, self._meter = spec, client, schema, meter
        self._top_k, self._send, self._quality = top_k, send, quality
        self._kept = Kept()
        self._asked: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        self._concurrency = concurrency
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="vidrobust-http")
        self._shut = weakref.finalize(self, _shut, self._threads, client, self._kept)

    @property
    def spec(self) -> ClipSpec:
        """The clips it takes and the classes it answers."""
        return self._spec

    @property
    def device(self) -> torch.device:
        """Clips are packed on the CPU."""
        return torch.device("cpu")

    @property
    def shows(self) -> Access:
        """What the service's answers carry."""
        return self._schema.shows

    @property
    def top_k(self) -> int:
        """How many classes an answer shows under `top-k`."""
        return self._top_k

    @property
    def batch(self) -> int:
        """Clips per call that keep every connection busy."""
        return 2 * self._concurrency

    @property
    def price(self) -> float:
        """Of one answer, as the config states it."""
        return self._meter.price

    def keep(self, folder: Path) -> None:
        """Write every answer into `folder` before it is used, and take those of a process that was
        killed from there.

        Raises:
            RecordError: If the folder cannot be read or written.
        """
        self._meter.paid += self._kept.open(folder)

    def settle(self) -> None:
        """Drop the kept answers, since every video has its record; what was paid stays known."""
        self._kept.close(self._meter.paid)

    def close(self) -> None:
        """Let go of connections, threads and files; the classifier answers no more."""
        self._shut()

    def usage(self) -> dict[str, float]:
        """Requests, and answers paid for, earlier processes of the run included."""
        return {
            "requests": self._client.requests,
            "retried": self._client.retried,
            "paid": self._meter.paid,
            "spent": self._meter.spent,
        }

    def __call__(self, clips: Tensor) -> Tensor:
        """Scores `(k, n)` float32 of clips `(k, t, c, h, w)` in `[0, 1]`.

        Raises:
            ModelError: If a clip got no answer, the answer cannot be read, or money is spent.
            RecordError: If an answer cannot be written down.
        """
        if tuple(clips.shape[1:]) != self._spec.shape:
            raise ModelError(
                f"the service takes clips of shape {self._spec.shape} (t, c, h, w), "
                f"got {tuple(clips.shape[1:])}"
            )
        jobs = [self._threads.submit(self._ask, clip) for clip in clips]
        try:
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            _raise_first(done)
        finally:  # of a call that fails, what is under way is waited for and written down
            for job in jobs:
                job.cancel()
            wait(jobs)
        return torch.stack([job.result() for job in jobs])

    def _ask(self, clip: Tensor) -> Tensor:
        body = pack(clip, self._send, quality=self._quality)
        name = hashlib.sha256(body).hexdigest()
        if (kept := self._kept.take(name)) is not None:
            return kept
        answer: object = None
        scores, problem = None, None
        with self._meter.query():
            try:
                answer = self._client.post(body, MEDIA[self._send], self._key(name))
            except Unreadable as error:
                problem = ModelError(
                    f"{self._client.place}: {error}", hint="this answer is counted as paid"
                )
        try:
            scores = None if problem else self._schema.read(answer)
        finally:
            self._kept.put(name, scores, self._meter.paid)
        if problem or scores is None:
            raise problem or ModelError("no answer")
        return scores

    def _key(self, name: str) -> str:
        """The same for every attempt at one query, also by the process that goes on; another one
        where a clip is asked again on purpose.
        """
        with self._lock:
            count = self._asked.pop(name, 0)
            self._asked[name] = count + 1
            if len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
        return f"{name}-{count}"


def _raise_first(done: set[Future[Tensor]]) -> None:
    for job in done:
        if not job.cancelled() and (error := job.exception()) is not None:
            raise error


def _shut(threads: ThreadPoolExecutor, client: Client, kept: Kept) -> None:
    closers: list[Callable[[], None]] = [threads.shutdown, client.close, kept.close]
    for close in closers:
        close()
