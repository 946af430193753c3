"""Changing named fields of a packet while every other octet stays.

`edit` is what the action `set` of a rule calls. It makes a new packet: chunks are replaced where
they stand, what is new goes to the end, and chunks that nobody named, vendor and unknown ones
included, keep their place and their octets. HEP1 and HEP2 keep their version as long as their
header can say what is asked.

Source: HEP3 rev. 37; hepsw's rules for faithful relaying.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hepsw.errors import EditError
from hepsw.hep._legacy import TIME_HEADER_SIZE, decode_legacy
from hepsw.hep._scan import HEADER, HEADER_SIZE
from hepsw.hep.chunks import FAMILY_IPV4, MAX_TOTAL_LENGTH, SPEC_BY_ID, SPECS_BY_NAME, ChunkKey
from hepsw.hep.decoding import decode
from hepsw.hep.encode import (
    body_of,
    chunk_header,
    family_of,
    packed_address,
    packed_number,
    split_time,
    to_v3,
)
from hepsw.hep.packet import is_ipv6_family

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepsw.hep.packet import Packet

    Changes = Mapping[str | ChunkKey, int | bytes | None]

_SIDES: Final = {"src_ip": (0x0003, 0x0005), "dst_ip": (0x0004, 0x0006)}
_HEADER_PLACES: Final = {"ip_protocol": (3, 1), "src_port": (4, 2), "dst_port": (6, 2)}
"""Offset and size of the numbers at the start of HEP1 and HEP2."""
_HEP1_FIELDS: Final = frozenset({*_HEADER_PLACES, *_SIDES, "ip_family", "payload"})
_LEGACY_FIELDS: Final = {1: _HEP1_FIELDS, 2: _HEP1_FIELDS | {"time", "capture_id"}}
"""What the fixed header can say, by version."""


def edit(packet: Packet, changes: Changes, received_us: int) -> Packet:
    """Return the packet with some fields changed; the given one stays as it was.

    The first chunk of a field is replaced where it stands and its repetitions go; a field that is
    absent is appended. An address that changes its family changes its chunk id, and the family
    chunk if there is one. HEP1 and HEP2 become HEP3 when their header cannot carry a change.

    Args:
        packet: of any version.
        changes: new values by the names of the registry, `time` (microseconds since the epoch),
            `src_ip` and `dst_ip` (packed), or a `ChunkKey` for raw octets. None removes every
            occurrence. Setting or removing `payload` removes a compressed one.
        received_us: when the packet arrived; the time of a HEP1 packet that becomes HEP3.

    Raises:
        EditError: "does-not-fit", a value its chunk cannot hold; "family", an ip_family that
            contradicts the addresses; "too-big", more than 65535 octets; "vendor-namespace", a
            change after which the fields of the frame would be read from other chunks.
        KeyError: a name that is not in the registry.
    """
    if not changes:
        return packet
    if packet.version != 3:
        legacy = _edit_legacy(packet, changes)
        if legacy is not None:
            return legacy
        packet = to_v3(packet, received_us)
    plan = _Plan(packet)
    for name, value in changes.items():
        if isinstance(name, ChunkKey):
            plan.raw(name, value)
        else:
            plan.field(name, value)
    addresses = _addresses_after(packet, changes)
    if not _SIDES.keys().isdisjoint(changes):
        _align_family(packet, changes, addresses, plan)
    edited = decode(plan.rewritten())
    if edited.namespace != packet.namespace:
        # A generic chunk beside those of Kazoo or eep-um would unset every field of the frame.
        raise EditError("vendor-namespace", "the frame has its fields under a vendor id")
    if "ip_family" in changes and (
        (edited.src_address, edited.dst_address) != addresses
        or not _agrees(edited.ip_family, addresses)
    ):
        raise EditError("family", f"{edited.ip_family} contradicts the addresses")
    return edited


@dataclass(slots=True)
class _Slot:
    """The one chunk that takes the place of all chunks of a field."""

    octets: bytes
    """Header and body, empty to remove the field."""
    is_written: bool = False


class _Plan:
    """Which chunks of one HEP3 packet are replaced, and by what."""

    def __init__(self, packet: Packet) -> None:
        self._packet = packet
        self._slots: dict[tuple[int, int], _Slot] = {}

    def field(self, name: str, value: int | bytes | None) -> None:
        """Replace, append or, for None, remove a field by its name."""
        if name == "time":
            seconds, microseconds = (None, None) if value is None else split_time(value)
            self.known(0x0009, seconds)
            self.known(0x000A, microseconds)
        elif name in _SIDES:
            both = _SIDES[name]
            is_ipv6 = value is not None and len(packed_address(value)) == 16
            # Whichever kind comes first marks the place; the other kind must not remain.
            slot = self._slot(self._packet.key_of(both[is_ipv6]), both[is_ipv6], value)
            for type_id in both:
                self._slots[self._packet.key_of(type_id)] = slot
        else:
            self.known(SPECS_BY_NAME[name][0].type_id, value)
            if name == "payload":
                self.known(0x0010, None)

    def known(self, type_id: int, value: int | bytes | None) -> None:
        """Replace, append or remove a chunk of the registry, in the namespace of the packet."""
        key = self._packet.key_of(type_id)
        self._slots[key] = self._slot(key, type_id, value)

    def raw(self, key: ChunkKey, value: int | bytes | None) -> None:
        """Replace, append or remove the chunk of a key, known or not."""
        is_known = key.type_id in SPEC_BY_ID and key == self._packet.key_of(key.type_id)
        self._slots[key] = self._slot(key, key.type_id if is_known else None, value)

    @staticmethod
    def _slot(key: ChunkKey, type_id: int | None, value: int | bytes | None) -> _Slot:
        if value is None:
            return _Slot(b"")
        body = body_of(type_id, value)
        if len(body) > MAX_TOTAL_LENGTH - 2 * HEADER_SIZE:
            raise EditError("too-big", f"a chunk of {len(body)} octets")
        return _Slot(chunk_header(*key, HEADER_SIZE + len(body)) + body)

    def rewritten(self) -> bytes:
        """Return the frame after the changes; the runs between them are copied as they are."""
        data = self._packet.data
        slots = self._slots
        parts: list[bytes] = []
        kept = offset = HEADER_SIZE
        while offset < len(data):
            vendor_id, type_id, length = HEADER.unpack_from(data, offset)
            end = offset + length
            slot = slots.get((vendor_id, type_id))
            if slot is not None:
                parts.append(data[kept:offset])
                kept = end
                if not slot.is_written:
                    parts.append(slot.octets)
                    slot.is_written = True
            offset = end
        parts.append(data[kept:])
        for slot in slots.values():
            if not slot.is_written:
                parts.append(slot.octets)
                slot.is_written = True
        total = HEADER_SIZE + sum(map(len, parts))
        if total > MAX_TOTAL_LENGTH:
            raise EditError("too-big", f"{total} octets")
        return b"".join((self._packet.magic, total.to_bytes(2, "big"), *parts))


Addresses = tuple[bytes | None, bytes | None]


def _addresses_after(packet: Packet, changes: Changes) -> Addresses:
    """Return source and destination as the edited packet is to have them."""
    return (
        _address_after(changes, "src_ip", packet.src_address),
        _address_after(changes, "dst_ip", packet.dst_address),
    )


def _address_after(changes: Changes, name: str, address: bytes | None) -> bytes | None:
    if name not in changes:
        return address
    value = changes[name]
    return None if value is None else packed_address(value)


def _align_family(packet: Packet, changes: Changes, after: Addresses, plan: _Plan) -> None:
    """Make the family chunk fit addresses that change, and keep the other side's reading."""
    before = packet.src_address, packet.dst_address
    declared = wanted = packet.ip_family
    if "ip_family" in changes:
        value = changes["ip_family"]
        wanted = value if isinstance(value, int) else None
    elif packet.body_size(0x0001) is not None:
        turned = [
            family_of(new)
            for old, new in zip(before, after, strict=True)
            if new is not None and (old is None or len(old) != len(new))
        ]
        if turned:
            # In a mixed pair, which no family describes, the address that turned has the say.
            wanted = turned[0]
        elif _is_known(declared) and not _agrees(declared, after):
            wanted = next(family_of(address) for address in after if address is not None)
        if wanted is not None and not _means(declared, wanted):
            plan.known(0x0001, wanted)
    if is_ipv6_family(wanted) == is_ipv6_family(declared):
        return
    for name, old in zip(_SIDES, before, strict=True):
        if name not in changes and old is not None:
            # This side may carry both kinds, and the family chose: drop the one that was not read.
            unread = len(old) == 4
            if packet.body_size(_SIDES[name][unread]) == (16 if unread else 4):
                plan.known(_SIDES[name][unread], None)


def _is_known(family: int | None) -> bool:
    return family == FAMILY_IPV4 or is_ipv6_family(family)


def _means(declared: int | None, family: int) -> bool:
    """Return whether a declared family means one of the two that HEP names."""
    return declared == family or (is_ipv6_family(declared) and is_ipv6_family(family))


def _agrees(declared: int | None, addresses: Addresses) -> bool:
    """Return whether a declared family is that of an address; without any, it always is."""
    left = [family_of(address) for address in addresses if address is not None]
    return declared is None or not left or any(_means(declared, family) for family in left)


def _edit_legacy(packet: Packet, changes: Changes) -> Packet | None:
    """Edit a HEP1 or HEP2 packet within its version.

    Its header length, its padding, the byte order of its time and trailing NULs stay as they came:
    nothing but the fields that are named is known to be wrong.

    Returns:
        None if its header cannot carry the changes.

    Raises:
        EditError: as `edit`.
    """
    if not changes.keys() <= _LEGACY_FIELDS[packet.version] or None in changes.values():
        return None
    after = _addresses_after(packet, changes)
    source, destination = after
    span = packet.payload_span
    if source is None or destination is None or span is None or len(source) != len(destination):
        return None
    old = packet.data
    payload = changes.get("payload")
    if isinstance(payload, bytes) and payload.endswith(b"\0"):
        return None  # readers would take them for padding
    byte_order = packet.time_byte_order or "little"
    header = bytearray(old[:8])
    old_size = 16 if len(packet.src_address or b"") == 4 else 40
    new_size = 16 if len(source) == 4 else 40
    if old_size != new_size:
        header[2] = family_of(source)
        if header[1] in {old_size, old_size + TIME_HEADER_SIZE}:  # otherwise sngrep's: no length
            header[1] += new_size - old_size
    time = bytearray(old[old_size : span[0]])
    for name, value in changes.items():
        if name == "ip_family":
            if not isinstance(value, int) or not _agrees(value, after):
                raise EditError("family", f"{value!r} contradicts the addresses")
            header[2] = value
        elif name == "time":
            seconds, microseconds = split_time(0 if value is None else value)
            time[:4] = packed_number(seconds, 4, byte_order)
            time[4:8] = packed_number(microseconds, 4, byte_order)
        elif name == "capture_id":
            if isinstance(value, int) and value > 0xFFFF:
                return None
            time[8:10] = packed_number(value, 2, byte_order)
        elif name in _HEADER_PLACES:
            place, size = _HEADER_PLACES[name]
            header[place : place + size] = packed_number(value, size)
    if payload is None:
        rest = old[span[0] :]
    elif isinstance(payload, bytes):
        rest = payload
    else:
        raise EditError("does-not-fit", f"{payload} as payload")
    data = b"".join((header, source, destination, time, rest))
    if len(data) > MAX_TOTAL_LENGTH:
        raise EditError("too-big", f"{len(data)} octets")
    edited = decode_legacy(data)
    # A time too far off would be read in the other byte order.
    return edited if edited.time_byte_order == packet.time_byte_order else None
