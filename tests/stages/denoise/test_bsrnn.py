"""The bsrnn engine: contract, errors, laziness, and the way through the denoise stage."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.model.bsrnn.made import SMALL, noise, small_network, with_constant_mask
from tests.stages.audio.made import chirp, encoded
from tests.stages.denoise.test_stage import joined, versions
from wavemill.model.bsrnn.checkpoint import save_checkpoint
from wavemill.model.bsrnn.config import BsrnnConfig
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.denoise.bsrnn import BSRNN, BsrnnEngineConfig
from wavemill.stages.denoise.engines import ENGINES
from wavemill.stages.denoise.stage import Config
from wavemill.stages.engine import EngineUnavailable, fingerprint_parameters

RATE = 48_000
VERSIONS = ("original", "enhanced")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bsrnn") / "random"
    save_checkpoint(small_network(), folder)
    return folder


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bsrnn") / "identity"
    save_checkpoint(with_constant_mask(small_network(), 1.0), folder)
    return folder


def loaded(weights: Path, **settings: Any) -> BSRNN:
    short = {"window_seconds": 0.2, "overlap_seconds": 0.05, "batch_windows": 2}
    engine = BSRNN(BsrnnEngineConfig(weights=str(weights), **{**short, **settings}))
    engine.load("cpu")
    return engine


def run(engine: BSRNN, *blocks: np.ndarray) -> np.ndarray:
    return np.concatenate([*engine.enhance(iter(blocks)), np.zeros(0, np.float32)])


@pytest.mark.parametrize("samples", [0, 1, 480, 9599, 9600, 9601, 30_000, 50_001])
def test_length_and_alignment_are_kept(identity: Path, samples: int) -> None:
    audio = noise(samples)
    np.testing.assert_allclose(run(loaded(identity), audio), audio, atol=2e-6)


def test_block_sizes_do_not_matter(weights: Path) -> None:
    engine, audio = loaded(weights), noise(40_000)
    whole = run(engine, audio)
    assert np.abs(whole - audio).max() > 0.01
    pieces = np.split(audio, [1, 2, 500, 970, 25_000])
    np.testing.assert_array_equal(run(engine, *pieces), whole)


def test_batches_change_nothing_but_rounding(weights: Path) -> None:
    audio = noise(60_000)
    one, many = (run(loaded(weights, batch_windows=count), audio) for count in (1, 5))
    np.testing.assert_allclose(one, many, atol=1e-5)


def test_long_audio_starts_as_its_first_window_alone(weights: Path) -> None:
    engine, audio = loaded(weights), noise(30_000)
    first = run(engine, audio[:9600])
    np.testing.assert_allclose(run(engine, audio)[:7200], first[:7200], atol=1e-5)


def test_calls_are_independent(weights: Path) -> None:
    engine = loaded(weights)
    first, second = noise(40_000), noise(40_000, seed=9) * 3
    alone = run(engine, first)
    both = zip(engine.enhance(iter([first])), engine.enhance(iter([second])), strict=True)
    np.testing.assert_array_equal(np.concatenate([pair[0] for pair in both]), alone)


def test_long_streams_stay_in_memory(identity: Path) -> None:
    engine, taken, given = loaded(identity), 0, 0

    def source() -> Iterator[np.ndarray]:
        nonlocal taken
        for _ in range(100):
            taken += 4800
            yield np.full(4800, 0.1, np.float32)

    span = 2 * round(0.15 * RATE) + round(0.05 * RATE)
    for block in engine.enhance(source()):
        assert taken - given <= span + 4800
        given += block.size
    assert taken == given == 480_000


@pytest.mark.parametrize("version", ["original", "enhanced"])
def test_through_the_stage(identity: Path, tmp_path: Path, version: str) -> None:
    path = encoded(tmp_path / "a.flac", chirp(3.3, 16_000), 16_000)
    section = {"weights": str(identity), "window_seconds": 1.0, "overlap_seconds": 0.25}
    found = dict(zip(VERSIONS, versions(path, "bsrnn", section, block_seconds=1), strict=True))
    source = chirp(3.3, 16_000)[0]
    # To 48 kHz and back: all but the last of the band's edge is there, sample by sample.
    error = joined(found[version]) - source
    assert np.sqrt(np.mean(error**2)) < 0.02 * np.sqrt(np.mean(source**2))


def test_through_curate(weights: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    import soundfile

    from tests.pipeline.test_curation import RECORDINGS, wavemill

    samples, rate = soundfile.read(RECORDINGS / "clean_dialogue.flac")
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.flac", samples[: 4 * rate], rate)
    chosen = {"engine": "bsrnn", "device": "cpu", "bsrnn.weights": weights}
    chosen["recordings"] = "all"
    options = [f"--set=denoise.{key}={value}" for key, value in chosen.items()]
    out = tmp_path / "out"
    wavemill("curate", tmp_path / "in", "--out", out, "--executor", "inline", *options)
    audio = {}
    for stage in ("decode", "denoise"):
        (path,) = (out / "stages" / stage).rglob("*.parquet")
        (row,) = pq.read_table(path).to_pylist()
        audio[row["version"]] = decode_flac(row["audio"])[0]
    assert audio["original"].shape == audio["enhanced"].shape == (4 * rate,)
    assert np.abs(audio["enhanced"] - audio["original"]).max() > 0.01
    assert len(list((out / "corpus" / "pretrain").glob("*.parquet"))) == 1


def test_weights_enter_the_fingerprint(weights: Path, identity: Path) -> None:
    first, other = (
        fingerprint_parameters(Config(engine="bsrnn", bsrnn={"weights": str(folder)}), ENGINES)
        for folder in (weights, identity)
    )
    assert first["weights"].startswith("bsrnn ")
    assert first["weights"] != other["weights"]


def broken(case: str, tmp_path: Path) -> tuple[str | None, str]:
    """Return a `weights` setting and what the message must say about it."""
    folder = tmp_path / "weights"
    if case == "null":
        return None, "no weights are named"
    if case == "absent":
        return str(folder), f"no folder {folder}"
    save_checkpoint(small_network(), folder)
    (folder / case).unlink()
    return str(folder), f"cannot read {folder / case}"


@pytest.mark.parametrize("case", ["null", "absent", "config.json", "model.safetensors"])
def test_missing_weights_are_named_with_a_remedy(case: str, tmp_path: Path) -> None:
    weights, problem = broken(case, tmp_path)
    engine = BSRNN(BsrnnEngineConfig(weights=weights))
    for use in (engine.weights_identity, lambda: engine.load("cpu")):
        with pytest.raises(EngineUnavailable) as caught:
            use()
        for part in ("'bsrnn'", problem, "remedy: set denoise.bsrnn.weights"):
            assert part in str(caught.value)


def test_another_rate_is_refused(tmp_path: Path) -> None:
    config = BsrnnConfig(**{**SMALL.model_dump(), "sample_rate": 16_000})
    save_checkpoint(small_network(config=config), tmp_path)
    with pytest.raises(EngineUnavailable, match="is for 16000 Hz, not 48000"):
        loaded(tmp_path)


def test_overlaps_longer_than_half_a_window_are_refused() -> None:
    with pytest.raises(ValueError, match="at most half"):
        BsrnnEngineConfig(window_seconds=1, overlap_seconds=0.6)


def test_importing_and_naming_the_weights_is_light(weights: Path) -> None:
    code = (
        "import sys; from wavemill.stages.denoise.bsrnn import BSRNN, BsrnnEngineConfig; "
        "BSRNN(BsrnnEngineConfig(weights=sys.argv[1])).weights_identity(); "
        "assert not {'torch', 'safetensors', 'scipy', 'soundfile'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(weights)], check=False).returncode == 0
