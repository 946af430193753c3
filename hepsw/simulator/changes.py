"""One packet as it is given, and the same packet with one field changed.

`explain` tries what a change would do, so it has to be the only one: a packet in which anything
else came out differently is none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hepsw.config.cases import CONTEXT, DERIVED
from hepsw.errors import EditError, PacketError
from hepsw.fields import CATALOGUE
from hepsw.hep import decode, edit
from hepsw.simulator.packets import GivenError, frame_of, view_of

if TYPE_CHECKING:
    from hepsw.config.configuration import Configuration, Given
    from hepsw.fields import Field, Reading
    from hepsw.hep import Packet
    from hepsw.simulator.packets import GivenView

_LAID_OVER: Final = ("sip.", "rtcp.", "vq.", "json.")


class Original:
    """The packet that an explanation is about."""

    def __init__(self, given: Given, configuration: Configuration) -> None:
        """Make the packet.

        Raises:
            GivenError: what is given makes none.
        """
        self._configuration = configuration
        if given.capture is not None:
            given = replace(given, frame=frame_of(*given.capture), capture=None)
        self.view: GivenView = view_of(given, configuration)
        if given.frame is None:
            given = self._with_type(given)
        self._given = given

    def _with_type(self, given: Given) -> Given:
        """Write down the type that follows from what is given: it must not change with that."""
        field = CATALOGUE["proto_type"]
        known = any(its_field.name == field.name for its_field, _ in given.readings)
        reading = field.read(self.view)
        if known or reading is None or self.view.packet.version < 3:
            return given
        return replace(given, readings=(*given.readings, (field, reading)))

    def changed(self, field: Field, reading: Reading) -> GivenView | None:
        """Return the packet with one field changed; None where that cannot be.

        Args:
            field: as a rule asks for it; what follows from others cannot be changed.
            reading: None removes it.
        """
        if field.name in DERIVED or field.name.startswith("map."):
            return None
        try:
            view = view_of(self._given_with(field, reading), self._configuration)
        except (GivenError, EditError, PacketError):
            return None
        # What is read as SIP after a `resume` only is there then.
        if reading not in {field.read(view), field.read(view.as_sip())}:
            return None
        packet, before = view.packet, self.view.packet
        same_type = packet.proto_type == before.proto_type or field.name == "proto_type"
        same_version = packet.version == before.version or field.name == "hep_version"
        return view if same_type and same_version else None

    def _given_with(self, field: Field, reading: Reading) -> Given:
        given = self._given
        others = tuple(pair for pair in given.readings if pair[0].name != field.name)
        laid_over = field.name.startswith((*CONTEXT, *_LAID_OVER))
        if given.frame is not None and laid_over and reading is None:
            raise GivenError(f"`{field.name}` cannot be taken out of a payload")
        if given.frame is None or laid_over:
            return replace(
                given, readings=others if reading is None else (*others, (field, reading))
            )
        if field.edit is None:
            raise GivenError(f"`{field.name}` cannot be changed in a frame")
        value = reading[0] if isinstance(reading, tuple) else reading
        assert not isinstance(value, float)  # noqa: S101 - no chunk holds fractions
        if isinstance(field.edit, tuple) and isinstance(value, int):
            value = value.to_bytes(field.bits // 8)
        packet: Packet = edit(decode(given.frame), {field.edit: value}, self.view.received_us)
        return replace(given, frame=packet.data)
