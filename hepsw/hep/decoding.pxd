cimport cython

cimport hepsw.hep._octets as _octets
from hepsw.hep.packet cimport Packet


@cython.locals(total=Py_ssize_t, packet=Packet)
cpdef Packet decode(bytes data)

@cython.locals(packet=Packet)
cdef Packet _decode_first(bytes data, int total)
