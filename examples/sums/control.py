"""The control: a corpus whose answers belong to other questions, from which nothing can be learnt.

python -m examples.sums.control work shuffled
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def with_shuffled_answers(work: Path, out: Path, seed: int = 0) -> Path:
    """Write the corpus `sft_spoken` of a WORKDIR to `out` with answers dealt out anew; return it.

    Answers stay in their task and split: "validation" is shuffled apart from "train".
    """
    tables = [pq.read_table(file) for file in sorted(work.glob("corpus/sft_spoken/*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist()]
    groups: dict[tuple[str, str | None], list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault((row["task"], row["split"]), []).append(number)
    drawn = random.Random(seed)
    for places in groups.values():
        answers = [rows[number]["messages"][-1] for number in places]
        drawn.shuffle(answers)
        for number, answer in zip(places, answers, strict=True):
            rows[number]["messages"][-1] = answer
    folder = out / "corpus" / "sft"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, tables[0].schema), folder / "0.parquet")
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.sums.control", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("work", type=Path, help="WORKDIR of the conversations")
    parser.add_argument("out", type=Path, help="folder to write")
    given = parser.parse_args(arguments)
    with_shuffled_answers(given.work, given.out)


if __name__ == "__main__":
    main()
