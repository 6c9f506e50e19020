"""Whisper's greedy decoder over many windows at once: the package's own task, made to batch.

What differs from `whisper.decoding.DecodingTask`, none of which changes a text: each window has
the language it is given; windows that are finished leave the batch; the timestamp rules look at
all windows at once instead of one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from whisper.decoding import (
    ApplyTimestampRules,
    DecodingOptions,
    DecodingResult,
    DecodingTask,
    LogitFilter,
)
from whisper.model import Whisper
from whisper.tokenizer import Tokenizer


def decode_batch(
    model: Whisper, features: Tensor, languages: Sequence[str], options: DecodingOptions
) -> list[DecodingResult]:
    """Decode windows of 30 s, each in its language, without a prompt.

    `features` is the encoder's output, (windows, n_audio_ctx, n_audio_state). `options` are the
    package's; their language is not looked at. Beam search, which in the package takes one window
    only, is done one after another.
    """
    if options.beam_size is not None:
        pairs = zip(features, languages, strict=True)
        return [model.decode(one, replace(options, language=name)) for one, name in pairs]
    return BatchTask(model, languages, options).run(features)


class BatchTask(DecodingTask):
    """A decoding task whose windows differ in language."""

    logit_filters: list[LogitFilter]

    def __init__(self, model: Whisper, languages: Sequence[str], options: DecodingOptions) -> None:
        super().__init__(model, options)
        self.languages = list(languages)
        rules: list[LogitFilter] = self.logit_filters
        self.logit_filters = [batched(rule) for rule in rules]

    def _detect_language(
        self,
        audio_features: Tensor,  # noqa: ARG002 (the languages are known)
        tokens: Tensor,
    ) -> tuple[list[str], Any]:
        if self.model.is_multilingual:
            ids = [self.tokenizer.to_language_token(language) for language in self.languages]
            tokens[:, self.sot_index + 1] = torch.tensor(ids)
        return self.languages, None

    def _main_loop(
        self, audio_features: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor, list[float]]:
        running = Running(self.tokenizer.eot, self.n_ctx, audio_features, tokens)
        no_speech = [float("nan")] * len(tokens)
        try:
            for step in range(self.sample_len):
                logits = self.inference.logits(running.tokens, running.features)
                if step == 0 and self.tokenizer.no_speech is not None:
                    at_start = logits[:, self.sot_index].float().softmax(dim=-1)
                    no_speech = at_start[:, self.tokenizer.no_speech].tolist()
                logits = logits[:, -1]
                for rule in self.logit_filters:
                    rule.apply(logits, running.tokens)
                running.tokens, completed = self.decoder.update(
                    running.tokens, logits, running.logprobs
                )
                if completed or running.tokens.shape[-1] > self.n_ctx:
                    break
                running.shrink(self.inference.kv_cache)
        finally:
            self.inference.cleanup_caching()
        return *running.all(), no_speech


class Running:
    """The windows still being decoded, and what came of the others."""

    def __init__(self, eot: int, n_ctx: int, features: Tensor, tokens: Tensor) -> None:
        self.eot = eot
        self.features = features  # of the running windows
        self.tokens = tokens  # (running, length)
        self.logprobs = torch.zeros(len(tokens), device=features.device)  # sums, (running,)
        self._rows = torch.arange(len(tokens), device=features.device)
        self._all_tokens = tokens.new_full((len(tokens), n_ctx + 1), eot)
        self._all_logprobs = torch.zeros_like(self.logprobs)

    def shrink(self, cache: dict[Any, Tensor]) -> None:
        """Let finished windows leave, when they are at least half: each time copies the cache."""
        going = (self.tokens[:, -1] != self.eot).nonzero().flatten()
        if 2 * len(going) > len(self.tokens):
            return
        self._store()
        self.features, self.tokens = self.features[going], self.tokens[going]
        self.logprobs, self._rows = self.logprobs[going], self._rows[going]
        for module, tensor in cache.items():
            cache[module] = tensor[going]

    def all(self) -> tuple[Tensor, Tensor]:
        """Return tokens and sums of log probabilities of all windows, in their first order."""
        self._store()
        return self._all_tokens[:, : self.tokens.shape[1]], self._all_logprobs

    def _store(self) -> None:
        self._all_tokens[self._rows, : self.tokens.shape[1]] = self.tokens
        self._all_logprobs[self._rows] = self.logprobs


class BatchTimestampRules(LogitFilter):
    """`whisper.decoding.ApplyTimestampRules`, all windows at once."""

    def __init__(self, tokenizer: Tokenizer, sample_begin: int, latest_first: int | None) -> None:
        self.tokenizer = tokenizer
        self.sample_begin = sample_begin
        self.latest_first = latest_first  # highest timestamp that may begin a window

    def apply(self, logits: Tensor, tokens: Tensor) -> None:
        """Forbid in place: `logits` (windows, vocabulary), `tokens` (windows, length)."""
        begin = self.tokenizer.timestamp_begin
        logits[:, self.tokenizer.no_timestamps] = -torch.inf
        sampled = tokens[:, self.sample_begin :]
        if sampled.shape[1] == 0:
            logits[:, :begin] = -torch.inf
            if self.latest_first is not None:
                logits[:, begin + self.latest_first + 1 :] = -torch.inf
        else:
            self._forbid_after(logits, sampled)
        # Timestamps together likelier than any one text token: a timestamp it must be.
        logprobs = F.log_softmax(logits.float(), dim=-1)
        stamps = logprobs[:, begin:].logsumexp(dim=-1)
        stamp_now = stamps > logprobs[:, :begin].max(dim=-1).values
        logits[:, :begin].masked_fill_(stamp_now[:, None], -torch.inf)

    def _forbid_after(self, logits: Tensor, sampled: Tensor) -> None:
        """Timestamps come in pairs (but for the last), and never decrease."""
        begin = self.tokenizer.timestamp_begin
        is_stamp = sampled >= begin
        last = is_stamp[:, -1]
        before = is_stamp[:, -2] if sampled.shape[1] > 1 else torch.ones_like(last)
        pair_open = last & ~before
        logits[:, begin:].masked_fill_((last & before)[:, None], -torch.inf)
        logits[:, : self.tokenizer.eot].masked_fill_(pair_open[:, None], -torch.inf)
        places = torch.arange(1, sampled.shape[1] + 1, device=sampled.device)
        latest = (is_stamp * places).amax(dim=1)  # 1-based place of the last timestamp; 0: none
        value = sampled.gather(1, (latest - 1).clamp(min=0)[:, None])[:, 0] - begin
        lowest = torch.where(pair_open, value, value + 1)
        lowest = torch.where(latest > 0, lowest, torch.zeros_like(lowest))
        stamps = torch.arange(logits.shape[1] - begin, device=logits.device)
        logits[:, begin:].masked_fill_(stamps < lowest[:, None], -torch.inf)


def batched(rule: LogitFilter) -> LogitFilter:
    """Return a filter that does the same to all windows at once."""
    if isinstance(rule, ApplyTimestampRules):
        first = rule.max_initial_timestamp_index
        return BatchTimestampRules(rule.tokenizer, rule.sample_begin, first)
    return rule
