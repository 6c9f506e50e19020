"""A real S3 server on loopback, which counts requests, and can refuse them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pyarrow import fs

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # /bucket/key
    query: str


@dataclass
class ObjectStore:
    """`intercept` sees every request first, and may answer it with an HTTP status."""

    endpoint: str
    bucket: str = "audio-lake"
    requests: list[Request] = field(default_factory=list)
    intercept: Callable[[Request], int | None] = lambda _: None

    @property
    def options(self) -> str:
        return f"?endpoint_override={self.endpoint}&scheme=http"

    def url(self, key: str = "") -> str:
        return f"s3://{self.bucket}/{key}{self.options}"

    @property
    def filesystem(self) -> fs.FileSystem:
        options = f"{self.options}&allow_bucket_creation=true"
        return fs.FileSystem.from_uri(f"s3://{self.bucket}{options}")[0]

    def put(self, key: str, content: bytes) -> str:
        """Store an object and return its URL."""
        with self.filesystem.open_output_stream(f"{self.bucket}/{key}", compression=None) as file:
            file.write(content)
        return self.url(key)

    def objects(self) -> list[str]:
        """Return the keys of all objects of the bucket."""
        selector = fs.FileSelector(self.bucket, recursive=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(info.path.partition("/")[2] for info in found if info.is_file)

    def empty(self) -> None:
        self.intercept = lambda _: None
        self.filesystem.delete_dir_contents(self.bucket)
        self.requests.clear()


@contextmanager
def running_object_store() -> Iterator[ObjectStore]:
    """Start the server, with its one bucket, and stop it."""
    pytest.importorskip("moto", reason="moto is not installed")
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = ObjectStore("")
    app = DomainDispatcherApplication(create_backend_app)

    def counting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")
        request = Request(*(str(environ.get(name, "")) for name in names))
        store.requests.append(request)
        if (status := store.intercept(request)) is not None:
            start_response(f"{status} Refused", [("Content-Length", "0")])
            return [b""]
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    server = make_server("127.0.0.1", 0, counting, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    store.endpoint = f"127.0.0.1:{server.server_port}"
    os.environ.update(ENVIRONMENT)
    store.filesystem.create_dir(store.bucket)
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
