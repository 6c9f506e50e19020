"""BigVGAN and the mel front end against the published ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.model.conformance import TABLE, parts, stems, worst
from tests.model.detokenizer.fixtures import (
    AUDIO_TOLERANCE,
    FOLDER,
    below,
    needs_fixtures,
    notes,
    tensors,
    vocoder,
    vocoder_config,
    vocoder_with,
)
from tests.model.detokenizer.reach import reach
from tests.model.detokenizer.test_conformance_flow import outputs_of
from wavemill.model.audio import vocoder_filters, vocoder_log_mel
from wavemill.model.detokenizer.bigvgan import Activation, low_pass
from wavemill.model.detokenizer.config import VocoderConfig

pytestmark = needs_fixtures
BIGVGAN = FOLDER / "bigvgan"


def stored_parts(name: str, pattern: str) -> list[str]:
    """Return the cases of a file; none where there are no stored cases."""
    return parts(tensors(f"bigvgan/{name}"), pattern) if BIGVGAN.is_dir() else []


FOLDING_TOLERANCE = 1e-6
FUSED_ENDS = 6  # samples at each end where the fused kernel differs


@pytest.mark.parametrize("name", stored_parts("cases", r"(T\d+\.)mel"))
def test_waveforms(name: str) -> None:
    case = below("bigvgan/cases", name)
    TABLE.add(
        "vocoder: waveform", worst(vocoder()(case["mel"][None]), case["wav"]), AUDIO_TOLERANCE
    )


@pytest.mark.parametrize("name", stored_parts("cases", r"(T\d+\.)mid\."))
def test_inner_values(name: str) -> None:
    network = vocoder()
    inner: dict[str, nn.Module] = {
        "conv_pre": network.conv_pre,
        "conv_post": network.conv_post,
        "activation_post": network.activation_post,
    }
    inner |= {f"ups{index}": up for index, up in enumerate(network.ups)}
    inner |= {f"resblock{index}": block for index, block in enumerate(network.resblocks)}
    with outputs_of(inner) as found:
        network(tensors("bigvgan/cases")[f"{name}mel"][None])
    for part, wanted in below("bigvgan/cases", f"{name}mid.").items():
        TABLE.add("vocoder: inner values", worst(found[part], wanted), AUDIO_TOLERANCE)


@pytest.mark.parametrize("name", stored_parts("cases", r"(batch\w*\.)"))
def test_batch(name: str) -> None:
    case = below("bigvgan/cases", name)
    found = vocoder()(case["mel"])[:, None]
    TABLE.add("vocoder: batch", worst(found, case["wav"]), AUDIO_TOLERANCE)


@pytest.mark.parametrize("name", stored_parts("cases", r"(clamp\d+\.)"))
def test_clamp(name: str) -> None:
    case = below("bigvgan/cases", name)
    weights, gain = dict(tensors("bigvgan/model")), int(name[len("clamp") : -1])
    weights["conv_post.weight_g"] = gain * weights["conv_post.weight_g"]
    found = vocoder_with(vocoder_config(), weights)(case["mel"][None])
    assert (found.abs() == 1).any()
    if gain == 8:
        assert (found.abs() == 1).sum() == notes("bigvgan/checks")["clamp_hits"]
    TABLE.add("vocoder: clamp", worst(found, case["wav"]), AUDIO_TOLERANCE)


def test_folded_weights() -> None:
    found = vocoder().state_dict()
    stored = tensors("bigvgan/model_folded")
    for name, wanted in stored.items():
        TABLE.add("vocoder: folded weights", worst(found[name], wanted), FOLDING_TOLERANCE)
    rest = found.keys() - stored.keys()
    assert len(rest) == notes("bigvgan/checks")["n_filter_buffers"]
    assert all(name.endswith(".filter") for name in rest)


def test_filter_taps() -> None:
    wanted = torch.tensor(notes("bigvgan/checks")["filter_taps"])
    TABLE.add("vocoder: filter taps", worst(low_pass(), wanted), 1e-8)


@pytest.mark.parametrize("name", stems(BIGVGAN, "variant_*"))
def test_variant(name: str) -> None:
    config = VocoderConfig(**notes(f"bigvgan/{name}"))
    network = vocoder_with(config, below(f"bigvgan/{name}", "param."))
    for start in parts(tensors(f"bigvgan/{name}"), r"(T\d+\.)"):
        case = below(f"bigvgan/{name}", start)
        found = network(case["mel"][None])
        TABLE.add("vocoder: variant", worst(found, case["wav"]), AUDIO_TOLERANCE)


@pytest.mark.parametrize("kind", stored_parts("activation1d", r"(\w+)\."))
def test_activations(kind: str) -> None:
    stored = below("bigvgan/activation1d", f"{kind}.")
    module = Activation(len(stored["alpha"]), kind.startswith("snakebeta"), kind.endswith("log"))
    module.act.alpha.data = stored["alpha"]
    if module.act.beta is not None:
        module.act.beta.data = stored["beta"]
    for start in parts(stored, r"(T\d+\.)"):
        case = below("bigvgan/activation1d", f"{kind}.{start}")
        raised = module.upsample(case["x"])
        for found, name in (
            (raised, "up"),
            (module.act(raised), "act"),
            (module(case["x"]), "out"),
        ):
            TABLE.add("vocoder: activations", worst(found, case[name]), AUDIO_TOLERANCE)


@pytest.mark.parametrize("name", stored_parts("fused_activation", r"T(\d+)\."))
def test_fused_activation_differs_at_the_ends_only(name: str) -> None:
    stored, length = tensors("bigvgan/fused_activation"), int(name)
    module = Activation(2, two=True, logscale=True)
    module.act.alpha.data = stored["alpha"]
    assert module.act.beta is not None
    module.act.beta.data = stored["beta"]
    found = module(stored[f"T{length}.x"])
    TABLE.add("vocoder: activations", worst(found, stored[f"T{length}.torch"]), AUDIO_TOLERANCE)
    fused = stored[f"T{length}.fused"]
    noted = notes("bigvgan/fused_checks")[f"T{length}"]["max"]
    error = abs(worst(found, fused) - noted)
    TABLE.add("vocoder: fused kernel, known difference", error, AUDIO_TOLERANCE)
    if length > 2 * FUSED_ENDS:
        inside = slice(FUSED_ENDS, -FUSED_ENDS)
        error = worst(found[..., inside], fused[..., inside])
        TABLE.add("vocoder: fused kernel, inside", error, AUDIO_TOLERANCE)


def test_fused_vocoder() -> None:
    stored = tensors("bigvgan/fused_activation")
    found = vocoder()(stored["vocoder.mel"][None])[0]
    TABLE.add("vocoder: waveform", worst(found, stored["vocoder.wav_torch"]), AUDIO_TOLERANCE)
    noted = notes("bigvgan/fused_checks")["vocoder_T60_fused_vs_torch"]["max"]
    error = abs(worst(found, stored["vocoder.wav_fused"]) - noted)
    TABLE.add("vocoder: fused kernel, known difference", error, AUDIO_TOLERANCE)


def test_reach_is_what_was_measured() -> None:
    first, last = notes("bigvgan/checks")["impulse_at_frame_60_touches_samples"]
    before, after = reach(vocoder_config())
    samples = vocoder_config().samples_per_frame
    assert (60 - first // samples, last // samples - 60) == (after, before)


def test_mel_of_prefixes() -> None:
    stored, checks = tensors("bigvgan/mel_extraction"), notes("bigvgan/mel_checks")
    for name, wanted in below("bigvgan/mel_extraction", "mel_first").items():
        found = vocoder_log_mel(stored["wav_24000"][: int(name)], vocoder_config())
        assert len(found) == checks.get(f"frames_{name}", len(wanted))
        TABLE.add("mel: prefixes", worst(found, wanted), AUDIO_TOLERANCE)
    silence = vocoder_log_mel(torch.zeros(1920), vocoder_config())
    TABLE.add("mel: silence", worst(silence, stored["mel_silence_1920"]), AUDIO_TOLERANCE)
    with pytest.raises(ValueError, match="300 samples"):
        vocoder_log_mel(stored["wav_24000"][:300], vocoder_config())


def test_mel_settings() -> None:
    stored, checks = tensors("bigvgan/mel_extraction"), notes("bigvgan/mel_checks")
    sets = [name for name in checks if name.startswith("set.")]
    for name in sets:
        changes = {key: value for key, value in checks[name].items() if key != "frames"}
        config = vocoder_config().model_copy(update=changes)
        found = vocoder_log_mel(stored["wav_24000"][:9600], config)
        TABLE.add("mel: settings", worst(found, stored[f"{name}.mel"]), AUDIO_TOLERANCE)
    basis = torch.from_numpy(vocoder_filters(vocoder_config()))
    wanted = stored["set.w1024_0_12000.mel_basis"]
    TABLE.add("mel: filters", worst(basis, wanted), 1e-7)
    window = torch.hann_window(1024)
    TABLE.add("mel: window", worst(window, stored["set.w1024_0_12000.window"]), 1e-6)
    assert sets


def test_cases_are_all_covered() -> None:
    """A kind of file or of case that no test above knows is not passed over."""
    read = {"activation1d", "cases", "fused_activation", "mel_extraction", "model"}
    read |= {"model_folded", *stems(BIGVGAN, "variant_*")}
    assert set(stems(BIGVGAN)) == read
    known = parts(tensors("bigvgan/cases"), r"(T\d+|batch\w*|clamp\d+)\.")
    assert {key.split(".")[0] for key in tensors("bigvgan/cases")} == set(known)
