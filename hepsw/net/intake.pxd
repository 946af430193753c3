cimport cython

cimport hepsw.hep._octets as _octets
from hepsw.hep.packet cimport Packet


cdef int _FULL


cdef class Intake:
    cdef readonly object listener
    cdef readonly object account
    cdef object _take
    cdef object _meet
    cdef list _packets
    cdef list _peers
    cdef object _met
    cdef long long _rejected
    cdef int _versions
    cdef int _unasked
    cdef bint _gzip_frames
    cdef bint _hears_all
    cdef object _admission

    @cython.locals(at=Py_ssize_t, total="long long", octets=bytes)
    cpdef object datagrams(self, list datagrams, list peers)

    @cython.locals(total="long long", octets=bytes)
    cpdef object frames(self, list frames, object peer)

    @cython.locals(packets=list, peers=list)
    cpdef object flush(self)

    @cython.locals(packet=Packet)
    cdef int _frame(self, bytes octets, object peer) except -1

    cdef int _other(self, bytes octets, object peer) except -1

    @cython.locals(octets=bytes)
    cdef tuple _heard(self, list datagrams, list peers)

    cdef int _reject(self, object reason) except -1

    @cython.locals(admitted=Packet)
    cdef int _accept(self, Packet packet, object peer) except -1

    cdef Packet _admitted(self, Packet packet)
