/* A data folder: its lock, its format, its collections, opened when first used. */
#include "api/engine.h"
#include "api/trainings.h"

#include "base/log.h"
#include "format/json.h"
#include "os/file.h"

#include <stdlib.h>
#include <string.h>

bool engine_good_name(slice name) {
    if (name.size < 1 || name.size > API_MAX_NAME) return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && !(i > 0 && (c == '-' || c == '_'))) return false;
    }
    return true;
}

#define REMOVED_PREFIX ".removed-"

static void finish_removals(forage *db);

/* ---- The folder ---- */

static forage_status check_format(forage *db, arena *a, base_error *error) {
    char *path = path_join(a, db->folder, "forage.json");
    buffer text = {0};
    json_value *json;
    int64_t format = 0;
    if (!os_exists(path)) {
        if (db->options.read_only)
            return error_set(error, FORAGE_E_NOT_FOUND, "%s is not a Forage data folder (no forage.json in it)", db->folder);
        buffer_printf(&text, "{\"format\": %d}\n", API_FORMAT);
        forage_status status = os_write_file(path, text.data, text.size, error);
        buffer_release(&text);
        return status;
    }
    forage_status status = os_read_file(path, 65536, &text, error);
    if (!status && (json_read(a, (slice){text.data, text.size}, &json, NULL) ||
                    json_member_integer(json, "format", 1, INT64_MAX, &format, NULL) || format == 0))
        status = error_set(error, FORAGE_E_CORRUPT, "%s cannot be read; it should say {\"format\": %d}", path, API_FORMAT);
    if (!status && format > API_FORMAT)
        status = error_set(error, FORAGE_E_VERSION,
                           "%s has format %lld; this program knows formats up to %d. Use a newer version of Forage", db->folder,
                           (long long)format, API_FORMAT);
    buffer_release(&text);
    return status;
}

static forage_status lock_folder(forage *db, arena *a, base_error *error) {
    char *path = path_join(a, db->folder, "forage.lock");
    forage_status status = os_lock(path, &db->lock, error);
    if (status != FORAGE_E_LOCKED) return status;
    buffer owner = {0};
    os_read_file(path, 32, &owner, NULL);
    long pid = owner.size ? strtol(buffer_text(&owner), NULL, 10) : 0;
    buffer_release(&owner);
    return error_set(error, FORAGE_E_LOCKED,
                     "another process (%ld) is writing to %s; stop it, or talk to it with --url if it is a server", pid,
                     db->folder);
}

FORAGE_API forage_status forage_open(const char *folder, const forage_options *options, forage **out, forage_error *error) {
    if (!folder || !*folder || !out) return error_set(error, FORAGE_E_INVALID, "forage_open: no folder given");
    forage *db = mem_zalloc(1, sizeof *db);
    db->folder = mem_strdup(folder);
    db->lock = -1;
    if (options) db->options = *options;
    pthread_mutex_init(&db->mutex, NULL);
    pthread_cond_init(&db->idle, NULL);
    arena a;
    arena_init(&a, 0);
    forage_status status = FORAGE_OK;
    if (!db->options.read_only) status = os_make_folders(folder, error);
    else if (!os_exists(folder)) status = error_set(error, FORAGE_E_NOT_FOUND, "there is no data folder %s", folder);
    if (!status && !db->options.read_only) status = lock_folder(db, &a, error);
    if (!status) status = check_format(db, &a, error);
    if (!status && !db->options.read_only) status = os_make_folders(path_join(&a, folder, "collections"), error);
    arena_release(&a);
    if (!status && !db->options.read_only) finish_removals(db);
    if (!status) {
        db->pool = os_pool_create(db->options.threads, 1024);
        *out = db;
        return FORAGE_OK;
    }
    forage_close(db);
    return status;
}

static void close_collection(forage_collection *c) {
    training_destroy(c->training); /* it uses the others */
    funnel_close(c->funnel);
    collection_close(c->collection);
    free(c);
}

FORAGE_API void forage_close(forage *db) {
    if (!db) return;
    while (db->collections) {
        forage_collection *next = db->collections->next;
        close_collection(db->collections);
        db->collections = next;
    }
    os_pool_destroy(db->pool);
    os_unlock(db->lock);
    pthread_mutex_destroy(&db->mutex);
    pthread_cond_destroy(&db->idle);
    free(db->folder);
    free(db);
}

/* ---- Collections ---- */

static char *folder_of(const forage *db, arena *a, const char *name) {
    return path_join(a, path_join(a, db->folder, "collections"), name);
}

/* Opening can take long (an index to rebuild, a log to replay), so it is done without the mutex; others who want the same
 * collection wait for `opening` to end. */
static forage_status open_entry(forage_collection *c, base_error *error) {
    arena a;
    arena_init(&a, 0);
    forage *db = c->db;
    collection_options options = {.read_only = db->options.read_only, .no_sync = db->options.no_sync,
                                  .clock = os_clock_system};
    forage_status status = collection_open(folder_of(db, &a, c->name), c->name, &options, &c->collection, error);
    if (!status) status = funnel_open(c->collection, db->pool, db->options.seed, &c->funnel, error);
    if (!status) c->training = training_create(c);
    if (status) {
        collection_close(c->collection);
        c->collection = NULL;
    }
    arena_release(&a);
    return status;
}

static forage_collection *find_open(forage *db, const char *name) {
    for (forage_collection *c = db->collections; c; c = c->next)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

static bool is_there(const forage *db, const char *name) {
    arena a;
    arena_init(&a, 0);
    bool there = os_exists(path_join(&a, folder_of(db, &a, name), "store.mdb"));
    arena_release(&a);
    return there;
}

static void unlink_entry(forage *db, forage_collection *c) {
    forage_collection **at = &db->collections;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    pthread_cond_broadcast(&db->idle);
}

static forage_status may_make(const forage *db, const char *name, bool create, base_error *error) {
    if (!create)
        return error_set(error, FORAGE_E_NO_COLLECTION, "there is no collection \"%s\"; create it with PUT /collections/%s or by "
                         "importing into it", name, name);
    if (db->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    return FORAGE_OK;
}

/* The mutex is held, and let go while the collection is opened. */
static forage_status add_entry(forage *db, const char *name, forage_collection **out, base_error *error) {
    forage_collection *c = mem_zalloc(1, sizeof *c);
    *c = (forage_collection){.next = db->collections, .db = db, .opening = true};
    memcpy(c->name, name, strlen(name) + 1);
    db->collections = c;
    pthread_mutex_unlock(&db->mutex);
    forage_status status = open_entry(c, error);
    pthread_mutex_lock(&db->mutex);
    c->opening = false;
    if (status) {
        unlink_entry(db, c);
        free(c);
        return status;
    }
    pthread_cond_broadcast(&db->idle);
    *out = c;
    return FORAGE_OK;
}

forage_status engine_acquire(forage *db, slice name, bool create, forage_collection **out, bool *created, base_error *error) {
    if (!engine_good_name(name))
        return error_set(error, FORAGE_E_INVALID, "collection \"%.*s\": a name has 1 to %d of a-z, 0-9, - and _ and starts with a "
                         "letter or digit", SLICE_ARG(name), API_MAX_NAME);
    char text[API_MAX_NAME + 1];
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    forage_status status = FORAGE_OK;
    forage_collection *c;
    bool make = false;
    pthread_mutex_lock(&db->mutex);
    while ((c = find_open(db, text)) && c->opening) pthread_cond_wait(&db->idle, &db->mutex);
    if (c && c->dropped) {
        status = error_set(error, FORAGE_E_NO_COLLECTION, "the collection \"%s\" is being removed", text);
    } else if (!c) {
        make = !is_there(db, text);
        if (make) status = may_make(db, text, create, error);
        if (!status) status = add_entry(db, text, &c, error);
    }
    if (!status) c->users++;
    pthread_mutex_unlock(&db->mutex);
    if (status) return status;
    if (created) *created = make;
    *out = c;
    return FORAGE_OK;
}

forage_collection *engine_next_open(forage *db, forage_collection *previous) {
    pthread_mutex_lock(&db->mutex);
    forage_collection *c = previous ? previous->next : db->collections;
    while (c && (c->opening || c->dropped)) c = c->next;
    if (c) c->users++;
    if (previous && --previous->users <= 1) pthread_cond_broadcast(&db->idle);
    pthread_mutex_unlock(&db->mutex);
    return c;
}

void engine_release(forage_collection *c) {
    if (!c) return;
    forage *db = c->db;
    pthread_mutex_lock(&db->mutex);
    if (--c->users <= 1) pthread_cond_broadcast(&db->idle); /* who removes it is a user too */
    pthread_mutex_unlock(&db->mutex);
}

/* Waits for calls in progress, then closes and removes. The files go to a hidden name first, so that a crash in between
 * leaves no half of a collection. Until all is gone the entry stays, so that nobody opens what is being removed. */
forage_status engine_drop(forage *db, slice name, base_error *error) {
    forage_collection *c;
    if (db->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    forage_status status = engine_acquire(db, name, false, &c, NULL, error);
    if (status) return status;
    arena a;
    arena_init(&a, 0);
    pthread_mutex_lock(&db->mutex);
    bool first = !c->dropped;
    c->dropped = true;
    training_stop(c->training);
    while (first && c->users > 1) pthread_cond_wait(&db->idle, &db->mutex);
    pthread_mutex_unlock(&db->mutex);
    if (!first) { /* somebody else came in the same moment */
        engine_release(c);
        arena_release(&a);
        return error_set(error, FORAGE_E_NO_COLLECTION, "the collection is being removed");
    }
    char *folder = folder_of(db, &a, c->name);
    char *trash = folder_of(db, &a, arena_printf(&a, REMOVED_PREFIX "%s", c->name));
    training_destroy(c->training);
    funnel_close(c->funnel);
    collection_close(c->collection);
    status = os_remove_tree(trash, error);
    if (!status) status = os_rename(folder, trash, error);
    if (!status) status = os_remove_tree(trash, error);
    pthread_mutex_lock(&db->mutex);
    unlink_entry(db, c);
    pthread_mutex_unlock(&db->mutex);
    free(c);
    arena_release(&a);
    return status;
}

/* What a crash left of a removal. */
static void finish_removals(forage *db) {
    arena a;
    char **names;
    size_t n;
    arena_init(&a, 0);
    char *folder = path_join(&a, db->folder, "collections");
    if (!os_list(folder, &a, &names, &n, NULL))
        for (size_t i = 0; i < n; i++)
            if (strncmp(names[i], REMOVED_PREFIX, strlen(REMOVED_PREFIX)) == 0)
                os_remove_tree(path_join(&a, folder, names[i]), NULL);
    arena_release(&a);
}

forage_status engine_list(forage *db, arena *a, char ***names, size_t *n, base_error *error) {
    char *folder = path_join(a, db->folder, "collections");
    char **found;
    size_t count;
    *n = 0;
    if (!os_exists(folder)) return FORAGE_OK;
    forage_status status = os_list(folder, a, &found, &count, error);
    if (status) return status;
    for (size_t i = 0; i < count; i++)
        if (engine_good_name(slice_of(found[i])) && is_there(db, found[i])) found[(*n)++] = found[i];
    *names = found;
    return FORAGE_OK;
}
