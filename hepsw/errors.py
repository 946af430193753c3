"""Every exception that hepsw raises on purpose, in three families by whose turn it is.

`PacketError` is the sender's: count it, drop the packet, carry on. `ConfigError` is the operator's:
report every problem, keep the tables in service. `DeliveryError` is the far side's: the sink backs
off and tries again. A bug in hepsw stays a built-in exception and ends its task loudly.
"""

from __future__ import annotations


class HepswError(Exception):
    """Root of all that hepsw raises on purpose."""


class PacketError(HepswError):
    """The sender's turn: what arrived cannot be used."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        """A slug out of a closed set, fit for a counter's label."""


class DecodeError(PacketError):
    """Octets that are not HEP, or not whole."""

    def __init__(self, reason: str, offset: int, detail: str = "") -> None:
        super().__init__(reason, detail or f"at octet {offset}")
        self.offset = offset
        """Where in the octets given to the decoder the trouble starts."""


class EditError(PacketError):
    """An edit that the packet cannot carry; the packet stays as it was."""


class CannotLeaveError(PacketError):
    """A packet that a destination's way out does not let pass: count it, carry on.

    Trying again would not help, so this is no `DeliveryError`.
    """


class ConfigError(HepswError):
    """The operator's turn: a configuration that must not run."""


class DeliveryError(HepswError):
    """The far side's turn: a destination or a store did not take what it was given."""


class StoreError(DeliveryError):
    """A store could not be reached, or did not take a batch; it may later."""

    def __init__(self, detail: str, what: str = "refused") -> None:
        super().__init__(detail)
        self.what = what
        """A slug, fit for a counter's label: `connect`, `timeout`, `locked`, `full` …"""
