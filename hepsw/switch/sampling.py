"""`sample`: a share of calls, by hash, so that ladders stay whole.

The hash is salted with the rule's name: a tenth of what a first tenth left is a tenth again. It is
the same in every process and after every start, so two switches with one configuration keep the
same calls.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hepsw.fields import octets_of

if TYPE_CHECKING:
    from hepsw.config.configuration import Sample
    from hepsw.view import View


def is_kept(sample: Sample, rule: str, view: View) -> bool:
    """Tell whether a packet is in the share; without the field, each is drawn by itself."""
    reading = sample.by.read(view)
    value = reading[0] if isinstance(reading, tuple) else reading
    octets = view.packet.data if value is None else octets_of(value)
    drawn = hashlib.blake2b(rule.encode() + b"\0" + octets, digest_size=8).digest()
    return int.from_bytes(drawn) < sample.keep * 2**64
