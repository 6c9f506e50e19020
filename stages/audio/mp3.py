"""Headers of MPEG audio frames (ISO 11172-3, 13818-3): where a frame begins, how long it is."""

from __future__ import annotations

HEADER_BYTES = 4
MPEG1, MPEG2 = 3, 2  # as two bits say; 0: MPEG 2.5
LAYER_1, LAYER_2 = 3, 2  # as two bits say; 1: layer III
# kbit/s by index, of MPEG 1 in layers I, II, III, then of MPEG 2 in layer I, and in II and III
BIT_RATES = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES = (44_100, 48_000, 32_000)  # of MPEG 1; half in MPEG 2, a quarter in MPEG 2.5


def is_mp3_frame(data: bytes | memoryview) -> bool:
    """Tell whether `data` begins as a frame does."""
    return len(data) >= 2 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0


def mp3_frame_bytes(header: bytes) -> int:
    """Return the length that four bytes state for the frame they begin; 0 where they do not."""
    if len(header) < HEADER_BYTES or not is_mp3_frame(header):
        return 0
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate_index, sample_rate_index = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 0 or not 1 <= rate_index <= 14 or sample_rate_index == 3:
        return 0
    sample_rate = SAMPLE_RATES[sample_rate_index] // {MPEG1: 1, MPEG2: 2}.get(version, 4)
    bit_rate = BIT_RATES[version == MPEG1, layer][rate_index - 1] * 1000
    padding = header[2] >> 1 & 1
    if layer == LAYER_1:
        return (12 * bit_rate // sample_rate + padding) * 4
    slots = 144 if layer == LAYER_2 or version == MPEG1 else 72
    return slots * bit_rate // sample_rate + padding


def last_mp3_frame(data: bytes) -> int | None:
    """Return where the frame begins that ends with `data`; None where there is none."""
    at = data.rfind(b"\xff")
    while at >= 0:
        if mp3_frame_bytes(data[at : at + HEADER_BYTES]) == len(data) - at:
            return at
        at = data.rfind(b"\xff", 0, at)
    return None
