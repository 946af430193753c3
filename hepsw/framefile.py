"""HEP frames out of a file, whatever kind of file it is.

`hepsw send` calls `read`. The first octets tell the kind: a capture (`pcapfile`), frames back to
back as they travel on TCP, a single HEP1, HEP2 or gzip frame; all else is text, either JSON lines
whose objects have the octets under "hex", or under "frame" in base64 as `jsonl://` stores them, or
lines of hex digits. Frames come out byte for byte, also those that no decoder takes.
"""

from __future__ import annotations

import binascii
import re
import zlib
from typing import Final

from hepsw import pcapfile
from hepsw.errors import DecodeError
from hepsw.hep import MAX_TOTAL_LENGTH, StreamSplitter
from hepsw.pcapfile import Capture, is_hep

SKIPS: Final = pcapfile.SKIPS | {"stream-rest": "without a whole frame at the end of a stream"}
"""Why parts of a file are passed over, with words for people."""

_MAGICS: Final = (b"HEP3", b"EEP3", b"EEP1")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
"""No others: a text in JSON may hold those that `splitlines` knows besides."""


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
    is_packed = data.startswith(_GZIP_MAGIC)
    if is_hep(data) and len(data) <= MAX_TOTAL_LENGTH and not (is_packed and _is_file(data)):
        return Capture((data,), {})
    if is_packed:
        raise DecodeError("file-kind", 0, "octet 0: gzip, and no frame: unpack it first")
    return _text(data)


def _is_file(packed: bytes) -> bool:
    """Return whether gzip holds a capture or JSON lines, as the stores write them, and no frame."""
    try:
        opening = zlib.decompressobj(_GZIP_WINDOW).decompress(packed, 4)
    except zlib.error:
        return False
    return opening.startswith(b"{") or pcapfile.is_capture(opening)


def _stream(data: bytes) -> list[bytes]:
    splitter = StreamSplitter()
    frames = splitter.feed(data)
    error = splitter.error or splitter.eof()
    if error is not None:
        raise DecodeError(error.reason, error.offset, f"octet {error.offset}: not a whole frame")
    return frames


def _text(data: bytes) -> Capture:
    try:
        lines = _LINE_END.split(data.decode("utf-8-sig"))
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
    known = value if isinstance(value, dict) else {}
    frame = known.get("frame")
    if isinstance(frame, dict) and isinstance(frame.get("base64"), str):
        return _unbase64(frame["base64"], number), False
    if not isinstance(known.get("hex"), str):
        raise DecodeError(
            "file-json", 0, f'line {number}: no text under "hex", no base64 under "frame"'
        )
    return _unhex(known["hex"], number), known.get("kind") == "stream"


def _unhex(text: str, number: int) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise DecodeError("file-hex", 0, f"line {number}: not octets in hex digits") from None


def _unbase64(text: str, number: int) -> bytes:
    try:
        return binascii.a2b_base64(text.encode(), strict_mode=True)
    except ValueError:
        raise DecodeError("file-base64", 0, f"line {number}: not octets in base64") from None
