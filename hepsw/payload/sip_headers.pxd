# Types for the compiled build of sip_headers.py; the text is there.

cimport cython


cdef dict _KNOWN

cpdef bytes canonical(bytes name)

cdef dict _LETTERS

@cython.locals(letters=bytes)
cpdef bytes initials_of(bytes key)

cpdef tuple section_end(bytes payload, Py_ssize_t start, Py_ssize_t limit)

cpdef bytes unfold(bytes lines)

@cython.locals(
    headers=dict, lines=list, values=list, known=list, line=bytes, more=bytes, name=bytes,
    colon=bytes, value=bytes, key=bytes, complete=bint,
)
cpdef tuple read_headers(bytes section)
