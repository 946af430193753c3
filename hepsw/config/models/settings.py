"""Settings of the program itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from hepsw.config.models.block import SIZE, Block, Duration, as_written
from hepsw.config.units import size


def _memory(written: object) -> int:
    allowed = size(written)
    if not 1 << 20 <= allowed <= 1 << 40:
        raise ValueError(f"queues hold 1MiB to 1TiB together: {written!r}")
    return allowed


class Switch(Block):
    """`[switch]`: what the switch keeps."""

    state_dir: Annotated[str, Field(min_length=1)] = "state"
    """Where state is kept that outlives the process; a relative one starts at the folder of the
    TOML file [`state`]."""
    dialog_ttl: Annotated[Duration, Field(gt=0)] = 7200.0
    """How long `scope` remembers a call after its last packet [`2h`]."""
    memory: Annotated[int, BeforeValidator(_memory), as_written(SIZE)] = 256 << 20
    """What the queues of all destinations may hold together. At seven tenths of it TCP and TLS
    listeners stop reading, as long as packets leave; beyond it queues are full [`256MiB`]."""
    loop_guard: bool = True
    """Whether the same frame, octet for octet, is dropped from the ninth time in ten seconds on,
    counted `loop` [true]."""


class Reload(Block):
    """`[reload]`: when a changed configuration is taken into service."""

    watch: bool = True
    """Reload when a file changes; SIGHUP always does [true]."""
    tests: Literal["required", "warn"] = "required"
    """Whether a test that fails refuses the configuration, at start and at each reload
    [`required`]."""


class Control(Block):
    """`[control]`: the socket that commands talk to."""

    socket: str = "hepsw.sock"
    """The socket, in `state_dir` [`hepsw.sock`]."""


class Http(Block):
    """`[http]`: metrics and health, read only."""

    listen: str = "127.0.0.1:9070"
    """Where it listens [`127.0.0.1:9070`]."""


class Log(Block):
    """`[log]`: what hepsw says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is said [`info`]."""
    format: Literal["auto", "text", "json"] = "auto"
    """`auto` is text on a terminal and JSON elsewhere [`auto`]."""
