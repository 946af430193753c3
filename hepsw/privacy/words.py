"""The words of SIP that say nothing about anybody: what is not among them does not leave."""

from __future__ import annotations

from typing import Final

METHODS: Final = frozenset(
    b"ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE "
    b"UPDATE".split()
)

TOKENS: Final = frozenset(
    # Option tags
    b"100rel 199 answermode early-session eventlist explicitsub from-change geolocation-http "
    b"geolocation-sip gin gruu histinfo ice join multiple-refer norefersub nosub outbound path "
    b"policy precondition pref privacy recipient-list-invite recipient-list-message "
    b"recipient-list-subscribe record-aware replaces resource-priority sdp-anat sec-agree siprec "
    b"target-dialog tdialog timer trickle-ice uui "
    # Events and their states
    b"dialog conference message-summary presence presence.winfo reg refer keep-alive kpml talk "
    b"hold check-sync as-feature-event call-info line-seize ua-profile vq-rtcpxr sla "
    b"active pending terminated deactivated probation rejected timeout giveup noresource "
    # Media types
    b"*/* application/sdp application/* application/vq-rtcpxr application/dtmf-relay "
    b"application/dtmf application/pidf+xml application/xpidf+xml application/dialog-info+xml "
    b"application/conference-info+xml application/simple-message-summary application/rlmi+xml "
    b"application/reginfo+xml application/resource-lists+xml application/media_control+xml "
    b"application/isup application/qsig application/im-iscomposing+xml message/sipfrag "
    b"message/cpim multipart/mixed multipart/alternative multipart/related text/plain text/html "
    b"application/watcherinfo+xml application/cpim-pidf+xml application/kpml-request+xml "
    b"application/kpml-response+xml application/broadsoft application/hold image/jpeg "
    # Encodings, languages, dispositions
    b"identity gzip deflate compress * en de fr es it pt nl en-us en-gb session render signal "
    b"early-session by-reference "
    # Privacy, Priority, Reason, and what else has a word as its value
    b"id none user header critical emergency urgent normal non-urgent sip q.850 1.0 true false"
    b"".split()
)
"""What may stand in a list of words, in small letters."""

PRODUCTS: Final = (
    b"asterisk freeswitch kamailio opensips openser rtpengine sipp sipsak sipvicious drachtio "
    b"yealink polycom cisco grandstream snom linphone audiocodes avaya mitel panasonic gigaset "
    b"aastra sonus ribbon oracle genband broadworks metaswitch fritz zoiper bria x-lite pjsua "
    b"pjsip baresip jssip sipjs microsip counterpath telnyx twilio huawei ericsson nokia patton "
    b"mediatrix innovaphone starface 3cxphonesystem 3cx fanvil htek obihai sofia"
).split()
"""Makers and programs; of a User-Agent the first that is found, since the rest may name a line."""

PHRASES: Final = {
    100: b"Trying",
    180: b"Ringing",
    181: b"Call Is Being Forwarded",
    182: b"Queued",
    183: b"Session Progress",
    199: b"Early Dialog Terminated",
    200: b"OK",
    202: b"Accepted",
    204: b"No Notification",
    300: b"Multiple Choices",
    301: b"Moved Permanently",
    302: b"Moved Temporarily",
    305: b"Use Proxy",
    380: b"Alternative Service",
    400: b"Bad Request",
    401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    406: b"Not Acceptable",
    407: b"Proxy Authentication Required",
    408: b"Request Timeout",
    410: b"Gone",
    412: b"Conditional Request Failed",
    413: b"Request Entity Too Large",
    414: b"Request-URI Too Long",
    415: b"Unsupported Media Type",
    416: b"Unsupported URI Scheme",
    420: b"Bad Extension",
    421: b"Extension Required",
    422: b"Session Interval Too Small",
    423: b"Interval Too Brief",
    428: b"Use Identity Header",
    429: b"Provide Referrer Identity",
    430: b"Flow Failed",
    433: b"Anonymity Disallowed",
    436: b"Bad Identity-Info",
    437: b"Unsupported Certificate",
    438: b"Invalid Identity Header",
    439: b"First Hop Lacks Outbound Support",
    440: b"Max-Breadth Exceeded",
    469: b"Bad Info Package",
    470: b"Consent Needed",
    480: b"Temporarily Unavailable",
    481: b"Call/Transaction Does Not Exist",
    482: b"Loop Detected",
    483: b"Too Many Hops",
    484: b"Address Incomplete",
    485: b"Ambiguous",
    486: b"Busy Here",
    487: b"Request Terminated",
    488: b"Not Acceptable Here",
    489: b"Bad Event",
    491: b"Request Pending",
    493: b"Undecipherable",
    494: b"Security Agreement Required",
    500: b"Server Internal Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Server Time-out",
    505: b"Version Not Supported",
    513: b"Message Too Large",
    580: b"Precondition Failure",
    600: b"Busy Everywhere",
    603: b"Decline",
    604: b"Does Not Exist Anywhere",
    606: b"Not Acceptable",
    607: b"Unwanted",
    608: b"Rejected",
}
"""What a status says; the phrase of the message may say anything."""
