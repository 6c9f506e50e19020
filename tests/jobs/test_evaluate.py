"""wavemill benchmark, evaluate and leaderboard, as a user calls them, killed and resumed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.evaluation.chat_server import chat_server, heard, said
from tests.jobs.test_generate import Terminal, wavemill  # noqa: F401
from tests.support import ROOT
from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, Items, write_items
from wavemill.model.evaluate.benchmarks.schema import BENCHMARK_FILE, benchmark_named
from wavemill.model.evaluate.runs.answers import Answers
from wavemill.model.evaluate.runs.record import read_record
from wavemill.model.evaluate.runs.score import read_scores
from wavemill.model.evaluate.sound import encoded
from wavemill.model.learnt_from import write_learnt_from
from wavemill.pipeline.corpora import sft

WORDS = ("zero", "one", "two", "three", "four", "five")
RATE = 16_000


def sound(number: int) -> bytes:
    """Return a clip by whose length the stub knows which item it hears."""
    return encoded(np.full(1600 + 16 * number, 0.1, np.float32), RATE)


def number_of(samples: int) -> int:
    return (samples - 1600) // 16


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from wavemill.model.creation import create

    folder = tmp_path_factory.mktemp("model") / "tiny"
    create(folder, "tiny")
    return folder


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """A corpus as `wavemill curate` leaves it, of six labelled words."""
    rows = []
    for number, word in enumerate(WORDS):
        parts = [
            {"role": "user", "kind": "text", "text": "Write down what is said."},
            {"role": "user", "kind": "audio", "audio": {"bytes": sound(number), "path": "x.flac"}},
            {"role": "assistant", "kind": "text", "text": word},
        ]
        empty = {"text": None, "audio": None, "semantic_tokens": None}
        rows.append(
            {
                "sample_id": f"s{number}",
                "recording_id": f"r{number}",
                "task": "asr",
                "source": "x.wav",
                "speaker": f"speaker {number % 2}",
                "language": "en",
                "split": "test" if number < 3 else "train",
                "messages": [empty | part for part in parts],
                "metadata": "{}",
                "lineage_id": "l",
            }
        )
    folder = tmp_path / "work/corpus/sft"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, sft.SCHEMA), folder / "part.parquet")
    return tmp_path / "work"


def prepared(root: Path, name: str, items: Sequence[BenchmarkItem]) -> Path:
    folder = root / name
    write_items(folder / "items.parquet", items)
    (folder / BENCHMARK_FILE).write_text(benchmark_named(name).dumped(), encoding="utf-8")
    return folder


def choices(root: Path) -> Path:
    return prepared(
        root,
        "voicebench-openbookqa",
        [
            BenchmarkItem(f"c{n}", sound(n), "Which?", ("a dog", "a cat"), ("B" if n % 2 else "A",))
            for n in range(12)
        ],
    )


def program(*arguments: str | Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "wavemill.jobs.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL


def wait_for_part(folder: Path) -> None:
    until = time.monotonic() + 240
    while not list(folder.glob("answers/0*.parquet")):
        assert time.monotonic() < until, "no answer came"
        time.sleep(0.02)


def test_a_model_on_a_corpus_survives_a_kill(
    wavemill: Terminal,  # noqa: F811
    tiny: Path,
    workdir: Path,
    tmp_path: Path,
) -> None:
    bench, runs, whole = tmp_path / "words", tmp_path / "runs", tmp_path / "whole"
    code, _, told = wavemill(
        "benchmark", "prepare", "corpus", "--source", workdir, "--split", "test", "--out", bench
    )
    assert (code, told.split(" in ")[0]) == (0, "3 items")
    asked = ["evaluate", tiny, "-b", bench, "--max-new-tokens", "8", "--batch", "1", "--out"]
    process = program(*asked, runs)
    folder = runs / "words/tiny"
    wait_for_part(folder)
    kill(process)
    before = set(Answers(folder).states())
    assert before
    code, shown, _ = wavemill(*asked, runs)
    assert code == 0
    assert "wer" in shown
    kept = [row.item_id for row in Answers(folder).rows()]
    assert kept == ["s0", "s1", "s2"]
    parts = len(list(folder.glob("answers/*.parquet")))
    assert parts == 3  # none of the items was asked twice
    assert wavemill(*asked, whole)[0] == 0
    other = [row.answer for row in Answers(whole / "words/tiny").rows()]
    assert [row.answer for row in Answers(folder).rows()] == other
    record = read_record(folder)
    assert record is not None
    assert len(record.model["sha256"]) == 64
    assert record.items_sha256 == Items(bench / "items.parquet").digest()
    assert {"torch", "transformers", "wavemill"} <= record.versions.keys()
    code, _, told = wavemill(*asked, runs, "--seed", "1")
    assert code == 2
    assert "its seed is 0, not 1" in told


def test_what_a_model_learnt_from_and_each_speaker_are_told(
    wavemill: Terminal,  # noqa: F811
    tiny: Path,
    workdir: Path,
    tmp_path: Path,
) -> None:
    run, bench, runs = tmp_path / "first-run", tmp_path / "words", tmp_path / "runs"
    shutil.copytree(tiny, run / "model")
    write_learnt_from(run / "model", ["r1", "r2", "r5"])
    prepare = ("benchmark", "prepare", "corpus", "--source", workdir, "--out", bench)
    assert wavemill(*prepare, "--split", "test")[0] == 0
    asked = ("evaluate", run / "model", "-b", bench, "--max-new-tokens", "4", "--out", runs)
    code, shown, told = wavemill(*asked)
    assert code == 0
    assert "first-run learnt from the recordings of 2 of the 3 items of words" in told
    scores = read_scores(runs / "words" / "first-run")
    assert scores is not None
    assert {(one.speaker, one.count) for one in scores.by_speaker} == {
        ("speaker 0", 2),
        ("speaker 1", 1),
    }
    assert "speaker 1" in shown
    rates = [one.value for one in scores.by_speaker]
    assert rates == sorted(rates, reverse=True)
    code, _, _ = wavemill("leaderboard", runs, "--markdown", tmp_path / "board.md")
    assert code == 0
    assert "2 of recordings that it learnt from" in (tmp_path / "board.md").read_text(
        encoding="utf-8"
    )


def test_an_endpoint_survives_a_kill_and_is_asked_for_what_is_missing_only(
    wavemill: Terminal,  # noqa: F811
    tmp_path: Path,
) -> None:
    bench, runs = choices(tmp_path), tmp_path / "runs"
    asked, stuck, free = Counter[int](), threading.Event(), threading.Event()

    def reply(body: dict[str, object]) -> str:
        number = number_of(heard(body))
        asked[number] += 1
        if sum(asked.values()) > 5 and not free.is_set():
            stuck.set()
            free.wait(240)
        return "The answer is B."

    with chat_server(reply) as server:
        command = ["evaluate", server.url, "--served", "stub", "-b", bench, "--batch", "2"]
        process = program(*command, "--out", runs)
        assert stuck.wait(240)
        kill(process)
        free.set()
        folder = runs / "voicebench-openbookqa/stub"
        before = set(Answers(folder).states())
        assert len(before) == 4
        asked.clear()
        code, shown, _ = wavemill(*command, "--out", runs)
        assert code == 0
        assert set(asked) == {n for n in range(12) if f"c{n}" not in before}
        assert set(asked.values()) == {1}
        asked.clear()
        assert wavemill(*command, "--out", runs)[0] == 0
    assert not asked
    assert re.search(r"accuracy\W+50\.00", shown)
    scores = read_scores(folder)
    assert scores is not None
    assert (scores.total, scores.answered, scores.failed) == (12, 12, 0)


def test_items_that_fail_are_rows_and_can_be_asked_again(
    wavemill: Terminal,  # noqa: F811
    tmp_path: Path,
) -> None:
    bench, runs = choices(tmp_path), tmp_path / "runs"
    broken = {3, 7}
    with chat_server(lambda body: 400 if number_of(heard(body)) in broken else "A") as server:
        command = ["evaluate", server.url, "--served", "stub", "-b", bench, "--out", runs]
        code, shown, _ = wavemill(*command)
        assert code == 0
        assert "2 of 12 items failed and are not in it" in shown.replace("\n", " ")
        folder = runs / "voicebench-openbookqa/stub"
        rows = {row.item_id: row for row in Answers(folder).rows()}
        assert {i for i, row in rows.items() if row.error} == {"c3", "c7"}
        assert "HTTP 400" in (rows["c3"].error or "")
        broken.clear()
        wavemill(*command)
        assert len(server.bodies) == 12  # failed items stay failed by themselves
        assert wavemill(*command, "--retry-failed")[0] == 0
        assert len(server.bodies) == 14
    scores = read_scores(folder)
    assert scores is not None
    assert scores.complete


def test_answers_first_and_judged_scores_later(
    wavemill: Terminal,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items = [BenchmarkItem(f"q{n}", sound(n), f"How much is {n}?", (), (str(n),)) for n in range(6)]
    bench, runs = prepared(tmp_path, "voicebench-sdqa", items), tmp_path / "runs"
    for name in ("URL", "MODEL", "KEY"):
        monkeypatch.delenv(f"WAVEMILL_JUDGE_{name}", raising=False)

    def reply(body: dict[str, object]) -> str:
        if body["model"] == "judge":
            right = "answer 2" not in str(body) and "answer 4" not in str(body)
            verdict = "correct" if right else "incorrect"
            return json.dumps({"reason": "so it is", "verdict": verdict})
        assert said(body) == ""  # the question is spoken
        return f"answer {number_of(heard(body))}"

    with chat_server(reply) as server:
        command = ["evaluate", server.url, "--served", "stub", "-b", bench, "--out", runs]
        code, _, told = wavemill(*command)
        assert code == 2
        assert "WAVEMILL_JUDGE_URL" in told
        assert wavemill(*command, "--skip-scoring")[0] == 0
        assert len(server.bodies) == 6
        monkeypatch.setenv("WAVEMILL_JUDGE_URL", server.url)
        monkeypatch.setenv("WAVEMILL_JUDGE_MODEL", "judge")
        code, shown, _ = wavemill(*command, "--rescore")
        assert code == 0
        assert re.search(r"accuracy\W+66\.67", shown)
        assert len(server.bodies) == 12
        assert wavemill(*command, "--rescore")[0] == 0
        assert len(server.bodies) == 12  # the judge's replies were kept
    scores = read_scores(runs / "voicebench-sdqa/stub")
    assert scores is not None
    assert scores.judge == "judge"


def test_the_leaderboard_shows_runs_beside_published_scores(
    wavemill: Terminal,  # noqa: F811
    tmp_path: Path,
) -> None:
    bench, runs = choices(tmp_path), tmp_path / "runs"
    with chat_server(lambda body: "BA"[number_of(heard(body)) % 2]) as server:
        ask = ["evaluate", server.url, "-b", bench, "--out", runs, "--served"]
        assert wavemill(*ask, "<script>alert(1)</script>", "--limit", "5")[0] == 0
        assert wavemill(*ask, "<script>alert(1)</script>", "--limit", "10")[0] == 0
        assert len(server.bodies) == 10  # a run may grow
        assert wavemill(*ask, "plain")[0] == 0
    page, text = tmp_path / "board.html", tmp_path / "board.md"
    code, shown, _ = wavemill("leaderboard", runs, "--html", page, "--markdown", text)
    assert code == 0
    assert "Kimi-Audio" in shown
    assert "83.52" in shown
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "http" not in html.replace("http://127.0.0.1", "")  # nothing is loaded
    assert "prefers-color-scheme: dark" in html
    assert "\\<script\\>" in text.read_text(encoding="utf-8")


def test_errors_are_one_line(wavemill: Terminal, tmp_path: Path) -> None:  # noqa: F811
    bench, out = choices(tmp_path), tmp_path / "runs"
    cases = {
        ("nowhere", "-b", bench): "nowhere, and it is neither a URL",
        ("http://x/v1", "-b", bench): "--served NAME",
        ("http://x/v1", "--served", "m", "-b", "meld"): "benchmark prepare meld --source DIR",
        ("http://x/v1", "--served", "m", "-b", "voicebench-avg"): "the mean of",
        ("http://x/v1", "--served", "m", "-b", "meldd"): "like it are meld",
        ("http://x/v1", "--served", "m", "-b", bench, "--rescore"): "there is no run in",
        ("http://x/v1", "--served", "m", "-b", bench, "--recipe", "x"): "there is no recipe 'x'",
        ("some/hub-id", "-b", bench): "--kind",
    }
    for arguments, expected in cases.items():
        code, _, told = wavemill("evaluate", *arguments, "--out", out)
        assert code == 2
        assert expected in told, told
        assert told.count("\n") == 1
    assert wavemill("leaderboard", tmp_path / "none")[0] == 2
    code, _, told = wavemill("benchmark", "prepare", "esc-50", "--source", tmp_path)
    assert (code, told.count("\n")) == (2, 1)
    assert "meta/esc50.csv" in told
