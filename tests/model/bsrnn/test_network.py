"""Band split, transform and network: shapes, coverage, identity, independence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.model.bsrnn.made import SMALL, noise, small_network, with_constant_mask
from wavemill.model.bsrnn.config import BAND_SPLITS, PRESETS, BsrnnConfig, band_bins, two_way_bands
from wavemill.model.bsrnn.network import BandSplit, Stft


def test_the_paper_bands() -> None:
    """33 bands of 200, 500 and 2000 Hz at bins of 50 Hz, bin 0 with the first; 3 kHz are left."""
    assert band_bins(PRESETS["paper"]) == (5, *[4] * 19, *[10] * 6, *[40] * 7, 60)
    assert two_way_bands(PRESETS["paper"]) == 26
    assert two_way_bands(BsrnnConfig(one_way_above=None)) == 34
    assert two_way_bands(BsrnnConfig(one_way_above=0)) == 0


@given(
    bands=st.sampled_from(sorted(BAND_SPLITS)),
    rate=st.sampled_from([8000, 16_000, 24_000, 44_100, 48_000]),
    milliseconds=st.sampled_from([20, 32, 40]),
)
def test_every_bin_is_in_one_band(bands: str, rate: int, milliseconds: int) -> None:
    hop = rate * milliseconds // 2000
    config = BsrnnConfig(sample_rate=rate, window=2 * hop, hop=hop, bands=bands)
    bins = band_bins(config)
    assert min(bins) >= 1
    assert sum(bins) == hop + 1
    assert 0 < two_way_bands(config) <= len(bins)


def test_each_bin_reaches_its_band_alone() -> None:
    bins = band_bins(SMALL)
    split = BandSplit(bins, 8)
    quiet = torch.zeros(1, sum(bins), 5, dtype=torch.complex64)
    before = split(quiet)
    edges = np.cumsum(bins)
    for number in (0, 4, 5, 100, 101, 480):
        loud = quiet.clone()
        loud[0, number, 2] = 1 + 1j
        changed = (split(loud) != before).any(dim=-1).any(dim=1)[0]
        assert changed.nonzero().flatten().tolist() == [
            int(np.searchsorted(edges, number, "right"))
        ]


@pytest.mark.parametrize("wrong", [{"bands": "none"}, {"hop": 240}, {"window": 96, "hop": 48}])
def test_configs_that_do_not_fit(wrong: dict[str, int | str]) -> None:
    with pytest.raises(ValidationError, match=r"bands|hop"):
        BsrnnConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("samples", [1, 479, 480, 481, 960, 5000])
def test_the_transform_is_an_identity(samples: int) -> None:
    audio = torch.from_numpy(noise(2 * samples)).view(2, samples)
    stft = Stft(960)
    spectrum = stft(audio)
    assert spectrum.shape == (2, 481, -(-samples // 480) + 1)
    torch.testing.assert_close(stft.inverse(spectrum, samples), audio, atol=1e-6, rtol=0)


def test_the_transform_keeps_the_power_of_noise() -> None:
    spectrum = Stft(960)(torch.from_numpy(10 * noise(480_000))[None])
    assert spectrum[:, 1:-1, 1:-1].abs().square().mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("gain", [1.0, 0.25])
def test_a_constant_mask_is_a_gain(gain: float) -> None:
    network = with_constant_mask(small_network(), gain)
    audio = torch.from_numpy(noise(7001))[None]
    torch.testing.assert_close(network(audio), gain * audio, atol=2e-6, rtol=0)


@pytest.mark.parametrize("above", [None, 7000, 0])
@pytest.mark.parametrize("residual", [True, False])
def test_shapes(above: int | None, residual: bool) -> None:
    config = SMALL.model_copy(update={"one_way_above": above, "residual": residual})
    network = small_network(config=config)
    for shape in [(1, 1), (3, 2000)]:
        out = network(torch.from_numpy(noise(shape[0] * shape[1])).view(shape))
        assert out.shape == shape
        assert out.dtype == torch.float32


def test_high_bands_do_not_reach_low_ones_over_bands() -> None:
    block = small_network().blocks[1]
    block.norm = torch.nn.Identity()  # which looks at all bands together
    x = torch.randn(1, 3, len(band_bins(SMALL)), 8)
    changed = x.clone()
    changed[:, :, block.two_way :] += 1
    low, high = (out[:, :, : block.two_way] for out in (block(x), block(changed)))
    torch.testing.assert_close(low, high)
    changed = x.clone()
    changed[:, :, 0] += 1
    assert (block(x)[:, :, -1] != block(changed)[:, :, -1]).any()


def test_level_and_neighbours_in_the_batch_do_not_matter() -> None:
    network = small_network()
    audio = torch.from_numpy(noise(9600)).view(2, 4800)
    out = network(audio)
    assert (out - audio).abs().max() > 0.01
    torch.testing.assert_close(network(audio[:1]), out[:1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network(audio * 0.01), out * 0.01, atol=1e-7, rtol=1e-3)


def test_silence_stays_silent() -> None:
    out = small_network()(torch.zeros(1, 4800))
    assert out.abs().max() < 1e-3
    assert out.isfinite().all()


def test_presets_start_as_identity() -> None:
    audio = torch.from_numpy(noise(4800))[None]
    torch.manual_seed(0)
    from wavemill.model.bsrnn.network import Bsrnn

    out = Bsrnn(PRESETS["tiny"])(audio)
    assert (out - audio).norm() < 0.1 * audio.norm()
