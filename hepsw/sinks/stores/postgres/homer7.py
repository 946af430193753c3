"""Rows as HOMER 7 reads them: the tables, columns and JSON keys of heplify-server.

homer-app asserts the types of some keys and fails a whole request where one is missing, so every
row has them all: `srcIp`, `dstIp` and `captureId` texts, ports and times numbers. Beside them,
where `captureId` is a name, stands the number, `captureIdNum`: the migration to HOMER 11 asks for
one. The authentication key is not stored.

Nothing is left out for lacking something. SIP without Call-ID has the correlation id as `sid`, and
what has neither has an empty one: homer-app cannot reach it from a call, but SQL can.

Source: heplify-server's `database/postgres.go` and the queries of homer-app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from hepsw.hep import FAMILY_IPV4, FAMILY_IPV6, PROTO_TYPE_NAMES, strip_nuls
from hepsw.hep.encode import is_rtcp_json
from hepsw.sinks.stores.postgres import schema
from hepsw.sinks.stores.postgres.layout import PG_EPOCH_US
from hepsw.sinks.stores.postgres.texts import address, key, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.payload import SipMessage
    from hepsw.sinks.stores.postgres.layout import Row
    from hepsw.view import View

UDP: Final = 17
RTCP: Final = 5
ISUP: Final = 54
CORRELATION_ID: Final = 0x0011
NODE_NAME: Final = 0x0013

JSONB: Final = b"\x01"
"""The version in front of a jsonb that travels in binary."""

_UNKNOWN_V4: Final = "0.0.0.0"  # noqa: S104 - an address that is not known, not one to listen at
_UNKNOWN_V6: Final = "::"
_NAMES: Final = (("event", b'"event"'), ("method", b'"method"'))
"""Keys of a JSON payload that homer-app labels arrows with, and what to look for first."""
_MOST_NUMBER: Final = 1 << 63


class Homer7:
    """The layout `homer7`."""

    name = "homer7"
    columns = ("sid", "create_date", "protocol_header", "data_header", "raw")
    time_column = "create_date"
    parents = schema.HOMER7_PARENTS

    def __init__(self, settings: StoreSettings) -> None:
        self._further = settings.columns
        self._parent_of = {
            profile: parent for parent, profiles in self.parents.items() for profile in profiles
        }

    def statements(self) -> Sequence[str]:
        """See `Layout`."""
        return schema.homer7_statements()

    def parent_of(self, profile: str) -> str:
        """See `Layout`."""
        return self._parent_of[profile]

    def at_us(self, view: View) -> int:
        """Return the capture time; the time of arrival of a packet without one, or with 0."""
        return view.packet.time_us or view.received_us

    def row(self, view: View, at_us: int, profile: str, odd: set[str]) -> Row:  # noqa: ARG002 - the table says it
        """See `Layout`."""
        packet = view.packet
        source = packet.src_address
        destination = packet.dst_address
        is_ipv6 = (source is not None and len(source) == 16) or (
            destination is not None and len(destination) == 16
        )
        unknown = _UNKNOWN_V6 if is_ipv6 else _UNKNOWN_V4
        number = packet.capture_id
        seconds, microseconds = divmod(at_us, 1_000_000)
        protocol = packet.ip_protocol
        header = {
            "protocolFamily": FAMILY_IPV6 if is_ipv6 else FAMILY_IPV4,
            "protocol": UDP if protocol is None else protocol,
            "srcIp": unknown if source is None else address(source),
            "dstIp": unknown if destination is None else address(destination),
            "srcPort": packet.src_port or 0,
            "dstPort": packet.dst_port or 0,
            "timeSeconds": seconds,
            "timeUseconds": microseconds,
            "payloadType": packet.proto_type or 0,
            "captureId": str(number or 0),
        }
        # By number: that is a third of the price of the property.
        node = packet.body(NODE_NAME)
        if node and (name := strip_nuls(node)):
            header["captureId"] = text(name, odd)
            if number is not None:
                header["captureIdNum"] = number
        given = packet.body(CORRELATION_ID)
        correlation_id = key(strip_nuls(given), odd) if given else ""
        payload = packet.payload or b""
        sip = view.sip
        if sip is None:
            sid = correlation_id
            if packet.version < 3 and is_rtcp_json(payload):
                header["payloadType"] = RTCP  # a version that cannot say so
            data = self._of_others(view, header["payloadType"], payload, odd)
            if header["payloadType"] == ISUP:
                data["callid"] = sid = _isup_call(data)
            data["node"] = header["captureId"]
        else:
            call_id = key(sip.call_id, odd)
            data = _of_sip(sip, call_id, odd)
            sid = call_id or correlation_id
        header["correlation_id"] = correlation_id or sid
        for further, template in self._further:
            data[further] = key(template.render(view), odd)
        return (
            sid,
            (at_us - PG_EPOCH_US,),
            JSONB + orjson.dumps(header),
            JSONB + orjson.dumps(data),
            text(payload, odd),
        )

    def _of_others(
        self, view: View, proto_type: object, payload: bytes, odd: set[str]
    ) -> dict[str, str | int]:
        """Return the data header of a payload that is not SIP."""
        data: dict[str, str | int] = {}
        if proto_type == ISUP:
            return _of_isup(view, odd)
        if isinstance(proto_type, int):
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
