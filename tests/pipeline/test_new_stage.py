"""A new stage is one folder (`toy_stage`) and one line of STAGES."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from typer.testing import CliRunner

from tests.pipeline.toy_stage.stage import SCHEMA, Clock
from wavemill.jobs.cli import app
from wavemill.pipeline import curation
from wavemill.pipeline.build import execute, prepare, publish
from wavemill.pipeline.config import ConfigError, config_from
from wavemill.pipeline.corpora.pretrain import Pretrain
from wavemill.pipeline.execution.events import ShardFailed


class TimedPretrain(Pretrain):
    """The corpus that needs the new stage: what no corpus needs is not built."""

    inputs = (*Pretrain.inputs, "clock")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> type[curation.BaseConfig]:
    """Register the stage; return the class of the configuration that follows."""
    stages = [TimedPretrain if s.name == Pretrain.name else s for s in curation.STAGES]
    stages.insert(3, Clock)
    monkeypatch.setattr(curation, "STAGES", curation.together(stages))
    return curation.config_class(curation.STAGES)


def test_it_has_its_table_its_section_and_its_schema(
    tmp_path: Path, registered: type[curation.BaseConfig]
) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000)
    soundfile.write(tmp_path / "a.wav", noise, 16_000)
    line = json.dumps({"audio_filepath": "a.wav", "text": "what was said"})
    (tmp_path / "manifest.jsonl").write_text(line + "\n", encoding="utf-8")
    config = config_from(registered, {}, ["clock.tick_ms=400", "execution.executor=inline"])
    build = prepare([str(tmp_path / "manifest.jsonl")], str(tmp_path / "work"), config)
    assert list(build.plan.graph.stages)[1:5] == ["denoise", "diarize", "clock", "transcribe"]
    assert not [event for event in execute(build) if isinstance(event, ShardFailed)]
    snapshot = publish(build)

    lineage = pq.read_table(tmp_path / "work" / snapshot.folder / "lineage.parquet").to_pylist()
    (output,) = [row["output"] for row in lineage if row["stage"] == "clock"]
    table = pq.read_table(tmp_path / "work" / output)
    assert table.schema.remove_metadata().equals(SCHEMA.remove_metadata())
    assert table["ticks"].to_pylist() == [5]

    resolved = json.loads(
        (tmp_path / "work" / snapshot.folder / "config.json").read_text(encoding="utf-8")
    )
    assert resolved["clock"] == {"tick_ms": 400}
    printed = CliRunner().invoke(app, ["schema", "clock"])
    assert "How often the clock ticks in it" in printed.output


def test_its_settings_are_checked_like_all_others(registered: type[curation.BaseConfig]) -> None:
    with pytest.raises(ConfigError, match=r"^config: clock\.tick_s: there is no such field"):
        config_from(registered, {}, ["clock.tick_s=1"])


def test_a_stage_that_no_corpus_needs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    unread = (*curation.STAGES[:3], Clock, *curation.STAGES[3:])
    monkeypatch.setattr(curation, "STAGES", curation.together(unread))
    with pytest.raises(ValueError, match=r"^no corpus needs stage 'clock'[^\n]*$"):
        curation.make_graph(curation.config_class(curation.STAGES)())
