"""Asking an OpenAI-compatible server on loopback."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest

from examples.evaluation.chat_server import chat_server, heard, said
from wavemill.model.evaluate.models.answering import ModelError, ModelInput
from wavemill.model.evaluate.models.endpoint import EndpointModel
from wavemill.model.evaluate.models.spec import ModelSpec, identity_of
from wavemill.model.evaluate.recipes.recipe import Decoding, Recipe

SOUND = np.full(1600, 0.1, np.float32)
RECIPE = Recipe(name="test", decoding=Decoding(max_new_tokens=9, temperature=0.5, top_p=0.8))


def asked(count: int) -> list[ModelInput]:
    return [
        ModelInput(f"i{n}", f"question {n}", "be short", SOUND[: 100 * (n + 1)])
        for n in range(count)
    ]


def model(url: str, recipe: Recipe = RECIPE) -> EndpointModel:
    return EndpointModel(url, "served", recipe, seed=3, concurrency=4, first_pause_s=0.001)


def test_sound_words_and_parameters_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEMILL_ENDPOINT_KEY", "secret")
    with chat_server(lambda body: f"{said(body)} / {heard(body)}") as server:
        answers = model(server.url).answer(asked(5))
    assert [a.text for a in answers] == [f"question {n} / {100 * (n + 1)}" for n in range(5)]
    body = server.bodies[0]
    wanted = {"model": "served", "seed": 3, "max_tokens": 9, "temperature": 0.5, "top_p": 0.8}
    assert wanted.items() <= body.items()
    assert "repetition_penalty" not in body
    assert body["messages"][0] == {"role": "system", "content": "be short"}
    assert [part["type"] for part in body["messages"][1]["content"]] == ["text", "input_audio"]
    assert set(server.keys) == {"Bearer secret"}


def test_a_recipe_says_what_comes_first_and_an_empty_prompt_is_no_part() -> None:
    with chat_server(lambda _: "yes") as server:
        recipe = Recipe(name="test", text_first=False)
        model(server.url, recipe).answer([ModelInput("a", "what?", audio=SOUND)])
        model(server.url, recipe).answer([ModelInput("a", "", audio=SOUND)])
    kinds = [[p["type"] for p in b["messages"][-1]["content"]] for b in server.bodies]
    assert kinds == [["input_audio", "text"], ["input_audio"]]


def test_several_are_asked_at_a_time() -> None:
    together = threading.Barrier(4, timeout=10)

    def reply(_: object) -> str:
        together.wait()
        return "there"

    with chat_server(reply) as server:
        assert [a.text for a in model(server.url).answer(asked(4))] == ["there"] * 4


def test_what_may_pass_is_tried_again_and_what_does_not_is_an_error_of_its_item() -> None:
    tries: Counter[str] = Counter()

    def reply(body: dict[str, object]) -> str | int:
        tries[said(body)] += 1
        if said(body) == "question 0":
            return 503
        if said(body) == "question 1":
            return 400
        return 429 if tries[said(body)] < 3 else "good"

    with chat_server(reply) as server:
        answers = model(server.url).answer(asked(3))
    assert tries == {"question 0": 5, "question 1": 1, "question 2": 3}
    assert answers[0].error == (
        'endpoint: HTTP 503: {"error": {"message": "status 503"}} (5 tries)'
    )
    assert answers[1].error is not None
    assert "HTTP 400" in answers[1].error
    assert (answers[2].error, answers[2].text) == (None, "good")


def test_a_wrong_key_stops_at_once() -> None:
    with chat_server(lambda _: 401) as server, pytest.raises(ModelError, match="HTTP 401"):
        model(server.url).answer(asked(3))


def test_a_server_that_is_not_there_is_an_error_of_the_item() -> None:
    with chat_server(lambda _: "x") as server:
        url = server.url
    (answer,) = model(url).answer(asked(1))
    assert answer.error is not None
    assert "Connection refused" in answer.error


def test_an_endpoint_needs_the_name_of_its_model() -> None:
    with pytest.raises(ModelError, match="--served NAME"):
        identity_of(ModelSpec("endpoint", "http://127.0.0.1:1/v1"))


def test_the_key_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with chat_server(lambda _: 307) as server:
        (answer,) = model(server.url).answer(asked(1))
    assert answer.error is not None
    assert "HTTP 307" in answer.error
