cimport cython

from hepsw.fields.readers cimport Reader
from hepsw.view cimport View


cdef list _DECIMALS


cdef class Part:
    cpdef bytes render(self, View view)


cdef class Literal(Part):
    cdef bytes _text


cdef class Filled(Part):
    cdef object _field
    cdef Reader _reader
    cdef tuple _filters
    cdef bint _is_address
    cdef bint _is_decimal

    @cython.locals(octets=bytes)
    cpdef bytes render(self, View view)


cdef class Joined(Part):
    cdef tuple _parts

    @cython.locals(texts=list, part=Part)
    cpdef bytes render(self, View view)


@cython.locals(decimals=list)
cdef bytes _address(bytes packed)
