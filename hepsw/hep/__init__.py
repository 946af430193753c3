"""The wire: HEP in, `Packet` values out, and back again. A library in its own right.

Pure functions and values: no socket, no clock, no setting.

```python
from hepsw.hep import decode

packet = decode(datagram)
print(packet.src_ip, packet.payload)
```

Everything raised on purpose is a `PacketError`: `DecodeError` for octets that are not HEP or not
whole, `EditError` for a change that a packet cannot carry.
"""

from typing import Final

from hepsw.errors import DecodeError, EditError, PacketError
from hepsw.hep import _scan
from hepsw.hep.chunks import (
    FAMILIES_IPV6_ELSEWHERE,
    FAMILY_IPV4,
    FAMILY_IPV6,
    GENERIC,
    MAX_TOTAL_LENGTH,
    PROTO_TYPE_NAMES,
    PROTO_TYPES,
    SPEC_BY_ID,
    TRANSPORTS,
    Chunk,
    ChunkKey,
    ChunkSpec,
    ChunkType,
    strip_nuls,
)
from hepsw.hep.decoding import decode, decode_datagram
from hepsw.hep.edit import edit
from hepsw.hep.encode import build, encode, encode_v1, encode_v2, to_v3
from hepsw.hep.inflate import INFLATE_LIMIT
from hepsw.hep.packet import Packet
from hepsw.hep.stream import StreamSplitter

COMPILED: Final = not (_scan.__file__ or "").endswith(".py")
"""Whether this is the compiled build; its modules are compiled together or not at all."""

__all__ = [
    "COMPILED",
    "FAMILIES_IPV6_ELSEWHERE",
    "FAMILY_IPV4",
    "FAMILY_IPV6",
    "GENERIC",
    "INFLATE_LIMIT",
    "MAX_TOTAL_LENGTH",
    "PROTO_TYPES",
    "PROTO_TYPE_NAMES",
    "SPEC_BY_ID",
    "TRANSPORTS",
    "Chunk",
    "ChunkKey",
    "ChunkSpec",
    "ChunkType",
    "DecodeError",
    "EditError",
    "Packet",
    "PacketError",
    "StreamSplitter",
    "build",
    "decode",
    "decode_datagram",
    "edit",
    "encode",
    "encode_v1",
    "encode_v2",
    "strip_nuls",
    "to_v3",
]
