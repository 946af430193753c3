"""A payload read as SIP: lazy, tolerant, bounded.

The field catalogue makes one `SipMessage` a packet, when a rule first asks for a `sip.` field, and
reads properties from it. Whatever the octets are, nothing here raises: a field that cannot be read
is None, and `verdict` says what is wrong with the message. A capture tool labels broken messages;
it neither refuses nor mends them, so every value is a piece of the payload as carried: no change of
case, no unescaping. Only folded headers are joined, by one blank.

The start line is read when something of it is asked for, the header table on the first header, and
the verdict, which looks at everything, on its own.

Source: RFC 3261; RFC 4475 and RFC 5118 for what must be survived.
"""

from __future__ import annotations

from typing import Final, Literal

from hepsw.payload.sip_headers import (
    LISTS,
    Headers,
    canonical,
    read_headers,
    section_end,
)
from hepsw.payload.sip_syntax import (
    MAX_PARTS,
    WHITESPACE,
    address,
    parameter,
    split_outside,
    user_and_domain,
)
from hepsw.payload.sip_verdict import Verdict, verdict_of

Kind = Literal["request", "reply", "malformed", "none"]

MAX_START_LINE: Final = 1 << 16
_FILLER: Final = b"\r\n \t\0"
"""What may stand before a message and is all of a keep-alive."""
_Address = tuple[bytes | None, bytes | None, bytes | None]
"""User, domain and tag."""
_NOBODY: Final[_Address] = (None, None, None)


def small_int(text: bytes, digits: int = 10) -> int | None:
    """Read a decimal number of so many digits, leading zeros apart; None if it is not one.

    Long runs of digits are refused before `int` sees them: it would raise on 4,301 of them.
    """
    if not text.isdigit():
        return None
    if len(text) > digits:
        text = text.lstrip(b"0") or b"0"
    return int(text) if len(text) <= digits else None


class SipMessage:
    """One payload, looked at as SIP.

    Text is octets; None means that the message lacks the field or that it cannot be read.
    """

    __slots__ = (
        "_begin",
        "_body_start",
        "_complete",
        "_content_length",
        "_from",
        "_headers",
        "_headers_start",
        "_kind",
        "_method",
        "_payload",
        "_reason",
        "_ruri",
        "_status",
        "_to",
        "_verdict",
        "_version",
    )

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._kind: Kind | None = None  # until the start line is read
        self._headers: Headers | None = None  # until the header section is read
        self._from: _Address | None = None
        self._to: _Address | None = None
        self._verdict: Verdict | None = None

    def __repr__(self) -> str:
        return f"SipMessage({self._payload!r})"

    # --- the start line --------------------------------------------------------------------------

    @property
    def kind(self) -> Kind:
        """What the start line says.

        A start line that breaks the grammar but still shows what it is, with a blank too many or a
        status of ten digits, is a request or a reply with the verdict `start`. `malformed` is
        everything else, `none` nothing but blanks, line breaks and NULs.
        """
        return self._kind or self._read_start()

    @property
    def verdict(self) -> Verdict:
        """What is wrong with the message, `ok` if nothing; see `hepsw.payload.sip_verdict`."""
        if self._verdict is None:
            self._verdict = verdict_of(self)
        return self._verdict

    @property
    def method(self) -> bytes | None:
        """A request's method; of a reply, the method in its CSeq."""
        if (self._kind or self._read_start()) == "request":
            return self._method
        return self._cseq()[1]

    @property
    def status(self) -> int | None:
        """A reply's status, if it has three digits."""
        if self._kind is None:
            self._read_start()
        return self._status

    @property
    def reason(self) -> bytes | None:
        """A reply's reason phrase, perhaps empty."""
        if self._kind is None:
            self._read_start()
        return self._reason

    @property
    def ruri(self) -> bytes | None:
        """A request's URI, with whatever stands between method and version."""
        if self._kind is None:
            self._read_start()
        return self._ruri

    @property
    def ruri_user(self) -> bytes | None:
        """The user of the request's URI; the number of a `tel:` one."""
        return self._ruri_parts()[0]

    @property
    def ruri_domain(self) -> bytes | None:
        """The host of the request's URI, without port; an IPv6 address keeps its brackets."""
        return self._ruri_parts()[1]

    @property
    def version(self) -> bytes | None:
        """The version as the start line writes it: `SIP/2.0`."""
        if self._kind is None:
            self._read_start()
        return self._version

    @property
    def start_line(self) -> bytes:
        """The first line that is not empty, with blanks and NULs before it, without its end."""
        if self._kind is None:
            self._read_start()
        end = self._payload.find(b"\n", self._begin, self._begin + MAX_START_LINE)
        before = self._payload[: self._begin].rpartition(b"\n")[2]
        return before + self._payload[self._begin : end if end >= 0 else None]

    def _read_start(self) -> Kind:
        payload = self._payload
        self._method = self._ruri = self._reason = self._version = None
        self._status = None
        begin = 0
        if payload[:1] in _FILLER:  # so is an empty payload
            begin = len(payload) - len(payload.lstrip(_FILLER))
        self._begin = begin
        end = payload.find(b"\n", begin, begin + MAX_START_LINE)
        if end < 0:
            end = len(payload)
        self._headers_start = end + 1
        if begin == len(payload):
            self._kind = "none"
            return "none"
        line = payload[begin:end].rstrip(b"\r")
        first, _, rest = line.partition(b" ")
        if first[:4].upper() == b"SIP/":
            code, _, reason = rest.lstrip(WHITESPACE).partition(b" ")
            if len(code) == 3 and code.isdigit():
                self._status = int(code)
            self._version = first
            self._reason = reason
            self._kind = "reply"
            return "reply"
        rest = rest.rstrip(WHITESPACE)
        blank = rest.rfind(b" ")
        version = rest[blank + 1 :]
        if blank > 0 and version[:4].upper() == b"SIP/":
            self._method = first
            self._ruri = rest[:blank].strip(WHITESPACE)
            self._version = version
            self._kind = "request"
            return "request"
        # A payload may start in the middle of a message (FreeSWITCH over TCP): its first line can
        # be a header.
        self._headers_start = begin
        self._kind = "malformed"
        return "malformed"

    def _ruri_parts(self) -> tuple[bytes | None, bytes | None]:
        if self._kind is None:
            self._read_start()
        if self._ruri is None:
            return None, None
        return user_and_domain(self._ruri.strip(b"<> \t"))

    # --- headers ---------------------------------------------------------------------------------

    @property
    def headers(self) -> Headers:
        """All headers by canonical name: lines in order, lists not cut. Not to be changed."""
        headers = self._headers
        return self._read_headers() if headers is None else headers

    @property
    def is_complete(self) -> bool:
        """Whether the header section ends, and within the bounds that are read."""
        if self._headers is None:
            self._read_headers()
        return self._complete

    def header(self, name: bytes | str) -> tuple[bytes, ...]:
        """Return every value of a header: a repeated line and an element of a list are the same.

        Args:
            name: in any case, long or compact.

        Returns:
            Values in order, unfolded and trimmed. Commas separate values only where the header is
            a list (`LISTS`), and until there are `MAX_PARTS`; empty elements of a list are left
            out, an empty line is b"".
        """
        if isinstance(name, str):
            name = name.encode("utf-8", "replace")
        key = canonical(name)
        values = self.headers.get(key) if key else None
        if values is None:
            return ()
        if key not in LISTS:
            return tuple(values)
        found: list[bytes] = []
        for value in values:
            if b"," in value and len(found) < MAX_PARTS:
                parts = [part.strip(WHITESPACE) for part in split_outside(value, b",")]
                found += [part for part in parts if part]
            else:
                found.append(value)
        return tuple(found)

    @property
    def from_user(self) -> bytes | None:
        """The user of From; the number of a `tel:` URI."""
        return (self._from or self._read_from())[0]

    @property
    def from_domain(self) -> bytes | None:
        """The host of From, without port."""
        return (self._from or self._read_from())[1]

    @property
    def from_tag(self) -> bytes | None:
        """The tag of From."""
        return (self._from or self._read_from())[2]

    @property
    def to_user(self) -> bytes | None:
        """The user of To; the number of a `tel:` URI."""
        return (self._to or self._read_to())[0]

    @property
    def to_domain(self) -> bytes | None:
        """The host of To, without port."""
        return (self._to or self._read_to())[1]

    @property
    def to_tag(self) -> bytes | None:
        """The tag of To; present once the other side has answered."""
        return (self._to or self._read_to())[2]

    @property
    def call_id(self) -> bytes | None:
        """The Call-ID."""
        return self._first(b"call-id")

    @property
    def cseq(self) -> int | None:
        """The number of CSeq, if it fits 32 bits."""
        return self._cseq()[0]

    @property
    def cseq_method(self) -> bytes | None:
        """The method of CSeq."""
        return self._cseq()[1]

    @property
    def via_branch(self) -> bytes | None:
        """The branch of the topmost Via."""
        value = self._first(b"via")
        if value is None:
            return None
        if b"," in value:
            value = split_outside(value, b",")[0]
        return parameter(value.partition(b";")[2], b"branch")

    @property
    def contact_user(self) -> bytes | None:
        """The user of the first Contact."""
        value = self._first(b"contact")
        if value is None:
            return None
        if b"," in value:
            value = split_outside(value, b",")[0]
        return user_and_domain(address(value)[0])[0]

    @property
    def user_agent(self) -> bytes | None:
        """User-Agent; what replies say of themselves is `header(b"server")`."""
        return self._first(b"user-agent")

    @property
    def content_type(self) -> bytes | None:
        """Content-Type with its parameters."""
        return self._first(b"content-type")

    def _first(self, key: bytes) -> bytes | None:
        headers = self._headers
        if headers is None:
            headers = self._read_headers()
        values = headers.get(key)
        return (values[0] or None) if values else None

    def _read_headers(self) -> Headers:
        if self._kind is None:
            self._read_start()
        start = self._headers_start
        end, self._body_start = section_end(self._payload, start)
        self._headers, all_read = read_headers(self._payload[start:end])
        self._complete = all_read and self._body_start >= 0
        return self._headers

    def _read_from(self) -> _Address:
        self._from = self._address(b"from")
        return self._from

    def _read_to(self) -> _Address:
        self._to = self._address(b"to")
        return self._to

    def _address(self, key: bytes) -> _Address:
        value = self._first(key)
        if value is None:
            return _NOBODY
        uri, parameters = address(value)
        return (*user_and_domain(uri), parameter(parameters, b"tag"))

    def _cseq(self) -> tuple[int | None, bytes | None]:
        value = self._first(b"cseq")
        if value is None:
            return None, None
        digits, _, method = value.replace(b"\t", b" ").partition(b" ")
        number = small_int(digits)
        if number is not None and number > 0xFFFFFFFF:
            number = None
        return number, method.strip(WHITESPACE) or None

    # --- the body --------------------------------------------------------------------------------

    @property
    def body(self) -> bytes | None:
        """The body, as far as Content-Length reaches; None if there is none.

        Where Content-Length is absent, contradicts itself or asks for more than there is, the body
        is everything behind the empty line.
        """
        if self._headers is None:
            self._read_headers()
        if self._body_start < 0:
            return None
        return self._payload[self._body_start : self._end()] or None

    @property
    def message(self) -> bytes | None:
        """The message without what stands before the start line and follows the body."""
        if self._headers is None:
            self._read_headers()
        if self._kind == "none":
            return None
        return self._payload[self._begin : self._end()]

    @property
    def content_length(self) -> int | None:
        """What every Content-Length of the message says; None if absent or not one number."""
        values = set(self.headers.get(b"content-length", ()))
        numbers = {small_int(value) for value in values}
        return numbers.pop() if len(numbers) == 1 else None

    @property
    def available(self) -> int:
        """Octets behind the empty line; -1 if there is none."""
        if self._headers is None:
            self._read_headers()
        return -1 if self._body_start < 0 else len(self._payload) - self._body_start

    def _end(self) -> int:
        length = self.content_length
        if self._body_start < 0 or length is None or length > self.available:
            return len(self._payload)
        return self._body_start + length
