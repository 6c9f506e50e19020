"""Which labels of a tar file belong to which audio members, by their names."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from wavemill.manifests.file_names import composed


@dataclass(slots=True)
class Pairing:
    """The labels of each audio member, and labels without one."""

    labels: dict[str, list[str]] = field(default_factory=dict)  # audio member -> its labels
    ambiguous: dict[str, str] = field(default_factory=dict)  # label -> why it is ambiguous
    unclaimed: list[str] = field(default_factory=list)  # labels without audio


def pair_labels(audio: Sequence[str], labels: Iterable[str]) -> Pairing:
    """Pair the names of audio members with those of labels (`X.txt`, `X.json`, in any case).

    A label `X.txt` belongs to the audio in the same folder that is called `X` (`a.flac.txt`),
    otherwise to the one that is called `X` without its ending (`talk.v1.0001.txt`), otherwise, as
    in WebDataset, to the one that is called `X` up to its first dot (`0001.mic.flac` with
    `0001.txt`). It is ambiguous if several members match, or if another label with the same ending
    matches the same audio as well or better. The result does not depend on the order of names.
    """
    names = [_Names(audio, part) for part in (_base, _stem, _key)]
    samples = Pairing()
    claims: dict[tuple[str, str], list[tuple[int, str]]] = {}  # by audio and ending of the label
    for label in labels:
        folder, base = _split(label)
        wanted, _, ending = base.rpartition(".")
        steps = [found.called(folder, wanted) for found in names]
        step = next((number for number, owners in enumerate(steps) if owners), None)
        if step is None:
            samples.unclaimed.append(label)
        elif len(owners := steps[step]) > 1:
            samples.ambiguous[label] = f"it could be for any of {len(owners)} audio members"
        else:
            claims.setdefault((owners[0], ending.lower()), []).append((step, label))
    for (owner, _), claimed in claims.items():
        _assign_best(owner, sorted(claimed), samples)
    for owned in samples.labels.values():
        owned.sort(key=lambda name: (_split(name)[1].rpartition(".")[2].lower(), name))
    return samples


def _assign_best(owner: str, claimed: list[tuple[int, str]], samples: Pairing) -> None:
    """Assign the best of several labels with the same ending to the audio `owner`."""
    (step, nearest), *others = claimed
    if others and others[0][0] == step:
        others = claimed
    else:
        samples.labels.setdefault(owner, []).append(nearest)
    for _, label in others:
        rival = next(name for _, name in claimed if name != label)
        samples.ambiguous[label] = f"{owner!r} has the label {rival!r}, too"


class _Names:
    """Audio members by folder and a part of their names, in either form of accents."""

    def __init__(self, members: Iterable[str], part: Callable[[str], str]) -> None:
        self._exact: dict[tuple[str, str], list[str]] = {}
        self._composed: dict[tuple[str, str], list[str]] = {}
        for member in members:
            folder, base = _split(member)
            place = (folder, part(base))
            self._exact.setdefault(place, []).append(member)
            if not member.isascii():
                self._composed.setdefault(_composed(place), []).append(member)

    def called(self, folder: str, part: str) -> list[str]:
        place = (folder, part)
        if place in self._exact:
            return self._exact[place]
        return self._composed.get(_composed(place), [])


def _split(member: str) -> tuple[str, str]:
    folder, _, base = member.rpartition("/")
    return _plain(folder), base


@lru_cache(maxsize=1024)
def _plain(folder: str) -> str:
    return posixpath.normpath(folder)


def _composed(place: tuple[str, str]) -> tuple[str, str]:
    return composed(place[0]), composed(place[1])


def _base(name: str) -> str:
    return name


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _key(name: str) -> str:
    return name.partition(".")[0]
