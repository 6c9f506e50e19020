"""torchaudio is imported, with its compiled library or without."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import ROOT
from wavemill.model.torchaudio_import import import_torchaudio


def run(code: str) -> str:
    """Run in a fresh interpreter: what was imported before must not matter."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(find_spec("torchaudio") is None, reason="torchaudio is not installed")
def test_the_python_part_works_whatever_the_wheels() -> None:
    code = (
        "from wavemill.model.torchaudio_import import import_torchaudio as load; t = load();"
        "import torch;"
        "assert load() is t; "
        "assert t.functional.resample(torch.zeros(1, 160), 16000, 8000).shape == (1, 80); "
        "print(t.compliance.kaldi.fbank(torch.randn(1, 16000)).shape[1])"
    )
    assert run(code) == "23\n"


PACKAGE = {
    "__init__.py": "from . import _extension\nfrom .log import runs\nruns.append(1)\n",
    "log.py": "runs = []\n",
    "_extension/__init__.py": "from .utils import _load_lib\nLOADED = _load_lib('lib')\n",
    "_extension/utils.py": (
        "from pathlib import Path\n"
        "_LIB_DIR = Path(__file__).parent.parent / 'lib'\n"
        "def _load_lib(name):\n"
        "    for path in _LIB_DIR.glob(f'{name}*.so'):\n"
        "        if path.read_text() != 'fits':\n"
        "            raise OSError('libcudart.so: cannot open shared object file')\n"
        "        return True\n"
        "    return False\n"
    ),
}


def made(folder: Path, library: str, **changed: str) -> str:
    """Write a package that loads its library as torchaudio does; return code that imports it."""
    for name, text in {**PACKAGE, **changed}.items():
        path = folder / "torchaudio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "torchaudio" / "lib").mkdir()
    (folder / "torchaudio" / "lib" / "lib.so").write_text(library, encoding="utf-8")
    return (
        f"import sys; sys.path.insert(0, {str(folder)!r}); "
        "from wavemill.model.torchaudio_import import import_torchaudio; t = import_torchaudio(); "
    )


def test_a_library_that_fits_is_used(tmp_path: Path) -> None:
    code = made(tmp_path, "fits") + "print(t._extension.LOADED, t.runs)"
    assert run(code) == "True [1]\n"


def test_a_library_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    code = made(tmp_path, "does not fit") + "print(t._extension.LOADED, t.runs)"
    assert run(code) == "False [1]\n"
    assert (tmp_path / "torchaudio" / "lib" / "lib.so").read_text(
        encoding="utf-8"
    ) == "does not fit"


def test_another_failure_is_not_hidden(tmp_path: Path) -> None:
    code = made(tmp_path, "fits", **{"log.py": "raise OSError('disk')\n"})
    with pytest.raises(AssertionError, match="OSError: disk"):
        run(code)


def test_an_absent_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError, match="torchaudio"):
        import_torchaudio()
