/* What a query's words do in a document's fields: cases that a reader can follow, and random documents in several segments
 * against a plain reading of their tokens. */
#include "testing.h"

#include "base/random.h"
#include "sparse/builder.h"
#include "sparse/match.h"
#include "sparse/merge.h"

#include <math.h>

enum { TITLE, BRAND, BODY, FIELDS };
enum { COLUMN_TITLE, COLUMN_BODY, COLUMNS };

static const sparse_config config = {
    .n_fields = FIELDS,
    .fields = {{"title", SPARSE_TEXT, 3.0f}, {"brand", SPARSE_KEYWORD, 0}, {"body", SPARSE_TEXT, 1.0f}},
    .k1 = 1.2f, .b = 0.75f, .popularity = -1, .type = -1};

/* Words are apart by spaces, values of a field by " | ". */
typedef struct text {
    const char *title, *body;
} text;

static void add_text(sparse_builder *b, uint32_t field, const char *words) {
    for (const char *at = words; at && *at;) {
        size_t n = strcspn(at, " ");
        if (n == 1 && *at == '|') sparse_builder_gap(b, field);
        else sparse_builder_term(b, field, (slice){at, n});
        at += n + (at[n] == ' ');
    }
}

/* A snapshot of parts that the test builds, with any places dead. */
enum { MOST_PARTS = 4 };
typedef struct shelf {
    sparse_snapshot snapshot;
    sparse_part parts[MOST_PARTS];
    sparse_segment *segments[MOST_PARTS];
    buffer images[MOST_PARTS];
    uint64_t *live[MOST_PARTS];
    arena memory;
} shelf;

static void open_part(shelf *s, uint32_t part) {
    base_error error = {0};
    sparse_statistics statistics;
    slice image = {s->images[part].data, s->images[part].size};
    if (sparse_segment_open(image, &s->segments[part], &error) != FORAGE_OK) fail_msg("%s", error.message);
    if (sparse_segment_validate(s->segments[part], &error) != FORAGE_OK) fail_msg("%s", error.message);
    sparse_segment_statistics(s->segments[part], &statistics);
    sparse_statistics_add(&s->snapshot.statistics, &statistics);
    uint32_t count = sparse_segment_count(s->segments[part]);
    s->parts[part] = (sparse_part){s->segments[part], NULL, count, NULL};
    s->snapshot.live_documents += count;
    s->snapshot.n_parts = part + 1;
}

static void add_part(shelf *s, sparse_builder *b, const uint32_t *documents) {
    uint64_t versions[2000];
    for (uint32_t i = 0; i < sparse_builder_count(b); i++) versions[i] = i;
    sparse_statistics statistics;
    sparse_builder_statistics(b, &statistics);
    sparse_builder_finish(b, documents, versions, &statistics, &s->images[s->snapshot.n_parts]);
    open_part(s, s->snapshot.n_parts);
}

static void start(shelf *s) {
    memset(s, 0, sizeof *s);
    s->snapshot = (sparse_snapshot){.config = &config, .parts = s->parts};
    arena_init(&s->memory, 0);
}

static void stop(shelf *s) {
    for (uint32_t p = 0; p < s->snapshot.n_parts; p++) {
        sparse_segment_close(s->segments[p]);
        buffer_release(&s->images[p]);
        free(s->live[p]);
    }
    arena_release(&s->memory);
}

/* Documents 0, 1, … in one part. */
static void start_with(shelf *s, const text *texts, uint32_t n) {
    uint32_t documents[64];
    sparse_builder *b = sparse_builder_create(&config);
    for (uint32_t i = 0; i < n; i++) {
        documents[i] = sparse_builder_begin(b);
        add_text(b, TITLE, texts[i].title);
        add_text(b, BODY, texts[i].body);
    }
    start(s);
    add_part(s, b, documents);
    sparse_builder_destroy(b);
}

/* "the*" is a word of weight 0. */
static size_t read_query(const char *words, arena *a, sparse_query_term *terms) {
    size_t n = 0;
    for (const char *at = words; *at;) {
        size_t size = strcspn(at, " ");
        bool light = at[size - 1] == '*';
        terms[n++] = (sparse_query_term){.key = sparse_text_key(a, (slice){at, size - light}), .weight = light ? 0 : 1};
        at += size + (at[size] == ' ');
    }
    return n;
}

static sparse_match match_of(shelf *s, const char *query, uint32_t document, uint32_t column, float *coverage) {
    sparse_query_term terms[100];
    sparse_match out[COLUMNS];
    size_t n = read_query(query, &s->memory, terms);
    sparse_match_fields(&s->snapshot, terms, n, &document, 1, &s->memory, out, coverage);
    return out[column];
}

static void assert_near(double found, double wanted) {
    if (!(fabs(found - wanted) <= 1e-5 * (1 + fabs(wanted)))) fail_msg("%.9g is not %.9g", found, wanted);
}

/* ---- By hand ---- */

static void order_of_the_hunger_games(void **state) {
    (void)state;
    static const text films[] = {
        {"the hunger games", "a girl takes the place of her sister in the games"},
        {"the hunger games mockingjay", "the war"},
        {"hunger", "the story of a strike"},
        {"games of hunger", ""},
        {"the games", "hunger for more games"},
        {"catching fire | the hunger games | die tribute", ""},
        {"war horse", "a horse and a boy"},
    };
    shelf s;
    start_with(&s, films, 7);
    const char *query = "the* hunger games";
    static const struct {
        uint32_t film;
        float exact, prefix, phrase, proximity, first;
    } wanted[] = {
        {0, 1, 1, 1, 1, 1 / 2.0f},           /* "the" has its place in the order and is no match to be first */
        {1, 0, 1, 1, 1, 1 / 2.0f},
        {2, 0, 0, 1 / 3.0f, 0, 1},           /* one word is near nothing */
        {3, 0, 0, 1 / 3.0f, 2 / 3.0f, 1},    /* both words, in the wrong order, in three tokens */
        {4, 0, 0, 1 / 3.0f, 0, 1 / 2.0f},    /* "the" and "games" are not next to each other in the query */
        {5, 1, 1, 1, 1, 1 / 5.0f},           /* another title of the same film: any value counts, a gap is a token */
        {6, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        sparse_match m = match_of(&s, query, wanted[i].film, COLUMN_TITLE, NULL);
        assert_near(m.exact, wanted[i].exact);
        assert_near(m.prefix, wanted[i].prefix);
        assert_near(m.phrase, wanted[i].phrase);
        assert_near(m.proximity, wanted[i].proximity);
        assert_near(m.first, wanted[i].first);
    }
    assert_near(match_of(&s, "hunger games", 0, COLUMN_TITLE, NULL).exact, 0); /* "the" is part of the title */
    assert_near(match_of(&s, "hunger games", 0, COLUMN_TITLE, NULL).phrase, 1);
    assert_near(match_of(&s, "hunger hunger", 2, COLUMN_TITLE, NULL).phrase, 0.5);
    assert_near(match_of(&s, "hunger hunger", 2, COLUMN_TITLE, NULL).exact, 0);
    assert_near(match_of(&s, "fire the hunger", 5, COLUMN_TITLE, NULL).phrase, 2 / 3.0); /* none goes across values */
    assert_near(match_of(&s, "games tribute", 5, COLUMN_TITLE, NULL).proximity, 2 / 4.0);
    assert_near(match_of(&s, "horse boy", 6, COLUMN_BODY, NULL).proximity, 2 / 4.0);
    stop(&s);
}

static void sums_of_one_document(void **state) {
    (void)state;
    static const text texts[] = {
        {"red lamp", "a lamp that is red and a shade that is red"}, {"blue lamp", "blue"}, {"chair", "a chair"}};
    shelf s;
    start_with(&s, texts, 3);
    double idf_red = log1p((3 - 1 + 0.5) / (1 + 0.5)), idf_lamp = log1p((3 - 2 + 0.5) / (2 + 0.5));
    double idf_none = log1p((3 + 0.5) / 0.5), all = 2 * idf_red + idf_lamp + idf_none;
    float coverage;
    sparse_match title = match_of(&s, "red lamp red velvet", 0, COLUMN_TITLE, &coverage);
    sparse_match body = match_of(&s, "red lamp red velvet", 0, COLUMN_BODY, NULL);
    /* Titles have 2 + 2 + 1 words; "red" is asked for twice, so it counts twice. */
    double norm = 1.2 * (1 - 0.75 + 0.75 * 2 / (5 / 3.0));
    assert_near(title.bm25, (2 * idf_red + idf_lamp) * 2.2 / (1 + norm));
    norm = 1.2 * (1 - 0.75 + 0.75 * 11 / (14 / 3.0));
    assert_near(body.bm25, 2.2 * (2 * idf_red * 2 / (2 + norm) + idf_lamp / (1 + norm)));
    assert_near(title.matched, 2);
    assert_near(title.coverage, (2 * idf_red + idf_lamp) / all);
    assert_near(coverage, (2 * idf_red + idf_lamp) / all);
    assert_near(title.length, log(3));
    assert_near(body.length, log(12));
    match_of(&s, "blue chair", 1, COLUMN_TITLE, &coverage);
    assert_near(coverage, 0.5); /* one of two words that are equally rare */
    stop(&s);
}

static void nothing_to_match_is_zero(void **state) {
    (void)state;
    static const text texts[] = {{"red lamp", NULL}};
    shelf s;
    start_with(&s, texts, 1);
    const sparse_match none = {0};
    float coverage = 1;
    sparse_match m = match_of(&s, "red", 77, COLUMN_TITLE, &coverage); /* no such document */
    assert_memory_equal(&m, &none, sizeof m);
    assert_near(coverage, 0);
    m = match_of(&s, "red", 0, COLUMN_BODY, NULL); /* an empty field */
    assert_memory_equal(&m, &none, sizeof m);
    m = match_of(&s, "", 0, COLUMN_TITLE, &coverage);
    assert_near(m.length, log(3));
    assert_near(m.bm25 + m.coverage + m.phrase + m.first + coverage, 0);
    m = match_of(&s, "red* lamp*", 0, COLUMN_TITLE, &coverage); /* words that count for nothing */
    assert_near(m.bm25 + m.coverage + m.phrase + m.first + coverage, 0);
    sparse_query_term terms[] = {{.key = sparse_attribute_key(&s.memory, BRAND, SLICE("red")), .weight = 1},
                                 {.key = sparse_text_key(&s.memory, SLICE("red")), .weight = 1}};
    sparse_match out[COLUMNS];
    sparse_match_fields(&s.snapshot, terms, 2, &(uint32_t){0}, 1, &s.memory, out, NULL);
    assert_near(out[COLUMN_TITLE].phrase, 1); /* an attribute is no word of the query */
    stop(&s);
}

/* "w w … w needle needle": wherever the needle stands, it is found, and the distance is right. */
static void long_fields_are_read_whole(void **state) {
    (void)state;
    static const uint32_t lengths[] = {1, 46, 63, 64, 127, 128, 129, 1000, 70000};
    for (uint32_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint32_t at = lengths[i];
        char *words = mem_zalloc(2 * at + 32, 1), *end = words;
        for (uint32_t j = 0; j < at; j++) end = stpcpy(end, "w ");
        stpcpy(end, "needle needle");
        const text texts[] = {{"w", words}, {"w", "w"}};
        shelf s;
        start_with(&s, texts, 2);
        sparse_match m = match_of(&s, "w needle", 0, COLUMN_BODY, NULL);
        double average = (at + 3) / 2.0, norm = 1.2 * (1 - 0.75 + 0.75 * (at + 2) / average);
        double idf_w = log1p(0.5 / 2.5), idf_needle = log1p(1.5 / 1.5);
        assert_near(m.bm25, 2.2 * (idf_w * at / (at + norm) + idf_needle * 2 / (2 + norm)));
        assert_near(m.coverage, 1);
        assert_near(m.matched, 2);
        assert_near(m.length, log(at + 3));
        assert_near(m.phrase, 1);
        assert_near(m.proximity, 1);
        assert_near(m.prefix, at == 1);
        m = match_of(&s, "needle", 0, COLUMN_BODY, NULL);
        assert_near(m.first, 1.0 / (1 + at));
        assert_near(m.matched, 1);
        stop(&s);
        free(words);
    }
}

static void a_long_value_is_an_exact_match(void **state) {
    (void)state;
    char whole[300] = "", longer[320];
    for (uint32_t i = 0; i < 48; i++) snprintf(whole + strlen(whole), 8, "%sw%u", i ? " " : "", i);
    snprintf(longer, sizeof longer, "%s more", whole);
    const text texts[] = {{whole, whole}, {longer, longer}};
    shelf s;
    start_with(&s, texts, 2);
    assert_near(match_of(&s, whole, 0, COLUMN_TITLE, NULL).exact, 1);
    assert_near(match_of(&s, whole, 1, COLUMN_TITLE, NULL).exact, 0);
    assert_near(match_of(&s, whole, 1, COLUMN_TITLE, NULL).prefix, 1);
    assert_near(match_of(&s, longer, 1, COLUMN_TITLE, NULL).exact, 1);
    stop(&s);
}

/* ---- At random ---- */

enum { WORDS = 60, MOST_TOKENS = 130, BREAK = UINT16_MAX };
enum { DOCUMENTS = 600, QUERIES = 150 };

typedef struct plain_field {
    uint32_t n;
    uint16_t tokens[MOST_TOKENS]; /* words, BREAK between values */
} plain_field;

typedef struct plain_document {
    uint32_t part, place;
    bool dead;
    plain_field fields[COLUMNS];
} plain_document;

static slice word_text(uint32_t word, char room[32]) {
    int n = snprintf(room, 32, "word%u", word * 7919 % 10007);
    return (slice){room, (size_t)n};
}

static void invent(random_source *r, plain_document *d) {
    static const uint32_t longest[COLUMNS] = {6, MOST_TOKENS - 1};
    memset(d, 0, sizeof *d);
    for (uint32_t c = 0; c < COLUMNS; c++) {
        plain_field *f = &d->fields[c];
        uint32_t n = (uint32_t)random_below(r, random_below(r, 3) ? 8 : longest[c] + 1);
        while (f->n < n) {
            double u = random_double(r);
            if (f->n > 0 && f->n + 1 < n && f->tokens[f->n - 1] != BREAK && random_below(r, 6) == 0) f->tokens[f->n++] = BREAK;
            f->tokens[f->n++] = (uint16_t)(u * u * WORDS);
        }
    }
}

static void add_plain(sparse_builder *b, const plain_document *d) {
    static const uint32_t fields[COLUMNS] = {TITLE, BODY};
    sparse_builder_begin(b);
    for (uint32_t c = 0; c < COLUMNS; c++) {
        sparse_builder_gap(b, fields[c]); /* before the first value it means nothing */
        for (uint32_t i = 0; i < d->fields[c].n; i++) {
            char room[32];
            if (d->fields[c].tokens[i] == BREAK) sparse_builder_gap(b, fields[c]);
            else sparse_builder_term(b, fields[c], word_text(d->fields[c].tokens[i], room));
        }
    }
}

typedef struct plain_query {
    uint32_t n;
    uint16_t words[8];
    float weights[8];
    double mass[WORDS], total; /* weight · idf of each word, all its occurrences together; -1: not in the query */
} plain_query;

static uint32_t count_word(const plain_field *f, uint32_t word) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->n; i++) n += f->tokens[i] == word;
    return n;
}

static uint32_t length_of(const plain_field *f) { return f->n - count_word(f, BREAK); }

static void ask(random_source *r, const plain_document *d, plain_query *q) {
    *q = (plain_query){.n = 1 + (uint32_t)random_below(r, 5)};
    const plain_document *like = &d[random_below(r, DOCUMENTS)];
    const plain_field *f = &like->fields[random_below(r, COLUMNS)];
    uint32_t at = f->n ? (uint32_t)random_below(r, f->n) * (uint32_t)random_below(r, 2) : 0;
    for (uint32_t i = 0; i < q->n; i++) { /* often what a document says, sometimes with a word changed */
        uint32_t word = at + i < f->n && f->tokens[at + i] != BREAK ? f->tokens[at + i] : (uint32_t)random_below(r, WORDS);
        q->words[i] = (uint16_t)(random_below(r, 8) ? word : random_below(r, WORDS));
        q->weights[i] = random_below(r, 6) ? (float)(1 + random_below(r, 3)) : 0;
    }
    for (uint32_t w = 0; w < WORDS; w++) {
        uint32_t df = 0;
        double weight = 0;
        bool asked = false;
        for (uint32_t i = 0; i < DOCUMENTS; i++) df += count_word(&d[i].fields[0], w) || count_word(&d[i].fields[1], w);
        for (uint32_t i = 0; i < q->n; i++) asked |= q->words[i] == w;
        for (uint32_t i = 0; i < q->n; i++) weight += q->words[i] == w ? (double)q->weights[i] : 0;
        q->mass[w] = asked ? weight * log1p((DOCUMENTS - df + 0.5) / (df + 0.5)) : -1;
        if (asked) q->total += q->mass[w];
    }
}

static bool stands_at(const plain_query *q, const plain_field *f, uint32_t n, uint32_t i, uint32_t from, uint32_t size) {
    for (uint32_t k = 0; k < size; k++)
        if (i + k >= n || f->tokens[i + k] != q->words[from + k]) return false;
    return true;
}

/* The sizes of all stretches are tried, the smallest first. */
static double plain_proximity(const plain_query *q, const plain_field *f, uint32_t n) {
    bool here[WORDS] = {false};
    uint32_t words = 0;
    for (uint32_t i = 0; i < n; i++)
        if (f->tokens[i] != BREAK && q->mass[f->tokens[i]] > 0) here[f->tokens[i]] = true;
    for (uint32_t w = 0; w < WORDS; w++) words += here[w];
    if (words < 2) return 0;
    for (uint32_t size = words; size <= n; size++)
        for (uint32_t from = 0; from + size <= n; from++) {
            bool seen[WORDS] = {false};
            uint32_t has = 0;
            for (uint32_t i = from; i < from + size; i++) {
                uint32_t w = f->tokens[i];
                if (w != BREAK && here[w] && !seen[w]) has += seen[w] = true;
            }
            if (has == words) return (double)words / size;
        }
    return 0;
}

static sparse_match plain_match(const plain_query *q, const plain_field *f, double average, bool *in_document) {
    sparse_match m = {.length = logf(1 + (float)length_of(f))};
    double bm25 = 0, sum = 0, norm = 1.2 * (1 - 0.75 + 0.75 * length_of(f) / average);
    for (uint32_t w = 0; w < WORDS; w++) {
        double tf = count_word(f, w);
        if (!(q->mass[w] > 0) || tf == 0) continue;
        bm25 += q->mass[w] * 2.2 * tf / (tf + norm);
        sum += q->mass[w];
        m.matched++;
        in_document[w] = true;
    }
    if (m.matched == 0) return m;
    m.bm25 = (float)bm25;
    m.coverage = (float)(sum / q->total);
    uint32_t n = f->n, first = 0, longest = 0;
    while (first < n && (f->tokens[first] == BREAK || !(q->mass[f->tokens[first]] > 0))) first++;
    m.first = 1.0f / (float)(1 + first);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t from = 0; from < q->n; from++)
            for (uint32_t size = longest + 1; from + size <= q->n; size++)
                if (stands_at(q, f, n, i, from, size)) longest = size;
    m.phrase = (float)longest / (float)q->n;
    for (uint32_t i = 0; i < n; i++) {
        if ((i > 0 && f->tokens[i - 1] != BREAK) || !stands_at(q, f, n, i, 0, q->n)) continue;
        m.prefix = 1;
        if (i + q->n == f->n || (i + q->n < n && f->tokens[i + q->n] == BREAK)) m.exact = 1;
    }
    m.proximity = (float)plain_proximity(q, f, n);
    return m;
}

static void assert_match(const sparse_match *found, const sparse_match *wanted) {
    assert_near(found->bm25, wanted->bm25);
    assert_near(found->coverage, wanted->coverage);
    assert_near(found->matched, wanted->matched);
    assert_near(found->exact, wanted->exact);
    assert_near(found->prefix, wanted->prefix);
    assert_near(found->phrase, wanted->phrase);
    assert_near(found->proximity, wanted->proximity);
    assert_near(found->first, wanted->first);
    assert_near(found->length, wanted->length);
}

/* Every document at once, in shuffled order, some of them dead. */
static void compare(shelf *s, const plain_document *d, const plain_query *q, random_source *r, sparse_match *seen) {
    uint32_t asked[DOCUMENTS];
    double average[COLUMNS] = {0}, having[COLUMNS] = {0};
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        uint32_t j = (uint32_t)random_below(r, i + 1);
        asked[i] = asked[j];
        asked[j] = i;
        for (uint32_t c = 0; c < COLUMNS; c++) average[c] += length_of(&d[i].fields[c]);
        for (uint32_t c = 0; c < COLUMNS; c++) having[c] += d[i].fields[c].n > 0;
    }
    sparse_query_term terms[8];
    for (uint32_t i = 0; i < q->n; i++) {
        char room[32];
        terms[i] = (sparse_query_term){.key = sparse_text_key(&s->memory, word_text(q->words[i], room)),
                                       .weight = q->weights[i]};
    }
    sparse_match *out = arena_alloc(&s->memory, DOCUMENTS * COLUMNS * sizeof *out);
    float *coverage = arena_alloc(&s->memory, DOCUMENTS * sizeof *coverage);
    sparse_match_fields(&s->snapshot, terms, q->n, asked, DOCUMENTS, &s->memory, out, coverage);
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        const plain_document *document = &d[asked[i]];
        bool in_document[WORDS] = {false};
        double sum = 0;
        for (uint32_t c = 0; c < COLUMNS; c++) {
            sparse_match wanted = {0};
            const sparse_match *found = &out[i * COLUMNS + c];
            if (!document->dead) wanted = plain_match(q, &document->fields[c], average[c] / having[c], in_document);
            assert_match(found, &wanted);
            seen->exact += found->exact;
            seen->prefix += found->prefix;
            seen->phrase += found->phrase == 1;
            seen->proximity += found->proximity > 0;
        }
        for (uint32_t w = 0; w < WORDS; w++) sum += in_document[w] ? q->mass[w] : 0;
        assert_near(coverage[i], sum > 0 ? sum / q->total : 0);
    }
    arena_reset(&s->memory);
}

static void bury(shelf *s, plain_document *d, uint32_t part) {
    uint32_t count = sparse_segment_count(s->segments[part]);
    uint64_t *live = s->live[part] = mem_alloc((count / 64 + 1) * sizeof *live);
    memset(live, 0xff, (count / 64 + 1) * sizeof *live);
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        if (d[i].part != part || i % 17 != 3) continue;
        d[i].dead = true;
        live[d[i].place / 64] &= ~((uint64_t)1 << d[i].place % 64);
    }
    s->parts[part].live = live;
}

static void build_parts(shelf *s, plain_document *d, random_source *r) {
    start(s);
    for (uint32_t i = 0; i < DOCUMENTS; i++) d[i].part = (uint32_t)random_below(r, MOST_PARTS);
    for (uint32_t part = 0; part < MOST_PARTS; part++) {
        uint32_t documents[DOCUMENTS], n = 0;
        sparse_builder *b = sparse_builder_create(&config);
        for (uint32_t i = 0; i < DOCUMENTS; i++) {
            uint32_t at = part % 2 ? DOCUMENTS - 1 - i : i; /* places by document number, and not */
            if (d[at].part != part) continue;
            d[at].place = n;
            documents[n++] = at;
            add_plain(b, &d[at]);
        }
        add_part(s, b, documents);
        sparse_builder_destroy(b);
    }
}

static void random_documents_as_a_plain_reading_has_them(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 48);
    plain_document *d = mem_zalloc(DOCUMENTS, sizeof *d);
    for (uint32_t i = 0; i < DOCUMENTS; i++) invent(&r, &d[i]);
    shelf s;
    build_parts(&s, d, &r);
    for (uint32_t part = 0; part < MOST_PARTS; part += 2) bury(&s, d, part);
    sparse_match seen = {0};
    for (uint32_t i = 0; i < QUERIES; i++) {
        plain_query q;
        ask(&r, d, &q);
        compare(&s, d, &q, &r, &seen);
    }
    assert_true(seen.exact > 10 && seen.prefix > seen.exact && seen.phrase > seen.prefix && seen.proximity > 100);
    stop(&s);
    free(d);
}

static void merging_changes_nothing(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 49);
    plain_document *d = mem_zalloc(DOCUMENTS, sizeof *d);
    for (uint32_t i = 0; i < DOCUMENTS; i++) invent(&r, &d[i]);
    shelf s, merged;
    build_parts(&s, d, &r);
    sparse_merge_input inputs[MOST_PARTS];
    for (uint32_t part = 0; part < MOST_PARTS; part++) inputs[part] = (sparse_merge_input){s.segments[part], NULL};
    start(&merged);
    sparse_merge(inputs, MOST_PARTS, NULL, &config, &s.snapshot.statistics, &merged.images[0]);
    open_part(&merged, 0);
    sparse_match seen = {0};
    for (uint32_t i = 0; i < QUERIES / 3; i++) {
        plain_query q;
        ask(&r, d, &q);
        compare(&merged, d, &q, &r, &seen);
    }
    assert_true(seen.exact > 0 && seen.proximity > 100);
    stop(&merged);
    stop(&s);
    free(d);
}

/* The order of places is the index's own affair: searches and features know documents by number. */
static void merging_in_any_order_changes_nothing(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 50);
    plain_document *d = mem_zalloc(DOCUMENTS, sizeof *d);
    for (uint32_t i = 0; i < DOCUMENTS; i++) invent(&r, &d[i]);
    shelf s, merged[2];
    build_parts(&s, d, &r);
    uint32_t order[DOCUMENTS];
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        uint32_t j = (uint32_t)random_below(&r, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    sparse_merge_input inputs[MOST_PARTS];
    for (uint32_t part = 0; part < MOST_PARTS; part++) inputs[part] = (sparse_merge_input){s.segments[part], NULL};
    for (int i = 0; i < 2; i++) {
        start(&merged[i]);
        sparse_merge(inputs, MOST_PARTS, i ? order : NULL, &config, &s.snapshot.statistics, &merged[i].images[0]);
        open_part(&merged[i], 0);
    }
    sparse_match seen = {0};
    for (uint32_t i = 0; i < QUERIES / 3; i++) {
        plain_query q;
        ask(&r, d, &q);
        compare(&merged[1], d, &q, &r, &seen);
        sparse_hit hits[2][20];
        size_t n[2];
        for (int j = 0; j < 2; j++) {
            sparse_query_term terms[8];
            for (uint32_t k = 0; k < q.n; k++) {
                char room[32];
                slice key = sparse_text_key(&merged[j].memory, word_text(q.words[k], room));
                terms[k] = (sparse_query_term){.key = key, .weight = q.weights[k]};
            }
            const sparse_query query = {.terms = terms, .n_terms = q.n, .text_weight = 1};
            sparse_eligible all;
            sparse_eligible_compute(&merged[j].snapshot, NULL, &merged[j].memory, &all);
            n[j] = sparse_search(&all, &query, 20, &merged[j].memory, hits[j], NULL);
        }
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(hits[0], hits[1], n[0] * sizeof hits[0][0]);
    }
    assert_true(seen.exact > 0 && seen.proximity > 100);
    stop(&merged[0]);
    stop(&merged[1]);
    stop(&s);
    free(d);
}

/* A field that a schema gained later: older segments know nothing of it. */
static void later_fields_are_empty_in_older_segments(void **state) {
    (void)state;
    static const text texts[] = {{"red lamp", NULL}};
    shelf s;
    start_with(&s, texts, 1);
    sparse_config grown = config;
    grown.fields[grown.n_fields++] = (sparse_field){"notes", SPARSE_TEXT, 1};
    s.snapshot.config = &grown;
    assert_int_equal(sparse_match_columns(&grown, NULL), COLUMNS + 1);
    sparse_query_term terms[1];
    sparse_match out[COLUMNS + 1];
    size_t n = read_query("red", &s.memory, terms);
    sparse_match_fields(&s.snapshot, terms, n, &(uint32_t){0}, 1, &s.memory, out, NULL);
    assert_near(out[0].matched, 1);
    assert_near(out[2].matched + out[2].length, 0);
    sparse_merge_input input = {s.segments[0], NULL};
    sparse_statistics statistics = s.snapshot.statistics;
    shelf merged;
    start(&merged);
    sparse_merge(&input, 1, NULL, &grown, &statistics, &merged.images[0]);
    open_part(&merged, 0);
    stop(&merged);
    stop(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_the_hunger_games),
        cmocka_unit_test(sums_of_one_document),
        cmocka_unit_test(nothing_to_match_is_zero),
        cmocka_unit_test(long_fields_are_read_whole),
        cmocka_unit_test(a_long_value_is_an_exact_match),
        cmocka_unit_test(random_documents_as_a_plain_reading_has_them),
        cmocka_unit_test(merging_changes_nothing),
        cmocka_unit_test(merging_in_any_order_changes_nothing),
        cmocka_unit_test(later_fields_are_empty_in_older_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
