"""HEP packets for property tests: few values a field, so that rules and repetitions meet."""

from __future__ import annotations

from hypothesis import strategies as st

from hepsw.hep import GENERIC, Chunk, ChunkKey, ChunkType, decode, encode, encode_v1, encode_v2

IPV4 = [bytes([192, 0, 2, 10]), bytes([198, 51, 100, 20])]
IPV6 = [bytes.fromhex("20010db8000000000000000000000010"), bytes(15) + b"\x01"]
addresses = st.sampled_from(IPV4 + IPV6)
payloads = st.sampled_from([b"", b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", b"{}", b'{"report_count":1}'])
times = st.sampled_from([1_700_000_000_123_456, 1_000_000_000_000_000, 2_000_000_000_999_999])


def bodies(spec):
    """Bodies of the right shape for a row of the registry."""
    if spec.type_id == 0x0001:
        return st.sampled_from([b"\x02", b"\x0a", b"\x17", b"\x07"])
    if spec.type is ChunkType.INET4:
        return st.sampled_from(IPV4)
    if spec.type is ChunkType.INET6:
        return st.sampled_from(IPV6)
    if spec.type.size is not None:
        return st.binary(min_size=spec.type.size, max_size=spec.type.size)
    return st.binary(max_size=8)


known_chunks = st.sampled_from(GENERIC[:24]).flatmap(
    lambda spec: st.builds(Chunk, st.just(0), st.just(spec.type_id), bodies(spec)),
)
odd_chunks = st.builds(
    Chunk,
    st.sampled_from([0, 0, 2, 3, 65535]),
    st.sampled_from([0x0000, 0x0003, 0x000B, 0x000F, 0x002A, 0x0065, 0xFFFF]),
    st.binary(max_size=5),
)
packets_v3 = st.builds(
    lambda chunks, magic: decode(encode(chunks, magic)),
    # The one proper generic chunk keeps vendor chunks from being read as a namespace.
    st.lists(known_chunks | known_chunks | odd_chunks, max_size=14).map(
        lambda chunks: [Chunk(0, 0x000D, b"\0\x1e"), *chunks],
    ),
    st.sampled_from([b"HEP3", b"EEP3", b"EEP1"]),
)
_ports = st.sampled_from([0, 5060, 65535])
_pairs = st.tuples(st.sampled_from(IPV4), st.sampled_from(IPV4)) | st.tuples(
    st.sampled_from(IPV6),
    st.sampled_from(IPV6),
)
packets_v1 = st.builds(
    lambda pair, src_port, dst_port, ip_protocol, payload, nuls: decode(
        encode_v1(
            src_ip=pair[0],
            dst_ip=pair[1],
            src_port=src_port,
            dst_port=dst_port,
            ip_protocol=ip_protocol,
            payload=payload,
        )
        + bytes(nuls),
    ),
    _pairs,
    _ports,
    _ports,
    st.sampled_from([6, 17, 22]),
    payloads,
    st.sampled_from([0, 8]),
)
packets_v2 = st.builds(
    lambda pair, src_port, payload, time, capture_id, nuls: decode(
        encode_v2(
            src_ip=pair[0],
            dst_ip=pair[1],
            src_port=src_port,
            dst_port=5060,
            ip_protocol=17,
            payload=payload,
            time=time,
            capture_id=capture_id,
        )
        + bytes(nuls),
    ),
    _pairs,
    _ports,
    payloads,
    times,
    st.sampled_from([0, 2001, 65535]),
    st.sampled_from([0, 8]),
)
packets = packets_v1 | packets_v2 | packets_v3

NAMES = sorted({spec.name for spec in GENERIC} - {"ip_family", "src_ip", "dst_ip"})
_by_name = {spec.name: spec for spec in GENERIC}


def values(name):
    """New values for a field, most of them fitting."""
    spec = _by_name[name]
    if spec.type.is_number:
        return st.sampled_from([0, 1, 7, (1 << 8 * spec.type.size) - 1])
    return st.sampled_from([b"", b"x", b"edge-01"])


changes = st.sampled_from(NAMES).flatmap(
    lambda name: st.tuples(st.just(name), values(name) | st.none()),
)
raw_changes = st.tuples(
    st.sampled_from([ChunkKey(0, 0x0065), ChunkKey(3, 0x000B), ChunkKey(2, 0x000F)]),
    st.sampled_from([b"", b"raw"]) | st.none(),
)
address_changes = st.tuples(st.sampled_from(["src_ip", "dst_ip"]), addresses | st.none())
