"""A small server on loopback that speaks OpenAI's chat API and hears."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from wavemill.model.evaluate.sound import decoded

# What a request gets: text, or an HTTP status.
Reply = Callable[[dict[str, Any]], str | int]


class ChatServer:
    """Counts and keeps what it was asked."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.lock = Lock()
        self.url = ""

    def content(self, body: dict[str, Any]) -> str | int:
        with self.lock:
            self.bodies.append(body)
        return self.reply(body)


def said(body: dict[str, Any]) -> str:
    """Return the text parts of the user's message."""
    parts = body["messages"][-1]["content"]
    return " ".join(part["text"] for part in parts if part["type"] == "text")


def heard(body: dict[str, Any]) -> int:
    """Return the samples at 16 kHz of the recording in the user's message."""
    parts = body["messages"][-1]["content"]
    (data,) = [part["input_audio"]["data"] for part in parts if part["type"] == "input_audio"]
    return len(decoded(base64.b64decode(data)))


@contextmanager
def chat_server(reply: Reply) -> Iterator[ChatServer]:
    server = ChatServer(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.keys.append(self.headers.get("Authorization"))
            found = server.content(body)
            status = found if isinstance(found, int) else 200
            message = {"role": "assistant", "content": found}
            answer: dict[str, Any] = {"choices": [{"message": message, "finish_reason": "stop"}]}
            if status != 200:
                answer = {"error": {"message": f"status {status}"}}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Retry-After", "0.01")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        server.url = f"http://127.0.0.1:{running.server_port}/v1"
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            running.shutdown()
            thread.join()
