"""From the folder of the Free Spoken Digit Dataset to a manifest for `wavemill curate`.

python -m examples.digits.manifest $WAVEMILL_AUDIO/digits digits.jsonl
python -m examples.digits.manifest $WAVEMILL_AUDIO/digits no_theo.jsonl --hold-out theo
python -m examples.digits.manifest $WAVEMILL_AUDIO/digits all_test.jsonl --split test
python -m examples.digits.manifest $WAVEMILL_AUDIO/digits control.jsonl --shuffle-labels 0
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<index>\d+)")
TEST_BELOW = 5  # recordings 0 to 4 of each digit and speaker are test, as the data set has it


@dataclass(frozen=True)
class Line:
    """A line of the manifest."""

    audio: str  # absolute path
    text: str
    speaker: str
    split: str  # 'train' or 'test'
    language: str = "en"


def lines_of(folder: Path, hold_out: Sequence[str] = (), split: str | None = None) -> list[Line]:
    """Return a line per `{digit}_{speaker}_{index}.wav`, by name.

    With `hold_out`, all that these speakers say is test, and all the others say is train; with
    `split`, everything is of that split. Raises ValueError when there are no such files, or none
    of one of the speakers.
    """
    found = [(path, NAME.fullmatch(path.stem)) for path in sorted(folder.glob("*.wav"))]
    lines = [_line(path, name, hold_out) for path, name in found if name is not None]
    if not lines:
        raise ValueError(f"{folder} has no files {{digit}}_{{speaker}}_{{index}}.wav")
    speakers = sorted({line.speaker for line in lines})
    if unknown := sorted(set(hold_out) - set(speakers)):
        raise ValueError(f"no recording is by {unknown[0]!r}; speakers: {', '.join(speakers)}")
    return lines if split is None else [replace(line, split=split) for line in lines]


def _line(path: Path, name: re.Match[str], hold_out: Sequence[str]) -> Line:
    held = name["speaker"] in hold_out if hold_out else int(name["index"]) < TEST_BELOW
    return Line(
        audio=str(path.resolve()),
        text=WORDS[int(name["digit"])],
        speaker=name["speaker"],
        split="test" if held else "train",
    )


def shuffled(lines: Sequence[Line], seed: int) -> list[Line]:
    """Return the lines with the texts of the training lines dealt out anew; those of test stay."""
    texts = [line.text for line in lines if line.split == "train"]
    random.Random(seed).shuffle(texts)
    dealt = iter(texts)
    return [replace(line, text=next(dealt)) if line.split == "train" else line for line in lines]


def write(lines: Iterable[Line], path: Path) -> None:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(line)) + "\n" for line in lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.digits.manifest", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="of {digit}_{speaker}_{index}.wav")
    parser.add_argument("out", type=Path, help="the manifest to write")
    whole = parser.add_mutually_exclusive_group()
    whole.add_argument(
        "--hold-out",
        metavar="SPEAKER",
        action="append",
        default=[],
        help="test on this speaker alone; repeat it to test on several",
    )
    whole.add_argument("--split", choices=("train", "test"), help="put everything into one split")
    parser.add_argument("--shuffle-labels", type=int, metavar="SEED", help="a control: must fail")
    given = parser.parse_args(arguments)
    try:
        lines = lines_of(given.folder, given.hold_out, given.split)
    except ValueError as error:
        sys.exit(f"error: {error}")
    if given.shuffle_labels is not None:
        lines = shuffled(lines, given.shuffle_labels)
    write(lines, given.out)
    counts = {s: sum(line.split == s for line in lines) for s in ("train", "test")}
    print(f"{given.out}: {counts['train']} to learn from, {counts['test']} to be tested on")


if __name__ == "__main__":
    main()
