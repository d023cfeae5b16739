#include "server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_HOST "127.0.0.1"
#define DEFAULT_PORT "7700"

static bool all_digits(const char *text) { return *text && text[strspn(text, "0123456789")] == '\0'; }

/* Splits "host:port"; either may be missing. A bare IPv6 address must be in brackets when a port follows. */
static bool split(const char *text, char *host, size_t host_size, const char **port) {
    const char *end, *rest;
    if (*text == '[') {
        end = strchr(++text, ']');
        if (!end || (end[1] != '\0' && end[1] != ':')) return false;
        rest = end + 1;
    } else {
        const char *first = strchr(text, ':');
        bool bare_ipv6 = first && strchr(first + 1, ':');
        end = bare_ipv6 || !first ? text + strlen(text) : first;
        rest = end;
    }
    *port = *rest == ':' ? rest + 1 : DEFAULT_PORT;
    if (end - text >= (long)host_size) return false;
    snprintf(host, host_size, "%.*s", (int)(end - text), text);
    if (*rest == '\0' && all_digits(host)) {
        *port = text;
        host[0] = '\0';
    }
    if (host[0] == '\0') snprintf(host, host_size, "%s", DEFAULT_HOST);
    return all_digits(*port) && strlen(*port) <= 5 && atoi(*port) <= 65535;
}

static bool is_loopback(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof in6);
    const uint8_t *bytes = in6.sin6_addr.s6_addr;
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) || (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && bytes[12] == 127);
}

forage_status listen_resolve(const char *text, listen_address *out, base_error *error) {
    listen_address a = {0};
    const char *port;
    if (!split(text, a.host, sizeof a.host, &port))
        return error_set(error, FORAGE_E_INVALID, "\"%s\" is no address: expected HOST:PORT, such as 127.0.0.1:7700",
                         text);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    int failed = getaddrinfo(a.host, port, &hints, &found);
    if (failed)
        return error_set(error, FORAGE_E_INVALID, "the host \"%s\" was not found: %s", a.host, gai_strerror(failed));
    memcpy(&a.address, found->ai_addr, found->ai_addrlen);
    a.size = found->ai_addrlen;
    freeaddrinfo(found);
    a.loopback = is_loopback(&a.address);
    *out = a;
    return FORAGE_OK;
}

static int port_of(const struct sockaddr_storage *address) {
    struct sockaddr_in in; /* the port is at the same place in both families */
    memcpy(&in, address, sizeof in);
    return ntohs(in.sin_port);
}

forage_status listen_open(const listen_address *a, int *out, base_error *error) {
    int fd = socket(a->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return error_set(error, FORAGE_E_IO, "making a socket: %s", strerror(errno));
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* a restart must not wait for old connections */
    struct sockaddr_storage address = a->address;
    if (bind(fd, (struct sockaddr *)&address, a->size) == 0 && listen(fd, 1024) == 0) {
        *out = fd;
        return FORAGE_OK;
    }
    int failed = errno, port = port_of(&address);
    close(fd);
    if (failed == EADDRINUSE)
        return error_set(error, FORAGE_E_IO, "port %d of %s is in use; is another `forage serve` running? "
                         "Choose another port with --listen %s:PORT", port, a->host, a->host);
    if (failed == EACCES)
        return error_set(error, FORAGE_E_IO, "port %d of %s is not allowed for this user; ports from 1024 up are",
                         port, a->host);
    if (failed == EADDRNOTAVAIL)
        return error_set(error, FORAGE_E_IO, "%s is not an address of this machine", a->host);
    return error_set(error, FORAGE_E_IO, "listening on %s:%d: %s", a->host, port, strerror(failed));
}

void listen_url(const listen_address *a, int fd, char *out, size_t size) {
    struct sockaddr_storage bound = a->address;
    socklen_t bound_size = sizeof bound;
    getsockname(fd, (struct sockaddr *)&bound, &bound_size);
    bool brackets = strchr(a->host, ':') != NULL;
    snprintf(out, size, "http://%s%s%s:%d", brackets ? "[" : "", a->host, brackets ? "]" : "", port_of(&bound));
}
