"""What the kernel tells of a process and of its sockets."""

from pathlib import Path

_READING = {"01", "05", "08"}
"""Established, closing from our side, closed from the far side: states with octets to be read."""


def rss(pid):
    """Return the octets that a process has resident now."""
    return _status(pid, "VmRSS")


def peak_rss(pid):
    """Return the most octets that it had resident since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid):
    """Let the peak begin at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descriptors(pid):
    """Return how many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid):
    """Return how many threads it has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def is_stopped(pid):
    """Return whether every thread of a process stands still, by SIGSTOP."""
    return all(
        (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
        for task in Path(f"/proc/{pid}/task").iterdir()
    )


def unread(port, scheme="tcp"):
    """Return the octets that the kernel took for a local port and nobody has read, by socket.

    The key is the far side's address as the kernel writes it. Of TCP these are the octets that it
    has acknowledged.
    """
    return {far: queue for far, (_, queue) in _sockets(port, scheme).items()}


def unsent(port, far_port):
    """Return the octets that were written from a port to another and are not acknowledged."""
    ending = f":{far_port:04X}"
    return sum(queue for far, (queue, _) in _sockets(port, "tcp").items() if far.endswith(ending))


def connections(port):
    """Return how many connections of a local port still have something to read, or may have."""
    return len(_sockets(port, "tcp"))


def _sockets(port, scheme):
    found = {}
    for name in (scheme, f"{scheme}6"):
        table = Path("/proc/net", name)
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, far, state, queues = line.split()[:5]
            if int(local.rpartition(":")[2], 16) == port and (scheme == "udp" or state in _READING):
                sending, reading = (int(part, 16) for part in queues.split(":"))
                found[far] = sending, reading
    return found


def _status(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise LookupError(name)
