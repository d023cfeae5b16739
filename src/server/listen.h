/* The address the server listens on. */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include "base/status.h"

#include <stdbool.h>
#include <sys/socket.h>

typedef struct listen_address {
    char host[256]; /* as written, without brackets */
    struct sockaddr_storage address;
    socklen_t size;
    bool loopback;  /* only this machine can reach it */
} listen_address;

/* Understands "HOST:PORT", "[IPv6]:PORT", "HOST" and "PORT". FORAGE_E_INVALID says what is wrong with it. */
forage_status listen_resolve(const char *text, listen_address *out, base_error *error);

/* Binds and listens; *fd is the caller's. FORAGE_E_IO: in use, or not allowed. */
forage_status listen_open(const listen_address *a, int *fd, base_error *error);

/* "http://127.0.0.1:7700" with the port that `fd` really has. */
void listen_url(const listen_address *a, int fd, char *out, size_t size);

#endif
