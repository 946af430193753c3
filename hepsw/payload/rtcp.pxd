# Types for the compiled build of rtcp.py; the text is there.

cimport cython


cdef class RtcpReport:
    cdef object _payload
    cdef object _clock_rate
    cdef object _arrival_us
    cdef tuple _worst

    @cython.locals(loss=list, jitter=list, delays=list, block=dict)
    cdef tuple _find(self)

    cdef object _arrival(self, dict report)


cdef object _middle(seconds, fraction)

cdef object _delay(arrival, dict block)

cdef list _blocks(value)

cdef object _number(value, largest)
