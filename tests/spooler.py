"""A process that spools numbered frames as fast as it can, and is killed while it does.

    spooler.py FOLDER LOG FIRST SYNC

It writes to the log what it knows to be on disk (`on NUMBER`, all up to that), and what it is about
to ack (`ack FROM TO`). What the log says survives the kill of the process, as the spool must.
"""

import asyncio
import os
import random
import sys

from spools import Owner, ack_all, spool_of, until

from hepsw.sinks.spool.files import REAL


async def main(folder, log, first, sync):
    """Spool until killed."""
    told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    owner = Owner()
    spool = spool_of(folder, owner, files=REAL, sync=sync, segment=256 << 10)
    spool.start()
    await until(lambda: spool.is_open)
    os.write(told, b"open\n")

    async def consume():
        while True:
            records = await spool.read(random.randint(1, 200), 1 << 20)
            ours = [(seq, int(frame[:12])) for seq, frame in records]
            if ours:
                os.write(told, b"ack %d %d\n" % (ours[0][1], ours[-1][1]))
            ack_all(spool, owner, [seq for seq, _ in ours])
            await asyncio.sleep(random.choice([0, 0.002, 0.01]))

    consuming = asyncio.create_task(consume())
    number, on_disk = first, first - 1
    while not consuming.done():
        frames = [
            b"%012d" % n + b"x" * random.randint(0, 1400)
            for n in range(number, number + random.randint(1, 100))
        ]
        taken = spool.add(frames, 0)
        owner.added += taken
        number += taken
        reached = number - 1 - spool.staged
        if reached > on_disk:
            on_disk = reached
            os.write(told, b"on %d\n" % on_disk)
        await asyncio.sleep(0)
    await consuming


if __name__ == "__main__":
    _, FOLDER, LOG, FIRST, SYNC = sys.argv
    asyncio.run(main(FOLDER, LOG, int(FIRST), SYNC if SYNC == "always" else float(SYNC)))
