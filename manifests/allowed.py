"""Which places a manifest may name, since a line must not decide where requests are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from wavemill.manifests.filesystems import BUCKETS, is_url, split_options
from wavemill.manifests.reasons import EntryError, Reason
from wavemill.manifests.uri import split_uri

_PLACE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:://([^/]*)(.*))?", re.DOTALL)
_HOST = re.compile(r"[\w.-]+(@[\w.-]+)?(:\d+)?")  # abfs: container@account


class _Place(NamedTuple):
    scheme: str
    host: str | None  # or bucket; None: any
    path: str  # of the folder that is allowed
    options: str


class Allowed:
    """The allowed places: local files, those beside the manifest, and those that the user names.

    The user names them as sources and in `sources.allow`: schemes, hosts, buckets or folders. The
    options of a URL (such as an endpoint) must be the same as those of the allowed place. Chained
    URLs of fsspec (`zip://a.wav::https://host/b.zip`) are never allowed in a manifest.
    """

    def __init__(self, allow: Iterable[str] = (), sources: Iterable[str] = ()) -> None:
        self._places = [_place(entry) for entry in allow]
        self._places += [_place(source)._replace(path="") for source in sources if is_url(source)]

    def check(self, uri: str, folder: str) -> None:
        """Raise EntryError (`source_not_allowed`) if a manifest in `folder` may not name `uri`."""
        if not is_url(uri):
            return
        wanted = _place(split_uri(uri)[0])
        places = self._places
        if is_url(folder):
            own = _place(folder)._replace(path="")
            # All buckets of a scheme have one endpoint.
            places = [*places, own._replace(host=None) if own.scheme in BUCKETS else own]
        sound = wanted.host is not None and _HOST.fullmatch(wanted.host) and "::" not in uri
        if sound and any(_covers(place, wanted) for place in places):
            return
        scheme, host = wanted.scheme, wanted.host or ""
        message = f"no manifest may name {scheme}://{host:.80} unless it is allowed"
        if sound:
            message += f"; remedy: --set 'sources.allow=[\"{scheme}://{host}{wanted.options}\"]'"
        raise EntryError(Reason.SOURCE_NOT_ALLOWED, message)


def _place(url: str) -> _Place:
    stem, options = split_options(url)
    found = _PLACE.fullmatch(stem)
    if found is None:  # no URL
        return _Place("", None, "", "")
    scheme, host, path = found.groups()
    return _Place(scheme, host, path or "", options)


def _covers(place: _Place, wanted: _Place) -> bool:
    if place.scheme != wanted.scheme or place.options != wanted.options:
        return False
    if place.host is not None and place.host != wanted.host:
        return False
    folder = place.path.strip("/")
    # A server may read `..`, also percent-encoded, as the folder above.
    inside = wanted.path.lstrip("/").startswith(f"{folder}/") and not re.search(
        r"\.\.|%2e", wanted.path, re.IGNORECASE
    )
    return not folder or inside or wanted.path.strip("/") == folder
