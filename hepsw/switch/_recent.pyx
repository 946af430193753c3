"""The marks of the last packets in a table of C; `_recent_plain` is its twin.

A mark is a keyed hash of the octets that `guard` says. Nobody outside can tell where in the table a
packet goes, so nobody can push out another one on purpose. Looking one up touches one line of the
processor's cache.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import os

from hepsw.hep.packet cimport Packet
from hepsw.switch._recent_plain import FIRST, LAST, WINDOW

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t, size_t)

cdef extern from *:
    """
    static inline uint64_t hepsw_fold(uint64_t a, uint64_t b) {
    #ifdef __SIZEOF_INT128__
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    #else
        return (a * b) ^ ((a >> 32) * (b >> 32)) ^ ((a >> 32) * b >> 32);
    #endif
    }
    """
    uint64_t fold "hepsw_fold"(uint64_t, uint64_t) nogil
    void prefetch "__builtin_prefetch"(const void *) nogil

cdef enum:
    START = 36
    END = 100
    WORDS = 8  # of 8 octets, from START to END
    WAYS = 4  # packets to a line
    BATCH = 64
    LINES = 4096  # a power of two

cdef double _WINDOW = WINDOW
cdef double NEVER = float("-inf")

assert (START, END) == (FIRST, LAST)


cdef struct Met:
    uint64_t mark
    double when


cdef inline uint64_t mark_of(
    const char *octets, Py_ssize_t size, const uint64_t *keys
) noexcept nogil:
    cdef uint64_t words[WORDS]
    if size >= END:
        size = END
        memcpy(words, octets + START, sizeof(words))
    else:
        memset(words, 0, sizeof(words))
        if size > START:
            memcpy(words, octets + START, size - START)
        else:
            size = START
    return fold(
        fold(words[0] ^ keys[0], words[1] ^ keys[1])
        ^ fold(words[2] ^ keys[2], words[3] ^ keys[3])
        ^ fold(words[4] ^ keys[4], words[5] ^ keys[5])
        ^ fold(words[6] ^ keys[6], words[7] ^ keys[7])
        ^ <uint64_t>size,
        keys[8],
    )


cdef inline double meet(Met *line, uint64_t mark, double now) noexcept nogil:
    """Note a mark in front of its line, where the last one falls out; return when it came last."""
    cdef double before = NEVER
    cdef int way = 0
    while way < WAYS - 1 and line[way].mark != mark:
        way += 1
    if line[way].mark == mark:
        before = line[way].when
    while way > 0:
        line[way] = line[way - 1]
        way -= 1
    line[0].mark = mark
    line[0].when = now
    return before


cdef class Recent:
    """See the twin."""

    cdef Met *_met
    cdef uint64_t _keys[WORDS + 1]

    def __cinit__(self):
        cdef bytes key = os.urandom(sizeof(self._keys))
        memcpy(self._keys, PyBytes_AS_STRING(key), sizeof(self._keys))
        cdef size_t size = LINES * WAYS * sizeof(Met)
        self._met = <Met *>aligned_alloc(WAYS * sizeof(Met), size)
        if self._met is NULL:
            raise MemoryError
        memset(self._met, 0, size)

    def __dealloc__(self):
        free(self._met)

    def again(self, list packets, double now):
        cdef uint64_t marks[BATCH]
        cdef Py_ssize_t at, start, stop
        cdef double before
        cdef list found = None
        cdef Packet packet
        cdef bytes data
        for start in range(0, len(packets), BATCH):
            stop = min(start + BATCH, len(packets))
            # The lines of a batch are asked for before the first one is needed: in the cache they
            # give way to other things from batch to batch, and so they come all at once.
            for at in range(start, stop):
                packet = packets[at]
                data = packet.data
                marks[at - start] = mark_of(
                    PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), self._keys
                )
                prefetch(self._met + (marks[at - start] & LINES - 1) * WAYS)
            for at in range(start, stop):
                before = meet(
                    self._met + (marks[at - start] & LINES - 1) * WAYS, marks[at - start], now
                )
                if 0 <= now - before <= _WINDOW:
                    if found is None:
                        found = []
                    found.append((at, before))
        return found
