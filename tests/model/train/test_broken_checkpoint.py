"""A checkpoint that a disk has spoilt: what to do was not said, or a KeyError."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.train.test_loop import STEPS, train
from wavemill.model.io.folders import WeightsError
from wavemill.model.train import checkpoint
from wavemill.model.train.loop import Outcome


@pytest.mark.parametrize(
    ("file", "content"),
    [("shard-00001-model-00001-of-00001.safetensors", b"\0"), ("state.json", b"{}")],
)
def test_the_one_before_goes_on(file: str, content: bytes, tmp_path: Path) -> None:
    policy = {"steps": 3, "keep": 2}
    train(tmp_path, checkpoint=policy, stop_after_steps=8)
    *_, newest = checkpoint.checkpoints(tmp_path)
    (newest / file).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"remedy: delete .*{newest.name}, to go on from"):
        train(tmp_path, checkpoint=policy)
    newest.rename(tmp_path / "gone")
    assert train(tmp_path, checkpoint=policy)[0] == Outcome(STEPS, STEPS * 20, True, {})
