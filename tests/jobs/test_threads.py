"""Every command has one thread per process, unless OMP_NUM_THREADS says otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT

LOOK = """
import json
{first}
import numpy, pyarrow, torch
numpy.ones((64, 64)) @ numpy.ones((64, 64))
from threadpoolctl import threadpool_info
print(json.dumps({{
    "torch": torch.get_num_threads(),
    "pools": sorted({{one["num_threads"] for one in threadpool_info()}}),
    "pyarrow": pyarrow.cpu_count(),
}}))
"""


def threads(first: str, told: str | None) -> dict[str, object]:
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    made = subprocess.run(
        [sys.executable, "-c", LOOK.format(first=first)],
        env=kept | ({} if told is None else {"OMP_NUM_THREADS": told}),
        cwd=ROOT, check=True, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    found: dict[str, object] = json.loads(made.stdout)
    return found


def command(*arguments: str) -> str:
    """Return a program that runs a command, which fails."""
    return (
        "from typer.testing import CliRunner; from wavemill.jobs.cli import app;"
        f"assert CliRunner().invoke(app, {list(arguments)}).exit_code"
    )


@pytest.mark.parametrize(
    "first",
    [
        command("diff", "absent"),
        command("train", "sft", "--corpus", "absent", "--out", "r"),
        command("evaluate", "absent", "--benchmark", "absent", "--out", "r"),
    ],
)
def test_one_thread_for_arithmetic_and_all_cores_for_reading(first: str) -> None:
    cores = os.cpu_count() or 1
    assert threads(first, None) == {"torch": 1, "pools": [1], "pyarrow": cores}
    assert threads(first, "") == {"torch": 1, "pools": [1], "pyarrow": cores}


def test_who_says_otherwise_is_heeded() -> None:
    found = threads(command("diff", "absent"), "2")
    assert found["torch"] == 2
    assert found["pools"] == [2]
