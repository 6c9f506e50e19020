"""What the default stream promises, and the published one does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tests.model.detokenizer import published
from tests.model.detokenizer.made import (
    BANDS,
    CONFIG,
    HOP,
    QUICK,
    made_audio,
    made_detokenizer,
    random,
    tokens_for,
)
from tests.model.detokenizer.published import (
    CrossFadeStream,
    PublishedDetokenizer,
    PublishedMelStream,
    PublishedSettings,
    PublishedSolver,
)
from tests.model.detokenizer.reach import reach
from wavemill.model.detokenizer.config import StreamSettings
from wavemill.model.detokenizer.detokenizer import Detokenizer, DetokenizerStream
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import ChunkSolver, seeded_noise
from wavemill.model.detokenizer.streams import ContextStream, MelStream, read_voice

FULL_SCALE_ERROR = 1e-4
KINDS = {"default": Detokenizer, "published": PublishedDetokenizer}
QUICKLY = PublishedSettings(**QUICK.model_dump())  # both kinds read it
SAMPLES_PER_TOKEN = 4 * HOP
VOICE_TOKENS = 15


@pytest.fixture(scope="module")
def detokenizer() -> Detokenizer:
    return made_detokenizer()


@pytest.fixture(scope="module")
def voice(detokenizer: Detokenizer) -> History:
    return detokenizer.voice(tokens_for(VOICE_TOKENS, 1), made_audio(4 * VOICE_TOKENS))


def streamed(stream: DetokenizerStream, tokens: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Push pieces of these sizes, then the rest as final; return the audio of each."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append(stream.push(tokens[start : start + size]))
        start += size
    return [*pieces, stream.push(tokens[start:], final=True)]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 150), st.lists(st.integers(0, 60), max_size=6), st.booleans())
@torch.inference_mode()
def test_streaming_equals_offline_decoding(count: int, sizes: list[int], spoken: bool) -> None:
    detokenizer = made_detokenizer()
    voice = None
    if spoken:
        voice = detokenizer.voice(tokens_for(VOICE_TOKENS), made_audio(4 * VOICE_TOKENS))
    tokens = tokens_for(count)
    pieces = streamed(detokenizer.stream(random(), voice), tokens, sizes)
    mels = MelStream(
        ChunkSolver(detokenizer.flow, QUICK),
        QUICK,
        seeded_noise(random(), BANDS),
        voice or History.empty(detokenizer.flow),
    )
    mel = mels.push(tokens, final=True)
    offline = detokenizer.vocoder(mel[None])[0] if count else torch.zeros(0)
    assert len(offline) == count * SAMPLES_PER_TOKEN
    assert torch.allclose(torch.cat(pieces), offline, rtol=0, atol=FULL_SCALE_ERROR)
    again = detokenizer.decode(tokens, random(), voice)
    assert torch.allclose(again, offline, rtol=0, atol=FULL_SCALE_ERROR)


@given(st.integers(0, 4), st.integers(1, 9), st.lists(st.integers(0, 12), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_context_as_long_as_the_reach_is_exact(before: int, window: int, sizes: list[int]) -> None:
    taps = torch.arange(1.0, 2 * before + 2)[None, None]

    def vocoder(mel: Tensor) -> Tensor:
        smooth = functional.conv1d(mel[:, None, :, 0], taps, padding=before)[:, 0]
        return smooth.repeat_interleave(HOP, dim=1)

    mel = torch.arange(float(sum(sizes)))[:, None] ** 2
    stream = ContextStream(vocoder, HOP, before, window)
    pieces = [stream.push(part) for part in torch.split(mel, sizes)]
    pieces.append(stream.push(mel[:0], final=True))
    found = torch.cat(pieces)
    assert torch.equal(found, vocoder(mel[None])[0] if len(mel) else found[:0])
    assert stream.mel is not None
    assert len(stream.mel) <= before + 1


def test_the_made_vocoder_reaches_no_further_than_the_context() -> None:
    assert max(reach(CONFIG.vocoder)) <= QUICK.vocoder_context


def ones(mel: Tensor) -> Tensor:
    return torch.ones(len(mel), mel.shape[1] * HOP)


def test_no_gain_at_seams() -> None:
    sizes = [72, 120, 120, 120, 168]
    mended, faded = ContextStream(ones, HOP, 24, 500), CrossFadeStream(ones, HOP)
    gains = []
    for stream in (mended, faded):
        pieces = [stream.push(torch.zeros(size, BANDS), final=size == 168) for size in sizes]
        joined = torch.cat(pieces)
        assert len(joined) == sum(sizes) * HOP
        gains.append(float(joined.max()))
    assert gains == pytest.approx([1.0, 1.08], abs=1e-6)


def test_latency_is_even(detokenizer: Detokenizer) -> None:
    tokens = tokens_for(135)
    pieces = streamed(detokenizer.stream(random()), tokens, [30] * 4)
    emitted = torch.tensor([len(piece) for piece in pieces]).cumsum(0) / SAMPLES_PER_TOKEN
    received = torch.tensor([30.0, 60, 90, 120, 135])
    assert (received - emitted).tolist() == [12 + 24 / 4] * 4 + [0]


@pytest.mark.parametrize("count", [1, 11, 12, 13, 29, 30, 31, 42, 43])
@pytest.mark.parametrize("look_ahead", [0, 12])
def test_any_number_of_tokens(count: int, look_ahead: int) -> None:
    settings = QUICK.model_copy(update={"look_ahead_tokens": look_ahead})
    stream = made_detokenizer(settings).stream(random())
    one_by_one = streamed(stream, tokens_for(count), [1] * count)
    assert sum(map(len, one_by_one)) == count * SAMPLES_PER_TOKEN


def mel_stream(
    settings: PublishedSettings, mode: str = "default"
) -> MelStream | PublishedMelStream:
    return made_detokenizer(settings, kind=KINDS[mode]).stream(random()).mels


def test_the_voice_stays() -> None:
    frames = 4 * VOICE_TOKENS
    kept = {}
    for mode in ("default", "published"):
        settings = QUICKLY.model_copy(update={"cache_frames": 200})
        detokenizer = made_detokenizer(settings, kind=KINDS[mode])
        voice = detokenizer.voice(tokens_for(VOICE_TOKENS), made_audio(frames))
        stream = detokenizer.stream(random(), voice)
        for seed in range(6):
            stream.push(tokens_for(30, seed))
        history = stream.mels.history
        assert len(history) == 200
        key = voice.blocks[0][0]
        kept[mode] = torch.equal(history.blocks[0][0][:, :frames], key)
    assert kept == {"default": True, "published": False}


def test_history_keeps_the_newest_frames_behind_the_voice() -> None:
    settings = QUICK.model_copy(update={"cache_frames": 200})
    detokenizer = made_detokenizer(settings)
    voice = detokenizer.voice(tokens_for(VOICE_TOKENS), made_audio(4 * VOICE_TOKENS))
    mels = detokenizer.stream(random(), voice).mels
    mels.push(tokens_for(30))
    before = mels.history
    mels.push(tokens_for(30, 1))  # 60 + 72 + 120 frames are 52 too many
    newest = before.blocks[1][1][:, 60 + 52 :]
    assert torch.equal(mels.history.blocks[1][1][:, 60 : 60 + newest.shape[1]], newest)
    assert mels.history.positions.tolist() == list(range(200))


def test_no_position_limit() -> None:
    limited = QUICKLY.model_copy(update={"cache_frames": 200, "position_limit": 600})
    lengths: dict[str, list[int]] = {}
    for mode in ("published", "default"):
        mels = mel_stream(limited, mode)
        seen = lengths[mode] = []
        for seed in range(8):
            mels.push(tokens_for(30, seed))
            seen.append(len(mels.history))
    assert 0 in lengths["published"][1:]
    assert lengths["default"] == [72, 192, *[200] * 6]


def test_frames_do_not_depend_on_the_distance_from_the_start() -> None:
    """Renumbering changes nothing: the published stream is the same far from its start."""
    fresh, late = (mel_stream(QUICKLY, "published") for _ in range(2))
    for mels in (fresh, late):
        mels.push(tokens_for(30))
    history = late.history
    late.history = History(history.blocks, history.positions + 1234, 1234 + 72)
    found = [mels.push(tokens_for(30, 1)) for mels in (fresh, late)]
    assert torch.allclose(found[0], found[1], rtol=0, atol=2e-4)


def test_streams_do_not_touch_each_other(detokenizer: Detokenizer, voice: History) -> None:
    tokens = [tokens_for(70, seed) for seed in range(2)]
    apart = [detokenizer.decode(tokens[i], random(i), voice) for i in range(2)]
    abandoned = detokenizer.stream(random(9), voice)
    abandoned.push(tokens_for(50, 5))
    key = voice.blocks[0][0].clone()
    streams = [detokenizer.stream(random(i), voice) for i in range(2)]
    pieces: list[list[Tensor]] = [[], []]
    for start in range(0, 70, 10):
        for i in range(2):
            part = tokens[i][start : start + 10]
            pieces[i].append(streams[i].push(part, final=start == 60))
    for i in range(2):
        assert torch.allclose(torch.cat(pieces[i]), apart[i], rtol=0, atol=FULL_SCALE_ERROR)
    assert torch.equal(voice.blocks[0][0], key)


def test_the_voice_is_heard(detokenizer: Detokenizer, voice: History) -> None:
    plain = detokenizer.decode(tokens_for(20), random())
    assert not torch.allclose(plain, detokenizer.decode(tokens_for(20), random(), voice), atol=1e-2)


def test_same_seed_same_audio(detokenizer: Detokenizer) -> None:
    first, again, other = (detokenizer.decode(tokens_for(40), random(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-2)


def test_a_frame_has_one_noise(detokenizer: Detokenizer) -> None:
    drawn = []

    def noise(frames: int) -> Tensor:
        drawn.append(frames)
        return torch.zeros(frames, BANDS)

    streamed(detokenizer.stream(noise), tokens_for(100), [30, 30, 30])
    assert sum(drawn) == 400


def test_default_frames_are_the_published_ones_given_the_same_noise() -> None:
    drawn = torch.randn(320, BANDS, generator=random())
    taken: list[int] = []

    def published_noise(frames: int) -> Tensor:
        """Repeats the noise of the carried frames, which the published code would draw anew."""
        first = 0 if not taken else taken[-1] - 48
        taken.append(first + frames)
        return drawn[first : first + frames]

    mended = mel_stream(QUICKLY)
    position = iter(torch.split(drawn, [120, 120, 80]))
    mended.draw = lambda _frames: next(position)
    as_published = mel_stream(QUICKLY, "published")
    as_published.draw = published_noise
    for index in range(3):
        tokens = tokens_for(30 if index < 2 else 20, index)
        found, wanted = (mels.push(tokens, final=index == 2) for mels in (mended, as_published))
        assert torch.allclose(found, wanted, rtol=0, atol=2e-4)


def test_history_without_look_ahead_is_of_clean_frames() -> None:
    settings = QUICKLY.model_copy(update={"look_ahead_tokens": 0})
    keys = {}
    for mode in ("default", "published"):
        mels = mel_stream(settings, mode)
        mel = mels.push(tokens_for(30))
        clean = (mel - CONFIG.flow.mel_mean) / CONFIG.flow.mel_std
        empty = History.empty(mels.solver.network)
        wanted = mels.solver.observe(clean, tokens_for(30).repeat_interleave(4), empty)
        found = mels.history.blocks[1][0]
        keys[mode] = torch.allclose(found, wanted.blocks[1][0], rtol=0, atol=1e-4)
    assert keys == {"default": True, "published": False}


@pytest.mark.parametrize("frames", [240, 239, 1])
def test_voice_of_any_length(frames: int) -> None:
    """An exact multiple of the pieces is an error in the published code."""
    detokenizer = made_detokenizer()
    solver = ChunkSolver(detokenizer.flow, QUICK)
    mel, tokens = torch.zeros(frames, BANDS), torch.zeros(frames, dtype=torch.int64)
    if frames > 180:
        with pytest.raises(ValueError, match=f"the voice has {frames} frames; at most 180"):
            read_voice(solver, QUICK, mel, tokens)
        settings = QUICK.model_copy(update={"cache_frames": 400})
    else:
        settings = QUICK
    history = read_voice(solver, settings, mel, tokens)
    assert (len(history), history.protected) == (frames, frames)


def test_short_mel_of_a_voice_is_not_filled_with_noise() -> None:
    flow = made_detokenizer().flow
    mel, tokens = torch.zeros(90, BANDS), torch.zeros(100, dtype=torch.int64)
    found = read_voice(ChunkSolver(flow, QUICK), QUICK, mel, tokens)
    wanted = published.read_voice(PublishedSolver(flow, QUICKLY), QUICKLY, mel, tokens)
    assert (len(found), len(wanted)) == (90, 100)


def test_bfloat16_network_keeps_a_float32_state() -> None:
    errors = {}
    for mode in ("default", "published"):
        settings = QUICKLY.model_copy(update={"ode_points": 30})
        exact = mel_stream(settings, mode).push(tokens_for(20), final=True)
        detokenizer = made_detokenizer(settings, kind=KINDS[mode])
        detokenizer.flow.bfloat16()
        found = detokenizer.stream(random()).mels.push(tokens_for(20), final=True)
        errors[mode] = float((found.float() - exact).square().mean().sqrt())
    assert errors["default"] < 0.6 * errors["published"]


def test_errors(detokenizer: Detokenizer) -> None:
    stream = detokenizer.stream(random())
    with pytest.raises(ValueError, match=r"token 32 is not in 0 \.\.\. 31"):
        stream.push([1, 32])
    stream.push([1], final=True)
    with pytest.raises(ValueError, match="closed"):
        stream.push([1])
    with pytest.raises(ValueError, match="audio of 60 frames, but tokens of 40"):
        detokenizer.voice(tokens_for(10), made_audio(60))
    wide = QUICK.model_copy(update={"cache_frames": 4000})
    with pytest.raises(ValueError, match="knows 4096 positions"):
        made_detokenizer(wide).stream(random())
    as_published = made_detokenizer(QUICKLY, kind=PublishedDetokenizer)
    with pytest.raises(ValueError, match="12 tokens leave no frame before the look-ahead"):
        as_published.stream(random()).push(tokens_for(12))
    with pytest.raises(ValueError, match="no frames"):
        read_voice(ChunkSolver(detokenizer.flow, QUICK), QUICK, torch.zeros(0, 8), torch.zeros(0))
    with pytest.raises(ValueError, match="smaller than chunk_tokens"):
        StreamSettings(chunk_tokens=12)
