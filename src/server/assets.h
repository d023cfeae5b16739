/* The search page's files, put into the binary by tools/embed.py when it is built. */
#ifndef SERVER_ASSETS_H
#define SERVER_ASSETS_H

#include "base/memory.h"

typedef struct web_asset {
    const char *name; /* "app.js" */
    const char *content_type;
    const char *etag; /* with its quotes */
    const unsigned char *data;
    size_t size;
} web_asset;

extern const web_asset web_assets[]; /* ends with a NULL name */

const web_asset *web_asset_find(slice name); /* NULL when absent */

#endif
