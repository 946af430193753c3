"""What a destination makes of a packet before it leaves.

The order is fixed, whatever the order of the keys: inflate, `set` and `unset`, `privacy`,
`auth_key`, `hep`, compress, and then the size is looked at. So what rules and the destination write
is seen by the privacy profile, and nothing but the key is added behind it.

A packet that none of this touches leaves byte for byte; of others every chunk that is not named
keeps its place and its octets. Destinations call `leave` for each packet unless `is_plain`.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.compiler.edits import Edits
from hepsw.errors import CannotLeaveError, EditError
from hepsw.hep import Chunk, decode, edit, encode, encode_v1, encode_v2, to_v3
from hepsw.hep.chunks import MAX_TOTAL_LENGTH, PROTO_RTCP, PROTO_SIP
from hepsw.hep.encode import is_rtcp_json
from hepsw.hep.splice import pieces_of, spliced
from hepsw.privacy import Anonymiser

if TYPE_CHECKING:
    from hepsw.config.configuration import DestinationSettings
    from hepsw.hep import Packet
    from hepsw.view import View

LARGEST_DATAGRAM: Final = 65507
"""Octets of payload that UDP over IPv4 carries; a name may come to stand for an IPv4 address."""
STREAMS: Final = frozenset({"tcp", "tls"})
_PAYLOAD: Final = 0x000F
_COMPRESSED: Final = 0x0010
_MESSAGES: Final = frozenset({"request", "reply"})


class WayOut:
    """The way out of one destination; its edits are prepared once."""

    def __init__(self, settings: DestinationSettings) -> None:
        schemes = {url.scheme for url in settings.urls}
        self._is_sip = "sip" in schemes
        self._is_stream = not schemes.isdisjoint(STREAMS)
        self._inflates = (
            settings.compress == "inflate" or settings.privacy is not None or self._is_sip
        )
        self._must_inflate = settings.compress == "inflate" or self._is_sip
        self._compresses = settings.compress == "payload"
        self._hep = 0 if settings.hep == "keep" else settings.hep
        self._edits = Edits(settings.edits) if settings.edits else None
        self._privacy = None if settings.privacy is None else Anonymiser(settings.privacy)
        self._key = None if settings.auth_key is None else settings.auth_key.reveal()
        self._key_pieces = None if self._key is None else pieces_of("auth_key", self._key)
        self.largest = min(
            MAX_TOTAL_LENGTH if url.scheme in STREAMS else LARGEST_DATAGRAM for url in settings.urls
        )
        """Octets that every url of the destination can carry."""
        self.is_plain = (
            not self._inflates
            and not self._compresses
            and not self._hep
            and self._edits is None
            and self._key is None
        )
        """Whether what leaves is `view.packet.data` as it is. Whoever sends it then looks at what
        the url at hand cannot carry: HEP 1 and 2 on a stream, and the size."""
        self.refused: Counter[str] = Counter()
        """Edits that were not made, by reason, as a rule's."""

    def leave(self, view: View) -> bytes:
        """Return what leaves: a HEP frame, or for `sip://` the payload alone.

        Raises:
            CannotLeaveError: nothing does; the reason is one of `Reason`.
        """
        if self._inflates:
            view = self._inflated(view)
        if self._edits is not None:
            view = self._edits.carried_out(view, self.refused)
        if self._privacy is not None:
            view = self._private(view, self._privacy)
        if self._is_sip:
            data = _message(view)
        else:
            packet = view.packet
            if self._key is not None:
                packet = self._stamped(packet, view)
            if self._hep not in {0, packet.version}:
                packet = _converted(packet, self._hep, view)
            if self._compresses:
                packet = _compressed(packet)
            if self._is_stream and packet.version != 3:
                raise CannotLeaveError(Reason.VERSION_ON_STREAM)
            data = packet.data
        if len(data) > self.largest:
            raise CannotLeaveError(Reason.TOO_BIG, f"{len(data)} octets")
        return data

    def _inflated(self, view: View) -> View:
        packet = view.packet
        if packet.compressed_payload is None or packet.body(_PAYLOAD) is not None:
            return view
        payload = packet.payload or b""
        inflated = packet.inflated
        if inflated is not None and inflated.warning is not None:
            if self._must_inflate:
                raise CannotLeaveError(Reason.INFLATE_FAILED, inflated.warning)
            return view  # the privacy profile has the say
        return view.edited(_with_payload(packet, _PAYLOAD, payload))

    @staticmethod
    def _private(view: View, privacy: Anonymiser) -> View:
        try:
            packet = privacy.rewritten(view.packet, as_sip=view.resumed)
        except EditError as error:
            raise CannotLeaveError(_reason(error, Reason.PRIVACY), str(error)) from error
        if packet is None:
            raise CannotLeaveError(Reason.PRIVACY)
        return view.edited(packet)

    def _stamped(self, packet: Packet, view: View) -> Packet:
        """Return the packet with our key and no other."""
        if self._key_pieces is not None:
            made = spliced(packet, self._key_pieces)
            if made is not None:
                return made
        try:
            return edit(packet, {"auth_key": self._key}, view.received_us)
        except EditError as error:
            raise CannotLeaveError(_reason(error, Reason.CANNOT_STAMP), str(error)) from error


def _message(view: View) -> bytes:
    """Return the SIP message that a packet carries, as it is carried."""
    sip = view.sip
    payload = view.packet.payload
    if sip is None or payload is None or sip.kind not in _MESSAGES:
        raise CannotLeaveError(Reason.NOT_SIP)
    return payload


def _converted(packet: Packet, version: int, view: View) -> Packet:
    """Return a packet in another version of HEP."""
    try:
        if version == 3:
            return to_v3(packet, view.received_us)
        return decode(_legacy(packet, version, view))
    except EditError as error:
        raise CannotLeaveError(_reason(error, Reason.CANNOT_CONVERT), str(error)) from error


def _legacy(packet: Packet, version: int, view: View) -> bytes:
    """Return a packet as HEP 1 or 2; what their header has no place for does not leave.

    Raises:
        EditError: it cannot say what the packet says.
    """
    source, destination, protocol = packet.src_address, packet.dst_address, packet.ip_protocol
    if source is None or destination is None or protocol is None:
        raise CannotLeaveError(Reason.CANNOT_CONVERT, "no addresses, or no protocol")
    payload = packet.payload or b""
    inflated = packet.inflated
    if inflated is not None and inflated.warning is not None:
        raise CannotLeaveError(Reason.INFLATE_FAILED, inflated.warning)
    proto_type = packet.proto_type
    # Readers take the payload for SIP unless it begins as JSON does.
    is_sip = proto_type == PROTO_SIP and (packet.version < 3 or not payload.startswith(b"{"))
    is_rtcp = proto_type in {PROTO_SIP, PROTO_RTCP} and is_rtcp_json(payload)
    if not is_sip and not is_rtcp:
        raise CannotLeaveError(Reason.CANNOT_CONVERT, f"payload of type {proto_type}")
    if version == 1:
        return encode_v1(
            src_ip=source,
            dst_ip=destination,
            src_port=packet.src_port or 0,
            dst_port=packet.dst_port or 0,
            ip_protocol=protocol,
            payload=payload,
        )
    time_us = packet.time_us
    return encode_v2(
        src_ip=source,
        dst_ip=destination,
        src_port=packet.src_port or 0,
        dst_port=packet.dst_port or 0,
        ip_protocol=protocol,
        payload=payload,
        time=view.received_us if time_us is None else time_us,
        capture_id=packet.capture_id or 0,
    )


def _compressed(packet: Packet) -> Packet:
    """Return a packet with its payload in a zlib container, as captagent writes it.

    HEP 1 and 2 have no place for one; a payload that would not get smaller stays.
    """
    payload = packet.body(_PAYLOAD) if packet.version == 3 else None
    if not payload:
        return packet
    made = zlib.compress(payload)
    return _with_payload(packet, _COMPRESSED, made) if len(made) < len(payload) else packet


def _with_payload(packet: Packet, type_id: int, body: bytes) -> Packet:
    """Return a packet with its payload in another chunk, in the place of the one it had.

    Raises:
        CannotLeaveError: the frame would be too big.
    """
    keys = {packet.key_of(_PAYLOAD), packet.key_of(_COMPRESSED)}
    new = Chunk(*packet.key_of(type_id), body)
    chunks: list[Chunk] = []
    is_written = False
    for chunk in packet.chunks():
        if chunk.key not in keys:
            chunks.append(chunk)
        elif not is_written:
            chunks.append(new)
            is_written = True
    try:
        return decode(encode(chunks, packet.magic))
    except EditError as error:
        raise CannotLeaveError(Reason.TOO_BIG, str(error)) from error


def _reason(error: EditError, other: Reason) -> Reason:
    return Reason.TOO_BIG if error.reason == "too-big" else other
