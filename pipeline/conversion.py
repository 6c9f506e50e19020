"""Voice conversion: what one recording says, as the voice of another would sound saying it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wavemill.model.assistant import SEMANTIC_FOLDER
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.io.folders import resolve
from wavemill.model.tokenizer import kmeans
from wavemill.model.tokenizer.kmeans import KMeansTokenizer
from wavemill.model.tokenizer.semantic import SemanticTokenizer
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.library.sound import SAMPLE_RATE, sound_of
from wavemill.pipeline.listeners import transcriber_of
from wavemill.stages.audio.resample import resample
from wavemill.stages.diarize.campplus import WEIGHTS as VOICE_WEIGHTS
from wavemill.stages.tokenize.codebook import SHIPPED, codebook_identity, load_codebook


class Converter:
    """A detokenizer, and the tokenizer whose tokens it was trained on."""

    def __init__(self, source: str, semantic: str | None = None, device: str = "cpu") -> None:
        """Read a folder or hub id.

        `semantic` is a folder or hub id; by default the tokenizer in the detokenizer's folder, or
        the codebook that ships with the package, if it has as many tokens. Raises WeightsError and
        ConfigError.
        """
        self.detokenizer = Detokenizer.from_pretrained(source, device)
        self._tokenizer = _tokenizer(resolve(source), semantic, self.tokens, device)
        self._device = device

    @property
    def tokens(self) -> int:
        return self.detokenizer.config.flow.semantic_vocab_size

    @property
    def sample_rate(self) -> int:
        """Of what comes out, in Hz."""
        return self.detokenizer.config.vocoder.sampling_rate

    def __call__(self, recording: Path, voice: Path, seed: int = 0) -> np.ndarray:
        """Return a recording in another voice, float32 (samples,) at `sample_rate`.

        `voice` is a recording of it, 3 to 15 seconds long. Raises ConfigError.
        """
        (said, sample) = self._tokenizer.encode(
            [sound_of(recording, SAMPLE_RATE), sound_of(voice, SAMPLE_RATE)]
        )
        played = torch.from_numpy(sound_of(voice, self.sample_rate))
        try:
            history = self.detokenizer.voice(torch.as_tensor(sample), played)
        except ValueError as error:
            raise ConfigError(f"--voice: {voice}: {error}") from None
        draw = torch.Generator().manual_seed(seed)
        return self.detokenizer.decode(torch.as_tensor(said), draw, history).cpu().numpy()


@dataclass(frozen=True)
class Likeness:
    """What became of a recording: whose voice it has now, and whether its words are kept."""

    to_voice: float | None  # cosine of CAM++ embeddings; None: less than a second
    to_source: float | None
    before: str  # what the transcriber hears in the recording
    after: str  # and in the result


def likeness(
    recording: Path, voice: Path, made: np.ndarray, rate: int, profile: str = "embedded"
) -> Likeness:
    """Compare a result, float32 (samples,), with what it was made of.

    Raises ConfigError and EngineUnavailable.
    """
    from wavemill.stages.diarize.campplus_network import CamPlusPlus, clip_vector

    network = CamPlusPlus.load(VOICE_WEIGHTS.checked(), "cpu")
    listener = transcriber_of(profile)

    def cosine(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
        return None if one is None or other is None else float(one @ other)

    mine = clip_vector(network, resample(made, rate, SAMPLE_RATE))
    clips = [sound_of(recording, listener.sample_rate), resample(made, rate, listener.sample_rate)]
    before, after = (transcript.text for transcript in listener.transcribe(clips))
    return Likeness(
        cosine(mine, clip_vector(network, sound_of(voice, SAMPLE_RATE))),
        cosine(mine, clip_vector(network, sound_of(recording, SAMPLE_RATE))),
        before,
        after,
    )


def _tokenizer(
    folder: Path, given: str | None, tokens: int, device: str
) -> KMeansTokenizer | SemanticTokenizer:
    for place in (given, folder / kmeans.FOLDER):
        if place is not None and (Path(place) / kmeans.CODEBOOK_FILE).is_file():
            return KMeansTokenizer.from_pretrained(Path(place))
    if given is not None or (folder / SEMANTIC_FOLDER).is_dir():
        return SemanticTokenizer.from_pretrained(given or folder / SEMANTIC_FOLDER, device)
    codebook = load_codebook(SHIPPED)
    if len(codebook.centroids) != tokens:
        raise ConfigError(
            f"{folder} has no tokenizer, and the one that ships with the package has "
            f"{len(codebook.centroids)} tokens, not {tokens}; remedy: --semantic FOLDER"
        )
    return KMeansTokenizer(codebook, f"kmeans {codebook_identity(SHIPPED)}")
