"""A session description that names nobody: addresses cut, keys and people left out.

Lines are written anew from what is known; a line, or an attribute, that is not known is left out.
Keys of media (`a=crypto`, RFC 4568) never leave.

Source: RFC 8866; RFC 8839 for candidates.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.privacy.hiding import Hiding

MAX_LINES: Final = 2048

_NUMBER: Final = rb"[0-9]{1,10}"
_MEDIA: Final = frozenset(b"audio video image application text message".split())
_FORMATS: Final = frozenset({b"t38", b"*", b"webrtc-datachannel"})
_FLAGS: Final = frozenset(
    b"sendrecv sendonly recvonly inactive rtcp-mux rtcp-rsize ice-lite end-of-candidates "
    b"T38FaxFillBitRemoval T38FaxTranscodingMMR T38FaxTranscodingJBIG".split()
)
_WORDS: Final = {
    b"setup": frozenset(b"active passive actpass holdconn".split()),
    b"connection": frozenset(b"new existing".split()),
    b"T38FaxRateManagement": frozenset(b"localTCF transferredTCF".split()),
    b"T38FaxUdpEC": frozenset(b"t38UDPFEC t38UDPRedundancy t38UDPNoEC".split()),
    b"mid": frozenset(b"audio video data".split()),
}
_NUMBERS: Final = frozenset(
    b"ptime maxptime minptime framerate mid T38FaxVersion T38MaxBitRate T38FaxMaxBuffer "
    b"T38FaxMaxDatagram T38FaxFillBitRemoval T38FaxTranscodingMMR T38FaxTranscodingJBIG "
    b"sctp-port max-message-size".split()
)
_CODEC: Final = re.compile(rb"([0-9]{1,3}) ([A-Za-z0-9.-]{1,24})/([0-9]{1,6})(/[0-9]{1,2})?")
_CODECS: Final = frozenset(
    b"pcmu pcma g722 g723 g728 g729 g729a g729ab g726-16 g726-24 g726-32 g726-40 aal2-g726-32 "
    b"gsm gsm-efr gsm-hr-08 ilbc speex opus amr amr-wb evs silk isac l16 cn telephone-event red "
    b"ulpfec g7221 siren7 siren14 g719 qcelp evrc dvi4 lpc vmr-wb clearmode h261 h263 h263-1998 "
    b"h264 h265 vp8 vp9 av1 rtx jpeg mpv t140 t38 flexfec-03".split()
)
_RANGE: Final = re.compile(rb"[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,3}(-[0-9]{1,3})?){0,16}")
_VALUE: Final = re.compile(rb"[0-9]{1,6}|on|off|yes|no")
_OF_CODEC: Final = frozenset(
    b"annexa annexb mode mode-set mode-change-period mode-change-capability mode-change-neighbor "
    b"octet-align crc max-red bitrate useinbandfec usedtx stereo sprop-stereo maxplaybackrate "
    b"maxaveragebitrate minptime ptime maxptime cbr packetization-mode level-asymmetry-allowed "
    b"profile-level-id max-fs max-fr apt vbr br bw ch-aw-recv evs-mode-switch".split()
)
_CANDIDATE: Final = re.compile(
    rb"(\S{1,64}) ([0-9]{1,3}) (UDP|TCP) ([0-9]{1,10}) (\S{1,255}) ([0-9]{1,5}) "
    rb"typ (host|srflx|prflx|relay)(?: raddr (\S{1,255}) rport ([0-9]{1,5}))?"
    rb"(?: tcptype (active|passive|so))?(?: |$)",
    re.IGNORECASE,
)


def session_without_people(hiding: Hiding, body: bytes) -> bytes | None:
    """Return what leaves of a session description; None where it is none."""
    lines = [line.rstrip(b"\r") for line in body.split(b"\n", MAX_LINES)]
    if lines[0] != b"v=0" or len(lines) > MAX_LINES:
        return None
    if not hiding.hides_anything:
        made = [line for line in lines if not line.startswith((b"a=crypto:", b"k="))]
        return b"\r\n".join(made)
    kept: list[bytes] = []
    for line in lines:
        rewrite = _LINES.get(line[:2])
        new = rewrite(hiding, line[2:].strip()) if rewrite is not None else None
        if new is not None:
            kept.append(line[:2] + new + b"\r\n")
        elif line.startswith(b"m="):
            return None  # what follows would be read as another stream's
    return b"".join(kept)


def _origin(hiding: Hiding, value: bytes) -> bytes | None:
    parts = value.split()
    if len(parts) != 6:
        return None
    place = _place(hiding, b" ".join(parts[3:]))
    version = parts[2] if re.fullmatch(rb"[0-9]{1,6}", parts[2]) else b""
    if place is None:
        return None
    return b"%b %b %b %b" % (
        b"-" if hiding.hides_users or parts[0] == b"-" else hiding.user(parts[0]),
        hiding.number(b"session", parts[1]),
        # A small one counts the offers; others are times, or what nobody knows.
        version or hiding.number(b"version", parts[2]),
        place,
    )


def _place(hiding: Hiding, value: bytes) -> bytes | None:
    """Return `IN IP4 address`, of an origin or a connection, with another address."""
    found = re.fullmatch(rb"IN (IP4|IP6) ([^ /]+)((?:/[0-9]{1,3}){0,2})", value)
    return found and b"IN %b %b%b" % (found[1], hiding.host(found[2]), found[3])


def _bandwidth(_: Hiding, value: bytes) -> bytes | None:
    return value if re.fullmatch(rb"(AS|CT|TIAS|RR|RS):[0-9]{1,8}", value) else None


def _time(_: Hiding, value: bytes) -> bytes | None:
    return value if re.fullmatch(_NUMBER + b" " + _NUMBER, value) else None


def _media(_: Hiding, value: bytes) -> bytes | None:
    parts = value.split()
    if (
        len(parts) < 4
        or parts[0] not in _MEDIA
        or not re.fullmatch(rb"[0-9]{1,5}(/[0-9]{1,2})?", parts[1])
        or not re.fullmatch(rb"(UDP/TLS/|TCP/|TCP/TLS/|DTLS/|TCP/DTLS/)?"
                            rb"(RTP/S?AVPF?|SCTP|udptl|udp|UDP|UDPTL|MSRP|UDP/DTLS/SCTP)", parts[2])
    ):  # fmt: skip
        return None
    formats = [each for each in parts[3:] if each in _FORMATS or re.fullmatch(rb"[0-9]{1,3}", each)]
    return b" ".join((*parts[:3], *(formats or [b"*"])))


def _attribute(hiding: Hiding, value: bytes) -> bytes | None:
    name, colon, rest = value.partition(b":")
    if not colon:
        return name if name in _FLAGS else None
    if name in _NUMBERS and re.fullmatch(rb"[0-9]{1,7}(\.[0-9]{1,3})?", rest):
        return value
    if rest in _WORDS.get(name, ()):
        return value
    made: bytes | None = None
    if name == b"rtpmap":
        found = _CODEC.fullmatch(rest)
        made = rest if found and found[2].lower() in _CODECS else None
    elif name == b"fmtp":
        made = _format(rest)
    elif name == b"rtcp":
        port, _, place = rest.partition(b" ")
        if re.fullmatch(rb"[0-9]{1,5}", port):
            there = _place(hiding, place) if place else None
            made = port + (b" " + there if there else b"")
    elif name == b"candidate":
        made = _candidate(hiding, rest)
    return None if made is None else b"%b:%b" % (name, made)


def _format(value: bytes) -> bytes | None:
    number, _, rest = value.partition(b" ")
    if not re.fullmatch(rb"[0-9]{1,3}", number):
        return None
    if _RANGE.fullmatch(rest.strip()):
        return value
    kept = []
    for part in rest.split(b";"):
        name, _, setting = part.strip().partition(b"=")
        is_profile = name == b"profile-level-id" and re.fullmatch(rb"[0-9a-fA-F]{6}", setting)
        if name.lower() in _OF_CODEC and (is_profile or _VALUE.fullmatch(setting)):
            kept.append(b"%b=%b" % (name, setting))
    return b"%b %b" % (number, b";".join(kept)) if kept else None


def _candidate(hiding: Hiding, value: bytes) -> bytes | None:
    found = _CANDIDATE.match(value)
    if found is None:
        return None
    foundation, component, transport, priority, place, port, kind, related, at, tcp = found.groups()
    made = [
        *(hiding.identifier(b"candidate", foundation), component, transport, priority),
        *(hiding.host(place), port, b"typ", kind),
    ]
    if related is not None:
        made += [b"raddr", hiding.host(related), b"rport", at]
    if tcp is not None:
        made += [b"tcptype", tcp]
    return b" ".join(made)


_LINES: Final[dict[bytes, Callable[[Hiding, bytes], bytes | None]]] = {
    b"v=": lambda _, value: value if value == b"0" else None,
    b"o=": _origin,
    b"s=": lambda _, __: b"-",
    b"c=": _place,
    b"b=": _bandwidth,
    b"t=": _time,
    b"m=": _media,
    b"a=": _attribute,
}
