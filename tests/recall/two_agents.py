"""One call that Kamailio and sngrep watched, and a drawing of it without what differs by the run.

`tests/peers/test_flow.py` makes such a call with the real programs; the frames of one of its runs
are in `tests/vectors/call-two-agents.jsonl`.
"""

import re
from pathlib import Path

from loopback import HOST
from recall.kept import GOLDEN, kept

from hepsw import framefile
from hepsw.hep import decode

VECTORS = Path(__file__).parents[1] / "vectors/call-two-agents.jsonl"
CALL = "two-agents@example.org"
PROXY_ID, TAP_ID = 2001, 2002
MESSAGES = 13
PORTS = {28904: "CALLER", 29479: "PROXY", 31401: "CALLED"}
"""Of the run that was recorded."""


def views():
    """Return the packets of the run that was recorded."""
    return [kept(decode(frame), ip=HOST) for frame in framefile.read(VECTORS.read_bytes()).frames]


def golden_text():
    """Return what `normalised` gives of each run."""
    return (GOLDEN / "two-agents.txt").read_text(encoding="utf-8")


def normalised(drawn, ports):
    """Return a drawing without what differs from run to run: times, ports, and who was first."""
    for port, name in ports.items():
        drawn = drawn.replace(f"{HOST}:{port}", name)
    for pattern, instead in (
        (r"\d{4}-\d\d-\d\d ", ""),
        (r"\d\d:\d\d:\d\d\.\d{3}|\+\d+\.\d{3} ", "TIME "),
        (r"[+-]?\d+(\.\d)? m?s\b", "SPAN"),
        (rf"\b({PROXY_ID}|{TAP_ID << 16})\b", "NODE"),
        (r"its clock SPAN|times are by its clock", "CLOCK"),
        (r"heard SPAN (after|before) capture", "HEARD"),
        (r"([─═┬])\1+", r"\1\1"),
        (r" {2,}", "  "),
        (r" +$", ""),
    ):
        drawn = re.sub(pattern, instead, drawn, flags=re.MULTILINE)
    return drawn
