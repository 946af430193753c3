"""`limit`: token buckets, one for a rule or one for each value of a field."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from hepsw.fields import octets_of

if TYPE_CHECKING:
    from hepsw.config.configuration import Limit
    from hepsw.view import View

MOST: Final = 1 << 16
"""Buckets of one rule. The one that was not asked for longest goes first: most likely it is full,
and a bucket that is not there is full as well."""
LONG: Final = 64
"""Octets of a value that are kept as they are; of a longer one, a digest is."""


class Bucket:
    """What one value may still do."""

    __slots__ = ("tokens", "when")

    def __init__(self, tokens: float, when: float) -> None:
        self.tokens = tokens
        self.when = when


class Buckets:
    """The limit of one rule."""

    def __init__(self, settings: Limit, most: int = MOST) -> None:
        self.settings = settings
        self.forgotten = 0
        """Buckets that had to make room."""
        self._most = most
        self._buckets: OrderedDict[bytes, Bucket] = OrderedDict()

    def passes(self, view: View, now: float) -> bool:
        """Take a token, if there is one."""
        settings = self.settings
        key = self._key(view)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(settings.burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
                self.forgotten += 1
        elif now != bucket.when:
            # A clock that was set back brings no tokens, and from then on counts as before.
            gained = max(0.0, now - bucket.when) * settings.per_s
            bucket.tokens = min(settings.burst, bucket.tokens + gained)
            bucket.when = now
        if settings.per is not None:
            self._buckets.move_to_end(key)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    def _key(self, view: View) -> bytes:
        per = self.settings.per
        if per is None:
            return b""
        reading = per.read(view)
        value = reading[0] if isinstance(reading, tuple) else reading
        if value is None:
            return b""  # all packets without the field share one bucket
        octets = octets_of(value)
        if len(octets) > LONG:
            octets = hashlib.blake2b(octets, digest_size=LONG).digest()
        return b"=" + octets
