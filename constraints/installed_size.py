"""Print how many megabytes the packages take that wavemill, or some of its extras, requires.

python constraints/installed_size.py [EXTRA ...]

Counts the files that the installed wheels list, for this platform and Python.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

LARGEST = 12


def required(name: str, extras: Iterable[str] = ()) -> set[str]:
    """Return the distributions that one requires, itself left out, as they are installed."""
    found: set[str] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset(extras))]
    seen = set(waiting)
    while waiting:
        distribution, wanted = waiting.pop()
        for line in metadata.requires(distribution) or []:
            one = Requirement(line)
            marker = one.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                continue
            following = (
                one.name.lower().replace("_", "-").replace(".", "-"),
                frozenset(one.extras),
            )
            if following not in seen:
                seen.add(following)
                waiting.append(following)
                found.add(following[0])
    return found - {name}


def megabytes(name: str) -> float:
    """Return the size of a distribution's files that are there."""
    paths = (Path(str(file.locate())) for file in metadata.files(name) or [])
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


if __name__ == "__main__":
    sizes = {name: megabytes(name) for name in required("wavemill", sys.argv[1:])}
    for name in sorted(sizes, key=lambda one: -sizes[one])[:LARGEST]:
        print(f"{sizes[name]:8,.0f} MB  {name}")
    print(f"{sum(sizes.values()):8,.0f} MB  all {len(sizes)} packages")
