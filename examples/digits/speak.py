"""Spoken digits the other way: from words to semantic tokens to speech, and what of it is heard.

    python -m examples.digits.speak $WAVEMILL_AUDIO/digits --out digits

The commands are printed as they are run; what is done already is not done again. The listener is
the model of `examples.digits.run`'s trial seed-0 in the same OUT, which is trained where missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from examples.digits.manifest import WORDS
from examples.digits.run import HERE, TRIALS, Digits, python, wavemill

LISTENER = TRIALS[0]


def speak(recordings: Path, out: Path) -> None:
    """Train what speaks, and measure it."""
    place = out / "speech"
    manifest, work = place / "digits.jsonl", place / "work"
    flow, voice, reader = place / "flow", place / "voice", place / "speak"
    listener = out / "runs" / LISTENER.name / "model"
    if not listener.is_dir():
        Digits(recordings, out, [])(LISTENER)
    if not (work / "snapshots" / "LATEST").is_file():
        python("examples.digits.manifest", recordings, manifest)
        # As it was recorded: denoising is for noise, of which these have little.
        told = ("--set", "audio_version.enhanced_share=0")
        wavemill("curate", manifest, "--out", work, "--executor", "inline", *told)
    _train("detokenizer", "--stage", "flow", "--config", HERE / "voice.yaml", run=flow, work=work)
    _train(
        "detokenizer", "--stage", "vocoder", "--config", HERE / "voice.yaml",
        "--init", flow / "model", run=voice, work=work,
    )  # fmt: skip
    _train("pretrain", "--config", HERE / "speak.yaml", run=reader, work=work)
    wavemill(
        "resynthesise", voice / "model", "--corpus", work, "--split", "test",
        "--words", ",".join(WORDS), "--speaker", reader / "model", "--listener", listener,
        "--out", place / "heard",
    )  # fmt: skip


def _train(training: str, *options: str | Path, run: Path, work: Path) -> None:
    if not (run / "model").is_dir():
        told = ("--corpus", work, "--out", run, "--executor", "inline")
        wavemill("train", training, *options, *told)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.digits.speak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("recordings", type=Path, help="folder of {digit}_{speaker}_{index}.wav")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    given = parser.parse_args(arguments)
    speak(given.recordings, given.out)


if __name__ == "__main__":
    main()
