"""`count` and `observe`: from a packet to the counters of the account.

Labels are made from packets, and packets are hostile: their number and length are bounded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hepsw.accounting import Observed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepsw.accounting import Labels, SwitchAccount
    from hepsw.config.configuration import Count, Observe
    from hepsw.config.template import Template
    from hepsw.view import View

SERIES: Final = 1000
"""Sets of labels that one counter has; what comes after them is counted as `OTHER`."""
OTHER: Final = "_other"
LABEL: Final = 64
"""Octets of a label."""

_NUMBER: Final = re.compile(rb"-?[0-9]{1,20}(\.[0-9]{1,20})?(e[+-][0-9]{2})?")
"""With an exponent, as templates print a large fraction; bounded, so that sums stay finite."""


def count(counts: Sequence[Count], view: View, account: SwitchAccount) -> None:
    """Count a packet that matched."""
    for counted in counts:
        series = account.counters.setdefault(counted.name, {})
        labels = _labels(counted.labels, view, series)
        series[labels] = series.get(labels, 0) + 1


def observe(observes: Sequence[Observe], view: View, account: SwitchAccount) -> int:
    """Keep track of the numbers of a packet that matched; return how many were no numbers."""
    no_numbers = 0
    for observed in observes:
        text = observed.value.render(view)
        if _NUMBER.fullmatch(text) is None:
            no_numbers += 1
            continue
        series = account.observed.setdefault(observed.name, {})
        labels = _labels(observed.labels, view, series)
        if labels not in series:
            series[labels] = Observed()
        series[labels].add(float(text))
    return no_numbers


def _labels(
    templates: Sequence[tuple[str, Template]], view: View, series: Mapping[Labels, object]
) -> Labels:
    labels = tuple(sorted((name, _text(template.render(view))) for name, template in templates))
    if labels not in series and len(series) >= SERIES:
        return tuple((name, OTHER) for name, _ in labels)
    return labels


def _text(octets: bytes) -> str:
    """Return a label that a terminal can show, whatever a packet put into it."""
    text = octets[:LABEL].decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode()
