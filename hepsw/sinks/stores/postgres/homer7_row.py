"""One packet as a row of HOMER 7's tables: the columns and JSON keys of heplify-server.

homer-app asserts the types of some keys and fails a whole request where one is missing, so every
row has them all: `srcIp`, `dstIp` and `captureId` texts, ports and times numbers. Beside them,
where `captureId` is a name, stands the number, `captureIdNum`: the migration to HOMER 11 asks for
one. The authentication key is not stored.

Nothing is left out for lacking something. SIP without Call-ID has the correlation id as `sid`, and
what has neither has an empty one: homer-app cannot reach it from a call, but SQL can.

Compiled, where there is a compiler: beside a packet path that keeps the caches busy, a row made in
plain Python takes longer than its COPY. Fields of the packet are read by number for that reason.

Source: heplify-server's `database/postgres.go` and the queries of homer-app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from hepsw.hep import FAMILY_IPV4, FAMILY_IPV6, PROTO_TYPE_NAMES, strip_nuls
from hepsw.hep.encode import is_rtcp_json
from hepsw.sinks.stores.postgres.layout import PG_EPOCH_US
from hepsw.sinks.stores.postgres.texts import address, key, text

if TYPE_CHECKING:
    from hepsw.config.template import Template
    from hepsw.payload.sip import SipMessage
    from hepsw.sinks.stores.postgres.layout import Row
    from hepsw.view import View

UDP: Final = 17
RTCP: Final = 5
ISUP: Final = 54

JSONB: Final = b"\x01"
"""The version in front of a jsonb that travels in binary."""

_UNKNOWN_V4: Final = "0.0.0.0"  # noqa: S104 - an address that is not known, not one to listen at
_UNKNOWN_V6: Final = "::"
_NAMES: Final = (("event", b'"event"'), ("method", b'"method"'))
"""Keys of a JSON payload that homer-app labels arrows with, and what to look for first."""
_MOST_NUMBER: Final = 1 << 63


def row_of(view: View, at_us: int, further: tuple[tuple[str, Template], ...], odd: set[str]) -> Row:
    """Return a packet as a row.

    Args:
        view: nobody else's: what it says is read here.
        at_us: when it happened.
        further: names and values of what the operator wants in the data header beside ours.
        odd: is added what had to be altered.
    """
    packet = view.packet
    source = packet.address(0x0003, 0x0005)
    destination = packet.address(0x0004, 0x0006)
    is_ipv6 = (source is not None and len(source) == 16) or (
        destination is not None and len(destination) == 16
    )
    unknown = _UNKNOWN_V6 if is_ipv6 else _UNKNOWN_V4
    protocol = packet.number(0x0002, 1)
    proto_type = packet.type_of_payload() or 0
    capture_id = packet.capture_id
    node = packet.body(0x0013)
    name = strip_nuls(node) if node else b""
    given = packet.body(0x0011)
    correlation_id = key(strip_nuls(given), odd) if given else ""
    payload = packet.content() or b""
    sip = view.sip
    if sip is None and packet.version < 3 and is_rtcp_json(payload):
        proto_type = RTCP  # a version that cannot say so
    header = {
        "protocolFamily": FAMILY_IPV6 if is_ipv6 else FAMILY_IPV4,
        "protocol": UDP if protocol is None else protocol,
        "srcIp": unknown if source is None else address(source),
        "dstIp": unknown if destination is None else address(destination),
        "srcPort": packet.number(0x0007, 2) or 0,
        "dstPort": packet.number(0x0008, 2) or 0,
        "timeSeconds": at_us // 1_000_000,
        "timeUseconds": at_us % 1_000_000,
        "payloadType": proto_type,
        "captureId": text(name, odd) if name else str(capture_id or 0),
    }
    if name and capture_id is not None:
        header["captureIdNum"] = capture_id
    if sip is None:
        sid = correlation_id
        data = _of_others(view, proto_type, payload, odd)
        if proto_type == ISUP:
            data["callid"] = sid = _isup_call(data)
        data["node"] = header["captureId"]
    else:
        call_id = key(sip.call_id, odd)
        data = _of_sip(sip, call_id, odd)
        sid = call_id or correlation_id
    header["correlation_id"] = correlation_id or sid
    for column, template in further:
        data[column] = key(template.render(view), odd)
    return (
        sid,
        (at_us - PG_EPOCH_US,),
        JSONB + orjson.dumps(header),
        JSONB + orjson.dumps(data),
        text(payload, odd),
    )


def _of_others(view: View, proto_type: int, payload: bytes, odd: set[str]) -> dict[str, str | int]:
    """Return the data header of a payload that is not SIP."""
    data: dict[str, str | int] = {}
    if proto_type == ISUP:
        return _of_isup(view, odd)
    data["proto"] = PROTO_TYPE_NAMES.get(proto_type, str(proto_type)).lower()
    for name, written in _NAMES:
        if written in payload and (document := view.json) is not None:
            value = document.value(name)
            if isinstance(value, bytes) and value:
                data[name] = key(value, odd)
    return data


def _of_sip(sip: SipMessage, call_id: str, odd: set[str]) -> dict[str, str | int]:
    """Return the data header of SIP."""
    if sip.kind == "reply":
        status = sip.status
        method = "" if status is None else str(status)
        ruri_user = ruri_domain = ""
    else:
        method = key(sip.method, odd)
        ruri_user = key(sip.ruri_user, odd)
        ruri_domain = key(sip.ruri_domain, odd)
    number = sip.cseq
    if number is not None:
        cseq = f"{number} {text(sip.cseq_method, odd)}"
    else:
        values = sip.header(b"cseq")
        cseq = text(values[0], odd) if values else ""
    return {
        "ruri_user": ruri_user,
        "ruri_domain": ruri_domain,
        "from_user": key(sip.from_user, odd),
        "from_tag": text(sip.from_tag, odd),
        "to_user": key(sip.to_user, odd),
        "to_tag": text(sip.to_tag, odd),
        "callid": call_id,
        "cseq": cseq,
        "method": method,
        "user_agent": text(sip.user_agent, odd),
    }


def _of_isup(view: View, odd: set[str]) -> dict[str, str | int]:
    """Return the data header of ISUP in JSON."""
    document = view.json
    data: dict[str, str | int] = {}
    for name in ("cic", "dpc", "opc"):
        value = None if document is None else document.value(name)
        fits = isinstance(value, int) and -_MOST_NUMBER <= value < _MOST_NUMBER
        data[name] = value if isinstance(value, int) and fits else 0
    for name, path in (
        ("msg_name", "msg_name"),
        ("called_number", "called_number.num"),
        ("calling_number", "calling_number.num"),
    ):
        value = None if document is None else document.value(path)
        written = value if isinstance(value, bytes) else b"" if value is None else b"%a" % value
        data[name] = key(written, odd)
    return data


def _isup_call(data: dict[str, str | int]) -> str:
    """Return what holds an ISUP call together: both point codes, the lower first, and the cic."""
    low, high = sorted((int(data["opc"]), int(data["dpc"])))
    return f"{low}:{high}:{data['cic']}"
