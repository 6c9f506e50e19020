"""Demucs: windows, local repositories, safe loading, and a small model through the stage."""

from __future__ import annotations

import hashlib
import os
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import wavemill
from tests.stages.audio.made import chirp, encoded
from tests.stages.denoise.test_stage import versions
from tests.support import ROOT
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.denoise.demucs import DemucsConfig, DemucsVocals
from wavemill.stages.denoise.stage import Config
from wavemill.stages.engine import EngineUnavailable, fingerprint_parameters

RATE = 44_100
SEGMENT = Fraction(1, 2)  # seconds; small, so that short audio has several windows
SOURCES = ["drums", "bass", "other", "vocals"]


def noise(samples: int, seed: int = 3) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def cut(audio: np.ndarray, points: list[int]) -> list[np.ndarray]:
    return np.split(audio, sorted(points))


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository in the package's own format: two tiny networks and bags of them."""
    pytest.importorskip("demucs", reason="package demucs (extra 'paper') is not installed")
    import torch
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs
    from demucs.states import get_state, save_with_checksum

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("repo")
    small: dict[str, Any] = {"channels": 8, "nfft": 512, "depth": 2, "segment": SEGMENT}
    transformer = HTDemucs(SOURCES, t_layers=1, t_heads=2, bottom_channels=16, **small)
    hybrid = HDemucs(SOURCES, channels=8, nfft=1024, depth=5, segment=0.5)
    elsewhere = HTDemucs(SOURCES, t_layers=0, samplerate=48_000, **small)
    stems = HTDemucs(["drums", "bass"], t_layers=0, **small)
    models = {"aaaa1111": transformer, "bbbb2222": hybrid, "48000": elsewhere, "two": stems}
    for name, model in models.items():
        args, kwargs = model._init_args_kwargs
        content = {
            "klass": type(model),
            "args": args,
            "kwargs": kwargs,
            "state": get_state(model, None, half=True),
            "training_args": {"best": np.float64(1.5)},  # the released files hold such numbers
        }
        if name == "aaaa1111":
            save_with_checksum(content, folder / f"{name}.th")
        else:
            torch.save(content, folder / f"{name}.th")
    (folder / "tiny.yaml").write_text("models: ['aaaa1111']\n", encoding="utf-8")
    (folder / "both.yaml").write_text(
        "models: ['aaaa1111', 'bbbb2222']\nweights: [[1, 1, 1, 0], [1, 0, 0, 2]]\n",
        encoding="utf-8",
    )
    (folder / "lost.yaml").write_text("models: ['cccc3333']\n", encoding="utf-8")
    (folder / "broken.yaml").write_text("models: {a: 1}\n", encoding="utf-8")
    return folder


def loaded(repo: Path, model: str = "tiny", **settings: Any) -> DemucsVocals:
    engine = DemucsVocals(DemucsConfig(model=model, repo=repo, **settings))
    engine.load("cpu")
    return engine


def run(engine: DemucsVocals, *blocks: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *engine.enhance(iter(blocks))])


@pytest.mark.parametrize("model", ["tiny", "bbbb2222"])
@pytest.mark.parametrize("samples", [0, 1, 1000, RATE // 2, RATE + 17])
def test_length_is_kept(repo: Path, model: str, samples: int) -> None:
    output = run(loaded(repo, model), noise(samples))
    assert output.shape == (samples,)
    assert output.dtype == np.float32
    assert np.isfinite(output).all()


def test_blocks_and_batches_do_not_matter(repo: Path) -> None:
    audio = noise(2 * RATE)
    whole = run(loaded(repo), audio)
    np.testing.assert_array_equal(run(loaded(repo), *cut(audio, [1, 500, 30_000])), whole)
    np.testing.assert_allclose(run(loaded(repo, batch=1), audio), whole, atol=1e-5)


def test_calls_are_independent(repo: Path) -> None:
    engine = loaded(repo)
    first, second = noise(RATE), noise(RATE, seed=4)
    alone = run(engine, first)
    both = zip(engine.enhance(iter([first])), engine.enhance(iter([second])), strict=True)
    np.testing.assert_array_equal(np.concatenate([pair[0] for pair in both]), alone)
    np.testing.assert_array_equal(run(engine, first), alone)


def test_loudness_does_not_matter(repo: Path) -> None:
    engine = loaded(repo)
    audio = noise(RATE)
    np.testing.assert_allclose(
        run(engine, audio / 256) * 256, run(engine, audio), rtol=1e-2, atol=1e-3
    )
    silent = run(engine, np.zeros(RATE, np.float32))
    assert np.abs(silent).max() < 1e-4


def test_it_is_the_vocals_stem_of_the_package(repo: Path) -> None:
    """One window, so nothing is cut or faded: the package's own way must give the same."""
    import torch
    from demucs.apply import apply_model
    from demucs.pretrained import get_model

    audio = noise(int(SEGMENT * RATE))
    mix = torch.from_numpy(audio)[None].expand(2, -1)
    mean, deviation = mix[0].mean(), mix[0].std(correction=0) + 1e-8
    for model in ("tiny", "both"):  # get_model unpickles without restriction: our own files
        stems = apply_model(
            get_model(model, repo), ((mix - mean) / deviation)[None], shifts=0, split=False
        )
        expected = (stems[0, SOURCES.index("vocals")] * deviation + mean).mean(dim=0)
        np.testing.assert_allclose(run(loaded(repo, model), audio), expected, atol=1e-5)


def test_a_network_without_a_say_is_left_out(repo: Path) -> None:
    engine = loaded(repo, "both")
    assert [(type(net).__name__, weight) for net, weight in engine._networks] == [("HDemucs", 2)]


def test_shifts_average_and_repeat(repo: Path) -> None:
    audio = noise(RATE)
    once, shifted = run(loaded(repo), audio), run(loaded(repo, shifts=3), audio)
    assert shifted.shape == once.shape
    assert np.abs(shifted - once).max() > 1e-6
    np.testing.assert_array_equal(run(loaded(repo, shifts=3), audio), shifted)
    np.testing.assert_array_equal(run(loaded(repo, shifts=1), audio), once)


def test_through_the_stage(repo: Path, tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.wav", chirp(1.7, 16_000), 16_000)
    (original,), (enhanced,) = versions(path, "demucs", {"model": "tiny", "repo": repo})
    assert (original["version"], enhanced["version"]) == ("original", "enhanced")
    assert decode_flac(original["audio"])[0].shape == decode_flac(enhanced["audio"])[0].shape
    assert enhanced["audio"] != original["audio"]


def test_through_curate(repo: Path, tmp_path: Path) -> None:
    import soundfile

    samples, rate = soundfile.read(ROOT / "examples" / "recordings" / "clean_dialogue.flac")
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.flac", samples[: 4 * rate], rate)
    chosen = {
        "recordings": "all",
        "engine": "demucs",
        "device": "cpu",
        "demucs.repo": repo,
        "demucs.model": "tiny",
    }
    options = [f"--set=denoise.{key}={value}" for key, value in chosen.items()]
    out = tmp_path / "out"
    done = wavemill("curate", tmp_path / "in", "--out", out, "--executor", "inline", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "out").rglob("*.parquet"))


def test_identity_follows_the_files(repo: Path, tmp_path: Path) -> None:
    from wavemill.stages.denoise.engines import ENGINES

    copy = Path(shutil.copytree(repo, tmp_path / "copy"))
    found, moved = (
        fingerprint_parameters(
            Config(engine="demucs", demucs={"model": "tiny", "repo": r}), ENGINES
        )
        for r in (repo, copy)
    )
    assert found == moved
    weights = found["weights"]
    (path,) = repo.glob("aaaa1111-*.th")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in weights
    assert path.stem.split("-")[1] in weights


def test_named_models_are_identified_without_a_download() -> None:
    pytest.importorskip("demucs", reason="package demucs (extra 'paper') is not installed")
    identity = DemucsVocals(DemucsConfig()).weights_identity()
    assert identity.endswith("htdemucs 955717e8-8726e21a.th")
    fine = DemucsVocals(DemucsConfig(model="htdemucs_ft")).weights_identity()
    assert fine.count(".th") == 4


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("absent", "has no model 'absent'; .*: 48000, aaaa1111, bbbb2222, both, broken, lost"),
        ("lost", "cccc3333"),
        ("broken", "is no bag of models"),
        ("48000", "48000 Hz"),
        ("two", "no source 'vocals', only drums, bass"),
    ],
)
def test_what_does_not_fit_is_named(repo: Path, model: str, message: str) -> None:
    with pytest.raises(EngineUnavailable, match=message) as caught:
        loaded(repo, model)
    assert "demucs" in str(caught.value)
    assert "remedy" in str(caught.value)


def test_too_long_windows_are_named(repo: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"at most 0\.5 s .*segment_seconds is 3"):
        loaded(repo, segment_seconds=3)


def test_a_wrong_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"nowhere is no folder; remedy: .*demucs\.repo"):
        DemucsVocals(DemucsConfig(repo=tmp_path / "nowhere")).weights_identity()


def test_a_damaged_file_is_named(repo: Path, tmp_path: Path) -> None:
    (path,) = repo.glob("aaaa1111-*.th")
    (tmp_path / path.name).write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EngineUnavailable, match="is damaged: its sha256"):
        loaded(tmp_path, "aaaa1111")


class Trap:
    """What a malicious checkpoint holds: a call that unpickling would make."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_a_checkpoint_cannot_execute(repo: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"klass": Trap(tmp_path / "sprung")}, tmp_path / "evil.th")
    torch.save({"klass": Fraction, "args": ("1",), "kwargs": {}, "state": {}}, tmp_path / "odd.th")
    for name, message in (("evil", "mkdir"), ("odd", "Fraction.*no model of the package")):
        with pytest.raises(EngineUnavailable, match=message):
            loaded(tmp_path, name)
    assert not (tmp_path / "sprung").exists()
    assert repo.is_dir()


def test_a_failed_download_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("demucs", reason="package demucs (extra 'paper') is not installed")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    refused = r"955717e8-8726e21a\.th cannot be fetched: no route; remedy"
    with pytest.raises(EngineUnavailable, match=refused):
        DemucsVocals(DemucsConfig()).load("cpu")


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    for act in (DemucsVocals.weights_identity, lambda engine: engine.load("cpu")):
        with pytest.raises(EngineUnavailable, match="package 'demucs' is not installed; remedy"):
            act(DemucsVocals(DemucsConfig()))
