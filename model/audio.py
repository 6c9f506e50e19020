"""Sound as spectra: frames and their transform, mel filters, three log-mels, and the way back.

numpy serves the k-means tokens, whose stages do without torch; torch is imported by the functions
that return tensors. Units are said with each function: the log-mels of the k-means tokens, of
Whisper and of the vocoder differ in scale, floor and padding, as `docs/published-format.md` has it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Scale = Literal["htk", "slaney"]

# Slaney's mel scale: linear up to 1 kHz, logarithmic above.
LINEAR_HZ = 200.0 / 3  # per mel
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ
LOG_STEP = np.log(6.4) / 27.0

DECIBEL_SILENCE = 1e-12  # power below which a band counts as digital silence: -120 dB
FRAMES_AT_ONCE = 4096  # of `decibel_mel`: bounds memory, 82 s of the k-means tokens

WHISPER_RATE = 16_000  # Hz
WHISPER_HOP = 160  # samples: 100 frames a second
WHISPER_WINDOW = 400  # samples
WHISPER_BANDS = 128  # of large-v3 and its descendants; smaller models have 80
WHISPER_SILENCE = 1e-10  # power below which a band counts as silent
WHISPER_RANGE = 8.0  # in log10 of power: what is softer than the loudest band by more is cut off

VOCODER_POWER_FLOOR = 1e-9  # added to power before the root
VOCODER_LOG_FLOOR = 1e-5  # least magnitude of a band

MOMENTUM = 0.99  # of fast Griffin-Lim (Perraudin et al. 2013)
SPREADING_STEPS = 30  # multiplicative updates from band to bin magnitudes
TINY = 1e-8
LEAST_WEIGHT = 1e-3  # of a sample in the overlap-add: keeps the outermost finite


class MelSettings(Protocol):
    """A vocoder's mel spectrogram; the configuration of a vocoder satisfies it."""

    @property
    def sampling_rate(self) -> int: ...  # Hz
    @property
    def n_fft(self) -> int: ...  # samples
    @property
    def hop_size(self) -> int: ...  # samples per frame
    @property
    def win_size(self) -> int | None: ...  # samples; None: n_fft
    @property
    def num_mels(self) -> int: ...
    @property
    def fmin(self) -> float: ...  # Hz
    @property
    def fmax(self) -> float | None: ...  # Hz; None: half the sampling rate


@lru_cache(maxsize=16)
def mel_filters(
    sample_rate: int,
    n_fft: int,
    bands: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    scale: Scale = "slaney",
) -> np.ndarray:
    """Return triangular filters, float32 (bands, n_fft // 2 + 1), evenly spaced on a mel scale.

    On Slaney's scale each triangle has the same area, and the values are librosa's bit by bit; on
    HTK's each has a peak of 1. `high_hz` None is half the sample rate.
    """
    top = sample_rate / 2 if high_hz is None else high_hz
    to_mel, to_hertz = (_htk_mel, _htk_hertz) if scale == "htk" else (_slaney_mel, _slaney_hertz)
    corners = to_hertz(np.linspace(to_mel(low_hz), to_mel(top), bands + 2))
    bins = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    low, centre, high = (corners[i : i + bands, None] for i in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    if scale == "slaney":
        filters *= 2.0 / (high - low)
    return filters


def _htk_mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def _htk_hertz(mel: np.ndarray) -> np.ndarray:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def _slaney_mel(hertz: float) -> float:
    if hertz < BREAK_HZ:
        return hertz / LINEAR_HZ
    return float(BREAK_MEL + np.log(hertz / BREAK_HZ) / LOG_STEP)


def _slaney_hertz(mel: np.ndarray) -> np.ndarray:
    logarithmic = BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL))
    return np.where(mel < BREAK_MEL, mel * LINEAR_HZ, logarithmic)


@lru_cache(maxsize=4)
def hann(samples: int) -> np.ndarray:
    """Return a periodic Hann window, float32 (samples,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype(np.float32)


def decibel_mel(
    audio: np.ndarray, frames: int, sample_rate: int, window: int, hop: int, bands: int
) -> np.ndarray:
    """Return the log-mel power of `audio` in dB on HTK's scale: float32 (frames, bands).

    `audio` is float32 (samples,) at `sample_rate`. Frame k is centred on the k-th hop; the audio
    is filled up with silence, or cut, to `frames` hops.
    """
    margin = (window - hop) // 2  # on each side of a hop, so that it sits mid-window
    padded = np.zeros(frames * hop + 2 * margin, np.float32)
    used = min(len(audio), frames * hop)
    padded[margin : margin + used] = audio[:used]
    filters = mel_filters(sample_rate, window, bands, scale="htk")
    output = np.empty((frames, bands), np.float32)
    for first in range(0, frames, FRAMES_AT_ONCE):
        last = min(first + FRAMES_AT_ONCE, frames)
        part = padded[first * hop : last * hop + 2 * margin]
        spectrum = np.abs(spectra(part, window, hop)) ** 2
        output[first:last] = 10.0 * np.log10(np.maximum(spectrum @ filters.T, DECIBEL_SILENCE))
    return output


def spectra(audio: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Transform float (samples,) to complex (frames, window // 2 + 1), with a Hann window.

    Frame k begins at sample k * hop: whoever wants frames centred pads the audio before.
    """
    pieces = np.lib.stride_tricks.sliding_window_view(audio, window)[::hop]
    return np.fft.rfft(pieces * hann(window), axis=1)


def stft(audio: Tensor, n_fft: int, hop: int, window: Tensor) -> Tensor:
    """Transform float (..., samples) to complex (..., n_fft // 2 + 1, frames).

    Frame k begins at sample k * hop: whoever wants frames centred pads the audio before. A window
    (samples,) that is shorter than `n_fft` is centred in it.
    """
    import torch

    rows = audio.reshape(-1, audio.shape[-1])
    spectrum = torch.stft(rows, n_fft, hop, len(window), window, center=False, return_complex=True)
    return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[1:])


def inverse_stft(spectrum: Tensor, n_fft: int, hop: int, window: Tensor) -> Tensor:
    """Transform complex (..., n_fft // 2 + 1, frames) to float (..., (frames - 1) * hop + n_fft).

    Least-squares overlap-add: undoes `stft` where the windows overlap. `window` as there.
    """
    import torch
    from torch.nn import functional

    before = (n_fft - len(window)) // 2
    whole = functional.pad(window, (before, n_fft - len(window) - before))[:, None]
    frames = spectrum.shape[-1]
    rows = spectrum.reshape(-1, *spectrum.shape[-2:])
    pieces = torch.fft.irfft(rows, n=n_fft, dim=1) * whole
    length = (frames - 1) * hop + n_fft

    def overlapped(columns: Tensor) -> Tensor:
        return functional.fold(columns, (1, length), (1, n_fft), stride=(1, hop)).flatten(1)

    weight = overlapped(whole.square().expand(1, n_fft, frames))
    audio = overlapped(pieces) / weight.clamp_min(LEAST_WEIGHT)
    return audio.reshape(*spectrum.shape[:-2], length)


def whisper_log_mel(waveforms: Tensor, bands: int = WHISPER_BANDS) -> Tensor:
    """Return Whisper's log-mel of float32 (batch, samples) at 16 kHz.

    (batch, bands, samples // WHISPER_HOP), about -1 to 1. Each waveform is seen against its
    own loudest band; it needs more than WHISPER_WINDOW / 2 samples.
    """
    import torch
    from torch.nn import functional

    half = WHISPER_WINDOW // 2
    padded = functional.pad(waveforms[:, None], (half, half), mode="reflect")[:, 0]
    window = torch.hann_window(WHISPER_WINDOW, device=waveforms.device)
    power = stft(padded, WHISPER_WINDOW, WHISPER_HOP, window)[..., :-1].abs() ** 2
    filters = torch.from_numpy(mel_filters(WHISPER_RATE, WHISPER_WINDOW, bands))
    log = (filters.to(power.device) @ power).clamp_min(WHISPER_SILENCE).log10()
    loudest = log.amax(dim=(1, 2), keepdim=True)
    return (torch.maximum(log, loudest - WHISPER_RANGE) + 4.0) / 4.0


def vocoder_log_mel(audio: Tensor, settings: MelSettings) -> Tensor:
    """Return float32 (..., samples // hop_size, num_mels) of float32 audio (..., samples).

    Natural logarithms of magnitudes, as the flow network and the vocoder know them. Audio is at
    `settings.sampling_rate`, in [-1, 1]. Raises ValueError when it is shorter than
    n_fft - 2 * ((n_fft - hop_size) // 2) samples: one frame at the published settings.
    """
    import torch
    from torch.nn import functional

    margin = (settings.n_fft - settings.hop_size) // 2
    if audio.shape[-1] < max(settings.n_fft - 2 * margin, margin + 1):
        raise ValueError(f"{audio.shape[-1]} samples of audio are too short for a mel frame")
    rows = audio.reshape(-1, audio.shape[-1])
    padded = functional.pad(rows[:, None], (margin, margin), mode="reflect")[:, 0]
    window = torch.hann_window(settings.win_size or settings.n_fft, device=audio.device)
    spectrum = stft(padded, settings.n_fft, settings.hop_size, window)
    magnitude = (torch.view_as_real(spectrum).square().sum(-1) + VOCODER_POWER_FLOOR).sqrt()
    filters = torch.from_numpy(vocoder_filters(settings)).to(audio.device)
    mel = (filters @ magnitude).clamp_min(VOCODER_LOG_FLOOR).log()
    return mel.transpose(1, 2).reshape(*audio.shape[:-1], -1, settings.num_mels)


def vocoder_filters(settings: MelSettings) -> np.ndarray:
    """Return the filters of a vocoder's mel frames: float32 (num_mels, n_fft // 2 + 1)."""
    return mel_filters(
        settings.sampling_rate, settings.n_fft, settings.num_mels, settings.fmin, settings.fmax
    )


def griffin_lim(mel: Tensor, settings: MelSettings, iterations: int = 60, seed: int = 0) -> Tensor:
    """Return audio float32 (frames * hop_size,) whose `vocoder_log_mel` is near `mel`.

    What a trained vocoder is to be better than. `mel` is float (frames, num_mels). Bands are spread
    over their bins, and phases are found that fit (fast Griffin-Lim, Perraudin et al. 2013); it
    starts from random phases, which `seed` decides.
    """
    import torch

    if not len(mel):
        return mel.new_zeros(0)
    magnitude = _bin_magnitudes(mel.float(), settings)
    phases = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(seed))
    n_fft, hop = settings.n_fft, settings.hop_size
    window = torch.hann_window(settings.win_size or n_fft, device=magnitude.device)
    magnitude, phases = magnitude.T, phases.T.to(magnitude.device)
    spectrum = torch.polar(magnitude, 2 * torch.pi * phases)
    previous = torch.zeros_like(spectrum)
    for _ in range(iterations):
        consistent = stft(inverse_stft(spectrum, n_fft, hop, window), n_fft, hop, window)
        ahead = consistent + MOMENTUM * (consistent - previous)
        previous = consistent
        spectrum = torch.polar(magnitude, ahead.angle())
    margin = (n_fft - hop) // 2
    return inverse_stft(spectrum, n_fft, hop, window)[margin : margin + len(mel) * hop]


def _bin_magnitudes(mel: Tensor, settings: MelSettings) -> Tensor:
    """Return magnitudes (frames, n_fft // 2 + 1), none negative, whose bands are those of `mel`.

    Starts with the filters' least squares solution, cut off at zero, and brings its bands to the
    wanted ones by multiplicative updates (Lee and Seung 1999).
    """
    import torch

    numbers = vocoder_filters(settings)
    filters = torch.from_numpy(numbers).to(mel.device)
    inverse = torch.from_numpy(np.linalg.pinv(numbers).astype(np.float32)).to(mel.device)
    bands = (mel.exp() - VOCODER_LOG_FLOOR).clamp_min(0.0)
    magnitude = (bands @ inverse.T).clamp_min(TINY)
    wanted = bands @ filters
    for _ in range(SPREADING_STEPS):
        magnitude = magnitude * wanted / (magnitude @ filters.T @ filters + TINY)
    return magnitude
