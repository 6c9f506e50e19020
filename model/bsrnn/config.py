"""Hyper-parameters of a Band-Split RNN, and the ways to split 24 kHz into bands."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# (number of bands, width in Hz) from 0 Hz up; what is left to the top is one more band.
BAND_SPLITS: dict[str, tuple[tuple[int, int], ...]] = {
    # Yu et al. 2022 for 48 kHz: "33 subbands, including twenty 200 Hz bandwidth subbands for low
    # frequency followed by six 500 Hz subbands and seven 2 kHz subbands": 0 to 21 kHz.
    "yu2022": ((20, 200), (6, 500), (7, 2000)),
    # Ours, for the tiny configuration: fine where voices have their harmonics, few bands in all.
    "coarse": ((10, 200), (6, 500), (3, 1000)),
}


class BsrnnConfig(BaseModel):
    """A network; the defaults are the ones for the paper profile.

    `window`, `hop` and `bands` are those of Yu et al. 2022 at 48 kHz (20 ms, 10 ms, 33 bands and
    the rest), and so are the residual spectrogram and the one direction above a frequency.
    `features` and `hidden` follow Luo and Yu 2022 (N = 128, 2 N cells), `pairs` their 12 recurrent
    layers, six over time and six over bands; benchmarks/bsrnn.md says what is still to be checked
    against the papers' texts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: Literal["bsrnn"] = "bsrnn"
    sample_rate: int = Field(48_000, ge=8000)  # Hz
    window: int = Field(960, ge=2)  # samples of the short-time Fourier transform
    hop: int = Field(480, ge=1)  # samples
    bands: str = "yu2022"  # a name in BAND_SPLITS
    features: int = Field(128, ge=1)  # numbers per band and frame
    hidden: int = Field(256, ge=1)  # LSTM cells per direction
    pairs: int = Field(6, ge=1)  # of a recurrence over time and one over bands
    mask_hidden: int = Field(512, ge=1)  # hidden units of the mask estimation, 4 features
    # Bands that begin at or above are seen upwards only, since high frequencies of full-band
    # recordings are unstable (Yu et al. 2022). Where they begin is our choice: with the 2 kHz
    # bands. None: both directions everywhere.
    one_way_above: int | None = Field(7000, ge=0)  # Hz
    residual: bool = True  # add an estimated spectrogram to the masked one

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.bands not in BAND_SPLITS:
            raise ValueError(f"bands: no split {self.bands!r}; there are {', '.join(BAND_SPLITS)}")
        if self.window != 2 * self.hop:
            raise ValueError("window must be 2 * hop: the transform's window adds up to one so")
        band_bins(self)
        return self


def band_bins(config: BsrnnConfig) -> tuple[int, ...]:
    """Return how many bins each band has, low to high; together window // 2 + 1.

    A bin belongs to the band that its frequency closes or lies in: the first band has bin 0 (0 Hz)
    in addition. Bands above half the sample rate are left out, the rest below it is one band.
    Raises ValueError when a band has no bin.
    """
    total = config.window // 2 + 1
    edges = [1]
    top = 0
    for count, width in BAND_SPLITS[config.bands]:
        for _ in range(count):
            top += width
            edges.append(min(1 + top * config.window // config.sample_rate, total))
    bins = [high - low for low, high in pairwise(edges)]
    bins[0] += 1
    whole = [width for width, low in zip(bins, edges, strict=False) if low < total]
    if min(whole) < 1:
        raise ValueError(f"bands: a band of {config.bands!r} is narrower than a bin")
    rest = total - sum(whole)
    return (*whole, rest) if rest else tuple(whole)


def two_way_bands(config: BsrnnConfig) -> int:
    """Return how many bands, from the lowest, are seen in both directions."""
    bins = band_bins(config)
    if config.one_way_above is None:
        return len(bins)
    limit = config.one_way_above * config.window / config.sample_rate
    # The bins below band k are 0 ... sum(bins[:k]) - 1; the last of them is the band's lower edge.
    return sum(max(0, sum(bins[:k]) - 1) < limit for k in range(len(bins)))


PRESETS: dict[str, BsrnnConfig] = {
    "paper": BsrnnConfig(),
    "tiny": BsrnnConfig(bands="coarse", features=24, hidden=32, pairs=2, mask_hidden=48),
}
