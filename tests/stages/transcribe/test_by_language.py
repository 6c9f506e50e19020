"""The router: one identification of the language, then the engine of that language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import soundfile

from tests.stages.transcribe.paraformer_models import random_paraformer
from tests.stages.transcribe.whisper_models import (
    RATE,
    converted,
    digit_clips,
    digits_checkpoint,
)
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.transcribe import by_language as module
from wavemill.stages.transcribe.by_language import ByLanguage, ByLanguageConfig, WhisperConfig
from wavemill.stages.transcribe.engine import TranscribeEngine, Transcript
from wavemill.stages.transcribe.faster_whisper import FasterWhisper, _Heard
from wavemill.stages.transcribe.paraformer import ParaformerConfig

LANGUAGES = ("en", "zh", "de", "zh", "en", "yue")


class FakeParaformer(TranscribeEngine[ParaformerConfig]):
    """Writes down how long a clip is."""

    name = "paraformer"
    Config = ParaformerConfig
    sample_rate = RATE  # type: ignore[assignment]

    def weights_identity(self) -> str:
        return "fake"

    def check_packages(self) -> None: ...

    def check(self) -> None: ...

    def load(self, device: str) -> None: ...

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        return [Transcript(f"长{clip.size}。", (), "zh", 0.8, avg_logprob=-0.2) for clip in clips]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Paraformer", FakeParaformer)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> WhisperConfig:
    """The small model that knows ten English words."""
    folder = tmp_path_factory.mktemp("digits")
    return WhisperConfig(model=str(converted(*digits_checkpoint(), folder)))


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Six digits of different lengths, shortest first."""
    by_size = {clip.size: clip for _, clip in digit_clips()}
    return [by_size[size] for size in sorted(by_size)[:60:10]]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let Whisper hear LANGUAGES, shortest clip first; return of how many it was asked at once."""
    asked: list[int] = []

    def languages(_: FasterWhisper, __: object, count: int) -> list[_Heard]:
        first = sum(asked) % len(LANGUAGES)
        asked.append(count)
        found = LANGUAGES[first : first + count]
        return [_Heard(language, 0.5 + 0.01 * first) for language in found]

    monkeypatch.setattr(FasterWhisper, "_languages", languages)
    return asked


def loaded(whisper: WhisperConfig, **fields: Any) -> ByLanguage:
    engine = ByLanguage(ByLanguageConfig(whisper=whisper, **fields))
    engine.load("cpu")
    return engine


@pytest.mark.usefixtures("fake")
def test_each_clip_goes_to_the_engine_of_its_language(
    whisper: WhisperConfig, clips: list[np.ndarray], heard: list[int]
) -> None:
    found = loaded(whisper).transcribe(clips)
    assert [one.language for one in found] == list(LANGUAGES)
    for one, clip in zip(found, clips, strict=True):
        if one.language == "en":
            assert one.text.isascii()
            assert one.text
            assert one.compression_ratio is not None
        elif one.language == "zh":
            assert (one.text, one.asr_confidence) == (f"长{clip.size}。", 0.8)
        else:
            assert (one.text, one.words, one.asr_confidence) == ("", (), 0.0)
        assert one.language_probability == 0.5
    assert heard == [len(clips)]  # each clip once


@pytest.mark.usefixtures("fake")
def test_batches_do_not_matter(
    whisper: WhisperConfig, clips: list[np.ndarray], heard: list[int]
) -> None:
    small = whisper.model_copy(update={"batch_size": 2})
    found = loaded(small).transcribe(clips)
    all_at_once = loaded(whisper)
    assert [one.text for one in found] == [one.text for one in all_at_once.transcribe(clips)]
    assert [one.language_probability for one in found] == [0.5, 0.5, 0.52, 0.52, 0.54, 0.54]
    assert heard == [2, 2, 2, 6]
    assert all_at_once.transcribe([]) == []


def test_english_is_what_whisper_alone_writes(
    whisper: WhisperConfig, clips: list[np.ndarray]
) -> None:
    alone = FasterWhisper(whisper)
    alone.load("cpu")
    found = loaded(whisper, routes={"en": "whisper"}).transcribe(clips)
    assert found == alone.transcribe(clips)


def test_with_a_real_paraformer(
    tmp_path: Path, whisper: WhisperConfig, clips: list[np.ndarray]
) -> None:
    """It is told that English goes to Paraformer, since the small Whisper hears no Mandarin."""
    paraformer = ParaformerConfig(model=str(random_paraformer(tmp_path / "model")))
    engine = loaded(whisper, routes={"en": "paraformer"}, paraformer=paraformer)
    engine.check()
    for one in engine.transcribe(clips):
        assert one.text.endswith("。")
        assert one.language == "en"  # as it was heard
        assert one.language_probability is not None
        assert one.language_probability > 0.9


@pytest.mark.usefixtures("fake")
def test_the_fingerprint_covers_what_is_used(whisper: WhisperConfig) -> None:
    def of(**fields: Any) -> tuple[dict[str, Any], str]:
        config = ByLanguageConfig(**{"whisper": whisper, **fields})
        return config.fingerprinted(), ByLanguage(config).weights_identity()

    plain, weights = of()
    assert plain["whisper"]["version"] == FasterWhisper.version
    assert plain["whisper"]["allowed_languages"] == ["en"]
    assert plain["paraformer"]["version"] == FakeParaformer.version
    assert "model" not in plain["whisper"]
    assert weights == f"whisper={FasterWhisper(whisper).weights_identity()} paraformer=fake"
    slower = {"paraformer": ParaformerConfig(comma_gap_ms=300)}
    surer = {"whisper": whisper.model_copy(update={"beam_size": 1})}
    more = {"routes": {"en": "whisper", "zh": "paraformer", "yue": "paraformer"}}
    assert all(of(**change)[0] != plain for change in (slower, surer, more))
    assert of(whisper=WhisperConfig(model="bundled"))[1] != weights
    # What no route leads to does not matter, nor does what the routes take the place of.
    alone = {"routes": {"en": "whisper"}}
    assert of(**alone) == of(**alone, **slower)
    ignored = {"whisper": whisper.model_copy(update={"allowed_languages": ("de",)})}
    assert of() == of(**ignored)


def test_only_what_a_route_leads_to_must_be_there(tmp_path: Path, whisper: WhisperConfig) -> None:
    absent = ParaformerConfig(model=str(tmp_path / "absent"))
    whisper_only = ByLanguageConfig(routes={"en": "whisper"}, whisper=whisper, paraformer=absent)
    ByLanguage(whisper_only).check()
    both = ByLanguage(ByLanguageConfig(whisper=whisper, paraformer=absent))
    for call in (both.check, both.weights_identity):
        with pytest.raises(EngineUnavailable, match=r"engine 'paraformer'.*remedy"):
            call()


@pytest.mark.parametrize("routes", [{"en": "faster_whisper"}, {"English": "whisper"}])
def test_routes_that_are_refused(routes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="routes"):
        ByLanguageConfig(routes=routes)  # type: ignore[arg-type]


def test_a_language_without_a_route_is_rejected_for_that(
    tmp_path: Path, whisper: WhisperConfig
) -> None:
    """Through the command line: the small Whisper hears English, for which there is no route."""
    from tests.pipeline.test_curation import RECORDINGS, wavemill

    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    samples, rate = soundfile.read(RECORDINGS / "clean_dialogue.flac")
    soundfile.write(source / "a.flac", samples[: 12 * rate], rate)
    settings = (
        "transcribe.engine=by_language",
        "transcribe.by_language.routes={zh: whisper}",
        f"transcribe.by_language.whisper.model={whisper.model}",
        "filter.asr.allowed_languages=[zh]",
    )
    flags = [flag for setting in settings for flag in ("--set", setting)]
    done = wavemill("curate", source, "--out", out, "--executor", "inline", *flags)
    assert "rejected: language_not_allowed" in done.stdout
    rows = duckdb.sql(
        f"""select broken[1].rule, broken[1].value_text, broken[1].threshold_text, text,
            language_probability, kept
        from '{out}/stages/verdict/*/*.parquet' join '{out}/stages/transcribe/*/*.parquet'
        using (segment_id)"""
    ).fetchall()
    assert rows
    assert {row[:4] for row in rows} == {("language_not_allowed", "en", "zh", "")}
    assert all(0 < probability <= 1 and not kept for *_, probability, kept in rows)
