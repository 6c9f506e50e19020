"""Train the smallest Whisper that says what it hears: ten English digits.

    python -m examples.digits_whisper.train tests/data/digits-whisper.pt

Reads the folder `digits` of WAVEMILL_AUDIO (default: ../shared/audio). Writes the format of
`openai-whisper` ({"dims", "model_state_dict"}, float16), so that tests and benchmarks can assert
text. Figures: README.md beside this file.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FRAMES, SAMPLE_RATE, log_mel_spectrogram
from whisper.decoding import DecodingOptions, decode
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT = 5  # recordings 0 to 4 of each digit and speaker are never trained on
MULTILINGUAL_VOCABULARY = 51_865
DIMENSIONS = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,  # the package pads every window to 30 s and its encoder accepts nothing else
    n_audio_state=32,
    n_audio_head=4,
    n_audio_layer=2,
    n_vocab=MULTILINGUAL_VOCABULARY,
    n_text_ctx=64,  # half of it is the longest transcript of a window
    n_text_state=32,
    n_text_head=4,
    n_text_layer=2,
)
END_STEP = 0.5  # s: ends are rounded up to it, or the model would be unsure of every end
IGNORED = -100  # target of padding in the loss


@dataclass(frozen=True)
class Options:
    """How long and on what to train."""

    seed: int = 0
    short_steps: int = 1500  # on windows of `short_frames`: an eighth of the work
    short_frames: int = 400
    long_steps: int = 120  # then on windows of 30 s: what the package gives the model
    short_batch: int = 32
    long_batch: int = 8
    short_rate: float = 3e-3  # highest learning rates
    long_rate: float = 1.5e-3
    most_digits: int = 3  # in one clip
    silent_share: float = 0.1  # of clips without speech


@dataclass(frozen=True)
class Vocabulary:
    """The few tokens that are trained; all others share one vector, the last of the table."""

    used: tuple[int, ...]

    @classmethod
    def of_digits(cls) -> Vocabulary:
        t = get_tokenizer(True, language="en", task="transcribe")
        stamps = range(t.timestamp_begin, t.timestamp_begin + 1501)
        words = [t.encode(" " + name)[0] for name in NAMES]
        return cls((*words, t.eot, *t.sot_sequence, t.no_speech, t.no_timestamps, *stamps))

    def __len__(self) -> int:
        return len(self.used) + 1

    def ids(self, tokens: list[int]) -> list[int]:
        return [self.used.index(token) for token in tokens]

    @property
    def log_unused(self) -> float:
        """What to add to the shared logit, so that it counts for all tokens that share it."""
        return math.log(MULTILINGUAL_VOCABULARY - len(self.used))

    def expanded(self, table: Tensor) -> Tensor:
        """Return the embedding (51865, n_state) of the whole vocabulary."""
        full = table[-1].repeat(MULTILINGUAL_VOCABULARY, 1)
        full[list(self.used)] = table[:-1]
        return full


@dataclass(frozen=True)
class Digits:
    """Spoken digits at 16 kHz: `clips[d]` are the recordings of digit d."""

    clips: tuple[tuple[np.ndarray, ...], ...]

    @classmethod
    def read(cls, folder: Path, held_out: bool) -> Digits:
        clips: list[list[np.ndarray]] = [[] for _ in NAMES]
        for path in sorted(folder.glob("*.wav")):
            digit, _, index = path.stem.split("_")
            if (int(index) < HELD_OUT) == held_out:
                samples, rate = soundfile.read(path, dtype="float32")
                clips[int(digit)].append(soxr.resample(samples, rate, SAMPLE_RATE))
        return cls(tuple(map(tuple, clips)))


class Examples:
    """Makes clips with one to three digits, with silence around, noise, and any level."""

    def __init__(self, digits: Digits, options: Options) -> None:
        self.digits = digits
        self.options = options
        self.random = np.random.default_rng(options.seed)
        self.tokenizer = get_tokenizer(True, language="en", task="transcribe")

    def clip(self) -> tuple[np.ndarray, list[int]]:
        """Return samples and the digits in them (none: silence or noise)."""
        random = self.random
        if random.random() < self.options.silent_share:
            samples = np.zeros(int(random.uniform(0.2, 3) * SAMPLE_RATE), np.float32)
            return self._with_noise(samples, random.uniform(0, 0.05)), []
        # Most clips hold one digit: it is the words that are hard to learn, not to count them.
        count = (
            1 if random.random() < 0.7 else int(random.integers(2, self.options.most_digits + 1))
        )
        said = [int(digit) for digit in random.integers(0, 10, count)]
        parts = [self._silence(0.3)]
        for digit in said:
            of_digit = self.digits.clips[digit]
            spoken = of_digit[random.integers(len(of_digit))]
            if random.random() < 0.3:  # another pace and pitch
                spoken = soxr.resample(spoken, SAMPLE_RATE, SAMPLE_RATE * random.uniform(0.9, 1.1))
            parts += [spoken, self._silence(0.3)]
        longest = (self.options.short_frames - 10) * HOP_LENGTH
        samples = np.concatenate(parts)[:longest] * np.exp(random.uniform(-1.5, 0.7))
        return self._with_noise(samples, np.exp(random.uniform(-12, -4))), said

    def _silence(self, longest: float) -> np.ndarray:
        # Half of them none: the test clips begin and end with speech.
        seconds = max(self.random.uniform(-longest, longest), 0)
        return np.zeros(int(seconds * SAMPLE_RATE), np.float32)

    def _with_noise(self, samples: np.ndarray, level: float) -> np.ndarray:
        if self.random.random() < 0.5:
            return samples
        return samples + level * self.random.standard_normal(samples.size)

    def mel(self, samples: np.ndarray, frames: int) -> Tensor:
        """Return (80, frames), padded as the package does for decoding, or for languages."""
        audio = torch.from_numpy(samples.astype(np.float32))
        mel = log_mel_spectrogram(audio, DIMENSIONS.n_mels, padding=SAMPLE_RATE)
        content = samples.size // HOP_LENGTH
        value = 0.0 if self.random.random() < 0.7 else float(mel.min())
        return F.pad(mel[:, :content], (0, frames - content), value=value)

    def tokens(self, samples: np.ndarray, said: list[int]) -> list[int]:
        t = self.tokenizer
        if not said:
            return [t.sot, t.no_speech]
        text = [t.encode(" " + NAMES[digit])[0] for digit in said]
        if self.random.random() < 0.5:
            return [*t.sot_sequence, t.no_timestamps, *text, t.eot]
        end = math.ceil(samples.size / SAMPLE_RATE / END_STEP) * END_STEP
        end_token = t.timestamp_begin + round(end / 0.02)
        return [*t.sot_sequence, t.timestamp_begin, *text, end_token, t.eot]

    def batch(self, size: int, frames: int, vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
        """Return mels (size, 80, frames) and token ids (size, longest), padded with IGNORED."""
        made = [self.clip() for _ in range(size)]
        mels = torch.stack([self.mel(samples, frames) for samples, _ in made])
        rows = [torch.tensor(vocabulary.ids(self.tokens(*clip))) for clip in made]
        return mels, torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)


def encode(model: Whisper, mel: Tensor) -> Tensor:
    """Run the encoder on a window of any length; the package's own insists on 30 s."""
    encoder = model.encoder
    x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).permute(0, 2, 1)
    x = x + encoder.positional_embedding[: x.shape[1]]
    for block in encoder.blocks:
        x = block(x)
    return encoder.ln_post(x)


def loss_of(model: Whisper, mel: Tensor, ids: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Return the mean cross-entropy over the whole vocabulary."""
    features = encode(model, mel)
    logits = model.decoder(ids[:, :-1].clamp(min=0), features)
    logits = torch.cat([logits[..., :-1], logits[..., -1:] + vocabulary.log_unused], dim=-1)
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=IGNORED)


def new_model(vocabulary: Vocabulary) -> Whisper:
    """Return a model whose embedding holds only what is trained."""
    model = Whisper(replace(DIMENSIONS, n_vocab=len(vocabulary)))
    torch.nn.init.normal_(model.decoder.token_embedding.weight, std=0.1)
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.1)
    return model


@dataclass(frozen=True)
class Phase:
    """Some steps on windows of one length, with a learning rate that rises and falls."""

    steps: int
    frames: int
    batch: int
    rate: float


def train(model: Whisper, examples: Examples, phase: Phase, vocabulary: Vocabulary) -> None:
    """Train `model` in place."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=phase.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, phase.rate, total_steps=phase.steps, pct_start=0.1
    )
    started = time.perf_counter()
    for step in range(phase.steps):
        mel, ids = examples.batch(phase.batch, phase.frames, vocabulary)
        loss = loss_of(model, mel, ids, vocabulary)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == phase.steps - 1:
            seconds = time.perf_counter() - started
            print(f"step {step:5d}  loss {loss.item():.3f}  {seconds:6.1f} s", flush=True)


def restore(model: Whisper, vocabulary: Vocabulary, path: Path) -> None:
    """Load what `save` wrote into a model that holds only what is trained."""
    state = torch.load(path, weights_only=True)["model_state_dict"]
    table = "decoder.token_embedding.weight"
    unused = next(i for i in range(MULTILINGUAL_VOCABULARY) if i not in vocabulary.used)
    state[table] = state[table][[*vocabulary.used, unused]]
    model.load_state_dict(state)


def save(model: Whisper, vocabulary: Vocabulary, path: Path) -> None:
    """Write the package's format, float16, with the embedding of the whole vocabulary."""
    state = model.state_dict()
    table = "decoder.token_embedding.weight"
    state[table] = vocabulary.expanded(state[table])
    half = {name: tensor.half() for name, tensor in state.items()}
    torch.save({"dims": asdict(DIMENSIONS), "model_state_dict": half}, path)


def accuracy(path: Path, digits: Digits) -> float:
    """Return the share of clips whose text, by the package itself, is exactly the digit."""
    import whisper

    model = whisper.load_model(str(path), device="cpu")
    right = total = 0
    for digit, clips in enumerate(digits.clips):
        mels = []
        for clip in clips:
            mel = log_mel_spectrogram(torch.from_numpy(clip), padding=SAMPLE_RATE)
            content = clip.size // HOP_LENGTH
            mels.append(F.pad(mel[:, :content], (0, N_FRAMES - content)))
        found = decode(model, torch.stack(mels), DecodingOptions(fp16=False))
        right += sum(result.text == NAMES[digit] for result in found)
        total += len(found)
    return right / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start-from", type=Path, help="a checkpoint that this script wrote")
    parser.add_argument("--short-steps", type=int, default=Options.short_steps)
    parser.add_argument("--long-steps", type=int, default=Options.long_steps)
    arguments = parser.parse_args()
    options = Options(short_steps=arguments.short_steps, long_steps=arguments.long_steps)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    folder = Path(os.environ.get("WAVEMILL_AUDIO", "../shared/audio")) / "digits"
    vocabulary = Vocabulary.of_digits()
    examples = Examples(Digits.read(folder, held_out=False), options)
    model = new_model(vocabulary)
    if arguments.start_from:
        restore(model, vocabulary, arguments.start_from)
    for phase in (
        Phase(options.short_steps, options.short_frames, options.short_batch, options.short_rate),
        Phase(options.long_steps, N_FRAMES, options.long_batch, options.long_rate),
    ):
        if phase.steps:
            train(model, examples, phase, vocabulary)
    save(model, vocabulary, arguments.out)
    share = accuracy(arguments.out, Digits.read(folder, held_out=True))
    size = arguments.out.stat().st_size / 1e6
    print(f"held-out digits right: {100 * share:.1f} %; {size:.1f} MB")


if __name__ == "__main__":
    main()
