"""RTCP as JSON (payload type 5): loss, jitter and round trip of the worst report block.

The field catalogue makes one `RtcpReport` a packet when a rule first asks for a `rtcp.` field.
Agents agree on the names of the keys, hardly on more: Asterisk writes some numbers as strings,
rtpproxy concatenates objects, heplify adds an XR block with zeros in it. Nothing here raises; what
is absent, of a wrong type or out of the range of its 8 or 32 bits is None.

Source: RFC 3550 sections 6.4.1 and 6.4.4; RFC 3611 section 4.7; the agents' own encoders.
"""

from __future__ import annotations

from typing import Final

from hepsw.payload.json_payload import documents

CLOCK_RATE: Final = 8000
"""Ticks a second of the RTP clock that jitter is counted in.

RTCP does not say which codec it reports on. Narrow-band telephony has 8 kHz, and so has G.722; for
Opus (48 kHz) the milliseconds come out six times too high.
"""
MAX_BLOCKS: Final = 256
_UINT32: Final = 0xFFFFFFFF
_NTP_EPOCH: Final = 2_208_988_800
"""1970 in seconds since 1900."""
_MAX_DELAY: Final = 10 << 16
"""Ten seconds, in units of 1/65536 s: what is longer, or negative, comes from unequal clocks."""


class RtcpReport:
    """One payload, looked at as RTCP JSON. Each property is the worst one of all report blocks."""

    __slots__ = ("_arrival_us", "_clock_rate", "_payload", "_worst")

    def __init__(
        self, payload: bytes, *, clock_rate: int = CLOCK_RATE, arrival_us: int | None = None
    ) -> None:
        """Keep what is needed; nothing is read yet.

        Args:
            payload: one object, or several one behind the other.
            clock_rate: of the stream, see `CLOCK_RATE`.
            arrival_us: when the report reached the one it is about, in microseconds since 1970:
                the packet's time, if it was captured there. See `rtt_ms`.
        """
        self._payload = payload
        self._clock_rate = clock_rate
        self._arrival_us = arrival_us
        self._worst: tuple[float | None, float | None, float | None] | None = None

    @property
    def loss_pct(self) -> float | None:
        """Share of packets lost since the last report, in percent."""
        return (self._worst or self._find())[0]

    @property
    def jitter_ms(self) -> float | None:
        """Interarrival jitter in milliseconds, at a clock of `CLOCK_RATE`."""
        return (self._worst or self._find())[1]

    @property
    def rtt_ms(self) -> float | None:
        """Delay in milliseconds.

        The round trip of an XR block if there is one. Else arrival, less LSR and DLSR, as RFC 3550
        has it; where the arrival is not known the NTP time at which the sender report left stands
        in for it, which leaves out the way back and needs clocks that agree. None if a block has
        no LSR, or if the result is not within ten seconds.
        """
        return (self._worst or self._find())[2]

    def _find(self) -> tuple[float | None, float | None, float | None]:
        loss: list[float] = []
        jitter: list[float] = []
        delays: list[float] = []
        for report in documents(self._payload):
            if not isinstance(report, dict):
                continue
            arrival = self._arrival(report)
            for block in _blocks(report.get("report_blocks")):
                lost = _number(block.get("fraction_lost"), 0xFF)
                if lost is not None:
                    loss.append(lost * 100 / 256)
                ticks = _number(block.get("ia_jitter"), _UINT32)
                if ticks is not None:
                    jitter.append(ticks * 1000 / self._clock_rate)
                delay = _delay(arrival, block)
                if delay is not None:
                    delays.append(delay)
            for block in _blocks(report.get("report_blocks_xr")):
                # heplify writes the block into every report, filled with zeros.
                measured = _number(block.get("round_trip_delay"), 0xFFFF)
                if measured:
                    delays.append(measured)
        self._worst = (
            max(loss, default=None),
            max(jitter, default=None),
            max(delays, default=None),
        )
        return self._worst

    def _arrival(self, report: dict[str, object]) -> int | None:
        """Return the middle 32 bits of the NTP time that LSR is to be taken from."""
        if self._arrival_us is not None:
            seconds, microseconds = divmod(self._arrival_us, 1_000_000)
            return _middle(seconds + _NTP_EPOCH, (microseconds << 32) // 1_000_000)
        sender = report.get("sender_information")
        if not isinstance(sender, dict):
            return None
        seconds_sent = _number(sender.get("ntp_timestamp_sec"), _UINT32)
        fraction = _number(sender.get("ntp_timestamp_usec"), _UINT32)
        if not seconds_sent or fraction is None:
            return None
        if seconds_sent < _NTP_EPOCH:
            # Asterisk writes a struct timeval: since 1970, and microseconds as the key says. All
            # others write the two words of the NTP time.
            if fraction >= 1_000_000:
                return None
            return _middle(int(seconds_sent) + _NTP_EPOCH, (int(fraction) << 32) // 1_000_000)
        return _middle(int(seconds_sent), int(fraction))


def _middle(seconds: int, fraction: int) -> int:
    return (seconds & 0xFFFF) << 16 | fraction >> 16


def _delay(arrival: int | None, block: dict[str, object]) -> float | None:
    last = _number(block.get("lsr"), _UINT32)
    held = _number(block.get("dlsr"), _UINT32)
    if arrival is None or not last or held is None:
        return None
    units = (arrival - int(last) - int(held)) & _UINT32
    return units * 1000 / 65536 if units <= _MAX_DELAY else None


def _blocks(value: object) -> list[dict[str, object]]:
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        return []
    return [block for block in value[:MAX_BLOCKS] if isinstance(block, dict)]


def _number(value: object, largest: int) -> float | None:
    """Read a number, or a string of digits; None if it is another thing or out of range."""
    if type(value) is int:  # nearly always, and no bool
        return value if 0 <= value <= largest else None
    if isinstance(value, str):
        if len(value) > 10 or not (value.isascii() and value.isdigit()):
            return None
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= largest else None  # NaN is in no range
