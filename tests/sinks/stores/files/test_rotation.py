"""Real files: named, rotated, compressed; a batch is in all of them or in none."""

import errno
import fcntl
import gzip
import os
import stat
import subprocess
from contextlib import closing

import pytest
from sinks.stores.files.storing import (
    NOON,
    WRITERS,
    Disk,
    all_kept,
    batch,
    files,
    kept,
    payloads,
    settings,
    view,
    write,
)

from hepsw.errors import StoreError
from hepsw.sinks.stores.files import pcap
from hepsw.sinks.stores.files.rotation import Files
from hepsw.view import View

KINDS = ["calls.pcap", "calls.pcap.gz", "calls.jsonl", "calls.jsonl.gz"]


def opened(file, **changed):
    """Return a writer that is open; closing() closes it."""
    scheme = "pcap" if ".pcap" in str(file) else "jsonl"
    writer = WRITERS[scheme](settings(file, scheme, **changed))
    writer.open()
    return closing(writer)


def some(count, first=0, **changed):
    return [view(b"INVITE %d" % number, **changed) for number in range(first, first + count)]


def texts(count, first=0):
    return [b"INVITE %d" % number for number in range(first, first + count)]


@pytest.fixture
def disk(monkeypatch):
    """Replace the disk by one with so much room."""

    def replace(error, room):
        full = Disk(error, room)
        monkeypatch.setattr("hepsw.sinks.stores.files.rotation.os.write", full.write)
        return full

    return replace


@pytest.mark.parametrize("kind", KINDS)
def test_one_file(tmp_path, kind):
    """Batches are behind one another in one file, whole after each of them."""
    with opened(tmp_path / kind) as writer:
        assert files(tmp_path) == {}
        for first in (0, 3, 6):
            written = write(writer, *some(3, first))
            assert kept(tmp_path) == {kind: texts(first + 3)}
            assert written.tables == {kind.split(".")[1]: 3}
            assert (written.misplaced, written.altered, written.refused) == ({}, {}, [])
    assert kept(tmp_path) == {kind: texts(9)}


def test_rights(tmp_path):
    """Files and folders are not for everybody on the machine."""
    with opened(tmp_path / "a" / "b" / "%Y" / "calls.pcap") as writer:
        write(writer, view())
    for folder in ("a", "a/b", "a/b/2026"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) & ~0o750 == 0
    assert stat.S_IMODE((tmp_path / "a/b/2026/calls.pcap").stat().st_mode) & ~0o640 == 0


@pytest.mark.parametrize("end", ["pcap", "jsonl.gz"])
def test_by_name(tmp_path, end):
    """A new time begins a new file; a packet that comes late goes to the older one."""
    with opened(tmp_path / f"%Y%m%d/%H.{end}") as writer:
        write(writer, view(b"1"), view(b"2", at=NOON + 3600), view(b"3"))
        write(writer, view(b"4", at=NOON + 86_400), view(b"5"))
    assert kept(tmp_path) == {
        f"20260101/12.{end}": [b"1", b"3", b"5"],
        f"20260101/13.{end}": [b"2"],
        f"20260102/12.{end}": [b"4"],
    }


@pytest.mark.parametrize("end", ["pcap", "pcap.gz", "jsonl.gz"])
def test_many_names(tmp_path, end):
    """More files than are open at a time are closed and added to again, none of them twice."""
    with opened(tmp_path / f"%M.{end}") as writer:
        for turn in range(3):
            write(writer, *(view(b"%d" % turn, at=NOON + 60 * minute) for minute in range(20)))
            assert len(writer._files.inodes) <= Files.OPEN
    assert kept(tmp_path) == {f"{minute:02}.{end}": [b"0", b"1", b"2"] for minute in range(20)}


def test_forgotten(tmp_path, monkeypatch):
    """A compressed file that was closed too long ago to be remembered is followed by a number."""
    monkeypatch.setattr(Files, "REMEMBERED", 2)
    with opened(tmp_path / "%M.pcap.gz") as writer:
        for turn in range(2):
            write(writer, *(view(b"%d" % turn, at=NOON + 60 * minute) for minute in range(12)))
    assert kept(tmp_path)["00.pcap.gz"] == [b"0"]
    assert kept(tmp_path)["00-1.pcap.gz"] == [b"1"]
    assert all_kept(tmp_path) == {b"0": 12, b"1": 12}


@pytest.mark.parametrize("kind", KINDS)
def test_by_size(tmp_path, kind):
    """A full file is followed by a number; none is larger than it may be, none of them empty."""
    noise = [b"%d %s" % (number, os.urandom(20).hex().encode()) for number in range(300)]
    with opened(tmp_path / kind, rotate=4000) as writer:
        for first in range(0, 300, 30):
            write(writer, *map(view, noise[first : first + 30]))
    stem, end = kind.split(".", 1)
    found = files(tmp_path)
    numbers = range(1, len(found))
    assert set(found) == {kind, *(f"{stem}-{number}.{end}" for number in numbers)}
    assert len(found) > 1
    assert all(0 < len(octets) <= 4000 for octets in found.values())
    in_order = [kind, *(f"{stem}-{number}.{end}" for number in numbers)]
    assert [text for name in in_order for text in payloads(found[name])] == noise


@pytest.mark.parametrize("kind", KINDS)
def test_larger_than_a_file(tmp_path, kind):
    """A packet that alone is more than a file may have gets one of its own."""
    noise = os.urandom(3000).hex().encode()
    with opened(tmp_path / kind, rotate=1000) as writer:
        write(writer, view(b"1"), view(noise), view(b"2"))
    assert [sorted(each) for each in kept(tmp_path).values()].count([noise]) == 1
    assert all_kept(tmp_path) == {b"1": 1, noise: 1, b"2": 1}


# --- what an earlier life left -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("calls.pcap", ["calls.pcap"]),
        ("calls.jsonl", ["calls.jsonl"]),
        ("calls.pcap.gz", ["calls.pcap.gz", "calls-1.pcap.gz"]),
        ("calls.jsonl.gz", ["calls.jsonl.gz", "calls-1.jsonl.gz"]),
    ],
)
def test_next_life(tmp_path, kind, names):
    """The next life adds to a whole plain file, and begins another where it is compressed."""
    for first in (0, 3):
        with opened(tmp_path / kind) as writer:
            write(writer, *some(3, first))
    found = kept(tmp_path)
    assert sorted(found) == sorted(names)
    assert [text for name in names for text in found[name]] == texts(6)


@pytest.mark.parametrize("kind", KINDS)
def test_reopened(tmp_path, kind):
    """A writer that was closed and opened goes on with its own file."""
    with opened(tmp_path / kind) as writer:
        write(writer, *some(3))
        writer.close()
        writer.open()
        write(writer, *some(3, 3))
    assert kept(tmp_path) == {kind: texts(6)}


@pytest.mark.parametrize("torn", [1, 10, 30])
def test_torn_pcap(tmp_path, torn):
    """A capture that ends within a record is left as it is, and followed by another."""
    file = tmp_path / "calls.pcap"
    with opened(file) as writer:
        write(writer, *some(3))
    before = file.read_bytes()[:-torn]
    file.write_bytes(before)
    with opened(file) as writer:
        write(writer, *some(2, 3))
        write(writer, *some(2, 5))
    assert file.read_bytes() == before
    assert payloads((tmp_path / "calls-1.pcap").read_bytes()) == texts(4, 3)


def test_torn_jsonl(tmp_path):
    """Behind a torn line, which stays as it is, comes a newline first, and once."""
    file = tmp_path / "calls.jsonl"
    file.write_bytes(b'{"call": "to')
    with opened(file) as writer:
        write(writer, *some(2))
        write(writer, *some(2, 2))
    first, rest = file.read_bytes().split(b"\n", 1)
    assert first == b'{"call": "to'
    assert payloads(rest) == texts(4)


def test_torn_gzip(tmp_path):
    """All members but the torn one are read, and a new file holds what comes next."""
    file = tmp_path / "calls.jsonl.gz"
    with opened(file) as writer:
        write(writer, *some(3))
        whole = file.stat().st_size
        write(writer, *some(3, 3))
    before = file.read_bytes()[:-5]
    file.write_bytes(before)
    with opened(file) as writer:
        write(writer, *some(2, 6))
    assert file.read_bytes() == before
    assert payloads(before[:whole]) == texts(3)
    assert payloads((tmp_path / "calls-1.jsonl.gz").read_bytes()) == texts(2, 6)


def test_many_records(tmp_path, monkeypatch):
    """A capture too long to be gone through is followed by another."""
    monkeypatch.setattr(pcap, "WALKED", 3)
    for first in range(0, 6, 2):
        with opened(tmp_path / "calls.pcap") as writer:
            write(writer, *some(2, first))
    assert kept(tmp_path) == {"calls.pcap": texts(4), "calls-1.pcap": texts(2, 4)}


@pytest.mark.parametrize(
    "foreign",
    [b"\xd4\xc3\xb2\xa1" + bytes(20), b"not a capture", b"\x0a\x0d\x0d\x0a" + bytes(60), b"x"],
)
def test_foreign(tmp_path, foreign):
    """Somebody else's file is left as it is."""
    (tmp_path / "calls.pcap").write_bytes(foreign)
    with opened(tmp_path / "calls.pcap") as writer:
        write(writer, *some(2))
    found = files(tmp_path)
    assert found["calls.pcap"] == foreign
    assert payloads(found["calls-1.pcap"]) == texts(2)


def test_empty(tmp_path):
    """An empty file that is there already is used."""
    (tmp_path / "calls.pcap.gz").touch()
    with opened(tmp_path / "calls.pcap.gz") as writer:
        write(writer, *some(2))
    assert kept(tmp_path) == {"calls.pcap.gz": texts(2)}


def test_full_before(tmp_path):
    """A full file of an earlier life is followed by the number behind the last one."""
    (tmp_path / "calls.jsonl").write_bytes(b"x" * 500 + b"\n")
    (tmp_path / "calls-7.jsonl").write_bytes(b"x" * 500 + b"\n")
    with opened(tmp_path / "calls.jsonl", rotate=500) as writer:
        write(writer, view())
    assert sorted(files(tmp_path)) == ["calls-7.jsonl", "calls-8.jsonl", "calls.jsonl"]


@pytest.mark.parametrize("make", ["link", "dangling", "hard", "fifo", "folder"])
def test_no_plain_file(tmp_path, make):
    """A link, a FIFO or a folder of that name is neither followed nor waited for."""
    kept_apart, file = tmp_path / "apart", tmp_path / "in" / "calls.jsonl"
    file.parent.mkdir()
    kept_apart.write_bytes(b"precious\n")
    match make:
        case "link":
            file.symlink_to(kept_apart)
        case "dangling":
            file.symlink_to(tmp_path / "nowhere")
        case "hard":
            file.hardlink_to(kept_apart)
        case "fifo":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
    with opened(file) as writer:
        write(writer, *some(2))
    assert payloads((tmp_path / "in" / "calls-1.jsonl").read_bytes()) == texts(2)
    assert kept_apart.read_bytes() == b"precious\n"
    assert not (tmp_path / "nowhere").exists()


def test_locked(tmp_path):
    """A file that another store has open is left to it, in this process and in others."""
    file = tmp_path / "calls.jsonl"
    with opened(file) as one, opened(file) as other:
        write(one, *some(1))
        write(other, *some(1, 1))
        write(one, *some(1, 2))
        write(other, *some(1, 3))
    assert kept(tmp_path) == {
        "calls.jsonl": [b"INVITE 0", b"INVITE 2"],
        "calls-1.jsonl": [b"INVITE 1", b"INVITE 3"],
    }


def test_no_locks(tmp_path, monkeypatch):
    """A file system without locks is written to without."""

    def refuse(fd, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with opened(tmp_path / "calls.jsonl") as writer:
        write(writer, *some(2))
    assert kept(tmp_path) == {"calls.jsonl": texts(2)}


# --- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["2026", "2026/01"])
def test_linked_folder(tmp_path, name):
    """A folder of the template that is a link leads nowhere: nothing is written."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    link = inside / name
    link.parent.mkdir(parents=True)
    link.symlink_to(outside, target_is_directory=True)
    with opened(inside / "%Y/%m/calls.pcap") as writer:
        with pytest.raises(StoreError, match="is a symbolic link") as told:
            write(writer, view())
        assert told.value.what == "file"
        link.unlink()
        write(writer, view())
    assert files(outside) == {}
    assert list(files(inside)) == ["2026/01/calls.pcap"]


def test_fixed_folder(tmp_path):
    """The fixed folder is the operator's, and may be a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    with opened(tmp_path / "link" / "%H.jsonl") as writer:
        write(writer, view())
    assert list(files(tmp_path / "real")) == ["12.jsonl"]


def test_no_folder(tmp_path):
    """Where a folder cannot be, the store says so and where, and works once it can."""
    (tmp_path / "calls").write_bytes(b"a file\n")
    writer = WRITERS["pcap"](settings(tmp_path / "calls" / "%H.pcap", "pcap"))
    with closing(writer):
        with pytest.raises(StoreError, match=str(tmp_path)) as told:
            writer.open()
        assert told.value.what == "file"
        (tmp_path / "calls").unlink()
        writer.open()
        write(writer, view())
    assert list(files(tmp_path)) == ["calls/12.pcap"]


# --- while it is open ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["deleted", "moved", "folder deleted"])
def test_gone(tmp_path, kind, how):
    """A file that is deleted or moved away while it is open is begun anew with the next batch."""
    folder = tmp_path / "calls"
    with opened(folder / kind) as writer:
        write(writer, *some(2))
        match how:
            case "deleted":
                (folder / kind).unlink()
            case "moved":
                (folder / kind).rename(tmp_path / "away")
            case "folder deleted":
                (folder / kind).unlink()
                folder.rmdir()
        write(writer, *some(2, 2))
    assert kept(folder) == {kind: texts(2, 2)}
    if how == "moved":
        assert payloads((tmp_path / "away").read_bytes()) == texts(2)


@pytest.mark.parametrize("kind", KINDS)
def test_emptied(tmp_path, kind):
    """A file that somebody empties while it is open opens with its header again."""
    with opened(tmp_path / kind) as writer:
        write(writer, *some(2))
        os.truncate(tmp_path / kind, 0)
        write(writer, *some(2, 2))
    assert kept(tmp_path) == {kind: texts(2, 2)}


# --- a batch that fails --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_first_batch_fails(tmp_path, kind, error, disk):
    """What fails leaves no file behind, and is there once when it is tried again."""
    full = disk(error, 50)
    with opened(tmp_path / kind) as writer:
        with pytest.raises(StoreError, match=kind) as told:
            write(writer, *some(20))
        assert told.value.what == ("full" if error == errno.ENOSPC else "file")
        assert files(tmp_path) == {}
        writer.close()
        full.room = 1 << 30
        writer.open()
        write(writer, *some(20))
    assert kept(tmp_path) == {kind: texts(20)}


@pytest.mark.parametrize("end", ["pcap", "pcap.gz", "jsonl", "jsonl.gz"])
@pytest.mark.parametrize("rotate", [None, 600])
def test_any_write_fails(tmp_path, end, rotate, disk):
    """Wherever the disk is full, all files are as they were; tried again, nothing is there twice.

    The batch is for more files than are open at a time, so that some of them are closed already.
    """
    views = [view(b"%d" % number, at=NOON + 60 * (number % 12)) for number in range(36)]
    earlier = [view(b"earlier %d" % minute, at=NOON + 60 * minute) for minute in range(6)]
    with opened(tmp_path / f"%M.{end}", rotate=rotate) as writer:
        write(writer, *earlier)
        before = files(tmp_path)
        failures = 0
        for room in range(0, 100_000, 503 if end == "jsonl" else 101):
            full = disk(errno.ENOSPC, room)
            try:
                write(writer, *views)
            except StoreError:
                failures += 1
                assert files(tmp_path) == before
                writer.close()
                writer.open()
            else:
                break
            finally:
                full.room = 1 << 30
    assert failures > 5
    counts = all_kept(tmp_path)
    assert set(counts.values()) == {1}
    assert len(counts) == len(views) + len(earlier)


def test_torn_line_fails(tmp_path, disk):
    """A newline that was to mend a torn line is written with the batch, or not at all."""
    file = tmp_path / "calls.jsonl"
    file.write_bytes(b'{"to')
    full = disk(errno.ENOSPC, 40)
    with opened(file) as writer:
        with pytest.raises(StoreError):
            write(writer, *some(2))
        assert file.read_bytes() == b'{"to'
        full.room = 1 << 30
        write(writer, *some(2))
    assert payloads(file.read_bytes().removeprefix(b'{"to\n')) == texts(2)


def test_cannot_be_cut_back(tmp_path, disk, monkeypatch):
    """A file that cannot be cut back now is cut back before anything else is written."""
    truncate, is_broken = os.ftruncate, True

    def broken(fd, size):
        if is_broken:
            raise OSError(errno.EIO, "broken")
        truncate(fd, size)

    with opened(tmp_path / "calls.pcap") as writer:
        write(writer, *some(2))
        full = disk(errno.EIO, 50)
        monkeypatch.setattr("hepsw.sinks.stores.files.rotation.os.ftruncate", broken)
        with pytest.raises(StoreError):
            write(writer, *some(5, 2))
        writer.close()
        with pytest.raises(StoreError, match=r"calls\.pcap: broken"):
            writer.open()
        writer.close()
        is_broken = False
        full.room = 1 << 30
        writer.open()
        write(writer, *some(5, 2))
    assert kept(tmp_path) == {"calls.pcap": texts(7)}


def test_gone_before_it_is_cut_back(tmp_path, disk):
    """A closed file of a batch that failed may be deleted before it could be cut back."""
    views = [view(b"%d" % minute, at=NOON + 60 * minute) for minute in range(12)]
    with opened(tmp_path / "%M.pcap") as writer:
        write(writer, *views)
        full = disk(errno.ENOSPC, 400)
        append = writer._files.append

        def deleting(name, records):
            if name == ("11.pcap",):
                full.room = 0
                (tmp_path / "00.pcap").unlink()
            append(name, records)

        full.room = 1 << 30
        writer._files.append = deleting
        with pytest.raises(StoreError):
            write(writer, *views)
        writer._files.append = append
        full.room = 1 << 30
        write(writer, *views)
    found = kept(tmp_path)
    assert found.pop("00.pcap") == [b"0"]
    assert found == {f"{minute:02}.pcap": [b"%d" % minute] * 2 for minute in range(1, 12)}


def test_asked(tmp_path):
    """Which table, is known before anything is open; which batches an earlier life wrote, never."""
    writer = WRITERS["pcap"](settings(tmp_path / "calls.pcap", "pcap"))
    assert writer.tables(batch(*some(3))) == {"pcap": 3}
    assert writer.known(bytes(16)) == ()
    writer.close()


def test_give_up_fails(tmp_path):
    """Where what is refused cannot be kept, the batch is not written either."""

    def broken(refused):
        raise StoreError("no dead letters", "full")

    bad = view(b"x" * 65_510)
    with opened(tmp_path / "calls.pcap") as writer:
        with pytest.raises(StoreError, match="no dead letters"):
            write(writer, view(b"1"), bad, give_up=broken)
        assert files(tmp_path) == {}
        told = []
        written = write(writer, view(b"1"), bad, view(b"2"), give_up=told.extend)
    assert [(each.at, each.table, each.reason) for each in told] == [(1, "pcap", "too-big")]
    assert written.refused == told
    assert written.tables == {"pcap": 2}
    assert kept(tmp_path) == {"calls.pcap": [b"1", b"2"]}


def test_a_bug(tmp_path, caplog):
    """A packet with which hepsw itself fails is refused alone, and logged with its traceback."""
    sound = view(b"2")
    broken = View(sound.packet, None, sound.received_us)
    told = []
    with opened(tmp_path / "calls.jsonl") as writer:
        write(writer, view(b"1"), broken, view(b"3"), give_up=told.extend)
    assert [(each.at, each.table, each.reason) for each in told] == [(1, "jsonl", "internal-error")]
    assert kept(tmp_path) == {"calls.jsonl": [b"1", b"3"]}
    assert "AttributeError" in caplog.text


def test_counted(tmp_path):
    """What is filed elsewhere, and a time that a capture cannot have, are counted."""
    hostile = [view(at=0xFFFFFFFF, arrived=NOON, x000a=b"\xff" * 4), view(at=0, arrived=NOON)]
    with opened(tmp_path / "%H.pcap") as writer:
        written = write(writer, view(), *hostile)
    assert written.misplaced == {"early": 1, "late": 1}
    assert written.altered == {"time": 1}
    assert list(files(tmp_path)) == ["12.pcap"]


def test_flat_memory(tmp_path, monkeypatch):
    """A batch is written in parts where its records are much, and is still all or nothing."""
    monkeypatch.setattr("hepsw.sinks.stores.files.writer.HELD_OCTETS", 1000)
    with opened(tmp_path / "%M.pcap") as writer:
        views = [view(b"%d" % number, at=NOON + 60 * (number % 3)) for number in range(300)]
        write(writer, *views)
    assert sum(all_kept(tmp_path).values()) == len(all_kept(tmp_path)) == 300


def test_real_disk(tmp_path):
    """On a file system that is really full: nothing torn, and all of it once there is room."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    try:
        filler = tmp_path / "filler"
        filler.write_bytes(bytes(200 << 10))
        views = [view(os.urandom(400).hex().encode()) for _ in range(200)]
        with opened(tmp_path / "calls-%H.pcap") as writer:
            write(writer, *views[:10])
            before = files(tmp_path)
            with pytest.raises(StoreError, match="No space left") as told:
                write(writer, *views[10:])
            assert told.value.what == "full"
            assert files(tmp_path) == before
            writer.close()
            filler.unlink()
            writer.open()
            write(writer, *views[10:])
        assert kept(tmp_path) == {
            "calls-12.pcap": [view.packet.payload for view in views],
        }
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_killed(tmp_path):
    """After kill -9 in the middle of it, every whole member of a compressed file is read."""
    script = """
import sys
sys.path[:0] = {path!r}
from sinks.stores.files.storing import settings, view, write, WRITERS
writer = WRITERS["jsonl"](settings({file!r}))
writer.open()
number = 0
while True:
    write(writer, *(view(b"%d" % n) for n in range(number, number + 10)))
    number += 10
    print(number, flush=True)
"""
    import sys

    file = tmp_path / "calls.jsonl.gz"
    text = script.format(path=[entry for entry in sys.path if entry], file=str(file))
    child = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
    with child:
        for line in child.stdout:
            if int(line) >= 200:
                break
        child.kill()
        told = [int(line), *map(int, child.stdout.read().split())][-1]
    found = []
    try:
        with gzip.open(file) as stream:
            found += [line for line in stream if line.endswith(b"\n")]
    except EOFError:
        pass
    assert payloads(b"".join(found[:told])) == [b"%d" % number for number in range(told)]
    assert len(found) >= told
