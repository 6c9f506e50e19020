"""The kind of a file, by the ending of its name or by its first bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

HEAD_BYTES = 4096  # enough for two frames of MP3 and three packets of a transport stream


class FileKind(StrEnum):
    """Kinds of files, which a scan treats differently."""

    AUDIO = "audio"  # video with sound, too
    TAR = "tar"
    MANIFEST = "manifest"
    LABEL = "label"  # one recording's, in a tar file
    ARCHIVE = "archive"
    TABLE = "table"
    TEXT = "text"
    UNFINISHED = "unfinished"  # a download that is not complete
    CLUTTER = "clutter"  # found beside recordings, without information on them
    SPECIAL = "special"  # pipes, devices, links to nowhere
    OTHER = "other"


# fmt: off
_ENDINGS = {
    # Formats of audio and video that FFmpeg decodes. `.ts` may be TypeScript, so the content
    # decides, as for all endings that are not listed.
    FileKind.AUDIO: """
        3g2 3ga 3gp 3gpp aa3 aac ac3 adts aif aifc aiff amr ape asf au avi awb bwf caf dff divx dsf
        dts eac3 ec3 f4a f4v flac flv m1a m2a m4a m4b m4r m4v mka mkv mlp mov mp+ mp1 mp2 mp3 mp4
        mpa mpc mpeg mpg mpga mpp mxf oga ogg ogm ogv ogx oma opus qt ra rf64 rm rmvb shn snd sph
        spx tak thd tta voc vob w64 wav wave weba webm wma wmv wv""",
    FileKind.TAR: "tar",
    FileKind.MANIFEST: "jsonl ndjson jsonlines jl json",
    FileKind.ARCHIVE: """
        7z ace arj bz2 cab gz iso lha lz lz4 lzh lzma rar tbz tbz2 tgz txz xz z zip zst zstd""",
    FileKind.TABLE: """
        arrow avro csv db duckdb feather h5 hdf5 lance mdb ods orc parquet sqlite sqlite3 tsv xls
        xlsb xlsm xlsx""",
    FileKind.TEXT: """
        ass cha cls ctm eaf flab lab lbl lrc phn rttm sbv smi srt ssa stm sub textgrid trans
        transcript transcription trs ttml txt vtt wrd xml""",
    FileKind.UNFINISHED: "aria2 crdownload download part partial opdownload tmp ytdl",
    FileKind.CLUTTER: """
        accurip asd avif bat bib bmp c cfg conf cpp css cue db-journal dll doc docx exe ffp gif
        h heic htm html ico inc ini ipynb jpeg jpg js lnk lock log m3u m3u8 md md5 mid midi nfo npy
        npz odt pdf peak pek pickle pkl pls png ppt pptx pt pth ps1 psd py pyc pyd reapeaks rst rtf
        sfk sfv sh sha1 sha256 sha512 so svg tex tif tiff toml torrent url webp wpl xspf yaml
        yml""",
}
# fmt: on
_KINDS = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}
_CLUTTER_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_LABEL_ENDINGS = (".json", ".txt")
_COMPRESSED = frozenset({"gz", "bz2", "xz", "zst", "lz4", "z"})
_ENDING = re.compile(r"[a-z0-9+_-]{0,11}[a-z+][a-z0-9+_-]{0,11}")  # a number is none

_CONTAINERS = (
    b"RF64", b"BW64", b"RIFX", b"riff\x2e\x91\xcf\x11", b"fLaC", b"OggS", b"ID3", b"NIST_1A",
    b".snd", b"caff", b"#!AMR", b"MAC ", b"wvpk", b"TTA1", b"TTA2", b"MPCK", b"MP+", b"DSD ",
    b"FRM8", b"tBaK", b"ajkg", b"ADIF", b"FLV\x01", b".RMF", b".ra\xfd", b"Creative Voice File",
    b"\x1aE\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"\x00\x00\x01\xba",
    b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80", b"\x06\x0e\x2b\x34\x02\x05\x01\x01",
)  # fmt: skip
_RIFF_FORMS = (b"WAVE", b"AVI ", b"CDXA", b"XWMA", b"QLCM", b"RMP3")
_FORM_TYPES = (b"AIFF", b"AIFC", b"8SVX")
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # of QuickTime and MP4
_OTHERS = {
    b"\x1f\x8b": FileKind.ARCHIVE, b"PK\x03\x04": FileKind.ARCHIVE, b"BZh": FileKind.ARCHIVE,
    b"7z\xbc\xaf": FileKind.ARCHIVE, b"Rar!": FileKind.ARCHIVE, b"\xfd7zXZ": FileKind.ARCHIVE,
    b"\x28\xb5\x2f\xfd": FileKind.ARCHIVE, b"PAR1": FileKind.TABLE, b"ARROW1": FileKind.TABLE,
    b"SQLite format 3": FileKind.TABLE, b"\x89HDF": FileKind.TABLE,
    b"{": FileKind.MANIFEST, b"\xef\xbb\xbf{": FileKind.MANIFEST, b"[": FileKind.MANIFEST,
    b"\xff\xfe{\0": FileKind.MANIFEST, b"\xfe\xff\0{": FileKind.MANIFEST,
}  # fmt: skip

_PACKET = 188  # bytes of a packet of an MPEG transport stream
_MP3_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def ending_of(name: str) -> str:
    """Return the ending of a file name in small letters, `tar.gz` as one; "" without one."""
    stem, dot, ending = name.lower().rpartition(".")
    if not dot or not stem or not _ENDING.fullmatch(ending):
        return ""
    inner = stem.rpartition(".")[2]
    return f"{inner}.{ending}" if ending in _COMPRESSED and inner in _KINDS else ending


def kind_by_name(name: str) -> FileKind | None:
    """Return the kind by the ending of a file name; None if the ending does not decide."""
    if name.lower() in _CLUTTER_NAMES or name.endswith("~"):
        return FileKind.CLUTTER
    inner, _, outer = ending_of(name).rpartition(".")
    if inner and _KINDS[inner] is FileKind.MANIFEST and outer == "gz":
        return FileKind.MANIFEST
    return _KINDS.get(outer)


def has_audio_ending(name: str) -> bool:
    """Whether a name has an ending of audio, in small or capital letters."""
    return kind_by_name(name) is FileKind.AUDIO


def is_label(name: str) -> bool:
    """Whether a member of a tar file is named like a label."""
    return name.lower().endswith(_LABEL_ENDINGS)


def kind_by_head(head: bytes) -> FileKind:
    """Return the kind by the first HEAD_BYTES of a file; MANIFEST if they look like JSON."""
    if _is_audio(head):
        return FileKind.AUDIO
    if head[257:262] == b"ustar":
        return FileKind.TAR
    return next((kind for mark, kind in _OTHERS.items() if head.startswith(mark)), FileKind.OTHER)


def _is_audio(head: bytes) -> bool:
    return (
        head.startswith(_CONTAINERS)
        or (head.startswith(b"RIFF") and head[8:12] in _RIFF_FORMS)
        or (head.startswith(b"FORM") and head[8:12] in _FORM_TYPES)
        or head[4:8] in _BOXES
        or _is_transport_stream(head)
        or _begins_frames(head, _mpeg_frame_bytes)
        or _begins_frames(head, _adts_frame_bytes)
        or _begins_frames(head, _ac3_frame_bytes)
    )


def _is_transport_stream(head: bytes) -> bool:
    # Blu-ray puts a time before each packet.
    return any(
        head[first :: _PACKET + first][:3] == b"\x47" * 3 and len(head) > 2 * _PACKET
        for first in (0, 4)
    )


def _begins_frames(head: bytes, frame_bytes: Callable[[bytes], int]) -> bool:
    """Whether `head` begins with a frame that is followed by another one or by nothing."""
    size = frame_bytes(head)
    return size > 0 and (frame_bytes(head[size:]) > 0 or len(head) == size)


def _mpeg_frame_bytes(head: bytes) -> int:
    """Return the bytes of a frame of MPEG audio (ISO 11172-3, 2.4.1.3); 0 if there is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, kbps_index = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or kbps_index in (0, 15):
        return 0
    table = (1, layer) if version == 3 else (2, min(layer, 2))
    bits = _MP3_KBPS[table][kbps_index - 1] * 1000
    rate, padding = _MP3_RATES[version][rate_index], head[2] >> 1 & 1
    if layer == 1:
        return (12 * bits // rate + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // rate + padding


def _adts_frame_bytes(head: bytes) -> int:
    """Return the bytes of a frame of AAC in ADTS (ISO 13818-7, 6.2); 0 if there is none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size if size > 7 else 0


def _ac3_frame_bytes(head: bytes) -> int:
    """Return the bytes of a frame of AC-3 or E-AC-3 (ETSI TS 102 366); 0 if there is none."""
    if len(head) < 6 or not head.startswith(b"\x0b\x77"):
        return 0
    version = head[5] >> 3
    if 10 < version <= 16:  # E-AC-3
        return 2 * ((head[2] & 7) << 8 | head[3]) + 2
    rate, index = head[4] >> 6, head[4] & 63
    if version > 10 or rate == 3 or index > 37:
        return 0
    kbps = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
    words = kbps[index // 2] * 96 // (48, 44.1, 32)[rate]
    return 2 * (int(words) + (index & 1 if rate == 1 else 0))
