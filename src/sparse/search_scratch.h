/* Arrays that searches of a thread use one after the other, so that none has to clear them. */
#ifndef SPARSE_SEARCH_SCRATCH_H
#define SPARSE_SEARCH_SCRATCH_H

#include <stdint.h>

#define SCRATCH_DENSE 4096u
#define SCRATCH_WIDE 65536u

typedef struct sparse_scratch { /* all zero between uses */
    uint32_t dense[SCRATCH_DENSE];
    uint32_t wide[SCRATCH_WIDE];
    uint64_t marks[SCRATCH_WIDE / 64];
} sparse_scratch;

/* The calling thread's, for as long as it lives: 280 KiB, of which a search touches what it needs. */
sparse_scratch *sparse_scratch_of_thread(void);

#endif
