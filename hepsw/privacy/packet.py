"""A packet that names nobody: each chunk by what the registry says it holds.

Numbers of the registry stay, in their size. Addresses are cut, texts that name an agent or a call
become tokens, the payload is read and written anew. What may hold anything (chunks of vendors, of
numbers that the registry does not have, free texts) goes, unless the profile keeps what it cannot
read. The authentication key, and the hardware addresses of devices, never leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.hep import Chunk, decode, edit, encode, strip_nuls
from hepsw.hep.chunks import PROTO_RTCP, PROTO_SIP, SPEC_BY_ID, namespace_ids
from hepsw.privacy.hiding import Hiding
from hepsw.privacy.reports import rtcp_without_people
from hepsw.privacy.sip import message_without_people
from hepsw.privacy.vq import report_without_people

if TYPE_CHECKING:
    from hepsw.hep import ChunkKey, Packet
    from hepsw.privacy.profile import PrivacyProfile

PROTO_VQ: Final = 35
_ADDRESSES: Final = frozenset({0x0003, 0x0004, 0x0005, 0x0006})
_AUTH_KEY: Final = 0x000E
_CORRELATION_ID: Final = 0x0011
_NAMES: Final = frozenset({0x0013, 0x0029})
"""Of the agent, of its group."""
_MACS: Final = frozenset({0x0014, 0x0015})
_PAYLOADS: Final = frozenset({0x000F, 0x0010})
_TRANSACTION: Final = 0x0024
_TRANSACTIONS: Final = frozenset({b"call", b"registration"})


class Anonymiser:
    """What one profile makes of packets."""

    def __init__(self, profile: PrivacyProfile) -> None:
        self._profile = profile
        self._hiding = Hiding(profile)

    def rewritten(self, packet: Packet, *, as_sip: bool = False) -> Packet | None:
        """Return what leaves of a packet; None where it must not, for it cannot be read.

        Args:
            packet: of any version.
            as_sip: whether a rule said to read the payload as SIP, whatever its type.

        Raises:
            EditError: what is written is more than the frame can hold.
        """
        payload = packet.payload
        made = None if payload is None else self._payload(packet, payload, as_sip=as_sip)
        if made is None and payload is not None and self._profile.other != "keep":
            return None
        if packet.version != 3:
            return self._legacy(packet, made)
        return decode(encode(self._chunks(packet, made), packet.magic))

    # --- the payload -----------------------------------------------------------------------------

    def _payload(self, packet: Packet, payload: bytes, *, as_sip: bool) -> bytes | None:
        """Return what leaves of a payload; None where it cannot be read."""
        if not payload:
            # What does not inflate is empty as well, and nobody has read it.
            inflated = packet.inflated
            return None if inflated is not None and inflated.warning is not None else b""
        hiding = self._hiding
        proto_type = packet.proto_type
        if packet.version != 3 and not as_sip and payload.startswith(b"{"):
            proto_type = PROTO_RTCP
        if as_sip or proto_type == PROTO_SIP:
            return message_without_people(hiding, self._profile, payload)
        if proto_type == PROTO_RTCP:
            return rtcp_without_people(hiding, payload)
        if proto_type == PROTO_VQ:
            return report_without_people(hiding, payload)
        return None

    # --- the frame -------------------------------------------------------------------------------

    def _legacy(self, packet: Packet, payload: bytes | None) -> Packet:
        """Write HEP 1 or 2; the last two octets of the header of HEP 2 are somebody's memory."""
        changes: dict[str | ChunkKey, int | bytes | None] = {}
        for name, address in (("src_ip", packet.src_address), ("dst_ip", packet.dst_address)):
            if address is not None:
                changes[name] = self._hiding.packed(address)
        if payload is not None:
            changes["payload"] = strip_nuls(payload)
        edited = edit(packet, changes, 0)
        span = edited.payload_span
        if edited.version != 2 or span is None:
            return edited
        data = edited.data
        return decode(data[: span[0] - 2] + bytes(2) + data[span[0] :])

    def _chunks(self, packet: Packet, payload: bytes | None) -> list[Chunk]:
        """Write the chunks of HEP 3; without a payload, the one that there is stays as it is."""
        namespace = packet.namespace
        generic = namespace_ids(namespace) if namespace else frozenset()
        made: list[Chunk] = []
        is_written = False
        for chunk in packet.chunks():
            is_known = chunk.vendor_id == 0 or (
                chunk.vendor_id == namespace and chunk.type_id in generic
            )
            if is_known and chunk.type_id in _PAYLOADS:
                if payload is None:
                    made.append(chunk)
                elif not is_written:
                    # Once, where the first one stood, whatever else was to be a payload.
                    made.append(Chunk(chunk.vendor_id, 0x000F, payload))
                    is_written = True
                continue
            body = self._known(chunk) if is_known else self._unknown(chunk.body)
            if body is not None:
                made.append(Chunk(chunk.vendor_id, chunk.type_id, body))
        return made

    def _known(self, chunk: Chunk) -> bytes | None:
        """Return what leaves of a generic chunk; None: nothing."""
        hiding = self._hiding
        type_id, body = chunk.type_id, chunk.body
        spec = SPEC_BY_ID.get(type_id)
        if type_id == _AUTH_KEY:
            return None
        if spec is None:
            return self._unknown(body)
        if spec.type.size is not None and len(body) != spec.type.size:
            return self._unknown(body)
        if type_id in _ADDRESSES:
            return hiding.packed(body)
        if type_id in _MACS:
            return None if hiding.hides_anything else body
        if spec.type.is_number:
            return body
        if type_id == _CORRELATION_ID:
            return hiding.call(strip_nuls(body).strip())
        if type_id in _NAMES:
            return hiding.name(strip_nuls(body))
        if type_id == _TRANSACTION and strip_nuls(body).lower() in _TRANSACTIONS:
            return body
        return self._unknown(body)

    def _unknown(self, body: bytes) -> bytes | None:
        """Return what leaves of what may hold anything."""
        is_kept = self._profile.other == "keep" or not self._hiding.hides_anything
        return body if is_kept else None
