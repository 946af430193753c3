"""Old files go, by age and by size; what is not the store's own stays."""

import errno
import fcntl
import os
from contextlib import closing

import pytest
from sinks.stores.files.storing import DAY, NOON, WRITERS, files, settings, view, write

from hepsw.errors import StoreError
from hepsw.sinks.stores.files import retention

NOW_US = (NOON + 10 * DAY) * 1_000_000


def put(folder, name, days=0.0, octets=1000):
    """Make a file that was last written so many days before now."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(octets))
    at = NOON + (10 - days) * DAY
    os.utime(file, (at, at))
    return file


def tidied(file, now_us=NOW_US, **keep):
    """Let a new writer tidy; return in how many steps it was done."""
    with closing(WRITERS["pcap"](settings(file, "pcap", **keep))) as writer:
        steps = 1
        while writer.tidy(now_us):
            steps += 1
        return steps


def test_age(tmp_path):
    """Files whose newest packet is too old go, and with them the folders of the template."""
    for days in range(6):
        put(tmp_path, f"2026/{11 - days:02}/12.pcap", days)
        put(tmp_path, f"2026/{11 - days:02}/12-1.pcap", days)
    tidied(tmp_path / "%Y/%d/%H.pcap", seconds=2.5 * DAY)
    assert sorted(files(tmp_path)) == [
        f"2026/{day:02}/12{number}.pcap" for day in (9, 10, 11) for number in ("-1", "")
    ]
    assert sorted(path.name for path in (tmp_path / "2026").iterdir()) == ["09", "10", "11"]
    tidied(tmp_path / "%Y/%d/%H.pcap", seconds=1e-3, now_us=NOW_US + 1_000_000)
    assert list(tmp_path.iterdir()) == []


def test_size(tmp_path):
    """The oldest go until the rest fits, whatever their names say."""
    for number, days in enumerate([1, 5, 2, 4, 3]):
        put(tmp_path, f"1{number}.pcap", days)
    tidied(tmp_path / "%H.pcap", octets=3000)
    assert sorted(files(tmp_path)) == ["10.pcap", "12.pcap", "14.pcap"]
    tidied(tmp_path / "%H.pcap", octets=2999)
    assert sorted(files(tmp_path)) == ["10.pcap", "12.pcap"]
    tidied(tmp_path / "%H.pcap", octets=2999)
    assert sorted(files(tmp_path)) == ["10.pcap", "12.pcap"]


def test_nothing_to_keep(tmp_path):
    """Without `keep` nothing is removed."""
    put(tmp_path, "12.pcap", 10_000)
    assert tidied(tmp_path / "%H.pcap") == 1
    assert list(files(tmp_path)) == ["12.pcap"]


def test_lookalikes(tmp_path):
    """Only what the template makes is counted or removed: no neighbour, no link, nothing behind."""
    elsewhere = put(tmp_path / "elsewhere", "20260101/12.pcap", 100)
    folder = tmp_path / "calls"
    others = {
        str(put(folder, name, 100).relative_to(folder))
        for name in (
            "20260101/12.pcap.bak",
            "20260101/12-01.pcap",
            "20260101/25.pcap",
            "20260101/12.pcap-1",
            "20260101/deeper/12.pcap",
            "20260231/12.pcap",
            "2026/12.pcap",
            "12.pcap",
            "notes.txt",
        )
    }
    ours = put(folder, "20260101/12.pcap", 100)
    (folder / "20260102").symlink_to(elsewhere.parent, target_is_directory=True)
    (folder / "20260101" / "13.pcap").symlink_to(elsewhere)
    os.mkfifo(folder / "20260101" / "14.pcap")
    (folder / "20260101" / "15.pcap").mkdir()
    tidied(folder / "%Y%m%d/%H.pcap", seconds=60, octets=1)
    assert not ours.exists()
    assert elsewhere.exists()
    assert set(files(folder)) >= others
    left = {path.name for path in (folder / "20260101").iterdir()}
    assert left >= {"13.pcap", "14.pcap", "15.pcap"}
    assert (folder / "20260102").is_symlink()


def test_open_files(tmp_path):
    """What is being written stays, by this store or by another; a closed one goes."""
    file = tmp_path / "%H.pcap"
    with (
        closing(WRITERS["pcap"](settings(file, "pcap", octets=1))) as one,
        closing(WRITERS["pcap"](settings(file, "pcap"))) as other,
    ):
        one.open()
        other.open()
        write(one, view())
        write(other, view(at=NOON + 3600))
        put(tmp_path, "11.pcap")
        assert not one.tidy(NOW_US)
        assert sorted(files(tmp_path)) == ["12.pcap", "13.pcap"]
        other.close()
        assert not one.tidy(NOW_US + retention.EVERY_US)
        assert sorted(files(tmp_path)) == ["12.pcap"]
        write(one, view())
    assert len(files(tmp_path)) == 1


def test_open_file_without_locks(tmp_path, monkeypatch):
    """What the store itself is writing stays, also where a file system has no locks."""

    def refuse(fd, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    put(tmp_path, "11.pcap")
    with closing(WRITERS["pcap"](settings(tmp_path / "%H.pcap", "pcap", octets=1))) as writer:
        writer.open()
        write(writer, view())
        assert not writer.tidy(NOW_US)
        assert list(files(tmp_path)) == ["12.pcap"]


def test_steps(tmp_path, monkeypatch):
    """A step looks at some files only, however many there are."""
    monkeypatch.setattr(retention, "ENTRIES", 10)
    for minute in range(60):
        put(tmp_path, f"{minute:02}.pcap", 5)
    assert tidied(tmp_path / "%M.pcap", seconds=DAY) >= 12
    assert files(tmp_path) == {}


@pytest.mark.parametrize("direction", [1, -1])
def test_now_and_then(tmp_path, direction):
    """The folders are looked at once a minute, also when the clock was set back."""
    with closing(WRITERS["pcap"](settings(tmp_path / "%H.pcap", "pcap", octets=1))) as writer:
        assert not writer.tidy(NOW_US)
        put(tmp_path, "12.pcap")
        assert not writer.tidy(NOW_US + direction * (retention.EVERY_US - 1))
        assert files(tmp_path)
        assert not writer.tidy(NOW_US + direction * retention.EVERY_US)
        assert not files(tmp_path)


def test_cannot_remove(tmp_path, monkeypatch):
    """A file that cannot be removed is told of, keeps no other from going, and is tried again."""
    unlink = type(tmp_path).unlink

    def broken(self, *, missing_ok=False):
        if self.name == "11.pcap":
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        unlink(self, missing_ok=missing_ok)

    for hour in (10, 11, 12):
        put(tmp_path, f"{hour}.pcap", 5)
    with closing(WRITERS["pcap"](settings(tmp_path / "%H.pcap", "pcap", seconds=DAY))) as writer:
        with monkeypatch.context() as patched:
            patched.setattr(type(tmp_path), "unlink", broken)
            with pytest.raises(StoreError, match=r"11\.pcap: Read-only") as told:
                writer.tidy(NOW_US)
        assert told.value.what == "keep"
        assert list(files(tmp_path)) == ["11.pcap"]
        assert not writer.tidy(NOW_US + retention.EVERY_US)
        assert files(tmp_path) == {}


def test_no_folder_yet(tmp_path):
    """A folder that is not there has nothing to remove."""
    assert tidied(tmp_path / "not" / "there" / "%H.pcap", seconds=1) == 1
