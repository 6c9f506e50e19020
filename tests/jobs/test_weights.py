"""wavemill weights: beside a hub of its own on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import ROOT

pytest.importorskip("huggingface_hub")

REPOSITORY = "Systran/faster-whisper-small"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"model.bin": b"weights", "config.json": b"{}", "tokenizer.json": b"{ }", "junk.txt": b"-"}
NAMED = ("--set", "transcribe.engine=faster_whisper", "--set")
MODEL = "transcribe.faster_whisper.model"


def etag(name: str) -> str:
    content = FILES[name]
    if name == "model.bin":  # as for large files
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as the client asks of it."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{REPOSITORY}"):
            siblings = [{"rfilename": name} for name in FILES]
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": etag(name)}
                for name, content in FILES.items()
            ]
            about = {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}
            self.send(json.dumps(entries if "/tree/" in path else about).encode(), {})
            return
        found = re.fullmatch(rf"/{REPOSITORY}/resolve/\w+/(.+)", path)
        if found and found[1] in FILES:
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag(found[1])}"'}
            self.send(FILES[found[1]], headers)
        else:
            self.send_error(404)

    def send(self, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def weights(
    home: Path, hub: str, *arguments: str, offline: bool = False
) -> subprocess.CompletedProcess[str]:
    code = "from wavemill.jobs.cli import main; main()"
    surroundings = {
        **os.environ,
        "HF_ENDPOINT": hub,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1" if offline else "0",
        "COLUMNS": "250",
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.run(
        [sys.executable, "-c", code, "weights", *arguments],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        env=surroundings,
    )


def test_fetched_into_the_cache(hub: str, tmp_path: Path) -> None:
    chosen = (*NAMED, f"{MODEL}=small")
    missing = weights(tmp_path, hub, "verify", *chosen)
    assert missing.returncode == 1
    assert (
        "model.bin (hub Systran/faster-whisper-small): missing; remedy: wavemill weights fetch"
        in (missing.stdout)
    )
    done = weights(tmp_path, hub, "fetch", *chosen)
    assert done.returncode == 0, done.stderr
    assert "export HF_HUB_OFFLINE=1" in done.stdout
    there = weights(tmp_path, hub, "verify", *chosen, offline=True)
    assert there.returncode == 0, there.stdout + there.stderr
    listed = weights(tmp_path, hub, "list", *chosen, offline=True).stdout
    assert etag("model.bin")[:12] in listed
    assert "junk.txt" not in listed
    for name in ("model.bin", "config.json"):
        (path,) = tmp_path.rglob(name)
        content = path.read_bytes()
        path.write_bytes(content.swapcase() if content.swapcase() != content else b"[]")
    changed = weights(tmp_path, hub, "verify", *chosen, offline=True)
    assert changed.returncode == 1
    assert changed.stdout.count("changed; remedy: delete") == 2


def test_fetched_into_a_folder_for_another_machine(hub: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    done = weights(tmp_path, hub, "fetch", *NAMED, f"{MODEL}=small", "--to", str(here))
    assert done.returncode == 0, done.stderr
    folder = here / "faster-whisper-small"
    assert f"--set {MODEL}={folder}" in done.stdout
    assert not (folder / "junk.txt").exists()
    shutil.move(here, there)
    chosen = (*NAMED, f"{MODEL}={there / folder.name}")
    found = weights(tmp_path / "empty", "http://127.0.0.1:9", "verify", *chosen, offline=True)
    assert found.returncode == 0, found.stdout + found.stderr
    (there / folder.name / "model.bin").write_bytes(b"WEIGHTS")
    found = weights(tmp_path / "empty", "http://127.0.0.1:9", "verify", *chosen, offline=True)
    assert found.returncode == 1
    assert "model.bin" in found.stdout
    assert ": changed; remedy:" in found.stdout


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    done = weights(tmp_path, "http://127.0.0.1:9", "fetch", *NAMED, f"{MODEL}=small")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "Systran/faster-whisper-small cannot be fetched" in done.stderr


def test_nothing_to_fetch(tmp_path: Path) -> None:
    done = weights(tmp_path, "http://127.0.0.1:9", "fetch")
    assert done.returncode == 0
    assert "nothing to fetch" in done.stdout
