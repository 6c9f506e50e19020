"""PocketSphinx 5 with the US English model of its wheel: no download, several times real time.

Up to three passes (Huggins-Daines et al. 2006, "PocketSphinx: a free, real-time continuous speech
recognition system for hand-held devices"): a lexicon tree, a flat lexicon over the words that the
first found, and the best path through the lattice of words, which gives posterior probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared
from wavemill.stages.engine import EngineConfig, EngineUnavailable, package_identity
from wavemill.stages.forked import in_fork
from wavemill.stages.transcribe.engine import TranscribeEngine, Transcript, Word
from wavemill.stages.transcribe.words import mean_confidence, words_from

DISTRIBUTION = "pocketsphinx"
SAMPLE_RATE = 16_000
WINDOW = 410  # samples of one analysis window; a shorter clip has no frame
ACOUSTIC_MODEL = "en-us/en-us"
LANGUAGE_MODEL = "en-us/en-us.lm.bin"
DICTIONARY = "en-us/cmudict-en-us.dict"


class PocketSphinxConfig(EngineConfig):
    """What the model assumes, and PocketSphinx's own parameters under their own names.

    The defaults were chosen on speed and word errors: see benchmarks/transcription.md.
    """

    assume_language: str = "en"  # stands in every transcript; nothing is identified
    silence_dbfs: float = Field(-60.0, le=0)  # a clip whose peak is below has no speech

    maxhmmpf: int = Field(3000, ge=-1)  # most states kept alive per frame; -1: no limit
    maxwpf: int = Field(-1, ge=-1)  # most words ending per frame; -1: no limit
    beam: float = Field(1e-48, gt=0, le=1)  # of the first pass, relative to the best path
    pbeam: float = Field(1e-48, gt=0, le=1)  # into a next phone
    lpbeam: float = Field(1e-40, gt=0, le=1)  # into the last phone of a word
    lponlybeam: float = Field(7e-29, gt=0, le=1)  # into the only phone of a word
    wbeam: float = Field(7e-29, gt=0, le=1)  # out of a word
    pl_window: int = Field(5, ge=0)  # frames that the phone loop looks ahead
    pl_weight: float = Field(3.0, ge=0)  # of the penalties that it gives
    topn: int = Field(4, ge=1)  # Gaussians evaluated per codebook
    ds: int = Field(1, ge=1)  # Gaussians are evaluated at every so many frames
    fwdflat: bool = False  # second pass: costs a quarter of the speed, gains nothing clear
    fwdflatbeam: float = Field(1e-64, gt=0, le=1)
    fwdflatwbeam: float = Field(7e-29, gt=0, le=1)
    bestpath: bool = True  # third pass
    lw: float = Field(6.5, gt=0)  # weight of the language model, first pass
    fwdflatlw: float = Field(8.5, gt=0)  # second pass
    bestpathlw: float = Field(9.5, gt=0)  # third pass
    remove_noise: bool = False  # spectral subtraction: no clear gain on enhanced audio

    def decoder_options(self) -> dict[str, Any]:
        """Return the parameters that are PocketSphinx's own."""
        return self.model_dump(exclude={"assume_language", "silence_dbfs"})


WEIGHTS = tuple(
    BundledFile(
        "pocketsphinx",
        "pocketsphinx",
        f"model/en-us/{name}",
        "",
        licence="BSD-2-Clause",
        source="https://github.com/cmusphinx/pocketsphinx",
        size=size,
    )
    for name, size in {
        "en-us.lm.bin": 27_114_385,
        "cmudict-en-us.dict": 3_275_645,
        "en-us/mdef": 2_959_176,
        "en-us/means": 838_732,
        "en-us/variances": 838_732,
        "en-us/sendump": 1_969_024,
        "en-us/transition_matrices": 2080,
    }.items()
)


class PocketSphinx(TranscribeEngine[PocketSphinxConfig]):
    """English, with word times and lattice posteriors as confidences."""

    name = "pocketsphinx"
    version = 2
    Config = PocketSphinxConfig
    packages = (DISTRIBUTION,)

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE

    def weights_identity(self) -> str:
        return package_identity(DISTRIBUTION)

    def weights(self) -> Sequence[Declared]:
        return WEIGHTS

    def thresholds(self) -> Mapping[str, float]:
        """Read English has 0.5 to 0.7, meetings 0.2 to 0.8; music 0.34, Mandarin 0.22."""
        return {"min_asr_confidence": 0.35}

    def load(self, device: str) -> None:  # noqa: ARG002 (runs on the CPU, whatever the device)
        try:
            from pocketsphinx import Decoder, get_model_path
        except ImportError as error:
            raise EngineUnavailable(
                f"package {DISTRIBUTION!r} is not installed; remedy: pip install {DISTRIBUTION}"
            ) from error
        options = self.config.decoder_options()
        self._decoder = Decoder(
            hmm=get_model_path(ACOUSTIC_MODEL),
            lm=get_model_path(LANGUAGE_MODEL),
            dict=get_model_path(DICTIONARY),
            loglevel="FATAL",
            **options,
        )
        # The model's own feature parameters have overwritten this one; `reinit_feat` reads it.
        self._decoder.config["remove_noise"] = options["remove_noise"]

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        """As the base class says. Raises ForkDied when the decoder crashes on a clip.

        Each clip is decoded in a fork: the decoder keeps the best codewords of the last frame for
        the next utterance, which shifts confidences by up to 1e-5 and depends on what was decoded
        before. A new decoder for each clip would take longer than most clips.
        """
        return [self._transcribe(clip) for clip in clips]

    def _transcribe(self, clip: np.ndarray) -> Transcript:
        words: tuple[Word, ...] = ()
        if clip.size >= WINDOW and _peak_dbfs(clip) >= self.config.silence_dbfs:
            words = in_fork(self._words, clip)
        return Transcript(
            text=" ".join(word.word for word in words),
            words=words,
            language=self.config.assume_language,
            asr_confidence=mean_confidence(words),
        )

    def _words(self, clip: np.ndarray) -> tuple[Word, ...]:
        self._decode(pcm16(clip))
        # `seg` is None where no path was found.
        return words_from(self._decoder.seg() or (), clip.size * 1000 // SAMPLE_RATE)

    def _decode(self, pcm: bytes) -> None:
        # A fresh front end: the noise estimate of one utterance would enter the next.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        try:
            # As a whole, so that the cepstral mean is that of this utterance.
            self._decoder.process_raw(pcm, full_utt=True)
        finally:
            self._decoder.end_utt()


def pcm16(clip: np.ndarray) -> bytes:
    """Return float32 (samples,), full scale 1.0, as 16 bit samples."""
    return np.clip(np.rint(clip * 32768), -32768, 32767).astype("<i2").tobytes()


def _peak_dbfs(clip: np.ndarray) -> float:
    peak = float(np.max(np.abs(clip)))
    return 20 * float(np.log10(peak)) if peak > 0 else -np.inf
