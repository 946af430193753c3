"""HEP as these tests read it: a reader of their own, so that hepsw is not its own witness."""

from ipaddress import ip_address


def frames(stream):
    """Return the whole HEP3 frames at the start of a stream, and the octets behind them."""
    found = []
    while len(stream) >= 6:
        assert stream[:4] == b"HEP3"
        total = int.from_bytes(stream[4:6])
        if len(stream) < total:
            break
        found.append(stream[:total])
        stream = stream[total:]
    return found, stream


def chunks(frame):
    """Return the chunks of a HEP3 frame: vendor id, type id, body."""
    assert frame[:4] == b"HEP3"
    assert int.from_bytes(frame[4:6]) == len(frame)
    found, offset = [], 6
    while offset < len(frame):
        vendor_id, type_id, length = (
            int.from_bytes(frame[at : at + 2]) for at in range(offset, offset + 6, 2)
        )
        found.append((vendor_id, type_id, frame[offset + 6 : offset + length]))
        offset += length
    assert offset == len(frame)
    return found


def frame(chunks):
    """Return the HEP3 frame of these chunks."""
    octets = b"".join(
        b"".join(number.to_bytes(2) for number in (vendor_id, type_id, 6 + len(body))) + body
        for vendor_id, type_id, body in chunks
    )
    return b"HEP3" + (6 + len(octets)).to_bytes(2) + octets


def payload(frame):
    """Return the payload of a frame of any version."""
    if frame[:1] in {b"\x01", b"\x02"}:
        return frame[legacy_header_size(frame) :]
    return dict(chunk[1:] for chunk in chunks(frame))[0x000F]


def legacy_header_size(frame):
    """Return where the payload of HEP1 and HEP2 starts, which their own length does not tell."""
    addresses = {2: 8, 10: 32}[frame[2]]
    return 8 + addresses + (12 if frame[0] == 2 else 0)


def end(address):
    """Return an address and a port as rules print them."""
    host, port = address
    return f"{ip_address(host)}:{port}"
