"""From recordings to a leaderboard: a tiny model learns digits, and is evaluated beside a stub.

    python -m examples.evaluation.run $WAVEMILL_AUDIO/digits --out evaluated

Curates some recordings, trains on them, makes three benchmarks of others (their transcripts, their
class among ten, and an answer that a judge compares), asks the model and an OpenAI-compatible stub
on loopback that answers by chance, kills the model's first run half-way and goes on, and writes
evaluated/leaderboard.html and .md. Takes a few minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from examples.evaluation.chat_server import chat_server
from wavemill.model.evaluate.benchmarks.schema import (
    BENCHMARK_FILE,
    Benchmark,
    MetricSpec,
    ScorerChoice,
    read_benchmark,
)

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEST, TRAIN = range(2), range(5, 11)  # indices of the recordings of a digit and speaker
ACCURACY = MetricSpec(name="accuracy", unit="%", better="higher", meaning="share of right answers")


def wavemill(*arguments: str | Path) -> None:
    """Run a command as a user would, and stop when it fails."""
    print("$ wavemill", *arguments, flush=True)
    subprocess.run(_command(*arguments), check=True)


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "wavemill.jobs.cli", *map(str, arguments)]


def manifest(folder: Path, path: Path) -> None:
    """Write a JSONL manifest of the recordings {digit}_{speaker}_{index}.wav."""
    with path.open("w", encoding="utf-8") as file:
        for recording in sorted(folder.glob("*.wav")):
            digit, speaker, index = recording.stem.split("_")
            if int(index) in (*TEST, *TRAIN):
                split = "test" if int(index) in TEST else "train"
                line = {"audio_filepath": str(recording), "text": DIGITS[int(digit)], "task": "asr"}
                about = {"speaker": speaker, "split": split, "language": "en"}
                file.write(json.dumps(line | about) + "\n")


def benchmarks(transcripts: Path, out: Path) -> list[Path]:
    """Make two more benchmarks of the same recordings; return all three."""
    own = read_benchmark(transcripts / BENCHMARK_FILE)
    made = [transcripts]
    for name, task in (("digit-class", "classification"), ("digit-judged", "reference_qa")):
        folder = out / name
        values = own.model_dump() | {
            "name": name,
            "task": task,
            "options": DIGITS if task == "classification" else (),
            "scorer": ScorerChoice(name=task).model_dump(),
            "metric": ACCURACY.model_dump(),
            "aggregation": "mean over items",
        }
        folder.mkdir(exist_ok=True)
        shutil.copyfile(transcripts / "items.parquet", folder / "items.parquet")
        text = Benchmark.model_validate(values).dumped()
        (folder / BENCHMARK_FILE).write_text(text, encoding="utf-8")
        made.append(folder)
    return made


def stub(lots: random.Random, body: dict[str, Any]) -> str:
    """Answer by chance; as a judge, compare the words of the question's JSON."""
    if body["model"] != "judge":
        return lots.choice(DIGITS)
    text = body["messages"][-1]["content"]
    item = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    right = item["answer"].strip().lower() in item["references"]
    return json.dumps({"reason": "compared", "verdict": "correct" if right else "incorrect"})


def killed(*arguments: str | Path, folder: Path) -> None:
    """Start a command and kill it as soon as it has written some answers."""
    print("$ wavemill", *arguments, "   # killed half-way", flush=True)
    process = subprocess.Popen(_command(*arguments))
    while not list(folder.glob("answers/0*.parquet")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(f"killed with {len(list(folder.glob('answers/0*.parquet')))} parts written", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("digits", type=Path, help="folder of {digit}_{speaker}_{index}.wav")
    options.add_argument("--out", type=Path, default=Path("evaluated"))
    options.add_argument("--epochs", type=int, default=30)
    given = options.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    work, trained, runs = out / "work", out / "trained", out / "runs"
    manifest(given.digits, out / "digits.jsonl")
    wavemill("curate", out / "digits.jsonl", "--out", work, "--executor", "inline")
    learn = ["--executor", "inline", "--cpu", "--set", f"epochs={given.epochs}"]
    wavemill("train", "sft", "--corpus", work, "--out", trained, *learn)
    first = out / "digit-words"
    wavemill("benchmark", "prepare", "corpus", "--source", work, "--out", first)
    asked = [word for path in benchmarks(first, out) for word in ("--benchmark", path)]
    lots = random.Random(0)
    with chat_server(lambda body: stub(lots, body)) as server:
        judge = {"WAVEMILL_JUDGE_URL": server.url, "WAVEMILL_JUDGE_MODEL": "judge"}
        os.environ.update(judge)
        mine = ["evaluate", trained / "model", "--label", "tiny", "--max-new-tokens", "12"]
        mine += [*asked, "--batch", "4", "--out", runs]
        killed(*mine, folder=runs / "digit-words/tiny")
        wavemill(*mine)
        wavemill("evaluate", server.url, "--served", "chance", *asked, "--out", runs)
    page, text = out / "leaderboard.html", out / "leaderboard.md"
    wavemill("leaderboard", runs, "--html", page, "--markdown", text)


if __name__ == "__main__":
    main()
