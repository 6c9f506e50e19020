"""The paper profile states the numbers of the technical report (arXiv 2504.18425)."""

from __future__ import annotations

import subprocess
import sys
from functools import reduce
from typing import Any

import pytest
import yaml

from tests.support import ROOT
from wavemill.model.tokenizer.kmeans import TOKEN_MS
from wavemill.pipeline.config import PROFILES, load_config, profile_names
from wavemill.pipeline.curation import Config, make_graph
from wavemill.pipeline.execution.settings import resolve_groups
from wavemill.stages.denoise.bsrnn import BSRNN

# field of the profile, value, section of the report
REPORT = [
    ("audio_version.enhanced_share", 0.5, "3.1 speech enhancement: original and enhanced 1:1"),
    ("decode.max_sample_rate", 48_000, "3.1 speech enhancement: 48 kHz"),
    ("diarize.engine", "pyannote", "3.1 diarization"),
    ("diarize.pyannote.merge_similarity", 0.6, "3.1 speaker-cluster merging: above 0.6"),
    ("diarize.chunk_ms", 1500, "3.1 chunk-based reassignment: 1.5 s"),
    ("diarize.pyannote.chunk_similarity", 0.5, "3.1 chunk-based reassignment: below 0.5"),
    ("diarize.max_segment_ms", 27_000, "3.1 segment merging: 27 s"),
    ("diarize.max_gap_ms", 2000, "3.1 segment merging: 2 s"),
    ("transcribe.engine", "by_language", "3.1 transcription"),
    ("transcribe.by_language.routes", {"en": "whisper", "zh": "paraformer"}, "3.1 transcription"),
    ("transcribe.by_language.whisper.model", "large-v3", "3.1 transcription: Whisper-large-v3"),
    ("transcribe.by_language.paraformer.comma_gap_ms", 500, "3.1 transcription: above 0.5 s"),
    ("transcribe.by_language.paraformer.full_stop_gap_ms", 1000, "3.1 transcription: 1.0 s"),
    ("tokenize.engine", "whisper_vq", "2.2 audio tokenizer: GLM-4-Voice's, 12.5 Hz"),
    ("tokenize.whisper_vq.weights", "THUDM/glm-4-voice-tokenizer", "2.2 audio tokenizer"),
    ("filter.asr.allowed_languages", ("en", "zh"), "3.1 transcription: kept languages"),
]


@pytest.fixture(scope="module")
def paper() -> Config:
    return load_config(Config, "paper")


@pytest.mark.parametrize(("name", "value", "section"), REPORT, ids=[row[0] for row in REPORT])
def test_a_number_of_the_report(paper: Config, name: str, value: Any, section: str) -> None:
    assert reduce(getattr, name.split("."), paper) == value, section
    stated = yaml.safe_load((PROFILES / "paper.yaml").read_text(encoding="utf-8"))
    written = reduce(dict.__getitem__, name.split("."), stated)  # not by way of a default
    assert (tuple(written) if isinstance(written, list) else written) == value


def test_what_is_no_setting(paper: Config) -> None:
    """Demucs stands in for BSRNN (48 kHz) until a checkpoint is named; tokens come at 12.5 Hz."""
    assert (paper.denoise.engine, paper.denoise.bsrnn.weights) == ("demucs", None)  # type: ignore[attr-defined]
    assert BSRNN.sample_rate == 48_000
    assert 1000 / TOKEN_MS == 12.5


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_valid(name: str) -> None:
    config = load_config(Config, name)
    assert config.profile == name
    assert resolve_groups(config.execution, ["denoise"])


def test_standard_is_the_default_but_for_the_transcriber() -> None:
    """Its file repeats the default's, so that each can be read alone."""

    def leaves(values: Any, name: str = "") -> dict[str, Any]:
        if not isinstance(values, dict):
            return {name: values}
        found = (leaves(value, f"{name}.{key}") for key, value in values.items())
        return {key: value for part in found for key, value in part.items()}

    texts = {
        n: (PROFILES / f"{n}.yaml").read_text(encoding="utf-8") for n in ("embedded", "standard")
    }
    embedded, standard = (leaves(yaml.safe_load(text)) for text in texts.values())
    names = embedded.keys() | standard.keys()
    assert {n for n in names if embedded.get(n, "-") != standard.get(n, "-")} == {
        ".filter.asr.allowed_languages",
        ".transcribe.faster_whisper.min_confidence",
        ".transcribe.faster_whisper.model",
        ".transcribe.faster_whisper.revision",
    }


def test_the_groups_for_gpus_fit_the_stages() -> None:
    text = (PROFILES / "paper.yaml").read_text(encoding="utf-8")
    example = text[text.index("# execution:") :].replace("\n# ", "\n").removeprefix("# ")
    given = yaml.safe_load(example)["execution"]
    config = load_config(Config, "embedded", None, [f"execution={given}"])
    groups = resolve_groups(config.execution, list(make_graph(config).stages))
    assert groups["models"] == ["denoise", "diarize", "transcribe", "tokenize"]


def test_it_is_printed_without_its_packages_or_a_model() -> None:
    code = (
        "import sys; from wavemill.jobs.cli import app;"
        "sys.argv[1:] = ['config', 'show', '--profile', 'paper'];"
        "app(standalone_mode=False);"
        "heavy = {'torch', 'whisper', 'demucs', 'pyannote', 'funasr', 'ray', 'av'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert load_config(Config, "paper") == Config.model_validate(yaml.safe_load(done.stdout))
