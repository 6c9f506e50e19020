"""Parameters of a scan."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

_ALLOWED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://\S*)?")


class LineLimits(BaseModel):
    """Limits above which a manifest counts as damaged or hostile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_line_bytes: int = Field(16 << 20, ge=1)  # of one line, or one element of an array
    max_nesting: int = Field(64, ge=1)  # objects and lists inside each other
    max_bad_lines: int = Field(10_000, ge=1)  # with a row each; one row counts all others
    # gzip makes manifests 10 to 50 times smaller, but files made to fill memory 1000 times.
    max_unzip_ratio: float = Field(200.0, ge=1)
    unzip_anyway_bytes: int = Field(64 << 20, ge=0)  # up to this size the ratio does not matter


class ScanConfig(BaseModel):
    """How sources are scanned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # What a manifest may name besides local files and places of the manifest and of the sources
    # themselves: schemes (`https`), hosts and buckets (`s3://bucket`), folders
    # (`s3://bucket/folder`), these with options where the files need some.
    allow: tuple[str, ...] = ()
    # Manifests state rounded durations and containers estimate theirs, so a span may end this
    # much after its recording (it is cut there); more is an error.
    end_tolerance_ms: int = Field(100, ge=0)
    # Above these sizes a label in a tar file, and a sparse member of one, is not read.
    max_label_bytes: int = Field(16 << 20, ge=1)
    max_sparse_bytes: int = Field(8 << 30, ge=1)
    lines: LineLimits = LineLimits()
    # Threads that hash and probe; hashing releases the interpreter lock, and waits for disks.
    threads: int = Field(8, ge=1)
    # A file that gives no data for so long (a stuck mount, a decoder in a loop) is given up.
    stalled_after_s: float = Field(900.0, gt=0)
    # A long scan stores its hash cache this often, so that a crash loses little.
    cache_interval_s: float = Field(10.0, gt=0)

    @field_validator("allow", mode="before")
    @classmethod
    def _one_or_more(cls, entries: object) -> object:
        return (entries,) if isinstance(entries, str) else entries

    @field_validator("allow")
    @classmethod
    def _places(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            if not _ALLOWED.fullmatch(entry):
                raise ValueError(f"{entry!r} is neither a scheme nor a URL such as s3://bucket")
        return entries
