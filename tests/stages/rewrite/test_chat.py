"""A chat endpoint that rewrites: its good, bad, slow and failing answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stages.servers import serving
from wavemill.stages.conversation import Message
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.rewrite.chat import Chat, ChatConfig
from wavemill.stages.rewrite.engine import NotRewritten

pytest.importorskip("num2words")
WRITTEN = [Message(0, "user", "What is **2+2**?"), Message(1, "assistant", "4")]


def reply(content: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}}]}).encode()


def engine(url: str, **settings: Any) -> Chat:
    config = ChatConfig(url=url, model="m", first_pause_s=0, tries=2, timeout_s=5, **settings)
    made = Chat(config)
    made.load("cpu")
    return made


def said(*texts: str) -> str:
    roles = ("user", "assistant")
    return json.dumps(
        {"messages": [{"role": roles[i % 2], "text": text} for i, text in enumerate(texts)]}
    )


def test_a_reply_is_read_and_kept(tmp_path: Path) -> None:
    asked: list[Any] = []

    def answer(body: bytes) -> tuple[int, bytes]:
        asked.append(json.loads(body))
        return 200, reply(f"Sure:\n```json\n{said('hey, what is 2 and 2?', 'Four.')}\n```")

    with serving(answer) as url:
        chat = engine(url, cache=tmp_path)
        wanted = [Message(0, "user", "hey, what is two and two?"), Message(1, "assistant", "Four.")]
        assert chat.rewrite(WRITTEN) == wanted
        assert chat.rewrite(WRITTEN) == wanted
    assert len(asked) == 1
    assert (
        json.loads(asked[0]["messages"][1]["content"])["messages"][0]["text"] == "What is **2+2**?"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("I cannot do that.", "bad_reply"),
        ("{}", "bad_reply"),
        ('{"messages": [{"role": "user"}]}', "bad_reply"),
        (said("only a question"), "bad_reply"),
        (json.dumps({"messages": [{"role": "assistant", "text": "a"}] * 2}), "bad_reply"),
    ],
)
def test_nonsense_is_an_error(content: str, reason: str) -> None:
    with serving(lambda _: (200, reply(content))) as url:
        with pytest.raises(NotRewritten) as caught:
            engine(url).rewrite(WRITTEN)
        assert caught.value.reason == reason
        assert not caught.value.passing


def test_a_server_that_fails_is_asked_again() -> None:
    answers = [(500, b"oops"), (200, reply(said("a", "b")))]
    with serving(lambda _: answers.pop(0)) as url:
        assert [m.text for m in engine(url).rewrite(WRITTEN)] == ["a.", "b."]


@pytest.mark.parametrize(("status", "passing"), [(500, True), (400, False)])
def test_a_server_that_goes_on_failing(status: int, passing: bool) -> None:
    with serving(lambda _: (status, b"no")) as url, pytest.raises(NotRewritten) as caught:
        engine(url).rewrite(WRITTEN)
    assert caught.value.passing is passing


def test_a_server_that_is_down_may_come_back() -> None:
    with pytest.raises(NotRewritten) as caught:
        engine("http://127.0.0.1:9/v1").rewrite(WRITTEN)
    assert caught.value.passing


def test_no_endpoint_is_said_before_any_work() -> None:
    with pytest.raises(EngineUnavailable, match=r"rewrite\.chat\.url"):
        Chat(ChatConfig()).check()


def test_a_prompt_of_ones_own_is_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Do it.", encoding="utf-8")
    one, other = (
        Chat(ChatConfig(url="http://h/v1", model="m", prompt=prompt)).weights_identity()
        for prompt in (None, tmp_path / "p.txt")
    )
    assert one != other
