/* A request that takes long, and how far it is meanwhile. */
#ifndef CLI_WAITING_H
#define CLI_WAITING_H

#include "cli/client.h"

/* Tells the person how far it is; false: it need not be asked again. */
typedef bool (*client_look)(void *self);

/* client_json with POST, in a thread of its own, while this one calls `look` every `every_us` microseconds. With `look` NULL, and
 * when there is no thread left, it just waits. `memory` is the request's until it is done. A server's connection is for one
 * request at a time: who looks through a client of its own may look at a server, too. */
int client_json_watched(client *c, arena *memory, const char *target, slice body, client_look look, void *self,
                        unsigned every_us, json_value **out, slice *text);

#endif
