"""Part (e): the engines of the profiles `standard` and `paper`, in hours of audio an hour.

Denoisers and diarization hear the example recordings one after another, as long as a recording of
the wild; transcribers hear windows of 30 s. Networks without bundled weights have random ones, so
what they find means nothing, but not how long they take.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch

from benchmarks.gpu.rows import Row, Setting
from wavemill.model import blocks
from wavemill.model.bsrnn.checkpoint import save_checkpoint
from wavemill.model.bsrnn.config import PRESETS
from wavemill.model.bsrnn.network import Bsrnn
from wavemill.stages.denoise.bsrnn import BSRNN, BsrnnEngineConfig
from wavemill.stages.denoise.demucs import DemucsConfig, DemucsVocals
from wavemill.stages.denoise.rnnoise import RNNoise
from wavemill.stages.diarize.campplus import Campplus, CampplusConfig
from wavemill.stages.engine import EngineConfig
from wavemill.stages.score_audio.dnsmos import Dnsmos, DnsmosConfig

EXAMPLES = Path(__file__).parents[2] / "examples" / "recordings"
VOCABULARY = 51_866
WINDOW_S = 30
WRITTEN = 100  # tokens of a window: random weights never end by themselves
NAMED = {
    50_257: "endoftext", 50_258: "startoftranscript", 50_259: "en", 50_360: "transcribe",
    50_363: "nospeech", 50_364: "notimestamps",
}  # fmt: skip
# encoder layers, decoder layers, heads, width of Whisper, as `transcribe` names them
WHISPER = {
    "tiny": (1, 1, 2, 64),
    "large-v3-turbo": (32, 4, 20, 1280),
    "large-v3": (32, 32, 20, 1280),
}


def rows(setting: Setting) -> Iterator[Row]:
    torch.set_num_threads(1)  # as the engines themselves do
    paper = setting.shapes == "paper"
    whispers = ("large-v3-turbo", "large-v3") if paper else ("tiny",)
    parts: dict[str, Callable[[Setting], float]] = {
        "RNNoise, on one core": rnnoise,
        "BSRNN": bsrnn,
        "Demucs": demucs,
        "CAM++ diarization": campplus,
        # Its import takes half a minute.
        **({} if setting.quick else {"networks of pyannote": pyannote}),
        **{f"Whisper {name}": lambda s, n=name: whisper(n, s) for name in whispers},
        "DNSMOS, on one core": dnsmos,
    }
    failed = []
    for name, measure in parts.items():
        try:
            yield Row(name, measure(setting), "h/h")
        except Exception as error:  # a package that is not there, a library that does not fit
            failed.append(f"{name}: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
    if failed:
        raise RuntimeError("; ".join(failed))


def speech(seconds: float, rate: int) -> np.ndarray:
    """Return the examples, one after another and again: float32 (samples,)."""
    heard: list[np.ndarray] = []
    for file in sorted(EXAMPLES.glob("*.flac")):
        samples, own = soundfile.read(file, dtype="float32", always_2d=True)
        heard.append(soxr.resample(samples.mean(1), own, rate).astype(np.float32))
        if sum(map(len, heard)) >= seconds * rate:
            break
    return np.resize(np.concatenate(heard), round(seconds * rate))


def enhanced(engine: Any, seconds: float, rate: int, setting: Setting) -> float:
    audio = speech(seconds, rate)

    def run() -> None:
        for _ in engine.enhance(iter(np.array_split(audio, max(1, round(seconds))))):
            pass

    return seconds / setting.seconds(run, 1)


def rnnoise(setting: Setting) -> float:
    engine = RNNoise(EngineConfig())
    engine.load("cpu")
    return enhanced(engine, setting.of(20, 2), RNNoise.sample_rate or 48_000, setting)


def bsrnn(setting: Setting) -> float:
    config = PRESETS["tiny" if setting.quick else "paper"]
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Bsrnn(config), Path(folder))
        engine = BSRNN(BsrnnEngineConfig(weights=folder))
        engine.load(str(setting.device))
    return enhanced(engine, setting.of(120, 1), BSRNN.sample_rate, setting)


def demucs(setting: Setting) -> float:
    from demucs.htdemucs import HTDemucs

    sources = ["drums", "bass", "other", "vocals"]
    # The published htdemucs: its shapes are the class's own, but for these.
    small = (
        {"channels": 8, "t_layers": 1, "segment": 1, "bottom_channels": 0}
        if setting.quick
        else {"segment": 39 / 5}
    )
    network = HTDemucs(sources, **({"bottom_channels": 512} | small)).to(setting.device).eval()
    engine = DemucsVocals(DemucsConfig())
    engine._device, engine._channels, engine._vocals = setting.device, 2, 3
    engine._networks = [(network, 1.0)]
    engine._length = int(float(network.segment) * DemucsVocals.sample_rate)
    return enhanced(engine, setting.of(120, 1), DemucsVocals.sample_rate, setting)


class Heard:
    """A track in memory."""

    track = 0

    def __init__(self, seconds: float) -> None:
        self.rate, self.samples = 16_000, speech(seconds, 16_000)

    def read(self, start_ms: int, end_ms: int, sample_rate: int | None = None) -> np.ndarray:
        assert sample_rate in (None, self.rate)
        return self.samples[start_ms * self.rate // 1000 : end_ms * self.rate // 1000]

    def stream(self, sample_rate: int, chunk_ms: int = 60_000) -> Iterator[np.ndarray]:
        assert sample_rate == self.rate
        step = chunk_ms * self.rate // 1000
        yield from (self.samples[at : at + step] for at in range(0, len(self.samples), step))


def campplus(setting: Setting) -> float:
    engine, seconds = Campplus(CampplusConfig()), setting.of(300, 4)
    engine.load(str(setting.device))
    track = Heard(seconds)
    return seconds / setting.seconds(lambda: engine.diarize(track), 1)


@torch.inference_mode()
def pyannote(setting: Setting) -> float:
    """Segmentation of a window of 10 s each second, and a voice of two speakers in each."""
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import WeSpeakerResNet34
    from pyannote.audio.models.segmentation import PyanNet

    segmentation = PyanNet(sincnet={"stride": 10}, lstm={"num_layers": 4, "bidirectional": True})
    segmentation.specifications = Specifications(
        Problem.MONO_LABEL_CLASSIFICATION, Resolution.FRAME, duration=10.0, powerset_max_classes=2,
        classes=["one", "two", "three"], permutation_invariant=True,
    )  # fmt: skip
    segmentation.build()
    embedding = WeSpeakerResNet34()
    networks = [one.to(setting.device).eval() for one in (segmentation, embedding)]
    windows = torch.randn(32, 1, 160_000, device=setting.device)

    def batch() -> None:
        networks[0](windows)
        for _ in range(2):
            networks[1](windows)

    return len(windows) / setting.seconds(batch, 2)  # a window a second


def whisper(name: str, setting: Setting) -> float:
    """Windows of 30 s that CTranslate2 encodes and writes WRITTEN tokens of."""
    import ctranslate2

    encoder_layers, decoder_layers, heads, width = WHISPER[name]
    with tempfile.TemporaryDirectory() as folder:
        _write_whisper(Path(folder), encoder_layers, decoder_layers, heads, width)
        model = ctranslate2.models.Whisper(
            folder, device=setting.device.type, intra_threads=1,
            compute_type="float16" if setting.cuda else "int8",
        )  # fmt: skip
    batch, bands = setting.of(16, 1), 128
    mels = np.random.default_rng(0).standard_normal((batch, bands, 3000)).astype(np.float32)

    def write() -> None:
        encoded = model.encode(ctranslate2.StorageView.from_array(mels))
        model.generate(
            encoded, [[50_258, 50_259, 50_360, 50_364]] * batch, beam_size=1,
            max_length=setting.of(WRITTEN, 8), suppress_tokens=[50_257], suppress_blank=False,
        )  # fmt: skip

    return batch * WINDOW_S / setting.seconds(write, 1)


def _write_whisper(folder: Path, encoder: int, decoder: int, heads: int, width: int) -> None:
    """Write a Whisper of random weights as CTranslate2 reads it."""
    blocks.prepare_transformers()
    from ctranslate2.converters.transformers import WhisperLoader
    from ctranslate2.specs import whisper_spec
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=VOCABULARY, num_mel_bins=128, d_model=width, encoder_layers=encoder,
        decoder_layers=decoder, encoder_attention_heads=heads, decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width,
    )  # fmt: skip
    with torch.device("meta"):
        network = WhisperForConditionalGeneration(config)
    network = network.to(torch.float16).to_empty(device="cpu").eval()
    # The same numbers again and again: drawing 1.5 G of them would take a minute.
    block = 0.02 * torch.randn(1 << 20, dtype=torch.float32).to(torch.float16)
    with torch.no_grad():
        for parameter in network.parameters():
            count = parameter.numel()
            tiled = block.repeat(-(-count // len(block)))[:count]
            parameter.copy_(tiled.view_as(parameter))
    network.tie_weights()
    spec = whisper_spec.WhisperSpec(encoder, heads, decoder, heads)
    loader = WhisperLoader()
    loader.set_encoder(spec.encoder, network.model.encoder)
    loader.set_decoder(spec.decoder, network.model.decoder)
    loader.set_linear(spec.decoder.projection, network.proj_out)
    spec.config.suppress_ids, spec.config.lang_ids = [], [50_259]
    spec.config.alignment_heads = [[0, 0]]
    spec.register_vocabulary([f"<|{NAMED.get(n, n)}|>" for n in range(VOCABULARY)])
    spec.validate()
    spec.save(str(folder))


def dnsmos(setting: Setting) -> float:
    engine, seconds = Dnsmos(DnsmosConfig()), setting.of(10, 2)
    engine.load("cpu")
    clip = speech(seconds, 16_000)
    return seconds / setting.seconds(lambda: engine.quality([clip]), 1)
