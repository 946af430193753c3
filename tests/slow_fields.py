"""Fields read the slow way: every value that a packet has for a name, in plain Python.

What the oracle sees of a packet. It shares nothing with the field catalogue: names are taken apart
as they are written, maps and chunks are looked up in the raw document. The readers of payloads are
the public ones of `hepsw.payload`, which have tests of their own.

Numbers are int or float, addresses objects of `ipaddress`, texts and octets bytes. A boolean found
in JSON is the text `true` or `false`. A field that the packet lacks has no values.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from functools import cached_property

from hepsw.hep import PROTO_TYPE_NAMES, PROTO_TYPES, ChunkKey
from hepsw.payload import RtcpReport, SipMessage, VqReport
from hepsw.payload.json_payload import documents

NUMBERS = {
    *("ip_family", "ip_protocol", "src_port", "dst_port", "port", "proto_type", "capture_id"),
    *("keep_alive", "vlan", "ether_type", "tcp_flags", "tos", "mos", "r_factor", "jitter"),
    *("tag_type", "event_type", "hep_version", "size", "payload_size", "peer_port", "local_port"),
    *("sip.status", "sip.cseq"),
}
DECIMALS = {
    *("rtcp.loss_pct", "rtcp.jitter_ms", "rtcp.rtt_ms"),
    *("vq.mos_lq", "vq.mos_cq", "vq.loss_pct", "vq.jitter_ms"),
}
ADDRESSES = {"src_ip", "dst_ip", "ip", "peer_ip", "local_ip"}
OCTETS = {"payload", "compressed_payload"}
GROUPS = ("sip", "rtcp", "vq", "json", "map")
"""What may stand before the dot of a field's name. There are no geo files in tests."""
TYPE_KINDS = {
    **dict.fromkeys(("uint8", "uint16", "uint32", "uint64"), "number"),
    **dict.fromkeys(("inet4", "inet6"), "address"),
    "utf8": "text",
    "octets": "octets",
}
"""What the type of a named chunk makes of it."""
WIDTHS = {"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8, "inet4": 4, "inet6": 16}


@dataclass(frozen=True)
class Seen:
    """A packet as it stands at some rule: what it says, who brought it, how it is read."""

    packet: object
    peer: object
    document: dict
    """The whole configuration, as TOML gave it."""
    resumed: bool = False
    """True behind a `resume`: the payload is read as SIP whatever its type."""

    def edited(self, packet):
        """Return the same with another packet."""
        return replace(self, packet=packet)

    def kind(self, name):
        """Return what sort of value a field has."""
        if name in self.document.get("chunks", {}):
            return TYPE_KINDS[self.document["chunks"][name]["type"]]
        if name in NUMBERS:
            return "number"
        if name in DECIMALS:
            return "decimal"
        if name in ADDRESSES:
            return "address"
        if name.startswith("json."):
            return "json"
        if name.startswith("map."):
            written = self.document["maps"][name.removeprefix("map.")]
            return "number" if isinstance(next(iter(written["entries"].values())), int) else "text"
        if name == "time":
            return "time"
        if name.endswith("_mac"):
            return "mac"
        return "octets" if name in OCTETS or ":" in name else "text"

    def first(self, name):
        """Return the first value of a field, None where the packet lacks it."""
        return next(iter(self.values(name)), None)

    def values(self, name):
        """Return every value that the packet has for a field."""
        packet = self.packet
        group, dot, rest = name.partition(".")
        if name in self.document.get("chunks", {}):
            return self.named_chunk(self.document["chunks"][name])
        if dot and group in GROUPS:
            return getattr(self, group)(rest.strip('"'))
        if name == "call":
            return self.sip("call_id") or self.values("correlation_id")
        if name == "ip":
            return self.values("src_ip") + self.values("dst_ip")
        if name == "port":
            return self.values("src_port") + self.values("dst_port")
        if name == "hep_version":
            return [packet.version]
        if name == "size":
            return [len(packet.data)]
        if name == "payload_size":
            return [] if packet.payload is None else [len(packet.payload)]
        if name.startswith(("peer_", "local_")) or name == "listener":
            return self.transport(name)
        if ":" in name:
            return self.chunks_of(*(int(part, 0) for part in name.split(":")))
        value = packet.time_us if name == "time" else getattr(packet, name)
        if value is None:
            return []
        return [value.rstrip(b"\0") if self.kind(name) == "text" else value]

    def transport(self, name):
        """Return what the socket knows."""
        value = getattr(self.peer, name.removeprefix("peer_"), None)
        if name in ADDRESSES:
            return [ipaddress.ip_address(value)]
        return [] if value is None else [value if isinstance(value, int) else value.encode()]

    def chunks_of(self, vendor_id, type_id):
        """Return the body of the last chunk of a key."""
        body = self.packet.chunk(ChunkKey(vendor_id, type_id))
        return [] if body is None else [body]

    def named_chunk(self, chunk):
        """Return a chunk of the operator's own, read by its type; of another size it is missing."""
        found = self.chunks_of(chunk["vendor"], chunk["id"])
        width = WIDTHS.get(chunk["type"])
        if not found or (width is not None and len(found[0]) != width):
            return []
        match TYPE_KINDS[chunk["type"]]:
            case "number":
                return [int.from_bytes(found[0])]
            case "address":
                return [ipaddress.ip_address(found[0])]
            case "text":
                return [found[0].rstrip(b"\0")]
        return found

    # --- payloads: one method a group ---

    @cached_property
    def message(self):
        """The payload as SIP, None where it is not to be read as such."""
        packet = self.packet
        payload = packet.payload or b""
        if self.resumed:
            return SipMessage(payload)
        if packet.proto_type != 1 or self.is_old_json:
            return None
        return SipMessage(payload)

    def sip(self, name):
        """Return the values of a sip field."""
        if self.message is None:
            return []
        if name.startswith("header."):
            return list(self.message.header(name.removeprefix("header.")))
        value = getattr(self.message, name)
        if isinstance(value, str):
            value = value.encode()
        return [] if value is None else [value]

    @property
    def is_old_json(self):
        """Whether this is JSON in a version that does not say so; those say SIP of everything."""
        return self.packet.version < 3 and (self.packet.payload or b"")[:1] == b"{"

    def rtcp(self, name):
        """Return what a report of packet loss and delay says."""
        if self.packet.proto_type != 5 and not self.is_old_json:
            return []
        value = getattr(RtcpReport(self.packet.payload or b""), name)
        return [] if value is None else [float(value)]

    def vq(self, name):
        """Return what a phone's report says: a message's body, or a payload of its own."""
        report = self.packet.payload or b""
        if self.message is not None and self.message.kind in {"request", "reply"}:
            report = self.message.body or b""
        value = getattr(VqReport(report), name)
        return [] if value is None else [value]

    @cached_property
    def objects(self):
        """Every JSON document of the payload."""
        return documents(self.packet.payload or b"")

    def json(self, path):
        """Return what stands at a path in the first JSON document that has it."""
        for found in self.objects:
            value = found
            for step in path.split("."):
                if isinstance(value, dict):
                    value = value.get(step)
                elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
                    value = value[int(step)]
                else:
                    value = None
            if isinstance(value, bool):
                value = "true" if value else "false"
            if isinstance(value, str):
                return [value.encode()]
            if isinstance(value, (int, float)):
                return [value]
        return []

    def map(self, name):
        """Return what a map makes of the first value of its key that has an entry.

        An exact entry beats the longest network, that beats a range. Where no value has an entry,
        or where the key is missing, the default stands.
        """
        written = self.document["maps"][name]
        key = written["key"]
        for value in self.values(key):
            entries = written.get("entries", {})
            ranked = [(self.rank(key, value, entry), entry) for entry in entries]
            best = max(ranked, default=(0, ""))
            if best[0]:
                return given_by(entries[best[1]])
        return given_by(written["default"]) if "default" in written else []

    def rank(self, key, value, entry):
        """Return how closely an entry's key describes a value: 0 for not at all."""
        kind = self.kind(key)
        if kind == "address":
            if "/" in entry:
                network = ipaddress.ip_network(entry)
                return 2 + network.prefixlen if value in network else 0
            return 1000 if value == ipaddress.ip_address(entry) else 0
        if kind in {"number", "decimal"}:
            low, dash, high = entry.partition("-")
            if dash:
                return 1 if float(low) <= value and (not high or value <= float(high)) else 0
            return 1000 if value == number_of(self.document, key, entry) else 0
        return 1000 if value == entry.encode() else 0


def number_of(document, name, written):
    """Return the number that a word means."""
    if name == "proto_type":
        own = {word.upper(): number for word, number in document.get("proto_types", {}).items()}
        names = {**PROTO_TYPES, **own}
        if written.upper() in names:
            return names[written.upper()]
    return float(written) if "." in written else int(written)


def name_of(document, proto_type):
    """Return the name of a payload type, or its number as text."""
    own = {word.upper(): number for word, number in document.get("proto_types", {}).items()}
    for word in reversed(own):
        if own[word] == proto_type:
            return word
    name = PROTO_TYPE_NAMES.get(proto_type)
    return str(proto_type) if name is None or name in own else name  # who renamed it took it away


def given_by(written):
    """Return what a map gives: a number, a text, or a list of texts."""
    items = written if isinstance(written, list) else [written]
    return [item if isinstance(item, int) else item.encode() for item in items]
