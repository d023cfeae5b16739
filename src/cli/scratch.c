#include "cli/scratch.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 20)

static bool is_lock(const char *name) {
    size_t n = strlen(name);
    return n >= 4 && strcmp(name + n - 4, "lock") == 0;
}

static int failed(const char *what, const char *path) {
    cli_error("%s %s: %s", what, path, strerror(errno));
    return CLI_FAILED;
}

static int copy_bytes(int from, int to, const char *path) {
    char *chunk = mem_alloc(CHUNK);
    int status = CLI_OK;
    ssize_t n;
    while (!status && (n = read(from, chunk, CHUNK)) != 0) {
        for (ssize_t done = 0, some; !status && n > 0 && done < n; done += some)
            if ((some = write(to, chunk + done, (size_t)(n - done))) < 0) status = failed("copying", path);
        if (n < 0) status = failed("reading", path);
    }
    free(chunk);
    return status;
}

static int copy_file(const char *source, const char *target) {
    int from = open(source, O_RDONLY | O_CLOEXEC), to = -1;
    int status = from < 0 ? failed("reading", source) : CLI_OK;
    if (!status && (to = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        status = failed("writing", target);
    if (!status) status = copy_bytes(from, to, source);
    if (to >= 0 && close(to) && !status) status = failed("writing", target);
    if (from >= 0) close(from);
    return status;
}

/* The plain files of a folder, and below `deeper` everything; lock files stay where they are. */
static int copy_folder(const char *source, const char *target, const char *deeper, arena *memory) {
    char **names;
    size_t n;
    base_error error;
    if (os_make_folders(target, &error) || os_list(source, memory, &names, &n, &error)) {
        cli_error("%s", error.message);
        return CLI_FAILED;
    }
    int status = CLI_OK;
    for (size_t i = 0; !status && i < n; i++) {
        const char *from = path_join(memory, source, names[i]), *to = path_join(memory, target, names[i]);
        int folder = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder >= 0) close(folder);
        if (folder < 0 && !is_lock(names[i])) status = copy_file(from, to);
        else if (folder >= 0 && (!deeper || strcmp(names[i], deeper) == 0))
            status = copy_folder(from, to, NULL, memory);
    }
    return status;
}

static int find_collection(const cli_arguments *a, arena *memory, const char **collection) {
    client *c = NULL;
    int status = client_open(a, CLIENT_LOOKS, &c);
    if (!status) status = client_collection(c, a, memory, NULL, collection);
    client_close(c);
    return status;
}

static int copy_collection(const char *from, const char *to, const char *name, arena *memory) {
    char *collections = path_join(memory, from, "collections"), *target = path_join(memory, to, "collections");
    char *one = path_join(memory, collections, name);
    if (strchr(name, '/') || !os_exists(one)) {
        cli_error("there is no collection \"%s\" in %s; `forage collections` lists them", name, from);
        return CLI_FAILED;
    }
    int status = copy_folder(from, to, "", memory);
    return status ? status : copy_folder(one, path_join(memory, target, name), NULL, memory);
}

/* With the folder's lock held, so that what is copied is whole. */
static int copy_locked(const cli_arguments *a, arena *memory, const char *to, const char **collection) {
    const char *folder = data_folder(a);
    base_error error;
    int lock = -1;
    if (!os_exists(folder)) return find_collection(a, memory, collection); /* tells that it is not there */
    if (os_lock(path_join(memory, folder, "forage.lock"), &lock, &error)) {
        cli_error("copying %s: %s", folder, error.message);
        if (error.status == FORAGE_E_LOCKED)
            fprintf(
                stderr,
                "If that is `forage serve`, add --url http://127.0.0.1:7700 --keep: the server's collection learns\n");
        return CLI_FAILED;
    }
    int status = find_collection(a, memory, collection);
    if (!status) status = copy_collection(folder, to, *collection, memory);
    os_unlock(lock);
    return status;
}

int scratch_open(const cli_arguments *a, arena *memory, scratch *out, client **c, const char **collection) {
    const char *base = getenv("TMPDIR");
    snprintf(out->folder, sizeof out->folder, "%s/forage-scratch-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(out->folder)) {
        int status = failed("making a temporary folder", out->folder);
        out->folder[0] = '\0';
        return status;
    }
    int status = copy_locked(a, memory, out->folder, collection);
    return status ? status : client_open_folder(a, out->folder, c);
}

void scratch_remove(scratch *s) {
    if (s->folder[0]) os_remove_tree(s->folder, NULL);
    s->folder[0] = '\0';
}
