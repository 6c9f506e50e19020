"""Finding a Paraformer model of FunASR and loading it safely.

The package's own AutoModel runs code that a model's folder brings when the config asks for it,
leaves parameters random that the checkpoint lacks, and imports every model that it has (20 s).
Here the config is read as data, only the classes of Paraformer-zh are built, and the checkpoint
is read with torch's restricted unpickler.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from wavemill.model.torchaudio_import import import_torchaudio
from wavemill.stages.declared import Declared, HubFiles, LocalFiles
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.weights import sha256_of_file

DISTRIBUTION = "funasr"
EXTRA = "paraformer"
CONFIG, TOKENS, CMVN, WEIGHTS = "config.yaml", "tokens.json", "am.mvn", "model.pt"
FILES = (CONFIG, TOKENS, CMVN, WEIGHTS)
REMEDY = (
    f"remedy: set transcribe.paraformer.model to a folder with {', '.join(FILES)}, or to the name "
    "of a hub repository (owner/name) that has them"
)
# What a config may ask for. SeacoParaformer is BiCifParaformer and a decoder of hotwords, which is
# neither used nor loaded here.
PARTS = {
    "model": ("BiCifParaformer", "SeacoParaformer"),
    "encoder": ("SANMEncoder",),
    "decoder": ("ParaformerSANMDecoder",),
    "predictor": ("CifPredictorV3",),
    "frontend": ("WavFrontend",),
    "tokenizer": ("CharTokenizer",),  # of which only the tokens are used
}
NEEDED = {  # and where the package has it; a module enters its classes in the package's tables
    "BiCifParaformer": "models.bicif_paraformer.model",
    "SANMEncoder": "models.sanm.encoder",
    "ParaformerSANMDecoder": "models.paraformer.decoder",
    "CifPredictorV3": "models.bicif_paraformer.cif_predictor",
    "WavFrontend": "frontends.wav_frontend",
    "ts_prediction_lfr6_standard": "utils.timestamp_tools",
}
NESTED = ("state_dict", "model_state_dict", "model")  # where the package looks for parameters


@dataclass(frozen=True)
class Loaded:
    """A BiCifParaformer, its WavFrontend, its tokens, and how the package finds their times."""

    model: Any
    frontend: Any
    tokens: list[str]
    times_of: Callable[..., Any]


def unavailable(problem: str, remedy: str = REMEDY) -> EngineUnavailable:
    """Return the error with the engine's name, for `raise`."""
    return EngineUnavailable(f"engine 'paraformer' (package {DISTRIBUTION}): {problem}; {remedy}")


def declared(model: str, revision: str) -> tuple[Declared, ...]:
    """Return what a model's weights are."""
    if not _is_hub_name(model):
        return (LocalFiles(Path(model), "model", FILES),)
    licence = "FunASR model licence" if model == "funasr/paraformer-zh" else ""
    return (HubFiles(model, "model", FILES, FILES, licence, revision),)


def identity(model: str, revision: str) -> str:
    """Return a hash of the content of a folder's files, or name and commit at the hub.

    Raises EngineUnavailable.
    """
    if _is_hub_name(model):
        return f"{model}@{commit(model, revision)}"
    digest = hashlib.sha256()
    for path in _local_files(Path(model)):
        digest.update(sha256_of_file(path).encode())
    return f"sha256:{digest.hexdigest()}"


def commit(model: str, revision: str) -> str:
    """Return the commit of a model at the hub, `revision` for another. Raises EngineUnavailable."""
    (one,) = declared(model, revision)
    if not isinstance(one, HubFiles):
        return revision
    try:
        return one.commit()
    except EngineUnavailable as error:
        raise unavailable(str(error).partition("; remedy")[0]) from error


def check_hub(model: str, revision: str) -> None:
    """Look whether a model of the hub can be had, by its config. Raises EngineUnavailable."""
    if _is_hub_name(model):
        _from_hub(model, revision, (CONFIG,))


def load(model: str, revision: str, device: str) -> Loaded:
    """Load the model of a folder or of the hub onto `device`. Raises EngineUnavailable."""
    hub = _is_hub_name(model)
    paths = _from_hub(model, revision, FILES) if hub else _local_files(Path(model))
    try:
        import_torchaudio()  # else the package would take another front end
        package = imported(NEEDED)
    except (ImportError, OSError) as error:
        install = f"remedy: pip install 'wavemill[{EXTRA}]'"
        raise unavailable(f"it cannot be imported ({error})", install) from error
    try:
        loaded = _built(paths, package)
    except Exception as error:  # a foreign file may fail in any way
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise unavailable(
            f"the model {paths[0].parent} cannot be loaded as data (nothing in it is ever "
            f"executed): {why[0]}"
        ) from error
    loaded.model.eval().to(device)
    return loaded


def _is_hub_name(model: str) -> bool:
    return model.count("/") == 1 and model[0] not in "./" and not Path(model).exists()


def _local_files(folder: Path) -> list[Path]:
    paths = [folder / name for name in FILES]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise unavailable(f"the model {str(folder)!r} lacks {', '.join(missing)}")
    return paths


def _from_hub(name: str, revision: str, files: tuple[str, ...]) -> list[Path]:
    """Return local copies of files of a hub repository; downloads what is not there."""
    try:
        from huggingface_hub import hf_hub_download

        return [Path(hf_hub_download(name, file, revision=revision)) for file in files]
    except Exception as error:  # of huggingface_hub and of the HTTP library below it
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise unavailable(
            f"cannot get {name!r} ({revision}) from the hub: {why[0]}",
            f"remedy: mend the name or the network, or s{REMEDY.removeprefix('remedy: s')}",
        ) from error


def imported(needed: Mapping[str, str]) -> dict[str, Any]:
    """Return names of the package's modules, without importing the package: it imports all it has.

    Raises ImportError, and OSError where a compiled library does not load.
    """
    spec = importlib.util.find_spec(DISTRIBUTION)
    if spec is None:
        raise ModuleNotFoundError(f"no module named {DISTRIBUTION!r}")
    stands = DISTRIBUTION in sys.modules
    if not stands:
        folder = ModuleType(DISTRIBUTION)  # a package of nothing but its folder
        folder.__path__ = list(spec.submodule_search_locations or ())
        sys.modules[DISTRIBUTION] = folder
    try:
        with redirect_stdout(io.StringIO()):  # it prints which programs it would use for decoding
            return {
                name: getattr(importlib.import_module(f"{DISTRIBUTION}.{module}"), name)
                for name, module in needed.items()
            }
    finally:
        if not stands:
            del sys.modules[DISTRIBUTION]  # so that others import it in full


def _built(paths: list[Path], package: dict[str, Any]) -> Loaded:
    """Do what AutoModel.build_model does, with the classes that are known."""
    from omegaconf import OmegaConf  # the package's reader: plain data, numbers as in YAML 1.2

    config_path, tokens_path, cmvn_path, weights_path = paths
    config: Any = OmegaConf.to_container(OmegaConf.load(config_path), resolve=False)
    for part, known in PARTS.items():
        if config.get(part) not in known:
            raise ValueError(f"its {part} is {config.get(part)!r}, not {' or '.join(known)}")
    tokens = json.loads(tokens_path.read_text(encoding="utf-8"))
    # Dither is random: the same clip would have another text the next time.
    own = {"cmvn_file": str(cmvn_path), "dither": 0.0}
    frontend = package["WavFrontend"](**{**config.get("frontend_conf", {}), **own})
    parts = ("encoder", "decoder", "predictor")
    layers = {name: config[name] for part in parts for name in (part, f"{part}_conf")}
    sizes = {"vocab_size": len(tokens), "input_size": frontend.output_size()}
    model = package["BiCifParaformer"](**{**config.get("model_conf", {}), **layers, **sizes})
    _load_parameters(model, weights_path)
    return Loaded(model, frontend, tokens, package["ts_prediction_lfr6_standard"])


def _load_parameters(model: Any, path: Path) -> None:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in NESTED:
        state = state.get(key, state)
    missing = model.load_state_dict(state, strict=False).missing_keys
    if missing:
        raise ValueError(f"{path.name} lacks {missing[0]} (and {len(missing) - 1} more)")
