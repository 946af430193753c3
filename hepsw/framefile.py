"""HEP frames out of a file, whatever kind of file it is.

`hepsw send` calls `read`. The first octets tell the kind: a capture (`pcapfile`), frames back to
back as they travel on TCP, a single HEP1, HEP2 or gzip frame; all else is text, either JSON lines
whose objects have the octets under "hex", or lines of hex digits. Frames come out byte for byte,
also those that no decoder takes.
"""

from __future__ import annotations

from typing import Final

from hepsw import pcapfile
from hepsw.errors import DecodeError
from hepsw.hep import MAX_TOTAL_LENGTH, StreamSplitter
from hepsw.pcapfile import Capture, is_hep

SKIPS: Final = pcapfile.SKIPS | {"stream-rest": "without a whole frame at the end of a stream"}
"""Why parts of a file are passed over, with words for people."""

_MAGICS: Final = (b"HEP3", b"EEP3", b"EEP1")
_GZIP_MAGIC: Final = b"\x1f\x8b"


def read(data: bytes) -> Capture:
    """Return the frames in a file.

    Args:
        data: the whole file.

    Raises:
        DecodeError: the file is of no known kind, or broken; the message says where.
    """
    if pcapfile.is_capture(data):
        return pcapfile.read(data)
    if data.startswith(_MAGICS):
        return Capture(tuple(_stream(data)), {})
    if is_hep(data) and len(data) <= MAX_TOTAL_LENGTH:
        return Capture((data,), {})
    if data.startswith(_GZIP_MAGIC):
        raise DecodeError("file-kind", 0, "octet 0: gzip and too long for a frame: unpack it first")
    return _text(data)


def _stream(data: bytes) -> list[bytes]:
    splitter = StreamSplitter()
    frames = splitter.feed(data)
    error = splitter.error or splitter.eof()
    if error is not None:
        raise DecodeError(error.reason, error.offset, f"octet {error.offset}: not a whole frame")
    return frames


def _text(data: bytes) -> Capture:
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DecodeError(
            "file-kind", error.start, f"octet {error.start}: neither HEP, nor pcap, nor text"
        ) from None
    frames: list[bytes] = []
    skipped = 0
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("{"):
            octets, is_stream = _json_line(line, number)
        else:
            text = line.partition("#")[0]  # the rest is a comment, as who sent it
            if not text.strip():
                continue
            octets, is_stream = _unhex(text, number), False
        if is_stream:
            splitter = StreamSplitter()
            frames += splitter.feed(octets)
            skipped += splitter.error is not None or splitter.eof() is not None
        else:
            frames.append(octets)
    return Capture(tuple(frames), {"stream-rest": skipped} if skipped else {})


def _json_line(line: str, number: int) -> tuple[bytes, bool]:
    """Return the octets of an object, and whether they are a stream rather than one datagram."""
    import orjson  # noqa: PLC0415 - only for this kind of file

    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DecodeError("file-json", 0, f"line {number}: not JSON ({error})") from None
    if not isinstance(value, dict) or not isinstance(value.get("hex"), str):
        raise DecodeError("file-json", 0, f'line {number}: no text under "hex"')
    return _unhex(value["hex"], number), value.get("kind") == "stream"


def _unhex(text: str, number: int) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise DecodeError("file-hex", 0, f"line {number}: not octets in hex digits") from None
