"""Keeping pandas out of a command's process: pyarrow imports it to recognise its objects."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


class _Absent(MetaPathFinder):
    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out", name=fullname)
        return None


def keep_pandas_out() -> None:
    """Have pyarrow find no pandas, which it would import for the first list made an array.

    That takes 0.3 s of CPU time where pandas is installed, and no command has objects of pandas.
    pyarrow looks for it once, so that everything else may import it later.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(absent)
