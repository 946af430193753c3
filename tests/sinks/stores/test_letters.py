"""Dead letters: what was refused is kept, once, and can be read and removed beside the store."""

import errno
import fcntl
import json
import os
import struct
from datetime import UTC, datetime

import pytest

from hepsw.errors import StoreError
from hepsw.hep import decode
from hepsw.sinks.stores import letters
from hepsw.sinks.stores.letters import FullError, add, read, remove
from hepsw.sinks.stores.writer import Refused
from hepsw.view import Peer, View

PEER = Peer(bytes([192, 0, 2, 1]), 9060, "udp", bytes([192, 0, 2, 2]), 9061, "main")
KEY = bytes(range(16))


def views(count):
    frame = b"HEP3" + struct.pack("!HHHH", 16, 0, 0x0F, 10)
    return [View(decode(frame + b"%04d" % n), PEER, n) for n in range(count)]


def refused(*positions, why="value too long"):
    return [Refused(at, "hep_proto_1_call", "too-big", why) for at in positions]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "letters.jsonl"


def test_letter_comes_back(path):
    """Key, time, table, reason, what the medium said, and the packet itself."""
    packets = views(8)
    add(path, KEY, refused(3, 7), packets, 1_700_000_000.5)
    found = read(path)
    assert [each.key for each in found] == [f"{KEY.hex()}-3", f"{KEY.hex()}-7"]
    assert found[0][1:5] == (
        datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC),
        "hep_proto_1_call",
        "too-big",
        "value too long",
    )
    assert [each.view for each in found] == [packets[3], packets[7]]


def test_only_the_owner_may_read(path):
    """Calls and passwords are in it."""
    add(path, KEY, refused(0), views(1), 0)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_no_file_no_letters(path):
    """A store that has refused nothing has no file."""
    assert read(path) == []
    assert remove(path, ["x"]) == 0
    assert not path.parent.exists()


def test_letter_that_was_written_twice_is_read_once(path):
    """A batch that is tried again adds its letters again, by the same keys."""
    add(path, KEY, refused(0), views(2), 0)
    add(path, KEY, refused(0, 1), views(2), 1)
    assert [each.key[-1] for each in read(path)] == ["0", "1"]


DAMAGE = {
    b"not json": "not JSON",
    b"\xff\xfe": "not JSON",
    b"[1]": "not a JSON object",
    b'{"key": 5}': "no text `key`",
    b'{"key":"x","when":"","table":"","reason":"","why":"","packet":""}': "not a key",
}


@pytest.mark.parametrize("line", DAMAGE)
def test_damaged_line_is_told_with_its_number(path, line):
    """What is not a letter is named, left where it is, and takes no other with it."""
    add(path, KEY, refused(0), views(1), 0)
    with path.open("ab") as file:
        file.write(line + b"\n")
    add(path, KEY, refused(1), views(2), 0)
    told = []
    assert len(read(path, lambda *more: told.append(more))) == 2
    assert [number for number, _ in told] == [2]
    assert told[0][1].startswith(DAMAGE[line])
    assert remove(path, [each.key for each in read(path)]) == 2
    assert path.read_bytes() == line + b"\n"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("when", "yesterday", "not a time"),
        ("packet", "no base64!", "the packet is not base64"),
        ("packet", "AAAA", "the packet is damaged: envelope-cut"),
    ],
)
def test_damaged_field(path, name, value, why):
    """Each field is checked."""
    add(path, KEY, refused(0), views(1), 0)
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    told = []
    assert read(path, lambda *more: told.append(more)) == []
    assert told[0][0] == 1
    assert told[0][1].startswith(why)


def test_half_a_line_is_not_continued(path):
    """Who was killed while writing leaves half a line; the next letter begins another."""
    add(path, KEY, refused(0), views(1), 0)
    path.write_bytes(path.read_bytes()[:-20])
    add(path, KEY, refused(1), views(2), 0)
    told = []
    assert [each.key[-1] for each in read(path, lambda *more: told.append(more))] == ["1"]
    assert len(told) == 1


def test_what_the_medium_says_is_text(path):
    """Half a character, quotes and new lines do not break the file."""
    add(path, KEY, refused(0, why='"\n\udc80' + "x" * 5000), views(1), 0)
    (letter,) = read(path)
    assert letter.why.startswith('"\n?xxx')
    assert len(letter.why) == letters.WHY


def test_remove_takes_out_what_was_named(path):
    """The others stay, in their order; the file is still for its owner alone."""
    add(path, KEY, refused(*range(5)), views(5), 0)
    keys = [each.key for each in read(path)]
    assert remove(path, [keys[1], keys[3], "unknown"]) == 2
    assert [each.key for each in read(path)] == [keys[0], keys[2], keys[4]]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_full_file_takes_no_more(path, monkeypatch):
    """There is an end to it; what is there stays whole."""
    add(path, KEY, refused(0), views(1), 0)
    before = path.read_bytes()
    monkeypatch.setattr(letters, "LARGEST", len(before) + 10)
    with pytest.raises(FullError, match="is full"):
        add(path, KEY, refused(1), views(2), 0)
    assert path.read_bytes() == before


def test_lock_of_a_command_is_waited_for(path, monkeypatch):
    """While another process has the file nothing is written; after a while that is an error."""
    add(path, KEY, refused(0), views(1), 0)
    monkeypatch.setattr(letters, "PATIENCE", 0.02)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="locked by another process"):
            add(path, KEY, refused(1), views(2), 0)
    add(path, KEY, refused(1), views(2), 0)
    assert len(read(path)) == 2


def test_failing_disk_leaves_no_half_letter(path, monkeypatch):
    """What was written of it is cut off again."""
    add(path, KEY, refused(0), views(1), 0)
    before = path.read_bytes()
    pwrite = os.pwrite

    def failing(fd, octets, at):
        if at > len(before):
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(fd, octets[:10], at)

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(OSError, match="No space"):
        add(path, KEY, refused(1), views(2), 0)
    assert path.read_bytes() == before


def test_link_in_its_place_is_not_followed(path, tmp_path):
    """A symbolic link would have us write elsewhere."""
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"symbolic link|Too many levels"):
        add(path, KEY, refused(0), views(1), 0)
    assert not (tmp_path / "elsewhere").exists()


def test_file_that_cannot_be_read(tmp_path):
    """The error says which file."""
    with pytest.raises(StoreError, match=str(tmp_path)):
        read(tmp_path)
    with pytest.raises(StoreError, match=str(tmp_path)):
        remove(tmp_path, ["x"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_stays_whose_it_is(path):
    """Where root removes letters, the daemon can still write to the file afterwards."""
    add(path, KEY, refused(0, 1), views(2), 0)
    os.chown(path, 65534, 65534)
    remove(path, [f"{KEY.hex()}-0"])
    there = path.stat()
    assert (there.st_uid, there.st_gid, there.st_mode & 0o777) == (65534, 65534, 0o600)
    assert len(read(path)) == 1
