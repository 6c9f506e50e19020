"""Finding the file that a manifest names, however its writer's system spells names."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from wavemill.manifests.allowed import Allowed
from wavemill.manifests.collected import resolve
from wavemill.manifests.filesystems import is_url


@dataclass(frozen=True, slots=True)
class Names:
    """What the names in one manifest mean."""

    folder: str  # of the manifest
    allowed: Allowed

    def find(self, path: object, field_name: str, here: bool = False) -> str:
        """Return the absolute name of a file that the manifest names.

        `here`: what is not in the manifest's folder is looked for in the current one.
        Raises EntryError, also where the manifest may not name it.
        """
        uri = _find(path, self.folder, field_name)
        if here and not is_url(uri) and not os.path.exists(uri):  # noqa: PTH110
            found = _find(path, str(Path.cwd()), field_name)
            uri = found if os.path.exists(found) else uri  # noqa: PTH110
        self.allowed.check(uri, self.folder)
        return uri


def _find(path: object, folder: str, field_name: str) -> str:
    """Return the absolute name of a file in `folder`.

    Where nothing has that name, a backslash is the separator of Windows, and letters with marks
    may be one character (NFC) or two (NFD, as macOS writes them), whichever is there.
    Raises EntryError.
    """
    uri = resolve(path, folder, field_name)
    if is_url(uri) or os.path.exists(uri):  # noqa: PTH110 (Path.exists raises without permission)
        return uri
    name = str(path)
    if "\\" in name:
        name = name.replace("\\", "/")
        slashed = resolve(name, folder, field_name)
        if os.path.exists(slashed):  # noqa: PTH110
            return slashed
    if name.isascii():
        return uri
    return _spelled(resolve(name, folder, field_name)) or uri


def _spelled(path: str) -> str | None:
    """Return the path in that form of its letters which exists, part by part."""
    found = "/"
    for part in path.split("/"):
        forms = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        joined = [os.path.join(found, form) for form in forms]  # noqa: PTH118
        existing = next((name for name in joined if os.path.exists(name)), None)  # noqa: PTH110
        if existing is None:
            return None
        found = existing
    return found
