"""Small values that this project's own code gave once it conformed: a bare clone notices changes.

`python -m tests.model.golden` writes them anew; do that only for a change that is meant.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wavemill.model.audio import whisper_log_mel
from wavemill.model.engine import Engine
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.settings import GenerateSettings
from wavemill.model.llm.config import LlmConfig
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Format, Reply, Role, TokenMessage, Vocabulary
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import EncoderConfig, VqConfig
from wavemill.model.tokenizer.semantic import SemanticTokenizer
from wavemill.model.tokenizer.vq_encoder import VqEncoder

FILE = Path(__file__).parents[1] / "data" / "model_golden.safetensors"
WIDTHS = {"d_model": 16, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
ACOUSTIC = EncoderConfig(encoder_layers=2, **WIDTHS)
SEMANTIC = VqConfig(
    encoder_layers=2,
    pooling_position=1,
    quantize_position=2,
    quantize_vocab_size=64,
    quantize_encoder_only=True,
    quantize_causal_block_size=200,
    encoder_causal_convolution=True,
    **WIDTHS,
)
LLM = LlmConfig(
    vocab_size=384,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    branch_layer=1,
    audio_layers=1,
    audio_delay=6,
    text_vocab=256,
    audio_offset=320,
    feature_width=64,
)


def known(network: nn.Module) -> nn.Module:
    """Give a network weights that no random generator has a part in."""
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            count = torch.arange(parameter.numel(), dtype=torch.float64)
            scale = 0.5 if parameter.ndim > 1 else 0.1
            wave = scale * torch.sin(count * (1.7 + 0.013 * number) + (count / 7) ** 2 % 6.3)
            parameter.copy_(wave.view_as(parameter) + (parameter.ndim == 1))
    return network.eval()


def sound(seconds: float) -> np.ndarray:
    """Return a rising tone under a slow swell, float32 at 16 kHz."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * (120 * time + 300 * time**2)) * (0.6 + 0.4 * np.sin(5 * time))
    return (0.5 * tone).astype(np.float32)


def values() -> dict[str, Tensor]:
    """Return every golden value, in tens of kB."""
    clips = [sound(1.3), sound(0.31)]
    tokenizer = SemanticTokenizer(known(VqEncoder(SEMANTIC)))  # type: ignore[arg-type]
    acoustic = known(AcousticEncoder(ACOUSTIC))
    assert isinstance(acoustic, AcousticEncoder)
    codes = tokenizer.encode(clips)
    with torch.inference_mode():
        features = acoustic.features(clips)
    found = {f"codes.{i}": torch.from_numpy(row) for i, row in enumerate(codes)}
    found |= {f"features.{i}": rows[:4] for i, rows in enumerate(features)}
    found["log_mel"] = whisper_log_mel(torch.from_numpy(sound(0.08))[None])[0]
    prompt = Format(Vocabulary(LLM.text_vocab, LLM.audio_offset)).layout(
        [
            TokenMessage(Role.USER, text=tuple(b"say it")),
            TokenMessage(Role.USER, codes=tuple(codes[1].tolist())),
            TokenMessage(Role.ASSISTANT, text=tuple(b"well"), codes=tuple(range(9))),
            TokenMessage(Role.USER, codes=tuple(codes[0].tolist())),
        ],
        Reply.BOTH,
    )
    streams = [torch.tensor(ids) for ids in (prompt.audio_ids, prompt.text_ids, prompt.continuous)]
    found |= {"prompt.audio": streams[0], "prompt.text": streams[1]}
    sample = LlmPrompt(streams[0], streams[1], streams[2], [features[1], features[0]])
    network = known(AudioLlm(LLM))
    assert isinstance(network, AudioLlm)
    with torch.inference_mode():
        packed = torch.cat([features[1], features[0]])
        output = network(
            streams[0][None], streams[1][None], features=packed, continuous=streams[2][None]
        )
    found["llm.audio_logits"] = output.audio_logits[0, ::16]
    found["llm.text_logits"] = output.text_logits[0, ::16]
    (reply,) = Engine(network).replies(
        [sample], GenerateSettings(reply=Reply.BOTH, max_new_tokens=20)
    )
    found |= {"reply.text": torch.tensor(reply.text), "reply.codes": torch.tensor(reply.codes)}
    return {name: tensor.contiguous().clone() for name, tensor in found.items()}


if __name__ == "__main__":
    save_file(values(), FILE)
    FILE.chmod(0o644)
