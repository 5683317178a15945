"""Sound and film outside of the ISO format: RIFF, Ogg, Matroska, and streams of frames."""

from __future__ import annotations

from collections.abc import Callable

from .view import Mismatch, Structure, View

# Bytes in which the first frame must begin: recorders and taggers leave zeros and scraps before it.
_LEAD = 8192
#: Bytes of the frame that has this header; 0 for what is no header.
FrameLength = Callable[[bytes], int]
# Chunks, pages or elements before the one that tells.
_STEPS = 64


def wave(view: View) -> None:
    """Multimedia Programming Interface 1.0 (and RF64, and RIFX of the other byte order): a format before any sound."""
    _riff_chunk(view, b"fmt ")


def avi(view: View) -> None:
    """A list of headers."""
    at = _riff_chunk(view, b"LIST")
    if view.at(at + 8, 4) != b"hdrl":
        raise Mismatch


def _riff_chunk(view: View, wanted: bytes) -> int:
    at, header = 12, ">4sI" if view.at(0, 4) == b"RIFX" else "<4sI"
    for _ in range(_STEPS):
        name, length = view.unpack(header, at)
        if name == wanted:
            return at
        if name == b"data":
            break
        at += 8 + length + length % 2
    raise Mismatch


_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ", b"PCM     ")
_FILM = (b"\x80theora", b"BBCD\0", b"OVP80", b"\x01video")


def ogg(*, sound: bool = True, film: bool = True, only: bytes | None = None) -> Structure:
    """RFC 3533: a check that looks at the codec of every stream that begins at the beginning."""

    def check(view: View) -> None:
        begins = _first_packets(view)
        if only and not any(packet.startswith(only) for packet in begins):
            raise Mismatch(_ogg_noun(begins))
        has_film = any(packet.startswith(_FILM) for packet in begins)
        if (has_film and not film) or (
            not has_film and not sound and any(p.startswith(_SOUND) for p in begins)
        ):
            raise Mismatch(_ogg_noun(begins))

    return check


def _ogg_noun(begins: list[bytes]) -> str:
    return "an Ogg video" if any(packet.startswith(_FILM) for packet in begins) else "an Ogg sound file"


def _first_packets(view: View) -> list[bytes]:
    packets: list[bytes] = []
    at = 0
    while len(packets) < _STEPS:
        magic, flags, segments = view.unpack("<4sxB20xB", at)
        if magic != b"OggS":
            raise Mismatch
        if not flags & 2:
            break
        length = sum(view.at(at + 27, segments))
        packets.append(view.at(at + 27 + segments, min(length, 8)))
        at += 27 + segments + length
        if view.size is not None and at >= view.size:
            break
    if not packets:
        raise Mismatch
    return packets


def matroska(*doc_types: bytes) -> Structure:
    """RFC 8794, 11.2: a check of the document type in the EBML header."""

    def check(view: View) -> None:
        found = doc_type(view)
        if found not in doc_types:
            raise Mismatch({b"webm": "a WebM video", b"matroska": "a Matroska video"}.get(found))

    return check


def doc_type(view: View) -> bytes:
    """What an EBML file says it is."""
    at, length = _vint(view, 4)
    end = at + length
    for _ in range(_STEPS):
        if at >= end:
            break
        if view.at(at, 1)[0] == 0x42 and view.at(at + 1, 1)[0] == 0x82:
            at, length = _vint(view, at + 2)
            return view.at(at, min(length, 32)).rstrip(b"\0")
        identity = view.at(at, 1)[0]
        at, length = _vint(view, at + (9 - identity.bit_length() if identity else 1))
        at += length
    # RFC 8794 has no default; Matroska's own has this one.
    return b"matroska"


def _vint(view: View, at: int) -> tuple[int, int]:
    """(where the data begins, its length) of a size at this place."""
    (first,) = view.at(at, 1)
    if not first:
        raise Mismatch
    length = 9 - first.bit_length()
    return at + length, int.from_bytes(view.at(at, length), "big") & (1 << 7 * length) - 1


def _after_tags(view: View) -> int:
    """Where the sound begins: past ID3v2 tags (id3.org, 3.1), of which there may be several."""
    at = 0
    for _ in range(_STEPS):
        tag = view.upto(at, 10)
        if not tag.startswith(b"ID3") or len(tag) < 10:
            break
        length = 0
        for byte in tag[6:10]:
            length = length << 7 | byte & 0x7F
        # A footer repeats the header.
        at += 10 + length + (10 if tag[5] & 0x10 else 0)
    return at


def flac(view: View) -> None:
    """RFC 9639, 8: the first block describes the stream."""
    at = _after_tags(view)
    if view.at(at, 4) != b"fLaC" or view.at(at + 4, 1)[0] & 0x7F or view.at(at + 5, 3) != b"\0\0\x22":
        raise Mismatch(_stream_noun(view, at))


def mp3(view: View) -> None:
    """ISO/IEC 11172-3, 2.4.1: two frames in a row, soon after the tags."""
    at = _after_tags(view)
    if not _has_frames(view, at, _mpeg_frame):
        raise Mismatch(_stream_noun(view, at))


def aac(view: View) -> None:
    """ISO/IEC 13818-7, 6.2: two ADTS frames in a row; or ADIF, which has one header only; or LOAS (14496-3, 1.7.2)."""
    at = _after_tags(view)
    if view.upto(at, 4) == b"ADIF":
        return
    if not (_has_frames(view, at, _adts_frame) or _is_loas(view, at)):
        raise Mismatch(_stream_noun(view, at))


# Kilobits in a second, by layer and by whether the version is 1.
_RATES = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mpeg_frame(header: bytes) -> int:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate, frequency, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or rate in {0, 15} or frequency == 3:
        return 0
    hertz = (44100, 48000, 32000)[frequency] >> (0 if version == 3 else 1 if version == 2 else 2)
    bits = _RATES[version == 3, layer][rate - 1] * 1000
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // hertz + padding


def _adts_frame(header: bytes) -> int:
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= 7 else 0


def _is_loas(view: View, at: int) -> bool:
    """Whether a frame stands here and another one, or the end of the file, behind it."""
    header = int.from_bytes(view.upto(at, 3).ljust(3, b"\0"), "big")
    if header >> 13 != 0x2B7:
        return False
    following = view.upto(at + 3 + (header & 0x1FFF), 2)
    return not following or int.from_bytes(following.ljust(2, b"\0"), "big") >> 5 == 0x2B7


def _stream_noun(view: View, at: int) -> str | None:
    if view.upto(at, 4) == b"fLaC":
        return "a FLAC file"
    if _has_frames(view, at, _mpeg_frame):
        return "an MP3 file"
    return "an AAC file" if _has_frames(view, at, _adts_frame) else None


def _has_frames(view: View, start: int, length_of: FrameLength) -> bool:
    """Whether two frames follow one another; one is enough where the file ends with it."""
    data = view.upto(start, 4)
    window = view.upto(start, 64 if len(data) == 4 and length_of(data + bytes(4)) else _LEAD)
    at = window.find(b"\xff")
    while at >= 0:
        length = length_of(window[at : at + 7])
        if length:
            following = view.upto(start + at + length, 7)
            if length_of(following) or (view.size is not None and start + at + length >= view.size):
                return True
        at = window.find(b"\xff", at + 1)
    return False
