"""Write `hepsw-fields.7` from the field catalogue.

Run it from the checkout after a change of the catalogue: `python -m man.make_fields`. A test
compares the page with what `page` returns, so the two cannot drift apart.
"""
# ruff: noqa: E501, INP001 - roff wants a sentence a line; a script beside the page that it writes

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hepsw import __version__
from hepsw.fields import CATALOGUE, GEO, Field, Kind, geo_field, header_field
from hepsw.hep import GENERIC, PROTO_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).with_name("hepsw-fields.7")
DATE: Final = "2026-11-23"

INTRODUCTION: Final = r"""
Every name that a rule can match, that a template can print, and that
.B set
and
.B unset
can change.
Names are the same in all places.
.PP
A field that a packet lacks is missing: it fails every comparison, and a template prints nothing for it.
Of a chunk that comes twice the last one is read.
A chunk whose size is not that of its type is read as missing, and travels on as it is.
.PP
Fields of chunks and of the payload are claims of the sender; those under
.B TRANSPORT
are what the socket says.
HEP 1 carries the addresses, the ports,
.BR ip_family ,
.B ip_protocol
and the payload; HEP 2 also
.B time
and a
.B capture_id
of 16 bits.
Neither says what the payload is, so
.B proto_type
reads as SIP.
.SS Kinds
.TP
.B number
A whole number of the width given, in network order on the wire.
.TP
.B decimal
A number that may have a fraction.
It is compared as a number, a value, a range as in \(dq0.5\-2.5\(dq, or with
.BR ge ", " gt ", " le " and " lt ,
and printed with ten digits at most.
.TP
.B ip
An IPv4 or IPv6 address, without a zone.
.TP
.B text
Octets that people read.
NULs at their end do not count.
Nothing is assumed about their encoding; what is written in TOML is compared as UTF-8, and expressions look at octets.
.TP
.B octets
Octets as they are.
.TP
.B time
Microseconds since the epoch, written as RFC 3339 or as a number, printed as RFC 3339 in UTC.
.TP
.B mac
A MAC address of six octets, or of eight where the agent filled the whole chunk.
.TP
.B json
Whatever a JSON payload has there: a text, a number, or true and false.
What is written in TOML is compared with its like: a text with texts, exactly; a number with numbers; true and false with these.
A text is never a range.
.BR ge ", " gt ", " le " and " lt
see numbers only;
.BR prefix ", " re
and the other operators of texts see texts only.
"""

PAYLOAD: Final = r"""
They are read when a rule first asks, and once; a packet of whose payload nothing is asked costs nothing for it.
A compressed payload is inflated first.
In a table with
.B "parse = \(dqnever\(dq"
asking for any of them is an error (HEP117).
What cannot be read is missing, and no payload is ever refused.
"""

SIP: Final = r"""
The payload is read as SIP where
.B proto_type
is SIP; in HEP 1 and 2, which do not say it, where it does not begin with {; and after a rule with
.B resume
whatever the type.
Elsewhere all of these are missing,
.B sip.kind
too.
Values are pieces of the message as it came: no case is changed and nothing is unescaped.
"""

RTCP: Final = r"""
Of payloads whose type is RTCP (5), which agents write as JSON, and of HEP 1 and 2 whose payload begins with {.
Of several report blocks the worst value counts.
"""

VQ: Final = r"""
Of vq\-rtcpxr reports (RFC 6035), whatever the type: the body of a SIP PUBLISH, or a payload of its own.
Local metrics count; remote ones where a report has no others.
"""

JSON: Final = r"""
Of JSON payloads, whatever the type.
.TP
.B json.\(dqdotted.path\(dq
What stands at a path of keys and, in lists, numbers from 0: json.\(dqstreams.0.codec\(dq.
The path is quoted; without dots in it, it need not be.
Objects and lists themselves, and null, are missing.
.br
json; cannot be set.
"""

LOOKED_UP: Final = r"""
.TP
.B map.<name>
What the key of
.B [maps.<name>]
stands for there; of a packet that lacks the key, or has one without an entry, the default.
.br
text, or a number of 64 bits where the values of the map are numbers; cannot be set.
"""

CALL: Final = r"""
Of a packet that is read as SIP the Call\-ID, of every other the correlation id, and of SIP without a Call\-ID too.
"""

CHUNKS: Final = r"""
Any other chunk is a field too, named by vendor id and type id in quotes, in hexadecimal or decimal:
.BR \(dq0x0003:0x0065\(dq .
Its kind is octets.
A chunk that is named in
.B [chunks]
of
.BR hepsw.toml (5)
is a field of the type given there:
.BR uint8 ,
.BR uint16 ,
.B uint32
and
.B uint64
are numbers,
.B inet4
and
.B inet6
addresses,
.B utf8
text,
.B octets
octets.
A chunk that has a name in the first section goes by that name alone: neither its numbers nor
.B [chunks]
give it another.
A chunk of a vendor never stands for the generic chunk with the same type id.
The one exception are frames that hold no generic chunk at all (FreeSWITCH's Kazoo, eep\-um): their chunks are read as the generic ones.
"""


def page() -> str:
    """Return the page."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield r".\" Made by make_fields.py from hepsw/fields: change it there."
    yield f'.TH HEPSW-FIELDS 7 "{DATE}" "hepsw {__version__}" "hepsw manual"'
    yield ".SH NAME"
    yield r"hepsw-fields \- the fields that rules of hepsw match, set and print"
    yield ".SH DESCRIPTION"
    yield INTRODUCTION.strip()
    fields = [field for field in CATALOGUE.values() if not field.parses]
    yield ".SH CHUNKS"
    for field in fields:
        if _ids(field):
            yield from _entry(field)
    yield ".SH DERIVED FIELDS"
    for field in fields:
        if field.derived_from and not _ids(field):
            yield from _entry(field)
    yield from _payload()
    yield ".SH MAPS AND PLACES"
    yield LOOKED_UP.strip()
    for name in GEO:
        yield from _entry(geo_field(name, None))
    yield ".SH TRANSPORT"
    for field in fields:
        if not field.derived_from and not _ids(field):
            yield from _entry(field)
    yield ".SH OTHER CHUNKS"
    yield CHUNKS.strip()
    yield ".SH PAYLOAD TYPES"
    yield "Names that may be written for"
    yield ".BR proto_type ,"
    yield "in upper or lower case; the number may always be written instead."
    yield "A template prints the name where there is one."
    yield ".PP"
    yield ".nf"
    for name, number in PROTO_TYPES.items():
        yield rf"{number:>5}  \fB{_roff(name)}\fR"
    yield ".fi"
    yield ".SH SEE ALSO"
    yield ".BR hepsw (1),"
    yield ".BR hepsw.toml (5)"


def _payload() -> Iterator[str]:
    yield ".SH FIELDS OF THE PAYLOAD"
    yield PAYLOAD.strip()
    header = header_field("sip.header.<Name>")
    assert header is not None  # noqa: S101 - that is a name of a header
    for heading, about, group, others in (
        ("SIP", SIP, "sip.", [header]),
        ("RTCP", RTCP, "rtcp.", []),
        ("Voice quality", VQ, "vq.", []),
        ("JSON", JSON, "json.", []),
    ):
        yield f'.SS "{heading}"'
        yield about.strip()
        for field in CATALOGUE.values():
            if field.name.startswith(group):
                yield from _entry(field)
        for field in others:
            yield from _entry(field)
    yield '.SS "The call"'
    yield CALL.strip()
    yield from _entry(CATALOGUE["call"])


def _entry(field: Field) -> Iterator[str]:
    yield ".TP"
    yield f".B {_roff(field.name)}"
    yield _sentence(field.doc)
    yield ".br"
    facts = [_kind(field)]
    ids = _ids(field)
    if ids:
        facts.append(f"chunk{'s' * (len(ids) > 1)} {' and '.join(f'0x{key:04x}' for key in ids)}")
    facts.append("can be set" if field.edit is not None else "cannot be set")
    yield f"{'; '.join(facts)}."


def _kind(field: Field) -> str:
    return f"number of {field.bits} bits" if field.kind is Kind.NUMBER else field.kind.value


def _ids(field: Field) -> list[int]:
    """Return the type ids of the generic chunks that hold a field."""
    names = {"seconds", "microseconds"} if field.kind is Kind.TIME else {field.name}
    return [spec.type_id for spec in GENERIC if spec.name in names]


def _sentence(text: str) -> str:
    escaped = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", _roff(text))
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _roff(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
