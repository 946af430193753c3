"""A database, and a switch that stores there: what every fault of a database starts from."""

from faults.stage import PATIENCE
from loopback import HOST, free_port
from stored import TABLES, TIMES, stored

RATE = 2000
"""Packets in a second."""
BESIDE = 500
"""The same where several tests run at once, on few processors."""


class Place:
    """One database, and how a switch is to store there."""

    def __init__(self, stage, layout, *, proxied=False, user="postgres", **settings):
        self.layout = layout
        self._stage = stage
        self._user = user
        self.server = stage.postgres(**settings)
        self.database = self.server.create()
        if user != "postgres":
            self.server.query(f"CREATE ROLE {user} LOGIN")
            self.server.query(f"ALTER DATABASE {self.database.name} OWNER TO {user}")
        self.proxy = stage.proxy(self.server) if proxied else None
        self.port = free_port()

    def table(self, more=""):
        """Return the store's table."""
        port = self.proxy.port if self.proxy else self.server.port
        return (
            f'[stores.pg]\nurl = "postgres://{self._user}@{HOST}:{port}/{self.database.name}"\n'
            f'layout = "{self.layout}"\n'
            f'spool = {{ path = "{self._stage.folder}/spool" }}\n{more}'
        )

    def switch(self, more="", destinations=(), **options):
        """Return a switch that is ready, and stores whatever comes."""
        return self._stage.switch(dict(destinations), self.table(more), port=self.port, **options)

    def agents(self, switch, first_source=1, **more):
        """Return agents that send, at the rate of tests that run beside others."""
        more = {"rate": BESIDE, "sources": 3, "first_source": first_source, **more}
        return self._stage.agents(switch, **more)

    def verdict(self, sent):
        """Return what is in the database of what was sent."""
        return stored(sent, self.database, self.layout)

    def times_us(self):
        """Return the times of all rows, sorted."""
        column, table = TIMES[self.layout], TABLES[self.layout]
        found = self.database.query(
            f"SELECT (extract(epoch FROM {column}) * 1000000)::bigint FROM {table} ORDER BY 1"  # noqa: S608 - our own names
        )
        return [time_us for (time_us,) in found]


def account(switch):
    """Return the account of the store, as it is now."""
    return switch.counters()["sinks"]["pg"]


def settled(switch, sent):
    """Return the account when all that was sent is stored; nothing was given up."""
    found = switch.settled(sent, patience=PATIENCE)["sinks"]["pg"]
    assert given_up(found) == 0, found
    return found


def recovered(switch):
    """Return how many packets a switch has found in its spool, as soon as it has."""
    found = switch.wait(lambda found: found["sinks"]["pg"]["recovered"])
    return found["sinks"]["pg"]["recovered"]


def given_up(found):
    """Return how many packets an account gave up, for whatever reason."""
    return sum(sum(found[key].values()) for key in ("shed", "dropped", "dead_lettered"))


def stores(switch, than):
    """Return as soon as more rows are committed than there were."""
    switch.wait(lambda found: found["sinks"]["pg"]["delivered"] > than)
