"""The verdict on what came, against what was sent."""

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What became of the packets that were sent."""

    sent: int
    came: int
    """Frames, those that came more than once included."""
    missing: frozenset
    """Packets, as source and number, that never came."""
    duplicates: int
    """Frames that had come before."""
    repeated: int
    """Those of them that came twice over one connection."""
    spurious: int
    """Frames of packets that nobody sent."""
    corrupt: int
    """Frames that are not those of their number."""
    lines: int
    """In how many lines a connection carried what one source sent, each in order: 1 is order, and 2
    are live packets between replayed ones."""
    desyncs: int
    """Connections that did not begin with a frame, or lost the beat."""
    partial: int
    """Connections that ended within a frame."""

    @property
    def unique(self):
        """How many packets came."""
        return self.sent - len(self.missing)

    def is_clean(self, lines=1):
        """Whether nothing came that should not, or otherwise than in order."""
        wrong = self.repeated, self.spurious, self.corrupt, self.desyncs
        return not any(wrong) and self.lines <= lines


def judge(sent, collector):
    """Return the verdict on what a collector was given.

    Args:
        sent: how many packets each source sent.
        collector: who wrote down what came.
    """
    came = Counter()
    ways = defaultdict(list)
    corrupt = spurious = repeated = 0
    for record in collector.records():
        if not record.is_whole:
            corrupt += 1
        elif record.at >= sent.get(record.source, 0):
            spurious += 1
        else:
            came[record.source, record.at] += 1
            ways[record.connection, record.source].append(record.at)
    for way in ways.values():
        repeated += len(way) - len(set(way))
    begun = [event["octets"] for event in collector.events("begun")]
    return Verdict(
        sent=sum(sent.values()),
        came=came.total() + corrupt + spurious,
        missing=frozenset(
            (source, at)
            for source, count in sent.items()
            for at in range(count)
            if (source, at) not in came
        ),
        duplicates=came.total() - len(came),
        repeated=repeated,
        spurious=spurious,
        corrupt=corrupt,
        lines=max(map(lines, ways.values()), default=1),
        desyncs=len(collector.events("desync"))
        + sum(octets[:8] != b"HEP3".hex() for octets in begun if len(octets) >= 8),
        partial=sum(event["partial"] > 0 for event in collector.events("closed")),
    )


def lines(numbers):
    """Return the smallest number of rising lines that numbers can be dealt out to, in order."""
    # Each goes on the line whose end is the nearest below it; the ends fall from line to line.
    ends = []
    for number in numbers:
        at = bisect_left(ends, -number + 1)
        if at == len(ends):
            ends.append(-number)
        else:
            ends[at] = -number
    return len(ends)


def p99_us(records):
    """Return the 99th percentile of how long frames were on the way, in microseconds."""
    late = sorted(record.late_us for record in records)
    return late[int(len(late) * 0.99)]
