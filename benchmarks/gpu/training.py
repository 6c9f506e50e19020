"""Part (c): steps of training, and what only a GPU can say about the list of risks in gpu.md.

Micro-batches are random: conversations of sound and text, as long as the recipe's rows. Nothing is
read from a corpus, and nothing is written but a checkpoint in a temporary folder.
"""

from __future__ import annotations

import resource
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.gpu.rows import Row, Setting
from wavemill.model.data.batch import Mels, PackedBatch
from wavemill.model.llm.config import LlmConfig, preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import EncoderConfig, presets
from wavemill.model.train import layers
from wavemill.model.train.checkpoint import Writer
from wavemill.model.train.filling import draw_tensors
from wavemill.model.train.learner import MAIN, Progress
from wavemill.model.train.llm import LearningLlm, LlmLearner
from wavemill.model.train.lora import adapt, matrices
from wavemill.model.train.memory import need
from wavemill.model.train.metrics import peak_flops
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import LoopSettings, LoraSettings
from wavemill.model.train.step import Stepper

SHALLOW = {  # of `paper`: all widths, few layers
    "num_hidden_layers": 2, "kimia_mimo_layers": 1, "kimia_mimo_transformer_from_layer_index": 0,
}  # fmt: skip
SOUND = 200  # positions of sound in a document: 16 s
PROGRESS = Progress(0, 10**6, 10**9)


def rows(setting: Setting) -> Iterator[Row]:
    failed = []
    for part in (dense, whisper, divided, checkpoint, additions, small_weights, copies, compiled):
        try:
            yield from part(setting)
        except Exception as error:
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            failed.append(f"{part.__name__}: {text}")
        finally:
            if setting.cuda:
                torch.cuda.set_sync_debug_mode("default")
                torch.cuda.empty_cache()
    if failed:
        raise RuntimeError("; ".join(failed))


def dense(setting: Setting) -> Iterator[Row]:
    """The shallow `paper`, and `small`."""
    names = ("tiny",) if setting.shapes == "tiny" else (setting.shapes, "small")
    for name in dict.fromkeys(names):
        config, encoder = shapes(name, shallow=name == "paper")
        learner = random_learner(config, encoder, setting)
        batch = random_batch(config, encoder, positions(setting))
        yield from step(f"step of {name}", learner, batch, setting, precise(setting), details=True)


def step(
    what: str,
    learner: LlmLearner,
    batch: PackedBatch,
    setting: Setting,
    settings: LoopSettings,
    details: bool = False,
    item: int | None = None,
) -> Iterator[Row]:
    """Yield how fast a step is, its memory, and how often it waits for the device."""
    with setting.peak() as peak:
        stepper = Stepper(learner, settings, Ranks(device=setting.device))
        learner.fill()
        seconds = setting.seconds(partial(stepper, [batch], PROGRESS), setting.of(4, 1))
    yield Row(what, batch.units / seconds, "tokens/s", item=item)
    yield Row(f"{what}: peak memory", peak.gigabytes, "GB", item=item)
    if not details:
        return
    share = learner.flops(batch) / seconds / peak_flops(setting.device, bfloat16=setting.cuda)
    yield Row(f"{what}: of peak operations", 100 * share, "%", "45 % or more")
    moved = batch.to(setting.device)
    given = Progress(0, 10**6, 10**9, learner.counts(batch))

    def micro_batch() -> None:
        stepper.loss(MAIN, moved, given).total.backward()

    yield Row(f"{what}: waits in a micro-batch", waits(micro_batch, setting), "", "0", 7)
    if setting.cuda:
        torch.cuda.set_sync_debug_mode("error")
        micro_batch()  # raises where it waits; and with sound in bfloat16, where dtypes differ
        torch.cuda.set_sync_debug_mode("default")
    yield Row(f"{what}: rows of sound in {settings.precision}", len(batch.heard), "", "no error", 1)


def waits(run: Callable[[], object], setting: Setting) -> int:
    """Return how often a run makes the CPU wait for the GPU."""
    if not setting.cuda:
        run()
        return 0
    run()
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run()
    torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in seen)


def whisper(setting: Setting) -> Iterator[Row]:
    """Memory of the thawed encoder for a piece of 30 s, with and without recomputation."""
    for recompute in (False, True):
        config, encoder = shapes("tiny", False)[0], presets(setting.preset)[1]
        network = AcousticEncoder(encoder).to(setting.device)
        learner = LlmLearner(LearningLlm(AudioLlm(config), network))
        layers.prepare(learner.layers(), LoopSettings(recompute=recompute))
        mels = torch.randn(1, encoder.num_mel_bins, setting.of(3000, 400), device=setting.device)
        before = torch.cuda.memory_allocated() if setting.cuda else 0
        with setting.peak() as peak, torch.autocast(setting.device.type, torch.bfloat16):
            network.encode_together([mels])[0].sum().backward()
        name = "recomputed" if recompute else "kept"
        found = max(0.0, peak.bytes - before) / 1e9
        yield Row(f"Whisper's activations of 30 s, {name}", found, "GB", "recomputed: below 1", 2)


def divided(setting: Setting) -> Iterator[Row]:
    """FSDP2 with one worker: built on the meta device, and gathered group by group."""
    config, encoder = shapes(setting.shapes, shallow=True)
    with tempfile.TemporaryDirectory() as folder, one_worker(setting, folder):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with torch.device("meta"):
            network = LearningLlm(AudioLlm(config), AcousticEncoder(encoder))
        network.always_runs_all = True
        fill = partial(draw_tensors, seed=0, std=0.02)
        learner = LlmLearner(network, filled=lambda made: fill(made))
        batch = random_batch(config, encoder, positions(setting))
        settings = precise(setting).model_copy(update={"shard": True})
        yield from step("sharded step", learner, batch, setting, settings, item=5)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e9
        whole = 4 * sum(p.numel() for p in network.parameters()) / 1e9
        yield Row("host memory of a sharded start", grown, "GB", f"below {whole:.2g} (whole)", 4)


def checkpoint(setting: Setting) -> Iterator[Row]:
    """How long a training stands still for a checkpoint, and how long its writing takes."""
    config, encoder = shapes("tiny" if setting.quick else "small", False)
    learner = random_learner(config, encoder, setting)
    stepper = Stepper(learner, precise(setting), Ranks(device=setting.device))
    batch = random_batch(config, encoder, 256)
    stepper([batch], PROGRESS)
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder), Ranks(device=setting.device))
        began = setting.now()
        writer.begin(1, stepper.modules, stepper.optimizers, {})
        stood = setting.now() - began
        stepper([batch], PROGRESS)
        writer.settle(wait=True)
        whole = setting.now() - began
    yield Row("checkpoint: the training stands still", stood, "s", "less than the whole", 6)
    yield Row("checkpoint: written", whole, "s", item=6)


def additions(setting: Setting) -> Iterator[Row]:
    """LoRA on the whole network, its weights in bfloat16."""
    config, encoder = shapes(setting.shapes, shallow=False)
    learner = random_learner(config, encoder, setting, torch.bfloat16, LoraSettings())
    count = positions(setting)
    batch = random_batch(config, encoder, count)
    settings = precise(setting).model_copy(update={"weights": "bfloat16"})
    yield from step("LoRA, whole network", learner, batch, setting, settings, item=11)
    yield Row("LoRA: computed need", need(setting.preset, "lora", count).on(1) / 1e9, "GB", item=11)


def small_weights(setting: Setting) -> Iterator[Row]:
    """Weights in bfloat16 that are rounded at random."""
    config, encoder = shapes(setting.shapes, shallow=True)
    learner = random_learner(config, encoder, setting)
    settings = precise(setting).model_copy(update={"weights": "bfloat16"})
    batch = random_batch(config, encoder, positions(setting))
    yield from step("weights in bfloat16", learner, batch, setting, settings, item=11)


def compiled(setting: Setting) -> Iterator[Row]:
    """Layers that are compiled, recomputation included."""
    if setting.quick:  # a C++ compiler for a minute
        return
    config, encoder = shapes(setting.shapes, shallow=True)
    learner = random_learner(config, encoder, setting)
    settings = precise(setting).model_copy(update={"compile": True})
    batch = random_batch(config, encoder, positions(setting))
    yield from step("compiled", learner, batch, setting, settings, item=12)


def copies(setting: Setting) -> Iterator[Row]:
    """What a micro-batch takes to the device from pinned memory."""
    config, encoder = shapes(setting.shapes, shallow=True)
    batch = random_batch(config, encoder, positions(setting))
    held = batch.pinned() if setting.cuda else batch
    seconds = setting.seconds(lambda: held.to(setting.device))
    yield Row("a micro-batch to the device", 1000 * seconds, "ms", item=8)


def shapes(name: str, shallow: bool) -> tuple[LlmConfig, EncoderConfig]:
    wanted = "published" if name == "paper" else name
    config, encoder = preset(wanted), presets(wanted)[1]
    changed: dict[str, Any] = {"kimia_adaptor_input_dim": 4 * encoder.d_model}
    if shallow:
        changed |= SHALLOW
        encoder = encoder.model_copy(update={"encoder_layers": 2})
    return LlmConfig.model_validate(config.published() | changed), encoder


def positions(setting: Setting) -> int:
    return setting.of(8192 if setting.shapes == "paper" else 4096, 256)


def precise(setting: Setting) -> LoopSettings:
    return LoopSettings(precision="bfloat16" if setting.cuda else "float32", recompute=True)


def random_learner(
    config: LlmConfig,
    encoder: EncoderConfig,
    setting: Setting,
    dtype: torch.dtype = torch.float32,
    lora: LoraSettings | None = None,
) -> LlmLearner:
    """Return a learner whose network was drawn where it stays."""
    with torch.device("meta"):
        network = LearningLlm(AudioLlm(config), AcousticEncoder(encoder)).to(dtype)
    network.to_empty(device=setting.device)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                parameter.normal_(std=0.02)
    if lora is not None:
        adapt(network, matrices(network.llm), lora)
    return LlmLearner(network)


def random_batch(config: LlmConfig, encoder: EncoderConfig, count: int) -> PackedBatch:
    """Return a row of documents, each half sound and half text that is learnt, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    sound = min(SOUND, count // 4)
    documents = max(1, count // (2 * sound))
    length = count // documents
    audio = torch.randint(config.audio_offset, config.vocab_size, (count,), generator=generator)
    text = torch.randint(0, config.text_vocab, (count,), generator=generator)
    place = torch.arange(count) % length
    inside = torch.arange(count) < documents * length
    lengths = [length] * documents
    if (rest := count - documents * length) > 0:
        lengths.append(rest)
        place[-rest:] = torch.arange(rest)
    heard = (place < sound) & inside
    mels = torch.randn(documents, encoder.num_mel_bins, 8 * sound, generator=generator)
    numbers = tuple(range(documents))
    return PackedBatch(
        ids=tuple(str(n) for n in range(len(lengths))), tasks=("asr",) * len(lengths),
        lengths=tuple(lengths), audio_ids=audio, text_ids=text, audio_labels=audio,
        text_labels=text, audio_loss_mask=~heard, text_loss_mask=~heard, continuous=heard,
        position_ids=place, mels=(Mels(mels, numbers, (sound,) * documents),),
    )  # fmt: skip


class one_worker:
    """A process group of this process alone."""

    def __init__(self, setting: Setting, folder: str) -> None:
        self._backend = "nccl" if setting.cuda else "gloo"
        self._folder = folder

    def __enter__(self) -> None:
        dist.init_process_group(
            self._backend, f"file://{self._folder}/meeting", rank=0, world_size=1
        )

    def __exit__(self, *error: object) -> None:
        dist.destroy_process_group()
