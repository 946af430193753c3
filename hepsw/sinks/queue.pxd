cimport cython

from hepsw.sinks.budget cimport Budget
from hepsw.view cimport View


cdef class FrameQueue:
    cdef object _frames
    cdef Py_ssize_t _most
    cdef long long _most_octets
    cdef Budget _budget
    cdef object _pushed_out
    cdef readonly long long octets
    cdef readonly long long first

    @cython.locals(budget=Budget, at=Py_ssize_t, frame=bytes, octets="long long")
    cpdef Py_ssize_t add_all(self, list frames, Py_ssize_t start, bint make_room) except -1

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
