"""Real servers on loopback, with faults on demand."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable

import uvicorn

from vidrobust.bench.service import ADDRESS


class Running:
    """A uvicorn server in a thread of this process; can die and come back on its port.

    Args:
        app: The ASGI application.
        settings: Of `uvicorn.Config`, such as certificates.
    """

    def __init__(self, app, **settings) -> None:
        self.app, self.settings, self.port = app, settings, 0
        self.start()

    def start(self) -> None:
        config = uvicorn.Config(
            self.app,
            host="127.0.0.1",
            port=self.port,
            log_level=60,
            lifespan="off",
            **self.settings,
        )
        listening = config.bind_socket()
        self.port = listening.getsockname()[1]
        self.server = uvicorn.Server(config)
        sockets = {"sockets": [listening]}
        self.thread = threading.Thread(target=self.server.run, kwargs=sockets, daemon=True)
        self.thread.start()
        while not self.server.started:
            os.sched_yield()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    @property
    def url(self) -> str:
        scheme = "https" if "ssl_certfile" in self.settings else "http"
        return f"{scheme}://127.0.0.1:{self.port}{ADDRESS}"


class Faults:
    """Middleware that spoils answers to POST.

    Args:
        app: The healthy application.
        script: The fault of each request in turn, None for none; then all are healthy.
    """

    def __init__(self, app, script: Callable[[int], str | None] | None = None) -> None:
        self.app, self.script = app, script or (lambda number: None)
        self.posts = 0
        self.keys: list[str] = []
        self.headers: dict[str, str] = {}

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        number, self.posts = self.posts, self.posts + 1
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.keys.append(self.headers["idempotency-key"])
        fault = self.script(number)
        if fault is None:
            await self.app(scope, receive, send)
        elif fault == "slow":  # until the client hangs up
            while (await receive())["type"] != "http.disconnect":
                pass
        elif fault == "lost":  # the model answers, the answer does not arrive

            async def swallow(message) -> None:
                pass

            await self.app(scope, receive, swallow)
            await _send(send, 200, b'{"label": ', length=100)
        elif fault == "half":
            await _send(send, 200, b'{"label": ', length=100)
        else:
            status, _, text = fault.partition(" ")
            extra = [(b"retry-after", text.encode())] if status in ("429", "503") and text else []
            await _send(send, int(status), text.encode(), extra=extra)


async def _send(send, status: int, body: bytes, *, length: int | None = None, extra=()) -> None:
    headers = [(b"content-length", str(len(body) if length is None else length).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    more = length is not None
    await send({"type": "http.response.body", "body": body, "more_body": more})


class Resets:
    """A listener that answers the first connections with a reset, and hands later ones on.

    Args:
        port: Of the healthy server.
        resets: How many connections are reset.
    """

    def __init__(self, port: int, resets: int) -> None:
        self.behind, self.left = port, resets
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}{ADDRESS}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            if self.left:
                self.left -= 1
                near.recv(1)
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.behind))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    finally:
        source.close()
