# Types for the compiled build of sip.py; the text is there.

cimport cython

from hepsw.payload cimport octets
from hepsw.payload.sip_headers cimport canonical, initials_of, read_headers, section_end, unfold
from hepsw.payload.sip_syntax cimport domain_of, parameter, parameters_of, split_outside, uri_of, user_of


cdef int _MAX_LINES
cdef Py_ssize_t _MAX_SECTION
cdef Py_ssize_t _MAX_START_LINE
cdef int _TAB
cdef int _LF
cdef int _CR
cdef int _BLANK
cdef int _COMMA
cdef int _COLON
cdef int _SEMICOLON
cdef int _PATIENCE
cdef bytes _ANY


cdef class SipMessage:
    cdef bytes _payload
    cdef Py_ssize_t _size

    # The start line: all of it holds once the kind is known.
    cdef str _kind
    cdef Py_ssize_t _begin
    cdef Py_ssize_t _first_end
    cdef Py_ssize_t _line_end
    cdef Py_ssize_t _version_start
    cdef Py_ssize_t _version_end
    cdef Py_ssize_t _reason_start
    cdef int _status
    cdef Py_ssize_t _headers_start

    # The header section: all of it holds once the limit is not negative.
    cdef Py_ssize_t _limit
    cdef Py_ssize_t _cursor
    cdef list _starts
    cdef int _questions
    cdef int _line_count
    cdef Py_ssize_t _next
    cdef Py_ssize_t _body_start
    cdef bint _complete
    cdef dict _headers

    cdef bytes _from
    cdef bytes _to
    cdef bytes _call_id
    cdef bytes _cseq
    cdef str _verdict

    @cython.locals(
        payload=bytes, size=Py_ssize_t, begin=Py_ssize_t, end=Py_ssize_t, blank=Py_ssize_t,
        start=Py_ssize_t, stop=Py_ssize_t, last=Py_ssize_t,
    )
    cdef str _read_start(self)

    cdef bytes _from_value(self)
    cdef bytes _to_value(self)
    cdef bytes _cseq_value(self)

    cdef bint _is_table_due(self) except -1

    @cython.locals(values=list, start=Py_ssize_t)
    cdef bytes _first(self, bytes key, bytes initials)

    @cython.locals(value=bytes)
    cdef bytes _first_element(self, bytes key, bytes initials)

    @cython.locals(values=list, start=Py_ssize_t, initials=bytes)
    cdef list _values(self, bytes key)

    @cython.locals(
        starts=list, payload=bytes, start=Py_ssize_t, value=Py_ssize_t,
    )
    cdef Py_ssize_t _seek(self, bytes key, bytes initials, Py_ssize_t index) except -2

    @cython.locals(payload=bytes, after=Py_ssize_t, limit=Py_ssize_t, end=Py_ssize_t, is_long=bint)
    cdef Py_ssize_t _after_name(self, Py_ssize_t start, bytes key) except -2

    @cython.locals(payload=bytes, limit=Py_ssize_t, end=Py_ssize_t, starts=list)
    cdef bytes _value(self, Py_ssize_t start)

    @cython.locals(start=Py_ssize_t)
    cdef int _open_section(self) except -2

    @cython.locals(
        payload=bytes, limit=Py_ssize_t, cursor=Py_ssize_t, starts=list, start=Py_ssize_t,
        first=int, end=Py_ssize_t, line_count=int,
    )
    cdef Py_ssize_t _read_on(self, bytes initials) except -2

    cdef int _read_all(self) except -2

    @cython.locals(length="long long", number="long long", value=bytes)
    cdef long long _length(self) except -2

    @cython.locals(length="long long")
    cdef Py_ssize_t _end(self) except -2


@cython.locals(blank=Py_ssize_t, end=Py_ssize_t, tab=Py_ssize_t)
cdef Py_ssize_t _word_end(bytes value) except -2

@cython.locals(rest=bytes)
cdef bytes _after_word(bytes value)

@cython.locals(start=Py_ssize_t)
cdef bytes _branch(bytes via)
