/* Training the catalogue's own encoder from the documents, what they refer to, and the queries after which they were chosen. */
#include "retrieve/vectors_state.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"
#include "encode/catalogue.h"
#include "memory/query_memory.h"
#include "os/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FEWEST_DOCUMENTS 50u
#define MOST_DOCUMENTS 300000u /* that are read; of more, evenly chosen ones */
#define FEWEST_PAIRS 200u      /* that have come since make another training worth it, and half as many again as there were */
#define MOST_QUERIES 64u       /* of one document */
#define MOST_PAIRS 2000000u
#define TIE_WEIGHT 1.0f
#define COUNT_EVERY ((int64_t)60 * 1000000)

/* ---- What people chose ---- */

typedef struct chosen_pair {
    uint32_t document;
    float weight;
    uint64_t text; /* where the query stands */
} chosen_pair;

typedef struct chosen_pairs {
    store_txn *txn;
    chosen_pair *list;
    size_t n, capacity;
    buffer texts; /* NUL-terminated */
    bool count_only;
    uint64_t counted;
    arena rows;
} chosen_pairs;

static bool take_query(void *self, const memory_query *q) {
    chosen_pairs *p = self;
    memory_row *rows;
    arena_reset(&p->rows);
    size_t n = memory_rows_of(p->txn, q->key, 1024, &p->rows, &rows), text = p->texts.size;
    bool used = false;
    for (size_t i = 0; i < n && p->counted < MOST_PAIRS; i++) {
        if (!(rows[i].rewards > 0)) continue;
        p->counted++;
        if (p->count_only) continue;
        p->list = mem_grow(p->list, &p->capacity, p->n + 1, sizeof *p->list);
        p->list[p->n++] = (chosen_pair){rows[i].document, rows[i].rewards, text};
        used = true;
    }
    if (used) {
        buffer_slice(&p->texts, q->text);
        buffer_putc(&p->texts, '\0');
    }
    return p->counted < MOST_PAIRS;
}

/* By document, the most rewarded first. */
static int by_document(const void *x, const void *y) {
    const chosen_pair *a = x, *b = y;
    if (a->document != b->document) return a->document < b->document ? -1 : 1;
    if (a->weight != b->weight) return a->weight < b->weight ? 1 : -1;
    return a->text < b->text ? -1 : a->text > b->text;
}

static void gather_pairs(store_txn *t, chosen_pairs *p) {
    p->txn = t;
    arena_init(&p->rows, 1 << 16);
    memory_each_query(t, take_query, p);
    arena_release(&p->rows);
    if (p->n) qsort(p->list, p->n, sizeof *p->list, by_document);
}

static void release_pairs(chosen_pairs *p) {
    free(p->list);
    buffer_release(&p->texts);
}

static size_t pairs_of(const chosen_pairs *p, uint32_t document) {
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->list[middle].document < document) low = middle + 1;
        else high = middle;
    }
    return low;
}

static float weight_of(const chosen_pair *p) { return log1pf(p->weight) + 1; }

void vectors_chosen_text(vector_space *s, store_txn *t, uint32_t document, buffer *text) {
    if (!s->chosen) {
        s->chosen = mem_zalloc(1, sizeof *s->chosen);
        gather_pairs(t, s->chosen);
    }
    const chosen_pairs *p = s->chosen;
    size_t at = pairs_of(p, document);
    for (size_t n = 0; n < MOST_QUERIES && at < p->n && p->list[at].document == document; n++, at++)
        for (long times = lrintf(weight_of(&p->list[at])); times > 0; times--) {
            buffer_slice(text, slice_of(p->texts.data + p->list[at].text));
            buffer_putc(text, '\n');
        }
}

void vectors_forget_chosen(vector_space *s) {
    if (s->chosen) release_pairs(s->chosen);
    free(s->chosen);
    s->chosen = NULL;
}

/* ---- When ---- */

static char *path_of(const vectors *v, const vector_field *f, const char *what, arena *a) {
    return path_join(a, v->folder, arena_printf(a, "%u.%s", f->number, what));
}

bool vectors_wants_training(vectors *v, vector_field *f, bool trained) {
    const sparse_snapshot *s = collection_acquire(v->collection);
    uint64_t documents = s->live_documents;
    collection_release(v->collection, s);
    if (documents < FEWEST_DOCUMENTS) return false;
    if (!trained || documents >= 2 * f->trained_documents) return true;
    store_txn *t;
    chosen_pairs p = {.count_only = true};
    int64_t now = clock_monotonic(&os_clock_system);
    if (now < f->count_at) return false; /* it reads all that is remembered */
    f->count_at = now + COUNT_EVERY;
    if (store_read_begin(collection_store(v->collection), &t, NULL)) return false;
    gather_pairs(t, &p);
    store_read_end(t);
    release_pairs(&p);
    return p.counted >= f->trained_pairs + f->trained_pairs / 2 + FEWEST_PAIRS;
}

/* ---- Training ---- */

static bool proceed(void *context, double done) {
    (void)done;
    return !atomic_load(&((vectors *)context)->stopping);
}

typedef struct lesson {
    const schema *schema;
    const schema_field *field;
    catalogue_trainer *trainer;
    const chosen_pairs *pairs;
    arena parse;
    buffer text;
} lesson;

static uint64_t tie_of(slice id) { return hash64(id.data, id.size, 1); }

static void add_references(lesson *l, const json_value *value) {
    if (value->type == JSON_ARRAY) {
        for (const json_value *item = value->first; item; item = item->next) add_references(l, item);
    } else if (value->type == JSON_STRING || value->type == JSON_NUMBER) {
        catalogue_trainer_tie(l->trainer, tie_of(value->text), TIE_WEIGHT);
    }
}

static void learn_document(lesson *l, const collection_document *d) {
    json_value *json;
    arena_reset(&l->parse);
    if (json_read(&l->parse, d->source, &json, NULL)) return;
    vectors_text(l->schema, l->field, json, &l->text);
    catalogue_trainer_document(l->trainer, (slice){l->text.data, l->text.size});
    bool tied = false;
    for (uint32_t i = 0; i < l->schema->n_fields; i++) {
        const schema_field *f = &l->schema->fields[i];
        const json_value *value = f->kind == SCHEMA_REFERENCE ? json_get(json, f->name) : NULL;
        if (value) add_references(l, value);
        tied |= f->kind == SCHEMA_REFERENCE;
    }
    if (tied) catalogue_trainer_tie(l->trainer, tie_of(d->id), TIE_WEIGHT); /* those that refer to it have the same */
    size_t at = pairs_of(l->pairs, d->number);
    for (size_t n = 0; n < MOST_QUERIES && at < l->pairs->n && l->pairs->list[at].document == d->number; n++, at++)
        catalogue_trainer_more(l->trainer, slice_of(l->pairs->texts.data + l->pairs->list[at].text),
                               weight_of(&l->pairs->list[at]));
}

static forage_status learn_all(vectors *v, lesson *l, store_txn *t, base_error *error) {
    const sparse_snapshot *s = collection_acquire(v->collection);
    uint64_t every = s->live_documents / MOST_DOCUMENTS + 1, seen = 0;
    forage_status status = FORAGE_OK;
    for (uint32_t p = 0; p < s->n_parts && !status; p++) {
        const sparse_part *part = &s->parts[p];
        for (uint32_t place = 0; place < sparse_segment_count(part->segment) && !status; place++) {
            collection_document d;
            if (!vectors_lives(part, place)) continue;
            if (seen++ % every) continue;
            if (atomic_load(&v->stopping)) status = error_set(error, FORAGE_E_CLOSED, "the collection is being closed");
            else if (collection_document_by_number(t, sparse_segment_document(part->segment, place), &d) == FORAGE_OK)
                learn_document(l, &d);
        }
    }
    collection_release(v->collection, s);
    return status;
}

/* What the model was trained on, beside it. */
static void save_facts(const vectors *v, const vector_field *f) {
    arena a;
    buffer json = {0};
    arena_init(&a, 0);
    buffer_printf(&json, "{\"documents\":%llu,\"pairs\":%llu,\"seconds\":%.2f}\n", (unsigned long long)f->trained_documents,
                  (unsigned long long)f->trained_pairs, f->trained_seconds);
    base_error error;
    if (os_write_file(path_of(v, f, "json", &a), json.data, json.size, &error)) log_warn("vectors: %s", error.message);
    buffer_release(&json);
    arena_release(&a);
}

static void load_facts(vectors *v, vector_field *f) {
    arena a;
    buffer file = {0};
    json_value *json;
    int64_t documents = 0, pairs = 0;
    double seconds = 0;
    arena_init(&a, 0);
    if (!os_read_file(path_of(v, f, "json", &a), 4096, &file, NULL) && !json_read(&a, (slice){file.data, file.size}, &json, NULL)) {
        json_member_integer(json, "documents", 0, INT64_MAX, &documents, NULL);
        json_member_integer(json, "pairs", 0, INT64_MAX, &pairs, NULL);
        json_member_number(json, "seconds", 0, 1e9, &seconds, NULL);
    }
    pthread_mutex_lock(&v->mutex);
    f->trained_documents = (uint64_t)documents;
    f->trained_pairs = (uint64_t)pairs;
    f->trained_seconds = seconds;
    pthread_mutex_unlock(&v->mutex);
    buffer_release(&file);
    arena_release(&a);
}

static forage_status train(vectors *v, vector_field *f, store_txn *t, encoder **out, base_error *error) {
    const schema *s = collection_schema(v->collection);
    const schema_field *field = f->field;
    catalogue_options options = {.dimensions = field->dimensions, .language = s->language, .seed = 1, .progress = proceed, .context = v};
    chosen_pairs pairs = {0};
    int64_t started = clock_monotonic(&os_clock_system);
    lesson l = {.schema = s, .field = field, .trainer = catalogue_trainer_create(&options), .pairs = &pairs};
    arena_init(&l.parse, 1 << 16);
    gather_pairs(t, &pairs);
    forage_status status = learn_all(v, &l, t, error);
    if (!status) status = catalogue_train(l.trainer, out, error);
    if (!status) {
        pthread_mutex_lock(&v->mutex);
        f->trained_documents = catalogue_trainer_documents(l.trainer);
        f->trained_pairs = pairs.counted;
        f->trained_seconds = (double)(clock_monotonic(&os_clock_system) - started) / 1e6;
        pthread_mutex_unlock(&v->mutex);
    }
    release_pairs(&pairs);
    buffer_release(&l.text);
    arena_release(&l.parse);
    catalogue_trainer_destroy(l.trainer);
    return status;
}

forage_status vectors_train_catalogue(vectors *v, vector_field *f, encoder **out, base_error *error) {
    store_txn *t;
    arena a;
    forage_status status = store_read_begin(collection_store(v->collection), &t, error);
    if (status) return status;
    status = train(v, f, t, out, error);
    store_read_end(t);
    if (status) return status;
    arena_init(&a, 0);
    status = catalogue_save(*out, path_of(v, f, "model", &a), error);
    if (!status) save_facts(v, f);
    else encoder_destroy(*out);
    arena_release(&a);
    return status;
}

forage_status vectors_open_catalogue(vectors *v, vector_field *f, encoder **out, base_error *error) {
    arena a;
    arena_init(&a, 0);
    forage_status status = catalogue_open(path_of(v, f, "model", &a), out, error);
    if (status == FORAGE_E_CORRUPT) { /* trained anew */
        log_warn("vectors: %s; the encoder is trained anew", error ? error->message : "");
        status = FORAGE_E_NOT_FOUND;
    }
    if (!status) load_facts(v, f);
    arena_release(&a);
    return status;
}
