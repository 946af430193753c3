"""An event loop whose connections show what arrives to `Messages` before asyncpg sees it.

asyncpg trusts who answers. Octets that are no messages do worse than confuse it: 50 of NUL have it
loop for ever in compiled code, and no thread of the process runs any more (seen in 0.32: in its
ReadBuffer a message of type 0, or of length 0, stands for "none yet"). No deadline helps there.

asyncpg takes its connections from the loop: plain ones and those to a socket of a file, and TLS,
which begins on a plain one (`create_connection`, `start_tls`, then `set_protocol` on what that
returned). So a loop of our own is the one place through which all octets go, behind TLS as they
are meant, and nothing of asyncpg is replaced. The price is a transport that passes all on but
`set_protocol`. `is_guarded` tells whether a connection came this way: `connection.connect` refuses
one of a later asyncpg that does not.

The answer to the question for TLS, `S` or `N` alone, passes as a head that is cut.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres.messages import Messages, damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class GuardedLoop(asyncio.SelectorEventLoop):
    """The loop of one connection at a time."""

    fault: StoreError | None = None
    """What was wrong with the octets of the connection begun last; None if nothing was."""

    # The signatures of these are many overloads: what they take is passed on as it is.

    async def create_connection(  # type: ignore[override] # as above
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        *args: Any,  # noqa: ANN401 - as above
        **options: Any,  # noqa: ANN401 - as above
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """See asyncio."""
        return _opened(
            await super().create_connection(self._guarded(protocol_factory), *args, **options)
        )

    async def create_unix_connection(  # type: ignore[override] # as above
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        *args: Any,  # noqa: ANN401 - as above
        **options: Any,  # noqa: ANN401 - as above
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """See asyncio."""
        return _opened(
            await super().create_unix_connection(self._guarded(protocol_factory), *args, **options)
        )

    async def start_tls(  # type: ignore[override] # as above
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        *args: Any,  # noqa: ANN401 - as above
        **options: Any,  # noqa: ANN401 - as above
    ) -> asyncio.Transport | None:
        """See asyncio; `protocol` only hears of the end, until another is set."""
        real = transport.real if isinstance(transport, GuardedTransport) else transport
        made = await super().start_tls(real, protocol, *args, **options)
        return None if made is None else GuardedTransport(made, self)

    def _guarded(self, factory: Callable[[], asyncio.Protocol]) -> Callable[[], Guard]:
        self.fault = None
        return lambda: Guard(factory(), self)


class Guard(asyncio.Protocol):
    """Stands before a protocol.

    Args:
        inner: who is told what can be messages.
        loop: who is told of the first that cannot.
        transport: where it comes from, if that is there already.
    """

    def __init__(
        self, inner: asyncio.Protocol, loop: GuardedLoop, transport: GuardedTransport | None = None
    ) -> None:
        self.inner = inner
        self.transport = transport
        self._loop = loop
        self._messages = Messages()
        self._fault: StoreError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport = GuardedTransport(transport, self._loop)
        self.inner.connection_made(self.transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what can be messages; end the connection at what cannot."""
        if self._fault is not None:
            return
        try:
            self._messages.look(data)
            self.inner.data_received(data)
        except StoreError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - asyncpg raises all kinds at what it cannot read
            self._end(damaged(type(error).__name__))

    def eof_received(self) -> bool | None:
        """See asyncio."""
        return self.inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio; the protocol hears what the reason was."""
        lost = exc if self._fault is None else ConnectionAbortedError(str(self._fault))
        self.inner.connection_lost(lost)

    def pause_writing(self) -> None:
        """See asyncio."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio."""
        self.inner.resume_writing()

    def _end(self, fault: StoreError) -> None:
        self._fault = self._loop.fault = fault
        if self.transport is not None:
            self.transport.abort()


class GuardedTransport(asyncio.Transport):
    """Passes all on, and has every protocol that is set guarded.

    Args:
        real: of asyncio.
        loop: for the guard.
    """

    def __init__(self, real: Any, loop: GuardedLoop) -> None:  # noqa: ANN401 - asyncio's are of no one type
        super().__init__()
        self.real = real
        self._loop = loop
        # Often called: without a step between.
        self.write = real.write  # type: ignore[method-assign] # the same method of another
        self.get_extra_info = real.get_extra_info  # type: ignore[method-assign] # as above

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See asyncio."""
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError(f"{type(protocol).__name__} is no asyncio.Protocol")
        self.real.set_protocol(Guard(protocol, self._loop, self))

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See asyncio."""
        found: asyncio.BaseProtocol = self.real.get_protocol()
        return found.inner if isinstance(found, Guard) else found

    @property
    def is_guarded(self) -> bool:
        """Whether what arrives now is looked at."""
        return isinstance(self.real.get_protocol(), Guard)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """See asyncio."""
        self.real.writelines(list_of_data)

    def write_eof(self) -> None:
        """See asyncio."""
        self.real.write_eof()

    def can_write_eof(self) -> bool:
        """See asyncio."""
        return bool(self.real.can_write_eof())

    def get_write_buffer_size(self) -> int:
        """See asyncio."""
        return int(self.real.get_write_buffer_size())

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See asyncio."""
        low, high = self.real.get_write_buffer_limits()
        return low, high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio."""
        self.real.set_write_buffer_limits(high, low)

    def is_reading(self) -> bool:
        """See asyncio."""
        return bool(self.real.is_reading())

    def pause_reading(self) -> None:
        """See asyncio."""
        self.real.pause_reading()

    def resume_reading(self) -> None:
        """See asyncio."""
        self.real.resume_reading()

    def is_closing(self) -> bool:
        """See asyncio."""
        return bool(self.real.is_closing())

    def close(self) -> None:
        """See asyncio."""
        self.real.close()

    def abort(self) -> None:
        """See asyncio."""
        self.real.abort()


def is_guarded(connection: Any) -> bool:  # noqa: ANN401 - asyncpg has no types
    """Return whether a connection of asyncpg came through a `GuardedLoop`."""
    transport = getattr(connection, "_transport", None)
    return isinstance(transport, GuardedTransport) and transport.is_guarded


def _opened(made: tuple[Any, Any]) -> tuple[asyncio.Transport, asyncio.Protocol]:
    """Return what asyncpg expects: its own protocol, and the transport which that knows."""
    guard: Guard = made[1]
    if guard.transport is None:
        raise AssertionError("asyncio calls connection_made before it returns")
    return guard.transport, guard.inner
