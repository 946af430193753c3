/* Sends the packets of a traffic file over and over at a fixed rate, whatever the receiver does.

   load FILE PORT RATE COUNT [BATCH]     COUNT packets to 127.0.0.1:PORT, RATE a second

   The file is a series of packets, each behind its length as u16 in network order. Batch k leaves
   at start + k * BATCH / RATE. A late batch leaves at once and moves none of the following. */
#include "common.h"

struct traffic {
    struct iovec *packets;
    size_t count;
};

static struct traffic read_traffic(const char *path)
{
    struct traffic traffic = {0};
    FILE *file = fopen(path, "rb");
    if (!file)
        die(path);
    for (;;) {
        unsigned char prefix[2];
        size_t got = fread(prefix, 1, sizeof prefix, file);
        if (got == 0 && feof(file))
            break;
        size_t length = (size_t)prefix[0] << 8 | prefix[1];
        char *packet = malloc(length + 1);
        traffic.packets = realloc(traffic.packets, (traffic.count + 1) * sizeof(struct iovec));
        if (!packet || !traffic.packets)
            die("malloc");
        if (got != sizeof prefix || length > SLOT_BYTES ||
            fread(packet, 1, length, file) != length) {
            fprintf(stderr, "%s: packet %zu is cut short or over %d octets\n", path, traffic.count,
                    SLOT_BYTES);
            exit(1);
        }
        traffic.packets[traffic.count++] = (struct iovec){.iov_base = packet, .iov_len = length};
    }
    fclose(file);
    if (!traffic.count) {
        fprintf(stderr, "%s: no packets\n", path);
        exit(1);
    }
    return traffic;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleep_until_ns(int64_t when)
{
    struct timespec until = {.tv_sec = when / 1000000000, .tv_nsec = when % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

int main(int argc, char **argv)
{
    static struct mmsghdr out[BATCH];

    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: load FILE PORT RATE COUNT [BATCH]\n");
        return 2;
    }
    struct traffic traffic = read_traffic(argv[1]);
    int fd = connected_socket(number(argv[2], 65535));
    uint64_t rate = number(argv[3], 100000000);
    uint64_t wanted = number(argv[4], 1000000000);
    uint64_t batch = argc == 6 ? number(argv[5], BATCH) : 32;
    uint64_t offered = 0, sent = 0, refused = 0;
    size_t next = 0;

    int64_t start = now_ns();
    while (offered < wanted) {
        uint64_t count = wanted - offered < batch ? wanted - offered : batch;
        int64_t due = start + (int64_t)(offered * 1000000000 / rate);
        if (due > now_ns())
            sleep_until_ns(due);
        for (uint64_t i = 0; i < count; i++) {
            out[i].msg_hdr = (struct msghdr){.msg_iov = &traffic.packets[next], .msg_iovlen = 1};
            next = next + 1 < traffic.count ? next + 1 : 0;
        }
        for (uint64_t done = 0; done < count;) {
            int taken = sendmmsg(fd, out + done, (unsigned)(count - done), 0);
            if (taken > 0) {
                sent += (uint64_t)taken;
                done += (uint64_t)taken;
            } else if (errno == ECONNREFUSED) { /* nobody listens: offered, yet not sent */
                refused++;
                done++;
            } else if (errno != EINTR) {
                die("sendmmsg");
            }
        }
        offered += count;
    }
    /* The last batch stands for its own interval, so that RATE is met exactly when on time. */
    sleep_until_ns(start + (int64_t)(wanted * 1000000000 / rate));
    double seconds = (double)(now_ns() - start) / 1e9;
    printf("sent %" PRIu64 " refused %" PRIu64 " seconds %.6f rate %.0f\n", sent, refused, seconds,
           (double)sent / seconds);
    return 0;
}
