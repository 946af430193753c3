"""The numbers of a spool, against a list that is counted through."""

from hypothesis import given
from hypothesis import strategies as st

from hepsw.sinks.spool.book import Book

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "write", "read", "rewind", "settle", "range"]),
        st.integers(1, 6),
        st.integers(0, 40),
    ),
    max_size=60,
)


class Slow:
    """The same by looking at every record."""

    def __init__(self, ack, last):
        self.settled = set(range(1, ack + 1))
        self.added = self.written = last
        self.read_to = ack

    def numbers(self):
        live = [seq for seq in range(1, self.added + 1) if seq not in self.settled]
        low = 0
        while low + 1 in self.settled:
            low += 1
        on_disk = sum(seq <= self.written for seq in live)
        return low, len(live) - on_disk, on_disk, sum(seq > self.read_to for seq in live)


@given(st.integers(0, 5), st.integers(0, 10), STEPS)
def test_book(ack, more, steps):
    """Whatever happens in whatever order, every number is what counting gives."""
    book, slow = Book(), Slow(ack, ack + more)
    book.open(ack, ack + more)
    for what, count, where in steps:
        if what == "add":
            assert book.add(count) == slow.added + 1
            slow.added += count
        elif what == "write":
            slow.written = min(slow.written + count, slow.added)
            book.write(slow.written)
        elif what == "read":
            slow.read_to = max(slow.read_to, min(slow.read_to + count, slow.added))
            book.read(slow.read_to)
        elif what == "rewind":
            book.rewind()
            slow.read_to = book.settled_to
        elif what == "settle":
            is_new = where not in slow.settled and 0 < where <= slow.added
            assert book.settle(where) == is_new
            slow.settled |= {where} if is_new else set()
        else:
            new = set(range(max(where, 1), min(where + count, slow.added) + 1)) - slow.settled
            assert book.settle_range(where, where + count) == len(new)
            slow.settled |= new
        assert (book.settled_to, book.staged, book.on_disk, book.unread) == slow.numbers()
        assert all(book.is_settled(seq) == (seq in slow.settled) for seq in range(1, slow.added))
        records = [(seq, b"") for seq in range(1, slow.added + 1)]
        assert book.unsettled(records) == [each for each in records if each[0] not in slow.settled]
