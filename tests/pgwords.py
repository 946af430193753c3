"""A proxy before PostgreSQL that has the server say other words: well-formed, and without sense.

    with altered(server.port, begin) as port: …

`begin()` is called for each connection, and returns `damage(letter, body)`, which returns what
stands in place of the body of each message of the server.
"""

import contextlib
import random
import socket
import struct
import threading

from loopback import HOST

PATIENCE = 60
HEAD = struct.Struct("!cI")


@contextlib.contextmanager
def altered(far_port, begin):
    """Give the port of a proxy that alters what the server says."""
    open_sockets = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((HOST, far_port))
                open_sockets.extend((near, far))
                for each in (near, far):  # a message is small, and is to leave at once
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=pass_on, args=(near, far), daemon=True).start()
                threading.Thread(target=alter, args=(far, near), daemon=True).start()

    def pass_on(near, far):
        with contextlib.suppress(OSError):
            while octets := near.recv(1 << 16):
                far.sendall(octets)
        end(near, far)

    def alter(far, near):
        damage = begin()
        with contextlib.suppress(OSError, struct.error), far.makefile("rb") as said:
            while True:
                letter, length = HEAD.unpack(said.read(HEAD.size))
                body = damage(letter, said.read(length - 4))
                near.sendall(HEAD.pack(letter, 4 + len(body)) + body)
        end(near, far)

    def end(*sockets):
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            end(*open_sockets)
            for each in open_sockets:
                each.close()


def names(body):
    """Return a description of rows whose columns have other names."""
    return body[:2] + b"x" + body[3:] if len(body) > 3 and body[2] else body


def untyped(body):
    """Return a description of rows of which every value is a text."""
    count = int.from_bytes(body[:2])
    made, at = body[:2], 2
    for _ in range(count):
        end = body.index(0, at) + 1
        made += body[at : end + 6] + struct.pack("!ihi", 25, -1, -1) + body[end + 16 : end + 18]
        at = end + 18
    return made


def emptied(body):
    """Return a row of which every value is NULL."""
    return body[:2] + struct.pack("!i", -1) * int.from_bytes(body[:2])


def shorter(body):
    """Return a row of fewer columns than were told."""
    return b"\0\0" if body[:2] != b"\0\0" else body


def at_random(seed):
    """Return what makes other octets of any body, of the same length."""
    chance = random.Random(seed)
    return lambda body: chance.randbytes(len(body))


def cut(body):
    """Return the first half."""
    return body[: len(body) // 2]


def only(letter, change, after=0):
    """Return what changes the messages of a letter, once so many statements have been answered."""

    def begin():
        answered = 0

        def damage(said, body):
            nonlocal answered
            if said == letter and answered >= after:
                return change(body)
            answered += said == b"Z"
            return body

        return damage

    return begin
