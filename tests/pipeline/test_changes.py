"""What is computed anew, and why, in one line for each stage that changed by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from wavemill.pipeline.changes import _changes, _Stage


def stage(*inputs: str, version: int = 1, **parameters: Any) -> _Stage:
    return _Stage("", version, inputs, parameters)


def found(
    before: dict[str, _Stage], now: dict[str, _Stage], changed: Iterable[str]
) -> list[tuple[str, str, list[str]]]:
    """Return (stage, why, followers); `changed` names the stages with another fingerprint."""
    marked = {**now, **{name: replace(now[name], fingerprint="new") for name in changed}}
    return [(c.stage, c.why, c.followers) for c in _changes(before, marked)]


BEFORE = {
    "a": stage(engine="one", engine_version=1, weights="w 1", engine_parameters={"x": 1}, y=2),
    "b": stage("a", raw={"limit": 1}),
    "c": stage("b"),
    "d": stage("a"),
}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"engine": "two", "weights": "w 2", "engine_parameters": {"z": 1}}, "engine one -> two"),
        ({"engine_version": 2}, "engine version 1 -> 2"),
        ({"weights": "w 2"}, "weights w 1 -> w 2"),
        ({"engine_parameters": {"x": 3}}, "one.x 1 -> 3"),
        ({"y": None, "new": True}, "new true, a new setting, y 2 -> null"),
        ({"y": "long" * 20}, f"y 2 -> {'long' * 9}lon\u2026"),
        (
            {"y": 3, "p": 1, "q": 2, "r": 3, "s": 4},
            "p 1, a new setting, q 2, a new setting, r 3, a new setting, 2 more settings",
        ),
    ],
)
def test_it_says_what_differs(values: dict[str, Any], why: str) -> None:
    now = {**BEFORE, "a": stage(**{**BEFORE["a"].parameters, **values})}
    assert found(BEFORE, now, "abcd") == [("a", why, ["b", "c", "d"])]


def test_a_new_version_may_have_other_settings() -> None:
    now = {**BEFORE, "a": stage(version=2, engine="one", y=2)}
    ((_, why, _),) = found({**BEFORE, "a": stage(engine="one", y=2, w=1)}, now, "abcd")
    assert why == "stage version 1 -> 2"


def test_a_stage_that_changed_too_has_a_line_of_its_own() -> None:
    now = {
        **BEFORE,
        "a": stage(**{**BEFORE["a"].parameters, "y": 1}),
        "b": stage("a", raw={"limit": 2}),
    }
    assert found(BEFORE, now, "abcd") == [
        ("a", "y 2 -> 1", ["d"]),
        ("b", "asr.limit 1 -> 2", ["c"]),
    ]


def test_new_stages_and_other_inputs() -> None:
    now = {"n": stage(), **BEFORE, "c": stage("n"), "d": stage("b", "a")}
    assert found(BEFORE, now, "ncd") == [
        ("n", "it is a new stage", ["c"]),
        ("d", "inputs a -> b+a", []),
    ]


def test_what_moved_to_another_section_is_no_reason() -> None:
    before = {"denoise": stage(channels="mix")}
    now = {"decode": stage(), "denoise": stage("decode")}
    assert found(before, now, now) == [("decode", "it is a new stage", ["denoise"])]
