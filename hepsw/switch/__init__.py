"""Packets in, effects out: no clock, no socket, time is an argument."""

from hepsw.switch.effects import Effects, Line
from hepsw.switch.switch import Switch

__all__ = ["Effects", "Line", "Switch"]
