"""Figures for Prometheus: Ray collects those of every replica, and serves them on each node."""

from __future__ import annotations

import json
import sys
from typing import Any

SECONDS = [0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30]


class Metrics:
    """What a gateway counts."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        self.sessions = Gauge("wavemill_sessions", "Sessions that are open.")
        self.waiting = Gauge("wavemill_replies_waiting", "Replies that wait for a place.")
        self.turns = Counter("wavemill_turns", "Replies, by how they ended.", ("status",))
        self.commits = Counter("wavemill_commits", "Turns of users, by who ended them.", ("by",))
        self.cancels = Counter("wavemill_cancels", "Replies that were interrupted.")
        self.tokens = Counter("wavemill_tokens", "Tokens of replies.", ("kind",))
        self.first = Histogram(
            "wavemill_first_audio_seconds",
            "From the end of a user's turn to the first audio of the reply.",
            boundaries=SECONDS,
        )

    def turn(self, line: dict[str, Any]) -> None:
        """Count a reply, and print it as a line of JSON."""
        self.turns.inc(tags={"status": line["status"]})
        for kind in ("text", "audio"):
            if line[f"{kind}_tokens"]:
                self.tokens.inc(line[f"{kind}_tokens"], tags={"kind": kind})
        if line.get("first_audio_s") is not None:
            self.first.observe(line["first_audio_s"])
        if line["status"] == "cancelled":
            self.cancels.inc()
        print(json.dumps({"event": "turn"} | line), file=sys.stdout, flush=True)
