"""Figures for Prometheus, at /metrics of each gateway."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)


class Metrics:
    """What a gateway counts. With several gateways, the label `gateway` tells them apart."""

    def __init__(self, turn_log: str = "-") -> None:
        """Lines of turns are appended to the file `turn_log`; "-" is the standard output."""
        self._turn_log = turn_log
        self._registry = CollectorRegistry()
        name = f"{os.uname().nodename}:{os.getpid()}"

        def one(
            kind: Any, title: str, help_: str, labels: tuple[str, ...] = (), **more: Any
        ) -> Any:
            names = ("gateway", *labels)
            made = kind(f"wavemill_{title}", help_, names, registry=self._registry, **more)
            return made if labels else made.labels(name)

        self._name = name
        self.sessions = one(Gauge, "sessions", "Sessions that are open.")
        self.waiting = one(Gauge, "replies_waiting", "Replies that wait for a place.")
        self.rows = one(Gauge, "llm_rows", "Replies that an LLM is making, or has queued.")
        self.first = one(
            Histogram,
            "first_audio_seconds",
            "From the end of a user's turn to the first audio of the reply.",
            buckets=SECONDS,
        )
        self._turns = one(Counter, "turns", "Replies, by how they ended.", ("status",))
        self._commits = one(Counter, "commits", "Turns of users, by who ended them.", ("by",))
        self._tokens = one(Counter, "tokens", "Tokens of replies.", ("kind",))

    def commit(self, by: str) -> None:
        """Count a turn of a user, ended by `server` or `client`."""
        self._commits.labels(self._name, by).inc()

    def turn(self, line: dict[str, Any]) -> None:
        """Count a reply, and print it as a line of JSON."""
        self._turns.labels(self._name, line["status"]).inc()
        for kind in ("text", "audio"):
            self._tokens.labels(self._name, kind).inc(line[f"{kind}_tokens"])
        if line.get("first_audio_s") is not None:
            self.first.observe(line["first_audio_s"])
        about = {"event": "turn", "at": round(time.time(), 3), "gateway": self._name}
        text = json.dumps(about | line)
        if self._turn_log == "-":
            print(text, flush=True)
            return
        with Path(self._turn_log).open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self._registry)
