/* A document's words become a list of events, (position, word) in the order of positions, and every question about order and
 * distance is asked while walking over the events of a field.
 *
 * What takes time is decoding blocks of postings and waiting for their bytes. So the documents are taken in the order of
 * their places, each word has a cursor that only moves forward, and the blocks that the next documents need are sent for
 * before they are read. */
#include "sparse/match.h"

#include "sparse/queryplan.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    BATCH = 32, /* documents that are looked for together */
    AHEAD = 8,  /* documents whose blocks are sent for before they are read */
    LOGARITHMS = 64,
    WORD_BITS = 7,
    GAP = SPARSE_MATCH_TERMS, /* the word that stands between the values of a field */
    NONE = UINT32_MAX
};

_Static_assert(GAP < 1 << WORD_BITS && SPARSE_MAX_TOKENS <= 1u << (32 - WORD_BITS), "an event is 32 bits");

typedef uint32_t event; /* position << WORD_BITS | word */

static uint32_t event_position(event e) { return e >> WORD_BITS; }
static uint32_t event_word(event e) { return e & ((1u << WORD_BITS) - 1); }

/* Where the reading of a word's postings in one part has got to. */
typedef struct match_cursor {
    const sparse_term *term; /* NULL: the part does not have it */
    uint32_t block, decoded; /* block: none before it is wanted any more; decoded: whose places these are, or NONE */
    uint32_t ahead;          /* the last block that was sent for */
    uint32_t n;
    sparse_positions positions;
    uint32_t places[SPARSE_BLOCK + 8];
    uint8_t impacts[SPARSE_BLOCK + 8];
} match_cursor;

/* The query, made ready. Words are its different terms, the plan's; order is the query as it was asked. */
typedef struct match_query {
    const sparse_snapshot *snapshot;
    arena *arena;
    sparse_plan plan;
    uint32_t n_columns, fields[SPARSE_MAX_FIELDS];
    float average[SPARSE_MAX_FIELDS]; /* length, by column */
    uint32_t n_order, n_words;
    uint64_t asked[SPARSE_MATCH_TERMS]; /* by word: bit i when it is the query's i-th */
    float weights[SPARSE_MATCH_TERMS];  /* weight · idf, by word */
    float total;                        /* of the weights */
    float log_length[LOGARITHMS];

    /* The part that is read. */
    uint32_t part;
    match_cursor *cursors; /* by word; one more for the gaps */
    sparse_term gaps;      /* n_blocks 0: none in the part */
    bool gaps_known;

    /* The document that is read. */
    event *events;
    size_t n_events, room;
} match_query;

typedef struct match_row {
    uint64_t at; /* part << 32 | place */
    uint32_t row;
} match_row;

uint32_t sparse_match_columns(const sparse_config *config, uint32_t fields[SPARSE_MAX_FIELDS]) {
    uint32_t n = 0;
    for (uint32_t f = 0; f < config->n_fields; f++) {
        if (config->fields[f].kind != SPARSE_TEXT) continue;
        if (fields) fields[n] = f;
        n++;
    }
    return n;
}

static void make_query(const sparse_snapshot *s, const sparse_query_term *terms, size_t n_terms, arena *a,
                       match_query *q) {
    sparse_query_term *texts = arena_alloc(a, SPARSE_MATCH_TERMS * sizeof *texts);
    *q = (match_query){.snapshot = s, .arena = a, .part = NONE};
    for (size_t i = 0; i < n_terms && q->n_order < SPARSE_MATCH_TERMS; i++) {
        slice key = terms[i].key;
        if (key.size > 0 && key.data[0] == SPARSE_SPACE_TEXT) texts[q->n_order++] = terms[i];
    }
    const sparse_query query = {.terms = texts, .n_terms = q->n_order, .text_weight = 1};
    sparse_plan_make(s, &query, a, &q->plan);
    q->n_words = q->plan.n_terms;
    for (uint32_t i = 0; i < q->n_order; i++) q->asked[q->plan.term_of[i]] |= (uint64_t)1 << i;
    for (uint32_t w = 0; w < q->n_words; w++) {
        q->weights[w] = q->plan.terms[w].weight * q->plan.terms[w].idf;
        q->total += q->weights[w];
    }
    for (uint32_t i = 0; i < LOGARITHMS; i++) q->log_length[i] = log1pf((float)i);
    q->n_columns = sparse_match_columns(s->config, q->fields);
    for (uint32_t c = 0; c < q->n_columns; c++) {
        double length = (double)s->statistics.length[q->fields[c]], having = (double)s->statistics.having[q->fields[c]];
        q->average[c] = length > 0 && having > 0 ? (float)(length / having) : 1.0f;
    }
    q->cursors = arena_alloc(a, (q->n_words + 1) * sizeof *q->cursors);
}

/* --- one field --------------------------------------------------------------------------------------------------- */

/* One text field of the document: positions start … end − 1, and the events among them. */
typedef struct match_field {
    uint32_t start, end, length;
    const event *events;
    size_t n;
} match_field;

/* Runs of consecutive query words. A run that ends with the query's i-th word goes on at the next position with the next
 * word; only the last run for each i matters. */
static void order_features(const match_query *q, const match_field *f, sparse_match *out) {
    uint32_t runs[SPARSE_MATCH_TERMS], ends[SPARSE_MATCH_TERMS], longest = 0; /* ends: position behind, where it goes on */
    uint32_t value = f->start, whole = NONE; /* where the value begins; behind the query that stood at its beginning */
    memset(ends, 0xff, q->n_order * sizeof *ends);
    for (size_t e = 0; e < f->n; e++) {
        uint32_t position = event_position(f->events[e]), word = event_word(f->events[e]);
        if (word == GAP) {
            if (whole == position) out->exact = 1;
            value = position + 1;
            continue;
        }
        for (uint64_t left = q->asked[word]; left;) { /* the last first: it looks at the one before it */
            uint32_t i = 63 - (uint32_t)__builtin_clzll(left);
            left &= ~((uint64_t)1 << i);
            runs[i] = i > 0 && ends[i - 1] == position ? runs[i - 1] + 1 : 1;
            ends[i] = position + 1;
            if (runs[i] > longest) longest = runs[i];
            if (runs[i] < q->n_order || position + 1 - q->n_order != value) continue;
            out->prefix = 1;
            whole = position + 1;
        }
    }
    if (whole == f->end) out->exact = 1;
    out->phrase = (float)longest / (float)q->n_order;
}

/* The tokens of the smallest stretch that has all the field's words that count: for each end, the latest places before. */
static uint32_t smallest_stretch(const match_query *q, const match_field *f, uint32_t n_words) {
    uint32_t last[SPARSE_MATCH_TERMS], seen[SPARSE_MATCH_TERMS], n_seen = 0, smallest = NONE;
    memset(last, 0xff, q->n_words * sizeof *last);
    for (size_t e = 0; e < f->n; e++) {
        uint32_t position = event_position(f->events[e]), word = event_word(f->events[e]);
        if (word == GAP || !(q->weights[word] > 0)) continue;
        if (last[word] == NONE) seen[n_seen++] = word;
        last[word] = position;
        if (n_seen < n_words) continue;
        uint32_t first = position;
        for (uint32_t i = 0; i < n_seen; i++)
            if (last[seen[i]] < first) first = last[seen[i]];
        if (position - first + 1 < smallest) smallest = position - first + 1;
    }
    return smallest;
}

/* `covered` gets a bit for each word in the field. */
static void match_field_of(const match_query *q, uint32_t column, const match_field *f, sparse_match *out,
                           uint64_t *covered) {
    *out = (sparse_match){.length = f->length < LOGARITHMS ? q->log_length[f->length] : log1pf((float)f->length)};
    if (f->n == 0) return;
    uint32_t frequency[SPARSE_MATCH_TERMS], first = NONE;
    memset(frequency, 0, q->n_words * sizeof *frequency);
    for (size_t e = 0; e < f->n; e++) {
        uint32_t word = event_word(f->events[e]);
        if (word == GAP || !(q->weights[word] > 0)) continue;
        frequency[word]++;
        if (first == NONE) first = event_position(f->events[e]) - f->start;
    }
    if (first == NONE) return;
    const sparse_config *config = q->snapshot->config;
    float norm = config->k1 * (1.0f - config->b + config->b * (float)f->length / q->average[column]), sum = 0, bm25 = 0;
    uint32_t n_words = 0;
    for (uint32_t w = 0; w < q->n_words; w++) {
        if (frequency[w] == 0) continue;
        bm25 += q->weights[w] * (float)frequency[w] / ((float)frequency[w] + norm);
        sum += q->weights[w];
        n_words++;
        *covered |= (uint64_t)1 << w;
    }
    out->matched = (float)n_words;
    out->bm25 = bm25 * (config->k1 + 1);
    out->coverage = sum / q->total;
    out->first = 1.0f / (float)(1 + first);
    order_features(q, f, out);
    if (n_words >= 2) out->proximity = (float)n_words / (float)smallest_stretch(q, f, n_words);
}

/* --- one document ------------------------------------------------------------------------------------------------ */

static void open_cursor(const match_query *q, match_cursor *c, const sparse_term *t) {
    c->term = t->n_blocks > 0 ? t : NULL;
    c->block = c->ahead = 0;
    c->decoded = NONE;
    if (c->term) sparse_positions_open(&c->positions, t, q->arena);
}

static void open_part(match_query *q, uint32_t part) {
    q->part = part;
    for (uint32_t w = 0; w < q->n_words; w++) open_cursor(q, &q->cursors[w], sparse_plan_found(&q->plan, part, w));
    q->gaps_known = false;
}

/* The first block from `low` on that ends at the place or behind it: steps that double, then halving. */
static uint32_t find_block(const sparse_term *t, uint32_t low, uint32_t place) {
    const sparse_block *blocks = sparse_term_blocks(t);
    if (low == t->n_blocks || blocks[low].last >= place) return low;
    uint32_t step = 1; /* block `low` ends before the place */
    for (; t->n_blocks - low > step && blocks[low + step].last < place; step *= 2) low += step;
    uint32_t high = t->n_blocks - low > step ? low + step : t->n_blocks;
    for (low++; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (blocks[middle].last < place) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Of ascending places, the last of them at `place` or behind it: which is the first such. */
static uint32_t find_place(const uint32_t *places, uint32_t n, uint32_t place) {
    const uint32_t *at = places;
    for (; n > 1; n -= n / 2) at += at[n / 2 - 1] < place ? n / 2 : 0;
    return (uint32_t)(at - places);
}

/* Sends for the blocks in which the document at `place` would be. */
static void read_soon(match_query *q, uint32_t place) {
    for (uint32_t w = 0; w < q->n_words; w++) {
        match_cursor *c = &q->cursors[w];
        if (!c->term) continue;
        c->ahead = find_block(c->term, c->ahead < c->block ? c->block : c->ahead, place);
        if (c->ahead == c->term->n_blocks || c->ahead == c->decoded) continue;
        const uint8_t *data = c->term->data + sparse_term_blocks(c->term)[c->ahead].offset;
        for (int line = 0; line < 3; line++) __builtin_prefetch(data + 64 * line);
    }
}

/* The positions of the cursor's word in the document at `place`. Returns how many. */
static uint32_t read_word(match_cursor *c, uint32_t place, const uint32_t **positions) {
    if (!c->term) return 0;
    c->block = find_block(c->term, c->block, place);
    if (c->block == c->term->n_blocks) return c->term = NULL, 0;
    if (c->decoded != c->block) c->n = sparse_block_decode(c->term, c->block, c->places, c->impacts);
    c->decoded = c->block;
    uint32_t at = find_place(c->places, c->n, place);
    return c->places[at] == place ? sparse_positions_at(&c->positions, c->block, at, positions) : 0;
}

/* Merges a word's positions into the events, from the end: what is behind a position moves up. */
static void add_events(match_query *q, uint32_t word, const uint32_t *positions, size_t n) {
    if (q->n_events + n > q->room) {
        event *old = q->events;
        q->room = 2 * (q->n_events + n) + 64;
        q->events = arena_alloc(q->arena, q->room * sizeof *q->events);
        if (q->n_events > 0) memcpy(q->events, old, q->n_events * sizeof *old);
    }
    size_t have = q->n_events;
    q->n_events += n;
    for (size_t to = q->n_events; n > 0;) {
        event next = positions[n - 1] << WORD_BITS | word;
        bool behind = have > 0 && q->events[have - 1] > next;
        q->events[--to] = behind ? q->events[have - 1] : next;
        if (behind) have--;
        else n--;
    }
}

static void read_gaps(match_query *q, uint32_t place) {
    const char key[] = {SPARSE_SPACE_GAP};
    match_cursor *c = &q->cursors[q->n_words];
    if (!q->gaps_known) {
        if (!sparse_segment_term(q->snapshot->parts[q->part].segment, (slice){key, sizeof key}, &q->gaps))
            q->gaps.n_blocks = 0;
        open_cursor(q, c, &q->gaps);
    }
    q->gaps_known = true;
    const uint32_t *positions;
    uint32_t n = read_word(c, place, &positions);
    if (n > 0) add_events(q, GAP, positions, n);
}

static float match_document(match_query *q, uint32_t place, sparse_match *out) {
    const sparse_segment *s = q->snapshot->parts[q->part].segment;
    uint64_t covered = 0;
    q->n_events = 0;
    for (uint32_t w = 0; w < q->n_words; w++) {
        const uint32_t *positions;
        uint32_t n = read_word(&q->cursors[w], place, &positions);
        if (n > 0) add_events(q, w, positions, n);
    }
    uint32_t lengths[SPARSE_MAX_FIELDS], spans[SPARSE_MAX_FIELDS];
    bool gaps = false;
    for (uint32_t c = 0; c < q->n_columns; c++) {
        lengths[c] = spans[c] = sparse_segment_length(s, q->fields[c], place);
        if (q->n_events > 0) spans[c] = sparse_segment_span(s, q->fields[c], place);
        gaps = gaps || spans[c] != lengths[c];
    }
    if (gaps) read_gaps(q, place);
    size_t at = 0;
    uint32_t start = 0;
    for (uint32_t c = 0; c < q->n_columns; c++) {
        match_field f = {.start = start, .end = start + spans[c], .length = lengths[c], .events = q->events + at};
        start = f.end;
        while (at < q->n_events && event_position(q->events[at]) < f.end) at++;
        f.n = (size_t)(q->events + at - f.events);
        match_field_of(q, c, &f, &out[c], &covered);
    }
    float sum = 0;
    for (uint32_t w = 0; w < q->n_words; w++) sum += covered >> w & 1 ? q->weights[w] : 0;
    return sum > 0 ? sum / q->total : 0;
}

/* --- documents --------------------------------------------------------------------------------------------------- */

/* By `at`, a byte at a time, the lowest first; bytes that all have alike are left out. */
static match_row *sort_rows(match_row *rows, match_row *spare, size_t n) {
    uint64_t all = UINT64_MAX, any = 0;
    for (size_t i = 0; i < n; i++) {
        all &= rows[i].at;
        any |= rows[i].at;
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (((all ^ any) >> shift & 0xff) == 0) continue;
        size_t next[257] = {0};
        for (size_t i = 0; i < n; i++) next[(rows[i].at >> shift & 0xff) + 1]++;
        for (size_t i = 0; i < 256; i++) next[i + 1] += next[i];
        for (size_t i = 0; i < n; i++) spare[next[rows[i].at >> shift & 0xff]++] = rows[i];
        match_row *sorted = spare;
        spare = rows;
        rows = sorted;
    }
    return rows;
}

/* Rows of the documents that are in the snapshot; the others' output is zeroed. */
static size_t find_rows(const match_query *q, const uint32_t *documents, size_t n, match_row *rows, sparse_match *out,
                        float *coverage) {
    size_t found = 0;
    for (size_t from = 0; from < n; from += BATCH) {
        size_t end = n - from < BATCH ? n : from + BATCH;
        for (uint32_t p = 0; p < q->snapshot->n_parts; p++)
            for (size_t i = from; i < end; i++) sparse_segment_find_soon(q->snapshot->parts[p].segment, documents[i]);
        for (size_t i = from; i < end; i++) {
            uint32_t part, place;
            if (sparse_snapshot_find(q->snapshot, documents[i], &part, &place)) {
                rows[found++] = (match_row){(uint64_t)part << 32 | place, (uint32_t)i};
                for (uint32_t c = 0; c < q->n_columns; c++)
                    sparse_segment_length_soon(q->snapshot->parts[part].segment, q->fields[c], place);
                continue;
            }
            memset(out + i * q->n_columns, 0, q->n_columns * sizeof *out);
            if (coverage) coverage[i] = 0;
        }
    }
    return found;
}

void sparse_match_fields(const sparse_snapshot *s, const sparse_query_term *terms, size_t n_terms,
                         const uint32_t *documents, size_t n, arena *a, sparse_match *out, float *coverage) {
    match_query *q = arena_alloc(a, sizeof *q);
    make_query(s, terms, n_terms, a, q);
    match_row *rows = arena_alloc(a, n * sizeof *rows), *spare = arena_alloc(a, n * sizeof *spare);
    n = find_rows(q, documents, n, rows, out, coverage);
    rows = sort_rows(rows, spare, n);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].at >> 32 != q->part) open_part(q, (uint32_t)(rows[i].at >> 32));
        if (i + AHEAD < n && rows[i + AHEAD].at >> 32 == q->part) read_soon(q, (uint32_t)rows[i + AHEAD].at);
        float covered = match_document(q, (uint32_t)rows[i].at, out + (size_t)rows[i].row * q->n_columns);
        if (coverage) coverage[rows[i].row] = covered;
    }
}
