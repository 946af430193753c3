"""The fields that are chunks of the HEP packet, and what is read off the packet as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hepsw.fields.field import Field, Kind, Reading
from hepsw.fields.readers import (
    Address,
    Attribute,
    Both,
    Number,
    Octets,
    Payload,
    ProtoType,
    Reader,
    Text,
)
from hepsw.hep import GENERIC, PROTO_TYPE_NAMES, PROTO_TYPES, ChunkKey, ChunkSpec, ChunkType

if TYPE_CHECKING:
    from hepsw.view import View

_DOCS: Final = {
    "ip_family": "Address family as the packet declares it: 2 for IPv4, 10 for IPv6.",
    "ip_protocol": "IP protocol of the captured packet: 17 for UDP, 6 for TCP, 132 for SCTP; 22 "
    "where Kamailio, OpenSIPS and FreeSWITCH mean TLS.",
    "src_ip": "Source address of the captured packet: a claim of its sender.",
    "dst_ip": "Destination address of the captured packet.",
    "src_port": "Source port of the captured packet.",
    "dst_port": "Destination port of the captured packet.",
    "time": "When the packet was captured; written as RFC 3339 or microseconds since the epoch.",
    "proto_type": "What the payload is, by number or by name in any case.",
    "capture_id": "Number of the capture agent.",
    "keep_alive": "Keep-alive interval in seconds.",
    "auth_key": "Authentication key, in clear text; never printed.",
    "payload": "What was captured; inflated if it travelled compressed.",
    "compressed_payload": "The compressed payload as it travelled.",
    "correlation_id": "What holds a call together; usually the Call-ID.",
    "vlan": "VLAN number.",
    "node_name": "Name of the capture agent.",
    "src_mac": "Source MAC address.",
    "dst_mac": "Destination MAC address.",
    "ether_type": "Ethernet type.",
    "tcp_flags": "TCP flags.",
    "tos": "IP type of service.",
    "mos": "Mean opinion score, times 100 where heplify wrote it.",
    "r_factor": "R-factor.",
    "geo_location": "Where the agent says it is.",
    "jitter": "Jitter.",
    "transaction_type": "Kind of transaction: `call`, `registration`.",
    "payload_keys": "JSON keys of the payload.",
    "tag_values": "Tags.",
    "tag_type": "Kind of tag.",
    "event_type": "1 for a recording, 2 for an interception.",
    "group_id": "Group of the agent.",
}

_BITS: Final = {
    ChunkType.UINT8: 8,
    ChunkType.UINT16: 16,
    ChunkType.UINT32: 32,
    ChunkType.UINT64: 64,
}


def _kind(name: str, chunk_type: ChunkType) -> Kind:
    if name.endswith("_mac"):
        return Kind.MAC
    if name.endswith("payload"):
        return Kind.OCTETS
    match chunk_type:
        case ChunkType.INET4 | ChunkType.INET6:
            return Kind.IP
        case ChunkType.UTF8 | ChunkType.OCTETS:
            return Kind.TEXT
        case _:
            return Kind.NUMBER


def _reader(name: str, spec: ChunkSpec, kind: Kind) -> Reader:
    """Return how the field of a generic chunk is read."""
    match name:
        case "src_ip":
            return _SRC_IP
        case "dst_ip":
            return _DST_IP
        case "proto_type":
            return ProtoType()
        case "payload":
            return Payload()
        case "capture_id":  # HEP2 has 16 bits of it, in the sender's byte order
            return Attribute(name)
    if kind is Kind.TEXT:
        return Text(spec.type_id)
    return (
        Number(spec.type_id, spec.type.size or 0) if spec.type.is_number else Octets(spec.type_id)
    )


_SRC_IP: Final = Address(0x0003, 0x0005)
_DST_IP: Final = Address(0x0004, 0x0006)
_SRC_PORT: Final = Number(0x0007, 2)
_DST_PORT: Final = Number(0x0008, 2)


def _payload_size(view: View) -> Reading:
    payload = view.packet.payload
    return None if payload is None else len(payload)


def chunk_fields() -> list[Field]:
    """Return the fields of the generic chunks."""
    fields: dict[str, Field] = {}
    for spec in GENERIC:
        name = spec.name
        if name in fields or name in {"seconds", "microseconds"}:
            continue
        kind = _kind(name, spec.type)
        fields[name] = Field(
            name=name,
            kind=kind,
            doc=_DOCS[name],
            read=_reader(name, spec, kind).read,
            bits=_BITS.get(spec.type, 0),
            key=ChunkKey(0, spec.type_id),
            edit=name,
            derived_from={
                "ip_family": frozenset({"src_ip", "dst_ip"}),
                "payload": frozenset({"compressed_payload"}),
                "compressed_payload": frozenset({"payload"}),
            }.get(name, frozenset()),
            names=PROTO_TYPES if name == "proto_type" else None,
            labels=PROTO_TYPE_NAMES if name == "proto_type" else None,
        )
    fields["time"] = Field("time", Kind.TIME, _DOCS["time"], Attribute("time_us").read, edit="time")
    return list(fields.values())


def packet_fields() -> list[Field]:
    """Return the fields that are no single chunk."""
    return [
        Field(
            "ip",
            Kind.IP,
            "Either end's address: matches if one of the two does.",
            Both(_SRC_IP, _DST_IP).read,
            several=True,
            derived_from=frozenset({"src_ip", "dst_ip"}),
            made_of=("src_ip", "dst_ip"),
        ),
        Field(
            "port",
            Kind.NUMBER,
            "Either end's port: matches if one of the two does.",
            Both(_SRC_PORT, _DST_PORT).read,
            several=True,
            bits=16,
            derived_from=frozenset({"src_port", "dst_port"}),
            made_of=("src_port", "dst_port"),
        ),
        Field(
            "hep_version",
            Kind.NUMBER,
            "1, 2 or 3; an edit that version 1 or 2 cannot carry makes it 3.",
            Attribute("version").read,
            bits=8,
            most=3,
            derived_from=frozenset({"*"}),
        ),
        Field(
            "size",
            Kind.NUMBER,
            "Octets of the whole HEP packet.",
            lambda view: len(view.packet.data),
            bits=32,
            derived_from=frozenset({"*"}),
        ),
        Field(
            "payload_size",
            Kind.NUMBER,
            "Octets of the payload, after inflating it.",
            _payload_size,
            bits=32,
            derived_from=frozenset({"payload", "compressed_payload"}),
        ),
    ]


def chunk_field(name: str, key: ChunkKey, chunk_type: ChunkType) -> Field:
    """Make the field of a chunk that an operator named in `[chunks]`, or wrote as `vendor:type`."""
    kind = Kind.OCTETS if chunk_type is ChunkType.OCTETS else _kind(name, chunk_type)
    size = chunk_type.size

    def read(view: View) -> Reading:
        body = view.packet.chunk(key)
        if body is None or (size is not None and len(body) != size):
            return None
        if kind is Kind.NUMBER:
            return int.from_bytes(body)
        return body.rstrip(b"\0") if kind is Kind.TEXT else body

    return Field(
        name=name,
        kind=kind,
        doc=f"Chunk 0x{key.vendor_id:04x}:0x{key.type_id:04x}.",
        read=read,
        bits=_BITS.get(chunk_type, 0),
        octets=size or 0,
        key=key,
        edit=key,
    )


def raw_chunk_key(name: str) -> ChunkKey | None:
    """Read `0x0003:0x0065`, vendor and type of a chunk, in hexadecimal or decimal."""
    number = r"(0x[0-9A-Fa-f]{1,4}|[0-9]{1,5})"
    found = re.fullmatch(f"{number}:{number}", name)
    if found is None:
        return None
    vendor_id, type_id = (
        int(part, 0) if part.startswith("0x") else int(part) for part in found.groups()
    )
    return ChunkKey(vendor_id, type_id) if max(vendor_id, type_id) <= 0xFFFF else None
