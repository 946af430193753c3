# The compiled twin of _search.py: the numbers lie side by side, where those of a list of Python's
# would each be somewhere else in memory.


cdef inline Py_ssize_t above(
    const unsigned int[::1] numbers, unsigned long long number
) noexcept:
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = numbers.shape[0]
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) // 2
        if number < numbers[middle]:
            high = middle
        else:
            low = middle + 1
    return low
