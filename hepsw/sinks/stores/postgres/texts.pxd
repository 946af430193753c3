cimport cython



@cython.locals(written=str)
cpdef str text(bytes octets, set odd)

cpdef str key(bytes octets, set odd)
cpdef str fitting(str written, set odd)
