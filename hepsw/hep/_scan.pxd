cimport cython

cimport hepsw.hep._octets as _octets


cdef int _HEADER
cdef int _IDS
cdef int _ABSENT
cdef int _SEVERAL


cdef void _check(int type_id) except *


@cython.no_gc  # octets refer to nothing
cdef class ChunkTable:
    cdef readonly bytes data
    cdef readonly int namespace
    cdef readonly int steps
    cdef unsigned long long _repeats
    # 65535 is the largest offset of a HEP3 frame, and more than a datagram of HEP1 or HEP2 has.
    cdef unsigned short _starts[42]
    cdef unsigned short _ends[42]

    cdef int clear(self, bytes data) except -1
    cpdef void place(self, int type_id, int start, int end) except *

    @cython.locals(
        data=bytes, octets="const unsigned char *", starts=cython.p_ushort, ends=cython.p_ushort,
        total=Py_ssize_t, offset=Py_ssize_t, last=Py_ssize_t, end=Py_ssize_t,
        space=int, steps=int,
        repeats="unsigned long long", one="unsigned long long", vendor_id=int, type_id=int, length=int,
    )
    cdef int scan(self) except -1

    @cython.locals(type_id=int, one="unsigned long long")
    cdef void _settle(self, int space) except *

    @cython.locals(type_id=int)
    cdef void _forget(self) except *

    @cython.locals(end=int)
    cpdef bytes body(self, int type_id)

    @cython.locals(end=int)
    cpdef object body_size(self, int type_id)

    @cython.locals(start=int, end=int)
    cdef object number(self, int type_id, int size)

    @cython.locals(end=int)
    cdef bytes octets(self, int type_id)

    @cython.locals(
        data=bytes, octets="const unsigned char *", one="unsigned long long",
        total=Py_ssize_t, offset=Py_ssize_t, found=int, vendor=int, type_=int, length=int,
    )
    cdef int find(self, int vendor_id, int type_id) except -3
