cdef class RuleAccount:
    cdef public long long packets
    cdef public long long octets
    cdef public long long last_us
    cdef object _edits_refused
    cdef object _dropped
    cdef public long long no_numbers
