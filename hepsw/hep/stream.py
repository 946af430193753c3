"""Frames out of a stream of octets: TCP and TLS.

`net` feeds it what a read brings and hands the frames to `decode`. A HEP3 frame on a stream is
framed by its total alone, so a slip cannot be mended by looking for the next magic: a 16-bit length
gives no safe place to start again. On the first wrong header the splitter stops for good, the
connection is to be closed, and the sender, as captagent, heplify, rtpengine and OpenSIPS all do,
connects again.

Source: HEP3 rev. 37; heplify-server `server/tcp.go` for what happens without a look at the magic.
"""

from __future__ import annotations

from typing import Final

from hepsw.errors import DecodeError
from hepsw.hep import _octets
from hepsw.hep._scan import HEADER_SIZE
from hepsw.hep.decoding import MAGICS

_MAGIC_STARTS: Final = frozenset(magic[:size] for magic in MAGICS for size in range(1, 5))
EXCERPT_SIZE: Final = 16
"""Octets kept of what broke the stream, for one line in the log."""

_HEADER = HEADER_SIZE  # compiled, an int of C


class StreamSplitter:
    """Cuts a stream into whole frames; holds at most one unfinished frame."""

    __slots__ = ("_buffer", "_consumed", "_error", "_excerpt", "_total")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._total = 0  # of the frame in the buffer, 0 until its header is whole
        self._consumed = 0
        self._error: DecodeError | None = None
        self._excerpt = b""

    @property
    def error(self) -> DecodeError | None:
        """Why nothing more is accepted: stream-desync or stream-total-too-small, else None.

        Its offset counts from the start of the stream, to the header that was wrong.
        """
        return self._error

    @property
    def buffered(self) -> int:
        """Octets of the frame that is not whole yet."""
        return len(self._buffer)

    @property
    def consumed(self) -> int:
        """Octets of the frames handed out so far."""
        return self._consumed

    @property
    def excerpt(self) -> bytes:
        """What broke the stream, from the wrong header on: at most `EXCERPT_SIZE` octets."""
        return self._excerpt

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that these octets complete, in order; look at `error` afterwards.

        A frame that lies whole within `data` is cut out of it once; only a frame that spans reads
        goes through the buffer.
        """
        frames: list[bytes] = []
        if self._error is not None:
            return frames
        octets = data
        size = len(data)
        position = self._complete(data, frames) if self._buffer else 0
        while position < size:
            if size - position >= _HEADER and _octets.is_hep3_at(octets, position):
                # What nearly every frame is: known by its header, and whole.
                total = _octets.uint16(octets, position + 4)
                end = position + total
                if total >= _HEADER and end <= size:
                    # A read that is one frame is that frame.
                    frames.append(data if total == size else _octets.cut(octets, position, end))
                    self._consumed += total
                    position = end
                    continue
            stated = self._total_of(data[position : position + HEADER_SIZE])
            if stated is None:
                self._excerpt = data[position : position + EXCERPT_SIZE]
                break
            end = position + stated
            if stated == 0 or end > size:
                self._buffer += data[position:]
                self._total = stated
                break
            frames.append(data[position:end])
            self._consumed += stated
            position = end
        return frames

    def eof(self) -> DecodeError | None:
        """Return what the end of the stream means: stream-partial if it cut a frame, else None."""
        if not self._buffer:
            return None
        return DecodeError(
            "stream-partial", self._consumed, f"{len(self._buffer)} octets of a frame"
        )

    def _complete(self, data: bytes, frames: list[bytes]) -> int:
        """Go on with the frame in the buffer; return how many octets of `data` it took."""
        position = 0
        if self._total == 0:
            position = HEADER_SIZE - len(self._buffer)
            self._buffer += data[:position]
            total = self._total_of(bytes(self._buffer))
            if total is None:
                self._excerpt = (bytes(self._buffer) + data[position:])[:EXCERPT_SIZE]
                self._buffer.clear()
                return len(data)
            if total == 0:
                return len(data)
            self._total = total
        end = position + self._total - len(self._buffer)
        self._buffer += data[position:end]
        if len(self._buffer) < self._total:
            return len(data)
        frames.append(bytes(self._buffer))
        self._consumed += self._total
        self._buffer.clear()
        self._total = 0
        return end

    def _total_of(self, header: bytes) -> int | None:
        """Read a frame header, or as much of it as is there.

        Returns:
            The total length; 0 if the header may still become right; None after setting `error`.
        """
        if header[:4] not in _MAGIC_STARTS:
            # Known from the first wrong octet on. HEP1 and HEP2 have no length and end here too.
            self._error = DecodeError("stream-desync", self._consumed)
            return None
        if len(header) < HEADER_SIZE:
            return 0
        total = header[4] << 8 | header[5]
        if total < HEADER_SIZE:
            self._error = DecodeError("stream-total-too-small", self._consumed, f"total {total}")
            return None
        return total
