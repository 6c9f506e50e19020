"""Published streaming, chunk by chunk, against the stored runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.conformance import TABLE, stems, worst
from tests.model.detokenizer.fixtures import (
    AUDIO_TOLERANCE,
    FOLDER,
    TOLERANCE,
    below,
    flow,
    header,
    needs_fixtures,
    notes,
    tensors,
    vocoder,
)
from tests.model.detokenizer.published import (
    CrossFadeStream,
    PublishedMelStream,
    PublishedSettings,
    PublishedSolver,
    read_voice,
)
from tests.model.detokenizer.test_conformance_flow import compare_history
from wavemill.model.detokenizer import streams
from wavemill.model.detokenizer.config import StreamSettings
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import ChunkSolver
from wavemill.model.detokenizer.streams import MelStream

pytestmark = needs_fixtures
SAMPLES = 480  # per frame
FULL_SCALE_ERROR = 1e-4
STREAMING = FOLDER / "streaming"
NOTED = dict(notes("streaming/cases")) if STREAMING.is_dir() else {}
BFLOAT16 = stems(STREAMING, "*_bf16_*")
CASES = [name for name in stems(STREAMING) if name not in BFLOAT16]
SCHEDULES = [name for name in NOTED if name not in CASES]  # inputs are not stored
FIELDS = {  # of StreamSettings, by their names in the fixtures
    "ode_step": "ode_points",
    "look_ahead_tokens": "look_ahead_tokens",
    "max_kv_cache_tokens": "cache_frames",
    "max_prompt_chunk": "voice_chunks",
    "prompt_chunk_size": "voice_chunk_frames",
    "max_pos_size": "position_limit",
}


def settings_of(name: str) -> PublishedSettings:
    noted = header(f"streaming/{name}")
    fields = {ours: noted[theirs] for theirs, ours in FIELDS.items() if theirs in noted}
    solver = noted.get("solver", "naive_euler" if "naive_euler" in name else "neural_ode_euler")
    return PublishedSettings(solver=solver, **fields)


def quiet(mel: Tensor) -> Tensor:
    """A vocoder's stand-in that costs nothing."""
    return torch.zeros(len(mel), mel.shape[1] * SAMPLES)


def chunks_of(name: str) -> Iterator[dict[str, Tensor]]:
    index = 0
    while f"chunk{index}.tokens" in tensors(f"streaming/{name}"):
        yield below(f"streaming/{name}", f"chunk{index}.")
        index += 1


@dataclass
class Run:
    """A published stream, and the noise that its next chunk gets."""

    settings: PublishedSettings
    start: History
    vocoder: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        solver = PublishedSolver(flow(), self.settings)
        self.noise = torch.zeros(0, 80)
        self.mels = PublishedMelStream(solver, self.settings, self._noise, self.start)
        self.audio = CrossFadeStream(self.vocoder, SAMPLES)

    def _noise(self, frames: int) -> Tensor:
        assert frames == len(self.noise)
        return self.noise

    def push(self, tokens: Tensor, noise: Tensor, note: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Give a chunk, and compare where the stream stands with the notes on it."""
        self.noise = noise
        assert self.mels.history.next_position == note["start_position_id"]
        with torch.inference_mode():
            mel = self.mels.push(tokens, note["is_final"])
            audio = self.audio.push(mel, note["is_final"])
        found = [len(noise), len(mel), len(audio), len(self.mels.carry)]
        keys = ("model_frames", "mel_frames", "emitted_samples", "look_ahead_frames")
        wanted = [note[key] for key in keys]
        if not note["is_final"]:
            assert self.audio.audio is not None
            assert self.audio.mel is not None
            # Their count of keys, not their number: a second reset leaves a wrong number behind.
            found += [self.mels.history.next_position, len(self.mels.history)]
            found += [len(self.audio.audio), len(self.audio.mel)]
            wanted += [note["start_position_id_after"], note["previous_seqlen_after"]]
            wanted += [note["pre_wav_samples_after"], note["pre_mel_frames_after"]]
        TABLE.add("streaming: schedule", float(found != wanted))
        return mel, audio


def voice_of(name: str, settings: PublishedSettings) -> History:
    prompt = below(f"streaming/{name}", "prompt.")
    if not prompt:
        return History.empty(flow())
    return read_voice(PublishedSolver(flow(), settings), settings, prompt["mel"], prompt["tokens"])


@pytest.mark.parametrize("name", CASES)
def test_stream(name: str) -> None:
    settings = settings_of(name)
    start = voice_of(name, settings)
    stored = below(f"streaming/{name}", "after_prefill.")
    if stored:
        compare_history("streaming: voice, keys and values", start, stored)
    noted = notes("streaming/cases")[name]
    if isinstance(noted, dict):
        after = noted["prefill"]
        assert (len(start), start.next_position) == (
            after["kv_after"],
            after["start_position_id_after"],
        )
        noted = noted["chunks"]
    has_audio = "chunk0.wav" in tensors(f"streaming/{name}")
    run = Run(settings, start, vocoder() if has_audio else quiet)
    cases = list(chunks_of(name))
    for case, note in zip(cases, noted, strict=True):
        mel, audio = run.push(case["tokens"], case["noise"], note)
        TABLE.add("streaming: mel", worst(mel, case["mel"]), TOLERANCE)
        if has_audio:
            TABLE.add("streaming: waveform", worst(audio[None], case["wav"]), AUDIO_TOLERANCE)
        if "voc_mel" in case:
            found = vocoder()(case["voc_mel"][None])
            TABLE.add("streaming: vocoder", worst(found, case["voc_wav"]), AUDIO_TOLERANCE)


def test_model_tokens() -> None:
    """The carried look-ahead stands in front of the repeated tokens."""
    for name in CASES:
        carry = torch.zeros(0, dtype=torch.int64)
        ahead = settings_of(name).look_ahead_tokens * 4
        for case in chunks_of(name):
            wanted = torch.cat((carry, case["tokens"].repeat_interleave(4)))
            TABLE.add("streaming: tokens", float(not torch.equal(wanted, case["model_tokens"])))
            carry = wanted[len(wanted) - ahead :]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_of_runs_without_stored_inputs(name: str) -> None:
    noted = notes("streaming/cases")[name]
    settings, start = PublishedSettings(ode_points=2), History.empty(flow())
    if isinstance(noted, dict):
        pieces = noted["prefill"]["prefill_chunks"]
        settings = settings.model_copy(update={"voice_chunk_frames": pieces[-1][0]})
        frames = noted["prefill"]["start_position_id_after"]
        voice = torch.zeros(frames, 80), torch.zeros(frames, dtype=torch.int64)
        start = read_voice(PublishedSolver(flow(), settings), settings, *voice)
        assert len(start) == noted["prefill"]["kv_after"]
        noted = noted["chunks"]
    run = Run(settings, start, quiet)
    for note in noted:
        tokens = torch.zeros(note["n_tokens"], dtype=torch.int64)
        run.push(tokens, torch.zeros(note["model_frames"], 80), note)


LENGTHS = dict(notes("evidence")["lengths"]) if FOLDER.is_dir() else {}
CUTS = [name for name, noted in LENGTHS.items() if isinstance(noted, dict)]  # or an error's text


@pytest.mark.parametrize("name", CUTS)
def test_lengths_of_unusual_chunks(name: str) -> None:
    noted = LENGTHS[name]
    audio = CrossFadeStream(quiet, SAMPLES)
    ahead = noted["look_ahead_tokens"] * noted["upsample"]
    carried, found = 0, []
    for index, size in enumerate(noted["sizes"]):
        final = index == len(noted["sizes"]) - 1
        frames = carried + size * noted["upsample"] - (0 if final else ahead)
        carried = ahead
        emitted = len(audio.push(torch.zeros(frames, 80), final)) / SAMPLES
        kept_audio = None if final or audio.audio is None else len(audio.audio) / SAMPLES
        kept_mel = None if final or audio.mel is None else len(audio.mel)
        found.append([frames, emitted, kept_audio, kept_mel])
    TABLE.add("streaming: lengths", float(found != noted["per_chunk"]))


def test_gain_of_the_published_cross_fade() -> None:
    """A vocoder that answers 1 everywhere shows the seams (evidence, `constant_one_vocoder`)."""
    noted = notes("evidence")["constant_one_vocoder"]
    audio = CrossFadeStream(lambda mel: quiet(mel) + 1, SAMPLES)
    sizes = [72, 120, 120, 120, 168]
    pieces = [audio.push(torch.zeros(size, 80), final=size == 168) for size in sizes]
    assert [len(piece) / SAMPLES for piece in pieces] == noted["emitted_lengths_frames"]
    joined = torch.cat(pieces)
    TABLE.add("streaming: seam gain", abs(float(joined.max()) - noted["max"]), 1e-6)
    for sample, before, after in noted["value_changes(sample,before,after)"]:
        error = worst(joined[sample - 1 : sample + 1], torch.tensor([before, after]))
        TABLE.add("streaming: seam gain", error, 1e-6)


@pytest.mark.parametrize("name", BFLOAT16)
def test_waveform_of_the_bfloat16_run(name: str) -> None:
    """Its tokens and noise are not stored: our float32 vocoder gets its mel, chunk by chunk."""
    audio, stored = CrossFadeStream(vocoder(), SAMPLES), tensors(f"streaming/{name}")
    noted = notes("streaming/checks")["long_bfloat16_cpu_vs_float32_wav"]
    for index, limits in enumerate(noted):
        found = audio.push(stored[f"chunk{index}.mel"], final=index == len(noted) - 1)
        wanted = stored[f"chunk{index}.wav"].float()
        rms = float((found - wanted).square().mean().sqrt())
        TABLE.add("streaming: bfloat16 waveform, rms", rms, 1.1 * limits["rms"])
        TABLE.add("streaming: bfloat16 waveform, max", worst(found[None], wanted), 0.03)


def has_a_default_twin(name: str) -> bool:
    """Tell whether a run's first chunk is one that the default stream solves in the same way."""
    settings, prompt = settings_of(name), below(f"streaming/{name}", "prompt.")
    if settings.solver != "neural_ode_euler":
        return False
    if prompt:
        room = settings.cache_frames - settings.chunk_tokens * settings.frames_per_token
        if len(prompt["mel"]) != len(prompt["tokens"]) or len(prompt["mel"]) > room:
            return False
    first = below(f"streaming/{name}", "chunk0.")["tokens"]
    return len(first) == settings.chunk_tokens or "chunk1.tokens" not in tensors(
        f"streaming/{name}"
    )


@pytest.mark.parametrize("name", [name for name in CASES if has_a_default_twin(name)])
def test_default_frames_are_the_published_ones(name: str) -> None:
    """Of a first chunk; a later one has carried noise, where the published one draws anew."""
    settings, solver = settings_of(name), ChunkSolver(flow(), settings_of(name))
    case, start = next(chunks_of(name)), History.empty(flow())
    if prompt := below(f"streaming/{name}", "prompt."):
        start = streams.read_voice(solver, settings, prompt["mel"], prompt["tokens"])
    mels = MelStream(solver, settings, lambda _frames: case["noise"], start)
    final = "chunk1.tokens" not in tensors(f"streaming/{name}")
    mel = mels.push(case["tokens"], final)
    TABLE.add("streaming: default mode, mel", worst(mel, case["mel"]), TOLERANCE)


def test_default_stream_equals_offline_decoding() -> None:
    settings = StreamSettings(ode_points=4)
    detokenizer = Detokenizer(flow(), vocoder(), settings)
    stream = detokenizer.stream(torch.Generator().manual_seed(0))
    mels, pieces = [], []
    with torch.inference_mode():
        for index in range(5):
            mels.append(stream.mels.push([index] * 30, final=index == 4))
            pieces.append(stream.audio.push(mels[-1], final=index == 4))
        offline = vocoder()(torch.cat(mels)[None])[0]
    error = worst(torch.cat(pieces), offline)
    TABLE.add("streaming: default mode, against offline", error, FULL_SCALE_ERROR)


def test_every_run_is_noted() -> None:
    assert {*CASES, *SCHEDULES} == NOTED.keys()
