from hepsw.view cimport View


cdef class Reader:
    cpdef object read(self, View view)


cdef class Function(Reader):
    cdef object _function


cdef class Number(Reader):
    cdef int _type_id
    cdef int _size


cdef class ProtoType(Reader):
    pass


cdef class Octets(Reader):
    cdef int _type_id


cdef class Text(Reader):
    cdef int _type_id
    cpdef object read(self, View view)


cdef class Address(Reader):
    cdef int _ipv4_id
    cdef int _ipv6_id


cdef class Payload(Reader):
    pass


cdef class Attribute(Reader):
    cdef str _name


cdef class Both(Reader):
    cdef Reader _first
    cdef Reader _second


cdef class SipPart(Reader):
    cdef str _name
