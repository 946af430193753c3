"""What a payload says: SIP, RTCP as JSON, vq-rtcpxr text, plain JSON.

Each reader takes the octets of a payload and gives values. All of them are lazy, so a field costs
nothing until somebody asks; tolerant, so nothing raises and what cannot be read is None; and
bounded, so the cost grows with the size of the payload whatever is in it.

```python
from hepsw.payload import SipMessage

message = SipMessage(packet.payload)
print(message.method, message.ruri_domain, message.verdict)
```
"""

from hepsw.payload.json_payload import JsonPayload, parse_path
from hepsw.payload.rtcp import RtcpReport
from hepsw.payload.sip import SipMessage
from hepsw.payload.sip_headers import canonical
from hepsw.payload.sip_verdict import Verdict
from hepsw.payload.vq import VqReport

__all__ = [
    "JsonPayload",
    "RtcpReport",
    "SipMessage",
    "Verdict",
    "VqReport",
    "canonical",
    "parse_path",
]
