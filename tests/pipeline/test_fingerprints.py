"""The fingerprints of every stage are those of the versions before: no WORKDIR computes anew.

A change on purpose (a new VERSION, a new parameter) changes `fingerprints.json` beside the
CHANGELOG's line: `python -m tests.pipeline.test_fingerprints` writes it. Identities of weights
are left out, since they follow the packages that are installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import ROOT
from wavemill.pipeline.config import load_config, profile_names
from wavemill.pipeline.curation import Config, make_graph
from wavemill.stages.declared import HubFiles
from wavemill.stages.engine import Engine

PINNED = ROOT / "tests" / "data" / "fingerprints.json"


def engines(base: type[Engine[Any]] = Engine) -> Iterator[type[Engine[Any]]]:
    for engine in base.__subclasses__():
        yield engine
        yield from engines(engine)


def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every engine be there, with weights called by its name."""
    for engine in engines():
        if "weights_identity" in engine.__dict__:
            monkeypatch.setattr(engine, "weights_identity", lambda self: f"weights of {self.name}")
        if "check_packages" in engine.__dict__:
            monkeypatch.setattr(engine, "check_packages", lambda _: None)
        if "vocab_size" in engine.__dict__:
            monkeypatch.setattr(engine, "vocab_size", 1)
    monkeypatch.setattr(Engine, "check_packages", lambda _: None)
    monkeypatch.setattr(HubFiles, "commit", lambda self: f"commit of {self.repository}")


def declared(profile: str) -> dict[str, dict[str, Any]]:
    """Return fingerprint, version, inputs and parameters of every stage."""
    graph = make_graph(load_config(Config, profile))
    return {
        name: {
            "fingerprint": graph.fingerprints[name],
            "version": stage.version,
            "inputs": list(stage.inputs),
            "parameters": dict(stage.parameters),
        }
        for name, stage in graph.stages.items()
    }


@pytest.mark.parametrize("profile", profile_names())
def test_fingerprints_are_as_they_were(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_weights(monkeypatch)
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))
    assert declared(profile) == pinned[profile]


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        without_weights(patch)
        found = {profile: declared(profile) for profile in profile_names()}
    PINNED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
