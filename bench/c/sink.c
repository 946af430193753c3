/* Receives and counts. Says "ready" once bound; SIGUSR1 and SIGTERM make it print its counts.

   sink udp|tcp FILE PORT [PORT ...]     on each 127.0.0.1:PORT until SIGTERM

   What each port received first, up to a MiB, is written to FILE.0, FILE.1 and so on at the end.

   It looks at its sockets once a millisecond rather than blocking in them: on loopback the sender
   wakes a blocked receiver, and that would be charged to the relay under test. */
#include "common.h"
#include <fcntl.h>
#include <limits.h>

#define RCVBUF_BYTES (32 << 20) /* the sink must never be the one who loses packets */
#define NAP_US 1000
#define PORTS 8
#define CONNECTIONS 64
#define KEPT_BYTES (1 << 20)
#define READ_BYTES (256 << 10)
#define HEADER_BYTES 6 /* "HEP3" and the total length of the packet */

struct port {
    int fd;
    size_t kept;
    char *first;
};

struct connection {
    int fd;
    struct port *port;
    uint32_t left; /* octets of the packet that is being received */
    unsigned char header[HEADER_BYTES];
    uint32_t header_bytes;
};

static struct port ports[PORTS];
static int port_count;
static struct connection connections[CONNECTIONS];
static int connection_count;
static uint64_t packets, octets;
static volatile sig_atomic_t stopped, asked;

static void stop(int number_of_signal)
{
    (void)number_of_signal;
    stopped = 1;
}

static void ask(int number_of_signal)
{
    (void)number_of_signal;
    asked = 1;
}

static void keep(struct port *port, const void *data, size_t length)
{
    octets += length;
    if (length > KEPT_BYTES - port->kept)
        length = KEPT_BYTES - port->kept;
    memcpy(port->first + port->kept, data, length);
    port->kept += length;
}

/* Takes a batch of datagrams; returns 0 if there was none. */
static int take_datagrams(struct port *port)
{
    static char slots[BATCH][SLOT_BYTES];
    static struct iovec vectors[BATCH];
    static struct mmsghdr in[BATCH];

    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){.iov_base = slots[i], .iov_len = SLOT_BYTES};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(port->fd, in, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0 && errno != EINTR && errno != EAGAIN)
        die("recvmmsg");
    for (int i = 0; i < count; i++)
        keep(port, slots[i], in[i].msg_len);
    packets += count > 0 ? (uint64_t)count : 0;
    return count > 0;
}

static void accept_one(struct port *port)
{
    int fd = accept4(port->fd, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno != EINTR && errno != EAGAIN)
            die("accept");
        return;
    }
    if (connection_count == CONNECTIONS) {
        fprintf(stderr, "more than %d connections\n", CONNECTIONS);
        exit(1);
    }
    connections[connection_count++] = (struct connection){.fd = fd, .port = port};
}

/* Counts the packets that end within these octets. */
static void cut(struct connection *from, const unsigned char *data, size_t length)
{
    while (length) {
        if (!from->left) {
            from->header[from->header_bytes++] = *data++;
            length--;
            if (from->header_bytes < HEADER_BYTES)
                continue;
            uint32_t total = (uint32_t)from->header[4] << 8 | from->header[5];
            if (total < HEADER_BYTES) {
                fprintf(stderr, "not a stream of HEP3 packets\n");
                exit(1);
            }
            from->left = total - HEADER_BYTES;
            from->header_bytes = 0;
            packets += !from->left;
            continue;
        }
        size_t part = length < from->left ? length : from->left;
        from->left -= (uint32_t)part;
        data += part;
        length -= part;
        packets += !from->left;
    }
}

/* Takes what a connection holds; returns 0 if that was nothing. */
static int take_octets(struct connection *from)
{
    static unsigned char buffer[READ_BYTES];

    ssize_t got = recv(from->fd, buffer, sizeof buffer, 0);
    if (got < 0) {
        if (errno != EINTR && errno != EAGAIN && errno != ECONNRESET)
            die("recv");
        return 0;
    }
    if (got == 0) {
        close(from->fd);
        *from = connections[--connection_count];
        return 1;
    }
    keep(from->port, buffer, (size_t)got);
    cut(from, buffer, (size_t)got);
    return 1;
}

static void say_counts(void)
{
    printf("packets %" PRIu64 " octets %" PRIu64 "\n", packets, octets);
}

static void write_first(const char *file)
{
    char path[PATH_MAX];

    for (int i = 0; i < port_count; i++) {
        snprintf(path, sizeof path, "%s.%d", file, i);
        FILE *out = fopen(path, "wb");
        if (!out || fwrite(ports[i].first, 1, ports[i].kept, out) != ports[i].kept || fclose(out))
            die(path);
    }
}

int main(int argc, char **argv)
{
    int is_tcp = argc > 1 && !strcmp(argv[1], "tcp");

    if (argc < 4 || argc > 3 + PORTS || (!is_tcp && strcmp(argv[1], "udp"))) {
        fprintf(stderr, "usage: sink udp|tcp FILE PORT [PORT ...]\n");
        return 2;
    }
    on_signal(SIGTERM, stop);
    on_signal(SIGINT, stop);
    on_signal(SIGUSR1, ask);
    for (port_count = 0; port_count < argc - 3; port_count++) {
        struct port *port = &ports[port_count];
        port->fd = bound_socket(is_tcp ? SOCK_STREAM : SOCK_DGRAM,
                                number(argv[3 + port_count], 65535), RCVBUF_BYTES);
        port->first = malloc(KEPT_BYTES);
        if (!port->first)
            die("malloc");
        if (is_tcp && (listen(port->fd, CONNECTIONS) || fcntl(port->fd, F_SETFL, O_NONBLOCK)))
            die("listen");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ready\n");

    while (!stopped) {
        int busy = 0;
        for (int i = 0; i < port_count; i++) {
            if (is_tcp)
                accept_one(&ports[i]);
            else
                busy |= take_datagrams(&ports[i]);
        }
        for (int i = connection_count; i-- > 0;)
            busy |= take_octets(&connections[i]);
        if (asked) {
            asked = 0;
            say_counts();
        }
        if (!busy)
            usleep(NAP_US);
    }
    say_counts();
    write_first(argv[2]);
    return 0;
}
