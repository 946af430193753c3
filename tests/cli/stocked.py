"""A folder with a configuration and a SQLite store that holds calls, as a switch leaves it."""

import pytest

from hepsw.config.configuration import Keep, StoreSettings
from hepsw.config.models import Batch as BatchSettings
from hepsw.sinks.stores.sqlite.writer import SqliteWriter
from hepsw.sinks.stores.writer import Batch

CONFIGURATION = """\
[[listen]]
url = "udp://127.0.0.1:9060"

[sets]
family = ["grace", "erin"]

[matchers]
bad.rtcp.loss_pct = { ge = 5 }

[chunks]
site = { vendor = 3, id = 49, type = "uint32" }

[stores.calls]
url = "sqlite://calls.db"
"""


def stock(folder, views, name="calls"):
    """Put packets into the SQLite file of that name."""
    writer = SqliteWriter(
        StoreSettings(name, "sqlite", folder / f"{name}.db", BatchSettings(), keep=Keep())
    )
    writer.open()
    writer.write(Batch(bytes(16), views), lambda _refused: None)
    writer.close()


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the configuration; its store is not there yet."""
    (tmp_path / "hepsw.toml").write_text(CONFIGURATION)
    return tmp_path
