"""Many datagrams, or many frames of a stream, in one system call; `_one_by_one` is its twin.

`batches` says what the three things here promise. The interpreter's lock is kept meanwhile: nothing
here waits, and a thread that had given it up would stand in line for it behind a reload, for ten
times as long as the call takes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EINTR, errno
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

cdef extern from "<sys/socket.h>" nogil:
    enum: AF_INET, AF_INET6, MSG_DONTWAIT
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int, mmsghdr *, unsigned int, int, void *)
    int sendmmsg(int, mmsghdr *, unsigned int, int)

cdef extern from "<sys/uio.h>" nogil:
    ssize_t writev(int, const iovec *, int)

cdef extern from "<sys/ioctl.h>" nogil:
    enum: TIOCOUTQ
    int ioctl(int, unsigned long, ...)

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        unsigned int s_addr
    struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    struct in6_addr:
        pass
    struct sockaddr_in6:
        unsigned short sin6_port
        in6_addr sin6_addr
    unsigned short ntohs(unsigned short)

cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int, const void *, char *, socklen_t)

cdef enum:
    BATCH = 64
    LARGEST = 65536  # no UDP datagram has more octets than 65527
    # From one datagram's room to the next: with a power of two, all of them would fall into the
    # same few lines of the processor's caches.
    STRIDE = LARGEST + 640
    PIECES = 512  # of one writev; the kernel takes 1024
    TEXT = 64  # an IPv6 address as text takes 46 octets at most


cdef class Receiver:
    """One bound UDP socket, and room for `BATCH` datagrams of any size.

    The room is 4 MiB of addresses; the kernel backs only what datagrams have filled.
    """

    cdef int _fd
    cdef object _peer_of
    cdef dict _peers
    cdef Py_ssize_t _most
    cdef char *_octets
    cdef mmsghdr *_headers
    cdef iovec *_vectors
    cdef sockaddr_storage *_senders
    cdef sockaddr_storage _last
    cdef socklen_t _last_size
    cdef object _last_peer

    def __cinit__(self, sock, peer_of, Py_ssize_t most):
        cdef int at
        self._fd = sock.fileno()
        self._peer_of = peer_of
        self._peers = {}
        self._most = most
        self._last_size = 0
        self._octets = <char *> calloc(BATCH, STRIDE)
        self._headers = <mmsghdr *> calloc(BATCH, sizeof(mmsghdr))
        self._vectors = <iovec *> calloc(BATCH, sizeof(iovec))
        self._senders = <sockaddr_storage *> calloc(BATCH, sizeof(sockaddr_storage))
        if not (self._octets and self._headers and self._vectors and self._senders):
            raise MemoryError
        for at in range(BATCH):
            self._vectors[at].iov_base = self._octets + at * STRIDE
            self._vectors[at].iov_len = LARGEST
            self._headers[at].msg_hdr.msg_iov = &self._vectors[at]
            self._headers[at].msg_hdr.msg_iovlen = 1
            self._headers[at].msg_hdr.msg_name = &self._senders[at]

    def __dealloc__(self):
        free(self._octets)
        free(self._headers)
        free(self._vectors)
        free(self._senders)

    def receive(self):
        cdef int at, count
        cdef list datagrams = []
        cdef list peers = []
        for at in range(BATCH):  # the kernel writes there what it used
            self._headers[at].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
        count = recvmmsg(self._fd, self._headers, BATCH, MSG_DONTWAIT, NULL)
        if count < 0:
            PyErr_SetFromErrno(OSError)
        for at in range(count):
            datagrams.append(
                PyBytes_FromStringAndSize(self._octets + at * STRIDE, self._headers[at].msg_len)
            )
            peers.append(self._peer(at))
        return datagrams, peers

    def forget(self):
        self._peers.clear()
        self._last_size = 0

    cdef object _peer(self, int at):
        cdef sockaddr_storage *sender = &self._senders[at]
        cdef socklen_t size = self._headers[at].msg_hdr.msg_namelen
        # Agents send in bursts: most often it is the one before.
        if size == self._last_size and memcmp(sender, &self._last, size) == 0:
            return self._last_peer
        key = PyBytes_FromStringAndSize(<char *> sender, size)
        peer = self._peers.get(key)
        if peer is None:
            if len(self._peers) >= self._most:
                self._peers.clear()
            peer = self._peers[key] = self._stranger(sender)
        memcpy(&self._last, sender, size)
        self._last_size = size
        self._last_peer = peer
        return peer

    cdef object _stranger(self, sockaddr_storage *sender):
        cdef char text[TEXT]
        cdef sockaddr_in *v4 = <sockaddr_in *> sender
        cdef sockaddr_in6 *v6 = <sockaddr_in6 *> sender
        if sender.ss_family == AF_INET:
            inet_ntop(AF_INET, &v4.sin_addr, text, TEXT)
            return self._peer_of(text.decode(), ntohs(v4.sin_port))
        if sender.ss_family == AF_INET6:
            inet_ntop(AF_INET6, &v6.sin6_addr, text, TEXT)
            return self._peer_of(text.decode(), ntohs(v6.sin6_port))
        raise OSError(f"a datagram from an address of family {sender.ss_family}")


def send_datagrams(int fd, list frames, Py_ssize_t start, Py_ssize_t stop):
    cdef mmsghdr headers[BATCH]
    cdef iovec vectors[BATCH]
    cdef Py_ssize_t done = start
    cdef int at, count, taken
    stop = min(stop, len(frames))
    while done < stop:
        count = <int> min(BATCH, stop - done)
        for at in range(count):
            _fill(&vectors[at], frames[done + at])
            headers[at].msg_hdr.msg_name = NULL
            headers[at].msg_hdr.msg_namelen = 0
            headers[at].msg_hdr.msg_iov = &vectors[at]
            headers[at].msg_hdr.msg_iovlen = 1
            headers[at].msg_hdr.msg_flags = 0
            _no_control(&headers[at].msg_hdr)
        taken = sendmmsg(fd, headers, count, MSG_DONTWAIT)
        if taken < 0:
            if errno == EINTR:
                continue
            if done > start:
                # Whoever asks for the rest hears of it; of the answer to an earlier datagram hears
                # who sends next, as the last one of these is answered too.
                break
            PyErr_SetFromErrno(OSError)
        done += taken
        if taken < count:
            break
    return done - start


def write_frames(int fd, list frames, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t skip):
    cdef iovec vectors[PIECES]
    cdef Py_ssize_t taken
    cdef int at, count
    stop = min(stop, len(frames), start + PIECES)
    if start >= stop:
        return 0
    count = <int> (stop - start)
    for at in range(count):
        _fill(&vectors[at], frames[start + at])
    if not 0 <= skip <= <Py_ssize_t> vectors[0].iov_len:
        raise ValueError(f"{skip} octets of the first frame")
    vectors[0].iov_base = <char *> vectors[0].iov_base + skip
    vectors[0].iov_len -= skip
    while True:
        taken = writev(fd, vectors, count)
        if taken >= 0:
            return taken
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)


def unacknowledged(int fd):
    cdef int octets = 0
    if ioctl(fd, TIOCOUTQ, &octets) < 0:
        PyErr_SetFromErrno(OSError)
    return octets


cdef inline int _fill(iovec *vector, object frame) except -1:
    if not isinstance(frame, bytes):
        raise TypeError(f"a frame is bytes, not {type(frame).__name__}")
    vector.iov_base = PyBytes_AS_STRING(frame)
    vector.iov_len = PyBytes_GET_SIZE(frame)
    return 0


cdef extern from *:
    """
    /* A name of its own: what these two fields are called depends on the C library. */
    static void _no_control(struct msghdr *header)
    {
        header->msg_control = NULL;
        header->msg_controllen = 0;
    }
    """
    void _no_control(msghdr *) nogil
