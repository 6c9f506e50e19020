"""A batch of clips through Paraformer: features, encoder, predictor, decoder, times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from wavemill.stages.transcribe.engine import Word
from wavemill.stages.transcribe.paraformer_weights import Loaded

UNKNOWN = "<unk>"
CONTINUES = "@@"  # ends a piece of a foreign word that goes on in the next token


@dataclass(frozen=True)
class Predicted:
    """What the predictor says of a clip: acoustic embeddings (tokens, size) and token times."""

    encoded: Tensor  # (frames, size)
    embeddings: Tensor
    alphas: Tensor  # (frames times upsampling,)
    peaks: Tensor


class ClipRecogniser:
    """A loaded model and what to do with it."""

    def __init__(self, loaded: Loaded, device: str) -> None:
        self.model = loaded.model
        self.frontend = loaded.frontend
        self.tokens = loaded.tokens
        self.times_of = loaded.times_of
        self.device = device
        self.shortest = loaded.frontend.fs * loaded.frontend.frame_length // 1000

    @torch.inference_mode()
    def recognise(self, clips: Sequence[np.ndarray]) -> list[tuple[Word, ...]]:
        """Return characters (foreign words whole) per clip, float32 (samples,); one batch."""
        found: list[tuple[Word, ...]] = [()] * len(clips)
        long_enough = [i for i, clip in enumerate(clips) if clip.size >= self.shortest]
        if not long_enough:
            return found
        predicted = zip(long_enough, self._predict([clips[i] for i in long_enough]), strict=True)
        spoken = [(index, one) for index, one in predicted if len(one.embeddings)]
        if not spoken:
            return found
        decoded = self._decode([one for _, one in spoken])
        for (index, one), scores in zip(spoken, decoded, strict=True):
            duration_ms = clips[index].size * 1000 // self.frontend.fs
            found[index] = self._words(one, scores, duration_ms)
        return found

    def _predict(self, clips: Sequence[np.ndarray]) -> list[Predicted]:
        """Encode together, predict each alone: the predictor reads beyond the end of a clip."""
        features = [self._features(clip) for clip in clips]
        lengths = torch.tensor([len(one) for one in features], device=self.device)
        encoded, _ = self.model.encode(pad_sequence(features, batch_first=True), lengths)
        cut = (one[: len(own)] for one, own in zip(encoded, features, strict=True))
        return [self._predict_one(one) for one in cut]

    def _features(self, clip: np.ndarray) -> Tensor:
        waveform = torch.from_numpy(np.array(clip, np.float32))[None]
        features, _ = self.frontend(waveform, [clip.size])
        return features[0].to(self.device)

    def _predict_one(self, encoded: Tensor) -> Predicted:
        batch, length = encoded[None], torch.tensor([len(encoded)], device=self.device)
        embeddings, count, _, _ = self.model.calc_predictor(batch, length)
        count = count.round().long()
        _, _, alphas, peaks = self.model.calc_predictor_timestamp(batch, length, count)
        return Predicted(encoded, embeddings[0, : int(count)], alphas[0], peaks[0])

    def _decode(self, some: Sequence[Predicted]) -> list[Tensor]:
        """Return log probabilities (tokens, vocabulary) of each."""
        frames = torch.tensor([len(one.encoded) for one in some], device=self.device)
        counts = torch.tensor([len(one.embeddings) for one in some], device=self.device)
        scores, _ = self.model.cal_decoder_with_predictor(
            pad_sequence([one.encoded for one in some], batch_first=True),
            frames,
            pad_sequence([one.embeddings for one in some], batch_first=True),
            counts,
        )
        return [one[:count] for one, count in zip(scores, counts.tolist(), strict=True)]

    def _words(self, one: Predicted, scores: Tensor, duration_ms: int) -> tuple[Word, ...]:
        """Return the likeliest tokens with their times, as the package finds both."""
        best, ids = scores.max(-1)
        special = (self.model.blank_id, self.model.sos, self.model.eos)
        pairs = zip(ids.tolist(), best.exp().tolist(), strict=True)
        tokens = [(self.tokens[i], probability) for i, probability in pairs if i not in special]
        rate = self.model.predictor.upsample_times
        texts = [text for text, _ in tokens]
        times = self.times_of(one.alphas, one.peaks, texts, upsample_rate=rate)[1]
        latest = times[-1][1] if times else 0
        times += [[latest, latest]] * (len(tokens) - len(times))  # where too few peaks were found
        words, earliest = [], 0
        for (text, probability), (start, end) in zip(tokens, times, strict=False):
            start_ms = min(max(start, earliest), duration_ms)  # the first peak may lie before 0
            earliest = min(max(end, start_ms), duration_ms)
            words.append(Word(text, start_ms, earliest, min(probability, 1.0)))
        return whole_words(words)


def whole_words(pieces: Sequence[Word]) -> tuple[Word, ...]:
    """Join the pieces of foreign words, with their mean confidence; drop what is unknown."""
    known = [piece for piece in pieces if piece.word != UNKNOWN]
    words: list[Word] = []
    parts: list[Word] = []
    for index, piece in enumerate(known):
        parts.append(piece)
        after = known[index + 1].word if index + 1 < len(known) else ""
        if piece.word.endswith(CONTINUES) and after[:1].isascii() and after:
            continue
        text = "".join(part.word.removesuffix(CONTINUES) for part in parts)
        confidence = sum(part.confidence for part in parts) / len(parts)
        words.append(Word(text, parts[0].start_ms, parts[-1].end_ms, confidence))
        parts = []
    return tuple(word for word in words if word.word)
