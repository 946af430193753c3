cimport cython

cimport hepsw.compiler.forest as forest
from hepsw.compiler.checks cimport Check, Predicate
from hepsw.compiler.edits cimport Edits
from hepsw.compiler.forest cimport Fork
from hepsw.fields.readers cimport Reader
from hepsw.view cimport View


cdef class Branch:
    # What every packet asks for comes first: with thousands of rules, each line of the memory that
    # is not touched counts.
    cdef public Left left
    cdef readonly tuple outputs
    cdef readonly int position
    cdef readonly bint is_gated
    cdef readonly bint is_quiet
    cdef readonly bint continues
    cdef readonly bint goes_on
    cdef readonly bint drops
    cdef readonly bint scoped
    cdef readonly Predicate condition
    cdef readonly Edits edits
    cdef readonly object log
    cdef readonly bint has_more
    cdef readonly object flow
    cdef readonly str target
    cdef readonly str path
    cdef readonly object rule

    cpdef bint holds(self, View view) except -1
    cpdef Predicate whole(self)


cdef class Left:
    cdef int slot
    cdef Check check
    cdef Left more
    cdef Predicate others


cdef class Found:
    cdef Tree tree
    cdef View view
    cdef list readings
    cdef object rest
    cdef int last

    cpdef object forget(self)


cdef class Tree:
    cdef readonly str name
    cdef readonly tuple miss
    cdef readonly tuple miss_maps
    cdef readonly bint is_scoped
    cdef public tuple _branches
    cdef public tuple _fields
    cdef public tuple _readers
    cdef public object _root

    @cython.locals(branch=Branch)
    cpdef Branch first(self, View view, int start, Found found)

    @cython.locals(others=Predicate, reader=Reader)
    cdef bint _holds(self, Left left, View view, list readings) except -1

    @cython.locals(found=list, merged=list, at=Py_ssize_t)
    cdef object _candidates(self, View view, list readings)


cdef bint _any_passes(Check check, tuple values) except -1

cdef bint _stands_behind(Branch one, Branch other) except -1
