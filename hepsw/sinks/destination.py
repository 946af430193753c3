"""A destination: the way out, the choice of a url, and what waits in memory and on disk.

```
views ── way out ──▶ frames ──┬── a link stands and has room ──▶ link (one per url) ──▶ far side
                              ├── no room: the spool, where there is one, or `overflow`
                              └── no link stands for `GRACE` seconds: the spool
                                     spool ── replay, behind live traffic ──▶ link
```

Everything here runs on the loop; files are written by the spool's own thread. A frame is in one
place at any time, so what is held can be counted whenever somebody asks: in the queue or in flight
at a link, or in the spool. Frames that were read from the spool stay there until they are
delivered, and are counted where they are read to.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.accounting import Reason
from hepsw.errors import CannotLeaveError, DecodeError
from hepsw.fields import octets_of as octets_of_value
from hepsw.hep import decode
from hepsw.sinks.pool import Pool
from hepsw.sinks.queue import FrameQueue, are_hep3, frames_of, octets_of
from hepsw.sinks.sink import Held
from hepsw.sinks.stream import StreamLink
from hepsw.sinks.trouble import Trouble
from hepsw.sinks.udp import UdpLink
from hepsw.sinks.way_out import WayOut
from hepsw.view import Peer, View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepsw.accounting import SinkAccount
    from hepsw.config.configuration import DestinationSettings
    from hepsw.config.units import Url
    from hepsw.sinks.backlog import Backlog
    from hepsw.sinks.budget import Budget
    from hepsw.sinks.link import Link
    from hepsw.sinks.resolve import IsOwn

GRACE: Final = 1.0
"""Seconds without a link after which what waits goes to the spool: a connection that is made again
at once does not cost a write."""
PROBE: Final = 1.0
"""Seconds between two copies of a packet that are sent to a UDP port that refuses, where packets
do not go there otherwise: nothing else would tell that somebody listens again."""
MOVE: Final = 0.02
"""Seconds until more is taken to a spool that does not take all at once."""
STREAMS: Final = frozenset({"tcp", "tls"})
NOBODY: Final = Peer(
    ip=bytes(4), port=0, transport="", local_ip=bytes(4), local_port=0, listener=""
)
"""Stands for the sender of a frame that is read once more: nothing asks who it was."""

log = logging.getLogger("hepsw.sinks")


class Around(NamedTuple):
    """What a destination has to do with."""

    budget: Budget
    """What all queues may hold together."""
    is_own: IsOwn
    """Whether an address is that of one of our listeners."""
    hand_over: Callable[[str, View], None]
    """Takes the name of another destination, and what is too big for this one."""
    recovered: Callable[[int], None]
    """Told how many packets the spool held when it was opened."""


class Destination:
    """One name under `[destinations]`."""

    def __init__(
        self, name: str, settings: DestinationSettings, account: SinkAccount, around: Around
    ) -> None:
        """Make it; nothing is opened yet.

        Args:
            name: of the destination.
            settings: all of them.
            account: where everything is counted.
            around: what it has to do with.
        """
        self.name = name
        self.account = account
        self.folder = Path(settings.spool.path) if settings.spool is not None else None
        self._way_out = WayOut(settings)
        # What is too big for a datagram is told before it is tried only where somebody wants it.
        self._is_plain = self._way_out.is_plain and settings.oversize == "drop"
        self._oversize = settings.oversize
        self._hand_over = around.hand_over
        self._budget = around.budget
        self._keep_old = settings.overflow == "drop-new"
        self._links = [self._link(url, settings, around.is_own) for url in settings.urls]
        self._only = self._links[0] if len(self._links) == 1 else None
        self._places: dict[Link, int] = {link: at for at, link in enumerate(self._links)}
        self._pool = Pool(settings.policy, [str(url) for url in settings.urls])
        self._key = settings.key if settings.policy == "hash" and self._only is None else None
        self._is_stream = not STREAMS.isdisjoint(url.scheme for url in settings.urls)
        self._troubles = [Trouble(account, name, url) for url in settings.urls]
        self._backlog: Backlog | None = None
        if settings.spool is not None:
            from hepsw.sinks.backlog import Backlog  # noqa: PLC0415 - most have no spool

            self._backlog = Backlog(
                settings.spool, self, keep_old=self._keep_old, recovered=around.recovered
            )
        self._makes_room = not self._keep_old and self._backlog is None
        self._spooling = False
        """Whether what comes goes to the spool, because no link stands."""
        self._draining = False
        self._closed = False
        self._emptied = asyncio.Event()
        self._grace: asyncio.TimerHandle | None = None
        self._moving: asyncio.TimerHandle | None = None
        self._rearranging: asyncio.Handle | None = None
        self._probing: asyncio.TimerHandle | None = None
        self._refusing: set[Link] = set()
        self._latest: bytes | None = None
        """The last frame that came, to probe with."""
        account.state = "connecting"

    def _link(self, url: Url, settings: DestinationSettings, is_own: IsOwn) -> Link:
        queue = FrameQueue(settings.queue, self._budget, self._push_out)
        if url.scheme in STREAMS:
            return StreamLink(url, settings, queue, self, is_own)
        return UdpLink(url, settings, queue, self, is_own)

    def start(self) -> None:
        """Begin to connect and to send; the far sides may be away."""
        for link in self._links:
            link.start()
        self._wait_for_grace()

    def open_spool(self) -> None:
        """Begin to use the disk, which may be away too."""
        if self._backlog is not None and not self._closed:
            self._backlog.start()

    # --- live traffic ---

    def enqueue(self, views: Sequence[View]) -> None:
        """Take a batch and send what the kernel takes at once."""
        if not self._is_plain:
            frames, views = self._leave(views)
        else:
            if self._is_stream and not are_hep3(views):
                views = self._framed(views)
            frames = frames_of(views)
        if not frames:
            return
        self.account.enqueued += len(frames)
        self._latest = frames[-1]
        if self._only is not None and not self._spooling:
            self._give(self._only, frames)
        else:
            self._spread(frames, views)

    def _framed(self, views: Sequence[View]) -> list[View]:
        """Leave out what a stream cannot carry."""
        kept = [view for view in views if view.packet.version == 3]
        self.account.enqueued += len(views) - len(kept)
        self.account.dropped[Reason.VERSION_ON_STREAM] += len(views) - len(kept)
        return kept

    def _leave(self, views: Sequence[View]) -> tuple[list[bytes], list[View]]:
        """Return the frames that leave, and the views that they were made of."""
        frames: list[bytes] = []
        kept: list[View] = []
        for view in views:
            try:
                frames.append(self._way_out.leave(view))
            except CannotLeaveError as error:
                self.account.enqueued += 1
                if error.reason == Reason.TOO_BIG and self._oversize != "drop":
                    self.account.handed_over += 1
                    self._hand_over(self._oversize, view)
                else:
                    self.account.dropped[error.reason] += 1
            except Exception:
                log.exception("%s: a bug in hepsw, on the way out", self.name)
                self.account.enqueued += 1
                self.account.dropped[Reason.INTERNAL] += 1
            else:
                kept.append(view)
        return frames, kept

    def _spread(self, frames: list[bytes], views: Sequence[View] | None) -> None:
        """Give frames to the spool while no link stands, or to the links that the policy chooses.

        Args:
            frames: what leaves.
            views: what they were made of; None: they are read again where that is needed.
        """
        if self._rearranging is not None:
            # What waits for a link that has just gone came before these.
            self._rearranging.cancel()
            self._rearrange()
        if self._spooling and self._backlog is not None and not self.is_behind():
            taken = self._backlog.add(frames)
            if taken == len(frames):
                return
            # The disk is full, or slower than the packets: as long as there is room they wait.
            frames = frames[taken:]
            views = views[taken:] if views is not None else None
        if self._only is not None:
            self._give(self._only, frames)
            return
        now = asyncio.get_running_loop().time()
        parts: dict[int, list[bytes]] = defaultdict(list)
        for at, frame in enumerate(frames):
            key = None
            if self._key is not None:
                view = views[at] if views is not None else _read_again(frame)
                key = self._key_of(view) if view is not None else frame
            parts[self._pool.choose(key, now)].append(frame)
        for place, part in parts.items():
            self._give(self._links[place], part)

    def _key_of(self, view: View) -> bytes | None:
        assert self._key is not None  # noqa: S101 - asked by the caller
        reading = self._key.read(view)
        value = reading[0] if isinstance(reading, tuple) else reading
        return None if value is None else octets_of_value(value)

    def _give(self, link: Link, frames: list[bytes]) -> None:
        taken = link.take(frames, make_room=self._makes_room)
        if taken < len(frames):
            self._find_room(link, frames[taken:])

    def _find_room(self, link: Link, frames: list[bytes]) -> None:
        """Take what a link has no room for to the spool; what fits nowhere is counted.

        Args:
            link: its queue is full, or is smaller than the first frame.
            frames: the first of them was not taken.
        """
        if self._backlog is not None:
            frames = self._backlog.without_replayed(frames)
            if not self._pool.stands and not self._spooling:
                self._take_to_spool()  # the queue is full: what is in it goes first
            frames = frames[self._backlog.add(frames) :]
            makes_room = not self._keep_old
        else:
            self._turn_away(frames[0])
            frames = frames[1:]
            makes_room = self._makes_room
        while frames:
            taken = link.take(frames, make_room=makes_room)
            if taken < len(frames):
                self._turn_away(frames[taken])
            frames = frames[taken + 1 :]

    def _turn_away(self, frame: bytes) -> None:
        is_over = self._budget.used + len(frame) > self._budget.limit
        self.account.enqueued -= 1
        self.account.shed[Reason.MEMORY if is_over else Reason.OVERFLOW] += 1

    def _push_out(self, frame: bytes, is_over: bool) -> None:  # noqa: FBT001 - compiled code calls it
        """Count a frame that made room for a newer one.

        Args:
            frame: the oldest of a queue.
            is_over: whether it was the budget that left no room, not the queue.
        """
        if self._backlog is None or not self._backlog.has(frame):
            self.account.dropped[Reason.MEMORY if is_over else Reason.OVERFLOW] += 1

    # --- what links tell ---

    def delivered(self, frames: list[bytes], start: int, stop: int) -> None:
        """Count what is delivered, and let the spool forget it."""
        self.account.delivered += stop - start
        self.account.octets += octets_of(frames, start, stop)
        if self._backlog is not None:
            self._backlog.delivered(frames, start, stop)

    def undeliverable(self, frame: bytes) -> None:
        """Count a frame that the transport refused for its size."""
        self.account.dropped[Reason.TOO_BIG] += 1
        if self._backlog is not None:
            self._backlog.delivered([frame], 0, 1)

    def came_up(self, link: Link) -> None:
        """Take a link into the choice."""
        place = self._places[link]
        self._pool.came_up(place, asyncio.get_running_loop().time())
        self._troubles[place].is_over()
        self._refusing.discard(link)
        self._tell_state()
        self._rearrange_soon()

    def went_down(self, link: Link, error: Exception) -> None:
        """Take a link out of the choice."""
        place = self._places[link]
        self._pool.went_down(place)
        self._troubles[place].tell(error)
        if isinstance(link, UdpLink) and link.is_refused:
            self._refusing.add(link)
            if self._probing is None and (self._only is None or self._backlog is not None):
                self._probing = asyncio.get_running_loop().call_later(PROBE, self._probe)
        else:
            self._refusing.discard(link)
        self._tell_state()
        self._rearrange_soon()

    def emptied(self, link: Link) -> None:  # noqa: ARG002 - who waits looks at all of them
        """Wake up who waits for the end."""
        self._emptied.set()

    @property
    def state(self) -> str:
        """What the links do, and what is wrong with the spool."""
        state = self._state_of_links()
        if self._backlog is not None and self._backlog.trouble:
            return f"{state}; spool: {self._backlog.trouble}"
        return state

    def _tell_state(self) -> None:
        self.account.state = self.state

    def _state_of_links(self) -> str:
        states = [trouble.state for trouble in self._troubles]
        if len(states) == 1 or len(set(states)) == 1:
            return states[0]
        up = sum(state == "up" for state in states)
        away = (
            f"{link.url} {state}"
            for link, state in zip(self._links, states, strict=True)
            if state != "up"
        )
        return f"{up} of {len(states)} up; {', '.join(away)}"

    def _probe(self) -> None:
        """Send a copy of the last packet to the links that refuse."""
        self._probing = None
        for link in self._refusing:
            if self._latest is not None and isinstance(link, UdpLink) and link.probe(self._latest):
                self.account.resent += 1
        if self._refusing and not self._closed:
            self._probing = asyncio.get_running_loop().call_later(PROBE, self._probe)

    # --- links come and go ---

    def _rearrange_soon(self) -> None:
        """Move waiting frames in the loop's next turn: the link that told is still at its work."""
        if self._rearranging is None and not self._closed:
            self._rearranging = asyncio.get_running_loop().call_soon(self._rearrange)

    def _rearrange(self) -> None:
        """See that nothing waits for a link that is down while another stands."""
        self._rearranging = None
        if self._closed:
            return
        if not self._pool.stands:
            self._wait_for_grace()
            return
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._spooling = False
        if self._backlog is not None:
            self._backlog.wake()
        for link in self._links:
            if not link.is_up and link.is_writing:
                self.account.resent += link.begun
                if frames := link.take_back():
                    self._spread(frames, None)
                self._emptied.set()

    def _wait_for_grace(self) -> None:
        if self._backlog is not None and self._grace is None and not self._spooling:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(GRACE, self._take_to_spool)

    def _take_to_spool(self) -> None:
        """Begin to spool what comes, and what waits."""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        if self._pool.stands or self._closed:
            return
        self._spooling = True
        for link in self._links:
            self._spool_from(link)

    def _spool_from(self, link: Link) -> None:
        """Take what waits for a link to the spool, as far as that has room."""
        assert self._backlog is not None  # noqa: S101 - asked by the callers
        self.account.resent += link.begun
        frames = self._backlog.without_replayed(link.take_back())
        link.queue.put_back(frames[self._backlog.add(frames) :])
        if len(link.queue) and self._backlog.is_open and self._moving is None:
            loop = asyncio.get_running_loop()
            self._moving = loop.call_later(MOVE, self._move_more)

    def _move_more(self) -> None:
        """Go on with what the spool did not take at once."""
        self._moving = None
        self.spool_is_ready()

    # --- what the backlog asks ---

    def may_replay(self) -> bool:
        """Tell whether a link stands, and the end has not begun."""
        return self._pool.stands and not self._draining

    def is_behind(self) -> bool:
        """Tell whether live packets wait."""
        return any(len(link.queue) for link in self._links)

    def replay(self, frames: list[bytes]) -> None:
        """Send frames that were on disk."""
        self._latest = frames[-1]
        self._spread(frames, None)

    def spool_has_failed(self) -> None:
        """Show what keeps the spool from taking packets."""
        self._tell_state()

    def spool_is_ready(self) -> None:
        """Go on with what could not be written to disk."""
        self._tell_state()
        if self._spooling and not self._closed:
            for link in self._links:
                self._spool_from(link)

    # --- the end ---

    @property
    def held(self) -> Held:
        """What waits, what is in flight, and what is on disk and nowhere else."""
        in_memory = sum(len(link.queue) for link in self._links)
        in_spool = 0
        if self._backlog is not None:
            in_memory += self._backlog.staged
            in_spool = self._backlog.on_disk
        return Held(in_memory, in_spool, sum(link.in_flight for link in self._links))

    @property
    def waiting(self) -> int:
        """Octets in the queues."""
        return sum(link.queue.octets for link in self._links)

    @property
    def is_moving(self) -> bool:
        """Whether what waits here can be expected to leave."""
        return self._pool.stands

    @property
    def _can_spool(self) -> bool:
        return self._backlog is not None and self._backlog.is_open

    async def drain(self, seconds: float, *, hurry: bool = False) -> None:
        """Wait until what is in memory is delivered; what cannot be goes to the spool instead.

        In a hurry, all that waits goes there, as soon as it is open.
        """
        self._draining = True
        patience = MOVE if hurry else GRACE
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(link.is_writing for link in self._links):
                    if self._can_spool and (hurry or not self._pool.stands):
                        return
                    self._emptied.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(patience):
                            await self._emptied.wait()

    async def close(self, reason: Reason) -> None:
        """Stop; what is still held goes to the spool, and is dropped where there is none."""
        if self._closed:
            return
        self._closed = True
        for handle in (self._grace, self._moving, self._rearranging, self._probing):
            if handle is not None:
                handle.cancel()
        await asyncio.gather(*(link.close() for link in self._links), return_exceptions=True)
        for link in self._links:
            frames = link.take_back()
            if self._backlog is not None:
                frames = self._backlog.without_replayed(frames)
                link.queue.put_back(frames)  # to be counted while the spool is waited for
                taken = await self._backlog.add_last(frames)
                frames = link.take_back()[taken:]
            if frames:
                self.account.dropped[reason] += len(frames)
        if self._backlog is not None:
            await self._backlog.close()
            if left := self._backlog.on_disk:
                log.info("%s: %d packets stay in the spool", self.name, left)


def _read_again(frame: bytes) -> View | None:
    """Return a view of a frame whose own is gone; None where it is no HEP."""
    try:
        return View(decode(frame), NOBODY, 0)
    except DecodeError:
        return None
