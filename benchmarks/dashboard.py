"""How long the dashboard takes to answer while many people use it.

    python -m benchmarks.dashboard [--segments 1000000] [--clients 20] [--seconds 60] [--wait 1]
                                   [--workdir FOLDER]

Synthetic tables as in benchmarks.quality. `wavemill dashboard` runs in a process of its own; each
client asks one question after another, drawn at random, and looks at the answer for `--wait`
seconds before it asks the next. Figures: dashboard.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import psutil

from benchmarks.quality import WORDS, write_workdir

Question = tuple[str, dict[str, str]]


def questions(random: random.Random, recordings: list[str]) -> dict[str, Question]:
    """Return one question of each kind."""
    page = str(random.randrange(20))
    words = " ".join(random.sample(WORDS, 2))
    speaker, language = f"S{random.randrange(4):02d}", random.choice(["en", "zh", "de"])
    source = f"set{random.randrange(20)}/"
    return {
        "a page in order": ("segments", {"page": page}),
        "by SNR, falling": ("segments", {"sort": "snr_db", "descending": "1", "page": page}),
        "by text": ("segments", {"sort": "text", "page": page}),
        "text contains": ("segments", {"search": words, "page": "0"}),
        "status and language": ("segments", {"status": "rejected", "language": language}),
        "rule and speaker": ("segments", {"rule": "low_snr", "speaker": speaker, "sort": "snr_db"}),
        "source contains": ("segments", {"source": source, "sort": "duration_s"}),
        "recordings": ("recordings", {"search": source}),
        "timeline": ("timeline", {"recording": random.choice(recordings)}),
        "what if": ("what-if", {"kind": "asr", "low_snr": f"{random.uniform(0, 20):.1f}"}),
        "figures": ("figures", {}),
    }


def ask(port: int, path: str, query: dict[str, str]) -> bytes:
    """Return the answer of the server. Raises RuntimeError for anything but a success."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", f"/api/{path}?{urlencode(query)}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path} {query}: {answer.status} {body[:200]!r}")
    return body


class Client(threading.Thread):
    """Asks until `end` and notes the seconds of each answer, by kind."""

    def __init__(self, number: int, port: int, recordings: list[str], end: float, wait: float):
        super().__init__()
        self.times: list[tuple[str, float]] = []
        self.number, self.port, self.recordings = number, port, recordings
        self.end, self.wait = end, wait

    def run(self) -> None:
        draw = random.Random(self.number)
        time.sleep(draw.uniform(0, self.wait))
        while time.monotonic() < self.end:
            kinds = questions(draw, self.recordings)
            kind = draw.choice(list(kinds))
            began = time.perf_counter()
            ask(self.port, *kinds[kind])
            self.times.append((kind, time.perf_counter() - began))
            time.sleep(self.wait)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--segments", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--wait", type=float, default=1)
    parser.add_argument("--workdir", type=Path, help="one of benchmarks.quality --keep")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wavemill-dashboard-") as folder:
        workdir = arguments.workdir or Path(folder) / "work"
        if arguments.workdir is None:
            write_workdir(workdir, arguments.segments)
        command = [sys.executable, "-m", "wavemill.jobs.dashboard", str(workdir), "--port", "0"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ) as server:
            try:
                assert server.stdout is not None
                found = re.search(r"127\.0\.0\.1:(\d+)", server.stdout.readline())
                assert found is not None
                measure(int(found[1]), psutil.Process(server.pid), arguments)
            finally:
                server.terminate()


def measure(port: int, server: psutil.Process, arguments: argparse.Namespace) -> None:
    """Print how long the first figures and every kind of question took."""
    began = time.perf_counter()
    ask(port, "figures", {})
    print(f"first figures: {time.perf_counter() - began:.1f} s", flush=True)
    rows = json.loads(ask(port, "recordings", {"search": ""}))["rows"]
    recordings = [row["recording_id"] for row in rows]
    before, end = server.cpu_times(), time.monotonic() + arguments.seconds
    clients = [
        Client(number, port, recordings, end, arguments.wait) for number in range(arguments.clients)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    after = server.cpu_times()
    times: dict[str, list[float]] = {}
    for client in clients:
        for kind, seconds in client.times:
            times.setdefault("all", []).append(seconds)
            times.setdefault(kind, []).append(seconds)
    cpu = after.user + after.system - before.user - before.system
    print(f"CPU time of the server: {cpu * 1000 / len(times['all']):.0f} ms an answer")
    print(f"{'question':>20}{'asked':>8}{'median':>10}{'p95':>10}{'slowest':>10}")
    for kind, found in times.items():
        shown = (np.median(found), np.quantile(found, 0.95), max(found))
        cells = "".join(f"{value * 1000:>7.0f} ms" for value in shown)
        print(f"{kind:>20}{len(found):>8,}{cells}")


if __name__ == "__main__":
    main()
