"""Sampling and generation against the stored cases (docs/published-format.md)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.model.conformance import LLM, TABLE, needs_fixtures, notes, run_notes, tensors, worst
from tests.model.prompt.names import special_tokens
from wavemill.model.engine import Engine, GeneratedReply
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.sampling import Draws, candidates, chosen, penalised
from wavemill.model.generate.settings import GenerateSettings, Sampling, budget
from wavemill.model.llm.cache import Memory
from wavemill.model.llm.network import AudioLlm, LlmOutput, NextIds, Prompts
from wavemill.model.prompt.layout import Reply, Vocabulary

pytestmark = needs_fixtures
IDS = Vocabulary()


class Scripted(nn.Module):
    """Scores so that step i's best ids are those of a script, and notes what it is fed."""

    def __init__(self, audio: list[int], text: list[int], delay: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            text_vocab=IDS.text_tokens,
            audio_offset=IDS.audio_offset,
            audio_delay=delay,
            max_position_embeddings=8192,
            vocab_size=168_448,
        )
        self.device_marker = nn.Parameter(torch.zeros(1))
        self.script = (audio, text)
        self.calls: list[dict[str, Any]] = []

    def read(self, prompts: Prompts, memory: Memory) -> LlmOutput:
        return self._scored(memory, positions=list(range(len(prompts.audio_ids))))

    def step(self, given: NextIds, memory: Memory, longest: int | None) -> LlmOutput:
        del longest
        return self._scored(
            memory,
            audio=int(given.audio_ids),
            text=int(given.text_ids),
            positions=int(given.lengths),
        )

    def _scored(self, memory: Memory, **call: Any) -> LlmOutput:
        step = len(self.calls)
        self.calls.append(call)
        scores = torch.zeros(2, 1, 168_448)
        for head, ids in zip(scores, self.script, strict=True):
            head[0, ids[min(step, len(ids) - 1)]] = 1.0
        audio, text = (
            head[: len(part.owners)]
            for head, part in zip(scores, (memory.audio, memory.text), strict=True)
        )
        return LlmOutput(audio, text)


def symbol(id_: int) -> str:
    named = {IDS.blank: "BLANK", IDS.text_eos: "TEXT_EOS"}
    if id_ in named:
        return named[id_]
    return f"a{id_ - IDS.audio_offset}" if id_ >= IDS.audio_offset else f"t{id_}"


def string(ids: list[int]) -> str:
    """Decode as the fixture's stub does."""
    names = special_tokens(IDS)
    return "".join(chr(i) if i < 256 else names[i - IDS.text_tokens] for i in ids)


def test_scenarios() -> None:
    stored_run = notes("prompts/generation")
    prompt = LlmPrompt(
        torch.tensor(stored_run["prompt_audio_ids"]),
        torch.tensor(stored_run["prompt_text_ids"]),
        torch.zeros(8, dtype=torch.bool),
    )
    for wanted in stored_run["scenarios"].values():
        model = Scripted(
            wanted["predicted_audio_ids_per_step"],
            wanted["predicted_text_ids_per_step"],
            wanted["delay"],
        )
        asked = wanted["requested_max_new_tokens"]
        settings = GenerateSettings(
            reply=wanted["output_type"], max_new_tokens=None if asked == -1 else asked
        )
        assert budget(8, settings, 8192) == wanted["loop_max_new_tokens"]
        result, steps = GeneratedReply(), list(Engine(model).stream(prompt, settings))  # type: ignore[arg-type]
        for step in steps:
            result.add(step)
        fed = {s: [call[s] for call in model.calls[1:]] for s in ("audio", "text")}
        found = {
            "forward_calls": len(model.calls),
            "loop_returned_text_ids": [s.text_id for s in steps if s.text_id is not None],
            "loop_returned_audio_ids": [s.audio_id for s in steps if s.audio_id is not None],
            "final_text": string(result.text),
            "codes_given_to_detokenizer": [result.codes]
            if wanted["output_type"] == "both"
            else None,
            "fed_audio_symbolic": [symbol(i) for i in fed["audio"]],
            "fed_text_symbolic": [symbol(i) for i in fed["text"]],
            "positions": [call["positions"] for call in model.calls],
        }
        TABLE.add(
            "generate: scenarios", sum(wanted[name] != value for name, value in found.items())
        )


def test_budgets() -> None:
    for case in notes("prompts/generation")["token_budgets"]:
        asked = None if case["requested"] == -1 else case["requested"]
        settings = GenerateSettings(reply=case["output_type"], max_new_tokens=asked)
        steps = budget(case["prompt_length"], settings, 8192)
        if case["output_type"] == "both" and asked:
            assert steps == asked  # which the published code ignores
        else:
            TABLE.add("generate: budgets", abs(steps - case["used"]))


def test_more_steps_than_the_published_buffers_hold() -> None:
    steps = notes("prompts/generation")["more_than_4096_steps"]["steps"]
    stored_run = notes("prompts/generation")
    prompt = LlmPrompt(
        torch.tensor(stored_run["prompt_audio_ids"]),
        torch.tensor(stored_run["prompt_text_ids"]),
        torch.zeros(8, dtype=torch.bool),
    )
    model = Scripted([IDS.blank], [97], 6)
    settings = GenerateSettings(max_new_tokens=20)
    assert len(list(Engine(model).stream(prompt, settings))) == 20  # type: ignore[arg-type]
    assert budget(8, GenerateSettings(max_new_tokens=steps), 8192) == steps  # not cut to 4096


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "case",
    [name for name, stored_run in run_notes().items() if "returned_text_tokens" in stored_run],
)
def test_greedy_runs(case: str, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `whole`, attention runs over whole slots, as it does in a step that is recorded."""
    stored_run, inputs = notes("llm/run_cases")[case], tensors("llm/cases")
    model = AudioLlm.from_pretrained(LLM / "llm")
    calls: list[NextIds] = []
    outputs: list[LlmOutput] = []
    read, step = model.read, model.step

    def noted_read(prompts: Prompts, memory: Memory) -> LlmOutput:
        outputs.append(read(prompts, memory))
        return outputs[-1]

    def noted_step(given: NextIds, memory: Memory, longest: int | None) -> LlmOutput:
        calls.append(given)
        outputs.append(step(given, memory, None if whole else longest))
        return outputs[-1]

    monkeypatch.setattr(model, "read", noted_read)
    monkeypatch.setattr(model, "step", noted_step)
    prompt = LlmPrompt(
        inputs["audio_text.in.input_ids"][0],
        inputs["audio_text.in.text_input_ids"][0],
        inputs["audio_text.in.is_continuous_mask"][0],
        [inputs["audio_text.in.whisper_input_feature.0"][0]],
    )
    settings = GenerateSettings(
        reply=Reply.TEXT if case.startswith("greedy_text") else Reply.BOTH,
        audio=Sampling(
            repetition_penalty=stored_run.get("audio_repetition_penalty", 1.0),
            repetition_window=stored_run.get("audio_repetition_window_size", 64),
        ),
        text=Sampling(
            repetition_penalty=stored_run.get("text_repetition_penalty", 1.0),
            repetition_window=stored_run.get("text_repetition_window_size", 16),
        ),
        max_new_tokens=stored_run.get("max_new_tokens", 24),
    )
    steps = list(Engine(model).stream(prompt, settings))
    found = {
        "returned_audio_tokens": [s.audio_id for s in steps if s.audio_id is not None],
        "returned_text_tokens": [s.text_id for s in steps if s.text_id is not None],
        "fed_audio_ids": [int(given.audio_ids) for given in calls],
        "fed_text_ids": [int(given.text_ids) for given in calls],
        "fed_positions": [
            len(prompt.audio_ids) - 1,
            *(int(given.lengths) for given in calls),
        ],
    }
    TABLE.add("generate: greedy runs", sum(stored_run.get(n, v) != v for n, v in found.items()))
    for stream_name in ("audio", "text"):
        stored = tensors("llm/run_cases").get(f"{case}.step_{stream_name}_logits")
        if stored is not None:
            computed = [getattr(output, f"{stream_name}_logits") for output in outputs]
            # Audio is not scored for a text reply, nor text once it has ended.
            kept = [place for place, scores in enumerate(computed) if len(scores)]
            needed = (
                (len(outputs) if settings.reply is Reply.BOTH else 0)
                if stream_name == "audio"
                else min(len(outputs), 1 + sum(step.text_id is not None for step in steps))
            )
            assert kept == list(range(needed))
            error = worst(torch.cat(computed), stored[kept])
            TABLE.add("generate: logits of every step", error, 2e-5)


def by_id(weights: Tensor, ids: Tensor) -> Tensor:
    """Return weights (rows, candidates) in the order of their ids."""
    return weights.gather(-1, ids.argsort(-1))


def test_the_order_of_all_tokens_does_not_matter() -> None:
    scores = torch.randn(2, 40, generator=torch.Generator().manual_seed(0))
    weights, ids = candidates(scores, Sampling(temperature=0.8, top_k=0))
    wanted = (scores / 0.8).softmax(-1)
    assert worst(by_id(weights, ids), wanted) < 1e-6
    turned = torch.arange(39, -1, -1).expand(2, -1)
    assert worst(by_id(wanted.flip(-1), turned), wanted) == 0


def test_sampler() -> None:
    stored, stored_run = tensors("sampler/cases"), notes("sampler/cases")
    for case in stored_run["cases"]:
        name, logits = case["name"], stored[f"{case['name']}.logits"]
        last = logits if logits.ndim == 2 else logits[:, -1]
        recent = [stored.get(f"{name}.recent_tokens", torch.zeros(0)).long().tolist()] * len(last)
        given = {k.replace("_size", ""): v for k, v in case["params"].items()}
        settings, before = Sampling(**given), last.clone()
        scores = penalised(last, recent, settings)
        after = stored[f"{name}.logits_after_in_place"]
        # The published sampler changes its input where this one returns the changed scores.
        error = worst(scores, after if after.ndim == 2 else after[:, -1])
        TABLE.add("sampler: penalised scores", error, 1e-6)
        if "drawn_position" in case:
            weights, ids = candidates(scores, settings)
            wanted = stored[f"{name}.candidate_ids"]
            token = wanted[:, case["drawn_position"]]
            if settings.top_k:
                assert torch.equal(ids, wanted)
            kinds = ("candidate_weights", "normalised_probabilities")
            weights = by_id(weights, ids)  # of all tokens, the order means nothing
            for kind in kinds:  # the published weights are in proportion to these
                theirs = by_id(stored[f"{name}.{kind}"], wanted)
                theirs = theirs / theirs.sum(-1, keepdim=True)
                TABLE.add("sampler: weights", worst(weights, theirs), 1e-6)
            assert torch.equal(ids.sort(-1).values, wanted.sort(-1).values)
            draws = [Draws(0).noise(settings, last.shape[1])] * len(last)
            drawn = chosen(last, settings, recent, draws)
            assert set(drawn.tolist()) <= set(ids.flatten().tolist())
        else:
            token = chosen(last, settings, recent, [None] * len(last))
        TABLE.add("sampler: tokens", float(token.tolist() != case["token"]))
        assert torch.equal(last, before)
