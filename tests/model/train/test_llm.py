"""The LLM's learner: the published losses and gradients, and every task can be learnt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.model.conformance import LLM, TABLE, needs_fixtures, notes, run_notes, tensors, worst
from tests.model.data.made import segment_row, write
from wavemill.model.data.batch import PackedBatch
from wavemill.model.llm.network import AudioLlm
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import EncoderConfig
from wavemill.model.train.learner import MAIN, Progress
from wavemill.model.train.llm import LearningLlm, LlmLearner, LlmTraining
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import PretrainRecipe

TOLERANCE = 2e-5
EARS = EncoderConfig(d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32)


def fixture_batch(case: str) -> tuple[PackedBatch, torch.Tensor]:
    stored = tensors("llm/run_cases")
    given = {n.removeprefix(f"{case}.in."): t for n, t in stored.items() if f"{case}.in." in n}
    audio = given["input_ids"][0]
    mask = given.get("is_continuous_mask")
    features = [t[0] for n, t in given.items() if n.startswith("whisper_input_feature")]
    batch = PackedBatch(
        ids=(case,), tasks=("fixture",), lengths=(len(audio),),
        audio_ids=audio, text_ids=given["text_input_ids"][0],
        audio_labels=given["audio_labels"][0], text_labels=given["text_labels"][0],
        audio_loss_mask=given["audio_loss_mask"][0], text_loss_mask=given["text_loss_mask"][0],
        continuous=torch.zeros_like(audio).bool() if mask is None else mask[0].bool(),
        position_ids=torch.arange(len(audio)), mels=(),
    )  # fmt: skip
    return batch, torch.cat(features) if features else torch.zeros(0, 64)


@needs_fixtures
@pytest.mark.parametrize(
    "case", [name for name, told in run_notes().items() if "grad_l2_norms" in told]
)
def test_a_step_has_the_published_losses_and_gradients(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, told = tensors("llm/run_cases"), notes("llm/run_cases")[case]
    batch, features = fixture_batch(case)
    network = LearningLlm(AudioLlm.from_pretrained(LLM / "llm"), AcousticEncoder(EARS))
    monkeypatch.setattr(network, "features", lambda _: features[: int(batch.continuous.sum())])
    learner = LlmLearner(network)
    loss = learner.loss(MAIN, batch, Progress(0, 0, 1, learner.counts(batch)))
    TABLE.add("train: losses", abs(float(loss.total.detach()) - told["loss"]), TOLERANCE)
    loss.total.backward()
    parameters = dict(network.llm.named_parameters())
    for name, norm in told["grad_l2_norms"].items():
        gradient = parameters[name].grad
        found = 0.0 if gradient is None else float(gradient.norm())
        TABLE.add("train: gradient norms", abs(found - norm), TOLERANCE)
    for name, tensor in stored.items():
        if name.startswith(f"{case}.grad."):
            gradient = parameters[name.removeprefix(f"{case}.grad.")].grad
            found_ = torch.zeros_like(tensor) if gradient is None else gradient
            TABLE.add("train: gradients", worst(found_, tensor), TOLERANCE)


def test_every_task_is_learnt_from_ten_recordings(tmp_path: Path) -> None:
    rows = [segment_row(r, i, text=f"{r}{i}") for r in range(10) for i in range(2)]
    place = write(tmp_path, "pretrain", [rows])
    (place / "t.jsonl").write_text(
        "".join(f'{{"text": "line {i}"}}\n' for i in range(10)), encoding="utf-8"
    )
    small = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2}
    recipe = PretrainRecipe.model_validate(
        {
            "network": {"llm": small, "acoustic": {"d_model": 32, "encoder_ffn_dim": 64}},
            "data": {"positions": 256},
            "tokens": 10**6,
        }
    )
    texts = (str(place / "t.jsonl"),)
    job = LlmTraining(str(place), recipe, tmp_path / "run", texts)
    learner, batches = job.learner(), job.data(Ranks()).batches
    (parameters,) = learner.optimized().values()
    optimizer = torch.optim.AdamW(parameters, lr=4e-3)
    losses: dict[str, list[float]] = {}
    for _ in range(70):
        batch = next(batches)
        loss = learner.loss(MAIN, batch, Progress(0, 0, 1, learner.counts(batch)))
        optimizer.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        for name, (total, count) in loss.parts.items():
            if count:
                losses.setdefault(name, []).append(float(total / count))
    batches.close()
    heads = {"text/text", "audio/audio", "asr/text", "tts/audio", "audio_to_semantic/audio",
             "audio_to_text/text", "audio_to_both/text", "audio_to_both/audio"}  # fmt: skip
    assert {name.removeprefix("loss/") for name in losses if name.count("/") == 2} == heads
    for name, values in losses.items():
        assert sum(values[-3:]) < 0.75 * sum(values[:3]), f"{name}: {values[:3]} {values[-3:]}"
