/* Do the words of a phrase stand together in this document? Reads positions, so it is asked last, of few candidates. */
#ifndef SPARSE_PHRASES_H
#define SPARSE_PHRASES_H

#include "sparse/queryplan.h"

typedef struct sparse_phrases sparse_phrases;

/* For one part in which all the phrases' terms occur. Lives in the arena; NULL when the plan has no phrases. */
sparse_phrases *sparse_phrases_open(const sparse_plan *plan, uint32_t part, arena *a);

/* Whether the document has all the phrases. Places may come in any order, ascending is fastest. Damaged positions do not
 * match. */
bool sparse_phrases_match(sparse_phrases *p, uint32_t place);

#endif
