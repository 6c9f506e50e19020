"""Places that a command line names, made absolute where they are read.

A worker may have another current folder than the person who typed `work`, and a run may continue
from another folder. So every option and argument that names a place has one of these functions as
its `parser`. `~` is the home folder, also where a shell does not expand it (`--out=~/work`); a URL
stays a URL.
"""

from __future__ import annotations

from pathlib import Path

import typer


def place(name: str) -> str:
    """Return an absolute path, or a URL."""
    from wavemill.manifests.filesystems import anchored

    return anchored(_given(name))


def path(name: str | Path) -> Path:
    """Return an absolute path on this machine."""
    from wavemill.manifests.filesystems import anchored, is_url, without_file_scheme

    local = without_file_scheme(_given(str(name)))
    if is_url(local):
        raise typer.BadParameter(f"{local} is not on this machine; remedy: the path of a file here")
    return Path(anchored(local))


def folder(name: str | Path) -> Path:
    """Return the absolute path of a folder on this machine, which need not exist."""
    found = path(name)
    if found.exists() and not found.is_dir():
        raise typer.BadParameter(f"{found} is a file, wanted is a folder")
    return found


def model(name: str) -> str:
    """Return an absolute path, a URL, or the id of a model on a hub (owner/name)."""
    from wavemill.model.io.folders import is_hub_id

    return name if is_hub_id(name) and not Path(name).exists() else place(name)


def whisper(name: str) -> str:
    """Return "bundled", or what `model` does."""
    return name if name == "bundled" else model(name)


def named(name: str) -> str:
    """Return the name of something in the package, or, with a slash, an absolute path."""
    return place(name) if "/" in name or name.startswith("~") else name


def _given(name: str) -> str:
    if not name:
        raise typer.BadParameter("an empty name; remedy: the path of a file or folder")
    return name
