/* Words of the index that begin as given: for completing the word that somebody is still typing. */
#include "sparse/enumerate.h"
#include "sparse/search.h"

#define WALK_LIMIT 8192 /* terms looked at in one part: a short beginning of a large vocabulary is cut off, in order */

size_t sparse_complete(const sparse_snapshot *s, slice prefix, size_t limit, arena *a, sparse_completion *out) {
    const sparse_effort effort = {.most = WALK_LIMIT};
    sparse_vocabulary found;
    sparse_vocabulary_prefix(s, prefix, limit, &effort, a, &found);
    for (size_t i = 0; i < found.n; i++) out[i] = (sparse_completion){found.terms[i].key, found.terms[i].df};
    return found.n;
}
