"""Files that were damaged, cut, lost or put there by others: what is sound is handed out."""

import asyncio
import logging
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spools import Owner, ack_all, numbered, opened, put, spool_of, take, until

from hepsw.sinks.spool import format as wire

SEGMENT = 480
FRAMES = numbered(14)
"""In three segments of six, six and two; the first three are acked."""
RECORD = wire.record_octets(len(FRAMES[0]))
ACKED = 3


@pytest.fixture(autouse=True)
def quiet():
    """Each of some thousand damages is logged otherwise."""
    logging.getLogger("hepsw.sinks").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("hepsw.sinks").setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A spool as a killed process leaves it, by file name."""
    folder = tmp_path_factory.mktemp("small") / "spool"

    async def fill():
        spool, owner = spool_of(folder, Owner(), segment=SEGMENT), Owner()
        spool.start()
        await until(lambda: spool.is_open)
        await put(spool, owner, FRAMES)
        ack_all(spool, owner, [seq for seq, _ in await spool.read(ACKED - 1, 10_000)])
        await until((folder / "state").exists)
        ack_all(spool, owner, [seq for seq, _ in await spool.read(1, 10_000)])
        await until(lambda: spool._worker._acked == ACKED)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        await spool.close()
        return files

    files = asyncio.run(fill())
    assert sum(name.endswith(".seg") for name in files) == 3
    assert len(files) == 5
    return files


def names(files):
    return sorted(name for name in files if name.endswith(".seg"))


async def reopened(folder, files, **options):
    """Put files into a folder, open it, and return all that is handed out, and the owner."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, octets in files.items():
        (folder / name).write_bytes(octets)
    async with opened(folder, segment=SEGMENT, sync="never", **options) as (spool, owner):
        assert len(owner.recovered) == 1
        got = await take(spool, owner, ack=True)
        assert spool.on_disk == spool.unread == 0
        assert owner.unaccounted(spool) == 0
        assert set(owner.dropped) <= {"corrupt"}
        # It goes on to work.
        await put(spool, owner, [b"new"])
        assert await take(spool, owner, ack=True) == [b"new"]
    return got, owner


def missing(got):
    """Return how many frames are missing; what is there must be in order, once, and unaltered."""
    assert got == sorted(set(got))
    assert set(got) <= set(FRAMES)
    return len(set(FRAMES[ACKED:]) - set(got))


async def test_undamaged(tmp_path, small):
    """What a killed process leaves is whole."""
    got, owner = await reopened(tmp_path / "a", small)
    assert got == FRAMES[ACKED:]
    assert not owner.dropped


def flips():
    """The damage that one octet takes, one of them by default: each bit changes in its turn."""
    return [
        pytest.param(None, id="one"),
        *(pytest.param(1 << bit, marks=pytest.mark.proof) for bit in range(8)),
        pytest.param(0xFF, marks=pytest.mark.proof),
    ]


@pytest.mark.parametrize("flip", flips())
async def test_every_single_octet(tmp_path, small, flip):
    """Any one octet of any file loses one record at most, and the spool opens and works."""
    told = Counter()
    for name, octets in small.items():
        for at in range(len(octets)):
            damaged = bytearray(octets)
            damaged[at] ^= flip or 1 << at % 8
            got, owner = await reopened(tmp_path / "a", {**small, name: bytes(damaged)})
            lost = missing(got)
            assert lost <= 1, (name, at)
            if not name.endswith(".seg"):
                assert not lost, (name, at)
            elif name != names(small)[-1]:
                assert owner.dropped["corrupt"] == lost, (name, at)
            told[lost] += 1
    assert told[1] > len(FRAMES[ACKED:]) * wire.HEAD


async def test_every_truncation(tmp_path, small):
    """A file that was cut loses what was behind the cut, and nothing else."""
    for name, octets in small.items():
        first = int(name[:20]) if name.endswith(".seg") else 0
        kept = sum(wire.HEADER + RECORD * (n + 1) <= len(octets) for n in range(6))
        for length in range(len(octets)):
            got, owner = await reopened(tmp_path / "a", {**small, name: octets[:length]})
            if not first:
                assert missing(got) == 0, (name, length)
                continue
            whole = sum(wire.HEADER + RECORD * (n + 1) <= length for n in range(kept))
            behind = [n for n in range(first + whole, len(FRAMES) + 1) if n < first + 6]
            expected = [n for n in range(ACKED + 1, len(FRAMES) + 1) if n not in behind]
            assert got == [FRAMES[n - 1] for n in expected], (name, length)
            if name != names(small)[-1]:
                assert owner.dropped["corrupt"] == len([n for n in behind if n > ACKED])


@settings(max_examples=60)
@given(st.data())
def test_any_content(tmp_path_factory, small, data):
    """Whatever the files hold, the spool opens, and hands out nothing that nobody put there."""
    files = dict(small)
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(sorted(small)))
        octets = files[name]
        start = data.draw(st.integers(0, len(octets)))
        end = data.draw(st.integers(start, len(octets)))
        new = data.draw(
            st.one_of(
                st.binary(max_size=100),
                st.just(bytes(end - start)),
                st.sampled_from(sorted(small.values())),
                st.just(wire.MARKER * 20),
            )
        )
        files[name] = octets[:start] + new + octets[end:]
    if any(name.endswith(".seg") and octets[8:9] > b"\x01" for name, octets in files.items()):
        return  # a later format, for which there is another test
    got, _ = asyncio.run(reopened(tmp_path_factory.mktemp("any") / "a", files))
    assert got == sorted(set(got))
    assert set(got) <= set(FRAMES)


async def test_both_slots_bad(tmp_path, small):
    """Then everything that is there is handed out, once more perhaps, and nothing is lost."""
    for state in (bytes(128), b"\xff" * 128, b"", None, small["state"][::-1]):
        files = {**small, "state": state}
        if state is None:
            del files["state"]
        got, owner = await reopened(tmp_path / "a", files)
        assert got == FRAMES
        assert owner.recovered == [14]


async def test_a_missing_segment(tmp_path, small):
    """What was in it is counted, and the rest is handed out."""
    first, second, third = names(small)
    got, owner = await reopened(tmp_path / "a", {n: o for n, o in small.items() if n != second})
    assert got == FRAMES[3:6] + FRAMES[12:]
    assert owner.dropped == {"corrupt": 6}
    got, owner = await reopened(tmp_path / "a", {n: o for n, o in small.items() if n != first})
    assert got == FRAMES[6:]
    assert owner.dropped == {"corrupt": 3}
    got, owner = await reopened(tmp_path / "a", {n: o for n, o in small.items() if n != third})
    assert got == FRAMES[3:12]
    assert not owner.dropped


async def test_a_segment_that_goes_while_it_runs(tmp_path):
    """What somebody deletes under a running spool is counted, and the rest is handed out."""
    async with opened(tmp_path / "a", segment=SEGMENT) as (spool, owner):
        await put(spool, owner, FRAMES)
        sorted((tmp_path / "a").glob("*.seg"))[1].unlink()
        assert await take(spool, owner, ack=True) == FRAMES[:6] + FRAMES[12:]
        assert owner.dropped == {"corrupt": 6}


async def test_a_folder_that_goes_while_it_runs(tmp_path):
    """Is made anew, and what was in it is counted when it is looked for."""
    folder = tmp_path / "a"
    async with opened(folder, segment=SEGMENT) as (spool, owner):
        await put(spool, owner, FRAMES)
        shutil.rmtree(folder)
        owner.added += spool.add(numbered(20, 14), 0)
        await until(lambda: not spool.staged)
        got = await take(spool, owner, ack=True)
        assert got[-20:] == numbered(20, 14)
        assert owner.dropped == {"corrupt": 34 - len(got)}
        await until((folder / "state").exists)
    async with opened(folder, segment=SEGMENT) as (spool, owner):
        assert owner.recovered == [0]


async def test_a_file_that_goes_while_it_is_written(tmp_path):
    """What comes after that is not written to a file without a name; the end tells the truth."""
    folder = tmp_path / "a"
    async with opened(folder) as (spool, owner):
        await put(spool, owner, FRAMES[:6])
        (segment,) = folder.glob("*.seg")
        segment.unlink()
        await put(spool, owner, FRAMES[6:9])
        shutil.rmtree(folder)
        await spool.close()
        assert spool.on_disk == 0
        assert owner.dropped == {"corrupt": 9}
        assert owner.unaccounted(spool) == 0


async def test_foreign_files(tmp_path, small):
    """What is not ours is moved aside or left alone, and never sent."""
    other = tmp_path / "other"
    async with opened(other, segment=SEGMENT, fingerprint=8) as (spool, owner):
        await put(spool, owner, numbered(30, 500))
    theirs = {path.name: path.read_bytes() for path in other.glob("*.seg")}
    first, second, _ = names(small)
    files = {
        **small,
        "00000000000000000025.seg": theirs["00000000000000000025.seg"],
        "00000000000000000009.seg": b"\x7fELF" + bytes(1000),
        "00000000000000000010.seg": small[second],
        "00000000000000000000.seg": small[first],
        "99999999999999999999.seg": b"what",
        "99999999999999999998.seg": b"",
        "notes.txt": b"mine",
        "00000000000000000007.seg.new": b"not finished",
    }
    got, owner = await reopened(tmp_path / "a", files)
    assert got == FRAMES[ACKED:]
    assert not owner.dropped
    left = {path.name for path in (tmp_path / "a").iterdir()}
    assert left == {
        "lock",
        "state",
        "notes.txt",
        "00000000000000000025.seg.foreign",
        "00000000000000000009.seg.foreign",
        "00000000000000000010.seg.foreign",
        "00000000000000000000.seg.foreign",
        "99999999999999999999.seg.foreign",
        "99999999999999999998.seg.foreign",
    }


async def test_another_destination(tmp_path, small):
    """The spool of a destination that has another url now is kept, and not sent there."""
    got, owner = await reopened(tmp_path / "a", small, fingerprint=8)
    assert got == []
    assert owner.recovered == [0]
    kept = [path.read_bytes() for path in sorted((tmp_path / "a").glob("*.foreign"))]
    assert kept == [small[name] for name in names(small)]


async def test_links_and_folders_among_the_segments(tmp_path, small):
    """Are not followed."""
    folder = tmp_path / "a"
    folder.mkdir()
    for name, octets in small.items():
        (folder / name).write_bytes(octets)
    (tmp_path / "secret").write_text("secret")
    (folder / "00000000000000000050.seg").symlink_to(tmp_path / "secret")
    (folder / "00000000000000000051.seg").mkdir()
    os.mkfifo(folder / "00000000000000000052.seg")
    async with opened(folder, segment=SEGMENT) as (spool, owner):
        assert await take(spool, owner) == FRAMES[ACKED:]
    assert (tmp_path / "secret").read_text() == "secret"


async def test_a_later_format_is_refused(tmp_path, small):
    """Nothing is altered, and the spool says why it stays shut."""
    folder = tmp_path / "a"
    folder.mkdir()
    later = {**small, "00000000000000000099.seg": wire.MAGIC + b"\x02" + bytes(100)}
    for name, octets in later.items():
        (folder / name).write_bytes(octets)
    spool = spool_of(folder, Owner())
    spool.start()
    await until(lambda: spool.errors)
    assert "00000000000000000099.seg is of format 2, this hepsw reads format 1" in spool.trouble
    await spool.close()
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {**left, "lock": b""} == {**later, "lock": b""}


async def test_a_tail_of_zeros(tmp_path, small):
    """As a power cut leaves it: what is before is kept, and what comes after is written."""
    last = names(small)[-1]
    for zeros in range(0, 2 * RECORD + 1, 7):
        octets = small[last][: wire.HEADER + 2 * RECORD]
        octets = octets[: len(octets) - zeros] + bytes(zeros + 5000)
        got, owner = await reopened(tmp_path / "a", {**small, last: octets})
        assert got[:9] == FRAMES[ACKED:12]
        # Up to seven of the last octets are padding, which is zeros.
        assert len(got) == 11 - (zeros > 0) - (zeros > RECORD)
        assert not owner.dropped


async def test_damage_in_the_midst_is_kept_for_inspection(tmp_path):
    """At most four damaged segments stay, under another name, when they are done with."""
    folder = tmp_path / "a"
    async with opened(folder, segment=SEGMENT) as (spool, owner):
        await put(spool, owner, numbered(60))
    segments = sorted(folder.glob("*.seg"))
    assert len(segments) == 10
    for path in segments[:6]:
        octets = bytearray(path.read_bytes())
        octets[100] ^= 1
        path.write_bytes(octets)
    async with opened(folder, segment=SEGMENT) as (spool, owner):
        assert len(await take(spool, owner, ack=True)) == 54
        assert owner.dropped == {"corrupt": 6}
    assert len(list(folder.glob("*.seg.bad"))) == 4
    assert not list(folder.glob("*.seg"))


async def test_a_frame_that_pretends_to_be_records(tmp_path):
    """Damage to the frame around them does not let its contents out, nor lose what follows."""
    fakes = b"".join(wire.encode_record(seq, 1, b"fake %d" % seq) for seq in range(1, 100))
    async with opened(tmp_path / "a") as (spool, owner):
        await put(spool, owner, [b"a", fakes, b"b", fakes, b"c"])
    (path,) = (tmp_path / "a").glob("*.seg")
    octets = bytearray(path.read_bytes())
    octets[wire.HEADER + wire.record_octets(1) + wire.HEAD] ^= 0xFF
    path.write_bytes(octets)
    async with opened(tmp_path / "a") as (spool, owner):
        assert await take(spool, owner, ack=True) == [b"a", b"b", fakes, b"c"]
        assert owner.dropped == {"corrupt": 1}


def test_fixtures_of_format_1(tmp_path):
    """A spool that was written by the first release is read by this one."""
    vectors = Path(__file__).parent / "format-1"
    files = {path.name: path.read_bytes() for path in vectors.iterdir()}
    got, owner = asyncio.run(reopened(tmp_path / "a", files))
    assert got == FRAMES[ACKED:]
    assert not owner.dropped
