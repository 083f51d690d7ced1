"""What a service costs: queries a second over loopback against calls in the process, and whether
failing calls change answers or their count.

    python benchmarks/service.py

The server runs in a process of its own and shares the machine with the client.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread

import torch
import uvicorn
from harness import model, motion_clips, write

from vidrobust.bench.service import ADDRESS, Service
from vidrobust.protocols import Classifier
from vidrobust.testing import LinearVictim

NAME = "zoo/c3d"
QUERIES, SPOILT = 64, 1000
CONCURRENT = (1, 8, 32)
KINDS = ("500", "429", "503", "half", "lost")


@dataclass
class Spoiling:
    """An application of which every tenth answer to POST fails, in five ways in turn."""

    app: Callable[..., object]
    share: int = 10
    posts: int = 0
    spoilt: int = 0

    async def __call__(self, scope, receive, send) -> None:
        """Answer, or fail to."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        self.posts += 1
        if self.share == 0 or self.posts % self.share:
            await self.app(scope, receive, send)
            return
        kind = KINDS[self.spoilt % len(KINDS)]
        self.spoilt += 1
        if kind == "lost":  # answered, and the answer lost on its way

            async def nowhere(message) -> None:
                pass

            await self.app(scope, receive, nowhere)
        short = kind in ("half", "lost")
        headers = [(b"content-length", b"100" if short else b"0"), (b"retry-after", b"0")]
        status = 200 if short else int(kind)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": short})


def rate(ask: Classifier, clips: torch.Tensor) -> float:
    """Clips a second, all in one call."""
    begin = time.perf_counter()
    ask(clips)
    return len(clips) / (time.perf_counter() - begin)


def alone(ask: Classifier, clips: torch.Tensor) -> float:
    """Clips a second, one a call."""
    ask(clips[:1])
    begin = time.perf_counter()
    for clip in clips:
        ask(clip[None])
    return len(clips) / (time.perf_counter() - begin)


def speeds() -> dict[str, object]:
    """Queries a second of `NAME` in the process and behind a server."""
    local = model(NAME)
    clips = torch.stack(motion_clips(local, QUERIES))
    words = [sys.executable, "-m", "vidrobust.cli.main", "serve", "--model", NAME, "--port", "0"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    found: dict[str, object] = {}
    try:
        found["in the process, one clip a call, before"] = alone(local, clips)
        plans = [("npy", count) for count in CONCURRENT] + [("png", 8), ("h264", 8)]
        for number, (send, count) in enumerate(plans, start=1):
            remote = model("http", url=url, send=send, concurrency=count)
            remote(clips[:1])
            # A level lighter each time: the service answers a request it knows from memory.
            found[f"{send}, {count} concurrent"] = rate(remote, (clips + number / 255).clamp(0, 1))
            remote.close()
        found["in the process, one clip a call, after"] = alone(local, clips)
    finally:
        server.terminate()
        server.wait()
    return {key: round(value, 2) for key, value in found.items()}


def failures() -> dict[str, object]:
    """`SPOILT` queries with a tenth of the calls failing, and without."""
    victim = LinearVictim(classes=10, scale=20)
    clips = torch.stack([victim.clip(seed) for seed in range(SPOILT)])
    truth = torch.softmax(victim.logits(clips), dim=1)
    found: dict[str, object] = {}
    for share in (0, 10):
        service = Service(LinearVictim(classes=10, scale=20))
        app = Spoiling(service.application(), share)
        settings = uvicorn.Config(app, host="127.0.0.1", port=0, log_level=60, lifespan="off")
        listening = settings.bind_socket()
        server = uvicorn.Server(settings)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}{ADDRESS}"
        remote = model("http", url=url, backoff=0.02, price=1.0)
        begin = time.perf_counter()
        answers = remote(clips)
        speed = SPOILT / (time.perf_counter() - begin)
        found["a tenth fails" if share else "none fails"] = {
            "queries a second": round(speed, 1),
            "failed calls": app.spoilt,
            "requests": app.posts,
            "answered by the model": service.answered,
            "paid": remote.usage()["paid"],
            "the model's own answers, bit for bit": torch.equal(answers, truth),
        }
        remote.close()
        server.should_exit = True
        thread.join()
    return found


def main() -> None:
    """Measure both."""
    torch.set_num_threads(1)
    write("service", {"model": NAME, "queries": QUERIES, "speed": speeds(), "faults": failures()})


if __name__ == "__main__":
    main()
