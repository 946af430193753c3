cimport cython

cimport hepsw.hep._octets as _octets
from hepsw.fields.readers cimport Reader
from hepsw.view cimport View


cdef class Check:
    cpdef bint passes(self, object value) except -1


cdef class IsOneOf(Check):
    cdef frozenset _values


cdef class Is(Check):
    cdef object _value


cdef class IsInRange(Check):
    cdef long long _low
    cdef long long _high

    @cython.locals(number="long long")
    cpdef bint passes(self, object value) except -1


cdef class IsInNetwork(Check):
    cdef unsigned int _first
    cdef unsigned int _last

    @cython.locals(number="unsigned long long")
    cpdef bint passes(self, object value) except -1


cdef class IsBetween(Check):
    cdef object _low
    cdef object _high


cdef class IsWithin(Check):
    cdef bytes _first
    cdef bytes _last


cdef class StartsWith(Check):
    cdef bytes _octets


cdef class EndsWith(Check):
    cdef bytes _octets


cdef class HasInside(Check):
    cdef bytes _octets


cdef class Matches(Check):
    cdef object _search


cdef class AnyCheck(Check):
    cdef tuple _checks
    @cython.locals(check=Check)
    cpdef bint passes(self, object value) except -1


cdef class EveryCheck(Check):
    cdef tuple _checks
    @cython.locals(check=Check)
    cpdef bint passes(self, object value) except -1


cdef class OfType(Check):
    cdef Check _check
    cdef bint _wants_text


cdef class Predicate:
    cpdef bint holds(self, View view) except -1


cdef class Always(Predicate):
    pass


cdef class Among(Predicate):
    cdef Reader _reader
    cdef frozenset _values


cdef class Passes(Predicate):
    cdef Reader _reader
    cdef Check _check


cdef class PassesNot(Predicate):
    cdef Reader _reader
    cdef Check _check


cdef class Present(Predicate):
    cdef Reader _reader
    cdef bint _wanted


cdef class Every(Predicate):
    cdef tuple _parts
    @cython.locals(part=Predicate)
    cpdef bint holds(self, View view) except -1


cdef class AnyOf(Predicate):
    cdef tuple _parts
    @cython.locals(part=Predicate)
    cpdef bint holds(self, View view) except -1


cdef class Not(Predicate):
    cdef Predicate _part
