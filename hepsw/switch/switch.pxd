cimport cython

from hepsw.compiler.tree cimport Branch, Found, Tree
from hepsw.hep.packet cimport Packet
from hepsw.rule_account cimport RuleAccount
from hepsw.view cimport View


# Nothing is `void`: that would be asked after each call whether it raised.
cdef class Switch:
    cdef readonly object account
    cdef public object witness
    cdef public frozenset heard
    cdef readonly object program
    cdef public object _gates
    cdef object _guard
    cdef object _again
    cdef long long _number
    cdef double _now
    cdef str _taken_by
    cdef View _taken_view
    cdef dict _taken
    cdef list _lines
    cdef Found _found
    cdef Branch _branch
    cdef object _reason
    cdef long long _accepted
    cdef long long _routed
    cdef long long _ended
    cdef long long _missed
    cdef long long _fan_out
    cdef dict _accounts
    cdef Tree _last_tree
    cdef list _last_accounts

    @cython.locals(at=Py_ssize_t, view=View, outputs=dict, tree=Tree, received_us="long long")
    cpdef object receive_lists(self, list packets, list peers, double now)

    cpdef void judge(self, View view, Tree tree, double now, object effects) except *

    cdef int _settle(self, object effects) except -1

    cdef int _drop_looping(self, object peer, object effects) except -1

    cdef int _pass_through(self, View view, dict outputs) except -1

    @cython.locals(views=list)
    cdef int _give(self, str name, View view, dict outputs) except -1

    @cython.locals(said=Py_ssize_t)
    cdef int _walk(self, View view, Tree tree, dict outputs) except -1

    @cython.locals(taken=dict, first=View, as_it_stood=View)
    cdef int _end(self, View view, dict outputs) except -1

    @cython.locals(callers=list, start=int, branch=Branch)
    cdef int _decide(self, View view, Tree tree) except -1

    cdef int _enter(self, Tree tree, View view) except -1
    cdef int _miss(self, Tree tree, View view) except -1
    cdef int _take(self, str name, View view) except -1
    cdef int _take_all(self, object names, View view) except -1

    @cython.locals(found=Found, branch=Branch, account=RuleAccount)
    cdef View _table(self, View view, Tree tree, int start)

    @cython.locals(account=RuleAccount)
    cdef RuleAccount _count(self, Branch branch, View view)

    @cython.locals(account=RuleAccount)
    cdef View _carry_out(self, Branch branch, View view)
    cdef int _trace(self, Branch branch, View view) except -1
