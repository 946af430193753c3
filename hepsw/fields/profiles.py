"""The profiles of packets by name: what `keep` has durations for, and HOMER has tables for.

The configuration judges names by them; which one a packet has, `hepsw.sinks.stores.profile` tells.

Source: HOMER's `hep_proto_{type}_{profile}`.
"""

from __future__ import annotations

from typing import Final

PROFILES: Final = {
    "call": "SIP of calls: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, REFER, INFO, NOTIFY",
    "registration": "SIP of REGISTER",
    "default": "all other SIP",
    "rtcp": "RTCP as JSON",
    "dns": "DNS",
    "isup": "ISUP",
    "log": "logs",
    "report": "everything else",
}
"""Every profile, with what it holds."""
