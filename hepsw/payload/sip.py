"""A payload read as SIP: lazy, tolerant, bounded.

The field catalogue makes one `SipMessage` a packet, when a rule first asks for a `sip.` field, and
reads properties from it. Whatever the octets are, nothing here raises: a field that cannot be read
is None, and `verdict` says what is wrong with the message. A capture tool labels broken messages;
it neither refuses nor mends them, so every value is a piece of the payload as carried: no change of
case, no unescaping. Only folded headers are joined, by one blank.

The start line is read when something of it is asked for, header lines as far as the header that is
asked for, each line once, and the verdict, which looks at everything, on its own.

Source: RFC 3261; RFC 4475 and RFC 5118 for what must be survived.
"""

from __future__ import annotations

from typing import Final, Literal

from hepsw.payload import octets
from hepsw.payload.sip_headers import (
    COMPACT,
    LISTS,
    MAX_LINES,
    MAX_SECTION,
    Headers,
    canonical,
    initials_of,
    read_headers,
    section_end,
    unfold,
)
from hepsw.payload.sip_syntax import (
    MAX_PARTS,
    WHITESPACE,
    domain_of,
    parameter,
    parameters_of,
    split_outside,
    uri_of,
    user_of,
)
from hepsw.payload.sip_verdict import Verdict, verdict_of

Kind = Literal["request", "reply", "malformed", "none"]

MAX_START_LINE: Final = 1 << 16
_FILLER: Final = b"\r\n \t\0"
"""What may stand before a message and is all of a keep-alive."""

# Numbers that the compiled build keeps as C's own.
_MAX_LINES: Final = MAX_LINES
_MAX_SECTION: Final = MAX_SECTION
_MAX_START_LINE: Final = MAX_START_LINE
_TAB: Final = 0x09
_LF: Final = 0x0A
_CR: Final = 0x0D
_BLANK: Final = 0x20
_COMMA: Final = 0x2C
_COLON: Final = 0x3A
_SEMICOLON: Final = 0x3B
_ANY: Final = bytes(range(256))
_PATIENCE: Final = 3 if __file__.endswith(".py") else 1 << 30
"""Questions about headers that are answered by looking for one.

In plain Python the table of all costs about as much as so many. Compiled it costs as much as
twenty, and no rules ask for so many of a message.
"""


class SipMessage:
    """One payload, looked at as SIP.

    Text is octets; None means that the message lacks the field or that it cannot be read.

    A header is looked for line by line, and where each line begins is noted, so that the next
    question goes on where this one ended. Nothing is cut out of the payload but what was asked for.
    """

    __slots__ = (
        "_begin",
        "_body_start",
        "_call_id",
        "_complete",
        "_cseq",
        "_cursor",
        "_first_end",
        "_from",
        "_headers",
        "_headers_start",
        "_kind",
        "_limit",
        "_line_count",
        "_line_end",
        "_next",
        "_payload",
        "_questions",
        "_reason_start",
        "_size",
        "_starts",
        "_status",
        "_to",
        "_verdict",
        "_version_end",
        "_version_start",
    )

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._size = len(payload)
        self._kind: Kind | None = None  # until the start line is read
        self._limit = -1  # until a header is asked for
        self._questions = 0
        self._headers: Headers | None = None  # until all of them are
        self._verdict: Verdict | None = None
        # What is asked for most, kept; nothing where the header is absent or empty.
        self._from: bytes | None = None
        self._to: bytes | None = None
        self._call_id: bytes | None = None
        self._cseq: bytes | None = None

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
            return self._payload[self._begin : self._first_end]
        return self.cseq_method

    @property
    def status(self) -> int | None:
        """A reply's status, if it has three digits."""
        if (self._kind or self._read_start()) != "reply" or self._status < 0:
            return None
        return self._status

    @property
    def reason(self) -> bytes | None:
        """A reply's reason phrase, perhaps empty."""
        if (self._kind or self._read_start()) != "reply":
            return None
        return self._payload[self._reason_start : self._line_end]

    @property
    def ruri(self) -> bytes | None:
        """A request's URI, with whatever stands between method and version."""
        if (self._kind or self._read_start()) != "request":
            return None
        return octets.trimmed(self._payload, self._first_end + 1, self._version_start - 1)

    @property
    def ruri_user(self) -> bytes | None:
        """The user of the request's URI; the number of a `tel:` one."""
        uri = self.ruri
        return None if uri is None else user_of(uri.strip(b"<> \t"))

    @property
    def ruri_domain(self) -> bytes | None:
        """The host of the request's URI, without port; an IPv6 address keeps its brackets."""
        uri = self.ruri
        return None if uri is None else domain_of(uri.strip(b"<> \t"))

    @property
    def version(self) -> bytes | None:
        """The version as the start line writes it: `SIP/2.0`."""
        if self._kind is None:
            self._read_start()
        if self._version_end == 0:
            return None
        return self._payload[self._version_start : self._version_end]

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
        size = self._size
        begin = 0
        if size == 0 or payload[0] <= _BLANK:
            begin = size - len(payload.lstrip(_FILLER))
        self._begin = begin
        end = octets.find(payload, _LF, begin, min(size, begin + _MAX_START_LINE))
        if end < 0:
            end = size
        self._headers_start = end + 1
        self._version_end = 0
        if begin == size:
            self._kind = "none"
            return "none"
        if payload[end - 1] == _CR:
            end -= 1
            if end > begin and payload[end - 1] == _CR:
                end = begin + len(payload[begin:end].rstrip(b"\r"))
        blank = octets.find(payload, _BLANK, begin, end)
        self._first_end = end if blank < 0 else blank
        if octets.begins(payload, begin, b"sip/"):
            self._version_start = begin
            self._version_end = self._first_end
            start = octets.skip_blanks(payload, self._first_end + 1, end)
            blank = octets.find(payload, _BLANK, start, end)
            stop = end if blank < 0 else blank
            self._status = octets.number(payload, start, stop) if stop - start == 3 else -1
            self._reason_start = end if blank < 0 else blank + 1
            self._line_end = end
            self._kind = "reply"
            return "reply"
        if payload[end - 1] == _BLANK or payload[end - 1] == _TAB:
            end = begin + len(payload[begin:end].rstrip(WHITESPACE))
        last = octets.rfind(payload, _BLANK, begin, end)
        if last > blank + 1 and octets.begins(payload, last + 1, b"sip/"):
            self._version_start = last + 1
            self._version_end = end
            self._kind = "request"
            return "request"
        # A payload may start in the middle of a message (FreeSWITCH over TCP): its first line can
        # be a header.
        self._headers_start = begin
        self._kind = "malformed"
        return "malformed"

    # --- headers ---------------------------------------------------------------------------------

    @property
    def headers(self) -> Headers:
        """All headers by canonical name: lines in order, lists not cut. Not to be changed."""
        if self._headers is None:
            if self._kind is None:
                self._read_start()
            start = self._headers_start
            end, self._body_start = section_end(self._payload, start, start + MAX_SECTION)
            self._headers, all_read = read_headers(self._payload[start:end])
            self._complete = all_read and self._body_start >= 0
        return self._headers

    @property
    def is_complete(self) -> bool:
        """Whether the header section ends, and within the bounds that are read."""
        self._read_all()
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
        if not key:
            return ()
        values = self._values(key)
        if not values or key not in LISTS:
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
        return user_of(uri_of(self._from_value()))

    @property
    def from_domain(self) -> bytes | None:
        """The host of From, without port."""
        return domain_of(uri_of(self._from_value()))

    @property
    def from_tag(self) -> bytes | None:
        """The tag of From."""
        return parameter(parameters_of(self._from_value()), b"tag")

    @property
    def to_user(self) -> bytes | None:
        """The user of To; the number of a `tel:` URI."""
        return user_of(uri_of(self._to_value()))

    @property
    def to_domain(self) -> bytes | None:
        """The host of To, without port."""
        return domain_of(uri_of(self._to_value()))

    @property
    def to_tag(self) -> bytes | None:
        """The tag of To; present once the other side has answered."""
        return parameter(parameters_of(self._to_value()), b"tag")

    @property
    def call_id(self) -> bytes | None:
        """The Call-ID."""
        if self._call_id is None:
            self._call_id = self._first(b"call-id", b"CcIi")
        return self._call_id or None

    @property
    def cseq(self) -> int | None:
        """The number of CSeq, if it fits 32 bits."""
        value = self._cseq_value()
        number = octets.number(value, 0, _word_end(value))
        return number if 0 <= number <= 0xFFFFFFFF else None

    @property
    def cseq_method(self) -> bytes | None:
        """The method of CSeq."""
        return _after_word(self._cseq_value()) or None

    @property
    def via_branch(self) -> bytes | None:
        """The branch of the topmost Via."""
        return _branch(self._first_element(b"via", b"Vv"))

    @property
    def contact_user(self) -> bytes | None:
        """The user of the first Contact."""
        return user_of(uri_of(self._first_element(b"contact", b"CcMm")))

    @property
    def user_agent(self) -> bytes | None:
        """User-Agent; what replies say of themselves is `header(b"server")`."""
        return self._first(b"user-agent", b"Uu") or None

    @property
    def content_type(self) -> bytes | None:
        """Content-Type with its parameters."""
        return self._first(b"content-type", b"Cc") or None

    def _from_value(self) -> bytes:
        if self._from is None:
            self._from = self._first(b"from", b"Ff")
        return self._from

    def _to_value(self) -> bytes:
        if self._to is None:
            self._to = self._first(b"to", b"Tt")
        return self._to

    def _cseq_value(self) -> bytes:
        if self._cseq is None:
            self._cseq = self._first(b"cseq", b"Cc")
        return self._cseq

    # --- how a header is found -------------------------------------------------------------------

    def _first(self, key: bytes, initials: bytes) -> bytes:
        """Return the first value of a header; nothing where it is absent or empty.

        Args:
            key: its canonical name.
            initials: see `initials_of`.
        """
        if self._is_table_due():
            values = self.headers.get(key)
            return values[0] if values else b""
        start = self._seek(key, initials, 0)
        return b"" if start < 0 else self._value(start)

    def _first_element(self, key: bytes, initials: bytes) -> bytes:
        """Return the first element of a header that is a list."""
        value = self._first(key, initials)
        if octets.find(value, _COMMA, 0, len(value)) >= 0:
            value = split_outside(value, b",")[0]
        return value

    def _values(self, key: bytes) -> list[bytes]:
        """Return the value of every line that a header has."""
        if self._is_table_due():
            return self.headers.get(key, [])
        values: list[bytes] = []
        initials = initials_of(key)
        start = self._seek(key, initials, 0)
        while start >= 0:
            values.append(self._value(start))
            start = self._seek(key, initials, self._next)
        return values

    def _is_table_due(self) -> bool:
        """Tell, as a question is put, whether it is to be answered from the table of all."""
        if self._headers is None and self._questions < _PATIENCE:
            self._questions += 1
            return False
        return True

    def _seek(self, key: bytes, initials: bytes, index: int) -> int:
        """Find the next line of a header, from the line with this index on.

        Returns:
            Where its value begins, -1 if there is none; `_next` is the index of the line after it.
        """
        if self._limit < 0:
            self._open_section()
        starts = self._starts
        payload = self._payload
        for start in starts[index:] if index else starts:
            index += 1
            # Nearly every line is passed by its first octet.
            if payload[start] in initials:
                value = self._after_name(start, key)
                if value > 0:
                    self._next = index
                    return value
        while True:
            start = self._read_on(initials)
            if start < 0:
                return -1
            value = self._after_name(start, key)
            if value > 0:
                self._next = len(starts)
                return value

    def _after_name(self, start: int, key: bytes) -> int:
        """Return where the value of a line begins; 0 if the line has another name."""
        payload = self._payload
        limit = self._limit
        is_long = octets.begins(payload, start, key)
        after = start + (len(key) if is_long else 1)
        if after < limit and (payload[after] == _BLANK or payload[after] == _TAB):
            end = octets.find(payload, _LF, after, limit)
            after = octets.skip_blanks(payload, after, limit if end < 0 else end)
        if after >= limit or payload[after] != _COLON:
            return 0
        if not is_long and COMPACT.get(payload[start : start + 1].lower()) != key:
            return 0
        return after + 1

    def _value(self, start: int) -> bytes:
        """Return the value, unfolded and trimmed, of the line that `_seek` has just found."""
        payload = self._payload
        limit = self._limit
        end = octets.find(payload, _LF, start, limit)
        if end < 0:
            end = limit
        elif (
            end + 1 < limit and payload[end + 1] <= _BLANK and payload[end + 1 : end + 3] != b"\r\n"
        ):
            # A continuation, or a line of carriage returns, which may stand before one.
            starts = self._starts
            if self._next == len(starts):
                self._read_on(_ANY)
            end = starts[self._next] if self._next < len(starts) else self._cursor
            return unfold(payload[start:end])
        return octets.trimmed_line(payload, start, end)

    def _open_section(self) -> None:
        if self._kind is None:
            self._read_start()
        start = self._headers_start
        self._cursor = start
        self._limit = min(self._size, start + _MAX_SECTION)
        self._line_count = 0
        self._body_start = -1
        self._complete = False
        self._starts: list[int] = []

    def _read_on(self, initials: bytes) -> int:
        """Read on to the next line that begins a header, and begins with one of these octets.

        Returns:
            Where it begins; -1 at the end of what is read, where `_limit` comes down to `_cursor`.
        """
        payload = self._payload
        limit = self._limit
        cursor = self._cursor
        starts = self._starts
        line_count = self._line_count
        while cursor < limit:
            start = cursor
            first = payload[start]
            end = octets.find(payload, _LF, start, limit)
            if first <= _CR and 0 <= end <= start + (first == _CR):
                self._body_start = end + 1
                self._complete = True
                break
            if line_count == _MAX_LINES:
                self._body_start = section_end(payload, start, limit)[1]
                break
            line_count += 1
            cursor = limit if end < 0 else end + 1
            if first <= _BLANK:
                if starts and first in b" \t":
                    continue
                if first == _CR and not payload[start:cursor].strip(b"\r\n"):
                    continue
            starts.append(start)
            if first in initials:
                self._cursor = cursor
                self._line_count = line_count
                return start
        self._cursor = self._limit = cursor
        return -1

    def _read_all(self) -> None:
        """Read on to the end of the header section."""
        if self._headers is None:
            if self._limit < 0:
                self._open_section()
            self._read_on(b"")

    # --- the body --------------------------------------------------------------------------------

    @property
    def body(self) -> bytes | None:
        """The body, as far as Content-Length reaches; None if there is none.

        Where Content-Length is absent, contradicts itself or asks for more than there is, the body
        is everything behind the empty line.
        """
        end = self._end()
        return None if self._body_start < 0 else self._payload[self._body_start : end] or None

    @property
    def message(self) -> bytes | None:
        """The message without what stands before the start line and follows the body."""
        end = self._end()
        return None if self._kind == "none" else self._payload[self._begin : end]

    @property
    def content_length(self) -> int | None:
        """What every Content-Length of the message says; None if absent or not one number."""
        length = self._length()
        return length if length >= 0 else None

    @property
    def available(self) -> int:
        """Octets behind the empty line; -1 if there is none."""
        self._read_all()
        return -1 if self._body_start < 0 else self._size - self._body_start

    def _length(self) -> int:
        length = -1
        for value in self._values(b"content-length"):
            number = octets.number(value, 0, len(value))
            if number < 0 or length not in {-1, number}:
                return -1
            length = number
        return length

    def _end(self) -> int:
        """Return where the message ends; the header section is read then."""
        length = self._length()
        self._read_all()
        if self._body_start < 0 or length < 0 or length > self._size - self._body_start:
            return self._size
        return self._body_start + length


def _word_end(value: bytes) -> int:
    """Return where the first word of a value ends."""
    blank = octets.find(value, _BLANK, 0, len(value))
    end = len(value) if blank < 0 else blank
    tab = octets.find(value, _TAB, 0, end)
    return end if tab < 0 else tab


def _after_word(value: bytes) -> bytes:
    """Return what follows the first word of a value."""
    rest = octets.trimmed(value, _word_end(value), len(value))
    return rest if octets.find(rest, _TAB, 0, len(rest)) < 0 else rest.replace(b"\t", b" ")


def _branch(via: bytes) -> bytes | None:
    start = octets.find(via, _SEMICOLON, 0, len(via))
    return None if start < 0 else parameter(via[start + 1 :], b"branch")
