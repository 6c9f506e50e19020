"""A voice prompt: mel frames and tokens of a speaker that a stream begins behind."""

from __future__ import annotations

import torch
from torch import Tensor

from wavemill.model.detokenizer.config import StreamSettings
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import ChunkSolver, normalise

PUBLISHED_PADDING = 0.0  # log-mel; a loud frame, where silence is -11.5


def read_voice(
    solver: ChunkSolver, settings: StreamSettings, mel: Tensor, tokens: Tensor
) -> History:
    """Return the history that a voice leaves; any number of streams can begin with it.

    `mel` (frames, bands) log-mel, `tokens` int64 (frames,): one token a frame, so repeated ones
    (fixtures: detokenizer, section 5). The frames are read in pieces of `voice_chunk_frames`, at
    most `voice_chunks` of them behind a first piece of the rest. Mended by default: mel and tokens
    are cut to the shorter (published: to the tokens, missing frames being loud ones), a voice of an
    exact number of pieces works, and all of the voice stays for the whole stream.

    Raises ValueError for a voice without frames, and in default mode for one that leaves no room
    in `cache_frames` for the chunk before.
    """
    mel, tokens = _same_length(mel, tokens, settings)
    if not len(tokens):
        raise ValueError("the voice has no frames")
    if settings.mode == "default":
        room = settings.cache_frames - settings.chunk_tokens * settings.frames_per_token
        if len(tokens) > room:
            raise ValueError(f"the voice has {len(tokens)} frames; at most {room} fit the history")
    x = normalise(mel.to(solver.device, solver.state_dtype), solver.network.config)
    whole = min(len(tokens) // settings.voice_chunk_frames, settings.voice_chunks)
    first = len(tokens) - whole * settings.voice_chunk_frames
    sizes = [first] * (first > 0) + [settings.voice_chunk_frames] * whole
    history = History.empty(solver.network)
    for part, part_tokens in zip(torch.split(x, sizes), torch.split(tokens, sizes), strict=True):
        history = solver.observe(part, part_tokens, history).recent(settings.cache_frames)
    return history if settings.mode == "published" else history.protect()


def _same_length(mel: Tensor, tokens: Tensor, settings: StreamSettings) -> tuple[Tensor, Tensor]:
    if settings.mode == "published":
        missing = max(0, len(tokens) - len(mel))
        padding = mel.new_full((missing, mel.shape[1]), PUBLISHED_PADDING)
        return torch.cat((mel, padding))[: len(tokens)], tokens
    frames = min(len(mel), len(tokens))
    return mel[:frames], tokens[:frames]
