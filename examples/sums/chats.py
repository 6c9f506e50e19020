"""Write text chats about sums for `wavemill curate`: a question, and its answer.

python -m examples.sums.chats chats.jsonl
python -m examples.sums.chats questions.jsonl --split test --count 100
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

NUMBERS = ("one", "two", "three", "four", "five", "six")  # that are added
SUMS = (
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
ANSWER = "The answer is {}."
WORDINGS = {
    "train": (
        "What is {} plus {}?",
        "How much is {} plus {}?",
        "What do you get for {} plus {}?",
        "Please add {} and {}.",
        "Can you add {} and {}?",
        "I have {} and {}, how many is that?",
        "Tell me {} plus {}.",
        "How many are {} and {}?",
        "{} plus {} is what?",
        "And {} and {} together?",
        "Add {} to {}.",
        "So, {} plus {}?",
    ),
    # No question of the test has words in an order that was learnt.
    "test": (
        "What is the sum of {} and {}?",
        "Could you add up {} and {}?",
        "What does {} plus {} make?",
    ),
}
TRAINED, VALIDATED = 400, 32


def answer_of(one: str, other: str) -> str:
    """Return the sum of two number words as a word."""
    return SUMS[NUMBERS.index(one) + NUMBERS.index(other)]


def chats(split: str, count: int, seed: int = 0) -> Iterator[dict[str, object]]:
    """Yield conversations, no two with the same words; "validation" has the wordings of "train".

    Raises ValueError when there are not so many.
    """
    wordings = WORDINGS["test" if split == "test" else "train"]
    every = [(how, a, b) for how in wordings for a in NUMBERS for b in NUMBERS]
    random.Random(seed).shuffle(every)
    if split == "validation":
        every = every[TRAINED:]
    if count > len(every):
        raise ValueError(f"there are {len(every)} questions, not {count}")
    for number, (how, one, other) in enumerate(every[:count]):
        asked = how.format(one, other)
        yield {
            "id": f"{split}-{number:03}",
            "messages": [
                {"role": "user", "content": asked[0].upper() + asked[1:]},
                {"role": "assistant", "content": ANSWER.format(answer_of(one, other))},
            ],
            "language": "en",
            "license": "CC0",
            "split": split,
        }


def write(path: Path, rows: Iterator[dict[str, object]]) -> None:
    """Write JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.sums.chats", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("out", type=Path, help="JSONL file to write")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="train")
    parser.add_argument("--count", type=int, default=TRAINED, help="number of conversations")
    given = parser.parse_args(arguments)
    write(given.out, chats(given.split, given.count))


if __name__ == "__main__":
    main()
