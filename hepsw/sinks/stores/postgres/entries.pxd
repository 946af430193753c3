cimport cython

from hepsw.view cimport View


cdef class Entry:
    cdef readonly View view
    cdef public View own
    cdef readonly str profile
    cdef readonly object at_us
    cdef public bytes octets
    cdef public tuple odd
