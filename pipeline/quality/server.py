"""The dashboard: the quality page with live figures, over HTTP, for one person on one machine.

What a request can reach is what `api.ROUTES` names: figures, segments, and the audio of a segment
by its id. No path of the file system and no SQL is taken from a request. A Host header that is a
name other than this machine's own is refused: it would be another site's page that was led here
(DNS rebinding). So is an Origin header of another site.
"""

from __future__ import annotations

import ipaddress
import os
import platform
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio.to_thread
import uvicorn
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wavemill.pipeline.quality.api import ROUTES, NotFound, Parameters, clip
from wavemill.pipeline.quality.browse import BadQuery
from wavemill.pipeline.quality.live import Live, Shown
from wavemill.pipeline.quality.page import as_json, policy, render

SILENT_SECONDS = 30  # a connection on which nothing more comes is closed
CLOSING_SECONDS = 3  # for answers that are under way when the server ends
MAX_CONNECTIONS = 256
MAX_QUERY = 4096  # characters
HELD_CLIPS = 16  # encoded, since a browser asks for a clip in several ranges
AT_ONCE = max(2, os.cpu_count() or 1)  # answers that are computed; each uses several cores


class Server:
    """Serves one WORKDIR. Raises OSError when the port cannot be had, OverflowError for none."""

    def __init__(self, live: Live, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=128)
        self.server_address = self._socket.getsockname()
        config = uvicorn.Config(
            application(live, host),
            lifespan="off",
            http="h11",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=SILENT_SECONDS,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
        self._server = uvicorn.Server(config)

    def serve_forever(self) -> None:
        """Answer requests until `shutdown`, or a signal, which is raised again after that."""
        self._server.run(sockets=[self._socket])

    def shutdown(self) -> None:
        """Have `serve_forever` return; may be called from another thread."""
        self._server.should_exit = True

    def server_close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.server_close()


def application(live: Live, host: str) -> Starlette:
    """Return the dashboard of a WORKDIR as it is reached by the name or address `host`."""
    answers = _Answers(live)
    routes = [
        Route("/", answers.page),
        Route("/api/state", answers.state),
        Route("/api/audio", answers.audio),
        *(Route(path, partial(answers.named, path)) for path in ROUTES),
    ]
    guard = Middleware(_Guard, names={"localhost", host.lower(), platform.node().lower()})
    handlers: dict[Any, Any] = {404: _refused("there is no such page"), 405: _refused("only GET")}
    return Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)


class _Guard:
    """Refuses requests that another site may have led here, and adds the headers of safety."""

    def __init__(self, app: ASGIApp, names: set[str]) -> None:
        self._app, self._names = app, names
        self._headers = {
            "Content-Security-Policy": policy(live=True) + "; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not self._is_own(headers.get("host", "")):
            refused = _json({"error": "this host name is not served here"}, 421)
            await refused(scope, receive, guarded)
        elif origin is not None and urlsplit(origin).netloc != headers["host"]:
            refused = _json({"error": "other sites are not answered"}, HTTPStatus.FORBIDDEN)
            await refused(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this machine; an address cannot be rebound."""
        name = re.sub(r":\d+$", "", host).strip("[]").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True


class _Answers:
    """Answers requests; what reads tables does so in a thread, some at a time."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._clip = lru_cache(HELD_CLIPS)(clip)
        self._page = render({"live": True}, live=True).encode()
        self._limiter = CapacityLimiter(AT_ONCE)

    async def page(self, _: Request) -> Response:
        return Response(self._page, media_type="text/html; charset=utf-8")

    async def state(self, _: Request) -> Response:
        return await self._computed(lambda: _json(asdict(self._live.state())))

    async def audio(self, request: Request) -> Response:
        given, wanted = _parameters(request), request.headers.get("range", "")
        return await self._computed(lambda: self._audio(given, wanted))

    async def named(self, path: str, request: Request) -> Response:
        given = _parameters(request)
        return await self._computed(lambda: _json(ROUTES[path](self._shown(), given)))

    async def _computed(self, answer: Callable[[], Response]) -> Response:
        try:
            return await anyio.to_thread.run_sync(answer, limiter=self._limiter)
        except NotFound as error:
            return _json({"error": str(error)}, HTTPStatus.NOT_FOUND)
        except BadQuery as error:
            return _json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except Exception as error:
            return _json({"error": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _shown(self) -> Shown:
        shown = self._live.newest()
        if shown is None:
            raise NotFound("there is no snapshot yet")
        return shown

    def _audio(self, given: Parameters, wanted: str) -> Response:
        data = self._clip(self._shown(), given.get("segment", ""), given.get("version", ""))
        span = _range(wanted, len(data))
        if span is None:
            return _flac(data, HTTPStatus.OK, {"Accept-Ranges": "bytes"})
        first, last = span
        if first >= len(data):
            unmet = {"Content-Range": f"bytes */{len(data)}"}
            return _flac(b"", HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, unmet)
        part = {"Content-Range": f"bytes {first}-{last}/{len(data)}", "Accept-Ranges": "bytes"}
        return _flac(data[first : last + 1], HTTPStatus.PARTIAL_CONTENT, part)


def _parameters(request: Request) -> dict[str, str]:
    query: bytes = request.scope["query_string"][:MAX_QUERY]
    return dict(parse_qsl(query.decode("latin-1")))


def _json(content: Any, status: int = HTTPStatus.OK) -> Response:
    body = content if isinstance(content, bytes) else as_json(content).encode()
    return Response(body, status, media_type="application/json")


def _flac(data: bytes, status: int, headers: Mapping[str, str]) -> Response:
    return Response(data, status, headers, media_type="audio/flac")


def _refused(text: str) -> Callable[[Request, Any], Response]:
    """Return the handler of an HTTP error, which says in JSON what is wrong."""
    return lambda _request, error: _json({"error": text}, error.status_code)


def _range(header: str, length: int) -> tuple[int, int] | None:
    """Return first and last byte of a Range header; None where there is none of one span."""
    found = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", header.strip())
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:  # the last so many bytes
        return max(0, length - int(found[2])), length - 1
    last = min(int(found[2]), length - 1) if found[2] else length - 1
    first = int(found[1])
    return None if last < first < length else (first, last)
