"""A trained LLM as a model folder in the published layout, complete by itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from wavemill.model.assistant import ACOUSTIC_FOLDER, SEMANTIC_FOLDER
from wavemill.model.detokenizer.layout import FLOW_FOLDER, VOCODER_FOLDER
from wavemill.model.learnt_from import read_learnt_from, write_learnt_from
from wavemill.model.prompt.text import RANKS_FILE, TOKENIZERS_FILE
from wavemill.model.tokenizer import kmeans
from wavemill.model.train.llm_network import LearningLlm

TAKEN_OVER = (FLOW_FOLDER, VOCODER_FOLDER, SEMANTIC_FOLDER, kmeans.FOLDER)


def export_llm(
    network: LearningLlm,
    folder: Path,
    init: Path | None,
    semantic: Path | None,
    recordings: Iterable[str] = (),
) -> None:
    """Write what was trained, and beside it what of `init` was not: detokenizer, tokenizers.

    `semantic` is the folder of the tokenizer that the corpus was made with; it takes the place of
    that in `init`. `recordings` are the ids of those that were learnt from here; those that `init`
    learnt from are written beside them. The folder appears whole or not at all.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    network.llm.save_pretrained(partial)
    network.acoustic.save_pretrained(partial / ACOUSTIC_FOLDER)
    for name in (RANKS_FILE, TOKENIZERS_FILE):
        if init is not None and (init / name).is_file():
            shutil.copyfile(init / name, partial / name)
    for name in TAKEN_OVER:
        if init is not None and (init / name).is_dir():
            shutil.copytree(init / name, partial / name)
    if semantic is not None:
        for name in (SEMANTIC_FOLDER, kmeans.FOLDER):
            shutil.rmtree(partial / name, ignore_errors=True)
        named = (semantic / kmeans.CODEBOOK_FILE).is_file()
        shutil.copytree(semantic, partial / (kmeans.FOLDER if named else SEMANTIC_FOLDER))
    before = read_learnt_from(init) if init is not None else frozenset()
    write_learnt_from(partial, before.union(recordings))
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
