"""Session descriptions in a line: where media go, in which codecs, whatever the body is."""

import pytest

from hepsw.recall.sdp import media_of


def lines(*written):
    return "\r\n".join(["v=0", *written, ""]).encode()


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (None, []),
        (b"", []),
        (b"v=0", []),
        (b"hello", []),
        (b"--boundary\r\nv=0\r\nm=audio 1 RTP/AVP 0", []),
        (lines("c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0 8"), ["192.0.2.1:4000 PCMU PCMA"]),
        (lines("m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.1/127"), ["192.0.2.1:4000 PCMU"]),
        (
            lines("c=IN IP4 192.0.2.1", "m=audio 1 RTP/AVP 0", "m=audio 2 x 9", "c=IN IP6 ::1"),
            ["192.0.2.1:1 PCMU", "[::1]:2 G722"],
        ),
        (
            lines("c=IN IP4 h", "m=audio 2/4 RTP/AVP 97", "a=rtpmap:97 opus/48000/2", "a=inactive"),
            ["h:2/4 opus inactive"],
        ),
        (lines("c=IN IP4 h", "m=image 0 udptl t38"), ["image off t38"]),
        (lines("m=", "m=audio"), [" ?:", "?:"]),
        (lines("m=audio 1 RTP/AVP 0 8 9 18 3 4"), ["?:1 PCMU PCMA G722 G729 +2"]),
    ],
)
def test_media(body, shown):
    """Each stream is a line; what cannot be read is left out."""
    assert [str(media) for media in media_of(body)] == shown


def test_bounded():
    """A thousand streams are a few."""
    body = lines(*["m=audio 1 RTP/AVP 0"] * 1000)
    assert len(media_of(body)) == 8
    assert len(media_of(lines("m=audio 1 RTP/AVP " + "0 " * 10_000))[0].codecs) <= 10_000
