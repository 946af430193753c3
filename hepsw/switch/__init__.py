"""Packets in, effects out: no clock, no socket, time is an argument."""

from hepsw.switch._recent_plain import WINDOW
from hepsw.switch.effects import Effects, Line
from hepsw.switch.guard import MOST
from hepsw.switch.switch import Switch

__all__ = ["MOST", "WINDOW", "Effects", "Line", "Switch"]
