"""Templates: what they render, and what is wrong with those that cannot be read."""

import pytest
from hep.strategies import packets
from hypothesis import given
from hypothesis import strategies as st

from hepsw.config.names import Names
from hepsw.config.template import FILTERS, TemplateError, parse
from hepsw.fields import CATALOGUE
from hepsw.hep import build
from hepsw.view import Peer, View

LOOKUP = Names().field


def render(source, peer, **values):
    """Render a template for a packet of these values."""
    return parse(source, LOOKUP).render(View(build(**values), peer, 0)).decode()


@pytest.mark.parametrize("source", ["{json.a.b}", '{json."a.b"}', '{ json."a.b"|upper|lower }'])
def test_a_path_into_json_may_stand_in_quotes(peer, source):
    """As in a match block, where TOML takes the quotes off: it is the same field."""
    assert render(source, peer, payload=b'{"a": {"b": "c"}}') == "c"


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("plain", "plain"),
        ("{node_name}", "pbx7.example"),
        ("{ node_name }", "pbx7.example"),
        ("{{x}} {capture_id}", "{x} 2001"),
        ("{proto_type} {ip_protocol}", "RTCP 17"),
        ("{src_ip} {dst_ip} {ip} {port}", "192.0.2.1 2001:db8::1 192.0.2.1 5060"),
        ("{time}", "2023-11-14T22:13:20.000123Z"),
        ("{src_mac}", "00:00:5e:00:53:aa"),
        ("{dst_mac}", "00:01:5e:00:53:aa:00:01"),
        ("{vlan}|{correlation_id}", "|"),
        ("{node_name|select:1:.}", "example"),
        ("{node_name|select:2:.}", ""),
        ("{node_name|select:0:'.'}", "pbx7"),
        ("{node_name|upper}", "PBX7.EXAMPLE"),
        ("{node_name|upper|lower}", "pbx7.example"),
        ("{correlation_id|default:none}", "none"),
        ("{correlation_id|default:'a|b:}'}", "a|b:}"),
        ("{node_name|mask:4}", "********mple"),
        ("{node_name|mask:40}", "pbx7.example"),
        ("{node_name|replace:x:yy}", "pbyy7.eyyample"),
        ("{node_name|replace:.example:}", "pbx7"),
        ("{payload|re:'CallID: *(\\S+)'}", "abc@x"),
        ("{payload|re:'CallID'}", "CallID"),
        ("{payload|re:'(x)?CallID'}", ""),
        ("{payload|re:nothing}", ""),
        ("{capture_id|shr:4}", "125"),
        ("{node_name|shr:4}", ""),
        ("{capture_id|bucket:5,10,3000}", "10-3000"),
        ("{capture_id|bucket:5,10}", "10-"),
        ("{ip_protocol|bucket:20}", "0-20"),
        ("{node_name|bucket:20}", ""),
        ("{payload|json}", '"x CallID:  abc@x \\"q\\"\\r\\n"'),
        ("{node_name|hash}", "e36a9ecfef2d1c5c"),
        ("{correlation_id|hash}", ""),
        ("{peer_ip} {peer_transport} {listener} {local_port}", "192.0.2.1 udp in 9060"),
        ("{hep_version} {payload_size}", "3 22"),
    ],
)
def test_rendering(source, rendered, peer):
    """Fields print as an operator would write them; filters apply from left to right."""
    found = render(
        source,
        peer,
        node_name="pbx7.example",
        capture_id=2001,
        proto_type=5,
        ip_protocol=17,
        src_ip="192.0.2.1",
        dst_ip="2001:db8::1",
        src_port=5060,
        dst_port=5062,
        time=1_700_000_000_000_123,
        src_mac=0x00005E0053AA,
        dst_mac=0x00015E0053AA0001,
        payload=b'x CallID:  abc@x "q"\r\n',
    )
    if "hash" in source and rendered:
        assert len(found) == 16
        assert int(found, 16)
    else:
        assert found == rendered


@pytest.mark.parametrize(
    ("source", "column", "part"),
    [
        ("{", 0, "never closed"),
        ("a {node_name", 2, "never closed"),
        ("a } b", 2, "without `{`"),
        ("{nod_name}", 1, "unknown field `nod_name`"),
        ("{}", 1, "unknown field ``"),
        ("{sip.metod}", 1, "unknown field `sip.metod`"),
        ("{node_name|uper}", 11, "unknown filter `uper`"),
        ("{node_name|upper:x}", 11, "takes no argument"),
        ("{node_name|select:1}", 11, "argument is missing"),
        ("{node_name|select:-1:.}", 11, "from 0"),
        ("{node_name|select:1:.:x}", 11, "takes 2 arguments"),
        ("{node_name|re:'(}", 0, "never closed"),
        ("{node_name|re:'('}", 11, "RE2"),
        ("{node_name|re:(?=x)}", 11, "RE2"),
        ("{node_name|mask:-1}", 11, "from 0"),
        ("{node_name|mask:x}", 11, "whole number"),
        ("{node_name|shr:64}", 11, "0 to 63"),
        ("{node_name|bucket:5,1}", 11, "rising"),
        ("{node_name|replace::x}", 11, "something to replace"),
    ],
)
def test_what_cannot_be_read(source, column, part):
    """The error says what and where."""
    with pytest.raises(TemplateError, match=part.replace("(", r"\(").replace("{", r"\{")) as raised:
        parse(source, LOOKUP)
    assert raised.value.column == column


@pytest.mark.parametrize("source", ['{json."a.b"|upper}', "{json.a.b|upper}"])
def test_json_paths(source):
    """A path stands in quotes, as in a match block, or without."""
    template = parse(source, LOOKUP)
    assert template.fields[0].name == "json.a.b"
    view = View(build(payload=b'{"a": {"b": "x"}}'), Peer(b"", 0, "udp", b"", 0, "in"), 0)
    assert template.render(view) == b"X"


@given(st.text(max_size=40) | st.from_regex(r"(\{[a-z_|:'{}0-9.]*\}?)*", fullmatch=True))
def test_any_text_is_a_template_or_an_error(source):
    """Whatever is written, it is read or refused with a place in it."""
    try:
        assert parse(source, LOOKUP).source == source
    except TemplateError as error:
        column = error.column
    else:
        return
    assert 0 <= column <= len(source)


@given(st.binary(max_size=60), st.sampled_from(sorted(set(FILTERS) - {"re"})))
def test_filters_take_any_octets(octets, name):
    """No value from a packet makes a filter raise."""
    arguments = {
        "select": ["1", "@"],
        "default": ["x"],
        "mask": ["4"],
        "bucket": ["5,10"],
        "replace": ["a", "bb"],
        "shr": ["16"],
    }.get(name, [])
    assert isinstance(FILTERS[name](arguments)(octets), bytes)


@given(packets, st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_values_print_as_their_fields_say(packet, address):
    """Whatever way is taken for the sake of speed, it is what `Field.render` writes."""
    view = View(packet, Peer(address, 5, "tcp", address, 6, "in", "agent"), 7)
    for field in CATALOGUE.values():
        reading = field.read(view)
        value = reading[0] if isinstance(reading, tuple) else reading
        printed = b"" if value is None else field.render(value)
        assert parse(f"{{{field.name}}}", LOOKUP).render(view) == printed
        assert parse(f"<{{{field.name}|upper}}>", LOOKUP).render(view) == b"<%b>" % printed.upper()
