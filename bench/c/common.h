/* What relay.c and sink.c share: loopback addresses, receive buffers, signals, exits. */
#ifndef HEPSW_BENCH_COMMON_H
#define HEPSW_BENCH_COMMON_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64        /* datagrams in one recvmmsg or sendmmsg */
#define SLOT_BYTES 2048 /* the packets of traffic.py fit an Ethernet frame */

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

static inline unsigned long number(const char *text, unsigned long most)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || value == 0 || value > most) {
        fprintf(stderr, "not a number from 1 to %lu: %s\n", most, text);
        exit(2);
    }
    return value;
}

static inline struct sockaddr_in loopback(unsigned long port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    return address;
}

static inline int connected_socket(unsigned long port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        die("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        die("connect");
    return fd;
}

/* A bound socket whose reads end after a second: a SIGTERM that comes just before a blocking read
   would otherwise be noticed with the next packet only. */
static inline int bound_socket(int type, unsigned long port, int rcvbuf_bytes)
{
    struct sockaddr_in address = loopback(port);
    struct timeval patience = {.tv_sec = 1};
    int fd = socket(AF_INET, type, 0);
    if (fd < 0)
        die("socket");
    /* Plain SO_RCVBUF stops at net.core.rmem_max; the forced one needs CAP_NET_ADMIN. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf_bytes, sizeof rcvbuf_bytes) &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf_bytes, sizeof rcvbuf_bytes))
        die("SO_RCVBUF");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
        die("SO_RCVTIMEO");
    if (bind(fd, (struct sockaddr *)&address, sizeof address))
        die("bind");
    return fd;
}

static inline void on_signal(int number_of_signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler}; /* no SA_RESTART: reads end with EINTR */
    if (sigaction(number_of_signal, &action, NULL))
        die("sigaction");
}

#endif
