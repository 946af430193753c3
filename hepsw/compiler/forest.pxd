cimport cython

cimport hepsw.compiler._search as _search
cimport hepsw.hep._octets as _octets
from hepsw.fields.readers cimport Reader
from hepsw.view cimport View


cdef class Ranges:
    cdef readonly list bounds
    cdef readonly list nodes
    cdef const unsigned int[::1] numbers


cdef class Index:
    cdef readonly int slot
    cdef readonly Reader reader
    cdef readonly bint is_address
    cdef readonly dict points
    cdef readonly dict ranges


cdef class Fork:
    cdef public tuple leaves
    cdef readonly tuple forks
    cdef readonly tuple indexes


@cython.locals(inner=Fork, index=Index)
cpdef object gather(Fork fork, View view, list readings, list found)

@cython.locals(domain=Ranges, at=Py_ssize_t, number="unsigned long long")
cdef int _look_up(Index index, object value, View view, list readings, list found) except -1

cdef int _add(object node, View view, list readings, list found) except -1
