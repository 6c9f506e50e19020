"""Models are folders that others made: what they bring is data, and none of it is ever run."""

from __future__ import annotations

import ast
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tests.model.data.made import conversation_row, segment_row, write
from tests.support import ROOT
from wavemill.jobs.cli import app
from wavemill.pipeline.corpora.instructions import SAFE_LOADER

PACKAGES = ("jobs", "pipeline", "stages", "model", "manifests", "examples", "benchmarks", "deploy")
JSON_FILES = (
    "config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json",
    "generation_config.json", "configuration.json", "video_preprocessor_config.json",
    "tokenizer.json",
)  # fmt: skip
PICKLES = ("pytorch_model.bin", "model.bin", "model.pt", "detokenizer.pt", "vocoder.pt",
           "f7e0c4bc.th", "flow.pt", "model.pth", "checkpoint.ckpt", "weights.npz",
           "codebook.npz")  # fmt: skip


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code-was-run"


def evil_folder(folder: Path, marker: Path, model_type: str = "evil") -> Path:
    """Fill a folder with all the ways in which model folders bring code along."""
    code = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    names = [f"Auto{kind}" for kind in ("Config", "Processor", "FeatureExtractor", "Model")]
    names += [f"AutoModelFor{kind}" for kind in ("SpeechSeq2Seq", "CausalLM", "MultimodalLM")]
    told = {
        "model_type": model_type,
        "architectures": ["EvilModel"],
        "auto_map": dict.fromkeys(names, "evil.Evil") | {"AutoTokenizer": ["evil.Evil", None]},
        "processor_class": "EvilProcessor",
        "tokenizer_class": "EvilTokenizer",
        "feature_extractor_type": "EvilExtractor",
        # As funasr's folders say it:
        "model": "Evil",
        "remote_code": "./evil.py",
        "trust_remote_code": True,
        "model_name_in_hub": {"ms": "evil", "hf": "evil"},
        "file_path_metas": {"init_param": "model.pt", "config": "config.yaml"},
    }
    for part in ("", "whisper-large-v3", "glm-4-voice-tokenizer", "audio_detokenizer", "vocoder"):
        place = folder / part
        place.mkdir(parents=True, exist_ok=True)
        for name in JSON_FILES:
            (place / name).write_text(json.dumps(told), encoding="utf-8")
        for name in ("evil.py", "model.py", "hubconf.py", "__init__.py", "setup.py"):
            (place / name).write_text(code, encoding="utf-8")
        (place / "custom_generate").mkdir()
        (place / "custom_generate" / "generate.py").write_text(code, encoding="utf-8")
        (place / "config.yaml").write_text(
            "model: Evil\nremote_code: ./evil.py\ntrust_remote_code: true\n"
            f"evil: !!python/object/apply:pathlib.Path.touch [{marker}]\n"
            "pipeline: {name: evil.Evil}\n",
            encoding="utf-8",
        )
        for name in PICKLES:
            (place / name).write_bytes(pickle.dumps(_Evil(marker)))
        with zipfile.ZipFile(place / "archive.pt", "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(_Evil(marker)))
        with (place / "objects.npz").open("wb") as file:
            np.savez(file, centroids=np.array([_Evil(marker)], dtype=object))
    return folder


def test_the_folder_is_as_dangerous_as_it_says(tmp_path: Path, marker: Path) -> None:
    folder = evil_folder(tmp_path / "evil", marker)
    pickle.loads((folder / "model.pt").read_bytes())
    assert marker.exists()


def commands(folder: Path, place: Path) -> Iterator[list[str]]:
    """Yield every command that reads a model, with this folder for it."""
    evil, corpus, sound = str(folder), str(place / "work"), str(ROOT / "examples" / "recordings")
    audio = f"{sound}/telephone_line.flac"
    told = ["evaluate", evil, "-b", str(place / "benchmark"), "--out"]
    yield [*told, str(place / "runs"), "--kind", "assistant"]
    foreign = [*told, str(place / "others"), "--kind", "transformers"]
    yield foreign
    for number, name in enumerate(("WhisperForConditionalGeneration", "AutoModelForCausalLM")):
        yield [*foreign, "--class", name, "--label", str(number)]
    yield ["generate", evil, "--audio", audio]
    yield ["generate", evil, "--say", "a", "--detokenizer", evil, "--semantic", evil]
    yield ["model", "inspect", evil]
    yield ["model", "init", "--text-llm", evil, "--out", str(place / "made")]
    yield ["perplexity", evil, "--corpus", corpus, "--split", "none"]
    yield ["resynthesise", evil, "--corpus", corpus, "--out", str(place / "heard")]
    inline = ["--executor", "inline", "--corpus", corpus, "--out"]
    yield ["train", "sft", "--init", evil, *inline, str(place / "sft")]
    yield ["train", "sft", "--semantic", evil, *inline, str(place / "sft2")]
    yield ["train", "sft", "--semantic", f"{evil}/objects.npz", *inline, str(place / "sft3")]
    yield ["train", "detokenizer", "--init", evil, *inline, str(place / "flow")]
    yield ["train", "tokenizer", "--set", f"whisper={evil}", *inline, str(place / "tokenizer")]
    build = ["curate", audio, "--out", str(place / "built"), "--executor", "inline"]
    for settings in (
        ["denoise.engine=demucs", f"denoise.demucs.repo={evil}", "denoise.demucs.model=f7e0c4bc"],
        ["denoise.engine=bsrnn", f"denoise.bsrnn.weights={evil}"],
        ["diarize.engine=pyannote", f"diarize.pyannote.pipeline={evil}"],
        [f"transcribe.faster_whisper.model={evil}"],
        ["transcribe.engine=paraformer", f"transcribe.paraformer.model={evil}"],
        ["tokenize.engine=whisper_vq", f"tokenize.whisper_vq.weights={evil}"],
        [f"tokenize.kmeans.codebook={evil}/objects.npz"],
    ):
        yield [*build, *(word for one in settings for word in ("--set", one))]


@pytest.mark.parametrize("model_type", ["evil", "whisper"])
def test_no_command_runs_what_a_folder_brings_not_even_on_yes(
    tmp_path: Path, marker: Path, model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = evil_folder(tmp_path / "evil", marker, model_type)
    write(tmp_path / "work", "sft", [[conversation_row(0)]])
    write(tmp_path / "work", "pretrain", [[segment_row(0, 0)]])
    told = ["benchmark", "prepare", "corpus", "--source", str(tmp_path / "work"), "--split", "all"]
    CliRunner().invoke(app, [*told, "--out", str(tmp_path / "benchmark")], catch_exceptions=False)
    for told in commands(folder, tmp_path):
        result = CliRunner().invoke(app, told, input="y\n" * 20)
        assert not marker.exists(), told
        assert "[y/N]" not in result.output, told
        assert result.exit_code != 0, told
        shown = str(result.exception) + result.output
        if told[0] == "evaluate" and "transformers" in told and model_type == "evil":
            assert "which is never run" in shown, told


LOADERS = {"from_pretrained", "from_config", "pipeline"}  # of transformers
REFUSED = {  # what must be said to the functions that could run a file's code
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
NEVER = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "torch.hub.load", "joblib.load"}
SAFE_LOADERS = {"SAFE_LOADER"}  # of yaml; a test below says what it is
OWN_PROCESSES = ("pipeline/execution/",)  # pickles that never were a file


def calls() -> Iterator[tuple[str, ast.Call, str, bool]]:
    """Yield (place, call, name called, whether its module uses transformers) of all code."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            foreign = "import transformers" in text
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call):
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    yield place, node, ast.unparse(node.func), foreign


def faults(place: str, call: ast.Call, name: str, foreign: bool) -> Iterator[str]:
    options = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if foreign and name.rpartition(".")[2] in LOADERS:
        if options.get("trust_remote_code") != "False":
            yield f"{place}: {name} without trust_remote_code=False"
    elif options.get("trust_remote_code", "False") != "False":
        yield f"{place}: {name} with trust_remote_code"
    if name in REFUSED:
        option, value = REFUSED[name]
        if options.get(option) != str(value):
            yield f"{place}: {name} without {option}={value}"
    pickled = name in ("pickle.load", "pickle.loads") and not place.startswith(OWN_PROCESSES)
    if name == "yaml.load" and options.get("Loader") in SAFE_LOADERS:
        return
    if name in NEVER or pickled:
        yield f"{place}: {name}"


def test_every_loading_place_refuses_code() -> None:
    found = list(calls())
    assert [fault for one in found for fault in faults(*one)] == []
    assert sum(foreign and name.endswith("from_pretrained") for _, _, name, foreign in found) >= 3


def test_the_loader_of_instructions_is_a_safe_one() -> None:
    assert SAFE_LOADER in (yaml.SafeLoader, getattr(yaml, "CSafeLoader", None))
