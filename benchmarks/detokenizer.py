"""What the default stream mends of the published one, by the fixtures' own measures.

    python -m benchmarks.detokenizer [MODEL]

MODEL is a folder in the published layout. Without it, the random weights of the conformance
fixtures (WAVEMILL_CONFORMANCE, default ../shared/conformance). Prints a table in Markdown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.model.detokenizer import published
from tests.model.detokenizer.published import (
    CrossFadeStream,
    PublishedDetokenizer,
    PublishedSettings,
)
from wavemill.model.detokenizer.config import StreamSettings
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import ChunkSolver, normalise
from wavemill.model.detokenizer.streams import ContextStream, read_voice

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = Path(os.environ.get("WAVEMILL_CONFORMANCE", ROOT.parent / "shared" / "conformance"))
TOKENS_PER_SECOND = 12.5
REGULAR = (30, 30, 30, 30, 15)
VOICE_FRAMES = 400

Row = tuple[str, str, str]


@dataclass
class Utterance:
    """A stream whose pieces, frames and work are noted."""

    detokenizer: Detokenizer
    settings: StreamSettings
    voice: History | None = None
    silent: bool = False  # leave the vocoder out
    mels: list[Tensor] = field(default_factory=list)
    pieces: list[Tensor] = field(default_factory=list)
    history: list[int] = field(default_factory=list)  # frames, after each piece
    work: dict[str, int] = field(default_factory=lambda: {"flow": 0, "vocoder": 0})

    def __post_init__(self) -> None:
        detokenizer = of_kind(self.detokenizer, self.settings)
        self.stream = detokenizer.stream(torch.Generator().manual_seed(0), self.voice)
        solve, vocoder = self.stream.mels.solver.solve, self.stream.audio.vocoder

        def noted_solve(tokens: Tensor, *rest: object) -> object:
            self.work["flow"] += len(tokens)
            return solve(tokens, *rest)

        samples = self.detokenizer.config.vocoder.samples_per_frame

        def noted_vocoder(mel: Tensor) -> Tensor:
            self.work["vocoder"] += mel.shape[1]
            return torch.zeros(1, mel.shape[1] * samples) if self.silent else vocoder(mel)

        self.stream.mels.solver.solve = noted_solve
        self.stream.audio.vocoder = noted_vocoder

    @torch.inference_mode()
    def say(self, sizes: tuple[int, ...], final: bool = True) -> Utterance:
        """Push random tokens in pieces of `sizes`."""
        generator = torch.Generator().manual_seed(1)
        top = self.detokenizer.config.flow.semantic_vocab_size
        for index, size in enumerate(sizes):
            tokens = torch.randint(top, (size,), generator=generator)
            last = final and index == len(sizes) - 1
            mel = self.stream.mels.push(tokens, last)
            self.mels.append(mel)
            self.pieces.append(self.stream.audio.push(mel, last))
            self.history.append(len(self.stream.mels.history))
        return self

    @property
    def emitted_frames(self) -> list[float]:
        samples = self.detokenizer.config.vocoder.samples_per_frame
        return [len(piece) / samples for piece in self.pieces]


def of_kind(detokenizer: Detokenizer, settings: StreamSettings) -> Detokenizer:
    """Return the same networks with these settings, which say whether it is the published one."""
    kind = PublishedDetokenizer if isinstance(settings, PublishedSettings) else Detokenizer
    return kind(detokenizer.flow, detokenizer.vocoder, settings)


Measure = Callable[[Detokenizer, StreamSettings], str]


def seam_gain(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    samples = detokenizer.config.vocoder.samples_per_frame

    def ones(mel: Tensor) -> Tensor:
        return torch.ones(1, mel.shape[1] * samples)

    if isinstance(settings, PublishedSettings):
        stream: ContextStream | CrossFadeStream = CrossFadeStream(ones, samples)
    else:
        stream = ContextStream(ones, samples, settings.vocoder_context, settings.vocoder_window)
    sizes = (72, 120, 120, 120, 168)
    pieces = [stream.push(torch.zeros(size, 80), final=size == 168) for size in sizes]
    return f"{float(torch.cat(pieces).max()):.4f}"


@torch.inference_mode()
def against_offline(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    said = Utterance(detokenizer, settings).say(REGULAR)
    offline = detokenizer.vocoder(torch.cat(said.mels)[None])[0]
    error = torch.cat(said.pieces) - offline
    return f"{float(error.square().mean().sqrt()):.2g} / {float(error.abs().max()):.2g}"


def outstanding(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    said = Utterance(detokenizer, settings, silent=True).say((30,) * 6, final=False)
    emitted = torch.tensor(said.emitted_frames).cumsum(0) / settings.frames_per_token
    behind = (torch.arange(30, 181, 30) - emitted) / TOKENS_PER_SECOND
    return ", ".join(f"{float(seconds):.2f}" for seconds in behind)


def work(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    said = Utterance(detokenizer, settings, silent=True).say((30,) * 8 + (15,))
    frames = sum(said.emitted_frames)
    return f"{said.work['flow'] / frames:.2f} / {said.work['vocoder'] / frames:.2f}"


def frames_lost(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    sizes = (30, 30, 5, 30, 15)
    said = Utterance(detokenizer, settings, silent=True).say(sizes)
    return f"{sum(said.emitted_frames):.0f} of {sum(sizes) * settings.frames_per_token}"


def made_voice(detokenizer: Detokenizer, settings: StreamSettings) -> History:
    generator = torch.Generator().manual_seed(2)
    mel = torch.randn(VOICE_FRAMES, detokenizer.config.flow.input_size, generator=generator) - 5
    tokens = torch.arange(VOICE_FRAMES) // settings.frames_per_token
    tokens %= detokenizer.config.flow.semantic_vocab_size
    if isinstance(settings, PublishedSettings):
        solver = published.PublishedSolver(detokenizer.flow, settings)
        return published.read_voice(solver, settings, mel, tokens)
    return read_voice(ChunkSolver(detokenizer.flow, settings), settings, mel, tokens)


def voice_kept(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    settings = settings.model_copy(update={"ode_points": 2})
    voice = made_voice(detokenizer, settings)
    said = Utterance(detokenizer, settings, voice, silent=True).say((30,) * 12, final=False)
    values = voice.blocks[0][1]
    left = said.stream.mels.history.blocks[0][1]
    kept = (values[0, :, None] == left[0, None]).flatten(2).all(-1).any(1)
    return f"{int(kept.sum())} of {VOICE_FRAMES}"


def shortest_history(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    settings = settings.model_copy(update={"ode_points": 2})
    said = Utterance(detokenizer, settings, silent=True).say((30,) * 62, final=False)
    return f"{min(said.history[20:])} of {settings.cache_frames}"


def look_ahead_twice(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    """The first solution of the look-ahead frames against the second, which is emitted."""
    said = Utterance(detokenizer, settings)
    solve, solved = said.stream.mels.solver.solve, []

    def noted(*given: object) -> object:
        found = solve(*given)
        solved.append(found)
        return found

    said.stream.mels.solver.solve = noted
    said.say((30, 30), final=False)
    ahead = settings.look_ahead_tokens * settings.frames_per_token
    error = (solved[0][-ahead:] - solved[1][:ahead]) * detokenizer.config.flow.mel_std
    return f"{float(error.square().mean().sqrt()):.2f}"


def bfloat16(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    exact = Utterance(detokenizer, settings, silent=True).say((20,)).mels[0]
    weights = {name: tensor.clone() for name, tensor in detokenizer.flow.state_dict().items()}
    detokenizer.flow.bfloat16()
    rounded = Utterance(detokenizer, settings, silent=True).say((20,)).mels[0].float()
    detokenizer.flow.float().load_state_dict(weights)
    return f"{float((rounded - exact).square().mean().sqrt()):.3f}"


def unfinished_history(detokenizer: Detokenizer, settings: StreamSettings) -> str:
    """Distance of the keys in a history without look-ahead from those of the finished frames."""
    settings = settings.model_copy(update={"look_ahead_tokens": 0})
    said = Utterance(detokenizer, settings).say((30,), final=False)
    x = normalise(said.mels[0], detokenizer.config.flow)
    generator = torch.Generator().manual_seed(1)
    top = detokenizer.config.flow.semantic_vocab_size
    tokens = torch.randint(top, (30,), generator=generator)
    tokens = tokens.repeat_interleave(settings.frames_per_token)
    solver = ChunkSolver(detokenizer.flow, settings)
    clean = solver.observe(x, tokens, History.empty(detokenizer.flow)).blocks[-1][0]
    error = said.stream.mels.history.blocks[-1][0] - clean
    return f"{float(error.square().mean().sqrt()):.2g}"


MEASURES: tuple[tuple[str, Measure], ...] = (
    ("largest gain, vocoder answering 1 everywhere", seam_gain),
    ("error against one offline decode, rms / max of full scale", against_offline),
    ("seconds of tokens in minus audio out, after pieces of 30 tokens", outstanding),
    ("frames of audio from pieces of 30, 30, 5, 30, 15 tokens", frames_lost),
    ("frames solved / decoded per frame of audio", work),
    ("frames of the voice still seen after 12 pieces", voice_kept),
    ("shortest history between 48 and 149 s", shortest_history),
    ("mel of look-ahead frames, first against second solution, rms", look_ahead_twice),
    ("mel error of a bfloat16 network, rms", bfloat16),
    ("keys in a history without look-ahead, error rms", unfinished_history),
)


def rows(detokenizer: Detokenizer) -> Iterator[Row]:
    kinds = (PublishedSettings(ode_points=15), StreamSettings(ode_points=15))
    for name, measure in MEASURES:
        as_published, mended = map(partial(measure, detokenizer), kinds)
        yield name, as_published, mended


def fixture_model(folder: Path) -> Path:
    """Lay the fixtures' files out as a model folder."""
    source = FIXTURES / "detokenizer"
    if not source.is_dir():
        sys.exit(f"no conformance fixtures in {FIXTURES}; name a model folder")
    for kind, name, config in (
        ("dit", "audio_detokenizer", "config.yaml"),
        ("bigvgan", "vocoder", "config.json"),
    ):
        (folder / name).mkdir()
        (folder / name / config).write_bytes((source / kind / config).read_bytes())
        prefix = "speech_model." if kind == "dit" else ""
        tensors = load_file(source / kind / "model.safetensors")
        tensors = {prefix + key: tensor for key, tensor in tensors.items()}
        save_file(tensors, folder / name / "model.safetensors")
    return folder


def main() -> None:
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        model = Path(sys.argv[1]) if len(sys.argv) > 1 else fixture_model(Path(folder))
        detokenizer = Detokenizer.from_pretrained(model)
    print("| measure | published | default |\n|---|---|---|")
    for row in rows(detokenizer):
        print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
