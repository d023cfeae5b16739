/* --where and --filter as one filter of the API. */
#ifndef CLI_SEARCH_FILTER_H
#define CLI_SEARCH_FILTER_H

#include "cli/client.h"

/* Appends the filter's JSON, nothing without conditions. Asks for the schema to know which values are numbers. */
int search_filter_write(const cli_arguments *a, client *c, arena *memory, const char *collection, buffer *out);

#endif
