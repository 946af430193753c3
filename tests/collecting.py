"""The program of `collector.Collector`: reads frames and writes down which they were.

A process of its own, so that it can be stopped and killed as any collector can. It cuts the stream
by itself, and looks before it takes: a frame is written down first and taken from the kernel then,
so what a kill finds in the kernel is all that can be lost (but for TLS, whose records cannot be
looked at). At worst a frame is written down and counted as not read as well.
"""

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import ssl
import struct
import time
from pathlib import Path

import numbered

RECORD = struct.Struct("<IIQIdB")
"""Connection, source, number, microseconds on the way, when it came (monotonic), is it whole."""
READ = 1 << 16
STEP = 0.005
"""Seconds between two turns while there is a limit to what is read."""


class Book:
    """Two files that survive whatever becomes of this process."""

    def __init__(self, folder, life):
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
        self._records = os.open(folder / "records", flags)
        self._events = os.open(folder / "events", flags)
        self._next = life << 16

    def connection(self):
        """Return a number for a new connection."""
        self._next += 1
        return self._next

    def frames(self, connection, frames):
        """Write down frames that have come."""
        now, clock = time.monotonic(), time.time_ns() // 1000
        lines = []
        for octets in frames:
            number = numbered.number_of(octets)
            if number is None:
                lines.append(RECORD.pack(connection, 0, 0, 0, now, 0))
            else:
                late = min(max(clock - number.time_us, 0), 2**32 - 1)
                lines.append(RECORD.pack(connection, number.source, number.at, late, now, 1))
        os.write(self._records, b"".join(lines))

    def event(self, name, **more):
        """Write down what happened."""
        line = {"event": name, "at": time.monotonic(), **more}
        os.write(self._events, json.dumps(line).encode() + b"\n")


class Allowance:
    """How many frames may be read now."""

    def __init__(self, rate):
        self.rate = rate
        self._began = time.monotonic()
        self._used = 0

    @property
    def left(self):
        """How many; what was not asked for in the last tenth of a second is gone."""
        if not self.rate:
            return 1 << 30
        due = int((time.monotonic() - self._began) * self.rate)
        self._used = max(self._used, due - int(self.rate / 10) - 1)
        return due - self._used

    def take(self, count):
        """Use some of it."""
        self._used += count


class Stream:
    """One connection, looked at before it is read."""

    def __init__(self, connection, book, allowance):
        self.socket = connection
        self._book, self._allowance = book, allowance
        self._number = book.connection()
        self._kept = b""
        """The beginning of a frame. Left in the kernel, a few octets hold the buffer that they came
        in, and with it the window, closed for ever."""
        self._is_begun = False
        book.event("opened", connection=self._number)

    def read(self):
        """Read the whole frames that are there; return whether the connection goes on."""
        left = self._allowance.left
        if left <= 0:
            return True
        try:
            octets = self._look()
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError as error:
            return self._end(len(self._kept), str(error))
        if not octets:
            return self._end(len(self._kept), None)
        whole = self._kept + octets
        if not self._is_begun:
            self._is_begun = True
            self._book.event("begun", connection=self._number, octets=whole[:8].hex())
        frames, used, is_sound = cut(whole, left)
        self._book.frames(self._number, frames)
        self._allowance.take(len(frames))
        if len(frames) < left:
            self._take(len(octets))
            self._kept = whole[used:]
        else:
            self._take(used - len(self._kept))
            self._kept = b""
        if not is_sound:
            self._book.event("desync", connection=self._number, octets=self._kept[:8].hex())
            return self._end(0, None)
        return True

    def _look(self):
        return self.socket.recv(READ, socket.MSG_PEEK)

    def _take(self, count):
        """Take from the kernel octets that have been looked at."""
        while count:
            count -= len(self.socket.recv(count))

    def _end(self, partial, why):
        self._book.event("closed", connection=self._number, partial=partial, why=why)
        return False


class SecureStream(Stream):
    """One connection over TLS, with no limit to what is read: here looking is taking."""

    def _look(self):
        return self.socket.recv(READ)

    def _take(self, count):
        pass


def cut(octets, limit):
    """Return the whole frames at the start, at most so many, their octets, and is it a stream."""
    frames, at = [], 0
    while len(octets) - at >= 6 and len(frames) < limit:
        total = int.from_bytes(octets[at + 4 : at + 6])
        if octets[at : at + 4] != b"HEP3" or total < 6:
            return frames, at, False
        if len(octets) - at < total:
            break
        frames.append(octets[at : at + total])
        at += total
    return frames, at, True


class Datagrams:
    """A socket of datagrams."""

    def __init__(self, sock, book, allowance):
        self.socket = sock
        self._book, self._allowance = book, allowance
        self._number = book.connection()

    def read(self):
        """Read what there is."""
        frames = []
        for _ in range(min(self._allowance.left, 256)):
            try:
                frames.append(self.socket.recv(READ))
            except OSError:
                break
        if frames:
            self._book.frames(self._number, frames)
            self._allowance.take(len(frames))
        return True


def arguments():
    """Return what the program was told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scheme", choices=["udp", "tcp", "tls"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--life", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--receive-buffer", type=int, default=0)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    return parser.parse_args()


def main():
    """Listen until somebody ends it."""
    told = arguments()
    book, allowance = Book(told.folder, told.life), Allowance(told.rate)
    kind = socket.SOCK_DGRAM if told.scheme == "udp" else socket.SOCK_STREAM
    listener = socket.socket(socket.AF_INET6 if ":" in told.host else socket.AF_INET, kind)
    if told.scheme != "udp":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if told.receive_buffer:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, told.receive_buffer)
    listener.bind((told.host, told.port))
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    secure = None
    if told.scheme == "udp":
        selector.register(listener, selectors.EVENT_READ, Datagrams(listener, book, allowance))
    else:
        listener.listen(64)
        selector.register(listener, selectors.EVENT_READ)
    if told.scheme == "tls":
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(told.certificate, told.key)
    book.event("listening", life=told.life)
    while True:
        ready = selector.select()
        for key, _ in ready:
            if key.data is None:
                for stream in accepted(listener, secure, book, allowance):
                    selector.register(stream.socket, selectors.EVENT_READ, stream)
            elif not key.data.read():
                selector.unregister(key.fileobj)
                key.fileobj.close()
        if allowance.rate:
            time.sleep(STEP)


def accepted(listener, secure, book, allowance):
    """Return a stream for somebody who connected, if the handshake ends well."""
    connection, _ = listener.accept()
    if secure is None:
        connection.setblocking(False)
        return [Stream(connection, book, allowance)]
    connection.settimeout(5)
    with contextlib.suppress(OSError):
        connection = secure.wrap_socket(connection, server_side=True)
        connection.setblocking(False)
        return [SecureStream(connection, book, allowance)]
    book.event("handshake-failed")
    return []


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    main()
