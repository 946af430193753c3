# Types for the compiled build of sip_verdict.py; the text is there.

cimport cython

from hepsw.payload.sip_syntax cimport (
    are_parameters,
    has_headers,
    is_place,
    is_uri,
    split_outside,
)


cdef bint _is_version(bytes text) except -1

@cython.locals(judged=int, value=bytes, element=bytes)
cdef bint _are_elements(list values, check) except -1

cdef bint _are_digits(bytes text, Py_ssize_t size) except -1

cdef bint _is_below(bytes digits, limit) except -1
