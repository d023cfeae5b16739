/* The Last.fm set of HetRec 2011 as a catalogue and a log: artists are the documents, a tag is the query and the artist
 * that got it what was chosen. What people listen to is known of them from the start. */
#ifndef CLI_LASTFM_H
#define CLI_LASTFM_H

#include "cli/cli.h"

typedef struct lastfm {
    buffer artists;  /* documents, NDJSON */
    buffer listens;  /* a replay's log without queries: what is known of the users */
    buffer searches; /* a replay's log, in the order of time */
    uint64_t n_artists, n_listens, n_searches;
} lastfm;

extern const char lastfm_schema[]; /* JSON */

/* Reads artists.dat, tags.dat, user_artists.dat and user_taggedartists.dat of a folder. Rows dated before 2005 or after
 * 2011 are left out; within a day the file's order stays. most: searches at most, the earliest; 0: all. Artists that
 * have a tag or a listener and no name are called by their number. Returns an exit status. */
int lastfm_read(const char *folder, uint64_t most, lastfm *out);
void lastfm_release(lastfm *l);

#endif
