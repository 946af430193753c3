"""What `hepsw store` says of files."""

from contextlib import closing

import pytest
from sinks.stores.files.storing import DAY, NOON, WRITERS, settings, view, write

from hepsw.errors import StoreError
from hepsw.sinks.stores.files.admin import FilesAdmin


def test_init(tmp_path):
    """The folder is made once; there are no statements."""
    admin = FilesAdmin(settings(tmp_path / "a" / "b" / "%H.pcap", "pcap"))
    assert admin.sql() == ()
    status = admin.status()
    assert (status.layout, status.tables) == ("", [])
    assert status.notes == [f"the folder {tmp_path / 'a' / 'b'} is not there yet"]
    assert admin.init() == (f"folder {tmp_path / 'a' / 'b'}",)
    assert (tmp_path / "a" / "b").is_dir()
    assert admin.init() == ()
    assert admin.status().layout == "pcap"


def test_init_fails(tmp_path):
    """Where no folder can be made, it says where."""
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StoreError, match=str(tmp_path / "a")):
        FilesAdmin(settings(tmp_path / "a" / "%H.pcap", "pcap")).init()


@pytest.mark.parametrize("end", ["pcap", "pcap.gz", "jsonl", "jsonl.gz"])
def test_status(tmp_path, end):
    """Each file is listed with its octets, the time of its first packet, and its last write."""
    scheme = end.split(".")[0]
    known = settings(tmp_path / f"%d/%H.{end}", scheme)
    with closing(WRITERS[scheme](known)) as writer:
        writer.open()
        write(writer, view(), view(at=NOON + 60))
        write(writer, view(at=NOON + DAY))
        (tmp_path / "01" / "notes").touch()
        status = FilesAdmin(known).status()
    assert [table.name for table in status.tables] == [f"01/12.{end}", f"02/12.{end}"]
    assert [table.oldest_us for table in status.tables] == [
        NOON * 1_000_000,
        (NOON + DAY) * 1_000_000,
    ]
    for table in status.tables:
        known = (tmp_path / table.name).stat()
        assert (table.rows, table.octets) == (None, known.st_size)
        assert table.newest_us == known.st_mtime_ns // 1000
    assert status.notes == []


@pytest.mark.parametrize("end", ["pcap", "pcap.gz", "jsonl", "jsonl.gz"])
@pytest.mark.parametrize(
    "octets",
    [b"", b"[" * 5000 + b"\n", b"\x1f\x8b", b"{}\n", b'{"time_us": true}\n', b"7\n", bytes(99)],
)
def test_foreign(tmp_path, end, octets):
    """Of a file that holds something else only the size is known."""
    (tmp_path / f"calls.{end}").write_bytes(octets)
    status = FilesAdmin(settings(tmp_path / f"calls.{end}", end.split(".")[0])).status()
    assert [table[:4] for table in status.tables] == [(f"calls.{end}", None, len(octets), None)]
