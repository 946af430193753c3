"""The packets of the scenarios: from a step of `expect.toml` to the octets that an agent sends.

A step says only what it is about; the rest of the packet is `USUAL`. Payloads are whole: SIP has
every header that SIP must have.
"""

from __future__ import annotations

import json
import re
from typing import Any

import wire

from hepsw.hep import PROTO_TYPES, build, encode_v1, encode_v2
from hepsw.hep.chunks import SPECS_BY_NAME

NOON_US = 1_767_268_800_000_000
"""When the first packet was captured, 2026-01-01T12:00:00Z; each one after it a millisecond later.
"""

USUAL: dict[str, Any] = {
    "src_ip": "192.0.2.7",
    "dst_ip": "198.51.100.10",
    "src_port": 5060,
    "dst_port": 5060,
    "ip_protocol": 17,
    "proto_type": 1,
    "capture_id": 2001,
}

LEGACY = ("src_ip", "dst_ip", "src_port", "dst_port", "ip_protocol", "payload")
"""What HEP 1 can say; HEP 2 adds the time and the capture id."""

PHRASES = {180: "Ringing", 200: "OK", 401: "Unauthorized", 486: "Busy Here"}


def sip(
    *,
    method: str = "INVITE",
    status: int | None = None,
    ruri: str = "sip:bob@example.org",
    to: str = "sip:bob@example.org",
    call_id: str = "a84b4c76e66710@192.0.2.7",
    cseq: int = 1,
    user_agent: str | None = None,
    content_type: str | None = None,
    headers: dict[str, str] | None = None,
    body: str = "",
    **sender: str,
) -> bytes:
    """Return a SIP message; with a status, the reply to a request of that method."""
    start = f"{method} {ruri} SIP/2.0" if status is None else f"SIP/2.0 {status} {PHRASES[status]}"
    sent_by = sender.get("from", "sip:alice@example.org")
    lines = [
        start,
        f"Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-{cseq}-{call_id}",
        f"From: <{sent_by}>;tag=f-{call_id}",
        f"To: <{to}>" if status is None else f"To: <{to}>;tag=t-{call_id}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        "Contact: <sip:192.0.2.7:5060>",
        *(["Max-Forwards: 70"] if status is None else []),
        *([f"User-Agent: {user_agent}"] if user_agent else []),
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
        *([f"Content-Type: {content_type}"] if content_type else []),
        f"Content-Length: {len(body.encode())}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def payload_of(step: dict[str, Any]) -> bytes | None:
    """Return the payload of a step; None where it says none."""
    if "sip" in step:
        return sip(**step["sip"])
    if "text" in step:
        return step["text"].encode()
    if "json" in step:
        return json.dumps(step["json"]).encode()
    return None


def values_of(step: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the fields of a step's packet by their names, and raw chunks by their numbers."""
    values = {
        **USUAL,
        "time": NOON_US + 1000 * number,
        **step.get("hep", {}),
        "payload": payload_of(step),
    }
    if not isinstance(values["time"], int):
        values["time"] = round(values["time"].timestamp() * 1_000_000)
    if isinstance(values["proto_type"], str):
        values["proto_type"] = PROTO_TYPES[values["proto_type"]]
    if values["payload"] is None:
        del values["payload"]
    return values


def frame_of(values: dict[str, Any]) -> bytes:
    """Return the frame of these fields, in the version that they say."""
    version = values.get("version", 3)
    if version == 1:
        return encode_v1(**{name: values[name] for name in LEGACY})
    if version == 2:
        return encode_v2(**{name: values[name] for name in (*LEGACY, "time", "capture_id")})
    named = {name: value for name, value in values.items() if not _is_raw(name)}
    named.pop("version", None)
    raw = [chunk for name in values if _is_raw(name) for chunk in chunks_named(name, values[name])]
    return wire.frame([*wire.chunks(build(**named).data), *raw])


def _is_raw(name: str) -> bool:
    return name.startswith("0x")


def chunks_named(name: str, value: Any) -> list[tuple[int, int, bytes]]:
    """Return the chunks that one field is; for the value False, empty ones that name them."""
    if _is_raw(name):
        vendor_id, type_id = (int(number, 16) for number in re.split(":", name))
        return [(vendor_id, type_id, value.encode() if value is not False else b"")]
    if value is False:
        return [(0, spec.type_id, b"") for spec in SPECS_BY_NAME[name]]
    # The family belongs to an address, and is the same after an edit within it.
    return [chunk for chunk in wire.chunks(build(**{name: value}).data) if chunk[:2] != (0, 1)]
