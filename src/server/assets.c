#include "server/assets.h"

const web_asset *web_asset_find(slice name) {
    for (const web_asset *a = web_assets; a->name; a++)
        if (slice_is(name, a->name)) return a;
    return NULL;
}
