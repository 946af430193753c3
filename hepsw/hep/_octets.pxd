# The compiled twin of _octets.py. Bounds are the caller's to check.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcmp, memcpy


cdef inline (int, int, int) header(const unsigned char *octets, Py_ssize_t offset) noexcept:
    return (
        octets[offset] << 8 | octets[offset + 1],
        octets[offset + 2] << 8 | octets[offset + 3],
        octets[offset + 4] << 8 | octets[offset + 5],
    )


cdef inline int uint16(const unsigned char *octets, Py_ssize_t offset) noexcept:
    return octets[offset] << 8 | octets[offset + 1]


cdef inline unsigned long long number(
    const unsigned char *octets, Py_ssize_t offset, Py_ssize_t size
) noexcept:
    cdef unsigned long long found = 0
    cdef Py_ssize_t at
    for at in range(offset, offset + size):
        found = found << 8 | octets[at]
    return found


cdef inline bytes cut(const unsigned char *octets, Py_ssize_t start, Py_ssize_t end):
    return PyBytes_FromStringAndSize(<const char *> octets + start, end - start)


cdef inline bint is_hep3(const unsigned char *octets) noexcept:
    # A bytes object ends with a NUL of its own, and comparing stops at the first difference.
    return (
        memcmp(octets, b"HEP3", 4) == 0
        or memcmp(octets, b"EEP3", 4) == 0
        or memcmp(octets, b"EEP1", 4) == 0
    )


cdef inline bint is_frame(const unsigned char *octets, Py_ssize_t size) noexcept:
    return size >= 6 and octets[4] << 8 | octets[5] == size and is_hep3(octets)


cdef inline bint is_hep3_at(const unsigned char *octets, Py_ssize_t offset) noexcept:
    return memcmp(octets + offset, b"HEP3", 4) == 0


cdef inline bytes room(Py_ssize_t size):
    # Nobody but its maker has it yet, so it may be written.
    return PyBytes_FromStringAndSize(NULL, size)


cdef inline Py_ssize_t put(
    bytes frame, Py_ssize_t at, bytes octets, Py_ssize_t start, Py_ssize_t end
) noexcept:
    memcpy(PyBytes_AS_STRING(frame) + at, PyBytes_AS_STRING(octets) + start, end - start)
    return at + end - start


cdef inline Py_ssize_t put_uint16(bytes frame, Py_ssize_t at, int number) noexcept:
    cdef unsigned char *octets = <unsigned char *>PyBytes_AS_STRING(frame)
    octets[at] = <unsigned char>(number >> 8)
    octets[at + 1] = <unsigned char>(number & 0xFF)
    return at + 2


cdef inline bytes written(bytes frame):
    return frame


cdef inline bint opens_usually(const unsigned char *octets, const unsigned short *ends) noexcept:
    return (
        ends[1] == 13 and ends[2] == 20 and ends[3] == 30 and ends[4] == 40
        and ends[5] == 0 and ends[6] == 0 and ends[7] == 48 and ends[8] == 56
        and ends[9] == 66 and ends[10] == 76 and ends[11] == 83 and ends[12] == 93
        and octets[12] == 2
        and (octets[26] or octets[36]) != 0
        and number(octets, 62, 4) != 0
        and number(octets, 72, 4) < 1000000
        and octets[82] != 0
        and (octets[91] or octets[92]) != 0
    )
