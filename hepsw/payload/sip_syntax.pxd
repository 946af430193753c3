# Types for the compiled build of sip_syntax.py; the text is there.

cimport cython

from hepsw.payload cimport octets


cdef int _QUOTE_OCTET
cdef int _COLON
cdef int _SEMICOLON
cdef int _ANGLE
cdef int _EQUALS
cdef int _CLOSING_ANGLE
cdef int _QUESTION
cdef int _AT

@cython.locals(position=Py_ssize_t, quote=Py_ssize_t, before=bytes)
cpdef Py_ssize_t closing_quote(bytes value, Py_ssize_t start) except -2

@cython.locals(
    size=Py_ssize_t, start=Py_ssize_t, position=Py_ssize_t, cut=Py_ssize_t, quote=Py_ssize_t,
    angle=Py_ssize_t, end=Py_ssize_t, parts=list,
)
cpdef list split_outside(bytes value, bytes separator)

@cython.locals(size=Py_ssize_t, part=bytes, found=bytes, value=bytes)
cpdef bytes parameter(bytes parameters, bytes name)

@cython.locals(size=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, after=Py_ssize_t)
cdef bytes _plain_parameter(bytes parameters, bytes name)

cpdef bint is_token(bytes text) except -1

@cython.locals(part=bytes, name=bytes, equals=bytes, value=bytes)
cpdef bint are_parameters(bytes text) except -1
cdef bint _is_value(bytes value) except -1

@cython.locals(size=Py_ssize_t, start=Py_ssize_t)
cdef Py_ssize_t _display_end(bytes value) except -2

@cython.locals(size=Py_ssize_t, angle=Py_ssize_t, end=Py_ssize_t)
cpdef bytes uri_of(bytes value)

@cython.locals(size=Py_ssize_t, angle=Py_ssize_t, end=Py_ssize_t)
cpdef bytes parameters_of(bytes value)

@cython.locals(angle=Py_ssize_t, end=Py_ssize_t, uri=bytes, semicolon=bytes, parameters=bytes)
cpdef bint is_address(bytes value) except -1

@cython.locals(start=Py_ssize_t, at=Py_ssize_t, colon=Py_ssize_t, end=Py_ssize_t)
cpdef bytes user_of(bytes uri)

@cython.locals(start=Py_ssize_t, at=Py_ssize_t, host=bytes)
cpdef bytes domain_of(bytes uri)

@cython.locals(colon=Py_ssize_t, scheme=bytes)
cdef Py_ssize_t _scheme_end(bytes uri) except? 0

@cython.locals(end=Py_ssize_t, at=Py_ssize_t, found=Py_ssize_t)
cdef Py_ssize_t _at(bytes uri, Py_ssize_t start) except -2

@cython.locals(delimiter=bytes)
cdef bytes _host(bytes text)

@cython.locals(scheme=bytes, rest=bytes)
cpdef bint has_headers(bytes uri) except -1

@cython.locals(scheme=bytes, rest=bytes, place=bytes, delimiter=bytes)
cpdef bint is_uri(bytes uri) except -1

@cython.locals(host=bytes, port=bytes, digits=bytes)
cpdef bint is_place(bytes text) except -1
