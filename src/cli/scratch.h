/* A copy of one collection in a temporary data folder, for commands that would teach it what nobody did. */
#ifndef CLI_SCRATCH_H
#define CLI_SCRATCH_H

#include "cli/client.h"

typedef struct scratch {
    char folder[512]; /* "": there is none */
} scratch;

/* Copies the collection that the arguments name (client_collection) from the data folder, which nobody may write to
 * meanwhile, and opens the copy. *collection is in `memory`. */
int scratch_open(const cli_arguments *a, arena *memory, scratch *out, client **c, const char **collection);
void scratch_remove(scratch *s); /* after client_close; no-op on a zeroed one */

#endif
