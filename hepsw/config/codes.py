"""Every code that `hepsw check`, a start or a reload can print: its cause, an example, its cure.

`hepsw check --explain CODE` prints a row of this table, and `man/make_codes.py` makes
hepsw-codes(7) of all of them. A test loads each example and its cure, so a row cannot say what is
not so. The parts that report problems write the number alone: nothing here is read on the way to a
running switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Final

from hepsw.config.diagnostics import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ERROR: Final = Severity.ERROR
WARNING: Final = Severity.WARNING

FAMILIES: Final[Mapping[str, str]] = {
    "1": "syntax and shape",
    "2": "references",
    "3": "how it hangs together",
    "4": "safety",
    "5": "cost",
}
"""What the first digit of a code stands for."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that an example needs beside `hepsw.toml`."""

    name: str
    text: str
    encoding: str = "utf-8"
    """How an editor saved it."""
    mode: int = 0o600

    @property
    def heading(self) -> str:
        """Its name, and what is wrong with it that its text cannot show."""
        encoding = f", saved as {self.encoding.upper()}" if self.encoding != "utf-8" else ""
        mode = f", mode {self.mode:04o}" if self.mode != 0o600 else ""
        return f"{self.name}{encoding}{mode}"


@dataclass(frozen=True, slots=True)
class Mend:
    """One change that cures an example."""

    old: str
    """What stands once in the example, or in a file beside it."""
    new: str
    """What stands there then."""
    before: bool = False
    """True: what was there stays, and `new` comes before it."""

    def applied(self, text: str) -> str:
        """Return a file with this change made, if it is one of that file."""
        return text.replace(self.old, f"{self.new}{self.old if self.before else ''}")

    def shown(self, text: str) -> str:
        """Return the lines of a file that this change writes, as they are afterwards."""
        if self.old not in text:
            return ""
        after, at = self.applied(text), text.index(self.old)
        start = after.rfind("\n", 0, at) + 1
        end = after.find("\n", max(at, at + len(self.new) - 1))
        return after[start:end].strip("\n") if self.new else ""


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of mistake, with the number that scripts know it by."""

    code: str
    """HEP and three digits, the first of which is its family."""
    title: str
    severity: Severity
    cause: Sequence[str]
    """Sentences: why hepsw refuses or warns, and what would happen if it did not."""
    example: str
    """A whole `hepsw.toml` that gives this code and no other."""
    cure: Sequence[str]
    """Sentences: what to write instead."""
    mend: Sequence[Mend] = ()
    """With these made, in UTF-8 and with all files mode 0600, nothing is found any more."""
    beside: Sequence[File] = ()

    @property
    def listing(self) -> str:
        """The example; with other files beside it, each under a line with its name."""
        if not self.beside:
            return self.example
        files = (File("hepsw.toml", self.example), *self.beside)
        return "\n".join(f"# {file.heading}\n{file.text}" for file in files)

    @property
    def mended(self) -> str:
        """The lines that the cure writes; none where it only takes something away."""
        texts = (self.example, *(file.text for file in self.beside))
        shown = [mend.shown(text) for mend in self.mend for text in texts]
        return "".join(f"{lines}\n" for lines in shown if lines)


def explanation(code: Code) -> str:
    """Return what `hepsw check --explain` prints."""
    parts = [
        f"{code.code}, {_a(code.severity)}: {code.title}\n",
        f"Cause\n{indent(_lines(code.cause), '  ')}",
        f"Example\n{indent(code.listing, '  ')}",
        f"Cure\n{indent(_lines(code.cure), '  ')}",
    ]
    if code.mended:
        parts.append(indent(code.mended, "  "))
    return "\n".join(parts)


def _a(severity: Severity) -> str:
    return f"{'an' if severity is Severity.ERROR else 'a'} {severity.value}"


def _lines(sentences: Sequence[str]) -> str:
    return "".join(f"{sentence}\n" for sentence in sentences)


# --- the examples --------------------------------------------------------------------------------

LISTEN: Final = """\
[[listen]]
url = "udp://0.0.0.0:9060"
"""

HEAD: Final = f"""\
{LISTEN}
[destinations]
homer = "udp://192.0.2.10:9060"
"""

REST: Final = """\
[[rules.main]]
name = "rest"
relay = "homer"
"""

PBX: Final = """\
[[rules.main]]
name = "pbx"
match.src_ip = "10.1.2.3"
relay = "homer"

"""


def _rules(text: str) -> str:
    """Return a configuration with these blocks, and a rule that takes what they leave."""
    return f"{HEAD}\n{_toml(text)}\n{REST}"


def _headed(text: str) -> str:
    """Return a configuration that listens, has one destination, and these blocks."""
    return f"{HEAD}\n{_toml(text)}"


def _toml(text: str) -> str:
    return dedent(text).lstrip("\n")


# --- the table -----------------------------------------------------------------------------------

_CODES: Final = (
    # --- 1xx: syntax and shape ---
    Code(
        "HEP101",
        "not TOML 1.0",
        ERROR,
        cause=(
            "A file breaks the rules of TOML.",
            "Most often a quote or a bracket is not closed, or a text has no quotes.",
            "What stands behind such a place could mean anything, so nothing else is judged.",
            "A key that is given twice in one file is this too; in two files it is HEP102.",
        ),
        example=f"""\
{LISTEN}
[destinations]
homer = "udp://192.0.2.10:9060

{REST}""",
        cure=("Mend the place that the carets show.",),
        mend=(Mend('homer = "udp://192.0.2.10:9060', 'homer = "udp://192.0.2.10:9060"'),),
    ),
    Code(
        "HEP102",
        "given twice",
        ERROR,
        cause=(
            "A name, a url, a file, a chunk, or a block of another file is taken already.",
            "Only one of the two could count, and which one would hide in the order of lines.",
            "Two rules of one name would share a counter, and no one could tell them apart.",
        ),
        example=_headed(
            """
            [[rules.main]]
            name = "calls"
            match.proto_type = "SIP"
            relay = "homer"

            [[rules.main]]
            name = "calls"
            drop = "not-sip"
            """
        ),
        cure=("Keep one of them, or rename one.",),
        mend=(Mend('name = "calls"\ndrop', 'name = "others"\ndrop'),),
    ),
    Code(
        "HEP103",
        "a file that cannot be read",
        ERROR,
        cause=(
            "It is missing, forbidden, no regular file, not UTF-8 or larger than 4 MiB.",
            "Or the folder `rules/` is there and cannot be listed.",
            "Half a configuration would send packets where the whole would not.",
            "So nothing is judged before all of it can be read.",
        ),
        example=HEAD,
        beside=(
            File(
                "rules/10-main.toml",
                _toml(
                    """
                    [[rules.main]]
                    name = "rest"
                    doc = "Büro"
                    relay = "homer"
                    """
                ),
                encoding="iso-8859-1",
            ),
        ),
        cure=(
            "Save the file as UTF-8, or mend its place or its permissions.",
            "`-c` names the file to begin with.",
        ),
    ),
    Code(
        "HEP104",
        "unknown key",
        ERROR,
        cause=(
            "No key of this name can stand here, or no block of this name at all.",
            "If it were passed over, a misspelt condition or output would be missing in silence.",
            "The hint names what may have been meant, or what is legal here.",
        ),
        example=_headed(
            """
            [[rules.main]]
            name = "rest"
            realy = "homer"
            """
        ),
        cure=("Write the key as it is spelt in hepsw.toml(5).",),
        mend=(Mend("realy", "relay"),),
    ),
    Code(
        "HEP105",
        "a value of the wrong type",
        ERROR,
        cause=(
            "The key wants a value of another type: a text, a number, true or false, a list.",
            "Or a list is empty, or a block has one bracket where it wants two.",
            'hepsw does not guess: whether the text "yes" means true is yours to say.',
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "mark"
            set.node_name = "edge"
            continue = "yes"
            """
        ),
        cure=("Write the form that the message names.",),
        mend=(Mend('continue = "yes"', "continue = true"),),
    ),
    Code(
        "HEP106",
        "a value that does not fit",
        ERROR,
        cause=(
            "The type is right and the value is not.",
            "It is no address, no duration, out of range, or not among the words allowed.",
            "Or the bounds leave nothing between them, so that no packet could match.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "lab"
            match.src_ip = "10.0.0.300"
            drop = "lab"
            """
        ),
        cure=("Write a value that fits; the message says what is wanted.",),
        mend=(Mend("10.0.0.300", "10.0.0.30"),),
    ),
    Code(
        "HEP107",
        "something is missing",
        ERROR,
        cause=(
            "A block lacks a key that has no default, or there is no `[[listen]]` at all.",
            "Without a name a rule could not be counted.",
            "Without a listener nothing could arrive.",
        ),
        example=_headed(
            """
            [[rules.main]]
            relay = "homer"
            """
        ),
        cure=("Add the key that the message names.",),
        mend=(Mend('relay = "homer"', 'name = "rest"\nrelay = "homer"'),),
    ),
    Code(
        "HEP108",
        "not yet supported",
        ERROR,
        cause=(
            "It is part of the language, and this release does not carry it out.",
            "`hepsw check` and `hepsw test` judge it; `hepsw run` and a reload refuse it by name.",
            "If they passed it over, the configuration would do less than it says.",
            "hepsw.toml(5) lists such keys under NOT YET CARRIED OUT.",
        ),
        example=_headed(
            """
            [http]
            listen = "127.0.0.1:9070"

            [[rules.main]]
            name = "rest"
            relay = "homer"
            """
        ),
        cure=("Take it out, and put it back when a release has it.",),
        mend=(Mend('[http]\nlisten = "127.0.0.1:9070"\n\n', ""),),
    ),
    Code(
        "HEP109",
        "an operator that does not fit",
        ERROR,
        cause=(
            "There is no such operator, or it cannot look at this kind of field.",
            "An address does not begin with a text, and a text is not more or less than another.",
            "hepsw.toml(5) lists under Operators which one goes with which kind.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "lab"
            match.src_ip = { prefix = "10." }
            drop = "lab"
            """
        ),
        cure=("Use an operator of that kind; of addresses write the network.",),
        mend=(Mend('{ prefix = "10." }', '"10.0.0.0/8"'),),
    ),
    Code(
        "HEP110",
        "unknown field",
        ERROR,
        cause=(
            "No field has this name, neither in hepsw-fields(7) nor in `[chunks]`.",
            "A chunk of vendor 0 that has a name is not known by its numbers.",
            "A condition on a field that no packet has would never hold.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "lab"
            match.scr_ip = "10.0.0.0/8"
            drop = "lab"
            """
        ),
        cure=(
            "Write the name as it stands in hepsw-fields(7).",
            "A chunk of a vendor is named in `[chunks]`, or written in quotes by its numbers.",
        ),
        mend=(Mend("match.scr_ip", "match.src_ip"),),
    ),
    Code(
        "HEP111",
        "a rule that goes on in two ways",
        ERROR,
        cause=(
            "At most one of `continue`, `goto`, `call`, `resume` and `drop` stands in a rule.",
            "The order of a rule's keys means nothing, so hepsw could not tell which comes first.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "logs"
            match.proto_type = "LOG"
            continue = true
            drop = "logs"
            """
        ),
        cure=("Keep one of them, or make it two rules.",),
        mend=(Mend('continue = true\ndrop = "logs"', 'drop = "logs"'),),
    ),
    Code(
        "HEP112",
        "not an RE2 expression",
        ERROR,
        cause=(
            "The expression has a bracket that is not closed, a back reference or a look-around.",
            "RE2 has no back references and no look-around, and in return it takes linear time.",
            "With them one hostile packet could keep the switch busy for minutes.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "invites"
            match.payload = { re = "^(?=INVITE )" }
            drop = "invite"
            """
        ),
        cure=("Write it without them; often `prefix`, `contains` or two conditions say the same.",),
        mend=(Mend('{ re = "^(?=INVITE )" }', '{ prefix = "INVITE " }'),),
    ),
    Code(
        "HEP113",
        "a template that cannot be read",
        ERROR,
        cause=(
            "A brace is not closed, there is no such filter, or its argument is wrong or missing.",
            "A template that half works would write wrong chunks or labels.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "mark"
            set.node_name = "{node_name|uper}"
            continue = true
            """
        ),
        cure=(
            "Mend what the carets show; hepsw.toml(5) lists the filters under TEMPLATES.",
            "A brace that is meant as such is written twice.",
        ),
        mend=(Mend("|uper}", "|upper}"),),
    ),
    Code(
        "HEP114",
        "a field that is no chunk is written",
        ERROR,
        cause=(
            "`set` and `unset` change chunks of the packet.",
            "This field is none: it is what the socket says, or is read from other chunks.",
            "Nothing that an output gets would change.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "mark"
            set.peer_ip = "192.0.2.1"
            continue = true
            """
        ),
        cure=("Set a chunk; hepsw-fields(7) says of every field whether it can be set.",),
        mend=(Mend('set.peer_ip = "192.0.2.1"', 'set.node_name = "{peer_ip}"'),),
    ),
    Code(
        "HEP115",
        "a chunk both set and unset",
        ERROR,
        cause=(
            "One rule writes a chunk and removes it.",
            "The order of a rule's keys means nothing, so hepsw could not tell which comes first.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "mark"
            set.vlan = 7
            unset = "vlan"
            continue = true
            """
        ),
        cure=(
            "Keep one of them.",
            "`set` replaces every occurrence of a chunk, so none need be removed before.",
        ),
        mend=(Mend('set.vlan = 7\nunset = "vlan"', "set.vlan = 7"),),
    ),
    Code(
        "HEP116",
        "a test that cannot be read",
        ERROR,
        cause=(
            "`given` or `expect` of a test says something that no packet or no walk can have.",
            "Sizes, maps, verdicts, `call`, `ip` and `port` follow from other fields.",
            "If they could be given, a test could hold for a packet that never comes.",
        ),
        example=_headed(
            """
            [[rules.main]]
            name = "rest"
            relay = "homer"

            [[rules.main.test]]
            given = { proto_type = "SIP", call = "a84b4c76e66710" }
            expect = { relay = ["homer"] }
            """
        ),
        cure=("Give the fields that it follows from.",),
        mend=(
            Mend(
                'given = { proto_type = "SIP", call = "a84b4c76e66710" }',
                'given = { proto_type = "SIP", sip.call_id = "a84b4c76e66710" }',
            ),
        ),
    ),
    Code(
        "HEP117",
        "a payload is asked where none is read",
        ERROR,
        cause=(
            'The table says `parse = "never"`, and a rule asks what a payload says.',
            "`call`, and `scope` and `sample`, which hold calls together, ask it too.",
            "So do the rules of a table that is reached by `call` from there.",
            "The promise that this table never pays for reading would be broken.",
        ),
        example=_rules(
            """
            [tables.main]
            parse = "never"

            [[rules.main]]
            name = "pings"
            match.sip.method = "OPTIONS"
            drop = "ping"
            """
        ),
        cure=(
            "Let the table read payloads when a rule asks.",
            "Or ask in another table, to which `resume` or `goto` leads.",
        ),
        mend=(Mend('parse = "never"', 'parse = "lazy"'),),
    ),
    Code(
        "HEP118",
        "a counter with other labels elsewhere",
        ERROR,
        cause=(
            "Two rules feed one counter, and do not give it the same labels.",
            "Or one of them counts and the other observes.",
            "Who reads the metrics could neither add such numbers up nor compare them.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "sip"
            match.proto_type = "SIP"
            count.packets = { agent = "{node_name}" }
            continue = true

            [[rules.main]]
            name = "rtcp"
            match.proto_type = "RTCP"
            count.packets = { id = "{capture_id}" }
            continue = true
            """
        ),
        cure=("Write the same labels in each rule, or use two names.",),
        mend=(Mend('{ id = "{capture_id}" }', '{ agent = "{node_name}" }'),),
    ),
    Code(
        "HEP119",
        "ranges of a map that overlap",
        ERROR,
        cause=(
            "Two ranges of a map hold the same number, or one network stands in it twice.",
            "A value may lie in a network or a range, and a network in a wider one.",
            "Between two ranges nothing says which one counts.",
        ),
        example=_rules(
            """
            [maps.tenant]
            key = "capture_id"
            entries = { "100-199" = "acme", "150-299" = "globex" }
            default = "none"

            [[rules.main]]
            name = "mark"
            set.node_name = "{map.tenant}"
            continue = true
            """
        ),
        cure=("Let each range end before the next one begins.",),
        mend=(Mend('"150-299"', '"200-299"'),),
    ),
    Code(
        "HEP120",
        "a test that fails",
        ERROR,
        cause=(
            "A test of this configuration expects what its packet does not meet.",
            "Either the rules are not what you meant, or the test is not.",
            'It is a warning where `[reload]` says `tests = "warn"`.',
        ),
        example=_headed(
            """
            [[rules.main]]
            name = "calls"
            match.proto_type = "SIP"
            relay = "homer"

            [[rules.main.test]]
            given = { proto_type = "LOG" }
            expect = { relay = ["homer"] }

            [[rules.main]]
            name = "rest"
            drop = "not-sip"
            """
        ),
        cure=(
            "Mend the rule or the test.",
            "`hepsw test` shows the way that the packet went.",
        ),
        mend=(Mend('given = { proto_type = "LOG" }', 'given = { proto_type = "SIP" }'),),
    ),
    # --- 2xx: references ---
    Code(
        "HEP201",
        "unknown destination",
        ERROR,
        cause=(
            "`relay` names something that is not in `[destinations]`.",
            "The packets of this rule would go nowhere.",
            "A store is named by `store`, not by `relay`.",
        ),
        example=_headed(
            """
            [[rules.main]]
            name = "rest"
            relay = ["homer", "quality"]
            """
        ),
        cure=("Write a name that is in `[destinations]`, or add the destination.",),
        mend=(Mend('["homer", "quality"]', '"homer"'),),
    ),
    Code(
        "HEP202",
        "unknown table",
        ERROR,
        cause=(
            "A rule goes on in a table that has neither rules nor settings.",
            "Its packets would meet no rule and be missed.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "calls"
            match.proto_type = "SIP"
            goto = "call"

            [[rules.calls]]
            name = "all"
            relay = "homer"
            """
        ),
        cure=("Write the name of a table that has rules.",),
        mend=(Mend('goto = "call"', 'goto = "calls"'),),
    ),
    Code(
        "HEP203",
        "unknown set",
        ERROR,
        cause=(
            "A text that begins with `@` names a set, and there is none of this name.",
            "Nothing could be compared with it.",
        ),
        example=_rules(
            """
            [sets]
            banned = ["198.51.100.66", "203.0.113.0/24"]

            [[rules.main]]
            name = "banned"
            match.src_ip = "@baned"
            drop = "banned"
            """
        ),
        cure=(
            "Write the name of a set.",
            'A text that really begins with `@` is written `{ eq = "@…" }`.',
        ),
        mend=(Mend('"@baned"', '"@banned"'),),
    ),
    Code(
        "HEP204",
        "unknown matcher",
        ERROR,
        cause=(
            "`match.is` names something that is not in `[matchers]`.",
            "The rule would have a condition less than it says.",
        ),
        example=_rules(
            """
            [matchers.internal]
            src_ip = "10.0.0.0/8"

            [[rules.main]]
            name = "lab"
            match.is = "interal"
            drop = "lab"
            """
        ),
        cure=("Write the name of a matcher, or add the matcher.",),
        mend=(Mend('match.is = "interal"', 'match.is = "internal"'),),
    ),
    Code(
        "HEP206",
        "rules, but none where packets enter",
        ERROR,
        cause=(
            "There are rules, and the table that this listener enters has none.",
            "Every packet that arrives here would be missed.",
            "Without any rule at all, every packet goes to every destination and store.",
        ),
        example="""\
[[listen]]
url = "udp://0.0.0.0:9060"
entry = "mian"

[destinations]
homer = "udp://192.0.2.10:9060"

[[rules.main]]
name = "rest"
relay = "homer"
""",
        cure=("Name another table in `entry`, or write rules for this one.",),
        mend=(Mend('entry = "mian"', 'entry = "main"'),),
    ),
    Code(
        "HEP207",
        "unknown store",
        ERROR,
        cause=(
            "`store` names something that is not in `[stores]`.",
            "The packets of this rule would not be kept.",
            "A destination is named by `relay`, not by `store`.",
        ),
        example=_headed(
            """
            [stores.packets]
            url = "sqlite://packets.db"

            [[rules.main]]
            name = "rest"
            store = "packet"
            relay = "homer"
            """
        ),
        cure=("Write the name of a store, or add the store.",),
        mend=(Mend('store = "packet"', 'store = "packets"'),),
    ),
    Code(
        "HEP208",
        "a set's file that cannot be read",
        ERROR,
        cause=(
            "It is missing, forbidden, no regular file, not UTF-8 or larger than 4 MiB.",
            "Or a line of it is not of the `type` that the set names.",
            "Rules that ask for the set would match less than you think.",
        ),
        example=_rules(
            """
            [sets]
            banned = { file = "banned.txt", type = "ip" }

            [[rules.main]]
            name = "banned"
            match.src_ip = "@banned"
            drop = "banned"
            """
        ),
        beside=(File("banned.txt", "203.0.113.0/24\n198.51.100.666  # since March\n"),),
        cure=(
            "Mend the line, or the file's place or permissions.",
            "A relative name starts at the folder of the TOML file.",
        ),
        mend=(Mend("198.51.100.666 ", "198.51.100.66 "),),
    ),
    Code(
        "HEP209",
        "a name that cannot be looked up",
        WARNING,
        cause=(
            "No name server of this machine knows the name of a destination.",
            "Its packets wait in the queue until one does.",
            "If the name is wrong, they wait until the queue is full, and are dropped then.",
        ),
        example=f"""\
{LISTEN}
[destinations]
homer = "udp://collector.exmaple.net:9060"

{REST}""",
        cure=("Mend the name, or write an address; `--offline` asks no name server.",),
        mend=(Mend("udp://collector.exmaple.net:9060", "udp://collector.example.net:9060"),),
    ),
    Code(
        "HEP210",
        "unknown map",
        ERROR,
        cause=(
            "A rule asks for a map that is not in `[maps]`.",
            "It would have no value: a template prints nothing, and an output is none.",
        ),
        example=_headed(
            """
            [maps.tenant]
            key = "capture_id"
            entries = { "100-199" = "homer" }
            default = "homer"

            [[rules.main]]
            name = "tenant"
            relay = { map = "tenants" }
            """
        ),
        cure=("Write the name of a map, or add the map.",),
        mend=(Mend('{ map = "tenants" }', '{ map = "tenant" }'),),
    ),
    Code(
        "HEP211",
        "unknown trace",
        ERROR,
        cause=(
            "`trace` names something that is not in `[traces]`.",
            "The packets of this rule would be traced nowhere.",
        ),
        example=_headed(
            """
            [traces.media]
            to = "homer"

            [[rules.main]]
            name = "media"
            match.proto_type = "RTCP"
            trace = "meida"

            [[rules.main]]
            name = "rest"
            relay = "homer"
            """
        ),
        cure=("Write the name of a trace, or add the trace.",),
        mend=(Mend('trace = "meida"', 'trace = "media"'),),
    ),
    Code(
        "HEP212",
        "unknown privacy profile",
        ERROR,
        cause=(
            "`privacy` of a destination names something that is not in `[privacy]`.",
            "What leaves there would not be hidden as you mean.",
        ),
        example=f"""\
{LISTEN}
[destinations]
homer = {{ url = "udp://192.0.2.10:9060", privacy = "outsied" }}

[privacy.outside]
users = "mask"

{REST}""",
        cure=("Write the name of a profile, or add the profile.",),
        mend=(Mend('privacy = "outsied"', 'privacy = "outside"'),),
    ),
    Code(
        "HEP213",
        "a geo field without its database",
        ERROR,
        cause=(
            "A rule asks where an address is, and `[geo]` names no database that knows.",
            "Or the database cannot be read.",
            "The field would be missing in every packet, and the condition never hold.",
            "Countries are in `city`, networks and their operators in `asn`.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "spain"
            match.geo.src.country = "ES"
            drop = "spain"
            """
        ),
        cure=("Name the database, a file in MaxMind's format.",),
        mend=(
            Mend(
                '[[rules.main]]\nname = "spain"',
                '[geo]\ncity = "/usr/share/GeoIP/GeoLite2-City.mmdb"\n\n',
                before=True,
            ),
        ),
    ),
    Code(
        "HEP214",
        "a map that names no output",
        ERROR,
        cause=(
            "`relay` or `store` takes the names of outputs from a map.",
            "A value of the map is the name of none, or of the wrong kind.",
            "Packets with that value would go nowhere.",
        ),
        example=_headed(
            """
            [maps.tenant]
            key = "capture_id"
            entries = { "100-199" = "homre" }
            default = "homer"

            [[rules.main]]
            name = "tenant"
            relay = { map = "tenant" }
            """
        ),
        cure=(
            "Let every value of the map name a destination for `relay`, a store for `store`.",
            "What is also printed in templates belongs into a map of its own.",
        ),
        mend=(Mend('"100-199" = "homre"', '"100-199" = "homer"'),),
    ),
    Code(
        "HEP215",
        "a secret that cannot be read",
        ERROR,
        cause=(
            "There is no such variable, the file cannot be read, or the secret is empty.",
            "An empty key would let everyone in, or hide nothing.",
            "`--offline` does not look.",
        ),
        example=f"""\
[[listen]]
url = "udp://0.0.0.0:9060"
auth_key = {{ env = "HEPSW_AUTH_KEY" }}

[destinations]
homer = "udp://192.0.2.10:9060"

{REST}""",
        beside=(File("agents.key", "correct-horse-battery-staple\n"),),
        cure=(
            "Set the variable where hepsw is started, as by `Environment=` of systemd.",
            "Or name a file that hepsw's user can read.",
        ),
        mend=(Mend('auth_key = { env = "HEPSW_AUTH_KEY" }', 'auth_key = { file = "agents.key" }'),),
    ),
    Code(
        "HEP216",
        "a file that cannot be used",
        ERROR,
        cause=(
            "A certificate, a key or another file that is named here is missing or forbidden.",
            "The connection or the listener that needs it could not be opened.",
        ),
        example=f"""\
{LISTEN}
[destinations.homer]
url = "tls://collector.example.net:9061"
tls = {{ ca = "collector-ca.pme" }}

{REST}""",
        cure=(
            "Put the file there, readable for hepsw's user, or mend its name.",
            "A relative name starts at the folder of the TOML file.",
        ),
        mend=(Mend('tls = { ca = "collector-ca.pme" }', 'tls = { ca = "collector-ca.pem" }'),),
    ),
    Code(
        "HEP217",
        "a test expects what does not exist",
        ERROR,
        cause=(
            "`expect` of a test names a rule or a table that there is none of.",
            "The test could never hold.",
            "Rules are named with their table, as `main/calls`.",
        ),
        example=_headed(
            """
            [[rules.main]]
            name = "calls"
            relay = "homer"

            [[rules.main.test]]
            given = { proto_type = "SIP" }
            expect = { rule = "main/cals" }
            """
        ),
        cure=("Write the rule's name as it stands in its table.",),
        mend=(Mend("main/cals", "main/calls"),),
    ),
    Code(
        "HEP218",
        "a certificate or a key that cannot be used",
        ERROR,
        cause=(
            "The file holds no PEM, or the key is not that of the certificate, or is encrypted.",
            "No agent could connect to the listener, and the destination to nobody.",
            "A running switch goes on with the certificate that it has.",
        ),
        example=f"""\
[[listen]]
url = "tls://0.0.0.0:9061"
tls = {{ cert = "server.der", key = "server.key" }}

[destinations]
homer = "udp://192.0.2.10:9060"

{REST}""",
        beside=(File("server.der", "no PEM\n"), File("server.key", "no PEM either\n")),
        cure=(
            "Name the certificate with its chain and the key that was made for it, both as PEM.",
            "Take the passphrase from the key: `openssl pkey -in old.key -out server.key`.",
        ),
        mend=(Mend("server.der", "server.pem"),),
    ),
    # --- 3xx: how it hangs together ---
    Code(
        "HEP219",
        "a database that does not let hepsw in",
        WARNING,
        cause=(
            "The database of a store does not answer, or refuses the login; its words follow.",
            "hepsw starts all the same: rows wait in memory or the spool until it answers.",
            "`hepsw check` alone asks, for three seconds at most, and not with `--offline`.",
        ),
        example=f"""\
{LISTEN}
[stores.homer]
url = "postgres://hepsw@127.0.0.1:1/homer"
layout = "homer7"
""",
        cure=(
            "Start the database, and look at host, port, user and password of the url.",
            "Who may log in from where stands in pg_hba.conf of the database.",
        ),
        mend=(Mend("127.0.0.1:1/", "127.0.0.1:5432/"),),
    ),
    Code(
        "HEP220",
        "a folder that cannot be written to",
        WARNING,
        cause=(
            "The folder of a store's file, of a spool or of dead letters is not to be written to.",
            "Or it cannot be made, because what stands above it is no folder or is not ours.",
            "hepsw starts and tries again; until then packets wait, or are given up.",
        ),
        example=f"""\
{LISTEN}
[stores.packets]
url = "sqlite://packets/hep.db"
""",
        beside=(File("packets", "not a folder\n"),),
        cure=(
            "Make the folder, and give it to the user that hepsw runs as.",
            "Where you check as somebody else than that user, check as that user.",
        ),
        mend=(Mend("sqlite://packets/", "sqlite://store/"),),
    ),
    Code(
        "HEP301",
        "unreachable rule",
        WARNING,
        cause=(
            "Rules are tried in file order, and the first match decides.",
            "An earlier rule takes every packet that this one asks for.",
            "This rule would never match, and its counter stay at 0.",
        ),
        example=f"""\
{HEAD}
[[rules.main]]
name = "lab"
match.src_ip = "10.0.0.0/8"
drop = "lab"

{PBX}{REST}""",
        cure=(
            "Put the narrow rule before the wide one.",
            "Or give the earlier rule `continue = true`, or take one of them out.",
        ),
        mend=(
            Mend(PBX, ""),
            Mend('[[rules.main]]\nname = "lab"', PBX, before=True),
        ),
    ),
    Code(
        "HEP302",
        "half shadowed rule",
        WARNING,
        cause=(
            "An earlier rule takes some of the values that this one asks for.",
            "For those this rule never matches, which its text does not show.",
            "The message lists what still reaches it.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "lab"
            match.dst_port = "5060-5069"
            drop = "lab"

            [[rules.main]]
            name = "edge"
            match.dst_port = [5061, 5090]
            relay = "homer"
            """
        ),
        cure=(
            "Ask only for what still reaches the rule.",
            "Or put the rule before the other one.",
        ),
        mend=(Mend("match.dst_port = [5061, 5090]", "match.dst_port = 5090"),),
    ),
    Code(
        "HEP303",
        "no catch-all",
        WARNING,
        cause=(
            "The last rule of the table does not take every packet, and the table has no `miss`.",
            "What no rule decides is dropped, and counted as `missed`.",
            "A new kind of traffic would vanish without a word in the configuration.",
        ),
        example=_headed(
            """
            [[rules.main]]
            name = "calls"
            match.proto_type = "SIP"
            relay = "homer"
            """
        ),
        cure=(
            "End the table with a rule that has no `match`.",
            'Or say what becomes of the rest: `miss` in `[tables.main]`, also `miss = "drop"`.',
        ),
        mend=(
            Mend(
                'relay = "homer"',
                'relay = "homer"\n\n[[rules.main]]\nname = "rest"\ndrop = "not-sip"',
            ),
        ),
    ),
    Code(
        "HEP304",
        "a table that is never entered",
        WARNING,
        cause=(
            "Neither `entry` of a listener nor a rule of another table leads to it.",
            "Or only `[tables]` knows it, and it has no rules.",
            "Its rules would never be tried.",
        ),
        example=_rules(
            """
            [[rules.calls]]
            name = "all"
            relay = "homer"
            """
        ),
        cure=("Lead to it, or take the table out.",),
        mend=(
            Mend(
                '[[rules.main]]\nname = "rest"',
                '[[rules.main]]\nname = "calls"\nmatch.proto_type = "SIP"\ngoto = "calls"\n\n',
                before=True,
            ),
        ),
    ),
    Code(
        "HEP305",
        "tables or matchers that go round in a circle",
        ERROR,
        cause=(
            "Tables lead to each other, and a packet would walk for ever.",
            "Or matchers name each other, and none of them says anything.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "calls"
            match.proto_type = "SIP"
            goto = "calls"

            [[rules.calls]]
            name = "back"
            goto = "main"
            """
        ),
        cure=("Let one of the rules end, or go to a table that is not on the way to it.",),
        mend=(Mend('goto = "main"', 'relay = "homer"'),),
    ),
    Code(
        "HEP306",
        "something that is never used",
        WARNING,
        cause=(
            "No rule names this destination, this store or this set.",
            "Most often the rule that should is missing or asks for another one.",
        ),
        example=_rules(
            """
            [sets]
            banned = ["198.51.100.66"]
            """
        ),
        cure=("Use it in a rule, or take it out.",),
        mend=(
            Mend(
                '[[rules.main]]\nname = "rest"',
                '[[rules.main]]\nname = "banned"\nmatch.src_ip = "@banned"\ndrop = "banned"\n\n',
                before=True,
            ),
        ),
    ),
    Code(
        "HEP307",
        "an output named again behind an edit",
        WARNING,
        cause=(
            "A packet reaches one output once: the first rule that names it wins.",
            "This rule names it again after an edit, and the edited packet is not sent there.",
            "The output gets the packet as it stood before.",
        ),
        example=f"""\
{LISTEN}
[destinations]
homer = "udp://192.0.2.10:9060"
vendor = "udp://192.0.2.20:9060"

[[rules.main]]
name = "copy"
relay = ["homer", "vendor"]
continue = true

[[rules.main]]
name = "mark"
set.node_name = "edge"
relay = "vendor"
""",
        cure=("Name the output once, at the rule where the packet is as it should arrive.",),
        mend=(Mend('relay = ["homer", "vendor"]', 'relay = "homer"'),),
    ),
    Code(
        "HEP308",
        "one table in two files",
        WARNING,
        cause=(
            "Rules of one table stand in two files.",
            "The first match decides, so their order counts, and it hides in the files' names.",
            "A file that is renamed would change where packets go.",
        ),
        example=_headed(
            """
            [[rules.main]]
            name = "logs"
            match.proto_type = "LOG"
            drop = "logs"
            """
        ),
        beside=(File("rules/20-rest.toml", REST),),
        cure=(
            "Move the rules of a table into one file.",
            "Or make the second file a table of its own, to which the first goes.",
        ),
        mend=(Mend(REST, ""), Mend('drop = "logs"\n', f'drop = "logs"\n\n{REST}')),
    ),
    Code(
        "HEP309",
        "a table whose rules are all switched off",
        WARNING,
        cause=(
            "Every rule of it has `enabled = false`.",
            "Whatever enters the table is missed.",
        ),
        example=_headed(
            """
            [[rules.main]]
            name = "rest"
            enabled = false
            relay = "homer"
            """
        ),
        cure=("Switch a rule on, or take the table out and what leads to it.",),
        mend=(Mend("enabled = false", "enabled = true"),),
    ),
    # --- 4xx: safety ---
    Code(
        "HEP401",
        "a destination that is an own listener",
        ERROR,
        cause=(
            "What is sent there arrives here again.",
            "One packet would come back for ever, and soon there would be nothing else.",
        ),
        example=f"""\
{LISTEN}
[destinations]
homer = "udp://127.0.0.1:9060"

{REST}""",
        cure=("Write the address of the collector; on this machine it needs another port.",),
        mend=(Mend("udp://127.0.0.1:9060", "udp://127.0.0.1:9070"),),
    ),
    Code(
        "HEP402",
        "plain transport to a public address",
        WARNING,
        cause=(
            "The destination has a public address, and packets go there as they are.",
            "Everyone on the way can read who calls whom.",
            "They can also change what is sent.",
        ),
        example=f"""\
{LISTEN}
[destinations]
homer = "udp://homer.example.com:9060"

{REST}""",
        cure=(
            "Use `tls://`, or an address that is reached through a tunnel.",
            "Or hide what is nobody's business with a `privacy` profile.",
        ),
        mend=(Mend("udp://homer.example.com:9060", "tls://homer.example.com:9061"),),
    ),
    Code(
        "HEP403",
        "a secret that would be printed",
        ERROR,
        cause=(
            "`auth_key` stands in a log line, or in a template that sets another chunk.",
            "The key of the agents would be in the log, in counters or at other collectors.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "seen"
            log = "{node_name} has {auth_key}"
            continue = true
            """
        ),
        cure=("Take it out.",),
        mend=(Mend('log = "{node_name} has {auth_key}"', 'log = "{node_name}"'),),
    ),
    Code(
        "HEP404",
        "a plain string that looks like a pattern",
        WARNING,
        cause=(
            "Texts are exact: `*72` and `sip:a?b` are what telephones send.",
            "This one looks like an expression; as a text it most likely matches no packet at all.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "lab"
            match.node_name = "lab-.*"
            drop = "lab"
            """
        ),
        cure=(
            "Write `{ prefix }`, `{ glob }` or `{ re }`.",
            "If it is meant as it stands, write `{ eq }`.",
        ),
        mend=(Mend('match.node_name = "lab-.*"', 'match.node_name = { prefix = "lab-" }'),),
    ),
    Code(
        "HEP405",
        "a literal secret",
        WARNING,
        cause=(
            "A key stands in the configuration itself.",
            "Everyone who reads the file, its backup or its history has it.",
        ),
        example=f"""\
[[listen]]
url = "udp://0.0.0.0:9060"
auth_key = "correct-horse-battery-staple"

[destinations]
homer = "udp://192.0.2.10:9060"

{REST}""",
        beside=(File("agents.key", "another-horse-another-battery\n"),),
        cure=(
            "Write it to a file that only hepsw's user may read, or take it from the environment.",
            "Then change the key: this one is known.",
        ),
        mend=(
            Mend('auth_key = "correct-horse-battery-staple"', 'auth_key = { file = "agents.key" }'),
        ),
    ),
    Code(
        "HEP406",
        "a key file that everyone may read",
        WARNING,
        cause=(
            "The permissions of a file with a secret let every user of this machine read it.",
            "Whoever has the key can send as an agent, or listen in.",
        ),
        example=f"""\
[[listen]]
url = "udp://0.0.0.0:9060"
auth_key = {{ file = "agents.key" }}

[destinations]
homer = "udp://192.0.2.10:9060"

{REST}""",
        beside=(File("agents.key", "correct-horse-battery-staple\n", mode=0o644),),
        cure=("Give the file to hepsw's user, and take it from all others: `chmod 600`.",),
    ),
    Code(
        "HEP407",
        "a certificate that is expired, or soon will be",
        WARNING,
        cause=(
            "The certificate of a listener or a destination has at most 14 days left, or none.",
            "Who looks at it does not connect then: agents to the listener, or we to a collector.",
        ),
        example=f"""\
[[listen]]
url = "tls://0.0.0.0:9061"
tls = {{ cert = "server.pem", key = "server.key" }}

[destinations]
homer = "udp://192.0.2.10:9060"

{REST}""",
        cure=(
            "Have it renewed, and put certificate and key in the place of the old ones.",
            "With `reload.watch` they are served at once, otherwise after a reload.",
        ),
    ),
    # --- 5xx: cost ---
    Code(
        "HEP501",
        "many rules that are tried one by one",
        WARNING,
        cause=(
            "Values, lists, ranges, networks and prefixes are found in an index.",
            "Rules that ask only by `re`, `glob`, `suffix`, `contains` or negation are not.",
            "Every packet pays for each of them, so the switch slows down with every rule added.",
        ),
        example=_rules(
            """
            [[rules.main]]
            name = "site-1"
            match.node_name = { re = "^site1-" }
            drop = "site"

            # … and so on, some hundred rules like this one.
            """
        ),
        cure=(
            "Ask by a value, a list, a range, a network or a prefix.",
            "A condition of that kind beside the other one is enough.",
        ),
        mend=(
            Mend(
                'match.node_name = { re = "^site1-" }',
                'match.node_name = { prefix = "site1-" }',
            ),
        ),
    ),
)

CODES: Final[Mapping[str, Code]] = {code.code: code for code in _CODES}
"""Every code there is; a test finds each of them in the code that reports it and in the manual."""
