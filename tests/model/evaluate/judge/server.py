"""A small chat completions server on loopback, for tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Response:
    """What the server answers."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


Answer = Callable[[dict[str, Any]], Response]


def says(text: object) -> Response:
    """Return a completion with `text`."""
    content = {"choices": [{"message": {"content": text}}]}
    return Response(200, json.dumps(content).encode())


@dataclass
class Server:
    """A running server: its URL, and the requests it got."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(*responses: Response, answer: Answer | None = None) -> Iterator[Server]:
    """Run a server that gives `responses` in order, the last for good, or what `answer` returns."""
    server = Server()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(server.bodies)
                server.bodies.append(body)
                server.headers.append(dict(self.headers))
            response = answer(body) if answer else responses[min(number, len(responses) - 1)]
            self.send_response(response.status)
            for name, value in response.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{running.server_port}/v1"
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
