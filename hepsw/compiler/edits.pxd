cimport cython

from hepsw.config.rendering cimport Part
from hepsw.hep.packet cimport Packet
from hepsw.hep.splice cimport Piece, piece, spliced
from hepsw.view cimport View


cdef class Write:
    cdef readonly object field
    cdef readonly object name
    cdef readonly list pieces
    cdef readonly Part template
    cdef readonly int vendor_id
    cdef readonly int type_id
    cdef readonly bint is_plain
    cdef readonly int size
    cdef readonly object largest

    cpdef list written(self, bytes octets)


cdef class Edits:
    cdef tuple _edits
    cdef tuple _writes
    cdef list _fixed

    @cython.locals(
        packet=Packet, pieces=list, empty=int, unfit=int, write=Write, octets=bytes, edited=Packet,
    )
    cpdef View carried_out(self, View view, object refused)
