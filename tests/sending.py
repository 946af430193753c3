"""The program of `agents.Agents`: sends numbered packets at a rate, whatever becomes of them.

Times are counted from the start, so a late packet is made good by the next ones. It ends with the
count it was given, or when its standard input ends, and prints how many it sent of each source.
"""

import argparse
import json
import math
import selectors
import socket
import sys
import time

import numbered


def main():
    """Send until the count is reached or nobody wants more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scheme", choices=["udp", "tcp"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=math.inf)
    parser.add_argument("--count", type=int, default=1 << 62)
    parser.add_argument("--sources", type=int, default=1)
    parser.add_argument("--first-source", type=int, default=1)
    parser.add_argument("--size", type=int, default=numbered.SIZE)
    told = parser.parse_args()
    sources = range(told.first_source, told.first_source + told.sources)
    kind = socket.SOCK_DGRAM if told.scheme == "udp" else socket.SOCK_STREAM
    sockets = []
    for _ in sources:
        made = socket.socket(type=kind)
        made.connect((told.host, told.port))
        sockets.append(made)
    wanted = selectors.DefaultSelector()
    wanted.register(sys.stdin, selectors.EVENT_READ)
    began, sent = time.monotonic(), 0
    while sent < told.count and not wanted.select(0):
        due = told.count
        if told.rate < math.inf:
            due = min(due, int((time.monotonic() - began) * told.rate) + 1)
        for number in range(sent, min(due, sent + 256)):
            at, which = divmod(number, told.sources)
            octets = numbered.frame(sources[which], at, time.time_ns() // 1000, told.size)
            try:
                sockets[which].sendall(octets)
            except ConnectionRefusedError:  # told of an earlier datagram; this one was not sent
                sockets[which].sendall(octets)
            sent = number + 1
        wait = began + sent / told.rate - time.monotonic()
        if wait > 0 and sent < told.count:
            wanted.select(min(wait, 0.1) if wait > 0.001 else 0.001)
    for made in sockets:
        if told.scheme == "tcp":
            made.shutdown(socket.SHUT_WR)
            made.recv(1)  # the end of hepsw's side: it has read everything
        made.close()
    counts = {
        source: sent // told.sources + (which < sent % told.sources)
        for which, source in enumerate(sources)
    }
    print(json.dumps(counts), flush=True)  # noqa: T201 - that is its answer


if __name__ == "__main__":
    main()
