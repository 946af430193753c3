"""A disk that is full, fails, or takes its time: nothing is lost, and the loop does not wait."""

import asyncio
import errno
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from spools import (
    Careless,
    Faulty,
    Owner,
    SmallDisk,
    ack_all,
    at,
    failed,
    numbered,
    opened,
    put,
    spool_of,
    take,
    until,
)

from hepsw.sinks.spool.files import Files


async def fill(spool, owner, frames, start=0):
    """Add frames until the spool takes no more; return how many were taken in all."""
    async with asyncio.timeout(20):
        while spool.is_open:
            taken = spool.add(frames[: start + 200], start)
            owner.added += taken - start
            start = taken
            await asyncio.sleep(0.0002)
    return start


async def filled_and_freed(folder, times, octets, **options):
    """Fill the disk and free it again and again; return the longest wait until it takes more."""
    longest = 0.0
    sent = got = 0
    frames = numbered(60_000, octets=600)
    async with opened(folder, **options) as (spool, owner):
        for _ in range(times):
            start = await fill(spool, owner, frames)
            assert "disk full" in spool.trouble
            assert start * 600 > octets * 0.7
            # What is on disk and what waits in memory is handed out all the same.
            received = await take(spool, owner, ack=True)
            assert received == frames[:start]
            sent += start
            got += len(received)
            began = time.monotonic()
            await until(lambda: not list(folder.glob("*.seg")) or spool.is_open, 2)
            await until(lambda: spool.is_open, 2)
            longest = max(longest, time.monotonic() - began)
        assert sent == got == owner.acked
        assert not owner.dropped
    async with opened(folder, **options) as (spool, owner):
        assert owner.recovered == [0]
    return longest


async def test_a_full_disk(tmp_path):
    """Frames are refused while it is full, those taken come out, and it goes on by itself."""
    folder = tmp_path / "a"
    files = SmallDisk(folder, 200_000)
    longest = await filled_and_freed(folder, 3, 200_000, files=files, sync="always")
    assert longest < 1


async def test_a_disk_that_others_fill(tmp_path):
    """Space that comes back from elsewhere is used within a second, with nothing to write."""
    folder = tmp_path / "a"
    files = SmallDisk(folder, 200_000)
    async with opened(folder, files=files) as (spool, owner):
        await put(spool, owner, numbered(10))
        files.octets = 0
        spool._worker._folder.seal()
        taken = spool.add(numbered(5, 10), 0)
        owner.added += taken
        await until(lambda: not spool.is_open)
        assert spool.trouble == "disk full"
        assert (spool.staged, spool.on_disk) == (5, 10)
        assert await take(spool, owner) == numbered(15)
        spool.rewind()
        files.octets = 200_000
        await until(lambda: spool.is_open, 1)
        await until(lambda: spool.on_disk == 15, 1)
        assert await take(spool, owner, ack=True) == numbered(15)
        assert spool.errors["write"] >= 1


async def test_what_is_read_from_memory(tmp_path):
    """Frames that the disk did not take can be acked, and are not handed out again later."""
    folder = tmp_path / "a"
    files = SmallDisk(folder, 200_000)
    async with opened(folder, files=files) as (spool, owner):
        files.octets = 0
        owner.added += spool.add(numbered(8), 0)
        await until(lambda: not spool.is_open)
        records = await spool.read(6, 10_000)
        assert len(records) == 6
        ack_all(spool, owner, [seq for seq, _ in records[:4]])
        assert (spool.staged, spool.on_disk, spool.unread) == (4, 0, 2)
        assert await take(spool, owner) == numbered(2, 6)
        files.octets = 200_000
        await until(lambda: spool.is_open and not spool.staged)
        assert (spool.staged, spool.on_disk, spool.unread) == (0, 4, 0)
        spool.rewind()
        assert await take(spool, owner) == numbered(4, 4)
    async with opened(folder) as (spool, owner):
        assert await take(spool, owner) == numbered(4, 4)


async def test_short_writes(tmp_path):
    """A write that takes less than all is gone on with, and leaves no torn record."""

    def short(_, fd, octets, offset):
        return os.pwrite(fd, octets[: max(1, len(octets) // 3)], offset)

    async with opened(tmp_path / "a", files=Faulty(pwrite=short)) as (spool, owner):
        await put(spool, owner, numbered(500))
        assert spool.is_open
    async with opened(tmp_path / "a") as (spool, owner):
        assert await take(spool, owner) == numbered(500)


@pytest.mark.parametrize("call", range(1, 30))
async def test_a_write_that_fails(tmp_path, call):
    """Any write may fail, after any number of octets: whole records stay, none is there twice."""

    def plan(number, fd, octets, offset):
        if number == call:
            return os.pwrite(fd, octets[: len(octets) * 2 // 3], offset)
        if number == call + 1:
            raise failed(errno.EIO)
        return None

    files = Faulty(pwrite=plan)
    async with opened(tmp_path / "a", files=files, segment=2000, retry=0.05) as (spool, owner):
        for number in range(20):
            await put(spool, owner, numbered(5, number * 5))
            await until(lambda: spool.is_open, 2)
        assert await take(spool, owner) == numbered(100)
        spool.rewind()
        await take(spool, owner, most=50, ack=True)
    async with opened(tmp_path / "a") as (spool, owner):
        assert owner.recovered == [50]
        assert await take(spool, owner) == numbered(50, 50)
        assert not owner.dropped


@pytest.mark.parametrize(
    "name",
    [
        "open",
        "allocate",
        "ftruncate",
        "unlink",
        "rename",
        "lstat",
        "names",
        "lock",
        "make_folder",
        "pread",
        "fsync_folder",
    ],
)
async def test_any_call_that_fails(tmp_path, name):
    """Each system call may fail once, whenever: nothing is lost, and the spool works again."""
    for call in range(1, 12):
        folder = tmp_path / f"{call}"
        files = Faulty(**{name: at(call, errno.EACCES)})
        async with opened(folder, files=files, segment=2000, retry=0.05) as (spool, owner):
            for number in range(6):
                await until(lambda: spool.is_open, 2)
                await put(spool, owner, numbered(20, number * 20))
            got = await take(spool, owner, most=60, ack=True)
            while len(got) < 60:  # a reading that failed is tried again
                got += await take(spool, owner, most=60 - len(got), ack=True)
            assert got == numbered(60)
        async with opened(folder) as (spool, owner):
            got = await take(spool, owner)
            assert got[-60:] == numbered(60, 60)
            assert not owner.dropped


@pytest.mark.parametrize("sync", ["always", 0.001])
@pytest.mark.parametrize("call", [1, 2, 3, 5, 9])
async def test_an_fsync_that_fails(tmp_path, sync, call, caplog):
    """That file is not asked again: what it may have lost is written to another one."""
    synced, held = {}, []

    def plan(number, fd):
        held.append(os.dup(fd))  # lest another file gets the same inode
        synced.setdefault(os.fstat(fd).st_ino, []).append(number)
        if number == call:
            raise failed(errno.EIO)

    files = Faulty(fdatasync=plan)
    async with opened(tmp_path / "a", files=files, sync=sync, segment=4000, retry=0.05) as (
        spool,
        owner,
    ):
        for number in range(40):
            await until(lambda: spool.is_open, 2)
            await put(spool, owner, numbered(5, number * 5))
        await until(lambda: files.calls["fdatasync"] > call)
        await until(lambda: spool.is_open, 2)
        assert spool.errors == {"sync": 1}
        assert caplog.text.count("Input/output error") == 1
        assert next(numbers for numbers in synced.values() if call in numbers)[-1] == call
        assert await take(spool, owner) == numbered(200)
        assert not owner.dropped
    for fd in held:
        os.close(fd)
    async with opened(tmp_path / "a") as (spool, owner):
        assert owner.recovered == [200]
        assert await take(spool, owner) == numbered(200)
        assert not owner.dropped


async def test_what_a_failed_fsync_had_is_on_disk_elsewhere(tmp_path):
    """Even where the file has lost what the failed fdatasync was for, a crash loses nothing."""

    class Lossy(Careless):
        """Drops what was written since the last fdatasync, when the third one fails."""

        calls = 0
        good = 40

        def fdatasync(self, fd):
            self.calls += 1
            if self.calls == 3:
                size = os.fstat(fd).st_size
                os.ftruncate(fd, self.good)
                os.ftruncate(fd, size)
                raise failed(errno.EIO)
            if self.calls < 3:
                octets = os.pread(fd, 1 << 20, 0).rstrip(b"\0")
                self.good = len(octets) + -len(octets) % 8

    async with opened(tmp_path / "a", files=Lossy(), sync="always") as (spool, owner):
        for number in range(6):
            await until(lambda: spool.is_open, 2)
            await put(spool, owner, numbered(7, number * 7))
        shutil.copytree(tmp_path / "a", tmp_path / "crashed")
        assert await take(spool, owner) == numbered(42)
    async with opened(tmp_path / "crashed") as (spool, owner):
        assert await take(spool, owner) == numbered(42)
        assert not owner.dropped


async def test_fsyncs_that_fail_for_a_while(tmp_path):
    """As long as they do no frame is taken; then it goes on, and nothing was lost."""
    failing = True

    def plan(_, fd):
        if failing:
            raise failed(errno.EIO)

    async with opened(tmp_path / "a", files=Faulty(fdatasync=plan), sync="always") as (
        spool,
        owner,
    ):
        owner.added += spool.add(numbered(20), 0)
        await until(lambda: spool.errors["sync"] >= 3)
        assert not spool.is_open
        assert spool.trouble == "Input/output error"
        assert (spool.staged, spool.on_disk) == (20, 0)
        assert len(list((tmp_path / "a").glob("*.seg*"))) == 1
        failing = False
        await until(lambda: spool.is_open and not spool.staged, 1)
        assert spool.on_disk == 20
        assert await take(spool, owner) == numbered(20)


async def test_the_order_of_an_ack(tmp_path):
    """It is durable before the segments that it covers are removed."""
    events = []

    class Watched(Careless):
        def pwrite(self, fd, octets, offset):
            if len(octets) in {64, 128}:
                events.append("ack")
            return super().pwrite(fd, octets, offset)

        def fdatasync(self, _):
            events.append("sync")

        def unlink(self, path):
            events.append("unlink")
            super().unlink(path)

    for sync in ("never", 0.2):
        folder = tmp_path / str(sync)
        async with opened(folder, files=Watched(), segment=2000, sync=sync) as (
            spool,
            owner,
        ):
            await put(spool, owner, numbered(100))
            events.clear()
            await take(spool, owner, ack=True)
            await until(lambda: "unlink" in events)
            at = events.index("unlink")
            assert events[at - 2 : at] == ["ack", "sync"]


async def test_a_state_that_cannot_be_made_durable(tmp_path):
    """Another file takes its place; until then no segment is removed."""
    failing = False

    def plan(_, fd):
        if failing and os.fstat(fd).st_size == 128:
            raise failed(errno.EIO)

    files = Faulty(fdatasync=plan)
    folder = tmp_path / "a"
    async with opened(folder, files=files, segment=2000, retry=0.05) as (spool, owner):
        await put(spool, owner, numbered(100))
        await take(spool, owner, most=1, ack=True)
        await until((folder / "state").exists)
        inode, segments = (folder / "state").stat().st_ino, len(list(folder.glob("*.seg")))
        failing = True
        await take(spool, owner, ack=True)
        await until(lambda: spool.errors["ack"] >= 2)
        assert len(list(folder.glob("*.seg"))) == segments
        assert spool.is_open
        failing = False
        await until(lambda: len(list(folder.glob("*.seg"))) < segments)
        assert (folder / "state").stat().st_ino != inode


async def test_a_sector_that_cannot_be_read(tmp_path):
    """Costs the records in it, and no others."""
    async with opened(tmp_path / "a") as (spool, owner):
        await put(spool, owner, numbered(1000))

    def plan(_, fd, octets, offset):
        if octets > 100 and offset <= 20_000 < offset + octets:
            raise failed(errno.EIO)

    async with opened(tmp_path / "a", files=Faulty(pread=plan)) as (spool, owner):
        got = await take(spool, owner)
        assert 1000 - 60 < len(got) < 1000
        assert owner.dropped == {"corrupt": 1000 - len(got)}


async def test_a_slow_disk_leaves_the_loop_alone(tmp_path):
    """Half a second for each fdatasync: the loop goes on meanwhile, and memory stays bounded."""
    turns = 0
    meanwhile = []

    def slow(_, fd):
        before = turns
        time.sleep(0.5)
        meanwhile.append(turns - before)

    frames = numbered(2000, octets=1000)
    files = Faulty(fdatasync=slow)
    async with opened(tmp_path / "a", files=files, sync="always") as (spool, owner):
        refused = False
        while len(meanwhile) < 4:
            taken = spool.add(frames, 0)
            owner.added += taken
            refused = refused or taken < len(frames)
            assert spool.staged <= spool.STAGED
            assert spool.staged_octets <= spool.STAGED_OCTETS
            await asyncio.sleep(0.001)
            turns += 1
        assert refused
        assert min(meanwhile) > 20


async def test_a_disk_that_hangs_does_not_keep_the_end(tmp_path):
    """After a while what could not be written is counted, and no more is waited for."""
    hung = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(_, fd):
        loop.call_soon_threadsafe(hung.set)
        time.sleep(1)

    owner = Owner()
    spool = spool_of(tmp_path / "a", owner, files=Faulty(fdatasync=hang), sync="always")
    assert spool.CLOSE_SECONDS == 2
    spool.CLOSE_SECONDS = 0.3
    spool.start()
    await until(lambda: spool.is_open)
    owner.added += spool.add(numbered(5), 0)
    await hung.wait()
    owner.added += spool.add(numbered(5, 5), 0)
    began = time.monotonic()
    await spool.close()
    assert 0.29 < time.monotonic() - began < 0.9
    assert owner.dropped == {"shutdown": 10}
    assert owner.unaccounted(spool) == 0
    await asyncio.sleep(0.9)  # the thread, which has the folder until then


async def test_a_disk_that_is_missing(tmp_path):
    """The spool opens when it comes, and says until then what it waits for."""
    (tmp_path / "mount").write_text("no folder can be made here")
    spool = spool_of(tmp_path / "mount" / "a", Owner())
    spool.start()
    await until(lambda: spool.errors)
    assert "Not a directory" in spool.trouble
    (tmp_path / "mount").unlink()
    await until(lambda: spool.is_open)
    await spool.close()


@contextmanager
def small_file_system(folder):
    """Mount 8 MiB; None where that is not allowed."""
    folder.mkdir()
    mounted = (
        shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder],
            check=False,
            capture_output=True,
        ).returncode
    )
    try:
        yield bool(mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=False)


@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.proof)])
async def test_a_real_disk_that_is_full(request, tmp_path, times):
    """8 MiB, filled and freed: it takes frames again within a second, and no record is torn."""
    with small_file_system(tmp_path / "disk") as is_mounted:
        if is_mounted:
            longest = await filled_and_freed(
                tmp_path / "disk" / "a", times, 8 << 20, files=Files(), sync=0.2
            )
            sys.stderr.write(f"{times} x full and freed: on again in {longest:.2f} s\n")
            assert longest < 1
            return
    if os.environ.get("HEPSW_OWN_MOUNTS") or not shutil.which("unshare"):
        pytest.skip("no file system can be mounted here")
    # Where nobody but root may, a user may in a room of their own.
    test = [sys.executable, "-m", "pytest", "-q", "-m", "", request.node.nodeid]
    done = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "-rm", *test],
        check=False,
        capture_output=True,
        text=True,
        cwd=request.config.rootpath,
        env={**os.environ, "HEPSW_OWN_MOUNTS": "1"},
    )
    if "skipped" in done.stdout or done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stdout[-200:]}{done.stderr[-200:]}")
