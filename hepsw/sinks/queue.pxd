cimport cython

from hepsw.view cimport View


cdef class FrameQueue:
    cdef object _frames
    cdef Py_ssize_t _most
    cdef long long _most_octets
    cdef bint _keep_old
    cdef object _account
    cdef readonly long long octets

    @cython.locals(view=View)
    cpdef object add_all(self, object views)

    @cython.locals(octets="long long")
    cpdef object add(self, bytes frame)

    @cython.locals(frame=bytes)
    cpdef bytes take(self)

    cpdef list take_some(self, Py_ssize_t most)


@cython.locals(view=View)
cpdef list frames_of(list views)

@cython.locals(octets="long long", at=Py_ssize_t, frame=bytes)
cpdef long long octets_of(list frames, Py_ssize_t start, Py_ssize_t stop) except -1

@cython.locals(view=View)
cpdef bint are_hep3(list views) except -1

@cython.locals(frame=bytes)
cpdef tuple whole(list frames, Py_ssize_t start, Py_ssize_t octets)
