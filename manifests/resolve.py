"""Finding the file that a manifest names, also in the spelling of another system."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from wavemill.manifests.allowed import Allowed
from wavemill.manifests.filesystems import (
    is_url,
    join_url,
    split_options,
    without_file_scheme,
)
from wavemill.manifests.reasons import EntryError, Reason
from wavemill.manifests.uri import member_uri, split_uri


@dataclass(frozen=True, slots=True)
class PathResolver:
    """Finds the files that one manifest names."""

    folder: str  # of the manifest
    allowed: Allowed

    def find(self, path: object, field_name: str, here: bool = False) -> str:
        """Return the absolute name of a file that the manifest names.

        With `here`, a file that is not in the folder of the manifest is looked for in the current
        folder. Raises EntryError, also if the manifest may not name the file.
        """
        uri = _find(path, self.folder, field_name)
        if here and not is_url(uri) and not os.path.exists(uri):  # noqa: PTH110
            found = _find(path, str(Path.cwd()), field_name)
            uri = found if os.path.exists(found) else uri  # noqa: PTH110
        self.allowed.check(uri, self.folder)
        return uri


def _find(path: object, folder: str, field_name: str) -> str:
    """Return the absolute name of a file in `folder`.

    If there is no such file, a backslash counts as the separator of Windows, and accented letters
    may be one character (NFC) or two (NFD, as on macOS).
    Raises EntryError.
    """
    uri = _resolved(path, folder, field_name)
    if is_url(uri) or os.path.exists(uri):  # noqa: PTH110 (Path.exists raises without permission)
        return uri
    name = str(path)
    if "\\" in name:
        name = name.replace("\\", "/")
        slashed = _resolved(name, folder, field_name)
        if os.path.exists(slashed):  # noqa: PTH110
            return slashed
    if name.isascii():
        return uri
    return _spelled(_resolved(name, folder, field_name)) or uri


def _spelled(path: str) -> str | None:
    """Return the path in the spelling of its letters that exists, part by part, or None."""
    found = "/"
    for part in path.split("/"):
        forms = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        joined = [os.path.join(found, form) for form in forms]  # noqa: PTH118
        existing = next((name for name in joined if os.path.exists(name)), None)  # noqa: PTH110
        if existing is None:
            return None
        found = existing
    return found


def _resolved(path: object, folder: str, field_name: str) -> str:
    """Return the absolute name of a file that a manifest in `folder` names.

    A URL without options, with the same scheme as the folder's URL, gets the folder's options.
    Raises EntryError.
    """
    if not isinstance(path, str) or not path:
        raise EntryError(Reason.BAD_FIELD, f"{field_name} must be a path, not {path!r:.80}")
    path = without_file_scheme(path)
    stem, options = split_options(folder)
    if is_url(path):
        same = path.partition("://")[0] == folder.partition("://")[0]
        return _with_options(path, options) if same else path
    if is_url(folder) and not os.path.isabs(path):  # noqa: PTH117
        return _with_options(join_url(stem, path), options)
    return os.path.normpath(os.path.join(folder, path))  # noqa: PTH118


def _with_options(url: str, options: str) -> str:
    """Return a URL with these options, unless it has some; a member of a tar file follows them."""
    path, member = split_uri(url)
    if split_options(path)[1]:
        return url
    return path + options if member is None else member_uri(path + options, member)
