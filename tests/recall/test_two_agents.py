"""A call that two real agents reported, as recorded: each message once, in order."""

from recall.kept import golden
from recall.two_agents import MESSAGES, PORTS, golden_text, normalised, views

from hepsw.recall.ladder import ladder
from hepsw.recall.text import text


def test_each_message_once():
    """Both agents stand at each message, and their clocks agree within a millisecond or so."""
    drawn = ladder(views())
    assert len(drawn.messages) == MESSAGES
    assert all(len(message.seen) == 2 for message in drawn.messages)
    assert not any(message.retransmission for message in drawn.messages)
    assert all(abs(node.skew_us) < 2000 for node in drawn.nodes)


def test_drawing():
    """The drawing is the golden one, and that of any other run but for what differs by the run."""
    drawn = text(ladder(views()), 160)
    golden("two-agents-recorded.txt", drawn)
    assert normalised(drawn, PORTS) == golden_text()
