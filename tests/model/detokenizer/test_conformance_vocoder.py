"""BigVGAN and the mel front end against the published ones (fixtures, sections 8 and 9)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.model.conformance import TABLE, worst
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
from tests.model.detokenizer.test_conformance_flow import outputs_of
from wavemill.model.audio import vocoder_filters, vocoder_log_mel
from wavemill.model.detokenizer.antialias import Activation, low_pass
from wavemill.model.detokenizer.bigvgan import reach
from wavemill.model.detokenizer.config import VocoderConfig

pytestmark = needs_fixtures
FOLDING_TOLERANCE = 1e-6
FUSED_ENDS = 6  # samples at each end where the fused kernel differs (fixtures, section 8)


@pytest.mark.parametrize("frames", [1, 2, 7, 36, 60])
def test_waveforms(frames: int) -> None:
    case = below("bigvgan/cases", f"T{frames}.")
    TABLE.add(
        "vocoder: waveform", worst(vocoder()(case["mel"][None]), case["wav"]), AUDIO_TOLERANCE
    )


def test_inner_values() -> None:
    network = vocoder()
    inner: dict[str, nn.Module] = {
        "conv_pre": network.conv_pre,
        "conv_post": network.conv_post,
        "activation_post": network.activation_post,
    }
    inner |= {f"ups{index}": up for index, up in enumerate(network.ups)}
    inner |= {f"resblock{index}": block for index, block in enumerate(network.resblocks)}
    with outputs_of(inner) as found:
        network(tensors("bigvgan/cases")["T7.mel"][None])
    for name, wanted in below("bigvgan/cases", "T7.mid.").items():
        TABLE.add("vocoder: inner values", worst(found[name], wanted), AUDIO_TOLERANCE)


def test_batch() -> None:
    case = below("bigvgan/cases", "batch.")
    found = vocoder()(case["mel"])[:, None]
    TABLE.add("vocoder: batch", worst(found, case["wav"]), AUDIO_TOLERANCE)


def test_clamp() -> None:
    case = below("bigvgan/cases", "clamp8.")
    weights = dict(tensors("bigvgan/model"))
    weights["conv_post.weight_g"] = 8 * weights["conv_post.weight_g"]
    found = vocoder_with(vocoder_config(), weights)(case["mel"][None])
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


def test_variant() -> None:
    config = VocoderConfig(**notes("bigvgan/variant_snake_tanh"))
    network = vocoder_with(config, below("bigvgan/variant_snake_tanh", "param."))
    for frames in (3, 11):
        case = below("bigvgan/variant_snake_tanh", f"T{frames}.")
        found = network(case["mel"][None])
        TABLE.add("vocoder: variant", worst(found, case["wav"]), AUDIO_TOLERANCE)


@pytest.mark.parametrize("kind", ["snake_lin", "snake_log", "snakebeta_lin", "snakebeta_log"])
def test_activations(kind: str) -> None:
    stored = below("bigvgan/activation1d", f"{kind}.")
    module = Activation(len(stored["alpha"]), kind.startswith("snakebeta"), kind.endswith("log"))
    module.act.alpha.data = stored["alpha"]
    if module.act.beta is not None:
        module.act.beta.data = stored["beta"]
    for length in (1, 2, 5, 16, 33):
        case = below("bigvgan/activation1d", f"{kind}.T{length}.")
        raised = module.upsample(case["x"])
        for found, name in (
            (raised, "up"),
            (module.act(raised), "act"),
            (module(case["x"]), "out"),
        ):
            TABLE.add("vocoder: activations", worst(found, case[name]), AUDIO_TOLERANCE)


@pytest.mark.parametrize("length", [1, 8, 31, 32, 33, 100])
def test_fused_activation_differs_at_the_ends_only(length: int) -> None:
    stored = tensors("bigvgan/fused_activation")
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
    assert len(sets) == 6


def test_cases_are_all_covered() -> None:
    """Every file of the folder is read by a test above."""
    read = {"activation1d", "cases", "fused_activation", "mel_extraction", "model"}
    read |= {"model_folded", "variant_snake_tanh"}
    assert {path.stem for path in (FOLDER / "bigvgan").glob("*.safetensors")} == read
