"""A vq-rtcpxr report: what a phone says of the voice quality of a call.

The body of a SIP PUBLISH (`application/vq-rtcpxr`), or a payload of its own (type 35). Lines of
`Name: KEY=value KEY=value`; writers differ in blanks, case and order, so the keys are looked for
everywhere. Local metrics count; where a report has remote metrics only, these do. Nothing here
raises; what is absent, no number or marked as unavailable is None.

Source: RFC 6035 section 4.6; RFC 3611 section 4.7.5 for 127 as "unavailable".
"""

from __future__ import annotations

from typing import Final

MAX_SIZE: Final = 1 << 16
MAX_LINES: Final = 256
MAX_TRIES: Final = 256
"""Occurrences of a key that are looked at."""
MAX_DIGITS: Final = 12

_LOCAL: Final = b"LOCALMETRICS"
_REMOTE: Final = b"REMOTEMETRICS"
_KEYS: Final = (b"MOSLQ=", b"MOSCQ=", b"NLR=", b"IAJ=")
_BEFORE: Final = frozenset(b"%c" % octet for octet in b" \t\r\n:,;")
"""What may stand before a key."""
_NUMBER: Final = b"0123456789."
_MAX_MOS: Final = 5.0


class VqReport:
    """One payload, looked at as vq-rtcpxr text."""

    __slots__ = ("_call_id", "_metrics", "_payload")

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._metrics: dict[bytes, float] | None = None
        self._call_id: bytes | None = None

    @property
    def mos_lq(self) -> float | None:
        """MOS, listening quality: 1 to 5."""
        return self._mos(b"MOSLQ=")

    @property
    def mos_cq(self) -> float | None:
        """MOS, conversational quality: 1 to 5."""
        return self._mos(b"MOSCQ=")

    @property
    def loss_pct(self) -> float | None:
        """Packets lost in the network (NLR), in percent."""
        loss = self._metric(b"NLR=")
        return loss if loss is not None and loss <= 100 else None

    @property
    def jitter_ms(self) -> float | None:
        """Interarrival jitter (IAJ) in milliseconds."""
        return self._metric(b"IAJ=")

    @property
    def call_id(self) -> bytes | None:
        """Call-ID of the call reported on, not of the PUBLISH that carries the report."""
        if self._metrics is None:
            self._read()
        return self._call_id

    def _mos(self, key: bytes) -> float | None:
        mos = self._metric(key)
        return mos if mos is not None and mos <= _MAX_MOS else None

    def _metric(self, key: bytes) -> float | None:
        metrics = self._read() if self._metrics is None else self._metrics
        return metrics.get(key)

    def _read(self) -> dict[bytes, float]:
        text = self._payload[:MAX_SIZE].upper()
        remote_start = text.find(_REMOTE)
        remote = b""
        if remote_start >= 0:
            remote_end = text.find(_LOCAL, remote_start)
            if remote_end < 0:
                remote_end = len(text)
            remote = text[remote_start:remote_end]
            text = text[:remote_start] + text[remote_end:]
        self._metrics = {}
        for key in _KEYS:
            number = _find(text, key)
            if number is None:
                number = _find(remote, key)
            if number is not None:
                self._metrics[key] = number
        self._call_id = self._find_call_id()
        return self._metrics

    def _find_call_id(self) -> bytes | None:
        dialog_id = None
        for line in self._payload[:MAX_SIZE].split(b"\n", MAX_LINES)[:MAX_LINES]:
            name, _, value = line.partition(b":")
            name = name.strip().lower()
            if name == b"callid" and value.strip():
                return value.strip()
            if name == b"dialogid":
                dialog_id = value.partition(b";")[0].strip() or None
        return dialog_id


def _find(text: bytes, key: bytes) -> float | None:
    """Return the first number that `KEY=` gives, as a word of its own."""
    position = -1
    for _ in range(MAX_TRIES):
        position = text.find(key, position + 1)
        if position < 0:
            return None
        start = position + len(key)
        if position and text[position - 1 : position] not in _BEFORE:
            continue
        words = text[start : start + MAX_DIGITS + 1].split(None, 1)
        if words and not text[start : start + 1].isspace():
            number = _number(words[0])
            if number is not None:
                return number
    return None


def _number(text: bytes) -> float | None:
    text = text.rstrip(b",;")
    if not text or len(text) > MAX_DIGITS or text.translate(None, _NUMBER):
        return None
    try:
        return float(text)
    except ValueError:  # two points
        return None
