cimport cython

from hepsw.hep.packet cimport Packet
from hepsw.payload.sip cimport SipMessage
from hepsw.sinks.stores.postgres.texts cimport key, text
from hepsw.view cimport View


@cython.locals(
    packet=Packet, source=bytes, destination=bytes, is_ipv6=bint, unknown=str, node=bytes, name=bytes,
    given=bytes, correlation_id=str, payload=bytes, sip=SipMessage, header=dict, data=dict, sid=str,
    call_id=str,
)
cpdef tuple row_of(View view, long long at_us, tuple further, set odd)

@cython.locals(data=dict, written=bytes)
cdef dict _of_others(View view, object proto_type, bytes payload, set odd)

@cython.locals(method=str, ruri_user=str, ruri_domain=str, cseq=str)
cdef dict _of_sip(SipMessage sip, str call_id, set odd)
