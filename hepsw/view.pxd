cimport cython

from hepsw.hep.packet cimport Packet


@cython.freelist(256)
@cython.no_gc  # nothing it holds refers to it
cdef class View:
    cdef readonly Packet packet
    cdef readonly object peer
    cdef readonly long long received_us
    cdef readonly bint resumed
    cdef dict _read

    # No `void`: that would be asked after each call whether it raised.
    cdef int begin(self, Packet packet, object peer, long long received_us) except -1

    @cython.locals(view=View)
    cpdef View edited(self, Packet packet)

    @cython.locals(view=View)
    cpdef View as_sip(self)

    cpdef object forget(self)
