cimport cython

cimport hepsw.hep._octets as _octets
from hepsw.hep.packet cimport Packet


cdef int _HEADER
cdef int _SEVERAL
cdef Py_ssize_t _MOST


@cython.freelist(16)
@cython.no_gc  # octets refer to nothing
cdef class Piece:
    cdef readonly int vendor_id
    cdef readonly int type_id
    cdef readonly bytes body
    cdef int start
    cdef int end


@cython.locals(made=Piece)
cpdef Piece piece(int vendor_id, int type_id, bytes body)

@cython.locals(
    data=bytes, total=Py_ssize_t, placed=list, one=Piece, start=int, frame=bytes,
    at=Py_ssize_t, kept=Py_ssize_t, edited=Packet,
)
cpdef Packet spliced(Packet packet, list pieces)

@cython.locals(at=Py_ssize_t, before=Piece)
cdef bint _sort_in(list placed, Piece one) except -1

@cython.locals(body=bytes, size=Py_ssize_t)
cdef Py_ssize_t _write(bytes frame, Py_ssize_t at, Piece one) except -1
