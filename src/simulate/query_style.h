/* How what a customer has in mind becomes words. */
#ifndef SIMULATE_QUERY_STYLE_H
#define SIMULATE_QUERY_STYLE_H

#include "simulate/population.h"

/* The query for a document in the wanted style; *style is what came out where the document lacks what that needs.
 * *attribute: the one that the query names first, SIM_NONE for none. In the arena; at most some hundred bytes, valid
 * UTF-8. */
slice query_style_write(const sim_catalogue *k, uint32_t document, query_style *style, uint32_t *attribute,
                        random_source *r, arena *a);

#endif
