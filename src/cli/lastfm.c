#include "cli/lastfm.h"

#include "format/json.h"
#include "os/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_YEAR 2005
#define LAST_YEAR 2011
#define LISTEN_STEPS 8     /* what a listen is worth: eighths, by the logarithm of how many there were */
#define MOST_ID 10000000   /* beyond it, a number is damage */

const char lastfm_schema[] =
    "{\"fields\":{\"name\":{\"type\":\"text\"},\"type\":{\"type\":\"keyword\"}},\"id\":\"id\",\"type\":\"type\","
    "\"beyond_words\":true,\"only_new\":true,\"half_life_days\":3650,\"budget\":{\"candidates\":100},\"rewards\":{\"tag\":1,"
    "\"listen1\":0.125,\"listen2\":0.25,\"listen3\":0.375,\"listen4\":0.5,\"listen5\":0.625,\"listen6\":0.75,"
    "\"listen7\":0.875,\"listen8\":1}}";

void lastfm_release(lastfm *l) {
    buffer_release(&l->artists);
    buffer_release(&l->listens);
    buffer_release(&l->searches);
    *l = (lastfm){0};
}

/* ---- The files ---- */

static int read_file(const char *folder, const char *name, buffer *out) {
    arena a;
    base_error error;
    arena_init(&a, 0);
    int status = CLI_OK;
    if (os_read_file(path_join(&a, folder, name), (size_t)1 << 30, out, &error)) {
        cli_error("%s", error.message);
        status = CLI_FAILED;
    }
    arena_release(&a);
    return status;
}

/* The next line of a text, without its end. */
static bool next_line(slice *text, slice *line) {
    if (!text->size) return false;
    const char *end = memchr(text->data, '\n', text->size);
    size_t size = end ? (size_t)(end - text->data) : text->size, rest = size + (end != NULL);
    *line = (slice){text->data, size};
    if (size && text->data[size - 1] == '\r') line->size--;
    *text = (slice){text->data + rest, text->size - rest};
    return true;
}

static slice next_cell(slice *line) {
    const char *tab = line->size ? memchr(line->data, '\t', line->size) : NULL;
    slice cell = {line->data, tab ? (size_t)(tab - line->data) : line->size};
    *line = tab ? (slice){tab + 1, line->size - cell.size - 1} : (slice){line->data + line->size, 0};
    return cell;
}

/* A whole number of at most nine digits; -1: it is none. */
static long number_of(slice cell) {
    long n = 0;
    if (!cell.size || cell.size > 9) return -1;
    for (size_t i = 0; i < cell.size; i++) {
        if (cell.data[i] < '0' || cell.data[i] > '9') return -1;
        n = 10 * n + (cell.data[i] - '0');
    }
    return n;
}

typedef struct numbers {
    long *values; /* n × width */
    size_t n, capacity;
} numbers;

/* Lines after the first that hold `width` whole numbers; others are passed over. */
static int read_numbers(const char *folder, const char *name, size_t width, numbers *out) {
    buffer text = {0};
    slice line;
    int status = read_file(folder, name, &text);
    slice rest = {text.data, text.size};
    bool title = true;
    while (!status && next_line(&rest, &line)) {
        bool good = !title;
        title = false;
        if (!good) continue;
        out->values = mem_grow(out->values, &out->capacity, (out->n + 1) * width, sizeof *out->values);
        for (size_t i = 0; i < width; i++) {
            long value = out->values[out->n * width + i] = number_of(next_cell(&line));
            good &= value >= 0 && (i > 1 || value < MOST_ID); /* users and artists come first */
        }
        out->n += good;
    }
    buffer_release(&text);
    if (!status && !out->n) {
        cli_error("%s/%s has no lines of %zu numbers: is it the Last.fm set of HetRec 2011?", folder, name, width);
        status = CLI_FAILED;
    }
    return status;
}

static bool is_utf8(slice s) {
    for (size_t i = 0; i < s.size;) {
        unsigned char c = (unsigned char)s.data[i++];
        int more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : -1;
        for (; more > 0; more--)
            if (i == s.size || ((unsigned char)s.data[i++] & 0xC0) != 0x80) return false;
        if (more < 0) return false;
    }
    return true;
}

/* tags.dat is latin-1, artists.dat is not. */
static slice to_utf8(arena *a, slice s) {
    if (is_utf8(s)) return arena_slice(a, s);
    char *out = arena_alloc(a, 2 * s.size + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x80) out[n++] = (char)(0xC0 | c >> 6);
        out[n++] = c < 0x80 ? (char)c : (char)(0x80 | (c & 0x3F));
    }
    return (slice){out, n};
}

typedef struct names {
    slice *of; /* by number; empty: none */
    size_t n, capacity;
} names;

static void name_number(names *list, long number, slice name) {
    size_t before = list->n;
    if (number < 0 || number >= MOST_ID) return;
    if ((size_t)number >= before) {
        list->n = (size_t)number + 1;
        list->of = mem_grow(list->of, &list->capacity, list->n, sizeof *list->of);
        memset(list->of + before, 0, (list->n - before) * sizeof *list->of);
    }
    if (name.size) list->of[number] = name;
}

static int read_names(const char *folder, const char *name, arena *a, names *out) {
    buffer text = {0};
    slice line;
    int status = read_file(folder, name, &text);
    slice rest = {text.data, text.size};
    next_line(&rest, &line);
    while (!status && next_line(&rest, &line)) {
        long number = number_of(next_cell(&line));
        name_number(out, number, to_utf8(a, next_cell(&line)));
    }
    buffer_release(&text);
    return status;
}

/* ---- What becomes of them ---- */

static void member(json_writer *w, const char *key, slice text) {
    json_key(w, key);
    json_string(w, text);
}

static void number_member(json_writer *w, arena *a, const char *key, const char *prefix, long number) {
    json_key(w, key);
    json_text(w, arena_printf(a, "%s%ld", prefix, number));
}

static json_writer begin_line(buffer *out) {
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    return w;
}

static void end_line(json_writer *w) {
    json_end_object(w);
    buffer_putc(w->out, '\n');
}

static void write_artists(lastfm *l, const names *artists, const bool *used, arena *a) {
    for (size_t i = 0; i < artists->n; i++) {
        if (!artists->of[i].size && !used[i]) continue;
        json_writer w = begin_line(&l->artists);
        number_member(&w, a, "id", "", (long)i);
        if (artists->of[i].size) member(&w, "name", artists->of[i]);
        else number_member(&w, a, "name", "", (long)i);
        member(&w, "type", SLICE("artist"));
        end_line(&w);
        l->n_artists++;
    }
}

static void write_date(json_writer *w, arena *a, int64_t date) {
    int day = (int)(date % 100), month = (int)(date / 100 % 100), year = (int)(date / 10000);
    json_key(w, "time");
    json_text(w, arena_printf(a, "%04d-%02d-%02d", year, month, day));
}

typedef struct tagging {
    long user, artist, tag;
    int64_t date; /* 20090401 */
    size_t line;
} tagging;

static int by_date(const void *x, const void *y) {
    const tagging *a = x, *b = y;
    if (a->date != b->date) return a->date < b->date ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

static void write_searches(lastfm *l, const tagging *rows, size_t n, const names *tags, arena *a) {
    for (size_t i = 0; i < n; i++) {
        const tagging *t = &rows[i];
        slice tag = t->tag >= 0 && (size_t)t->tag < tags->n ? tags->of[t->tag] : (slice){0};
        if (!tag.size) continue;
        json_writer w = begin_line(&l->searches);
        member(&w, "query", tag);
        number_member(&w, a, "user", "", t->user);
        number_member(&w, a, "document", "", t->artist);
        member(&w, "action", SLICE("tag"));
        write_date(&w, a, t->date);
        end_line(&w);
        l->n_searches++;
        arena_reset(a);
    }
}

/* When each user searched first, by number; 0: never. */
static int64_t *first_searches(const tagging *rows, size_t n, long users) {
    int64_t *first = mem_zalloc((size_t)users + 1, sizeof *first);
    for (size_t i = n; i-- > 0;) first[rows[i].user] = rows[i].date;
    return first;
}

/* They have no date. All are known from the start; they are dated on the day of their user's first search, and of users who
 * never search at the end of the year before the first of all. */
static void write_listens(lastfm *l, const numbers *listens, const tagging *rows, size_t n_rows, arena *a) {
    long most = 1, users = 0;
    for (size_t i = 0; i < listens->n; i++)
        if (listens->values[3 * i] > users) users = listens->values[3 * i];
    for (size_t i = 0; i < n_rows; i++)
        if (rows[i].user > users) users = rows[i].user;
    int64_t *first = first_searches(rows, n_rows, users);
    for (size_t i = 0; i < listens->n; i++)
        if (listens->values[3 * i + 2] > most) most = listens->values[3 * i + 2];
    for (size_t i = 0; i < listens->n; i++) {
        const long *v = listens->values + 3 * i;
        double share = log1p((double)v[2]) / log1p((double)most);
        long step = lround(ceil(share * LISTEN_STEPS));
        json_writer w = begin_line(&l->listens);
        number_member(&w, a, "user", "", v[0]);
        number_member(&w, a, "document", "", v[1]);
        number_member(&w, a, "action", "listen", step < 1 ? 1 : step);
        int64_t date = first[v[0]] ? first[v[0]] : (FIRST_YEAR - 1) * 10000 + 1231;
        write_date(&w, a, date);
        end_line(&w);
        l->n_listens++;
        arena_reset(a);
    }
    free(first);
}

static size_t take_taggings(const numbers *rows, tagging *out) {
    size_t n = 0;
    for (size_t i = 0; i < rows->n; i++) {
        const long *v = rows->values + 6 * i; /* user, artist, tag, day, month, year */
        if (v[5] < FIRST_YEAR || v[5] > LAST_YEAR || v[4] < 1 || v[4] > 12 || v[3] < 1 || v[3] > 31) continue;
        out[n++] = (tagging){v[0], v[1], v[2], v[5] * 10000 + v[4] * 100 + v[3], i};
    }
    qsort(out, n, sizeof *out, by_date);
    return n;
}

int lastfm_read(const char *folder, uint64_t most, lastfm *out) {
    lastfm l = {0};
    numbers listens = {0}, rows = {0};
    names artists = {0}, tags = {0};
    tagging *taggings = NULL;
    bool *used = NULL;
    arena texts, scratch;
    arena_init(&texts, 0);
    arena_init(&scratch, 0);
    int status = read_names(folder, "artists.dat", &texts, &artists);
    if (!status) status = read_names(folder, "tags.dat", &texts, &tags);
    if (!status) status = read_numbers(folder, "user_artists.dat", 3, &listens);
    if (!status) status = read_numbers(folder, "user_taggedartists.dat", 6, &rows);
    if (status) goto done;
    taggings = mem_alloc((rows.n + 1) * sizeof *taggings);
    size_t n_all = take_taggings(&rows, taggings), n = most && n_all > most ? (size_t)most : n_all;
    for (size_t i = 0; i < n; i++) name_number(&artists, taggings[i].artist, (slice){0});
    for (size_t i = 0; i < listens.n; i++) name_number(&artists, listens.values[3 * i + 1], (slice){0});
    used = mem_zalloc(artists.n + 1, sizeof *used);
    for (size_t i = 0; i < n; i++) used[taggings[i].artist] = true;
    for (size_t i = 0; i < listens.n; i++) used[listens.values[3 * i + 1]] = true;
    write_artists(&l, &artists, used, &scratch);
    write_listens(&l, &listens, taggings, n_all, &scratch);
    write_searches(&l, taggings, n, &tags, &scratch);
    *out = l;
done:
    free(listens.values);
    free(rows.values);
    free(artists.of);
    free(tags.of);
    free(taggings);
    free(used);
    arena_release(&texts);
    arena_release(&scratch);
    return status;
}
