"""Fields that had another name: a saved request, a YAML file and `--set` go on working."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from wavemill.pipeline.config import ConfigError, config_from, load_config
from wavemill.pipeline.curation import Config
from wavemill.pipeline.renamed import (
    CONFIG_FORMAT,
    RENAMED,
    REPLACED,
    as_it_was,
    with_engines_of_today,
    with_new_names,
)
from wavemill.pipeline.request import REQUEST, remember, remembered
from wavemill.pipeline.store import Store

OLD_REQUEST = ROOT / "tests" / "data" / "workdir" / "work" / "manifest" / "build.json"
NAMES = {"version": "audio_version", "filter.raw": "filter.asr", "a.b.c": "d"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"version": {"seed": 1}}, {"audio_version": {"seed": 1}}),
        ({"filter": {"raw": 1, "text": 2}}, {"filter": {"asr": 1, "text": 2}}),
        ({"a": {"b": {"c": 1}}, "e": 2}, {"a": {"b": {}}, "d": 1, "e": 2}),
        ({"filter": None, "a": {"b": 3}}, {"filter": None, "a": {"b": 3}}),
        # Both names: what is not said under the new one still holds.
        (
            {"version": {"seed": 1, "x": 2}, "audio_version": {"seed": 3}},
            {"audio_version": {"seed": 3, "x": 2}},
        ),
    ],
)
def test_values_move_to_the_new_name(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert with_new_names(old, NAMES)[0] == new
    assert with_new_names(new, NAMES) == (new, {})


def test_every_old_name_leads_to_a_field() -> None:
    resolved = Config().model_dump(mode="json")
    for old, new in RENAMED.items():
        value = resolved
        for name in new.split("."):
            value = value[name]
        _, used = with_new_names(resolved, RENAMED)
        assert old not in used


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def test_a_file_and_an_override_may_have_the_old_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = "config: version is now called audio_version"
    file = tmp_path / "mine.yaml"
    file.write_text("version: {seed: 7}\n", encoding="utf-8")
    share = "audio_version.enhanced_share=0.25"
    for given, overrides in ((file, [share]), (None, ["version.seed=7", share])):
        config = load_config(Config, "embedded", given, overrides)
        assert (config.audio_version.seed, config.audio_version.enhanced_share) == (7, 0.25)
        assert said(caplog) == [line]
    load_config(Config, "embedded", None, ["audio_version.seed=7"])
    assert said(caplog) == []


def test_fields_that_moved_together_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    config = config_from(Config, {"denoise": {"channels": "split", "gap_ms": 7, "engine": "none"}})
    decode, denoise = config.decode, config.denoise  # type: ignore[attr-defined]
    assert (decode.channels, decode.gap_ms, denoise.engine) == ("split", 7, "none")
    assert said(caplog) == ["config: 2 fields of denoise now stand in decode: channels, gap_ms"]
    load_config(Config, "embedded", None, ["denoise.channels=split"])
    assert said(caplog) == ["config: denoise.channels is now called decode.channels"]


def test_a_request_that_an_earlier_version_saved_loads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store.open(tmp_path)
    store.write_text(REQUEST, OLD_REQUEST.read_text(encoding="utf-8"))
    request = remembered(store)
    assert request.config_format == 1
    config = config_from(Config, request.config)
    assert config.audio_version.enhanced_share == request.config["version"]["enhanced_share"]
    assert "config: version is now called audio_version" in said(caplog)
    remember(store, [], config.model_dump(mode="json"), "1")
    assert config_from(Config, remembered(store).config) == config
    assert said(caplog) == []


def test_a_request_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    remember(store, [], {}, "9.9")
    request = json.loads(store.read_text(REQUEST) or "")
    assert request["config_format"] == CONFIG_FORMAT
    store.write_text(REQUEST, json.dumps(request | {"config_format": CONFIG_FORMAT + 1}))
    with pytest.raises(ConfigError, match=r"newer version \(9\.9\)"):
        remembered(store)


@pytest.mark.parametrize(
    ("old", "new", "used"),
    [
        (
            {"diarize": {"engine": "silero", "silero": {"x": 1}, "chunk_ms": 2}},
            {"diarize": {"engine": "campplus", "chunk_ms": 2}},
            {"diarize.engine silero": "campplus"},
        ),
        # A section of an engine that is not chosen: every saved configuration has one.
        (
            {"diarize": {"engine": "pyannote", "silero": {"x": 1}}},
            {"diarize": {"engine": "pyannote"}},
            {},
        ),
        # The same model goes on, by name or (which is then refused, for its format) by path.
        (
            {"transcribe": {"engine": "whisper", "whisper": {"model": "small", "seed": 1}}},
            {"transcribe": {"engine": "faster_whisper", "faster_whisper": {"model": "small"}}},
            {"transcribe.engine whisper": "faster_whisper"},
        ),
        (
            {"transcribe": {"engine": "whisper"}},
            {"transcribe": {"engine": "faster_whisper", "faster_whisper": {"model": "large-v3"}}},
            {"transcribe.engine whisper": "faster_whisper"},
        ),
        (
            {"transcribe": {"engine": "pocketsphinx", "pocketsphinx": {"beam": 1}}},
            {"transcribe": {"engine": "faster_whisper"}},
            {"transcribe.engine pocketsphinx": "faster_whisper"},
        ),
        ({"diarize": None, "profile": "paper"}, {"diarize": None, "profile": "paper"}, {}),
    ],
)
def test_an_engine_that_is_gone_is_replaced(
    old: dict[str, Any], new: dict[str, Any], used: dict[str, str]
) -> None:
    assert with_engines_of_today(old, REPLACED) == (new, used)


@pytest.mark.parametrize(
    ("saved", "config_format", "reads", "speech"),
    [
        # Its engine is gone, and it is computed anew: by today's defaults, unless one was chosen.
        ({"engine": "silero", "silero": {}}, 1, "original", "segmentation"),
        ({"engine": "silero", "reads": "enhanced"}, 3, "enhanced", "segmentation"),
        # What is there stays what it was.
        ({"engine": "pyannote", "silero": {}}, 2, "enhanced", "silero"),
        ({"engine": "campplus", "reads": "original"}, 4, "original", "silero"),
        ({"engine": "campplus", "reads": "original"}, CONFIG_FORMAT, "original", "segmentation"),
    ],
)
def test_a_saved_configuration_keeps_what_it_was_built_with(
    saved: dict[str, Any], config_format: int, reads: str, speech: str
) -> None:
    diarize = config_from(Config, as_it_was({"diarize": saved}, config_format)).diarize
    assert (diarize.reads, diarize.campplus.speech) == (reads, speech)


def test_a_configuration_says_what_took_the_place(caplog: pytest.LogCaptureFixture) -> None:
    config = config_from(Config, {"diarize": {"engine": "silero", "silero": {"block_ms": 9}}})
    assert config.diarize.engine == "campplus"
    assert said(caplog) == [
        "config: diarize.engine silero is gone, campplus takes its place; its output is computed"
        " anew, from the original audio unless diarize.reads says otherwise"
    ]


def test_every_replacement_is_an_engine() -> None:
    for name, engines in REPLACED.items():
        stage = name.partition(".")[0]
        for new in engines.values():
            config_from(Config, {stage: {"engine": new.engine, new.engine: dict(new.kept)}})
