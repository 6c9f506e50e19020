"""Which stages fit together."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pipeline.toys import NUMBERS, toy_graph
from wavemill.pipeline.graph import ConfiguredStage, Graph


def stage(name: str, *inputs: str, **fields: Any) -> ConfiguredStage:
    def build(_: str) -> Any:
        raise AssertionError("a graph builds nothing")

    return ConfiguredStage(name, 1, inputs, NUMBERS, {}, build, **fields)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([stage("a"), stage("a")], "stage 'a' is registered twice"),
        ([stage("a", "b"), stage("b")], "stage 'a' needs ['b'], not earlier stages"),
        ([stage("a", selected_by="b")], "stage 'a' needs ['b'], not earlier stages"),
        ([stage("a"), stage("b"), stage("c", "b", corpus=True)], "no corpus needs stage 'a', so"),
        ([stage("a")], "no corpus needs stage 'a', so"),
    ],
)
def test_what_does_not_fit_together_is_refused(stages: list[ConfiguredStage], message: str) -> None:
    with pytest.raises(ValueError, match="stage") as caught:
        Graph(stages)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_selecting_stage_is_needed_through_those_that_it_selects() -> None:
    graph = Graph([stage("a"), stage("b", selected_by="a"), stage("c", "b", corpus=True)])
    assert graph.ancestors("c") == ("a", "b")
    assert graph.selecting == {"a"}


def test_the_selecting_stage_does_not_enter_the_fingerprint() -> None:
    one, other = toy_graph(threshold=50).fingerprints, toy_graph(threshold=60).fingerprints
    assert one["verdict"] != other["verdict"]
    assert one["weigh"] == other["weigh"]
