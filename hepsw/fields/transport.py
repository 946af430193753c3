"""The fields that the socket knows: who spoke, and where it arrived."""

from __future__ import annotations

from hepsw.fields.field import Field, Kind


def transport_fields() -> list[Field]:
    """Return the fields of the peer and the socket."""
    return [
        Field(
            "peer_ip",
            Kind.IP,
            "Who sent us the HEP packet: the socket's word, not a claim.",
            lambda view: view.peer.ip,
        ),
        Field(
            "peer_port",
            Kind.NUMBER,
            "The sender's port.",
            lambda view: view.peer.port,
            bits=16,
        ),
        Field(
            "peer_transport",
            Kind.TEXT,
            "`udp`, `tcp` or `tls`.",
            lambda view: view.peer.transport.encode(),
            words=("udp", "tcp", "tls"),
        ),
        Field(
            "local_ip",
            Kind.IP,
            "The address it arrived at; for UDP the one that the listener is bound to.",
            lambda view: view.peer.local_ip,
        ),
        Field(
            "local_port",
            Kind.NUMBER,
            "The port it arrived at.",
            lambda view: view.peer.local_port,
            bits=16,
        ),
        Field(
            "listener",
            Kind.TEXT,
            "The listener's name.",
            lambda view: view.peer.listener.encode(),
        ),
        Field(
            "peer_name",
            Kind.TEXT,
            "Who the client certificate of the sender says it is; missing without one.",
            lambda view: None if view.peer.name is None else view.peer.name.encode(),
        ),
    ]
