"""The SIP reader: what each further question about a message costs.

The messages are those of traffic.py. Every question is put to messages of their own, after the
questions above it in the same column, so that a row shows what it adds.

    python bench/sip.py [--count 500] [--rounds 25] [--seed 1]

us/message     process time, median of the rounds
"""

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from traffic import rtcp, sip

import hepsw.payload.sip
from hepsw.payload import RtcpReport, SipMessage

ENDS: Final = (("10.0.1.7", 5060), ("10.0.2.7", 5080))


def nothing(message: SipMessage) -> None:
    pass


def rule(message: SipMessage) -> None:
    """What a rule on method, dialog and caller asks for."""
    _ = message.method, message.call_id, message.cseq, message.from_user


QUESTIONS: Final[dict[str, Callable[[SipMessage], Any]]] = {
    "construct": nothing,
    "kind": lambda message: message.kind,
    "method": lambda message: message.method,
    "call_id": lambda message: message.call_id,
    "cseq": lambda message: message.cseq,
    "from_user": lambda message: message.from_user,
    "to_user": lambda message: message.to_user,
    "from_tag": lambda message: message.from_tag,
    "via_branch": lambda message: message.via_branch,
    "user_agent": lambda message: message.user_agent,
    'header(b"x-absent")': lambda message: message.header(b"x-absent"),
    "body": lambda message: message.body,
    "verdict": lambda message: message.verdict,
}


def cost(
    payloads: list[bytes], ask: Callable[[Any], Any], read: Callable[[bytes], Any], rounds: int
) -> float:
    """Return the microseconds that one question to one fresh reader takes."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for payload in payloads:
            ask(read(payload))
        times.append(time.process_time() - start)
    return statistics.median(times) / len(payloads) * 1e6


def together(asked: list[Callable[[SipMessage], Any]]) -> Callable[[SipMessage], None]:
    def ask(message: SipMessage) -> None:
        for question in asked:
            question(message)

    return ask


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the SIP reader.")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    payloads = [
        sip(rng, f"{rng.getrandbits(64):016x}@10.0.0.7", ENDS) for _ in range(options.count)
    ]
    reports = [rtcp(rng) for _ in range(options.count)]
    size = statistics.mean(map(len, payloads))
    print(f"{len(payloads)} messages, {size:.0f} octets; {hepsw.payload.sip.__file__}")
    gc.disable()
    bare = cost(payloads, nothing, len, options.rounds)  # the loop itself
    print(f"{'':22}{'alone':>8}{'adds':>8}")
    before, asked = bare, []
    for name, ask in QUESTIONS.items():
        asked.append(ask)
        alone = cost(payloads, ask, SipMessage, options.rounds) - bare
        so_far = cost(payloads, together(asked), SipMessage, options.rounds)
        print(f"{name:22}{alone:8.2f}{so_far - before:8.2f}")
        before = so_far
    ruled = cost(payloads, rule, SipMessage, options.rounds) - bare
    print(f"{'method call_id cseq from_user':>30}{ruled:8.2f}")
    loss = cost(reports, lambda report: report.loss_pct, RtcpReport, options.rounds) - bare
    print(f"{'rtcp loss_pct':>30}{loss:8.2f}")


if __name__ == "__main__":
    main()
