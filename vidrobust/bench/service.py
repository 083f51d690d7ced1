"""A threat model as a web service: what `vidrobust serve` runs, and what the model `http` asks.

One address answers both ways: GET describes the service, POST classifies one clip. Imports FastAPI
(the extra `http`), so it is imported only where a service is made.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import anyio
from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from vidrobust.errors import VideoError
from vidrobust.protocols import Classifier
from vidrobust.types import Access
from vidrobust.video.wire import MEDIA, unpack

ADDRESS = "/v1/classify"
REMEMBERED = 4096
"""Answers kept for requests that come again with the same `Idempotency-Key`."""


@dataclass
class Service:
    """One classifier behind an address.

    A request that comes again with the `Idempotency-Key` of an answered one gets that answer, and
    the model is not asked: a client that lost an answer does not pay for it twice.

    Args:
        classifier: Asked one clip at a time.
        shows: What answers carry.
        top_k: How many classes `Access.TOP_K` shows.
        digits: Decimals that scores are rounded to; None rounds nothing.
        token: What a client has to send as `Authorization: Bearer ...`; empty lets everyone in.

    Attributes:
        answered: Clips the model was asked about.
    """

    classifier: Classifier
    shows: Access = Access.SCORES
    top_k: int = 5
    digits: int | None = None
    token: str = field(default="", repr=False)
    answered: int = field(default=0, init=False)
    _recent: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict, init=False)

    def application(self) -> FastAPI:
        """The ASGI application."""
        app = FastAPI(title="vidrobust serve", docs_url=None, redoc_url=None)
        turn = anyio.Lock()

        async def describe(request: Request) -> dict[str, Any]:
            self._admit(request)
            return self.description()

        async def classify(request: Request) -> dict[str, Any]:
            self._admit(request)
            body = await self._body(request)
            key = request.headers.get("idempotency-key", "")
            async with turn:
                if key not in self._recent:
                    media = request.headers.get("content-type", "")
                    answer = await run_in_threadpool(self._answer, media, body)
                    self._remember(key, answer)
                    return answer
                return self._recent[key]

        app.add_api_route(ADDRESS, describe, methods=["GET"])
        app.add_api_route(ADDRESS, classify, methods=["POST"])
        return app

    def description(self) -> dict[str, Any]:
        """What a client has to know, and how many clips were answered so far."""
        spec = self.classifier.spec
        return {
            "classes": list(spec.classes),
            "frames": spec.frames,
            "height": spec.height,
            "width": spec.width,
            "resize": spec.resize,
            "shows": self.shows.value,
            "top_k": self.top_k,
            "accepts": list(MEDIA.values()),
            "answered": self.answered,
        }

    def _admit(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        wanted = f"Bearer {self.token}"
        if self.token and not secrets.compare_digest(given.encode(), wanted.encode()):
            raise HTTPException(401, "wrong or missing token")

    async def _body(self, request: Request) -> bytes:
        """The body, refused once it is larger than any clip can be."""
        t, c, h, w = self.classifier.spec.shape
        most = 8 * t * c * h * w + 2**16
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise HTTPException(413, f"a clip takes at most {most} bytes")
        return bytes(body)

    def _answer(self, media: str, body: bytes) -> dict[str, Any]:
        try:
            clip = unpack(media, body, self.classifier.spec)
        except VideoError as error:
            raise HTTPException(422, error.message) from error
        scores = self.classifier(clip[None].to(self.classifier.device))[0].cpu()
        self.answered += 1
        return self._visible(scores.tolist())

    def _visible(self, scores: list[float]) -> dict[str, Any]:
        names = self.classifier.spec.classes
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        shown = [s if self.digits is None else round(s, self.digits) for s in scores]
        answer: dict[str, Any] = {"label": names[order[0]]}
        if self.shows is Access.TOP_1:
            answer["score"] = shown[order[0]]
        elif self.shows is Access.TOP_K:
            best = order[: self.top_k]
            answer["top"] = [{"label": names[i], "score": shown[i]} for i in best]
        elif self.shows is Access.SCORES:
            answer["scores"] = dict(zip(names, shown, strict=True))
        return answer

    def _remember(self, key: str, answer: dict[str, Any]) -> None:
        if key:
            self._recent[key] = answer
            while len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)
