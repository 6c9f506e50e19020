"""PocketSphinx restricted to a few words: which of them is said?

For closed sets, as a measure of how well speech can be understood; what the pipeline transcribes
with is `pocketsphinx`, whose acoustic model and dictionary these are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.transcribe.pocketsphinx import (
    ACOUSTIC_MODEL,
    DICTIONARY,
    DISTRIBUTION,
    SAMPLE_RATE,
    pcm16,
)

# A clip is brought to one level and put between stretches of faint noise: words that fill their
# clip have no silence to be told from, and digital silence is nothing that the model has heard. Of
# the 200 test recordings of the Free Spoken Digit Dataset, 155 are heard so, 126 as they are.
SILENCE_S = 0.2
LEVEL = 0.1  # root mean square of a clip
NOISE = 1e-3  # standard deviation
FAINTEST = 1e-5  # a clip below this level is silence
GRAMMAR = "words"


class ClosedSet:
    """Hears one of `words`, which are in PocketSphinx's English dictionary, or none."""

    def __init__(self, words: Sequence[str]) -> None:
        """Load the model; raises EngineUnavailable, and ValueError for a word it cannot hear."""
        try:
            from pocketsphinx import Decoder, get_model_path
        except ImportError as error:
            raise EngineUnavailable(
                f"package {DISTRIBUTION!r} is not installed; remedy: pip install {DISTRIBUTION}"
            ) from error
        self._decoder = Decoder(
            hmm=get_model_path(ACOUSTIC_MODEL),
            dict=get_model_path(DICTIONARY),
            lm=None,
            loglevel="FATAL",
        )
        for word in words:
            if self._decoder.lookup_word(word) is None:
                raise ValueError(f"{word!r} is not in the dictionary of PocketSphinx")
        grammar = f"#JSGF V1.0; grammar {GRAMMAR}; public <word> = {' | '.join(words)};"
        self._decoder.add_jsgf_string(GRAMMAR, grammar)
        self._decoder.activate_search(GRAMMAR)

    def hear(self, clip: np.ndarray) -> str | None:
        """Return the word of a clip, float32 (samples,) at 16 kHz; None where it hears none."""
        level = float(np.sqrt(np.mean(np.square(clip)))) if len(clip) else 0.0
        if level < FAINTEST:
            return None
        silence = round(SILENCE_S * SAMPLE_RATE)
        padded = np.pad(clip * (LEVEL / level), silence)
        padded = padded + NOISE * np.random.default_rng(0).standard_normal(len(padded))
        self._decoder.reinit_feat()  # a fresh front end: nothing is left of the last clip
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(pcm16(padded), full_utt=True)
        finally:
            self._decoder.end_utt()
        heard = self._decoder.hyp()
        return heard.hypstr if heard and heard.hypstr else None
