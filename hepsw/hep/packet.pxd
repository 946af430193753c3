cimport cython

cimport hepsw.hep._octets as _octets
from hepsw.hep._scan cimport ChunkTable


cdef int _IPV4
cdef int _IPV6


@cython.no_gc  # nothing it holds refers to it
cdef class Packet(ChunkTable):
    cdef readonly int version
    cdef public tuple notes
    cdef str _byte_order
    cdef tuple _payload_span
    cdef bytes _payload
    cdef object _inflated
    cdef tuple _warnings

    # No `void`: that would be asked after each call whether it raised.
    cdef int read(self, bytes data) except -1
    cpdef void read_legacy(self, bytes data, int version, str byte_order, tuple payload_span) except *

    @cython.locals(starts=cython.p_ushort, ends=cython.p_ushort, data=bytes, found=int)
    cpdef bint is_ordinary(self) except -1

    @cython.locals(
        starts=cython.p_ushort, ends=cython.p_ushort, data=bytes,
        family=int, source=int, destination=int, size=int, found=int,
    )
    cdef int _usual_chunks(self) except -1

    @cython.locals(start=int, end=int, ipv6_start=int, ipv6_end=int)
    cdef bytes address(self, int ipv4_id, int ipv6_id)

    cdef object _time_number(self, int type_id)
    cpdef object type_of_payload(self)
    cpdef bytes content(self)
    cpdef object forget_payload(self)
    cdef bytes _inflate(self)
