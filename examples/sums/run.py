"""Sums as text to a model that is asked and answers in speech, through the commands anyone has.

    python -m examples.sums.run --out sums

The commands are printed as they are run; what is done already is not done again. Nothing is
downloaded. Figures: README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.digits.run import wavemill
from examples.sums.chats import TRAINED, VALIDATED, chats, write
from examples.sums.control import with_shuffled_answers

HERE = Path(__file__).parent
ASSISTANT = "jm_kumo"  # the voice of all answers
LEARNT = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jm_kumo")  # and blends of these
UNHEARD = (  # voices that ask, and that nothing was learnt from
    "jf_tebukuro", "jf_tebukuro+jm_kumo:0.5", "jf_tebukuro+jf_alpha:0.35",
    "jf_tebukuro+jf_nezumi:0.35", "jf_tebukuro+jf_gongitsune:0.35",
)  # fmt: skip
# Clean clips: what is learnt from them is measured, and not what rooms do to it.
QUIET = tuple(f"augment.{name}_share=0" for name in ("room", "noise", "telephone"))
QUESTIONS = 108  # that are spoken: of those that are understood, ASKED are asked
ASKED = 100
SOUNDS = 10  # answers that are kept as WAV
LONGEST = 64  # steps of an answer; one is 80 ms


@dataclass(frozen=True)
class Sizes:
    """How much of everything there is."""

    chats: int = TRAINED
    validated: int = VALIDATED
    questions: int = QUESTIONS
    asked: int = ASKED


class Sums:
    """The folder that everything is in."""

    def __init__(self, out: Path, sizes: Sizes, workers: int, overrides: Sequence[str]) -> None:
        self.out, self.sizes, self.overrides = out, sizes, overrides
        # One process by itself, or several that Ray supervises.
        self.executor = ["--workers", str(workers)] if workers > 1 else ["--executor", "inline"]
        out.mkdir(parents=True, exist_ok=True)
        self.file = out / "seconds.json"
        stored = json.loads(self.file.read_text(encoding="utf-8")) if self.file.is_file() else {}
        # Of each step: wall clock and CPU, of all times that it was run.
        self.seconds: dict[str, tuple[float, float]] = stored

    def __call__(self) -> dict[str, Any]:
        """Do all steps; return the figures."""
        out = self.out
        learnt, asked = self._spoken()
        start, voice = self._start(), self._voice(learnt)
        model = self._taught("run", learnt, start)
        control = self._taught("control", with_shuffled_answers(learnt, out / "shuffled"), start)
        benchmark = out / "benchmarks" / "sums"
        if not benchmark.is_dir():
            wavemill(
                "benchmark", "prepare", "corpus", "--source", asked, "--split", "test",
                "--task", "chat", "--out", benchmark,
            )  # fmt: skip
        found = self._asked("model", model, benchmark, "--speaks", "--detokenizer", voice)
        chance = self._asked("control", control, benchmark)
        return {
            "text": _metric(found / "scores.json", "accuracy"),
            "heard": _metric(found / "speech.json", "heard_accuracy"),
            "control": _metric(chance / "scores.json", "accuracy"),
            "others": {
                name: _metric(found / "speech.json", name)
                for name in ("speech_wer", "speech_quality", "real_time_factor")
            },
            "sounds": sounds_of(found, out / "sounds"),
        }

    def _spoken(self) -> tuple[Path, Path]:
        """Return the WORKDIRs of what is learnt, and of what is asked in other voices and words."""
        sizes, out = self.sizes, self.out
        told = {
            "work": [("train", sizes.chats), ("validation", sizes.validated)],
            "asked": [("test", sizes.questions)],
        }
        voices = {
            "work": [f"user_voices=[{','.join(LEARNT)}]", "blends=20"],
            "asked": [f"user_voices=[{','.join(UNHEARD)}]", "blends=0"],
        }
        for name, splits in told.items():
            files = [out / f"{split}.jsonl" for split, _ in splits]
            for file, (split, count) in zip(files, splits, strict=True):
                write(file, chats(split, count))
            options = [f"cast.{one}" for one in voices[name]]
            options += [
                f"cast.assistant_voice={ASSISTANT}", "shard_seconds=30",
                "sft_spoken.tasks=[chat,conversation,asr]", *QUIET,
            ]  # fmt: skip
            self._timed(
                f"curate {name}", "curate", *files, "--out", out / name, *self.executor,
                *_each("--set", options),
            )  # fmt: skip
        return out / "work", out / "asked"

    def _start(self) -> Path:
        folder = self.out / "start"
        if not folder.is_dir():
            wavemill("model", "init", "--whisper", "bundled", "--out", folder)
        return folder

    def _voice(self, corpus: Path) -> Path:
        """Return the detokenizer, trained on what the assistant says."""
        flow, voice = self.out / "flow", self.out / "voice"
        stages: tuple[tuple[str, Path, list[str | Path]], ...] = (
            ("flow", flow, []),
            ("vocoder", voice, ["--init", flow / "model"]),
        )
        for stage, run, options in stages:
            if not (run / "model").is_dir():
                self._timed(
                    f"train {stage}", "train", "detokenizer", "--stage", stage, "--corpus", corpus,
                    "--config", HERE / "voice.yaml", "--out", run, "--executor", "inline",
                    *options,
                )  # fmt: skip
        return voice / "model"

    def _taught(self, name: str, corpus: Path, start: Path) -> Path:
        run = self.out / name
        if not (run / "model").is_dir():
            self._timed(
                f"train {name}", "train", "sft", "--corpus", corpus, "--init", start,
                "--config", HERE / "learn.yaml", "--out", run, "--executor", "inline",
                *_each("--set", self.overrides),
            )  # fmt: skip
        return run / "model"

    def _asked(self, name: str, model: Path, benchmark: Path, *options: str | Path) -> Path:
        folder = self.out / "scores" / benchmark.name / name
        stored = "speech.json" if "--speaks" in options else "scores.json"
        if not (folder / stored).is_file():
            self._timed(
                f"ask {name}", "evaluate", model, "--benchmark", benchmark, "--out",
                self.out / "scores", "--label", name, "--limit", str(self.sizes.asked),
                "--max-new-tokens", str(LONGEST), *options,
            )  # fmt: skip
        return folder

    def _timed(self, name: str, *words: str | Path) -> None:
        wall, cpu = wavemill(*words)
        before = self.seconds.get(name, (0.0, 0.0))
        self.seconds[name] = (before[0] + wall, before[1] + cpu)
        self.file.write_text(json.dumps(self.seconds), encoding="utf-8")


def _each(option: str, values: Sequence[str]) -> Iterator[str]:
    for value in values:
        yield from (option, value)


def _metric(file: Path, name: str) -> dict[str, Any]:
    metrics = json.loads(file.read_text(encoding="utf-8"))["metrics"]
    return next((metric for metric in metrics if metric["name"] == name), {})


def sounds_of(run: Path, folder: Path) -> list[dict[str, Any]]:
    """Write the first spoken answers of a run as WAV; return what there is to see of each."""
    import numpy as np
    import pyarrow.parquet as pq
    import soundfile

    from wavemill.model.evaluate.runs.answers import Answers
    from wavemill.model.evaluate.sound import decoded

    heard = {row["item_id"]: row for row in pq.read_table(run / "heard.parquet").to_pylist()}
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for row in Answers(run).rows(speech=True):
        if row.speech and len(found) < SOUNDS:
            samples = decoded(row.speech, 24_000)
            file = folder / f"{row.item_id}.wav"
            soundfile.write(file, samples, 24_000)
            found.append(
                {
                    "file": file.name,
                    "written": row.answer,
                    "heard": heard[row.item_id]["heard"],
                    "right": heard[row.item_id]["value"] == 1.0,
                    "seconds": round(len(samples) / 24_000, 2),
                    "peak": round(float(np.abs(samples).max(initial=0.0)), 2),
                    "rms_db": round(20 * float(np.log10(max(_rms(samples), 1e-6))), 1),
                }
            )
    return found


def _rms(samples: Any) -> float:
    return float((samples.astype("float64") ** 2).mean() ** 0.5)


def table(found: Mapping[str, Any], seconds: Mapping[str, tuple[float, float]]) -> str:
    """Return the figures in Markdown."""
    lines = ["| answers | right % | 95 % interval | questions |", "|---|---|---|---|"]
    for title, name in (
        ("as text", "text"),
        ("as heard by the transcriber", "heard"),
        ("control, as text: learnt from shuffled answers", "control"),
    ):
        one = found[name]
        low, high = one.get("low"), one.get("high")
        span = "" if low is None or high is None else f"{low:.0f}-{high:.0f}"
        lines.append(f"| {title} | {one['value']:.1f} | {span} | {one['count']} |")
    lines += ["", "| file | written | heard | s | peak | RMS dB |", "|---|---|---|---|---|---|"]
    for one in found["sounds"]:
        cells = (one["file"], one["written"], one["heard"], one["seconds"], one["peak"])
        lines.append(f"| {' | '.join(map(str, cells))} | {one['rms_db']} |")
    lines += ["", "| step | minutes | CPU minutes |", "|---|---|---|"]
    for name, (wall, cpu) in seconds.items():
        lines.append(f"| {name} | {wall / 60:.1f} | {cpu / 60:.1f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.sums.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--workers", type=int, default=2, help="processes that speak and listen")
    parser.add_argument("--chats", type=int, default=TRAINED, help="conversations to learn from")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="questions to speak")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a field of learn.yaml"
    )
    given = parser.parse_args(arguments)
    sizes = Sizes(given.chats, VALIDATED, given.questions, min(ASKED, given.questions))
    sums = Sums(given.out, sizes, given.workers, given.set)
    found = sums()
    (given.out / "result.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(table(found, sums.seconds))


if __name__ == "__main__":
    main()
