cdef class Budget:
    cdef public long long limit
    cdef public long long used
