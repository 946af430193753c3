cimport cython

cimport hepsw.hep._octets as _octets


cdef int _HEADER


cdef class StreamSplitter:
    cdef object _buffer
    cdef int _total
    cdef long long _consumed
    cdef object _error
    cdef bytes _excerpt

    @cython.locals(
        frames=list, position=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, total=int,
        octets="const unsigned char *",
    )
    cpdef list feed(self, bytes data)
