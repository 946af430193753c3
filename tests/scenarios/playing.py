"""A scenario, played: the real switch, agents before it and collectors behind it.

A scenario is a folder with `hepsw.toml`, as an operator would write it, and `expect.toml`: steps,
each a packet with what must become of it, or something that the operator does meanwhile.

- A packet: `what` it is, `from` whom, `over` udp or tcp, its fields in `hep`, its payload as `sip`,
  `text` or `json`; or the packet before `again`.
- What must become of it: the `rules` it meets, who gets it by `relay` and `store`, what is `edited`
  for which of them (false: removed), the lines of the `log`, its `fate` unless it is routed.
- A deed: `save` a file `as` that of the folder, `delete` one, `change` one, which may be `refused`;
  a collector that was `away` comes `back`.
- At the end: what the store says to a query in a `row`, the `counters`, what was `observed`.

On loopback the addresses of the file are played by others: urls of listeners and destinations get
free ports, and the network 10.0.0.0/8, in which the agents live, is 127.0.0.0/8.
"""

from __future__ import annotations

import re
import socket
import sqlite3
import tomllib
from collections import Counter
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, NamedTuple

import wire
from loopback import HOST, TcpSink, UdpSink, free_port
from running import Hepsw
from scenarios.traffic import chunks_named, frame_of, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENT = "10.0.0.7"
"""Who sends what a step does not say the sender of."""

PACKET_OF_A_STEP = {"what", "from", "over", "again", "hep", "sip", "text", "json"}
FATE_OF_A_STEP = {"rules", "relay", "store", "edited", "log", "fate"}
DEEDS = ("save", "delete", "change", "back")
"""What an operator does, or a collector, instead of a packet that comes."""
DEED_OF_A_STEP = {"what", *DEEDS, "as", "replace", "by", "refused"}
WHOLE = {"away", "step", "row", "counters", "observed"}


class Sent(NamedTuple):
    """A packet that an output must get."""

    what: str
    values: dict[str, Any]
    frame: bytes
    edits: dict[str, Any]
    """What is other than in the frame that came; nothing: it is the same octets."""


class Stage:
    """One scenario on loopback."""

    def __init__(self, folder: Path, work: Path, stack: ExitStack) -> None:
        self.folder, self.work = folder, work
        self.stack = stack
        self.expected = tomllib.loads(agents_played((folder / "expect.toml").read_text()))
        assert self.expected.keys() <= WHOLE
        self.texts = {
            file.name: file.read_text()
            for file in folder.iterdir()
            if file.suffix in {".toml", ".txt"} and file.name != "expect.toml"
        }
        self._place()
        (work / "rules").mkdir()
        self.switch = Hepsw(work, self.texts["hepsw.toml"])
        stack.callback(self.switch.stop)
        self.switch.wait_ready()
        self._reloads = 0
        self._agents: dict[tuple[str, str], socket.socket] = {}
        self._last: tuple[dict[str, Any], bytes] | None = None
        self.outputs: dict[str, list[Sent]] = {
            name: [] for name in [*self.sinks, *self.away, *self.stores]
        }
        self.lines: list[str] = []

    # --- the stage ---

    def _place(self) -> None:
        """Give every url of the files a place on loopback."""
        self.ports: dict[str, int] = {}
        self.sinks: dict[str, UdpSink | TcpSink] = {}
        self.away: dict[str, int] = {}
        self.stores: dict[str, str] = {}
        urls = {}
        for text in self.texts.values():
            written = tomllib.loads(text)
            for listen in written.get("listen", []):
                listed = listen["url"] if isinstance(listen["url"], list) else [listen["url"]]
                for url in listed:
                    port = self.ports.setdefault(url.partition("://")[0], free_port())
                    urls[url] = f"{url.partition('://')[0]}://{HOST}:{port}"
            for name, block in written.get("destinations", {}).items():
                url = block if isinstance(block, str) else block["url"]
                urls[url] = self._sink(name, url)
            for name, block in written.get("stores", {}).items():
                self.stores[name] = block["url"].removeprefix("sqlite://")
        for name, text in self.texts.items():
            placed = text
            for url, place in urls.items():
                placed = placed.replace(f'"{url}"', f'"{place}"')
            self.texts[name] = agents_played(placed)

    def _sink(self, name: str, url: str) -> str:
        scheme = url.partition("://")[0]
        if name in self.expected.get("away", []):
            self.away[name] = free_port()
            return f"{scheme}://{HOST}:{self.away[name]}"
        sink = self.stack.enter_context(closing({"udp": UdpSink, "tcp": TcpSink}[scheme]()))
        self.sinks[name] = sink
        return sink.url

    # --- the play ---

    def play(self) -> None:
        """Take every step, and see at each what becomes of its packet."""
        packets = 0
        before = self.switch.counters()["switch"]
        for step in self.expected["step"]:
            if any(deed in step for deed in DEEDS):
                self._do(step)
                continue
            assert step.keys() <= PACKET_OF_A_STEP | FATE_OF_A_STEP, step.keys()
            self._send(step, packets)
            packets += 1
            after = self.switch.wait_counters(
                lambda found, wanted=packets: found["switch"]["accepted"] == wanted
            )["switch"]
            assert (step["what"], became(before, after)) == (
                step["what"],
                {
                    "fate": step.get("fate", "routed"),
                    "rules": sorted(step.get("rules", [])),
                },
            )
            before = after

    def _send(self, step: dict[str, Any], number: int) -> None:
        if not step.get("again"):
            values = values_of(step, number)
            self._last = values, frame_of(values)
        assert self._last is not None
        values, frame = self._last
        self._agent(step.get("from", agents_played(AGENT)), step.get("over")).sendall(frame)
        edited = step.get("edited", {})
        named = [*step.get("relay", []), *step.get("store", [])]
        assert edited.keys() <= set(named)
        for name in named:
            self.outputs[name].append(Sent(step["what"], values, frame, edited.get(name, {})))
        self.lines += step.get("log", [])

    def _agent(self, address: str, scheme: str | None) -> socket.socket:
        scheme = scheme or next(iter(self.ports))
        if (address, scheme) not in self._agents:
            kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
            agent = self.stack.enter_context(closing(socket.socket(type=kind)))
            agent.bind((address, 0))
            agent.connect((HOST, self.ports[scheme]))
            self._agents[address, scheme] = agent
        return self._agents[address, scheme]

    def _do(self, step: dict[str, Any]) -> None:
        assert step.keys() <= DEED_OF_A_STEP, step.keys()
        if "back" in step:
            name = step["back"]
            sink = self.stack.enter_context(closing(TcpSink(self.away[name])))
            self.sinks[name] = sink
            # It is tried again every five seconds at most; what waits then comes first.
            waiting = len(self.outputs[name])
            self.switch.wait_counters(
                lambda found: found["sinks"][name]["delivered"] == waiting, patience=20
            )
            return
        if "save" in step:
            (self.work / step["save"]).write_text(self.texts[step["as"]])
        elif "delete" in step:
            (self.work / step["delete"]).unlink()
        else:
            file = self.work / step["change"]
            text = file.read_text()
            assert text.count(step["replace"]) == 1, f"not once in {file.name}: {step['replace']}"
            file.write_text(text.replace(step["replace"], step["by"]))
        if "refused" in step:
            assert step["refused"] in self.switch.wait_text("reload refused")
        else:
            self._reloads += 1
            self.switch.wait_text("in service after", times=self._reloads)

    # --- the end ---

    def close(self) -> dict[str, Any]:
        """Stop the switch, and see that every output got what it was to get, and no more.

        Returns:
            The counters; nothing is unaccounted for.
        """
        counters = self.switch.stop()
        assert counters["unaccounted"] == 0
        assert [line["text"] for line in self.rule_lines()] == self.lines
        for name, expected in self.outputs.items():
            arrived = self.kept(name) if name in self.stores else frames_at(self.sinks[name])
            came = [compared(*pair) for pair in zip(expected, arrived, strict=False)]
            assert came == [(one.what, "as expected") for one in expected], name
            assert len(arrived) == len(expected), f"{name}: more than it was to get"
            assert counters["sinks"][name]["delivered"] == len(expected)
        return counters

    def rule_lines(self) -> list[dict[str, Any]]:
        """Return what rules have logged."""
        return [line for line in self.switch.log() if line["logger"] == "hepsw.rules"]

    def kept(self, store: str) -> list[bytes]:
        """Return the frames in a store."""
        return [frame for (frame,) in self.select(store, "SELECT frame FROM packets ORDER BY id")]

    def select(self, store: str, query: str) -> list[tuple[Any, ...]]:
        """Ask a store; one that never got a packet has no table."""
        with closing(sqlite3.connect(self.work / self.stores[store])) as opened:
            return opened.execute(query).fetchall()


def agents_played(text: str) -> str:
    """Return a text in which the network of the agents is one of loopback."""
    return re.sub(r"(?<![0-9.])10(\.\d+\.\d+\.\d+)", r"127\1", text)


def became(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what two readings of the counters say of the packet between them."""
    fates = [
        fate for fate in ("routed", "ended", "missed") for _ in range(after[fate] - before[fate])
    ]
    dropped = Counter(after["dropped"])
    dropped.subtract(before["dropped"])
    fates += [f"dropped: {reason}" for reason in dropped.elements()]
    rules = [
        rule
        for rule, account in after["rules"].items()
        if account["packets"] > before["rules"].get(rule, {"packets": 0})["packets"]
    ]
    return {"fate": ", ".join(fates), "rules": sorted(rules)}


def frames_at(sink: UdpSink | TcpSink) -> list[bytes]:
    """Return all that arrived; a stream must end where a frame does."""
    if isinstance(sink, UdpSink):
        return sink.rest()
    sink.take(0)
    found, behind = wire.frames(b"".join(sink.rest()))
    assert behind == b""
    return found


def compared(expected: Sent, arrived: bytes) -> tuple[str, str]:
    """Return the step of a packet, and what is wrong with what arrived of it."""
    return expected.what, "; ".join(_wrong(expected, arrived)) or "as expected"


def _wrong(expected: Sent, arrived: bytes) -> Iterator[str]:
    if not expected.edits:
        if arrived != expected.frame:
            yield f"not octet for octet: {arrived!r}"
        return
    edits = {name: value for name, value in expected.edits.items() if name != "version"}
    was, becomes = (values.get("version", 3) for values in (expected.values, expected.edits))
    if becomes < 3 or was < 3:
        yield from _wrong_version(expected, edits, was, arrived)
        return
    changed = {chunk[:2]: chunk[2] for name in edits for chunk in chunks_named(name, edits[name])}
    before, after = wire.chunks(expected.frame), wire.chunks(arrived)
    kept = [[chunk for chunk in chunks if chunk[:2] not in changed] for chunks in (before, after)]
    if kept[0] != kept[1]:
        yield f"other chunks changed too: {after}"
    wanted = [
        chunk
        for name in edits
        if edits[name] is not False
        for chunk in chunks_named(name, edits[name])
    ]
    new = [chunk for chunk in after if chunk[:2] in changed]
    if sorted(new) != sorted(wanted):
        yield f"not edited as expected: {new}"


def _wrong_version(
    expected: Sent, edits: dict[str, Any], was: int, arrived: bytes
) -> Iterator[str]:
    """Compare a packet whose header is, or was, that of HEP 1 or 2: it is written anew."""
    version = expected.edits.get("version", was)
    values = {**expected.values, **edits, "version": version}
    if version < 3:
        if arrived != frame_of(values):
            yield f"not the HEP {version} that was expected: {arrived!r}"
        return
    found = wire.chunks(arrived)
    if was == 1:
        # HEP 1 knows neither: they are what the switch can say of it.
        values.pop("time")
        if "capture_id" not in edits:
            values.pop("capture_id")
        found = [chunk for chunk in found if chunk[:2] not in {(0, 9), (0, 10)}]
    if sorted(found) != sorted(wire.chunks(frame_of(values))):
        yield f"not the HEP 3 that was expected: {found}"
