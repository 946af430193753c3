"""Settings of the program itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hepsw.config.models.block import Block, Duration


class Switch(Block):
    """`[switch]`: what the switch keeps."""

    state_dir: str = "state"
    """Where state is kept that outlives the process [`state`]."""
    dialog_ttl: Annotated[Duration, Field(gt=0)] = 7200.0
    """How long `scope` remembers a call after its last packet [`2h`]."""
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
