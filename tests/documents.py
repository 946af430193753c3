"""Random documents of the whole rule language, valid by construction.

`any_document(random)` makes two to four tables with everything that a rule may do: nested matches,
edits, templates, scope, samples, dedupe, limits, counters, maps, traces, and a flow graph without
circles, since flow only leads to later tables. Nothing of a table with `parse = "never"`, nor of
the tables that it calls, asks what a payload says.

The values are those of `calls`, few of them, so that rules overlap and packets get far.
"""

from __future__ import annotations

import tomllib

import tomli_w
from calls import CALLS, START

TABLES = ["main", "second", "third", "last"]
"""In this order; a rule only leads to tables behind its own."""
OUTPUTS = {
    "destinations": {
        "a": "udp://192.0.2.101",
        "b": "udp://192.0.2.102",
        "c": "tcp://192.0.2.103",
    },
    "stores": {"s": {"url": "sqlite://s.db"}, "q": {"url": "sqlite://q.db"}},
}
DESTINATIONS, STORES = list(OUTPUTS["destinations"]), list(OUTPUTS["stores"])
TRACES = {
    "calls": {"to": ["a", "s"]},
    "audio": {"to": "c"},
    "off": {"to": ["b", "q"], "enabled": False},
}
SETS = {
    "lab": ["10.0.0.0/24", "2001:db8::1"],
    "ids": [1, "3-9"],
    "callers": ["100", "114", "@odd"],
    "kinds": ["chat", 5, "90-99"],
    "grades": [3, "4.25", "6-7.5"],
}
PROTO_TYPES = {"Chat": 34, "quality": 5}
RENAMED = {"LOG": 34, "trace": 100}
"""Names of payload types of one's own; some mean another number than they do elsewhere."""
CHUNKS = {
    "tenant": {"vendor": 3, "id": 0x31, "type": "uint32"},
    "site": {"vendor": 3, "id": 0x32, "type": "utf8"},
    "gate": {"vendor": 3, "id": 0x33, "type": "inet4"},
    "mark": {"vendor": 3, "id": 0x34, "type": "octets"},
}
PLAIN_MATCHERS = {
    "near": {"src_ip": "@lab"},
    "agents": {"capture_id": "@ids", "not": {"vlan": 5}},
    "both": {"is": ["near", "agents"]},
}
READING_MATCHERS = {
    "setup": {"sip": {"method": "INVITE", "kind": "request"}},
    "bad": {"any": [{"rtcp": {"loss_pct": {"ge": 10}}}, {"vq": {"mos_lq": {"lt": 3.5}}}]},
    "odd": {"is": "near", "sip": {"verdict": {"not": "ok"}}},
}

# --- maps ----------------------------------------------------------------------------------------

PLAIN_MAPS = {
    "tenants": {
        "key": "capture_id",
        "entries": {"1": "a", "1-2": ["b", "c"], "3-9": "c"},
        "default": "b",
    },
    "networks": {
        "key": "src_ip",
        "entries": {
            "10.0.0.0/8": "big",
            "10.0.0.0/24": "small",
            "10.0.0.2": "host",
            "2001:db8::/32": "six",
        },
    },
    "shelves": {"key": "node_name", "entries": {"pbx1": "s", "pbx2": ["s", "q"]}},
    "types": {"key": "proto_type", "entries": {"SIP": "a", "5": "b", "30-99": ["a"]}},
    "ends": {"key": "port", "entries": {"5061": "tls", "5060-5070": "plain"}, "default": "?"},
    "codes": {"key": "node_name", "entries": {"pbx1": 7, "sbc": 70}, "default": 1},
    "names": {"key": "peer_name", "entries": {"sbc.example": ["a", "c"]}, "default": "b"},
}
READING_MAPS = {
    "methods": {
        "key": "sip.method",
        "entries": {"INVITE": "call", "BYE": "call", "OPTIONS": "ping"},
        "default": "other",
    },
    "answers": {"key": "sip.status", "entries": {"100-199": "soon", "200": "ok", "201-699": "no"}},
    "losses": {"key": "rtcp.loss_pct", "entries": {"0-6.5": "fair", "7-": "poor"}},
    "ladders": {"key": "call", "entries": {CALLS[0]: "calls", CALLS[1]: ["audio", "off"]}},
    "doors": {"key": "sip.method", "entries": {"INVITE": ["a", "b"], "BYE": "c"}},
    "legs": {"key": "sip.header.X-Leg", "entries": {"b": "bee", "a, b": "both"}},
    "words": {"key": "json.mos", "entries": {"3": "text", "4.25": "text too"}, "default": "none"},
}
RELAY_MAPS, STORE_MAPS, TRACE_MAPS = ["tenants", "types", "names"], ["shelves"], ["ladders"]
READING_RELAY_MAPS = ["doors"]

# --- conditions ----------------------------------------------------------------------------------

NUMBER = [{"ge": 5}, {"gt": 1, "lt": 5061}, {"not": 1}, {"not": [2, 5060]}, {"in": [1, 7, 5061]}]
TEXT = [
    {"prefix": "pb"},
    {"suffix": "2"},
    {"contains": "b"},
    {"glob": "*b?*"},
    {"glob": "[!p]*"},
    {"re": "^[cs]"},
    {"re": "(?i)BX|X1$"},
    {"hex": "706278"},
    {"prefix": {"hex": "c3"}},
    {"prefix": "c", "not": CALLS[0]},
    [{"prefix": "c1"}, "sbc", "112"],
    {"not": {"prefix": "p"}},
    {"in": ["pbx1", "200", CALLS[1]]},
    {"eq": "*72"},
]
DECIMAL = [{"ge": 3}, {"gt": 2.5, "le": 12.5}, {"not": 12.5}, {"lt": 6.25}, "1-6.5", "5-", 12.5]
DECIMAL += ["@grades", [2.5, "@grades"], {"in": [12.5, "6-7"]}, {"eq": 6.25}]
WHERE = ["10.0.0.1", "10.0.0.0/24", "10.0.0.0/8", "2001:db8::/32", "@lab", ["10.0.1.1", "@lab"]]
WHERE += [{"not": "10.0.0.0/24"}, {"eq": "10.0.0.2"}, {"in": "@lab"}, {"not": ["@lab", "::/0"]}]
ENDS = [5060, "5061-", "5060-5061", [5061, 5080], *NUMBER]
DIAL = ["112", "*72", {"prefix": "*"}, {"in": ["100", "300"]}, {"not": "112"}, "@callers"]

PLAIN = {
    "proto_type": [
        *("SIP", "rtcp", "Quality", ["SIP", "LOG"], ["chat", 100], 1, 34, "1-5", "@kinds"),
        *({"not": "SIP"}, {"ge": 34}, {"lt": "LOG"}, {"eq": "CHAT"}, {"not": ["log", "@kinds"]}),
    ],
    **dict.fromkeys(("src_ip", "dst_ip", "ip"), WHERE),
    **dict.fromkeys(("src_port", "dst_port", "port"), ENDS),
    "capture_id": [1, 2, "@ids", [1, 3], "2-", *NUMBER],
    "vlan": [0, 5, {"not": 5}],
    "ip_family": [2, 10],
    "ip_protocol": [6, 17],
    "hep_version": [3, [1, 2], {"lt": 3}],
    "size": [{"ge": 300}, "0-299"],
    "payload_size": [0, "1-", {"le": 60}],
    "time": [{"ge": int(START * 1_000_000) + 2_000_000}, {"lt": 1_700_000_005_000_000}],
    "node_name": ["pbx1", ["pbx2", "sbc"], "ñ", "", *TEXT],
    "correlation_id": [*CALLS, CALLS[:2], *TEXT],
    "payload": [{"prefix": "INVITE"}, {"contains": "CallID"}, {"re": r"c[12]@"}, {"suffix": "\n"}],
    "compressed_payload": [{"prefix": {"hex": "78"}}],
    "tenant": [7, "1-69", {"ge": 70}, *NUMBER],
    "site": ["mad1", {"prefix": "b"}, *TEXT],
    "gate": ["10.9.0.1", {"not": "10.9.0.1"}],
    "mark": ["ab", {"hex": "6162"}, {"suffix": "b"}],
    "0x0003:0x0065": [{"hex": "0102"}, {"hex": "03"}, {"prefix": {"hex": "01"}}],
    "peer_ip": ["192.0.2.1", "192.0.2.0/24", {"not": "192.0.2.1"}],
    "peer_port": [40000, "40001-"],
    "peer_transport": ["udp", "tcp", {"not": "udp"}],
    "peer_name": ["sbc.example", {"suffix": ".example"}, {"not": "pbx.example"}],
    "local_ip": ["127.0.0.0/8"],
    "local_port": [9060, {"not": 9060}],
    "listener": ["in", "side", {"not": "in"}],
    "map.tenants": ["a", "b", {"not": "c"}, ["b", "c"]],
    "map.networks": ["big", "small", "host", {"prefix": "s"}],
    "map.ends": ["tls", "plain", {"not": "?"}],
    "map.codes": [7, "8-", [1, 70], {"ge": 7}, {"not": 1}],
    "map.names": ["b", {"in": ["a", "b"]}, {"not": "c"}],
}
"""By field that is no part of a payload, what may be written for it."""
READING = {
    "sip.kind": ["request", "reply", "malformed", "none", {"not": "request"}],
    "sip.verdict": ["ok", "header", "semantic", "start", "frame", {"not": "ok"}],
    "sip.method": ["INVITE", ["INVITE", "ACK"], "BYE", "OPTIONS", {"prefix": "C"}, {"not": "BYE"}],
    "sip.status": [200, "100-199", "200-", [487, 100], {"ge": 300}, {"not": "200-299"}],
    "sip.reason": ["OK", {"contains": " "}, {"suffix": "ing"}],
    "sip.ruri": [{"prefix": "sip:112"}, {"contains": "sbc"}, {"re": "sip:[0-9]+@"}],
    "sip.ruri_user": DIAL,
    "sip.ruri_domain": ["sbc.example", {"prefix": "p"}],
    "sip.from_user": DIAL,
    "sip.from_domain": ["pbx.example"],
    "sip.from_tag": ["f-c1", {"not": "f-c2"}],
    "sip.to_user": DIAL,
    "sip.to_domain": ["sbc.example"],
    "sip.to_tag": ["t1", {"not": "t2"}],
    "sip.call_id": [*CALLS, {"suffix": "sbc.example"}],
    "sip.cseq": [1, 2, "3-9", {"le": 1}, {"not": 1}],
    "sip.via_branch": [{"suffix": "INVITE"}, {"prefix": "z9hG4bK"}],
    "sip.contact_user": ["me"],
    "sip.user_agent": [{"glob": "phone/?"}],
    "sip.content_type": ["application/sdp", {"contains": "rtcpxr"}],
    "sip.body": [{"prefix": "v=0"}],
    "sip.message": [{"suffix": "\r\n\r\n"}, {"contains": "phone"}],
    "sip.header.X-Leg": ["a", "b", {"not": "a"}, {"prefix": "a"}],
    "sip.header.v": [{"contains": "TCP"}, {"contains": "10.0.0.1"}],
    "rtcp.loss_pct": DECIMAL,
    "rtcp.jitter_ms": DECIMAL,
    "rtcp.rtt_ms": [{"ge": 100}, 150],
    "vq.mos_lq": [4.1, *DECIMAL],
    "vq.mos_cq": [3.5, "3-4"],
    "vq.loss_pct": DECIMAL,
    "vq.jitter_ms": [12.5],
    "vq.call_id": CALLS,
    "json.event": ["start", "end", {"prefix": "e"}, {"not": "end"}],
    "json.call": [*CALLS, {"re": "^c1"}],
    "json.mos": [
        *(3, 4.25, "4.25", {"ge": 3}, {"lt": 4}, {"not": 3}, [3, "4.25"], {"not": [3, "4.25"]}),
        *({"gt": 3, "lt": 4.5}, {"prefix": "4"}, {"re": "."}, "@grades", {"eq": 4.25}, "3-5"),
        *([{"ge": 4}, "4.25", {"suffix": "5"}], {"not": {"ge": 4}}, {"hex": "342e3235"}),
    ],
    "json.big": [{"ge": 1000}, 12345678901.25],
    "json.ok": [True, False, "true", {"not": True}, [False, "true"], {"prefix": "t"}, {"ge": 0}],
    "json.leg.n": [2, 2.5, {"in": [7, 8]}],
    "json.leg.name": ["1-2", {"contains": "-"}],
    "json.leg.1.n": [7],
    "call": [*CALLS, CALLS[1:], {"prefix": "c"}, {"not": CALLS[0]}, *TEXT],
    "map.methods": ["call", "ping", {"not": "call"}],
    "map.answers": ["soon", ["ok", "no"]],
    "map.losses": ["fair", "poor"],
    "map.ladders": ["calls", {"not": "audio"}],
    "map.legs": ["bee", {"exists": True}],
    "map.words": ["text too", {"not": "none"}],
}
"""By field that is read from a payload."""
BROAD = {
    "proto_type": ["SIP", {"not": "SIP"}, "1-100"],
    "src_ip": ["10.0.0.0/8", {"exists": True}],
    "capture_id": [{"in": [1, 2]}, {"exists": True}],
}
"""What many packets pass, so that walks get far."""

BEGINNINGS = [
    {"sip": {"method": "INVITE", "kind": "request"}},
    {"sip": {"ruri_user": ["112", "*72"]}},
    {"sip": {"status": "200-299", "method": ["INVITE", "BYE"]}},
    {"rtcp": {"loss_pct": {"exists": True}}},
    {"capture_id": 1, "call": {"exists": True}},
]
"""What a rule with scope tells a call by: something that not all of its packets pass."""

# --- templates -----------------------------------------------------------------------------------

PLAIN_TEMPLATES = [
    "{src_ip}-{node_name|upper}",
    "{proto_type}",
    "{proto_type|lower} by {{agent}} {capture_id|default:none}",
    "{capture_id|shr:1}",
    "{size|bucket:200,400}",
    "{payload_size}/{hep_version}",
    "{correlation_id|select:1:@}",
    "{correlation_id|mask:4}",
    "{node_name|replace:pbx:sbc}",
    "{node_name|json}",
    "{node_name|hash}",
    "{payload|re:'CallID: *(\\S+)'}",
    '{payload|re:"code=[0-9]+"|default:"a|b"}',
    "{time}",
    "{peer_ip}:{peer_port} {listener} {peer_transport}",
    "{tenant}/{site|default:nowhere}/{gate}",
    "{0x0003:0x0065|hash}",
    "{ip} {port}",
    "{map.networks|default:far}-{map.ends}",
    "{map.codes} {peer_name|default:nobody}",
    "plain text",
]
READING_TEMPLATES = [
    "{sip.call_id}",
    "{sip.method} {sip.status} {sip.ruri_user|mask:1}",
    "{sip.header.X-Leg|upper}",
    "{sip.from_user|default:nobody}@{sip.from_domain}",
    "{sip.kind}/{sip.verdict}",
    "{sip.cseq}",
    "{call}",
    "{call|hash}",
    "{rtcp.loss_pct|bucket:5,10}",
    "{vq.mos_lq} {vq.call_id}",
    "{json.leg.name|select:1:-} {json.ok} {json.mos} {json.big}",
    "{map.methods}.{map.answers}",
]
COUNTERS = {
    "packets": {},
    "kinds": {"type": ["{proto_type}", "{hep_version}"], "agent": ["{capture_id}", "fixed"]},
    "networks": {"net": ["{map.networks|default:none}"]},
}
READING_COUNTERS = {
    "methods": {"method": ["{sip.method}", "{map.methods}"], "status": ["{sip.status|default:-}"]},
    "legs": {"leg": ["{map.legs}", "{json.leg.n}"]},
    "losses": {"loss": ["{rtcp.loss_pct|bucket:5,10,20}"]},
}
OBSERVED = {"sizes": {"value": ["{payload_size}", "{size}"], "type": ["{proto_type}"]}}
READING_OBSERVED = {
    "quality": {
        "value": ["{vq.mos_lq}", "{rtcp.jitter_ms}", "{json.mos}", "{json.big}", "{sip.method}"],
        "agent": ["{capture_id}"],
    }
}
"""Counters and gauges by name, each label with the templates that it may have: a name always has
the same labels."""

# --- edits ---------------------------------------------------------------------------------------

NEW_PAYLOAD = (
    f"BYE sip:112@sbc.example SIP/2.0\r\nCall-ID: {CALLS[1]}\r\nCSeq: 1 BYE\r\nX-Leg: a\r\n\r\n"
)
EDITS = {
    "capture_id": [2, 9, "{capture_id|shr:1}", "{vlan}", "{node_name}"],
    "node_name": ["pbx1", "{node_name|upper}", "{src_ip}-{node_name}", "{map.ends}", "{site}"],
    "src_port": [5061, "{dst_port}", "{capture_id}"],
    "dst_port": ["{src_port}"],
    "src_ip": ["10.0.0.2", "2001:db8::1", "{dst_ip}", "{gate}", "{node_name}"],
    "dst_ip": ["{src_ip}", "10.0.1.1"],
    "ip_family": [10, 2],
    "vlan": [5, "{capture_id}"],
    "proto_type": ["LOG", "SIP", "rtcp", "chat", 34, "{proto_type}"],
    "correlation_id": [CALLS[0], "{payload|re:'CallID: *(\\S+)'}", "{node_name|default:c9}"],
    "payload": [NEW_PAYLOAD, "plain", "{payload|lower}", {"hex": "0d0a"}],
    "time": [int(START * 1_000_000), "{time}", "2023-11-14T22:13:20Z"],
    "tenant": [7, "{src_port}", "{size}", "{map.codes}"],
    "site": ["mad1", "{node_name|json}", {"hex": "ff"}],
    "gate": ["10.9.0.1", "{src_ip}"],
    "mark": ["ab", {"hex": "6162"}],
    "group_id": ["{ip_protocol}", "{peer_ip}"],
    "0x0003:0x0065": [{"hex": "0102"}, {"hex": ""}, "{src_ip}"],
}
READING_EDITS = {
    "correlation_id": ["{sip.call_id}", "{vq.call_id}", "{json.call}"],
    "node_name": ["{sip.ruri_user|mask:1}", "{map.methods}", "{call|hash}"],
    "payload": ["{sip.message}"],
    "tenant": ["{sip.status}", "{sip.cseq}", "{rtcp.jitter_ms}", "{json.mos}"],
}
UNSET = ["node_name", "correlation_id", "capture_id", "payload", "vlan", "src_ip", "tenant", "time"]
UNSET += ["0x0003:0x0065"]


class Maker:
    """Makes one document."""

    def __init__(self, random):
        self.random = random
        self.tables = TABLES[: random.randint(2, 4)]
        # `parse = "never"` holds for what a table calls as well: it only calls tables like itself.
        self.silent = {table for table in self.tables if self.rarely(0.2)}

    def rarely(self, share):
        """Return true in so many cases."""
        return self.random.random() < share

    def any_of(self, choices):
        """Return one of some."""
        return self.random.choice(list(choices))

    def document(self):
        """Return the whole."""
        settings = {table: self.settings(table) for table in self.tables}
        return {
            "listen": [
                {"name": "in", "url": "udp://127.0.0.1:9060"},
                {
                    "name": "side",
                    "url": "tcp://127.0.0.1:9061",
                    "entry": self.any_of(["main", "main", *self.tables]),
                },
            ],
            **OUTPUTS,
            "switch": {"dialog_ttl": "10s"},
            "traces": TRACES,
            "sets": SETS,
            "proto_types": PROTO_TYPES | RENAMED if self.rarely(0.3) else PROTO_TYPES,
            "chunks": CHUNKS,
            "maps": PLAIN_MAPS | READING_MAPS,
            "matchers": PLAIN_MATCHERS | READING_MATCHERS,
            "tables": {table: written for table, written in settings.items() if written},
            "rules": {
                table: [
                    self.rule(f"r{at}", table)
                    for at in range(self.random.randint(3 if table == "main" else 1, 6))
                ]
                for table in self.tables
            },
        }

    def settings(self, table):
        """Return the settings of a table; without any it has none of its own."""
        written = {"parse": "never"} if table in self.silent else {}
        if self.rarely(0.35):
            maps = self.choices(table, RELAY_MAPS, READING_RELAY_MAPS)
            written["miss"] = self.any_of(
                [
                    "drop",
                    {"relay": "c"},
                    {"store": ["q"], "relay": ["a", "b"]},
                    {"relay": {"map": self.any_of(maps)}},
                    {"store": {"map": self.any_of(STORE_MAPS)}, "relay": "b"},
                ]
            )
        return written

    # --- match ---

    def block(self, table, depth=0):
        """Return a match block."""
        block = {}
        for _ in range(self.any_of([0, 1, 1, 1, 2]) if depth == 0 else 1):
            name, written = self.condition(table)
            put(block, name, written)
        if depth > 1 or not self.rarely(0.3):
            return block
        kind = self.any_of(["any", "any", "all", "not", "is"])
        if kind == "is":
            block["is"] = self.any_of(self.choices(table, PLAIN_MATCHERS, READING_MATCHERS))
        elif kind == "not":
            block["not"] = self.block(table, depth + 1)
        else:
            several = range(self.random.randint(1, 3))
            block[kind] = [self.block(table, depth + 1) for _ in several]
        return block

    def condition(self, table):
        """Return a field and what is written for it."""
        fields = PLAIN
        if self.rarely(0.25):
            fields = BROAD
        elif table not in self.silent and self.rarely(0.65):
            fields = READING
        name = self.any_of(fields)
        if self.rarely(0.1):
            return name, {"exists": self.rarely(0.6)}
        return name, self.any_of(fields[name])

    # --- rules ---

    def rule(self, name, table):
        """Return a rule of a table."""
        rule = {"name": name, **self.conditions_of(table)}
        if self.rarely(0.25):
            rule["set"] = self.edits(table)
        if self.rarely(0.12):
            names = [unset for unset in UNSET if unset not in rule.get("set", {})]
            rule["unset"] = self.any_of([names[0], self.random.sample(names, 2)])
        rule |= self.sayings(table)
        rule |= self.outputs(table)
        rule |= self.flow(table)
        if self.rarely(0.04):
            rule["enabled"] = False
        return rule

    def conditions_of(self, table):
        """Return what decides whether a rule matches."""
        written = {"match": self.block(table)}
        reads = table not in self.silent
        if reads and self.rarely(0.3):
            written["scope"] = self.any_of(["message", *["transaction", "dialog"] * 2])
            if self.rarely(0.7):
                written["match"] = self.any_of(BEGINNINGS)
        if self.rarely(0.15):
            share = self.any_of(["50%", "80%", "12.5%", "100%"])
            by = self.any_of(["src_ip", "capture_id", "node_name", "time", "tenant", "port"])
            if reads:
                more = ["sip.from_tag", "sip.cseq", "sip.header.X-Leg", "map.methods"]
                more += ["json.event", "json.mos", "json.ok", "rtcp.loss_pct", "vq.mos_lq"]
                by = self.any_of([by, "call", self.any_of(more)])
            written["sample"] = {"keep": share, "by": by}
            if reads and self.rarely(0.6):
                written["sample"] = self.any_of([share, {"keep": share}])
        if self.rarely(0.25):
            written["dedupe"] = {"window": self.any_of(["100ms", "500ms"])}
            if self.rarely(0.5):
                keys = [["payload"], ["src_ip", "proto_type"], ["ip", "payload", "tenant"]]
                keys += [["map.networks", "peer_name", "port"]]
                keys += [["call", "sip.cseq", "sip.method"], ["sip.kind", "json.ok"]] * reads
                keys += [["json.mos", "rtcp.loss_pct", "sip.header.X-Leg"]] * reads
                written["dedupe"]["key"] = self.any_of(keys)
        if self.rarely(0.15):
            written["limit"] = self.limit(reads)
        return written

    def limit(self, reads):
        """Return a limit."""
        rate = self.any_of(["1/s", "2/s", "30/m", "1800/h"])
        if self.rarely(0.3):
            return rate
        limit = {"rate": rate, "over": self.any_of(["next", "next", "drop"])}
        if self.rarely(0.4):
            limit["burst"] = self.any_of([1, 2, 3])
        if self.rarely(0.5):
            per = ["capture_id", "src_ip", "peer_ip", "node_name", "peer_name", "map.networks"]
            if reads:
                more = ["sip.header.X-Leg", "json.mos", "json.ok", "rtcp.loss_pct", "vq.mos_lq"]
                per += ["call", "sip.method", self.any_of(more)]
            limit["per"] = self.any_of(per)
        return limit

    def edits(self, table):
        """Return what a rule sets."""
        edits = {}
        for _ in range(self.any_of([1, 1, 2, 3])):
            source = READING_EDITS if table not in self.silent and self.rarely(0.4) else EDITS
            name = self.any_of(source)
            edits[name] = self.any_of(source[name])
        return edits

    def sayings(self, table):
        """Return what a rule writes and counts."""
        written = {}
        if self.rarely(0.25):
            text = self.any_of(self.choices(table, PLAIN_TEMPLATES, READING_TEMPLATES))
            levels = ["debug", "info", "warning", "error"]
            written["log"] = self.any_of([text, {"level": self.any_of(levels), "text": text}])
        if self.rarely(0.25):
            written["count"] = self.labelled(self.choices(table, COUNTERS, READING_COUNTERS))
        if self.rarely(0.15):
            written["observe"] = self.labelled(self.choices(table, OBSERVED, READING_OBSERVED))
        return written

    def labelled(self, names):
        """Return one or two of some counters, each label with one of its templates."""
        chosen = self.random.sample(sorted(names), min(len(names), self.any_of([1, 1, 2])))
        return {
            name: {label: self.any_of(templates) for label, templates in names[name].items()}
            for name in chosen
        }

    def outputs(self, table):
        """Return where a rule sends to."""
        written = {}
        if self.rarely(0.4):
            several = self.random.sample(DESTINATIONS, 2)
            mapped = {"map": self.any_of(self.choices(table, RELAY_MAPS, READING_RELAY_MAPS))}
            written["relay"] = self.any_of([self.any_of(DESTINATIONS), several, mapped])
        if self.rarely(0.2):
            mapped = {"map": self.any_of(STORE_MAPS)}
            written["store"] = self.any_of([self.any_of(STORES), STORES, mapped])
        if self.rarely(0.15):
            names = list(TRACES)
            mapped = [{"map": self.any_of(TRACE_MAPS)}] * (table not in self.silent)
            written["trace"] = self.any_of([self.any_of(names), names, *mapped])
        return written

    def flow(self, table):
        """Return how a rule goes on: only to later tables, so there is no circle."""
        later = self.tables[self.tables.index(table) + 1 :]
        callable_ = [name for name in later if table not in self.silent or name in self.silent]
        ways = ["continue"] * 12 + ["stop"] * 3 + ["drop"] * 2
        ways += ["goto", "resume"] * 2 * bool(later) + ["call"] * 4 * bool(callable_)
        match self.any_of(ways):
            case "continue":
                return {"continue": True}
            case "drop":
                return {"drop": self.any_of(["unwanted", "odd"])}
            case "call":
                # Now and then a table is called twice by one packet.
                return {"call": self.any_of([*callable_, callable_[-1], callable_[-1]])}
            case "goto" | "resume" as way:
                return {way: self.any_of(later)}
        return {}

    def choices(self, table, plain, reading):
        """Return what a table may use: all of it, or what reads no payload."""
        if table in self.silent:
            return plain
        return plain | reading if isinstance(plain, dict) else plain + reading


def any_document(random):
    """Return a random document, valid by construction.

    Args:
        random: a `random.Random`; the same one gives the same document.
    """
    # As TOML reads it: writers move keys, and new chunks go to a packet's end in the order of keys.
    return tomllib.loads(tomli_w.dumps(Maker(random).document()))


def put(block, name, written):
    """Write a condition into a block as TOML reads it: dotted names nest, a JSON path does not."""
    group, dot, rest = name.partition(".")
    if not dot:
        block[name] = written
    elif rest.startswith("header."):
        headers = block.setdefault(group, {}).setdefault("header", {})
        headers[rest.removeprefix("header.")] = written
    else:
        block.setdefault(group, {})[rest] = written
