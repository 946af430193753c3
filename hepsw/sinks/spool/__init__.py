"""The disk that takes what an output cannot deliver yet: segments of records, and an ack.

`Spool` is what a destination uses, on the event loop; the rest of the folder is blocking work of
the spool's own thread. `format` knows the octets, `files` the system calls, `folder` what is in the
folder, `book` what became of every record.
"""

from hepsw.sinks.spool.spool import Spool, SpoolOwner

__all__ = ["Spool", "SpoolOwner"]
