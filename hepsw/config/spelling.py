"""What an operator may have meant: typos, and the words of other programs."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOREIGN: Final[Mapping[str, str]] = {
    # OpenSIPS and Kamailio script
    "hep_resume_sip": "resume",
    "resume_sip": "resume",
    "hep_relay": "relay",
    "sip_capture_forward": "relay",
    "forward": "relay",
    "send": "relay",
    "route": "goto",
    "jump": "goto",
    "sip_capture": "store",
    "report_capture": "store",
    "hep_set": "set",
    "hep_del": "unset",
    "delete": "unset",
    "remove": "unset",
    "hep_get": "match",
    "if": "match",
    "when": "match",
    "filter": "match",
    "xlog": "log",
    "sip_trace": "trace",
    "discard": "drop",
    "reject": "drop",
    "hep_net": "peer_ip",
    "hepversion": "hep_version",
    # names of chunks, columns and agent settings
    "type": "proto_type",
    "payload_type": "proto_type",
    "protocol": "ip_protocol",
    "proto": "ip_protocol",
    "proto_id": "ip_protocol",
    "family": "ip_family",
    "proto_family": "ip_family",
    "source_ip": "src_ip",
    "source_port": "src_port",
    "destination_ip": "dst_ip",
    "destination_port": "dst_port",
    "timestamp": "time",
    "capt_id": "capture_id",
    "captagent_id": "capture_id",
    "captagentid": "capture_id",
    "capture_node": "node_name",
    "capture_agent": "node_name",
    "corr_id": "correlation_id",
    "correlation": "correlation_id",
    "capture_password": "auth_key",
    "password": "auth_key",
    "callid": "sip.call_id",
    "call_id": "sip.call_id",
    "from_user": "sip.from_user",
    "to_user": "sip.to_user",
    "user_agent": "sip.user_agent",
    "method": "sip.method",
    "ruri_user": "sip.ruri_user",
    # configuration files
    "host": "url",
    "address": "url",
    "db_url": "url",
    "dbaddr": "stores",
    "database": "stores",
    "hepaddr": "listen",
    "listener": "listen",
    "listeners": "listen",
    "outputs": "destinations",
    "trace_id": "traces",
    "trace_destination": "traces",
    "promaddr": "http",
}
"""What other programs call it, in lower case, and what it is called here."""


OPERATOR_WORDS: Final[Mapping[str, str]] = {
    "regex": "re",
    "regexp": "re",
    "matches": "re",
    "startswith": "prefix",
    "starts_with": "prefix",
    "endswith": "suffix",
    "ends_with": "suffix",
    "like": "glob",
    "wildcard": "glob",
    "min": "ge",
    "max": "le",
    "gte": "ge",
    "lte": "le",
    "ne": "not",
    "is": "eq",
    "any": "in",
    "present": "exists",
}
"""What others call the operators of a match."""


def did_you_mean(
    word: str,
    legal: Iterable[str],
    everywhere: Iterable[str] = (),
    foreign: Mapping[str, str] = FOREIGN,
) -> str | None:
    """Return the name that was probably meant.

    A word of other programs for something that is legal here is meant so. Otherwise a name close to
    a legal one is a typo, and a foreign word says more than likeness to a name that is legal
    elsewhere.

    Args:
        word: what the operator wrote.
        legal: the names allowed where it stands.
        everywhere: the names allowed anywhere.
        foreign: words of other programs, in lower case, with ours.
    """
    legal = list(legal)
    ours = foreign.get(word.lower())
    if ours in legal:
        return ours
    return _closest(word, legal) or ours or _closest(word, set(everywhere) - {word})


def _closest(word: str, names: Iterable[str]) -> str | None:
    by_lower_case = {name.lower(): name for name in sorted(names)}
    found = difflib.get_close_matches(word.lower(), by_lower_case, n=1)
    return by_lower_case[found[0]] if found else None
