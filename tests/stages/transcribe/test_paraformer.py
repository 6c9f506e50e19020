"""Paraformer: a small random model of the package's own classes, beside the package's own way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from tests.stages.transcribe.paraformer_models import CONFIG, murmur, package, random_paraformer
from tests.support import ROOT
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.transcribe.engine import Transcript, Word
from wavemill.stages.transcribe.paraformer import Paraformer, ParaformerConfig
from wavemill.stages.transcribe.paraformer_clips import whole_words
from wavemill.stages.transcribe.punctuation import COMMA, FULL_STOP


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_paraformer(tmp_path_factory.mktemp("paraformer") / "model")


def loaded(folder: Path, **fields: Any) -> Paraformer:
    engine = Paraformer(ParaformerConfig(model=str(folder), **fields))
    engine.load("cpu")
    return engine


@pytest.fixture(scope="module")
def engine(folder: Path) -> Paraformer:
    return loaded(folder)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [murmur(seconds, i) for i, seconds in enumerate((0.5, 3.0, 1.2, 6.3, 2.0))]


def bare(text: str) -> str:
    return text.replace(COMMA, "").replace(FULL_STOP, "")


def test_characters_and_times_are_those_of_the_package(
    folder: Path, engine: Paraformer, clips: list[np.ndarray]
) -> None:
    """`AutoModel.generate` on each clip alone; here, they are one batch."""
    auto = package("AutoModel", "auto.auto_model")(
        model=str(folder), device="cpu", ncpu=1, disable_update=True, disable_pbar=True
    )
    for one, clip in zip(engine.transcribe(clips), clips, strict=True):
        (theirs,) = auto.generate([clip])
        assert bare(one.text) == theirs["text"].replace(" ", "")
        assert [[word.start_ms, word.end_ms] for word in one.words] == theirs["timestamp"]
        assert len(one.words) > 1


def test_a_transcript_depends_on_its_clip_alone(
    folder: Path, engine: Paraformer, clips: list[np.ndarray]
) -> None:
    together = engine.transcribe(clips)
    backwards = engine.transcribe(clips[::-1])[::-1]
    alone = [engine.transcribe([clip])[0] for clip in clips]
    in_pairs = loaded(folder, batch_size=2).transcribe(clips)
    for other in (backwards, alone, in_pairs):
        for one, two in zip(together, other, strict=True):
            assert_same(one, two)
    assert len({one.text for one in together}) == len(clips)


def assert_same(one: Transcript, two: Transcript) -> None:
    """Same but for the rounding of floats."""
    assert one.text == two.text
    times = [[(w.word, w.start_ms, w.end_ms) for w in some.words] for some in (one, two)]
    assert times[0] == times[1]
    assert one.asr_confidence == pytest.approx(two.asr_confidence, abs=1e-4)


def test_what_a_transcript_holds(engine: Paraformer, clips: list[np.ndarray]) -> None:
    for one, clip in zip(engine.transcribe(clips), clips, strict=True):
        edges = [edge for word in one.words for edge in (word.start_ms, word.end_ms)]
        assert edges == sorted(edges)
        assert 0 <= edges[0] <= edges[-1] <= clip.size // 16
        assert "".join(word.word for word in one.words) == one.text
        assert one.text.endswith(FULL_STOP)
        assert (one.language, one.language_probability) == ("zh", None)
        confidences = [word.confidence for word in one.words]
        assert all(0 < value <= 1 for value in confidences)
        assert one.asr_confidence == pytest.approx(np.mean(confidences))
        assert one.avg_logprob == pytest.approx(np.mean(np.log(confidences)))


def test_pauses_are_those_of_the_config(folder: Path, clips: list[np.ndarray]) -> None:
    """The model never pauses for half a second: thresholds are moved to where it does."""
    (plain,) = loaded(folder).transcribe([clips[3]])
    gaps = [b.start_ms - a.end_ms for a, b in zip(plain.words, plain.words[1:], strict=False)]
    assert plain.text.count(FULL_STOP) == 1 + sum(gap >= 1000 for gap in gaps)
    (marked,) = loaded(folder, comma_gap_ms=0, full_stop_gap_ms=1).transcribe([clips[3]])
    assert marked.text.count(FULL_STOP) == 1 + sum(gap >= 1 for gap in gaps)


def test_no_clip_silence_and_clips_too_short(engine: Paraformer, clips: list[np.ndarray]) -> None:
    empty = [np.zeros(size, np.float32) for size in (0, 1, 399)]
    edge = [np.ones(size, np.float32) for size in (400, 401, 1600)]
    found = engine.transcribe([*empty, clips[0], *edge, np.zeros(16_000, np.float32)])
    assert [(one.text, one.words, one.asr_confidence) for one in found[:3]] == [("", (), 0.0)] * 3
    assert_same(found[3], engine.transcribe([clips[0]])[0])
    assert engine.transcribe([]) == []


def word(text: str, start_ms: int, confidence: float = 1.0) -> Word:
    return Word(text, start_ms, start_ms + 50, confidence)


def test_pieces_of_foreign_words_are_joined_and_unknown_tokens_go() -> None:
    pieces = [word("我", 0), word("hel@@", 100, 0.4), word("lo", 200, 0.8), word("<unk>", 300)]
    assert whole_words(pieces) == (
        Word("我", 0, 50, 1.0),
        Word("hello", 100, 250, pytest.approx(0.6)),
    )
    # A piece that nothing follows, and one that a character follows, stand for themselves.
    assert [w.word for w in whole_words([word("hel@@", 0), word("你", 1), word("a@@", 2)])] == [
        "hel",
        "你",
        "a",
    ]


def test_identity_is_the_content(folder: Path, tmp_path: Path) -> None:
    identity = Paraformer(ParaformerConfig(model=str(folder))).weights_identity()
    copy = copied(folder, tmp_path / "copy")
    assert Paraformer(ParaformerConfig(model=str(copy))).weights_identity() == identity
    (copy / "tokens.json").write_text("[]", encoding="utf-8")
    assert Paraformer(ParaformerConfig(model=str(copy))).weights_identity() != identity


def test_at_the_hub_identity_is_name_and_commit() -> None:
    commit = "0123456789" * 4
    named = ParaformerConfig(model="someone/model", revision=commit)
    assert Paraformer(named).weights_identity() == f"someone/model@{commit}"


def test_where_the_weights_are_is_no_parameter() -> None:
    fields = ParaformerConfig(model="a/b", revision="c").fingerprinted()
    assert fields == {"batch_size": 16, "comma_gap_ms": 500, "full_stop_gap_ms": 1000}


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


class Evil:
    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (Path("evil"),))


def evil(folder: Path) -> None:
    torch.save({"state_dict": {}, "more": Evil()}, folder / "model.pt")


def incomplete(folder: Path) -> None:
    state = torch.load(folder / "model.pt", weights_only=True)
    del state["predictor.cif_output.weight"]
    torch.save(state, folder / "model.pt")


def misshapen(folder: Path) -> None:
    (folder / "tokens.json").write_text('["<blank>", "<s>", "</s>", "<unk>"]', encoding="utf-8")


def other(folder: Path) -> None:
    config = {**CONFIG, "model": "SenseVoiceSmall", "trust_remote_code": True}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def no_config(folder: Path) -> None:
    (folder / "config.yaml").write_text("- a\n- b\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (evil, "Weights only load failed"),
        (incomplete, r"lacks predictor\.cif_output\.weight"),
        (misshapen, "size mismatch|Error"),
        (other, "its model is 'SenseVoiceSmall'"),
        (no_config, ""),
    ],
)
def test_models_that_are_refused(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    copy = copied(folder, tmp_path / "copy")
    spoil(copy)
    with pytest.raises(EngineUnavailable, match=f"'paraformer'.*as data.*{why}.*remedy: set"):
        loaded(copy)
    assert not Path("evil").exists()


def test_a_folder_that_lacks_files(tmp_path: Path) -> None:
    (tmp_path / "am.mvn").touch()
    engine = Paraformer(ParaformerConfig(model=str(tmp_path)))
    message = r"paraformer.*lacks config\.yaml, tokens\.json, model\.pt; remedy: set"
    for call in (engine.weights_identity, lambda: engine.load("cpu")):
        with pytest.raises(EngineUnavailable, match=message):
            call()


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def no_network(name: str, file: str, **_: object) -> None:
        raise OSError(f"no route to {name}/{file}")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    commit = "0123456789" * 4
    engine = Paraformer(ParaformerConfig(model="a/b", revision=commit))
    monkeypatch.setattr(engine, "check_packages", lambda: None)
    for call in (engine.check, lambda: engine.load("cpu")):
        with pytest.raises(EngineUnavailable, match=r"'a/b' \(0123\d+\).*no route to a/b.*remedy"):
            call()


def test_a_hub_s_files_are_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    asked: list[tuple[str, str, str]] = []

    def download(name: str, file: str, revision: str) -> str:
        asked.append((name, file, revision))
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    engine = Paraformer(ParaformerConfig(model="a/b", revision="c"))
    engine.load("cpu")
    assert asked == [
        ("a/b", name, "c") for name in ("config.yaml", "tokens.json", "am.mvn", "model.pt")
    ]


def test_loading_does_not_import_the_whole_package(folder: Path) -> None:
    code = (
        "import sys;"
        "from wavemill.stages.transcribe.paraformer import Paraformer, ParaformerConfig;"
        f"engine = Paraformer(ParaformerConfig(model={str(folder)!r})); engine.check();"
        "print('torch' in sys.modules); engine.load('cpu');"
        "print('funasr' in sys.modules, 'modelscope' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.split() == ["False", "False", "False"], done.stderr


@pytest.mark.parametrize(
    "fields", [{"comma_gap_ms": 1000}, {"full_stop_gap_ms": 500}, {"batch_size": 0}]
)
def test_settings_that_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        ParaformerConfig(**fields)  # type: ignore[arg-type]


def test_the_pauses_are_the_report_s() -> None:
    config = ParaformerConfig()
    assert (config.comma_gap_ms, config.full_stop_gap_ms) == (500, 1000)


def test_through_the_command_line(folder: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from tests.pipeline.test_curation import RECORDINGS, wavemill

    source = tmp_path / "in"
    source.mkdir()
    samples, rate = soundfile.read(RECORDINGS / "clean_dialogue.flac")
    soundfile.write(source / "a.flac", samples[: 12 * rate], rate)
    settings = ("transcribe.engine=paraformer", f"transcribe.paraformer.model={folder}")
    flags = [flag for setting in settings for flag in ("--set", setting)]
    wavemill("curate", source, "--out", tmp_path / "out", "--executor", "inline", *flags)
    (path,) = (tmp_path / "out" / "stages" / "transcribe").rglob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    assert rows
    for row in rows:
        assert (row["language"], row["language_probability"]) == ("zh", None)
        assert row["text"] == "".join(word["word"] for word in row["words"])
        assert row["text"].endswith(FULL_STOP)
