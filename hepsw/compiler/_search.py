"""Searching sorted numbers, as the plain build does it; `_search.pxd` is the compiled twin."""

from bisect import bisect_right

above = bisect_right
"""above(numbers, number): how many of the sorted numbers are not above this one."""
