"""`hepsw export`: a call as a capture file, whole, never over another file."""

import errno
import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import dpkt
import pytest
from cli.command import ROOT, hepsw
from cli.stocked import folder, stock  # noqa: F401 - a fixture
from recall.kept import START, demo_call
from recall.stories import STORIES

from hepsw.cli import export


@pytest.fixture
def stocked(folder):  # noqa: F811 - the fixture
    """Return a folder whose store holds two calls."""
    stock(folder, [*demo_call(), *STORIES["legs"]()])
    return folder


def packets(octets):
    """Return time and UDP payload of each packet of a capture file."""
    found = []
    for when, frame in dpkt.pcap.Reader(io.BytesIO(octets)):
        ip = dpkt.ip.IP(frame) if frame[0] >> 4 == 4 else dpkt.ethernet.Ethernet(frame).data
        found.append((round(when * 1_000_000), bytes(ip.data.data)))
    return found


def test_whole_call(stocked):
    """All packets of all legs are in the file, with the time of capture."""
    ran = hepsw("export", "b-1@sbc", "-o", "call.pcap", folder=stocked)
    assert (ran.status, ran.out, ran.err) == (0, "", "hepsw export: 7 packets in call.pcap\n")
    found = packets((stocked / "call.pcap").read_bytes())
    assert [payload for _, payload in found] == [view.packet.payload for view in STORIES["legs"]()]
    assert found[0][0] == START
    assert sorted(file.name for file in stocked.iterdir() if "pcap" in file.name) == ["call.pcap"]


def test_packed(stocked):
    """A name that ends with .gz gives a packed file, the same each time."""
    for name in ("one.pcap.gz", "two.pcap.gz"):
        assert hepsw("export", "a-1@pbx", "-o", name, folder=stocked).status == 0
    packed = (stocked / "one.pcap.gz").read_bytes()
    assert packed == (stocked / "two.pcap.gz").read_bytes()
    assert len(packets(gzip.decompress(packed))) == 7


def test_standard_output(stocked):
    """With `-` the octets go to standard output, and nothing else does."""
    ran = subprocess.run(
        [sys.executable, "-m", "hepsw", "export", "a-1@pbx", "-o", "-"],
        cwd=stocked,
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert len(packets(ran.stdout)) == 7


def test_never_over_a_file(stocked):
    """A file that is there stays as it is, unless --force is given."""
    file = stocked / "call.pcap"
    file.write_text("mine")
    ran = hepsw("export", "a-1@pbx", "-o", "call.pcap", folder=stocked)
    assert (ran.status, file.read_text()) == (2, "mine")
    assert ran.err == "hepsw export: call.pcap is there already; --force writes over it\n"
    assert hepsw("export", "a-1@pbx", "-o", "call.pcap", "--force", folder=stocked).status == 0
    assert len(packets(file.read_bytes())) == 7


def test_unknown_call(stocked):
    """A call that the store does not have makes no file."""
    ran = hepsw("export", "nobody", "-o", "call.pcap", folder=stocked)
    assert ran.status == 1
    assert not (stocked / "call.pcap").exists()


def test_folder_that_is_not_there(stocked):
    """What cannot be written is said, with status 74."""
    ran = hepsw("export", "a-1@pbx", "-o", "nowhere/call.pcap", folder=stocked)
    assert ran.status == 74
    assert ran.err.startswith("hepsw export: cannot write nowhere/call.pcap: ")


def test_into_what_is_no_file(stocked):
    """A pipe or a device takes the packets, and stays what it is, with --force too."""
    pipe = stocked / "pipe"
    os.mkfifo(pipe)
    for options in ([], ["--force"]):
        with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
            ran = hepsw("export", "a-1@pbx", "-o", "pipe", *options, folder=stocked)
            octets, _ = reader.communicate(timeout=30)
        assert ran.status == 0
        assert len(packets(octets)) == 7
        assert pipe.is_fifo()


@pytest.mark.parametrize("options", [[], ["--force"]])
def test_folder_as_a_file(stocked, options):
    """A folder is not written over, and said to be one."""
    ran = hepsw("export", "a-1@pbx", "-o", ".", *options, folder=stocked)
    assert (ran.status, ran.err) == (74, "hepsw export: cannot write .: Is a directory\n")


def test_force_follows_a_link(stocked):
    """With --force it is the file that a link leads to which is written over."""
    (stocked / "file.pcap").write_text("old")
    (stocked / "link.pcap").symlink_to("file.pcap")
    ran = hepsw("export", "a-1@pbx", "-o", "link.pcap", "--force", folder=stocked)
    assert ran.status == 0
    assert (stocked / "link.pcap").is_symlink()
    assert len(packets((stocked / "file.pcap").read_bytes())) == 7


def test_file_system_without_links(tmp_path, monkeypatch):
    """Where there are no hard links the file gets its name all the same, never over another."""

    def refused(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", refused)
    file = tmp_path / "call.pcap"
    views = STORIES["legs"]()
    assert export._to_file(file, views, force=False).written == 7
    assert len(packets(file.read_bytes())) == 7
    with pytest.raises(FileExistsError):
        export._to_file(file, views, force=False)
    assert list(tmp_path.iterdir()) == [file]
