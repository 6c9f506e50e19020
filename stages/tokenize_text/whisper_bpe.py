"""The multilingual byte-pair encoding that ships inside `openai-whisper`."""

from __future__ import annotations

from collections.abc import Sequence

from wavemill.model.prompt import whisper_bpe
from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared
from wavemill.stages.engine import EngineConfig, EngineUnavailable, package_identity
from wavemill.stages.tokenize_text.engine import TextTokenizeEngine

WEIGHTS = BundledFile(
    whisper_bpe.DISTRIBUTION,
    "whisper",
    "assets/multilingual.tiktoken",
    "b34b360dbb493e781e479794586d661700670d65564001f23024971d1f2fa126",
    licence="MIT",
    source="https://github.com/openai/whisper",
    size=816_730,
)


class WhisperBpe(TextTokenizeEngine[EngineConfig]):
    """Ids of `whisper.tokenizer.get_tokenizer(multilingual=True)`."""

    name = "whisper_bpe"
    version = 1
    packages = (whisper_bpe.DISTRIBUTION,)

    _tokenizer: whisper_bpe.WhisperBpe

    @property
    def vocab_size(self) -> int:
        return int(self._tokenizer.encoding.n_vocab)

    def weights_identity(self) -> str:
        return package_identity(whisper_bpe.DISTRIBUTION)

    def weights(self) -> Sequence[Declared]:
        return (WEIGHTS,)

    def load(self, device: str) -> None:
        """Build the encoding; `device` does not matter."""
        del device
        try:
            self._tokenizer = whisper_bpe.WhisperBpe()
        except ModuleNotFoundError as error:
            raise EngineUnavailable(
                f"{error}; remedy: pip install {whisper_bpe.DISTRIBUTION}"
            ) from error

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return ids; "<|endoftext|>" in a text is encoded letter by letter, never as a token."""
        return [self._tokenizer.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids)
