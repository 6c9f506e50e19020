"""pyannote: files and messages, spans and embeddings, small random models through the stage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.command import wavemill
from tests.stages.diarize.sound import RATE, ArrayTrack
from tests.stages.diarize.test_stage import RECORDING, rows_of, upstream_of
from tests.support import ROOT
from wavemill.stages.diarize import pyannote as module
from wavemill.stages.diarize.pyannote import Pyannote, PyannoteConfig
from wavemill.stages.diarize.pyannote_weights import load_model, pipeline_files
from wavemill.stages.diarize.span_embedding import SpanEmbedder, SpanWindows
from wavemill.stages.diarize.spans import intersect, length
from wavemill.stages.diarize.stage import Config, Diarize
from wavemill.stages.engine import EngineUnavailable

SECONDS = 2.0  # of the small models' windows
CONFIG = """
dependencies: {pyannote.audio: 4.0.0}
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: VBxClustering
    segmentation_step: 0.5
    segmentation: $model/segmentation
    segmentation_batch_size: 8
    embedding: $model/embedding
    embedding_batch_size: 8
    embedding_exclude_overlap: true
    plda: $model/plda
params:
  clustering: {threshold: 0.6, Fa: 0.07, Fb: 0.8}
  segmentation: {min_duration_off: 0.0}
"""


def talk(seconds: float = 12.0) -> np.ndarray:
    """Noise whose level and colour change every second or so."""
    random = np.random.default_rng(1)
    parts = []
    while sum(map(len, parts)) < seconds * RATE:
        part = random.standard_normal(int(RATE * random.uniform(0.5, 1.5)))
        width = random.integers(1, 12)
        parts.append(np.convolve(part, np.ones(width) / width, "same") * random.choice([0.01, 0.3]))
    return np.concatenate(parts)[: int(seconds * RATE)].astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline in the package's own layout: two Lightning checkpoints, a PLDA, a config."""
    if absent():
        pytest.skip(absent())
    engine_imports()
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import XVectorMFCC
    from pyannote.audio.models.segmentation import PyanNet

    torch.manual_seed(5)
    home = tmp_path_factory.mktemp("pipeline")
    segmentation = PyanNet(
        lstm={"hidden_size": 16, "num_layers": 1}, linear={"hidden_size": 16, "num_layers": 1}
    )
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=SECONDS,
        classes=["a", "b", "c"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    segmentation.build()
    with torch.no_grad():  # so that a random model changes its mind now and then
        segmentation.classifier.weight.mul_(60)
        segmentation.classifier.bias.zero_()
    embedding = XVectorMFCC(dimension=24)
    embedding.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=SECONDS
    )
    for name, model in (("segmentation", segmentation), ("embedding", embedding)):
        (home / name).mkdir()
        save(model, home / name / "pytorch_model.bin")
    (home / "plda").mkdir()
    random = np.random.default_rng(2)
    np.savez(
        home / "plda" / "xvec_transform.npz",
        mean1=np.zeros(24),
        mean2=np.zeros(8),
        lda=random.standard_normal((24, 8)),
    )
    spread = np.linspace(0.5, 3, 8)
    np.savez(home / "plda" / "plda.npz", mu=np.zeros(8), tr=np.eye(8), psi=spread)
    (home / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return home


def absent() -> str:
    """Return why pyannote.audio cannot be tested here, or nothing."""
    from importlib.util import find_spec

    try:
        found = find_spec("pyannote.audio") is not None
    except ModuleNotFoundError:
        found = False
    return "" if found else "package pyannote.audio (extra 'paper') is not installed"


def engine_imports() -> None:
    """Make the package importable, as the engine does."""
    from wavemill.model.torchaudio_import import import_torchaudio

    os.environ["PYANNOTE_METRICS_ENABLED"] = "false"
    import_torchaudio()


def save(model: Any, path: Path) -> None:
    """Save with Lightning, as the package does after training."""
    from lightning.pytorch import Trainer

    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)


def loaded(**settings: Any) -> Pyannote:
    engine = Pyannote(PyannoteConfig(**settings))
    engine.load("cpu")
    return engine


def pair(folder: Path, **more: Any) -> dict[str, Any]:
    models = {"segmentation": folder / "segmentation", "embedding": folder / "embedding", **more}
    return {"models": models}


@pytest.fixture(scope="module")
def engine(folder: Path) -> Pyannote:
    return loaded(pipeline=str(folder))


def test_a_pipeline_gives_speech_turns_and_overlap(engine: Pyannote) -> None:
    track = ArrayTrack(talk())
    found = engine.diarize(track)
    assert len(found.turns) > 3
    assert list(found.turns) == sorted(found.turns, key=lambda t: t.start_ms)
    for before, after in zip(found.turns, found.turns[1:], strict=False):
        assert before.end_ms <= after.start_ms
    spans = [(turn.start_ms, turn.end_ms) for turn in found.turns]
    assert length(intersect(found.speech, spans)) == length(spans)
    assert 0 < length(found.overlap) == length(intersect(found.overlap, found.speech))
    assert found.speech[-1][1] <= 12_000
    again = engine.diarize(track)
    assert (again.turns, again.speech, again.overlap) == (found.turns, found.speech, found.overlap)


def test_regions_restrict_speech(engine: Pyannote) -> None:
    regions = [(1000, 3000), (7000, 8000)]
    whole, found = engine.diarize(ArrayTrack(talk())), engine.diarize(ArrayTrack(talk()), regions)
    assert list(found.speech) == intersect(whole.speech, regions)
    spans = [(turn.start_ms, turn.end_ms) for turn in found.turns]
    assert length(spans) == length(intersect(spans, regions)) > 0


def test_any_span_is_embedded(engine: Pyannote) -> None:
    samples = talk()
    embed = engine.diarize(ArrayTrack(samples)).embed
    spans = [(0, 1500), (1500, 3000), (0, 1), (11_990, 12_000), (0, 12_000), (700, 1434)]
    vectors = embed(spans)
    assert vectors.shape == (6, 24)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(embed([spans[1]])[0], vectors[1], atol=1e-6)
    import torch

    direct = engine._embedding(torch.from_numpy(samples[:24_000])[None, None])[0]
    np.testing.assert_allclose(vectors[0], direct / np.linalg.norm(direct), atol=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 800, 3 * RATE])
def test_short_and_silent_tracks(engine: Pyannote, samples: int) -> None:
    found = engine.diarize(ArrayTrack(np.zeros(samples, np.float32)))
    assert all(turn.end_ms <= samples / 16 for turn in found.turns)
    if samples:
        vectors = found.embed([(0, max(1, samples // 16))])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_model_that_hears_nobody(folder: Path) -> None:
    import torch

    engine = loaded(pipeline=str(folder))
    with torch.no_grad():
        engine._pipeline._segmentation.model.classifier.weight.zero_()
        engine._pipeline._segmentation.model.classifier.bias.copy_(torch.eye(7)[0])
    found = engine.diarize(ArrayTrack(talk(5)))
    assert (found.speech, found.turns, found.overlap) == ((), (), ())


def test_an_explicit_pair(folder: Path) -> None:
    track = ArrayTrack(talk(3))
    alike, unlike = (
        loaded(**pair(folder, agglomerative_threshold=t, agglomerative_min_cluster_size=1))
        for t in (2.0, 1e-4)
    )
    assert type(alike._pipeline.clustering).__name__ == "AgglomerativeClustering"
    assert {turn.speaker for turn in alike.diarize(track).turns} == {0}
    assert len({turn.speaker for turn in unlike.diarize(track).turns}) > 1
    vbx = loaded(**pair(folder, plda=folder / "plda"))
    assert type(vbx._pipeline.clustering).__name__ == "VBxClustering"
    assert vbx.diarize(track).turns


def test_identity_is_the_content(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    first = Pyannote(PyannoteConfig(pipeline=str(folder))).weights_identity()
    assert Pyannote(PyannoteConfig(pipeline=str(copy / "config.yaml"))).weights_identity() == first
    config = copy / "config.yaml"
    config.write_text(CONFIG.replace("0.07", "0.08"), encoding="utf-8")
    assert Pyannote(PyannoteConfig(pipeline=str(copy))).weights_identity() != first
    config.write_text(CONFIG, encoding="utf-8")
    with (copy / "embedding" / "pytorch_model.bin").open("ab") as file:
        file.write(b"x")
    assert Pyannote(PyannoteConfig(pipeline=str(copy))).weights_identity() != first
    assert str(tmp_path) not in str(PyannoteConfig(pipeline=str(copy)).fingerprinted())
    assert first.startswith("pyannote.audio 4.")
    assert len(first.split("sha256:")[1]) == 64


def test_loaded_models_are_those_of_the_package(folder: Path) -> None:
    import torch
    from pyannote.audio import Model

    audio = torch.from_numpy(talk(2))[None, None]
    for name in ("segmentation", "embedding"):
        ours = load_model(folder / name / "pytorch_model.bin")
        theirs = Model.from_pretrained(folder / name).eval()  # unpickles: our own file
        with torch.inference_mode():
            torch.testing.assert_close(ours(audio), theirs(audio))


def test_nothing_is_sent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "true")
    engine = loaded(pipeline=str(folder))
    from pyannote.audio.telemetry import metrics

    sent: list[str] = []
    monkeypatch.setattr(metrics.tracer, "start_as_current_span", sent.append)
    assert engine.diarize(ArrayTrack(talk(3)))
    assert not metrics.is_metrics_enabled()
    assert sent == []


def test_through_the_stage(folder: Path) -> None:
    config = Config(engine="pyannote", reads="enhanced", pyannote={"pipeline": str(folder)})
    rows = rows_of(Diarize.build(config, "cpu"), upstream_of(talk()))
    assert rows
    assert rows[0]["recording_id"] == RECORDING.recording_id
    assert {row["speaker"] for row in rows} >= {"S00"}
    assert any(row["overlap_ratio"] > 0 for row in rows)
    assert all(row["end_ms"] - row["start_ms"] <= 27_000 for row in rows)


def test_through_curate(folder: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    import soundfile

    samples, rate = soundfile.read(ROOT / "examples" / "recordings" / "clean_dialogue.flac")
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.flac", samples[: 4 * rate], rate)
    chosen = {"engine": "pyannote", "device": "cpu", "pyannote.pipeline": folder}
    options = [f"--set=diarize.{key}={value}" for key, value in chosen.items()]
    out = tmp_path / "out"
    done = wavemill("curate", tmp_path / "in", "--out", out, "--executor", "inline", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    tables = [p for p in (tmp_path / "out").rglob("*.parquet") if "diarize" in str(p)]
    assert sum(pq.read_table(path).num_rows for path in tables) > 0


class Trap:
    """What a malicious checkpoint holds: a call that unpickling would make."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_a_checkpoint_cannot_execute(folder: Path, tmp_path: Path) -> None:
    import torch

    about = {"versions": {"pyannote.audio": "4.0.0"}}
    shell = {"architecture": {"module": "subprocess", "class": "Popen"}}
    torch.save({"x": Trap(tmp_path / "sprung")}, tmp_path / "evil.ckpt")
    torch.save({"pyannote.audio": about | shell, "state_dict": {}}, tmp_path / "shell.ckpt")
    for name, message in (("evil", "mkdir"), ("shell", "asks for subprocess.Popen")):
        models = pair(folder)["models"] | {"embedding": tmp_path / f"{name}.ckpt"}
        with pytest.raises(EngineUnavailable, match=message):
            loaded(models=models)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pyannote.audio.pipelines.SpeakerDiarization", "subprocess.Popen", "asks for subprocess"),
        ("params:\n  clust", "preprocessors: {audio: os.system}\nparams:\n  clust", "preproc"),
        ("embedding_batch_size", "shell", "SpeakerDiarization, shell"),
        ("VBxClustering", "KMeansClustering", "asks for KMeansClustering"),
        ("$model/plda", "$model/gone", "gone holds no PLDA"),
        ("$model/embedding", "gone/away/far", "no usable embedding: 'gone/away/far'"),
        ("$model/segmentation", "$model/gone", "no model at .*gone; remedy: set segmentation in"),
        ("pipeline:", "tube:", "is no config of a pipeline: KeyError"),
    ],
)
def test_a_config_that_asks_for_more_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    for name in ("segmentation", "embedding", "plda"):
        (tmp_path / name).mkdir()
        for file in ("pytorch_model.bin", "xvec_transform.npz", "plda.npz"):
            (tmp_path / name / file).touch()
    assert pipeline_files_of(tmp_path, CONFIG).options["clustering"] == "VBxClustering"
    with pytest.raises(EngineUnavailable, match=message) as caught:
        pipeline_files_of(tmp_path, CONFIG.replace(old, new))
    assert "engine 'pyannote'" in str(caught.value)
    assert "remedy" in str(caught.value)


def pipeline_files_of(folder: Path, config: str) -> Any:
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    return pipeline_files(str(folder), None)


def test_a_wrong_path_is_named() -> None:
    with pytest.raises(EngineUnavailable, match=r"no pipeline '/no/where/at/all'; remedy: set "):
        pipeline_files("/no/where/at/all", None)
    half = {"segmentation": "a.ckpt"}
    with pytest.raises(ValueError, match="go together"):
        PyannoteConfig(models=half)  # type: ignore[arg-type]


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    config = PyannoteConfig(**pair(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"no model at .*set diarize\.pyannote\.models"):
        config.models.files()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No token; the tests replace what would ask the hub."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return monkeypatch


NAME = "pyannote/speaker-diarization-community-1"


def test_a_missing_token_says_what_to_do(hub: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    real = huggingface_hub.hf_hub_download

    def offline(*arguments: Any, **options: Any) -> str:
        assert options.get("local_files_only"), "without a token nothing is asked of the hub"
        return real(*arguments, cache_dir=tmp_path, **options)

    hub.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(EngineUnavailable) as caught:
        pipeline_files(PyannoteConfig().pipeline, None)
    message = str(caught.value)
    for part in (f"https://hf.co/{NAME}", "hf.co/settings/tokens", "HF_TOKEN is not set"):
        assert part in message
    assert "\n" not in message


def test_what_the_hub_refuses_says_what_to_do(hub: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    answers = {
        "conditions are not accepted": GatedRepoError.__new__(GatedRepoError),
        "does not exist, or HF_TOKEN": RepositoryNotFoundError.__new__(RepositoryNotFoundError),
        "cannot download .*: no route": OSError("no route\nmore"),
    }
    hub.setenv("HF_TOKEN", "hf_mine")
    for expected, error in answers.items():
        tokens = []

        def refuse(*_: Any, error: Exception = error, tokens: list = tokens, **options: Any) -> str:
            if options.get("local_files_only"):
                raise LocalEntryNotFoundError("not cached")
            tokens.append(options["token"])
            raise error

        hub.setattr(huggingface_hub, "hf_hub_download", refuse)
        with pytest.raises(EngineUnavailable, match=expected) as caught:
            pipeline_files(NAME, None)
        assert tokens == ["hf_mine"]
        assert "\n" not in str(caught.value)


def test_a_named_pipeline_comes_from_the_hub(hub: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked = []

    def serve(name: str, file: str, **options: Any) -> str:
        asked.append((name, options["subfolder"], file, options["revision"]))
        path = tmp_path / (options["subfolder"] or "") / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(CONFIG.replace("$model/embedding", "other/model"), encoding="utf-8")
        return str(path)

    hub.setattr(huggingface_hub, "hf_hub_download", serve)
    found = pipeline_files(NAME, "v1")
    assert asked == [
        (NAME, None, "config.yaml", "v1"),
        (NAME, "segmentation", "pytorch_model.bin", "v1"),
        ("other/model", None, "pytorch_model.bin", None),
        (NAME, "plda", "xvec_transform.npz", "v1"),
        (NAME, "plda", "plda.npz", "v1"),
    ]
    assert found.parameters["clustering"] == {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8}


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(EngineUnavailable, match=r"'pyannote\.audio' is not installed; remedy"):
        loaded()


def test_the_reports_thresholds_are_the_defaults() -> None:
    config = PyannoteConfig()
    assert (config.merge_similarity, config.chunk_similarity) == (0.6, 0.5)
    assert config.pipeline == NAME


def means(batch: np.ndarray) -> np.ndarray:
    """A model that tells where a window lies: samples are their own positions."""
    return np.stack([np.ones(len(batch)), batch.mean(axis=1)], axis=1)


@given(
    samples=st.integers(1, 400),
    start=st.integers(0, 399),
    size=st.integers(1, 400),
    bounds=st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20)),
)
def test_windows_lie_inside_the_track_and_cover_the_span(
    samples: int, start: int, size: int, bounds: tuple[int, int, int]
) -> None:
    start, shortest, longest = start % samples, min(bounds[:2]), max(bounds[:2])
    end = min(samples, start + size)
    windows = SpanWindows(min_ms=shortest, max_ms=longest, grid_ms=bounds[2])
    embedder = SpanEmbedder(np.zeros(samples, np.float32), 1000, means, 1, windows, 4)
    total, grid = max(samples, shortest), bounds[2]
    covered = np.zeros(total, bool)
    for first, size_of in embedder.windows((start, end)):
        assert 0 <= first <= first + size_of <= total
        assert shortest <= size_of <= longest
        covered[first : first + size_of] = True
    if end - start > longest:
        assert covered[start:end].all()
    else:
        assert (~covered[start:end]).sum() < grid
        assert covered.sum() <= max(shortest, end - start)


def test_spans_of_one_length_share_a_batch_and_are_asked_once() -> None:
    seen: list[tuple[int, ...]] = []

    def model(batch: np.ndarray) -> np.ndarray:
        seen.append(batch.shape)
        return means(batch)

    windows = SpanWindows(min_ms=10, max_ms=100, grid_ms=10)
    embedder = SpanEmbedder(np.arange(1000, dtype=np.float32), 1000, model, 1, windows, 3)
    spans = [(0, 50), (100, 154), (200, 250), (300, 350), (400, 405), (0, 50), (500, 700)]
    vectors = embedder(spans)
    assert seen == [(1, 10), (3, 50), (1, 50), (2, 100)]
    centres = [24.5, 126.5, 224.5, 324.5, 401.5, 24.5, 599.5]
    np.testing.assert_allclose(vectors[:, 1] / vectors[:, 0], centres, rtol=0.02)
    assert (embedder(spans[:3]) == vectors[:3]).all()
    assert len(seen) == 4


def test_importing_the_engine_is_light() -> None:
    code = (
        "import sys, wavemill.stages.diarize.pyannote; "
        "assert not {'torch', 'pyannote.audio', 'huggingface_hub'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert module.SAMPLE_RATE == RATE
