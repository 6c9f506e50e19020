"""The arguments of the last build, so that `refresh` can repeat it.

They are in `manifest/build.json`:

    sources   list of str: what was scanned, local paths made absolute
    config    the resolved configuration, `execution` included, as `config show` prints it
    wavemill  str: version that wrote it
    started   str: ISO 8601, UTC
    config_format  int: which names the fields of `config` have; not there: 1
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from wavemill.manifests.filesystems import without_file_scheme
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.renamed import CONFIG_FORMAT, as_it_was
from wavemill.pipeline.store import Store

REQUEST = "manifest/build.json"


@dataclass(frozen=True)
class Request:
    """The arguments of a build."""

    sources: list[str]
    config: dict[str, Any]
    wavemill: str
    started: str
    config_format: int = 1


def remember(store: Store, sources: Sequence[str], config: Mapping[str, Any], version: str) -> None:
    """Store the arguments of a build; local paths are made absolute."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    request = Request(
        [_absolute(s) for s in sources], dict(config), version, started, CONFIG_FORMAT
    )
    _write(store, request)


def remembered(store: Store) -> Request:
    """Return the arguments of the last build.

    Raises ConfigError if they are not known, or a newer version wrote them.
    """
    text = store.read_text(REQUEST)
    if text is None:
        raise ConfigError(
            f"{store.root} does not know its sources; build it once with "
            f"wavemill curate SOURCE... --out {store.root}"
        )
    try:
        request = Request(**json.loads(text))
    except (ValueError, TypeError):
        raise ConfigError(f"{store.root}/{REQUEST} is damaged; wavemill curate renews it") from None
    if request.config_format > CONFIG_FORMAT:
        raise ConfigError(
            f"{store.root}/{REQUEST} was written by a newer version ({request.wavemill}); "
            "remedy: use that one, or wavemill curate with all settings"
        )
    return replace(request, config=as_it_was(request.config, request.config_format))


def forget_sources(store: Store, uris: Set[str]) -> None:
    """Remove recordings that were sources themselves from the stored arguments."""
    text = store.read_text(REQUEST)
    if text is None:
        return
    try:
        request = Request(**json.loads(text))
    except (ValueError, TypeError):
        store.delete(REQUEST)  # it cannot be used, and what it names is unknown
        return
    left = [source for source in request.sources if without_file_scheme(source) not in uris]
    if left != request.sources:
        _write(store, replace(request, sources=left))


def _write(store: Store, request: Request) -> None:
    store.write_text(REQUEST, json.dumps(asdict(request), indent=2) + "\n")


def _absolute(source: str) -> str:
    """Return an absolute path; a URL as it is."""
    return source if "://" in source else os.path.abspath(source)  # noqa: PTH100 (keeps links)
