"""What a destination may rely on: everything that is added is handed out until it is acked."""

import asyncio
import os
import stat
import tempfile
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from spools import Careless, Owner, ack_all, numbered, opened, put, spool_of, take, until

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "read", "ack", "rewind", "reopen"]),
        st.integers(1, 12),
        st.randoms(use_true_random=False),
    ),
    max_size=25,
)


@settings(max_examples=100)
@given(STEPS, st.sampled_from(["always", "never", 0.2]), st.sampled_from([400, 4000, 16 << 20]))
def test_against_a_list(steps, sync, segment):
    """Records come in order, each until it is acked, whatever else happens, restarts included."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(against_a_list(folder, steps, sync, segment))


async def against_a_list(folder, steps, sync, segment):
    frames, acked, out = [], set(), set()
    owner = Owner()
    spool = None

    async def fresh():
        nonlocal spool
        spool = spool_of(f"{folder}/spool", owner, sync=sync, segment=segment)
        spool.start()
        await until(lambda: spool.is_open)

    def pending():
        return [seq for seq in range(1, len(frames) + 1) if seq not in acked and seq not in out]

    await fresh()
    for what, count, random in steps:
        if what == "add":
            new = numbered(count, len(frames), octets=12 + count)
            assert spool.add(new, 0) == count
            frames += new
            owner.added += count
        elif what == "read":
            records = await spool.read(count, 1 << 20)
            expected = pending()
            if expected:
                assert records
            assert records == [(seq, frames[seq - 1]) for seq in expected[: len(records)]]
            out |= {seq for seq, _ in records}
        elif what == "ack":
            chosen = random.sample(sorted(out), min(count, len(out)))
            ack_all(spool, owner, chosen)
            acked |= set(chosen)
            out -= set(chosen)
        elif what == "rewind":
            spool.rewind()
            out.clear()
        else:
            await spool.close()
            low = 0
            while low + 1 in acked:
                low += 1
            acked, out = set(range(1, low + 1)), set()
            # What it found again is what was there; what was acked beyond the first that was not
            # comes once more.
            owner = Owner()
            await fresh()
            assert owner.recovered == [len(frames) - low]
        assert owner.unaccounted(spool) == 0
        assert spool.unread == len(pending())
    spool.rewind()
    out.clear()
    expected = [frames[seq - 1] for seq in pending()]
    assert await take(spool, owner) == expected
    await spool.close()
    assert not owner.dropped


async def test_the_owner_is_told(tmp_path):
    """Once what was found, then that it is ready, and again when there is something to read."""
    async with opened(tmp_path / "a") as (spool, owner):
        assert owner.recovered == [0]
        await owner.ready.wait()
        owner.ready.clear()
        await put(spool, owner, numbered(3))
        assert owner.ready.is_set()
        assert (spool.on_disk, spool.unread) == (3, 3)
    async with opened(tmp_path / "a") as (spool, owner):
        assert owner.recovered == [3]
        assert await take(spool, owner, ack=True) == numbered(3)
        owner.ready.clear()
        await asyncio.sleep(0)
        await put(spool, owner, numbered(1, 3))
        assert owner.ready.is_set()
        await take(spool, owner)
        owner.ready.clear()
        spool.rewind()
        await asyncio.sleep(0)
        assert owner.ready.is_set()


async def test_before_and_after(tmp_path):
    """A spool that is not open takes nothing, gives nothing and raises nothing."""
    owner = Owner()
    spool = spool_of(tmp_path / "a", owner)
    assert spool.add([b"x"], 0) == 0
    assert await spool.read(1, 1) == []
    spool.ack([1, 2])
    await spool.close()
    async with opened(tmp_path / "b") as (spool, owner):
        await put(spool, owner, numbered(2))
    assert not spool.is_open
    assert spool.add([b"x"], 0) == 0
    assert await spool.read(1, 1) == []
    await spool.close()
    assert spool.on_disk == 2
    assert spool.trouble == "closed"


async def test_the_staging_area_is_bounded(tmp_path):
    """What does not fit in memory is refused, by number and by octets."""
    async with opened(tmp_path / "a") as (spool, owner):
        taken = spool.add([b"x"] * 20_000, 5)
        assert taken == spool.STAGED + 5
        owner.added += taken - 5
        await until(lambda: not spool.staged)
        frames = [bytes(60_000)] * 200
        taken = spool.add(frames, 0)
        assert taken == spool.STAGED_OCTETS // 60_000
        assert spool.add(frames, taken) == taken
        owner.added += taken
        assert spool.staged_octets == taken * 60_000
        await until(lambda: not spool.staged)
        assert spool.staged_octets == 0


async def test_a_reading_is_bounded(tmp_path):
    """By number and by octets, but for a single record that is larger."""
    async with opened(tmp_path / "a") as (spool, owner):
        await put(spool, owner, numbered(10, octets=100))
        assert len(await spool.read(3, 1000)) == 3
        assert len(await spool.read(10, 250)) == 2
        assert len(await spool.read(10, 10)) == 1
        assert len(await spool.read(10, 10_000)) == 4


async def test_a_cancelled_reading_loses_nothing(tmp_path):
    """What a reader was not there to take is handed out to the next."""
    async with opened(tmp_path / "a") as (spool, owner):
        await put(spool, owner, numbered(10))
        for _ in range(20):
            reading = asyncio.create_task(spool.read(5, 1000))
            await asyncio.sleep(0)
            reading.cancel()
        assert await take(spool, owner) == numbered(10)


async def test_a_rewind_during_a_reading(tmp_path):
    """What is under way when all begins anew is not handed out twice, and nothing is left out."""
    async with opened(tmp_path / "a") as (spool, owner):
        await put(spool, owner, numbered(10))
        assert len(await spool.read(4, 1000)) == 4
        reading = asyncio.create_task(spool.read(4, 1000))
        await asyncio.sleep(0)
        spool.rewind()
        first = [frame for _, frame in await reading]
        assert first + await take(spool, owner) == numbered(10)


async def test_acked_segments_are_removed(tmp_path):
    """Whole segments go when all before them is done with, a little later and in one go."""
    folder = tmp_path / "a"
    async with opened(folder, segment=4000) as (spool, owner):
        await put(spool, owner, numbered(1000))
        assert len(list(folder.glob("*.seg"))) > 10
        await take(spool, owner, ack=True)
        await until(lambda: len(list(folder.glob("*.seg"))) <= 1)
    assert {path.name for path in folder.iterdir()} == {"lock", "state"}


async def test_numbers_go_on_after_a_restart(tmp_path):
    """A number is never given twice, not even when all before was acked."""
    seen = []
    for _ in range(3):
        async with opened(tmp_path / "a") as (spool, owner):
            await put(spool, owner, numbered(5))
            records = await spool.read(5, 10_000)
            seen += [seq for seq, _ in records]
            ack_all(spool, owner, [seq for seq, _ in records])
    assert seen == list(range(1, 16))


async def test_the_oldest_go_when_max_is_reached(tmp_path):
    """Whole segments, counted as overflow; what was handed out of them may be acked for nothing."""
    async with opened(tmp_path / "a", max=64_000, segment=8000) as (spool, owner):
        await put(spool, owner, numbered(100))
        handed_out = await spool.read(50, 100_000)
        await put(spool, owner, numbered(2000, 100))
        assert owner.dropped["overflow"] > 1000
        assert owner.unaccounted(spool) == 0
        ack_all(spool, owner, [seq for seq, _ in handed_out])
        assert owner.acked == 0
        left = await take(spool, owner)
        assert left == numbered(2100)[-len(left) :]
        used = sum(path.stat().st_size for path in (tmp_path / "a").glob("*.seg"))
        assert used <= 64_000
        assert len(left) * 72 > 40_000
    assert owner.dropped.keys() == {"overflow"}


async def test_the_oldest_stay_where_they_are_to(tmp_path):
    """A spool that keeps the old takes no more at `max`; memory holds what it had taken."""
    async with opened(tmp_path / "a", max=64_000, segment=8000, keep_old=True) as (spool, owner):
        frames, start = numbered(5000), 0
        async with asyncio.timeout(5):
            while spool.is_open:
                start = spool.add(frames[: start + 100], start)
                await asyncio.sleep(0.001)
        owner.added = start
        assert spool.trouble == "`max` is reached"
        assert not spool.errors
        assert spool.add(frames, start) == start
        assert spool.on_disk > 700
        got = await take(spool, owner, ack=True)
        assert got == frames[:start]
        assert not owner.dropped
        await until(lambda: spool.is_open, 1)
        assert spool.add(frames, start) > start
        owner.added = 5000
        assert await take(spool, owner, ack=True) == frames[start:]


async def test_a_packet_larger_than_max(tmp_path):
    """Is given up, and its neighbours are not."""
    async with opened(tmp_path / "a", max=4000) as (spool, owner):
        await put(spool, owner, [b"a", bytes(5000), b"b"])
        assert owner.dropped == {"overflow": 1}
        assert await take(spool, owner, ack=True) == [b"a", b"b"]
        await put(spool, owner, [bytes((128 << 10) + 1), b"c"])
        assert await take(spool, owner, ack=True) == [b"c"]
    assert owner.dropped == {"overflow": 2}


async def test_what_is_too_old_is_given_up(tmp_path, monkeypatch):
    """On being read, and in whole segments while nobody reads."""
    async with opened(tmp_path / "a", age=60.0, segment=400) as (spool, owner):
        await put(spool, owner, numbered(10))
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() + 61_000_000_000)
        await put(spool, owner, numbered(5, 10))
        assert await take(spool, owner) == numbered(5, 10)
        assert owner.dropped == {"expired": 10}
        assert spool.on_disk == 5
        monkeypatch.setattr(time, "time_ns", lambda: real() + 150_000_000_000)
        spool._worker._expire_at = 0
        spool.ack([999])
        await put(spool, owner, numbered(1, 15))
        await until(lambda: owner.dropped["expired"] == 15)
        assert await take(spool, owner) == numbered(1, 15)


async def test_the_folder_is_private(tmp_path):
    """0700, the files 0600, whatever was there before."""
    old = os.umask(0)
    try:
        (tmp_path / "a").mkdir(mode=0o777)
        async with opened(tmp_path / "a") as (spool, owner):
            await put(spool, owner, numbered(1))
            ack_all(spool, owner, [seq for seq, _ in await spool.read(1, 100)])
            await until((tmp_path / "a" / "state").exists)
            modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").iterdir()}
            assert modes == {0o600}
            assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
        async with opened(tmp_path / "b" / "c"):
            assert stat.S_IMODE((tmp_path / "b" / "c").stat().st_mode) == 0o700
    finally:
        os.umask(old)


async def test_a_second_owner_is_refused(tmp_path, caplog):
    """It says which process has the folder, once in the log, and opens when that lets go."""
    async with opened(tmp_path / "a") as (first, owner):
        await put(first, owner, numbered(3))
        other = Owner()
        second = spool_of(tmp_path / "a", other)
        second.start()
        await until(lambda: second.errors["open"] >= 2)
        assert second.trouble.endswith(f" is locked by process {os.getpid()}")
        assert not second.is_open
        assert caplog.text.count("locked by") == 1
    await until(lambda: second.is_open)
    assert other.recovered == [3]
    await second.close()


async def test_reopened_at_once(tmp_path):
    """A folder that was let go can be had at once, in the same process."""
    for number in range(20):
        began = time.monotonic()
        async with opened(tmp_path / "a") as (spool, owner):
            assert owner.recovered == [number]
            await put(spool, owner, numbered(1))
        assert time.monotonic() - began < 1


async def test_a_link_is_refused(tmp_path):
    """A symbolic link in the place of the folder is not followed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    spool = spool_of(tmp_path / "link", Owner())
    spool.start()
    await until(lambda: spool.errors)
    assert spool.trouble == f"{tmp_path}/link is a symbolic link"
    await spool.close()
    assert not list((tmp_path / "real").iterdir())


async def test_a_file_in_the_place_of_the_folder(tmp_path):
    """Is said, and when it is gone the spool opens."""
    (tmp_path / "a").write_text("mine")
    spool = spool_of(tmp_path / "a", Owner())
    spool.start()
    await until(lambda: spool.errors)
    assert spool.trouble == f"{tmp_path}/a is not a folder"
    (tmp_path / "a").unlink()
    await until(lambda: spool.is_open)
    await spool.close()


async def test_a_bug_does_not_end_it(tmp_path, caplog):
    """What nobody thought of is logged with its traceback, and tried again."""

    class Buggy(Careless):
        broken = True

        def names(self, path):
            if self.broken:
                raise KeyError("what nobody thought of")
            return super().names(path)

    files = Buggy()
    spool = spool_of(tmp_path / "a", Owner(), files=files)
    spool.start()
    await until(lambda: spool.errors)
    assert "a bug in hepsw" in spool.trouble
    assert "Traceback" in caplog.text
    files.broken = False
    await until(lambda: spool.is_open)
    await spool.close()
