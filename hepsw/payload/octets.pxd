# The C of octets.py, which says what each function does. Every offset is held to the octets that
# there are, so that a caller's mistake gives another answer and not another process's memory.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr

ctypedef const unsigned char *Text


cdef inline Py_ssize_t _within(bytes octets, Py_ssize_t start, Py_ssize_t end) except? -2:
    # Where a piece really ends. `len` refuses None.
    cdef Py_ssize_t size = len(octets)
    if start < 0 or end < start:
        return start
    return end if end < size else size


cdef inline Py_ssize_t find(bytes octets, int octet, Py_ssize_t start, Py_ssize_t end) except? -2:
    cdef Text text
    cdef Text found
    end = _within(octets, start, end)
    if start >= end:
        return -1
    text = <Text>PyBytes_AS_STRING(octets)
    found = <Text>memchr(text + start, octet, end - start)
    return -1 if found is NULL else found - text


cdef inline Py_ssize_t rfind(bytes octets, int octet, Py_ssize_t start, Py_ssize_t end) except? -2:
    cdef Text text
    end = _within(octets, start, end)
    text = <Text>PyBytes_AS_STRING(octets)
    while end > start:
        end -= 1
        if text[end] == octet:
            return end
    return -1


cdef inline bint begins(bytes octets, Py_ssize_t start, bytes letters) except? -1:
    cdef Py_ssize_t i
    cdef Py_ssize_t size = len(letters)
    cdef Text text
    cdef Text wanted
    cdef unsigned char octet
    if start < 0 or size > len(octets) - start:
        return False
    text = <Text>PyBytes_AS_STRING(octets) + start
    wanted = <Text>PyBytes_AS_STRING(letters)
    for i in range(size):
        octet = text[i]
        if 65 <= octet <= 90:
            octet |= 32
        if octet != wanted[i]:
            return False
    return True


cdef inline Py_ssize_t skip_blanks(bytes octets, Py_ssize_t start, Py_ssize_t end) except? -2:
    cdef Text text
    end = _within(octets, start, end)
    text = <Text>PyBytes_AS_STRING(octets)
    while start < end and (text[start] == 32 or text[start] == 9):
        start += 1
    return start


cdef inline bytes trimmed(bytes octets, Py_ssize_t start, Py_ssize_t end):
    cdef Text text
    end = _within(octets, start, end)
    text = <Text>PyBytes_AS_STRING(octets)
    while start < end and (text[start] == 32 or text[start] == 9):
        start += 1
    while end > start and (text[end - 1] == 32 or text[end - 1] == 9):
        end -= 1
    return PyBytes_FromStringAndSize(<const char *>text + start, end - start if end > start else 0)


cdef inline bytes trimmed_line(bytes octets, Py_ssize_t start, Py_ssize_t end):
    cdef Text text
    end = _within(octets, start, end)
    text = <Text>PyBytes_AS_STRING(octets)
    while start < end and (text[start] == 32 or text[start] == 9 or text[start] == 13):
        start += 1
    while end > start and (text[end - 1] == 32 or text[end - 1] == 9 or text[end - 1] == 13):
        end -= 1
    return PyBytes_FromStringAndSize(<const char *>text + start, end - start if end > start else 0)


cdef inline long long number(bytes octets, Py_ssize_t start, Py_ssize_t end) except? -2:
    cdef Text text
    cdef long long value = 0
    end = _within(octets, start, end)
    if start >= end:
        return -1
    text = <Text>PyBytes_AS_STRING(octets)
    while start < end:
        if not 48 <= text[start] <= 57:
            return -1
        value = value * 10 + (text[start] - 48)
        if value >= 10_000_000_000:  # before a further digit can overflow
            return -1
        start += 1
    return value
