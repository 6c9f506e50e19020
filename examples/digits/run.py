"""Spoken digits from a folder of recordings to word error rates, through the commands anyone has.

    python -m examples.digits.run $WAVEMILL_AUDIO/digits --out digits
    python -m examples.digits.run $WAVEMILL_AUDIO/digits --out digits --only seed-0 control

Each trial is the same five commands, which are printed as they are run; what is done already is
not done again. Results are in OUT/results.jsonl, a line per trial.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
SPEAKERS = ("george", "jackson", "nicolas", "theo")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Trial:
    """One training, and what it is tested on."""

    name: str
    hold_out: str | None = None  # speaker; None: recordings 0 to 4 of each digit and speaker
    shuffled: int | None = None  # seed by which labels are dealt out anew
    seed: int = 0

    @property
    def data(self) -> str:
        """Return the name of the data, which trials may share."""
        if self.shuffled is not None:
            return "shuffled"
        return "standard" if self.hold_out is None else f"without-{self.hold_out}"

    @property
    def recipe(self) -> Path:
        return HERE / ("standard.yaml" if self.hold_out is None else "speakers.yaml")


TRIALS = (
    *(Trial(f"seed-{seed}", seed=seed) for seed in SEEDS),
    Trial("control", shuffled=0),
    *(Trial(speaker, hold_out=speaker) for speaker in SPEAKERS),
)


@dataclass(frozen=True)
class Result:
    """A line of the results."""

    trial: str
    word_error_rate: float  # %
    low: float | None  # 95 % interval
    high: float | None
    items: int
    train_minutes: float  # wall clock
    train_cpu_minutes: float


class Digits:
    """The folder that all trials are in."""

    def __init__(self, recordings: Path, out: Path, overrides: Sequence[str]) -> None:
        self.recordings, self.out, self.overrides = recordings, out, overrides

    def __call__(self, trial: Trial) -> Result:
        """Run a trial, from the recordings to its word error rate."""
        snapshot, benchmark = self._prepared(trial)
        run = self.out / "runs" / trial.name
        options = [f"loop.seed={trial.seed}", *self.overrides]
        wall, cpu = wavemill(
            "train", "sft", "--corpus", snapshot, "--config", trial.recipe, "--out", run,
            "--executor", "inline",
            *(word for option in options for word in ("--set", option)),
        )  # fmt: skip
        scores = self.out / "scores"
        wavemill(
            "evaluate", run / "model", "--benchmark", benchmark, "--out", scores,
            "--label", trial.name,
        )  # fmt: skip
        file = scores / benchmark.name / trial.name / "scores.json"
        metric = json.loads(file.read_text(encoding="utf-8"))["metrics"][0]
        return Result(
            trial.name, metric["value"], metric["low"], metric["high"], metric["count"],
            round(wall / 60, 1), round(cpu / 60, 1),
        )  # fmt: skip

    def _prepared(self, trial: Trial) -> tuple[Path, Path]:
        """Return the trial's snapshot of the corpus, and the test in it as a benchmark."""
        manifest = self.out / f"{trial.data}.jsonl"
        benchmark = self.out / "benchmarks" / trial.data
        noted = benchmark / "snapshot"
        with locked(self.out / "lock"):
            if not noted.is_file():
                python("examples.digits.manifest", self.recordings, manifest, *_manifest(trial))
                # One WORKDIR for all: what the stages know of a recording is computed once.
                work = self.out / "work"
                wavemill("curate", manifest, "--out", work, "--executor", "inline")
                name = (work / "snapshots" / "LATEST").read_text(encoding="utf-8").strip()
                snapshot = work / "snapshots" / name
                wavemill("benchmark", "prepare", "corpus", "--source", snapshot, "--out", benchmark)
                noted.write_text(name, encoding="utf-8")
        return self.out / "work" / "snapshots" / noted.read_text(encoding="utf-8"), benchmark


def _manifest(trial: Trial) -> list[str]:
    held = [] if trial.hold_out is None else ["--hold-out", trial.hold_out]
    dealt = [] if trial.shuffled is None else ["--shuffle-labels", str(trial.shuffled)]
    return held + dealt


def wavemill(*words: str | Path) -> tuple[float, float]:
    """Run a command of wavemill; returns seconds of wall clock and of CPU time."""
    return _run([sys.executable, "-m", "wavemill.jobs.cli"], "wavemill", words)


def python(*words: str | Path) -> tuple[float, float]:
    """Run a module; see `wavemill`."""
    return _run([sys.executable, "-m"], "python -m", words)


def _run(program: list[str], shown: str, words: Sequence[str | Path]) -> tuple[float, float]:
    told = [str(word) for word in words]
    print(f"$ {shown} {shlex.join(told)}", flush=True)
    before, began = _cpu_of_children(), time.monotonic()
    done = subprocess.run([*program, *told], check=False)
    if done.returncode:
        sys.exit(f"error: exit code {done.returncode} of: {shown} {shlex.join(told)}")
    return time.monotonic() - began, _cpu_of_children() - before


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other runs of this script wait for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def results_in(file: Path) -> dict[str, Result]:
    """Return the results that are there, by trial."""
    if not file.is_file():
        return {}
    found = (Result(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines())
    return {result.trial: result for result in found}


def table(results: dict[str, Result]) -> str:
    """Return the results in Markdown, and the means that matter."""
    lines = [
        "| trial | WER % | 95 % interval | clips | minutes | CPU minutes |",
        "|---|---|---|---|---|---|",
    ]
    for name in (trial.name for trial in TRIALS):
        if one := results.get(name):
            span = "" if one.low is None or one.high is None else f"{one.low:.1f}-{one.high:.1f}"
            lines.append(
                f"| {name} | {one.word_error_rate:.1f} | {span} | {one.items} "
                f"| {one.train_minutes:.1f} | {one.train_cpu_minutes:.1f} |"
            )
    for title, names in (
        ("mean of the seeds", [f"seed-{seed}" for seed in SEEDS]),
        ("mean of the speakers left out", list(SPEAKERS)),
    ):
        there = [results[name].word_error_rate for name in names if name in results]
        if there:
            lines.append(f"\n{title}: {sum(there) / len(there):.1f} % ({len(there)} trials)")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.digits.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("recordings", type=Path, help="folder of {digit}_{speaker}_{index}.wav")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    names = [trial.name for trial in TRIALS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="TRIAL")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a field of the recipe"
    )
    given = parser.parse_args(arguments)
    digits, file = Digits(given.recordings, given.out, given.set), given.out / "results.jsonl"
    for trial in TRIALS:
        if trial.name in given.only and trial.name not in results_in(file):
            result = digits(trial)
            with locked(given.out / "lock"), file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(result)) + "\n")
    print(table(results_in(file)))


if __name__ == "__main__":
    main()
