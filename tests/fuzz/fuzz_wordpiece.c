/* A folder's vocabulary and the texts may be any bytes: ids lie in the vocabulary, never more than asked for. The input is the
 * vocabulary, the settings and a text, apart by bytes of 0; the first byte says which kind of vocabulary and how many tokens. */
#include "encode/wordpiece.h"
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slice take_part(slice *rest) {
    const char *end = rest->size ? memchr(rest->data, 0, rest->size) : NULL;
    slice part = {rest->data, end ? (size_t)(end - rest->data) : rest->size};
    rest->size -= part.size + (end != NULL);
    rest->data += part.size + (end != NULL);
    return part;
}

static void put(const char *folder, const char *name, slice text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (os_write_file(path, text.data, text.size, NULL)) abort();
}

static void check(const wordpiece *w, slice text, const slice *second, uint32_t most, arena *a) {
    wordpiece_tokens t = wordpiece_encode(w, text, second, most, a);
    if (t.n > most) abort();
    for (uint32_t i = 0; i < t.n; i++)
        if (t.ids[i] >= wordpiece_size(w) || t.types[i] > 1 || !wordpiece_token(w, t.ids[i]).size) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    char folder[64];
    wordpiece *w;
    slice rest = {(const char *)data + 1, size - 1};
    const bool json = data[0] & 1;
    const uint32_t most = 3 + (data[0] >> 1);
    snprintf(folder, sizeof folder, "/tmp/fuzz-wordpiece-%ld", (long)getpid());
    if (os_make_folders(folder, NULL)) abort();
    put(folder, json ? "tokenizer.json" : "vocab.txt", take_part(&rest));
    slice settings = take_part(&rest);
    if (settings.size) put(folder, "tokenizer_config.json", settings);
    if (!wordpiece_open(folder, &w, NULL)) {
        arena a;
        arena_init(&a, 0);
        check(w, rest, NULL, most, &a);
        check(w, settings, &rest, most, &a);
        arena_release(&a);
        wordpiece_close(w);
    }
    if (os_remove_tree(folder, NULL)) abort();
    return 0;
}
