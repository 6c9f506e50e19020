"""Two trainings could write into one folder at once, over each other's checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.jobs.test_train import corpus, train  # noqa: F401 (a fixture)
from wavemill.jobs.cli import app
from wavemill.pipeline.lock import WorkdirBusy, locked
from wavemill.pipeline.store import Store


def test_a_folder_is_one_training_s_at_a_time(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--executor", "inline", "--set", "tokens=1")
    with (
        locked(Store.open(tmp_path / "run"), "wavemill train"),
        pytest.raises(WorkdirBusy, match="in use: wavemill train"),
    ):
        train(corpus, tmp_path / "run", *options)
    assert "the model is in" in train(corpus, tmp_path / "run", *options)


def test_a_file_is_no_folder(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "run").write_text("", encoding="utf-8")
    told = ["train", "sft", "--corpus", str(corpus), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, told)
    assert result.exit_code == 2
    assert "is a file" in " ".join(result.output.replace("│", " ").split())  # wherever it is folded
