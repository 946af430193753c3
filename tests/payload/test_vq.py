from __future__ import annotations

import pytest

from hepsw.payload import VqReport

REPORT = b"""VQSessionReport: CallTerm\r
CallID: call-771@harbour\r
LocalID: <sip:rosa@harbour.example>\r
LocalMetrics:\r
Timestamps:START=2026-11-07T07:07:07Z STOP=2026-11-07T07:17:07Z\r
SessionDesc:PT=0 PD=PCMU SR=8000 FMTP="NLR=9"\r
PacketLoss:NLR=7.5 JDR=2.0\r
Delay:RTD=200 ESD=140 IAJ=12 MAJ=10\r
QualityEst:RLQ=90 MOSLQ=3.4 MOSCQ=3.3 QoEEstAlg=P.564\r
RemoteMetrics:\r
PacketLoss:NLR=50.0\r
QualityEst:MOSLQ=1.1 MOSCQ=1.2\r
DialogID:other@harbour;to-tag=1;from-tag=2\r
"""


def values(payload):
    read = VqReport(payload)
    return read.mos_lq, read.mos_cq, read.loss_pct, read.jitter_ms, read.call_id


@pytest.mark.parametrize(
    "payload",
    [
        REPORT,
        REPORT.replace(b"\r\n", b"\n"),
        REPORT.lower().replace(b"call-771", b"call-771"),
        REPORT.replace(b":", b": ").replace(b"  ", b" "),
        b"PUBLISH sip:collector SIP/2.0\r\nCall-ID: publish\r\n\r\n" + REPORT,
        REPORT.replace(b"CallID: call-771@harbour\r\n", b"").replace(b"other", b"call-771"),
    ],
)
def test_report(payload):
    """Local metrics and the reported call, however the lines are written."""
    assert values(payload) == (3.4, 3.3, 7.5, 12.0, b"call-771@harbour")


def test_remote_metrics():
    """Remote metrics count where there are no local ones, whichever stand first."""
    local, remote = REPORT.split(b"LocalMetrics:")[1].split(b"RemoteMetrics:")
    assert values(b"RemoteMetrics:" + remote)[:3] == (1.1, 1.2, 50.0)
    turned = b"RemoteMetrics:" + remote + b"LocalMetrics:" + local
    assert values(turned)[:3] == (3.4, 3.3, 7.5)


def test_bare_pairs():
    """Pairs without a name before them, as some collectors write."""
    assert values(b"NLR=0.50 IAJ=5\nMOSLQ=4.5, MOSCQ=4;") == (4.5, 4.0, 0.5, 5.0, None)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"MOSLQ=127 MOSCQ=127.0 NLR=101",
        b"MOSLQ= 3.1",
        b"MOSLQ",
        b"MOSLQ=-1 MOSCQ=nan NLR=1_0 IAJ=inf",
        b"XMOSLQ=3.1 MOSLQEstAlg=3 MOSLQ=1.2.3",
        b"IAJ=" + b"9" * 5000,
        b"CallID:\r\nDialogID:;to-tag=1",
        b"\xff" * 100,
    ],
)
def test_nothing_to_read(payload):
    """What is absent, unavailable or no number reads as nothing."""
    assert values(payload) == (None, None, None, None, None)


def test_second_try():
    """A key whose value is no number does not hide a later one that is."""
    assert VqReport(b"MOSLQ=n/a\nMOSLQ=3.9").mos_lq == 3.9
