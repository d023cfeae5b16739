/* Full vectors: rows in a file that has lost its name, mapped a piece at a time, so that the page cache may drop them. */
#include "dense/dense_impl.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)4 << 20)

struct dense_vectors {
    uint32_t dimensions;
    size_t stride; /* of a row: floats, padding to 8, version */
    uint32_t shift, mask;
    int fd; /* -1: in memory */
    char *path;
    char **pieces;
    uint32_t n_pieces;
    _Atomic uint32_t n;
    uint32_t *spare; /* rows that were given back */
    size_t n_spare, spare_capacity;
};

static size_t piece_bytes(const dense_vectors *v) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return ((v->stride << v->shift) + page - 1) / page * page;
}

forage_status dense_vectors_create(const char *folder, uint32_t dimensions, dense_vectors **out, base_error *error) {
    dense_vectors *v = mem_zalloc(1, sizeof *v);
    v->dimensions = dimensions;
    v->stride = ((size_t)dimensions * sizeof(float) + 7) / 8 * 8 + sizeof(uint64_t);
    while (v->stride << (v->shift + 1) <= PIECE_BYTES) v->shift++;
    v->mask = (1u << v->shift) - 1;
    v->fd = -1;
    if (folder) {
        buffer path = {0};
        buffer_printf(&path, "%s/vectors-%llx.tmp", folder, (unsigned long long)random_entropy());
        v->path = buffer_text(&path);
        v->fd = open(v->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (v->fd < 0) {
            forage_status status = os_error(error, errno, "creating", v->path);
            dense_vectors_destroy(v);
            return status;
        }
        unlink(v->path);
    }
    v->pieces = mem_zalloc((DENSE_MOST_NODES >> v->shift) + 1, sizeof *v->pieces);
    *out = v;
    return FORAGE_OK;
}

void dense_vectors_destroy(dense_vectors *v) {
    if (!v) return;
    for (uint32_t i = 0; i < v->n_pieces; i++) munmap(v->pieces[i], piece_bytes(v));
    if (v->fd >= 0) close(v->fd);
    free(v->pieces);
    free(v->path);
    free(v->spare);
    free(v);
}

/* The file's room is taken before it is mapped: a full disk is an error here and no signal later. */
static forage_status add_piece(dense_vectors *v, base_error *error) {
    size_t size = piece_bytes(v);
    off_t offset = (off_t)(size * v->n_pieces);
    if (v->fd >= 0) {
        int failed;
        do failed = posix_fallocate(v->fd, offset, (off_t)size);
        while (failed == EINTR);
        if (failed) return os_error(error, failed, "growing", v->path);
    }
    int flags = v->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void *piece = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, v->fd, v->fd >= 0 ? offset : 0);
    if (piece == MAP_FAILED) return os_error(error, errno, "mapping", v->path ? v->path : "vectors");
    v->pieces[v->n_pieces++] = piece;
    return FORAGE_OK;
}

forage_status dense_vectors_take(dense_vectors *v, uint32_t *row, base_error *error) {
    if (v->n_spare > 0) {
        *row = v->spare[--v->n_spare];
        return FORAGE_OK;
    }
    uint32_t n = atomic_load_explicit(&v->n, memory_order_relaxed);
    if (n >> v->shift == v->n_pieces) {
        forage_status status = add_piece(v, error);
        if (status < 0) return status;
    }
    atomic_store_explicit(&v->n, n + 1, memory_order_relaxed);
    *row = n;
    return FORAGE_OK;
}

void dense_vectors_give(dense_vectors *v, uint32_t row) {
    v->spare = mem_grow(v->spare, &v->spare_capacity, v->n_spare + 1, sizeof *v->spare);
    v->spare[v->n_spare++] = row;
}

float *dense_vectors_row(const dense_vectors *v, uint32_t row) {
    return (float *)(void *)(v->pieces[row >> v->shift] + (size_t)(row & v->mask) * v->stride);
}

uint64_t *dense_vectors_version(const dense_vectors *v, uint32_t row) {
    return (uint64_t *)(void *)((char *)dense_vectors_row(v, row) + v->stride - sizeof(uint64_t));
}

size_t dense_vectors_bytes(const dense_vectors *v) {
    return (size_t)atomic_load_explicit(&v->n, memory_order_relaxed) * v->stride;
}
