/* Receives and counts. Says "ready" once bound; SIGUSR1 and SIGTERM make it print its counts.

   sink PORT     on 127.0.0.1:PORT until SIGTERM

   It looks at its socket once a millisecond rather than blocking in it: on loopback the sender
   wakes a blocked receiver, and that would be charged to the relay under test. */
#include "common.h"

#define RCVBUF_BYTES (32 << 20) /* the sink must never be the one who loses packets */
#define NAP_US 1000

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

int main(int argc, char **argv)
{
    static char slots[BATCH][SLOT_BYTES];
    static struct iovec vectors[BATCH];
    static struct mmsghdr in[BATCH];
    uint64_t packets = 0, octets = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: sink PORT\n");
        return 2;
    }
    on_signal(SIGTERM, stop);
    on_signal(SIGINT, stop);
    on_signal(SIGUSR1, ask);
    int fd = bound_socket(number(argv[1], 65535), RCVBUF_BYTES);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){.iov_base = slots[i], .iov_len = SLOT_BYTES};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ready\n");

    while (!stopped) {
        int count = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL);
        if (count < 0 && errno != EINTR && errno != EAGAIN)
            die("recvmmsg");
        if (count < 0)
            usleep(NAP_US);
        for (int i = 0; i < count; i++)
            octets += in[i].msg_len;
        packets += count > 0 ? (uint64_t)count : 0;
        if (asked) {
            asked = 0;
            printf("packets %" PRIu64 " octets %" PRIu64 "\n", packets, octets);
        }
    }
    printf("packets %" PRIu64 " octets %" PRIu64 "\n", packets, octets);
    return 0;
}
