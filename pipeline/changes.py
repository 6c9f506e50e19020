"""What is computed anew, and why: a plan beside the stages of the newest snapshot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from wavemill.pipeline.damage import WorkdirDamaged
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.renamed import RENAMED, flat
from wavemill.pipeline.snapshots import Snapshot, latest_snapshot
from wavemill.pipeline.store import Store

NAMED = 3  # settings of a stage; the others are counted
NEW = "it is a new stage"
LONGEST = 40  # characters of a value, of which hashes have more
_CALLED = {"raw": "asr", "version": "audio_version"}  # parameters, which are older than the names
_OF_ENGINE = ("engine", "engine_version", "engine_parameters", "weights")


@dataclass(frozen=True)
class _Stage:
    """What a snapshot, or a graph, says of a stage."""

    fingerprint: str
    version: int
    inputs: tuple[str, ...]
    parameters: Mapping[str, Any]


@dataclass
class _Change:
    """A stage that changed by itself, and the stages that are computed anew because of it."""

    stage: str
    why: str
    followers: list[str] = field(default_factory=list)


def changes(plan: Plan, store: Store) -> list[str]:
    """Return a line for each stage that changed by itself since the newest snapshot.

    It says what changed (stage version, engine, engine version, weights, settings, inputs), how
    many recordings of that snapshot are computed anew, and which stages only follow. There is no
    line where all outputs are there, as after a setting was set back.
    """
    snapshot = latest_snapshot(store)
    if snapshot is None or not (before := _of_snapshot(store, snapshot)):
        return []
    key = f"{snapshot.folder}/recordings.parquet"
    published = store.read_table(key, ["recording_id"])
    lines = []
    for change in _changes(before, _of_graph(plan.graph)):
        count, audio_ms = plan.recomputed([change.stage, *change.followers], published)
        if count:
            after = f"; with it {', '.join(change.followers)}" if change.followers else ""
            anew = "" if change.why == NEW else " anew"
            plural = "" if count == 1 else "s"
            lines.append(
                f"{change.stage} is computed{anew} for {count:,} recording{plural} "
                f"({audio_ms / 1000:,.0f} s of audio): {change.why}{after}"
            )
    return lines


def _of_snapshot(store: Store, snapshot: Snapshot) -> dict[str, _Stage]:
    """Return the stages of a snapshot; none where it does not say."""
    with suppress(WorkdirDamaged, FileNotFoundError):  # `verify` reports damage
        rows = store.read_table(f"{snapshot.folder}/stages.parquet").to_pylist()
        return {
            row["stage"]: _Stage(
                row["fingerprint"],
                row["version"],
                tuple(row["inputs"]),
                json.loads(row["parameters"]),
            )
            for row in rows
        }
    return {}


def _of_graph(graph: Graph) -> dict[str, _Stage]:
    def described(stage: ConfiguredStage) -> _Stage:
        parameters = json.loads(json.dumps(dict(stage.parameters)))
        fingerprint = graph.fingerprints[stage.name]
        return _Stage(fingerprint, stage.version, stage.inputs, parameters)

    return {name: described(stage) for name, stage in graph.stages.items()}


def _changes(before: Mapping[str, _Stage], now: Mapping[str, _Stage]) -> list[_Change]:
    """Return what changed by itself, in build order, each with what follows from it first."""
    found: list[_Change] = []
    cause: dict[str, _Change] = {}  # of every stage with another fingerprint
    for name, stage in now.items():
        old = before.get(name)
        if old is not None and old.fingerprint == stage.fingerprint:
            continue
        above = [cause[other] for other in stage.inputs if other in cause]
        why = NEW if old is None else ", ".join(_reasons(name, old, stage))
        if not why and above:
            cause[name] = above[0]
            above[0].followers.append(name)
            continue
        why = why or f"inputs {_listed(old.inputs if old else ())} -> {_listed(stage.inputs)}"
        cause[name] = _Change(name, why)
        found.append(cause[name])
    return found


def _reasons(name: str, old: _Stage, new: _Stage) -> list[str]:
    """Return what differs in a stage itself, its inputs apart."""
    reasons = [f"stage version {old.version} -> {new.version}"] * (old.version != new.version)
    before, after = old.parameters, new.parameters
    same_engine = before.get("engine") == after.get("engine")
    if not same_engine:
        reasons.append(f"engine {before.get('engine')} -> {after.get('engine')}")
    else:
        for key, title in (("engine_version", "engine version"), ("weights", "weights")):
            if before.get(key) != after.get(key):
                reasons.append(f"{title} {_short(before.get(key))} -> {_short(after.get(key))}")
    settings = _settings(before, same_engine), _settings(after, same_engine)
    differing = _differing(name, *settings, reworked=old.version != new.version)
    more = [f"{len(differing) - NAMED} more settings"] * (len(differing) > NAMED)
    return [*reasons, *differing[:NAMED], *more]


def _differing(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any], reworked: bool
) -> list[str]:
    """Return the settings that differ.

    One that another version of the stage has, or that moved to another section, says nothing.
    """
    found = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key) or f"{name}.{key}" in RENAMED:
            continue
        if key in before and key in after:
            found.append(f"{key} {_short(before[key])} -> {_short(after[key])}")
        elif not reworked and key in after:
            found.append(f"{key} {_short(after[key])}, a new setting")
        elif not reworked:
            found.append(f"{key}, a setting that is gone")
    return found


def _settings(parameters: Mapping[str, Any], with_engine: bool) -> dict[str, Any]:
    """Return settings by their dotted names, those of the engine among them on demand."""
    own = {_CALLED.get(k, k): v for k, v in parameters.items() if k not in _OF_ENGINE}
    engine = parameters.get("engine_parameters", {}) if with_engine else {}
    return flat({**own, **({str(parameters.get("engine")): engine} if engine else {})})


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _listed(names: tuple[str, ...]) -> str:
    return "+".join(names) or "none"
