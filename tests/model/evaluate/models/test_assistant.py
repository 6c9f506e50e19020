"""This project's model behind the interface, with random weights."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from wavemill.model.assistant import Assistant, Message
from wavemill.model.evaluate.models.answering import ModelError, ModelInput
from wavemill.model.evaluate.models.assistant import AssistantModel, settings_for
from wavemill.model.evaluate.models.spec import ModelSpec, identity_of, kind_of, load_model
from wavemill.model.evaluate.recipes.recipe import Decoding, Recipe, RecipeError
from wavemill.model.evaluate.sound import encoded
from wavemill.model.prompt.layout import Role

SHORT = Recipe(name="test", decoding=Decoding(max_new_tokens=12))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from wavemill.model.creation import create

    folder = tmp_path_factory.mktemp("model") / "tiny"
    create(folder, "tiny")
    return folder


def clips(*seconds: float) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(0, 0.1, round(s * 16_000)).astype(np.float32) for s in seconds]


def test_answers_are_those_of_the_assistant_whatever_they_are_batched_with(tiny: Path) -> None:
    torch.set_num_threads(1)
    model = AssistantModel(str(tiny), SHORT)
    asked = [ModelInput(f"i{n}", "listen", None, c) for n, c in enumerate(clips(0.2, 0.5))]
    answers = model.answer(asked)
    assistant = Assistant.from_pretrained(tiny, speaks=False)
    for one, answer in zip(asked, answers, strict=True):
        messages = [Message(Role.USER, text="listen"), Message(Role.USER, audio=one.audio)]
        pieces = list(assistant.reply(messages, model.settings))
        assert answer.text == "".join(piece.text for piece in pieces)
        assert answer.complete == pieces[-1].complete


def test_spoken_answers_come_with_their_times(tiny: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    voice = tmp_path / "voice.flac"
    voice.write_bytes(encoded(clips(3.2)[0], 16_000))
    spec = ModelSpec("assistant", str(tiny), speaks=True, voice=str(voice))
    model = load_model(spec, SHORT)
    (answer,) = model.answer([ModelInput("a", "listen", None, clips(0.2)[0])])
    assert answer.speech is not None
    assert answer.speech.rate == 24_000
    assert len(answer.speech.samples) % 1920 == 0
    assert 0 < answer.speech.first_chunk_s <= answer.seconds
    identity = identity_of(spec)
    assert identity["reply"] == "both"
    assert identity["voice_sha256"] == hashlib.sha256(voice.read_bytes()).hexdigest()
    assert identity["sha256"] == identity_of(ModelSpec("assistant", str(tiny)))["sha256"]


def test_a_recipe_becomes_its_settings() -> None:
    decoding = Decoding(temperature=0.7, top_k=0, repetition_penalty=1.1, repetition_window=9)
    settings = settings_for(decoding, seed=4)
    text = settings.text
    assert (text.temperature, text.top_k, text.repetition_penalty) == (0.7, 0, 1.1)
    assert (text.repetition_window, settings.seed) == (9, 4)


def test_what_it_cannot_do_is_said_before_any_work(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="top_p"):
        AssistantModel(str(tiny), Recipe(name="x", decoding=Decoding(top_p=0.5)))
    with pytest.raises(RecipeError, match="as_is"):
        AssistantModel(str(tiny), Recipe(name="x", as_is=True))
    with pytest.raises(ModelError, match="there is no folder"):
        AssistantModel(str(tmp_path / "none"), SHORT)
    with pytest.raises(ModelError, match="--speaks"):
        load_model(ModelSpec("endpoint", "http://x", speaks=True, served="m"), SHORT)


def test_what_a_source_is(tiny: Path, tmp_path: Path) -> None:
    assert kind_of(str(tiny)) == "assistant"
    assert kind_of(str(tmp_path)) == "transformers"
    assert kind_of("https://host/v1") == "endpoint"
    with pytest.raises(ModelError, match="--kind"):
        kind_of("owner/name")
    with pytest.raises(ModelError, match="no folder"):
        kind_of("not-there")


def test_other_weights_are_another_model(tiny: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    first, second = (identity_of(ModelSpec("assistant", str(f))) for f in (tiny, copy))
    assert first["sha256"] == second["sha256"]
    (copy / "config.json").write_text(
        (copy / "config.json").read_text(encoding="utf-8") + " ", encoding="utf-8"
    )
    assert identity_of(ModelSpec("assistant", str(copy)))["sha256"] != first["sha256"]
