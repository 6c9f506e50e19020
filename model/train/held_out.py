"""What a person is told where there is nothing to evaluate on."""

from __future__ import annotations

from collections.abc import Collection

from wavemill.model.data.corpus import TRAIN

DRAWN = ("validation", "test")  # the splits that curate draws


def none_held_out(
    place: str, split: str, field: str, there: Collection[str | None], speaker: str | None = None
) -> str:
    """Say in one line that a corpus has nothing of a split, what it has, and what to do.

    `field` is that of the recipe which names the split, `there` are the splits that have usable
    rows, of the `speaker` if only one is wanted (None: rows without a split).
    """
    whose = "" if speaker is None else f" of speaker {speaker!r}"
    others = sorted(name for name in there if name is not None and name not in TRAIN)
    named = [*others, *(["train"] if "train" in there else [])]
    told = ", ".join([*named, *(["rows without a split"] if None in there else [])]) or "none"
    if others:
        remedy = f"--set {field}={'test' if 'test' in others else others[0]}"
    elif speaker is None:
        remedy = f"wavemill curate --set splits.{split if split in DRAWN else DRAWN[0]}=0.05"
    else:  # what is drawn leaves a speaker in one split
        remedy = f"a manifest that gives some of them the split {split!r}"
    return (
        f"nothing is held out: {place} has no usable row{whose} in split {split!r} "
        f"(splits there: {told}), "
        f"so no held-out losses and no decoded samples will appear; remedy: {remedy}"
    )
