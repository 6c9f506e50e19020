from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import Qwen2Config, Qwen2ForCausalLM, WhisperConfig, WhisperModel

from wavemill.model.assistant import ACOUSTIC_FOLDER, Assistant, Message
from wavemill.model.creation import create
from wavemill.model.generate.settings import GenerateSettings
from wavemill.model.io.folders import WeightsError
from wavemill.model.llm.config import preset
from wavemill.model.llm.from_text import shaped_like
from wavemill.model.prompt.layout import Role

WORDS = ["so", "it", "is", "good"]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def add_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="so"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(["<|endoftext|>"])  # no text: its id is a special one here
    tokenizer.save(str(folder / "tokenizer.json"))


def test_from_a_text_llm(qwen: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"has neither tiktoken\.model nor tokenizer\.json"):
        create(tmp_path / "none", "tiny", qwen)
    add_tokenizer(qwen)
    create(tmp_path / "model", "tiny", qwen)
    assistant = Assistant.from_pretrained(tmp_path / "model")
    config = assistant.llm.config
    assert (config.text_vocab, config.audio_offset, config.audio_codes) == (4, 68, 2048)
    assert (config.hidden_size, config.branch_layer, config.num_hidden_layers) == (32, 3, 4)
    assert assistant.llm.lm_head.weight.dtype == torch.bfloat16
    assert assistant.text.encode("it is good") == [1, 2, 3]
    pieces = assistant.reply([Message(Role.USER, "is it")], GenerateSettings(max_new_tokens=5))
    assert {word for piece in pieces for word in piece.text.split()} <= set(WORDS)


def test_qwen_of_seven_gives_the_published_configuration(tmp_path: Path) -> None:
    wanted = preset("published")
    told = {name: getattr(wanted, name) for name in ("hidden_size", "intermediate_size")}
    seven = Qwen2Config(
        **told,
        vocab_size=152_064,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    seven.save_pretrained(tmp_path)
    assert shaped_like(tmp_path, wanted, 151_643).published() == wanted.published()


def test_another_kind_of_text_llm_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"n_embd": 768}', encoding="utf-8")
    with pytest.raises(WeightsError, match=r"is not a text LLM that is known: .*hidden_size"):
        shaped_like(tmp_path, preset("tiny"), 256)


def test_listens_with_the_encoder_of_a_whisper(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=64, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=80,
    )  # fmt: skip
    whisper = WhisperModel(config)
    whisper.save_pretrained(tmp_path / "whisper")
    create(tmp_path / "model", "tiny", whisper=tmp_path / "whisper")
    assistant = Assistant.from_pretrained(tmp_path / "model")
    assert assistant.llm.config.feature_width == 4 * 64
    assert assistant.acoustic.config.fill_to_tokens == 8  # of the preset, and not to 30 s
    assert assistant.acoustic.config.num_mel_bins == 80
    mine = assistant.acoustic.encoder.state_dict()
    theirs = whisper.encoder.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert (tmp_path / "model" / ACOUSTIC_FOLDER / "config.json").is_file()
    spoken = Message(Role.USER, audio=np.zeros(16_000, np.float32))
    assistant.reply([spoken], GenerateSettings(max_new_tokens=2))


def test_a_whisper_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no folder"):
        create(tmp_path / "model", "tiny", whisper=tmp_path / "none")
    assert not (tmp_path / "model").exists()
