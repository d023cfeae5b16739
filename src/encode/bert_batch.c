/* Sequences are packed without padding, so that sorting by length saves nothing within a batch; the longest texts come first so that
 * no thread is left with a long one at the end. */
#include "encode/bert_batch.h"

#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_TEXTS = 64,      /* of a batch */
    BYTES_A_TOKEN = 4,    /* a guess, before the text is cut into tokens */
};

typedef struct sized_text {
    size_t size, place;
} sized_text;

/* Of one call; a task of the pool that comes late finds it closed, and nothing of the caller is touched any more. */
typedef struct batch_job {
    bert_model *m;
    encode_side side;
    const slice *texts;
    sized_text *order;
    size_t n, next;
    int64_t deadline;
    bert_finish finish;
    void *self;
    pthread_mutex_t lock;
    pthread_cond_t left;
    unsigned references, active;
    bool closed;
    forage_status status;
    base_error error;
} batch_job;

static int longest_first(const void *x, const void *y) {
    const sized_text *a = x, *b = y;
    if (a->size != b->size) return a->size < b->size ? 1 : -1;
    return (a->place > b->place) - (a->place < b->place);
}

static void drop(batch_job *j) {
    pthread_mutex_lock(&j->lock);
    bool last = --j->references == 0;
    pthread_mutex_unlock(&j->lock);
    if (!last) return;
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->left);
    free(j->order);
    free(j);
}

/* The next texts that make a batch, by their size; called with the lock held. */
static size_t take(batch_job *j, size_t *first) {
    size_t tokens = 0, n = 0;
    *first = j->next;
    while (j->next < j->n && n < MOST_TEXTS) {
        size_t more = j->order[j->next].size / BYTES_A_TOKEN + 3;
        if (more > j->m->config.most_tokens) more = j->m->config.most_tokens;
        if (n && tokens + more > BERT_BATCH_TOKENS) break;
        tokens += more;
        j->next++;
        n++;
    }
    return n;
}

static wordpiece_tokens tokens_of(const batch_job *j, slice text, arena *a) {
    const bert_config *c = &j->m->config;
    slice prefix = j->side == ENCODE_QUERY ? c->query_prefix : c->document_prefix;
    wordpiece_tokens own = wordpiece_encode(j->m->words, text, NULL, c->most_tokens, a);
    if (own.n <= 2 || !prefix.size) return own;
    char *both = arena_alloc(a, prefix.size + text.size);
    memcpy(both, prefix.data, prefix.size);
    memcpy(both + prefix.size, text.data, text.size);
    return wordpiece_encode(j->m->words, (slice){both, prefix.size + text.size}, NULL, c->most_tokens, a);
}

/* The guess may have been wrong by much: what was taken is cut again, now by tokens. */
static forage_status run_batch(batch_job *j, bert_scratch *s, size_t first, size_t n, base_error *error) {
    wordpiece_tokens sequences[MOST_TEXTS];
    size_t places[MOST_TEXTS], held = 0, tokens = 0;
    forage_status status = FORAGE_OK;
    arena_reset(&s->tokens);
    for (size_t i = 0; i <= n && !status; i++) {
        size_t place = i < n ? j->order[first + i].place : 0;
        wordpiece_tokens t = {0};
        if (i < n) t = tokens_of(j, j->texts[place], &s->tokens);
        if (held && (i == n || tokens + t.n > BERT_BATCH_TOKENS)) {
            bert_forward(j->m, s, sequences, held, j->m->head == BERT_ENCODER && j->m->config.pooling == BERT_POOL_CLS);
            status = j->finish(j->self, s, sequences, places, held, error);
            held = tokens = 0;
        }
        if (t.n <= 2) continue;
        sequences[held] = t;
        places[held++] = place;
        tokens += t.n;
    }
    return status;
}

static void work(batch_job *j) {
    base_error error = {0};
    pthread_mutex_lock(&j->lock);
    if (j->closed) {
        pthread_mutex_unlock(&j->lock);
        return;
    }
    j->active++;
    bert_scratch *s = bert_scratch_take(j->m);
    size_t first, n;
    while (!j->status && (n = take(j, &first)) > 0) {
        pthread_mutex_unlock(&j->lock);
        forage_status status = FORAGE_OK;
        if (j->deadline != INT64_MAX && clock_monotonic(&os_clock_system) >= j->deadline)
            status = error_set(&error, FORAGE_E_TIMEOUT, "encoding: the deadline passed");
        else status = run_batch(j, s, first, n, &error);
        pthread_mutex_lock(&j->lock);
        if (status && !j->status) {
            j->status = status;
            j->error = error;
        }
    }
    bert_scratch_give(j->m, s);
    j->active--;
    pthread_cond_broadcast(&j->left);
    pthread_mutex_unlock(&j->lock);
}

static void work_task(void *argument) {
    batch_job *j = argument;
    work(j);
    drop(j);
}

static void ask_for_help(batch_job *j) {
    const size_t most = j->n / 2; /* a text or two are sooner done than handed over */
    for (unsigned i = 1; i < j->m->threads && i <= most; i++) {
        pthread_mutex_lock(&j->lock);
        j->references++;
        pthread_mutex_unlock(&j->lock);
        if (os_pool_submit(j->m->pool, work_task, j)) continue;
        drop(j);
        return;
    }
}

forage_status bert_batch_run(bert_model *m, encode_side side, const slice *texts, size_t n, int64_t deadline, bert_finish finish,
                             void *self, base_error *error) {
    batch_job *j = mem_zalloc(1, sizeof *j);
    *j = (batch_job){.m = m, .side = side, .texts = texts, .n = n, .deadline = deadline, .finish = finish, .self = self,
                     .references = 1};
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->left, NULL);
    j->order = mem_alloc((n + 1) * sizeof *j->order);
    for (size_t i = 0; i < n; i++) j->order[i] = (sized_text){texts[i].size, i};
    qsort(j->order, n, sizeof *j->order, longest_first);
    if (side == ENCODE_DOCUMENT && m->pool) ask_for_help(j);
    work(j);
    pthread_mutex_lock(&j->lock);
    j->closed = true;
    while (j->active) pthread_cond_wait(&j->left, &j->lock);
    forage_status status = j->status;
    if (status && error) *error = j->error;
    pthread_mutex_unlock(&j->lock);
    drop(j);
    return status;
}
