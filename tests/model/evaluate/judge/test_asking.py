"""A judge behind an endpoint: concurrent, retried, cached, and never fatal."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.model.evaluate.conformance import TABLE, needs_cases, stored
from tests.model.evaluate.judge.server import Response, Server, says, serving
from wavemill.model.evaluate.chat_api import ChatApi
from wavemill.model.evaluate.judge.asking import EndpointJudge, JudgePrompt, JudgeSettings
from wavemill.model.evaluate.judge.rubrics import rubrics
from wavemill.model.evaluate.scorers.judged import JudgedScorer
from wavemill.model.evaluate.scoring import Answered, EvaluationError

FAILED = Response(500, b"overloaded")


def judge_of(
    server: Server, cache: Path | None = None, concurrent: int = 8, **patience: Any
) -> EndpointJudge:
    api = ChatApi(server.url, **{"key": "secret-key", "first_pause": 0.001, **patience})
    return EndpointJudge(JudgeSettings(api, "judge-1", concurrent), cache)


def test_request_is_a_chat_completion_with_the_key() -> None:
    with serving(says(" yes \n")) as server:
        reply = judge_of(server).ask([JudgePrompt("right?", "be fair", 0.5, 9)])[0]
    assert (reply.text, reply.error, reply.cached) == ("yes", "", False)
    assert server.headers[0]["Authorization"] == "Bearer secret-key"
    assert server.bodies == [
        {
            "model": "judge-1",
            "messages": [
                {"role": "system", "content": "be fair"},
                {"role": "user", "content": "right?"},
            ],
            "temperature": 0.5,
            "max_tokens": 9,
        }
    ]


def test_replies_keep_the_order_of_prompts_and_equal_prompts_are_asked_once() -> None:
    def echo(body: dict[str, Any]) -> Response:
        return says(body["messages"][-1]["content"].upper())

    texts = ["a", "b", "a", "c", "b"]
    with serving(answer=echo) as server:
        replies = judge_of(server).ask([JudgePrompt(text) for text in texts])
    assert [reply.text for reply in replies] == ["A", "B", "A", "C", "B"]
    assert len(server.bodies) == 3


def test_requests_run_at_the_same_time() -> None:
    together = threading.Barrier(4)

    def wait_for_all(_: dict[str, Any]) -> Response:
        together.wait(timeout=20)  # breaks unless four requests are there at once
        return says("yes")

    with serving(answer=wait_for_all) as server:
        judge = judge_of(server, concurrent=4, tries=1)
        replies = judge.ask([JudgePrompt(str(i)) for i in range(4)])
    assert [reply.text for reply in replies] == ["yes"] * 4


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    with serving(says("yes")) as server:
        settings = JudgeSettings(ChatApi(server.url), "m")
        EndpointJudge(settings, progress=lambda *p: seen.append(p)).ask(
            [JudgePrompt("a"), JudgePrompt("b")]
        )
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    "bad",
    [
        FAILED,
        Response(429, says("yes").body, (("Retry-After", "0"),)),
        Response(200, b"no json"),
        Response(200, b'{"choices": []}'),
        says("  "),
        says(None),
    ],
)
def test_failures_that_may_pass_are_tried_again_and_then_recorded(bad: Response) -> None:
    with serving(bad, bad, says("no")) as server:
        assert judge_of(server, tries=3).ask([JudgePrompt("a")])[0].text == "no"
        assert len(server.bodies) == 3
    with serving(bad) as server:
        reply = judge_of(server, tries=3).ask([JudgePrompt("a")])[0]
        assert reply.text is None
        assert "3 tries" in reply.error
        assert len(server.bodies) == 3


def test_refused_requests_are_not_repeated() -> None:
    with serving(Response(401, b"bad key")) as server:
        reply = judge_of(server).ask([JudgePrompt("a")])[0]
    assert reply.error == "HTTP 401: bad key"
    assert len(server.bodies) == 1


def test_key_does_not_follow_a_redirect() -> None:
    with serving(says("stolen")) as other:
        moved = Response(307, b"", (("Location", f"{other.url}/chat/completions"),))
        with serving(moved) as server:
            reply = judge_of(server).ask([JudgePrompt("a")])[0]
    assert reply.text is None
    assert reply.error.startswith("HTTP 307")
    assert other.bodies == []


def test_no_server_is_recorded() -> None:
    settings = JudgeSettings(ChatApi("http://127.0.0.1:9", tries=2, first_pause=0.001), "m")
    reply = EndpointJudge(settings).ask([JudgePrompt("a")])[0]
    assert reply.text is None
    assert "(2 tries)" in reply.error


def test_replies_are_kept_on_disk_by_content(tmp_path: Path) -> None:
    with serving(*(says(f"reply {n}") for n in range(3))) as server:
        judge = judge_of(server, tmp_path)
        first = judge.ask([JudgePrompt("a")])[0]
        again = judge_of(server, tmp_path).ask([JudgePrompt("a")])[0]
        warmer = judge.ask([JudgePrompt("a", temperature=0.5)])[0]
        assert (first.text, again.text, again.cached) == ("reply 0", "reply 0", True)
        assert warmer.text == "reply 1"
        files = sorted(tmp_path.rglob("*.json"))
        assert len(files) == 2
        assert "secret-key" not in "".join(file.read_text(encoding="utf-8") for file in files)
        for file in files:
            file.write_text("{", encoding="utf-8")
        assert judge.ask([JudgePrompt("a")])[0].text == "reply 2"


def test_failures_are_not_kept(tmp_path: Path) -> None:
    with serving(FAILED, says("yes")) as server:
        judge = judge_of(server, tmp_path, tries=1)
        assert judge.ask([JudgePrompt("a")])[0].text is None
        assert judge.ask([JudgePrompt("a")])[0].text == "yes"


def test_settings_come_from_the_environment() -> None:
    names = {"WAVEMILL_JUDGE_URL": "http://x/v1", "WAVEMILL_JUDGE_MODEL": "m"}
    assert JudgeSettings.from_environment(names) == JudgeSettings(ChatApi("http://x/v1"), "m")
    settings = JudgeSettings.from_environment(names | {"WAVEMILL_JUDGE_KEY": "secret-key"})
    assert settings.api.key == "secret-key"
    assert "secret-key" not in repr(settings)
    with pytest.raises(EvaluationError, match="set WAVEMILL_JUDGE_URL"):
        JudgeSettings.from_environment({})
    with pytest.raises(EvaluationError, match="must begin with http"):
        JudgeSettings.from_environment(names | {"WAVEMILL_JUDGE_URL": "file:///etc/passwd"})


def test_one_failed_item_does_not_stop_an_evaluation() -> None:
    def answer(body: dict[str, Any]) -> Response:
        text = body["messages"][-1]["content"]
        if '"bad"' in text:
            return Response(400, b"no")
        return says('{"reason": "same", "verdict": "correct"}' if '"Paris"' in text else "hm")

    items = [
        Answered(name, name, ("Paris",), question="The capital of France?")
        for name in ("bad", "odd")
    ]
    items.append(Answered("good", "Paris", question="The capital of France?"))
    with serving(answer=answer) as server:
        scorer = JudgedScorer(judge_of(server), rubrics()["reference_qa"])
        scores = scorer.score(items)
    assert [v.value for v in scores.item_scores] == [None, 1.0, 1.0]
    assert scores.item_scores[0].note == "judge failed: HTTP 400: no"
    assert (scores.metrics[0].count, scores.metrics[0].unscored) == (2, 1)


@needs_cases
def test_stored_failures_of_the_api() -> None:
    part = "judge/prompt_structure.json failure_behaviour"
    responses = {
        "500 twice then ok": (FAILED, FAILED, says("no")),
        "always 500": (FAILED,),
        "empty content always": (says(""),),
        "malformed json body shape always": (Response(200, b'{"x": 1}'),),
        "429 with a body that has choices": (Response(429, says("yes").body),),
    }
    for case in stored("judge/prompt_structure.json")["wire_format"]["failure_behaviour"]:
        with serving(*responses[case["server"]]) as server:
            reply = judge_of(server, tries=5).ask([JudgePrompt("a")])[0]
        found = (reply.text, len(server.bodies))
        wanted = (case["judge_response_returns"], case["requests_made"])
        TABLE.case(part, found, wanted, case["server"])
    TABLE.passes(part)
