from __future__ import annotations

import json

import pytest

from hepsw.payload import RtcpReport

NTP_1970 = 2_208_988_800


def report(*blocks, **keys):
    return json.dumps({"type": 200, "ssrc": 7, "report_blocks": list(blocks), **keys}).encode()


def block(lost=0, jitter=0, lsr=0, dlsr=0, **keys):
    return {"fraction_lost": lost, "ia_jitter": jitter, "lsr": lsr, "dlsr": dlsr, **keys}


def values(payload, **options):
    read = RtcpReport(payload, **options)
    return read.loss_pct, read.jitter_ms, read.rtt_ms


def test_one_block():
    """Loss counts in 256ths, jitter in ticks of an 8 kHz clock."""
    assert values(report(block(64, 320))) == (25.0, 40.0, None)
    assert values(report(block(64, 480)), clock_rate=48000) == (25.0, 10.0, None)


def test_worst_block():
    """Of several blocks each measure has its worst one."""
    assert values(report(block(0, 800), block(128, 8), block(1, 1))) == (50.0, 100.0, None)


@pytest.mark.parametrize("between", [b"", b"\n", b" \r\n "])
def test_concatenated(between):
    """Objects behind one another, as rtpproxy writes a compound packet, are all read."""
    one, two = report(block(64, 8)), report(block(0, 80))
    assert values(one + between + two) == (25.0, 10.0, None)
    assert values(one + between + two[:-1]) == (25.0, 1.0, None)
    assert values(one + b"\0\0") == (25.0, 1.0, None)


def test_round_trip():
    """Arrival less LSR less DLSR; the time of the sender stands in for the arrival."""
    seconds = NTP_1970 + 1_800_000_000
    middle = (seconds & 0xFFFF) << 16
    held = block(lsr=middle - 0x18000, dlsr=0x14000)
    sent = {"ntp_timestamp_sec": seconds, "ntp_timestamp_usec": 0}
    assert values(report(held, sender_information=sent))[2] == 250.0
    sent["ntp_timestamp_usec"] = 1 << 31
    assert values(report(held, sender_information=sent))[2] == 750.0
    assert values(report(held), arrival_us=1_800_000_000_500_000)[2] == 750.0
    assert values(report(held))[2] is None
    unix = {"ntp_timestamp_sec": "1800000000", "ntp_timestamp_usec": "500000"}
    assert values(report(held, sender_information=unix))[2] == 750.0
    unix["ntp_timestamp_usec"] = "1000000"
    assert values(report(held, sender_information=unix))[2] is None
    wild = block(lsr=middle + 0x10000, dlsr=0)
    assert values(report(wild, sender_information=sent))[2] is None


def test_round_trip_of_an_xr_block():
    """A measured round trip counts, unless it is the zero that heplify always writes."""
    assert values(report(report_blocks_xr={"round_trip_delay": 70}))[2] == 70
    assert values(report(report_blocks_xr=[{"round_trip_delay": 0}]))[2] is None


def test_strings():
    """Numbers in strings count as numbers, as Asterisk writes some of them."""
    assert values(report(block("64", "320")))[:2] == (25.0, 40.0)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b"{" * 5000,
        b"[" * 5000,
        b'{"report_blocks":[{"fraction_lost":NaN}]}',
        b'{"report_blocks":[{"fraction_lost":1e999}]}',
        b'{"report_blocks":[{"fraction_lost":' + b"9" * 5000 + b"}]}",
        report(7, None, []),
        report(block(256, 2**32)),
        report(block(-1, -1)),
        report(block(True, True)),
        report(block("x", "")),
        report(block("\u0663", "9" * 5000)),
        report(block({}, [])),
        report(report_blocks="x", sender_information="y"),
        report(report_blocks={"ia_jitter": None}),
    ],
)
def test_nothing_to_read(payload):
    """Wrong types, wild numbers and what is no JSON at all read as nothing."""
    assert values(payload) == (None, None, None)
