/* The API, wherever it is: a data folder opened in this process, or a server. Functions that return an exit status
 * (cli.h) have told the person what went wrong when it is not CLI_OK. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/arguments.h"
#include "format/json.h"

#include <stdio.h>

typedef struct client client;

/* What the command does to the data folder. A looking one never locks it; a reading one would rather write (a search logs),
 * and opens a folder that a server has locked for reading only, with a note; the others wait a moment for a short command
 * to let go of it; only a creating one makes a folder that is not there. */
typedef enum client_purpose { CLIENT_LOOKS, CLIENT_READS, CLIENT_WRITES, CLIENT_CREATES } client_purpose;

int client_open(const cli_arguments *a, client_purpose purpose, client **out);
int client_open_folder(const cli_arguments *a, const char *folder, client **out); /* a throw-away folder */
bool client_would_be_remote(const cli_arguments *a); /* --url, or FORAGE_URL and no --data */
void client_close(client *c); /* NULL is a no-op */
bool client_is_remote(const client *c);
const char *client_place(const client *c); /* the folder or URL, for messages */

typedef struct client_reply {
    int status;
    slice body;
    char next[256]; /* where the next page starts; "": it was the last */
    struct forage_response *local; /* who owns `body` */
    char *remote;
} client_reply;

/* content_type NULL: JSON. A server that is overloaded is asked again a few times. CLI_FAILED: no answer at all. */
int client_send(client *c, const char *method, const char *target, const char *content_type, slice body,
                client_reply *out);
void client_reply_release(client_reply *reply);

/* Tells what an answer with status 400 or more says, and what to do about it. Returns CLI_FAILED; else CLI_OK. */
int client_check(const client *c, const client_reply *reply);

/* Sends, checks, and reads the answer as JSON into `memory`. *text (may be NULL) is the answer as it came. */
int client_json(client *c, arena *memory, const char *method, const char *target, slice body, json_value **out,
                slice *text);

/* Writes what is at a target in pages, to the last: `page` gives the target of what follows `after` ("": the first), and `written`
 * (may be NULL) is told each page. A closed pipe ends it without a word: `| head` has seen enough. */
typedef const char *(*client_page)(void *self, arena *memory, const char *after);
typedef void (*client_written)(void *self, slice page);
int client_write_pages(client *c, client_page page, client_written written, void *self, FILE *out);

/* --collection, or the only collection there is. With `otherwise`, that name when there is none yet. */
int client_collection(client *c, const cli_arguments *a, arena *memory, const char *otherwise, const char **name);

/* "/collections/NAME" and what follows, the name percent-encoded. */
const char *collection_target(arena *memory, const char *collection, const char *rest);
void percent_encode(buffer *out, slice text);

/* --api-key-file or FORAGE_API_KEY; *key is NULL when there is neither, else freed by the caller. */
int api_key_read(const cli_arguments *a, char **key);
const char *data_folder(const cli_arguments *a);

#endif
