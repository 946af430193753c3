/* The least a UDP relay can do: recvmmsg, sendmmsg, nothing read. The yardstick of this folder.

   relay PORT_IN PORT_OUT [poll]     from 127.0.0.1:PORT_IN to 127.0.0.1:PORT_OUT until SIGTERM

   By itself it blocks until something comes, so it is woken for what may be a single packet. With
   "poll" it looks once a millisecond and takes all there is, as hepsw does under load. */
#include "common.h"

#define RCVBUF_BYTES (4 << 20)
#define NAP_US 1000

static volatile sig_atomic_t stopped;

static void stop(int number_of_signal)
{
    (void)number_of_signal;
    stopped = 1;
}

int main(int argc, char **argv)
{
    static char slots[BATCH][SLOT_BYTES];
    static struct iovec in_vectors[BATCH], out_vectors[BATCH];
    static struct mmsghdr in[BATCH], out[BATCH];
    uint64_t received = 0, sent = 0, refused = 0, batches = 0;

    int polls = argc == 4 && !strcmp(argv[3], "poll");
    if (argc != 3 && !polls) {
        fprintf(stderr, "usage: relay PORT_IN PORT_OUT [poll]\n");
        return 2;
    }
    on_signal(SIGTERM, stop);
    on_signal(SIGINT, stop);
    int out_fd = connected_socket(number(argv[2], 65535));
    int in_fd = bound_socket(SOCK_DGRAM, number(argv[1], 65535), RCVBUF_BYTES);
    for (int i = 0; i < BATCH; i++) {
        in_vectors[i] = (struct iovec){.iov_base = slots[i], .iov_len = SLOT_BYTES};
        out_vectors[i].iov_base = slots[i];
        in[i].msg_hdr = (struct msghdr){.msg_iov = &in_vectors[i], .msg_iovlen = 1};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &out_vectors[i], .msg_iovlen = 1};
    }

    while (!stopped) {
        int count = recvmmsg(in_fd, in, BATCH, polls ? MSG_DONTWAIT : MSG_WAITFORONE, NULL);
        if (count < 0) {
            if (errno != EINTR && errno != EAGAIN)
                die("recvmmsg");
            if (polls)
                usleep(NAP_US);
            continue;
        }
        received += (uint64_t)count;
        batches++;
        for (int i = 0; i < count; i++)
            out_vectors[i].iov_len = in[i].msg_len;
        for (int done = 0; done < count;) {
            int taken = sendmmsg(out_fd, out + done, (unsigned)(count - done), 0);
            if (taken > 0) {
                sent += (uint64_t)taken;
                done += taken;
            } else if (errno == ECONNREFUSED) { /* nobody listens: this packet is gone */
                refused++;
                done++;
            } else if (errno != EINTR) {
                die("sendmmsg");
            }
        }
    }
    printf("received %" PRIu64 " sent %" PRIu64 " refused %" PRIu64 " batches %" PRIu64 "\n",
           received, sent, refused, batches);
    return 0;
}
