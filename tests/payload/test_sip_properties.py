from __future__ import annotations

import operator

from hypothesis import given
from hypothesis import strategies as st
from payload import slow_sip
from payload.fields import FIELDS, TEXTS, read, read_all
from payload.torture import CASES

from hepsw.payload import SipMessage
from hepsw.payload.sip_headers import LISTS, MAX_LINES, MAX_SECTION

KINDS = {"request", "reply", "malformed", "none"}
VERDICTS = {"ok", "header", "semantic", "start", "frame"}
STARTS = [
    b"",
    b"OPTIONS sip:desk@pbx7.example SIP/2.0\r\n",
    b"SIP/2.0 200 OK\n",
    b"OPTIONS sip:d SIP/2.0\r\nTo: ",
    b"OPTIONS sip:d SIP/2.0\r\nVia: SIP/2.0/UDP ",
    b"OPTIONS sip:d SIP/2.0\r\nl: ",
    b"SIP/2.0 1\r\nCSeq: ",
    b'OPTIONS tel:1 SIP/2.0\r\nm: "',
    b'{"report_blocks":[{"fraction_lost":',
    b"VQSessionReport\r\nMOSLQ=",
]
ODD = [
    b'"',
    b"<",
    b">",
    b";",
    b",",
    b"\\",
    b"\r\n",
    b"\n ",
    b"\n",
    b":",
    b"@",
    b"\0",
    b"\xff",
    b"=",
]

octets = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from([*ODD, b" ", b"a", b"7", b"sip:", b"]", b"[", b"%"])).map(b"".join),
)
messages = st.sampled_from([case.data for case in CASES])


@st.composite
def mutated(draw):
    """A hard message with pieces of it cut out, doubled, or overwritten."""
    data = draw(messages)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + draw(st.sampled_from([0, 1, 40])))))
        insert = draw(st.sampled_from([b"", data[start:end] * 2, *ODD]))
        data = data[:start] + insert + data[end:]
    return data


names = st.sampled_from(["Via", "V", "VIA ", "i", "CALL-ID", "Contact", "m", "Subject", "X-Other"])
pieces = st.sampled_from(
    [
        "a",
        "sip:a@b",
        '"q, \\"r"',
        "<sip:c,d@e>",
        ",",
        ";x=y",
        " ",
        "\n ",
        "\n\t \n  ",
        "\u00e9",
        "\0",
    ]
)
lines = st.tuples(names, st.lists(pieces, max_size=6).map("".join))


@st.composite
def built(draw):
    """A message of headers that are lists, folded, compact and in any order, with LF line ends."""
    head = "OPTIONS sip:desk@pbx7.example SIP/2.0\n"
    for name, value in draw(st.lists(lines, max_size=8)):
        head += f"{name}:{value}\n"
    return head.encode()


@given(st.sampled_from(STARTS), octets)
def test_any_octets(start, rest):
    """Nothing raises, and every field has its type, whatever the octets are."""
    fields = read_all(start + rest)
    assert fields["kind"] in KINDS
    assert fields["verdict"] in VERDICTS
    assert all(fields[name] is None or isinstance(fields[name], bytes) for name in TEXTS)
    assert fields["status"] is None or 0 <= fields["status"] <= 999
    assert fields["cseq"] is None or 0 <= fields["cseq"] <= 0xFFFFFFFF


def squash(octets):
    """Take out what folding may change."""
    return octets.translate(None, b" \t\r\n")


@given(mutated())
def test_values_are_pieces_of_the_payload(data):
    """A value is in the payload as it is read, unless it was folded."""
    fields = read_all(data)
    for name in TEXTS:
        value = fields[name]
        assert value is None or value in data or squash(value) in squash(data)
    if fields["kind"] == "malformed":
        assert fields["verdict"] == "start"


@given(built())
def test_headers_agree_with_the_slow_reader(head):
    """The table gives what reading the lines with regular expressions gives."""
    payload = head + b"\n"
    for name in ("via", "Call-ID", "M", "s", "x-other", "absent"):
        assert SipMessage(payload).header(name) == slow_sip.header(payload, name)


ANSWERS = [*FIELDS, "version", "start_line", "is_complete", "content_length", "available"]
QUESTIONS = {
    **{name: operator.attrgetter(name) for name in [*ANSWERS, "cseq_method", "headers"]},
    **{
        f"header {name}": operator.methodcaller("header", name)
        for name in ("via", "I", " call-id", "m", "Subject", "x-other", "absent", "b:a", "c", "")
    },
}
questions = st.lists(st.sampled_from(sorted(QUESTIONS)), max_size=30)
spoilt_lines = st.sampled_from(
    ["\r\r", "no colon", ":", "\rTo: a", "c: b", "v : 1", "To \t:", "t", "T:", " fold", "Cal", "f"]
)


@st.composite
def spoilt(draw):
    """Headers with lines among them that are none, begin in vain, or stand at the bounds."""
    head = draw(st.sampled_from(["OPTIONS sip:desk@pbx7.example SIP/2.0", "Via: x", "SIP/2.0 200"]))
    more = st.one_of(spoilt_lines, lines.map(lambda line: f"{line[0]}:{line[1]}"))
    found = [head, *draw(st.lists(more, max_size=8))]
    padding = draw(st.sampled_from(["", "X: y", " y", "\r\r"]))
    if padding:
        at = draw(st.integers(1, len(found)))
        count = draw(st.integers(MAX_LINES - 8, MAX_LINES + 1))
        found[at:at] = [padding] * count
    if draw(st.booleans()):
        found.insert(1, "X: " + "y" * (MAX_SECTION - draw(st.integers(0, 120))))
    end = draw(st.sampled_from(["\r\n", "\n"]))
    return (
        end.join(found) + draw(st.sampled_from(["", end, end * 2, "\r", end * 2 + "ab"]))
    ).encode()


@given(st.one_of(built(), spoilt(), mutated()), questions)
def test_any_order(payload, asked):
    """Whatever was asked before, and how often, each answer is that of a fresh message."""
    message = SipMessage(payload)
    for name in asked:
        assert QUESTIONS[name](message) == QUESTIONS[name](SipMessage(payload))


@given(st.one_of(built(), spoilt(), mutated()), st.booleans())
def test_one_header_agrees_with_all(payload, body_first):
    """A header looked for alone has the lines that it has in the table, no more and no fewer."""
    table = SipMessage(payload)
    message = SipMessage(payload)
    for name in {key for key in table.headers if key and key not in LISTS} | {b"to", b"absent"}:
        one = SipMessage(payload)
        if body_first:
            assert one.body == message.body
        assert one.header(name) == message.header(name) == tuple(table.headers.get(name, ()))
    read = [(one.is_complete, one.available, one.content_length) for one in (message, table)]
    assert read[0] == read[1]


@given(spoilt(), st.sampled_from(["to", "via", "subject", "x-other", "call-id"]))
def test_spoilt_headers_agree_with_the_slow_reader(payload, name):
    """So it does where lines are no headers, as far as the bounds allow."""
    message = SipMessage(payload)
    if message.is_complete and message.kind != "malformed" and b"\r\r" not in payload:
        assert message.header(name) == slow_sip.header(payload, name)


@given(built(), st.sampled_from([b"", b"v=0\n", b"\n\n"]))
def test_bare_line_feeds(head, body):
    """A message with bare line feeds reads like the one with CRLF."""
    bare = read(head + b"\n" + body)
    crlf = read((head + b"\n").replace(b"\n", b"\r\n") + body)
    del bare["message"], crlf["message"]
    assert bare == crlf


@given(messages, octets)
def test_trailing_octets(data, rest):
    """What follows a body whose length is known changes nothing."""
    if b"Content-Length: 0" in data and SipMessage(data).verdict != "frame":
        assert read(data + rest) == read(data)
