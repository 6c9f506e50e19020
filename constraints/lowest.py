"""Print a constraints file with the lowest version that pyproject.toml allows of each package.

python constraints/lowest.py > lowest.txt; pip install -c lowest.txt -e '.[dev]'
"""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

LOWER_BOUND = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([^,\s]+)")


def lowest(pyproject: str) -> list[str]:
    """Return `name==version` for each requirement with a lower bound, each name once, sorted."""
    project = tomllib.loads(pyproject)["project"]
    extras = project["optional-dependencies"].values()
    stated = [*project["dependencies"], *chain.from_iterable(extras)]
    bounds = [found.groups() for found in map(LOWER_BOUND.match, stated) if found]
    return sorted({f"{name}=={version}" for name, version in bounds}, key=str.lower)


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    print("\n".join(lowest((root / "pyproject.toml").read_text(encoding="utf-8"))))
