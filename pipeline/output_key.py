"""The keys of stage outputs: where the table of a stage on a shard stands in a WORKDIR.

    stages/<stage>/<fingerprint>/<shard>[-<labels>][-<kept>]

`<labels>` is there if the rows depend on labels of the manifest, and `<kept>`, a digest of segment
ids, if another stage selects the rows. Beside each output stand its files: the table
(`.parquet`) and, if recordings failed, the errors (`.errors.parquet`).

Planning compares millions of keys in DuckDB, so the same rules are also here as SQL.
`tests/pipeline/test_output_key.py` holds both against each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

ROOT = "stages"
TABLE, ERRORS = ".parquet", ".errors.parquet"  # endings of an output's files
_PART = re.compile(r"\w+", re.ASCII)
_KEY = re.compile(rf"{ROOT}/(\w+)/(\w+)/(\w+)((?:-\w+)*)", re.ASCII)


class NotAnOutputKey(ValueError):
    """A text is not the key of an output."""


@dataclass(frozen=True, order=True)
class OutputKey:
    """The key of one output, without the ending of a file."""

    stage: str
    fingerprint: str
    shard_id: str
    digests: tuple[str, ...] = ()  # of the labels, then of the ids that are kept

    def __post_init__(self) -> None:
        parts = (self.stage, self.fingerprint, self.shard_id, *self.digests)
        if not all(_PART.fullmatch(part) for part in parts):
            raise NotAnOutputKey(f"{str(self)!r} is not the key of an output")

    @classmethod
    def parse(cls, text: str) -> OutputKey:
        """Return the key that `str` wrote. Raises NotAnOutputKey."""
        found = _KEY.fullmatch(text)
        if found is None:
            raise NotAnOutputKey(f"{text!r} is not the key of an output")
        stage, fingerprint, shard_id, digests = found.groups()
        return cls(stage, fingerprint, shard_id, tuple(digests.split("-")[1:]))

    @classmethod
    def of_file(cls, key: str) -> OutputKey:
        """Return the output that a table or an errors table is of. Raises NotAnOutputKey."""
        return cls.parse(output_of(key))

    def __str__(self) -> str:
        return f"{ROOT}/{self.stage}/{self.fingerprint}/{'-'.join((self.shard_id, *self.digests))}"

    @property
    def part(self) -> str:
        """The name of its table's file, which is also that of the part in a snapshot's corpus."""
        return table_key(str(self)).rpartition("/")[2]

    def with_kept(self, kept: str) -> OutputKey:
        """Return the output that completes the rows of which `kept` is the digest."""
        return replace(self, digests=(*self.digests, kept))


def table_key(output: str) -> str:
    """Return the key of an output's table."""
    return f"{output}{TABLE}"


def errors_key(output: str) -> str:
    """Return the key of an output's errors table."""
    return f"{output}{ERRORS}"


def output_of(key: str) -> str:
    """Return the output that a file belongs to; the key itself if it is neither of its files."""
    ending = ERRORS if key.endswith(ERRORS) else TABLE
    return key.removesuffix(ending)


def stem_sql(stage: str, fingerprint: str, shard_id: str, label_digest: str | None) -> str:
    """Return SQL for the key of a stage's output on a shard, before a digest of kept ids.

    `shard_id` and `label_digest` are SQL; this is None if the rows do not depend on labels.
    """
    suffix = "" if label_digest is None else f", '-', {label_digest}"
    return f"concat('{ROOT}/{stage}/{fingerprint}/', {shard_id}{suffix})"


def with_kept_sql(stem: str, kept: str) -> str:
    """Return SQL for `OutputKey.with_kept`; both arguments are SQL."""
    return f"concat({stem}, '-', {kept})"


def has_stem_sql(key: str, stem: str) -> str:
    """Return SQL for whether an output, or its table, is `stem` or completes it."""
    return f"starts_with({key}, {stem})"


def table_sql(output: str) -> str:
    """Return SQL for `table_key`."""
    return f"concat({output}, '{TABLE}')"


def output_sql(table: str) -> str:
    """Return SQL for the output of a table's key."""
    return f"regexp_replace({table}, '{re.escape(TABLE)}$', '')"


def part_sql(table: str) -> str:
    """Return SQL for `OutputKey.part`, given the key of its table."""
    return f"parse_filename({table})"


def shard_sql(file: str) -> str:
    """Return SQL for `OutputKey.shard_id`, given the key or path of a file of the output."""
    return f"regexp_extract(parse_filename({file}), '^[^-.]+')"
