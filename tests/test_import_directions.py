"""Which package may import which: `lint-imports` sees the packages through their links."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

pytest.importorskip("importlinter")  # the tests also run without the extra `dev`

PACKAGES = ("jobs", "manifests", "model", "pipeline", "serve", "stages")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command as main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of everything that is linted."""
    for name in (*PACKAGES, "wavemill"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(project: Path) -> None:
    done = lint(project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("manifests/reasons.py", "import wavemill.jobs.plain", "Imports point down"),
        ("stages/recording_stage.py", "from wavemill.pipeline.store import Store", "Imports point"),
        ("model/new.py", "import wavemill.stages.stage", "Imports point down"),
        ("pipeline/task.py", "import wavemill.serve.config", "Imports point down"),
        ("stages/recording_stage.py", "import ray", "Stages know nothing of Ray"),
        ("pipeline/task.py", "import wavemill.stages.audio.decode", "The build core"),
        ("pipeline/execution/limits.py", "import numpy", "The build core"),
        ("manifests/scan.py", "import soundfile", "Sources are scanned without"),
        ("model/new.py", "import wavemill.manifests.scan", "A model needs"),
    ],
)
def test_a_wrong_import_is_refused(project: Path, file: str, line: str, contract: str) -> None:
    path = project / file
    body = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{body}\n\ndef late() -> None:\n    {line}\n", encoding="utf-8")
    done = lint(project)
    assert done.returncode == 1, done.stdout + done.stderr
    (broken,) = [text for text in done.stdout.splitlines() if text.startswith(contract)][:1]
    assert "BROKEN" in done.stdout[done.stdout.index(broken) :][:200]
