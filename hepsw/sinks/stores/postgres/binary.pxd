cimport cython


@cython.locals(parts=list, octets=bytes)
cpdef bytes encode(tuple row)
