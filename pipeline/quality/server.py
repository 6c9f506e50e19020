"""The dashboard: the quality page with live figures, over HTTP, for one person on one machine.

What a request can reach is what `api.ROUTES` names: figures, segments, and the audio of a segment
by its id. No path of the file system and no SQL is taken from a request. A Host header that is a
name other than this machine's own is refused: it would be another site's page that was led here
(DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import platform
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from wavemill.pipeline.quality.api import ROUTES, NotFound, Parameters, clip
from wavemill.pipeline.quality.browse import BadQuery
from wavemill.pipeline.quality.live import Live, Shown
from wavemill.pipeline.quality.page import as_json, policy, render

SILENT_SECONDS = 30.0  # a connection on which nothing comes is closed
MAX_QUERY = 4096  # characters
HELD_CLIPS = 16  # encoded, since a browser asks for a clip in several ranges


class Server(ThreadingHTTPServer):
    """Serves one WORKDIR. Raises OSError when the port cannot be had."""

    daemon_threads = True

    def __init__(self, live: Live, host: str, port: int) -> None:
        self.live = live
        self.names = {"localhost", host.lower(), platform.node().lower()}
        self.clip = lru_cache(HELD_CLIPS)(clip)
        self.page = render({"live": True}, live=True).encode()
        self.headers = {
            "Content-Security-Policy": policy(live=True) + "; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def handle_error(self, *_: Any) -> None:
        """Print nothing when a browser closes the connection in the middle of an answer."""

    def is_own(self, host: str) -> bool:
        """Whether a Host header names this machine; an address cannot be rebound."""
        name = re.sub(r":\d+$", "", host).strip("[]").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return True


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = SILENT_SECONDS

    def do_GET(self) -> None:
        if not self.server.is_own(self.headers.get("Host", "")):
            refused = {"error": "this host name is not served here"}
            self._json(refused, HTTPStatus.MISDIRECTED_REQUEST)
            return
        url = urlsplit(self.path)
        try:
            given = dict(parse_qsl(url.query[:MAX_QUERY]))
            if url.path == "/":
                self._send(self.server.page, "text/html; charset=utf-8")
            elif url.path == "/api/audio":
                self._audio(given)
            elif url.path == "/api/state":
                self._json(asdict(self.server.live.state()))
            elif url.path in ROUTES:
                self._json(ROUTES[url.path](self._shown(), given))
            else:
                raise NotFound("there is no such page")
        except NotFound as error:
            self._json({"error": str(error)}, HTTPStatus.NOT_FOUND)
        except BadQuery as error:
            self._json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except ConnectionError:
            self.close_connection = True
        except Exception as error:
            self._json({"error": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _shown(self) -> Shown:
        shown = self.server.live.newest()
        if shown is None:
            raise NotFound("there is no snapshot yet")
        return shown

    def _audio(self, given: Parameters) -> None:
        data = self.server.clip(self._shown(), given.get("segment", ""), given.get("version", ""))
        span = _range(self.headers.get("Range", ""), len(data))
        if span is None:
            self._send(data, "audio/flac", extra={"Accept-Ranges": "bytes"})
            return
        first, last = span
        if first >= len(data):
            unmet = {"Content-Range": f"bytes */{len(data)}"}
            self._send(b"", "audio/flac", HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, unmet)
            return
        part = {"Content-Range": f"bytes {first}-{last}/{len(data)}", "Accept-Ranges": "bytes"}
        self._send(data[first : last + 1], "audio/flac", HTTPStatus.PARTIAL_CONTENT, part)

    def _json(self, content: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(as_json(content).encode(), "application/json", status)

    def _send(
        self,
        body: bytes,
        kind: str,
        status: HTTPStatus = HTTPStatus.OK,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        length = {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in {**self.server.headers, **length, **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for a request."""


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
