"""Everything is importable as `wavemill...` and as nothing else, in a checkout and from a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import soundfile

from tests.support import ROOT

PACKAGES = ("jobs", "manifests", "model", "pipeline", "serve", "stages")
EXAMPLE = ROOT / "examples" / "recordings" / "low_level_with_hum.flac"


def test_the_links_lead_to_the_folders() -> None:
    links = sorted(path for path in (ROOT / "wavemill").iterdir() if path.is_symlink())
    assert [str(link.readlink()) for link in links] == [f"../{name}" for name in PACKAGES]


def test_no_module_is_loaded_under_two_names() -> None:
    """Whatever the suite imported until now, and every module of the command line."""
    code = (
        "import sys, wavemill.jobs.cli, wavemill.pipeline.curation, wavemill.model.assistant\n"
        "print([name for name in sys.modules if name.split('.')[0] in set(sys.argv[1:])])"
    )
    done = _python(sys.executable, "-c", code, *PACKAGES, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr
    assert not [name for name in sys.modules if name.split(".")[0] in PACKAGES]


def test_a_job_runs_by_its_old_name_in_a_checkout() -> None:
    done = _python(sys.executable, "-m", "jobs.curate", "--help", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Turn recordings into" in done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheel and everything that it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # building leaves files beside what it builds from
    for name in (*PACKAGES, "wavemill"):
        shutil.copytree(
            ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    _run([*build, "--wheel-dir", str(folder), str(source)], cwd=folder)
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], cwd=folder)
    python = folder / "venv" / "bin" / "python"
    where = _python(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    site = Path(where.stdout.strip())
    (wheel,) = folder.glob("wavemill-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # A folder that a .pth file names is searched, but its own .pth files are not read: what is
    # installed beside the tests comes along, but not their editable wavemill.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def test_the_wheel_holds_one_package(installed: Path) -> None:
    site = next((installed.parent.parent / "lib").glob("python*/site-packages"))
    names = {path.name for path in site.iterdir() if path.suffix not in (".pth", ".dist-info")}
    assert names == {"wavemill"}
    missing = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".sql", ".yaml", ".html", ".css", ".js", ".npz")
        and not (site / "wavemill" / path.relative_to(ROOT)).is_file()
    ]
    assert missing == []


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_curate_beside_packages_of_these_names(
    installed: Path, executor: str, tmp_path: Path
) -> None:
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n", encoding="utf-8")
    samples, rate = soundfile.read(EXAMPLE)
    soundfile.write(tmp_path / "a.flac", samples[: 6 * rate], rate)
    command = ["-m", "wavemill.jobs.cli", "curate", "a.flac", "--out", "work"]
    done = _python(installed, *command, "--executor", executor, "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "work" / "corpus" / "pretrain").glob("*.parquet"))


def test_python_beside_packages_of_these_names(installed: Path, tmp_path: Path) -> None:
    for name in PACKAGES:
        (tmp_path / f"{name}.py").write_text("MINE = True\n", encoding="utf-8")
    code = (
        f"import {', '.join(PACKAGES)}\n"
        f"assert all(m.MINE for m in ({', '.join(PACKAGES)}))\n"
        "import wavemill\n"
        "assert all(getattr(wavemill, name) is not None for name in wavemill.__all__)\n"
        "print(wavemill.__file__)"
    )
    done = _python(installed, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed.parent.parent)


def _python(
    python: Path | str, *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [str(python), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=280,
    )


def _run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
