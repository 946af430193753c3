"""RTCP as JSON that names nobody: numbers under the names that all agents agree on.

What a source is called in SDES (CNAME: `user@address`), and whatever else is text or stands under
another name, does not leave.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

import orjson

from hepsw.payload.json_payload import documents

if TYPE_CHECKING:
    from hepsw.privacy.hiding import Hiding

_MAX_BLOCKS: Final = 256
_LARGEST: Final = 0xFFFFFFFF
_DIGITS: Final = 10
_NUMBERS: Final = frozenset(
    {
        *("ssrc", "type", "report_count", "sdes_ssrc", "sdes_report_count"),
        *("ntp_timestamp_sec", "ntp_timestamp_usec", "rtp_timestamp", "packets", "octets"),
        *("source_ssrc", "fraction_lost", "packets_lost", "highest_seq_no", "ia_jitter"),
        *("lsr", "dlsr", "id", "fraction_discard", "rx_config"),
        *("burst_density", "gap_density", "burst_duration", "gap_duration"),
        *("round_trip_delay", "end_system_delay", "signal_level", "noise_level", "rerl", "gmin"),
        *("r_factor", "ext_r_factor", "rfactor", "mos_lq", "mos_cq", "mos"),
        *("jb_nominal", "jb_maximum", "jb_abs_max"),
    }
)
_BLOCKS: Final = frozenset({"sender_information", "report_blocks", "report_blocks_xr"})


def rtcp_without_people(hiding: Hiding, payload: bytes) -> bytes | None:
    """Return what leaves of a report; None where it cannot be read."""
    found = [document for document in documents(payload) if isinstance(document, dict)]
    if not found:
        return None
    if not hiding.hides_anything:
        return payload
    made = [kept for kept in map(_kept, found) if kept]
    return b"".join(map(orjson.dumps, made)) or None


def _kept(document: dict[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, value in document.items():
        if name in _NUMBERS:
            if _is_number(value):
                kept[name] = value
        elif name in _BLOCKS:
            if isinstance(value, dict):
                kept[name] = _numbers(value)
            elif isinstance(value, list):
                blocks = [block for block in value[:_MAX_BLOCKS] if isinstance(block, dict)]
                kept[name] = [_numbers(block) for block in blocks]
    return kept


def _numbers(block: dict[str, object]) -> dict[str, object]:
    return {name: each for name, each in block.items() if name in _NUMBERS and _is_number(each)}


def _is_number(value: object) -> bool:
    """Tell whether a value is a number of RTCP; Asterisk writes some as text."""
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) <= _DIGITS
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isfinite(value) and abs(value) <= _LARGEST
