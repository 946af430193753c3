"""Frames come out of captures as they went in; broken files say where they are broken."""

import gzip
import io
import random
import struct
from base64 import b64encode

import dpkt
import pytest

from hepsw import demo, framefile, pcapfile
from hepsw.errors import HepswError
from hepsw.hep import encode_v1

FRAMES = [step.packet.data for step in demo.call(1, 1_763_900_000_000_000)]
V1 = encode_v1(
    src_ip="192.0.2.1",
    dst_ip="192.0.2.2",
    src_port=5060,
    dst_port=5060,
    ip_protocol=17,
    payload=b"OPTIONS sip:a@example.org SIP/2.0\r\n\r\n",
)
SOURCE, DESTINATION = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
SOURCE6, DESTINATION6 = bytes(15) + b"\1", bytes(15) + b"\2"


def udp(payload):
    return bytes(dpkt.udp.UDP(sport=1234, dport=9060, ulen=8 + len(payload), data=payload))


def tcp(payload, seq, flags=dpkt.tcp.TH_ACK, sport=1234):
    return bytes(dpkt.tcp.TCP(sport=sport, dport=9060, seq=seq, flags=flags, data=payload))


def ipv4(body, protocol=17, **values):
    packet = dpkt.ip.IP(src=SOURCE, dst=DESTINATION, p=protocol, data=body, **values)
    packet.len = 20 + len(body)
    return bytes(packet)


def ipv6(body, protocol=17):
    return struct.pack("!IHBB", 0x60000000, len(body), protocol, 64) + SOURCE6 + DESTINATION6 + body


def ethernet(packet, kind=0x0800):
    return bytes(12) + struct.pack("!H", kind) + packet


def pcap(packets, link=1, **values):
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file, linktype=link, snaplen=70000, **values)
    for packet in packets:
        writer.writepkt(packet, ts=1.5)
    return file.getvalue()


def pcapng(packets, link=1):
    file = io.BytesIO()
    idb = dpkt.pcapng.InterfaceDescriptionBlockLE(linktype=link, snaplen=70000)
    writer = dpkt.pcapng.Writer(file, idb=idb)
    for packet in packets:
        writer.writepkt(packet, ts=1.5)
    return file.getvalue()


def frames_of(data):
    capture = framefile.read(data)
    assert capture.skipped == {}
    return list(capture.frames)


@pytest.mark.parametrize("write", [pcap, pcapng])
@pytest.mark.parametrize(
    ("link", "wrap"),
    [
        (0, lambda packet: b"\2\0\0\0" + packet),
        (1, ethernet),
        (1, lambda packet: bytes(12) + b"\x81\0\0\7\x08\0" + packet),
        (1, lambda packet: ethernet(packet) + bytes(9)),
        (12, bytes),
        (101, bytes),
        (113, lambda packet: bytes(14) + b"\x08\0" + packet),
        (228, bytes),
        (276, lambda packet: b"\x08\0" + bytes(18) + packet),
    ],
    ids=["null", "ethernet", "vlan", "padded", "raw-12", "raw", "sll", "ipv4", "sll2"],
)
def test_links(write, link, wrap):
    """Every link type that captures of HEP come in is understood."""
    assert frames_of(write([wrap(ipv4(udp(frame))) for frame in FRAMES], link)) == FRAMES


def test_byte_orders():
    """A capture from a machine of the other byte order, or with nanoseconds, reads the same."""
    little = pcap([ethernet(ipv4(udp(FRAMES[0])))])
    numbers = struct.unpack_from("<IHHiIII", little)
    record = struct.unpack_from("<IIII", little, 24)
    big = struct.pack(">IHHiIII", *numbers) + struct.pack(">IIII", *record) + little[40:]
    assert frames_of(big) == frames_of(little) == FRAMES[:1]
    assert frames_of(pcap([ethernet(ipv4(udp(FRAMES[0])))], nano=True)) == FRAMES[:1]


def test_ipv6():
    """UDP over IPv6 is read, also behind extension headers."""
    options = b"\x11\0" + bytes(6)
    packets = [ipv6(udp(FRAMES[0])), ipv6(options + udp(FRAMES[1]), 0)]
    assert frames_of(pcap([ethernet(packet, 0x86DD) for packet in packets])) == FRAMES[:2]


def test_interfaces():
    """In pcapng each interface has a link type of its own."""
    capture = pcapng([ethernet(ipv4(udp(FRAMES[0])))])
    other = pcapng([ipv4(udp(FRAMES[1]))], 101)
    start = int.from_bytes(other[4:8], "little")  # behind the section header: the interface
    length = int.from_bytes(other[start + 4 : start + 8], "little")
    packet = bytearray(other[start + length :])
    packet[8:12] = b"\1\0\0\0"
    assert frames_of(capture + other[start : start + length] + packet) == FRAMES[:2]
    assert frames_of(capture + other) == FRAMES[:2]  # a second section


def test_blocks():
    """Simple and obsolete packet blocks are read, in a big-endian section too."""

    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack(">II", kind, 12 + len(body)) + body + struct.pack(">I", 12 + len(body))

    packet = ipv4(udp(V1))
    sizes = struct.pack(">II", len(packet), len(packet))
    capture = b"".join(
        (
            block(0x0A0D0D0A, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1)),
            block(1, struct.pack(">HHI", 101, 0, 0)),
            block(5, bytes(12)),  # statistics: none of ours
            block(3, sizes[:4] + packet),
            block(2, struct.pack(">HHII", 0, 0, 0, 0) + sizes + packet),
        )
    )
    assert frames_of(capture) == [V1, V1]


def test_fragments():
    """A datagram that IP took to pieces is one frame again, whatever their order."""
    whole = udp(FRAMES[2])
    parts = [(start, whole[start : start + 256]) for start in range(0, len(whole), 256)]
    last = parts[-1][0]
    packets = [
        ethernet(ipv4(part, id=7, offset=start // 8, mf=int(start != last)))
        for start, part in parts
    ]
    assert frames_of(pcap(packets)) == FRAMES[2:3]
    assert frames_of(pcap(packets[::-1])) == FRAMES[2:3]
    capture = pcapfile.read(pcap(packets[:-1]))
    assert capture == pcapfile.Capture((), {"fragment": len(parts) - 1})

    def fragment6(start, part):
        position = start | (start != last)
        return ethernet(ipv6(struct.pack("!BxHI", 17, position, 9) + part, 44), 0x86DD)

    assert frames_of(pcap([fragment6(*part) for part in parts])) == FRAMES[2:3]


@pytest.mark.parametrize("first", [1000, 2**32 - 100])
@pytest.mark.parametrize("size", [7, 700])
def test_tcp(first, size):
    """A connection gives its frames back though segments are lost, repeated and out of order."""
    stream = b"".join(FRAMES)
    segments = [
        tcp(stream[start : start + size], (first + 1 + start) % 2**32)
        for start in range(0, len(stream), size)
    ]
    opening = tcp(b"", first, dpkt.tcp.TH_SYN)
    mixed = segments * 2
    for start in range(0, len(mixed), 50):
        part = mixed[start : start + 50]
        random.Random(start).shuffle(part)
        mixed[start : start + 50] = part
    for order in ([opening, *segments], segments, [opening, *mixed]):
        packets = [ethernet(ipv4(segment, 6)) for segment in order]
        assert sorted(pcapfile.read(pcap(packets)).frames) == sorted(FRAMES)


def test_tcp_gap():
    """What follows a lost segment is counted, and so is a frame without an end."""
    segments = [
        tcp(b"", 0, dpkt.tcp.TH_SYN),
        tcp(FRAMES[0] + FRAMES[1][:9], 1),
        tcp(FRAMES[2], 5000),
        tcp(b"GET / HTTP/1.1\r\n", 1, sport=80),
    ]
    capture = pcapfile.read(pcap([ethernet(ipv4(segment, 6)) for segment in segments]))
    assert capture.frames == (FRAMES[0],)
    assert capture.skipped == {"tcp-gap": 2, "tcp-partial": 1}


def test_skipped():
    """What is not HEP is counted by what it is."""
    icmp = ethernet(ipv4(b"\x08\0\0\0", 1))
    arp = ethernet(bytes(28), 0x0806)
    dns = ethernet(ipv4(udp(b"\x12\x34\x01\0\0\1")))
    stun = ethernet(ipv4(udp(b"\1\1\0\0\x21\x12\xa4\x42" + bytes(12))))
    bad_length = ethernet(b"\x45\0\xff\xff" + ipv4(udp(V1))[4:])
    capture = pcapfile.read(pcap([icmp, arp, dns, stun, bad_length, ethernet(ipv4(udp(V1)))]))
    assert capture.frames == (V1,)
    assert capture.skipped == {"not-transport": 1, "not-ip": 1, "not-hep": 2, "malformed": 1}
    assert pcapfile.read(pcap([icmp], 127)).skipped == {"link-type": 1}
    assert capture.skipped.keys() <= pcapfile.SKIPS.keys()


def test_snap_length():
    """A packet of which the capture kept the beginning only is no frame."""
    data = bytearray(pcap([ethernet(ipv4(udp(FRAMES[0])))])[:-20])
    data[32:36] = (len(data) - 40).to_bytes(4, "little")
    assert pcapfile.read(bytes(data)).skipped == {"cut": 1}


SAMPLES = [
    write([ethernet(ipv4(udp(V1))), ethernet(ipv6(udp(V1)), 0x86DD), ethernet(ipv4(tcp(V1, 1), 6))])
    for write in (pcap, pcapng)
]


@pytest.mark.parametrize("data", SAMPLES, ids=["pcap", "pcapng"])
def test_truncated(data):
    """A file cut anywhere is refused with its place, or is whole up to there."""
    refused = 0
    for size in range(len(data)):
        try:
            framefile.read(data[:size])
        except HepswError as error:
            refused += 1
            assert "octet " in str(error) or "line " in str(error)  # noqa: PT017 - not all raise
    assert refused > len(data) * 0.9


@pytest.mark.parametrize("data", SAMPLES, ids=["pcap", "pcapng"])
def test_hostile(data):
    """Whatever the octets are, nothing but our own errors comes out."""
    dice = random.Random(1)
    for _ in range(3000):
        mutated = bytearray(data)
        for _ in range(dice.randrange(1, 6)):
            mutated[dice.randrange(4, len(data))] = dice.choice((0, 1, 0x45, 0x60, 0xFF))
        try:
            pcapfile.read(bytes(mutated))
        except HepswError as error:
            assert "octet " in str(error)  # noqa: PT017 - not all raise


def test_many_waiting():
    """A hostile connection cannot make a reader keep or sort without bound."""
    segments = [tcp(b"", 0, dpkt.tcp.TH_SYN), *(tcp(b"x", 10 + 2 * n) for n in range(1000))]
    capture = pcapfile.read(pcap([ethernet(ipv4(segment, 6)) for segment in segments]))
    assert capture == pcapfile.Capture((), {"tcp-gap": 1000})


def test_other_files():
    """Frames back to back, hex lines and single frames of old versions are files too."""
    assert frames_of(b"".join(FRAMES)) == FRAMES
    assert frames_of(V1) == [V1]
    text = f"# from nobody\n\n{V1.hex()}\n  {FRAMES[0].hex(' ')} # an INVITE\n"
    assert frames_of(text.encode()) == [V1, FRAMES[0]]
    stream = f'{{"kind": "stream", "hex": "{(FRAMES[0] + FRAMES[1][:20]).hex()}"}}'
    assert framefile.read(stream.encode()) == framefile.Capture((FRAMES[0],), {"stream-rest": 1})


def test_stored():
    """What a store of JSON lines wrote is read back, whatever a text holds that ends lines."""
    lines = [
        f'{{"call": "\u2028\u0085", "frame": {{"base64": "{b64encode(frame).decode()}"}}}}'
        for frame in (*FRAMES, V1)
    ]
    for end in ("\n", "\r\n"):
        read = framefile.read(end.join((*lines, "")).encode())
        assert read == framefile.Capture((*FRAMES, V1), {})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (FRAMES[0] + b"HEP3", f"octet {len(FRAMES[0])}"),
        (FRAMES[0] + b"HTTP/1.1", f"octet {len(FRAMES[0])}"),
        (b"00\n0g\n", "line 2: not octets"),
        (b'{"hex": 1}', "line 1: no text"),
        (b'{"hex": ', "line 1: not JSON"),
        (gzip.compress(b'{"hex": ""}'), "octet 0: gzip, and no frame"),
        (gzip.compress(b"\xd4\xc3\xb2\xa1" + bytes(20)), "octet 0: gzip, and no frame"),
        (b'{"frame": "SEVQ"}', "line 1: no text"),
        (b'{"frame": {"base64": 1}}', "line 1: no text"),
        (b'{"frame": {"base64": "SEVQ*"}}', "line 1: not octets in base64"),
        ('{"frame": {"base64": "é"}}'.encode(), "line 1: not octets in base64"),
        (b"\xff\xfe", "octet 0: neither"),
        (b"\x1f\x8b" + bytes(70000), "unpack it"),
    ],
)
def test_broken_files(data, message):
    """A file that is none of these says where."""
    with pytest.raises(HepswError, match=message):
        framefile.read(data)
