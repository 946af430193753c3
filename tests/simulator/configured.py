"""A small configuration that uses everything a test can expect, and its tests run."""

from hepsw.config.diagnostics import render
from hepsw.prove import prove

CONFIGURATION = """
[[listen]]
name = "in"
url  = "udp://127.0.0.1:9060"

[[listen]]
name  = "lab"
url   = "tcp://127.0.0.2:9061"
entry = "lab"

[destinations]
a = "udp://192.0.2.1"
b = "udp://192.0.2.2"

[stores.s]
url = "sqlite://s.db"

[traces.t]
to = ["b", "s"]

[tables.main]
miss = "drop"

[tables.lab]
miss = { relay = "b" }

[[rules.main]]
name          = "stamp"
match.vlan    = 7
set.node_name = "edge"
continue      = true

[[rules.main]]
name             = "sip"
match.proto_type = "SIP"
log              = "to {sip.to_user}"
relay            = ["a", "b"]
store            = "s"

[[rules.main]]
name             = "rtcp"
match.proto_type = "RTCP"
trace            = "t"
relay            = "a"

[[rules.main]]
name             = "logs"
match.proto_type = "LOG"
relay            = "a"
continue         = true

[[rules.main]]
name             = "end"
match.proto_type = ["LOG", "SDP"]
drop             = "no-use"

[[rules.main]]
name             = "nothing"
match.proto_type = "XMPP"

[[rules.lab]]
name             = "lab"
match.proto_type = "SIP"
relay            = "b"
"""


def results(folder, text):
    """Return what came of the tests of a configuration that is otherwise without fault."""
    file = folder / "hepsw.toml"
    file.write_text(text)
    proven = prove(file)
    found = [problem for problem in proven.loaded.problems.sorted() if problem.code != "HEP120"]
    assert found == [], render(found, proven.loaded.texts)
    return proven.results


def failures(folder, test, text=CONFIGURATION):
    """Return what one more test, given as the lines of `[[tests]]`, complains of."""
    *_, result = results(folder, f"{text}\n[[tests]]\n{test}\n")
    return [(failure.key, failure.text) for failure in result.failures]
