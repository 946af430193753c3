"""A switch that remembers, packet after packet."""

from dataclasses import dataclass, field, replace

import pytest
from tables import compiled

from hepsw.accounting import Ledger
from hepsw.switch import Switch

START = 1_700_000_000.0
OUTPUTS = {
    "destinations": {"a": "udp://192.0.2.1", "b": "udp://192.0.2.2"},
    "stores": {"s": {"url": "sqlite://s.db"}},
}


@dataclass
class Walked:
    """A witness, and what became of one packet."""

    path: list = field(default_factory=list)
    tables: list = field(default_factory=list)
    traces: list = field(default_factory=list)
    outputs: dict = field(default_factory=dict)
    lines: list = field(default_factory=list)
    view: object = None
    reason: str | None = None

    def entered(self, table, _view):
        """Note a table."""
        self.tables.append(table)

    def matched(self, path, _view):
        """Note a rule."""
        self.path.append(path)

    def named(self, _output):
        """What an output got stands in `outputs`."""

    def traced(self, trace):
        """Note a trace."""
        self.traces.append(trace)

    def ended(self, view, _branch, reason):
        """Note the end."""
        self.view, self.reason = view, reason


class Remembering:
    """One switch, to which packets are sent one by one."""

    def __init__(self, folder, peer):
        self._folder, self._peer = folder, peer
        self._switch = None
        self.account = Ledger().switch

    def load(self, *main, more=None, **tables):
        """Put rules into service: the first ones, or others in their place."""
        document = {**OUTPUTS, **(more or {}), "rules": {"main": list(main), **tables}}
        program = compiled(self._folder, document)
        if self._switch is None:
            self._switch = Switch(program, self.account)
        else:
            self._switch.replace(program)
        return self

    def send(self, packet, at=0.0, **peer):
        """Send a packet, so many seconds after the start; return what became of it."""
        self._switch.witness = walked = Walked()
        sender = replace(self._peer, **peer)
        effects = self._switch.receive([(packet, sender)], START + at)
        assert self.account.unaccounted == 0
        walked.outputs = {
            name: view.packet for name, views in effects.outputs.items() for view in views
        }
        walked.lines = [line.text for line in effects.lines]
        return walked

    def forgotten(self):
        """Return what had to make room so far."""
        self._switch.measure()
        return dict(self.account.forgotten)


@pytest.fixture
def remembering(tmp_path, peer):
    """A switch without rules yet: `load` gives it some."""
    return Remembering(tmp_path, peer)
