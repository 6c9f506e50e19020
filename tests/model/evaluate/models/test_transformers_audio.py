"""Tiny models of the package's own classes, saved and loaded as any other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from wavemill.model.evaluate.models.answering import ModelError, ModelInput
from wavemill.model.evaluate.models.transformers_audio import TransformersModel
from wavemill.model.evaluate.recipes.recipe import Decoding, Recipe

SHORT = Decoding(max_new_tokens=6)
PLAIN = Recipe(name="plain", decoding=SHORT)
AS_IS = Recipe(name="as-is", decoding=SHORT, as_is=True)
TEMPLATE = (
    "{% for m in messages %}{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'audio' %}<|AUDIO|>{% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}{% endif %}\n{% endfor %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def byte_tokenizer(special: list[str]) -> transformers.PreTrainedTokenizerFast:
    vocabulary = {piece: index for index, piece in enumerate([*special, *BYTES])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=special[0],
        eos_token=special[1],
        additional_special_tokens=special[2:],
    )


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen2-audio")
    tokenizer = byte_tokenizer(SPECIAL)
    size = {"num_attention_heads": 2, "hidden_size": 16, "num_hidden_layers": 1}
    config = transformers.Qwen2AudioConfig(
        audio_config={
            "d_model": 16,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "num_mel_bins": 8,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "intermediate_size": 32,
            "num_key_value_heads": 1,
            **size,
        },
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    torch.manual_seed(0)
    network = transformers.Qwen2AudioForConditionalGeneration(config)
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    network.generation_config.pad_token_id = tokenizer.pad_token_id
    network.save_pretrained(folder)
    transformers.Qwen2AudioProcessor(
        feature_extractor=transformers.WhisperFeatureExtractor(feature_size=8),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whisper")
    tokenizer = byte_tokenizer(SPECIAL[:2])
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=8,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_target_positions=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(0)
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=8).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sounds(*seconds: float) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(0, 0.1, round(s * 16_000)).astype(np.float32) for s in seconds]


def test_a_chat_model_answers_together_as_alone(qwen: Path) -> None:
    model = TransformersModel(str(qwen), PLAIN)
    prompts = ("Say it.", "What is it? Be quick.")
    asked = [
        ModelInput(f"i{n}", prompt, "be kind", sound)
        for n, (prompt, sound) in enumerate(zip(prompts, sounds(0.5, 1.3), strict=True))
    ]
    together = model.answer(asked)
    alone = [model.answer([one])[0] for one in asked]
    assert [a.text for a in together] == [a.text for a in alone]
    assert all(a.error is None for a in together)


def test_what_it_hears_and_is_told_goes_in(qwen: Path) -> None:
    model = TransformersModel(str(qwen), PLAIN)
    (sound,) = sounds(0.5)
    inputs = model._inputs([ModelInput("a", "Say it.", "be kind", sound)])
    text = model._processor.tokenizer.decode(inputs["input_ids"][0])
    assert text.startswith("be kindSay it.")
    assert text.count("<|AUDIO|>") > 1  # a mark for each frame
    turned = TransformersModel(str(qwen), PLAIN.model_copy(update={"text_first": False}))
    inputs = turned._inputs([ModelInput("a", "Say it.", "be kind", sound)])
    assert turned._processor.tokenizer.decode(inputs["input_ids"][0]).endswith("Say it.")


def test_a_prompt_can_be_all_that_it_reads(qwen: Path) -> None:
    model = TransformersModel(str(qwen), AS_IS)
    prompt = "<|audio_bos|><|AUDIO|><|audio_eos|>Text:"
    (answer,) = model.answer([ModelInput("a", prompt, None, sounds(0.4)[0])])
    assert answer.error is None


def test_words_alone_can_be_asked(qwen: Path) -> None:
    (answer,) = TransformersModel(str(qwen), PLAIN).answer([ModelInput("a", "Hello")])
    assert answer.error is None


def test_a_model_that_only_hears_writes_down(whisper: Path) -> None:
    model = TransformersModel(str(whisper), PLAIN)
    asked = [ModelInput(f"i{n}", "ignored", None, s) for n, s in enumerate(sounds(0.3, 0.9))]
    together = model.answer(asked)
    assert [a.text for a in together] == [model.answer([one])[0].text for one in asked]


def test_errors_name_the_model_and_the_remedy(qwen: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        TransformersModel(str(tmp_path / "none"), PLAIN)
    with pytest.raises(ModelError, match=str(tmp_path)):
        TransformersModel(str(tmp_path), PLAIN)
    with pytest.raises(ModelError, match="no class 'Nothing'"):
        TransformersModel(str(qwen), PLAIN, class_name="Nothing")


def changed(folder: Path, into: Path, **fields: object) -> str:
    """Return a copy of a model folder with other fields in its config.json."""
    shutil.copytree(folder, into)
    config = json.loads((into / "config.json").read_text(encoding="utf-8"))
    (into / "config.json").write_text(json.dumps(config | fields), encoding="utf-8")
    return str(into)


@pytest.mark.parametrize("field", ["attn_implementation", "_attn_implementation"])
def test_compiled_code_of_a_hub_is_never_asked_for(
    whisper: Path, tmp_path: Path, field: str
) -> None:
    folder = changed(whisper, tmp_path / "kernel", **{field: "someone/kernel"})
    with pytest.raises(ModelError, match="which is never run"):
        TransformersModel(folder, PLAIN)


@pytest.mark.parametrize("named", ["Trainer", "pipeline", "GenerationConfig", 5])
def test_a_folder_names_no_other_class_than_a_model(
    whisper: Path, tmp_path: Path, named: object
) -> None:
    folder = changed(whisper, tmp_path / "named", architectures=[named])
    try:
        model = TransformersModel(folder, PLAIN)
    except ModelError:
        return
    assert isinstance(model._network, transformers.PreTrainedModel)
