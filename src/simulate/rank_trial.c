#include "simulate/rank_trial.h"

#include "base/random.h"
#include "rank/forest.h"
#include "rank/pick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const rank_trial_options rank_trial_defaults = {
    .seed = 1, .trees = 300, .leaves = 15, .truncation = 20, .threads = 1, .bags = 1, .learning_rate = .08};

void rank_trial_init(rank_trial *t, const char *const *names, uint32_t n_features) {
    *t = (rank_trial){.names = names, .n_features = n_features, .fusion = UINT32_MAX};
    for (uint32_t i = 0; i < n_features; i++)
        if (strcmp(names[i], "fusion") == 0) t->fusion = i;
    t->first = mem_zalloc(1, sizeof *t->first);
}

void rank_trial_release(rank_trial *t) {
    free(t->x);
    free(t->wanted);
    free(t->first);
    free(t->found);
    free(t->rrf);
    free(t->time);
    *t = (rank_trial){0};
}

void rank_trial_add(rank_trial *t, const float *x, const float *rrf, const uint32_t *documents, size_t n, uint32_t wanted, int64_t time) {
    if (t->n_rows + n > t->rows_capacity) {
        t->rows_capacity = (t->n_rows + n) * 2;
        t->x = mem_realloc(t->x, t->rows_capacity * t->n_features * sizeof *t->x);
        t->wanted = mem_realloc(t->wanted, t->rows_capacity * sizeof *t->wanted);
        t->rrf = mem_realloc(t->rrf, t->rows_capacity * sizeof *t->rrf);
    }
    if (t->n == t->n_capacity) {
        t->n_capacity = t->n_capacity ? t->n_capacity * 2 : 1024;
        t->first = mem_realloc(t->first, (t->n_capacity + 1) * sizeof *t->first);
        t->found = mem_realloc(t->found, t->n_capacity * sizeof *t->found);
        t->time = mem_realloc(t->time, t->n_capacity * sizeof *t->time);
    }
    memcpy(t->x + t->n_rows * t->n_features, x, n * t->n_features * sizeof *x);
    memcpy(t->rrf + t->n_rows, rrf, n * sizeof *rrf);
    t->found[t->n] = false;
    for (size_t i = 0; i < n; i++) {
        t->wanted[t->n_rows + i] = documents[i] == wanted;
        t->found[t->n] |= documents[i] == wanted;
    }
    t->time[t->n] = time;
    t->n_rows += n;
    t->first[++t->n] = t->n_rows;
}

/* ---- Measuring ---- */

typedef struct measure {
    double *gain; /* per measured request */
    double mean, low, high, recall;
} measure;

#define CUTOFF 10
#define BOOTSTRAPS 1000

/* Ties count half: as if the wanted one stood in their middle. */
static double rank_in(const rank_trial *t, size_t r, const float *score) {
    size_t wanted = t->first[r];
    while (!t->wanted[wanted]) wanted++;
    double above = 0;
    for (size_t i = t->first[r]; i < t->first[r + 1]; i++)
        above += i == wanted ? 0 : score[i] > score[wanted] ? 1 : score[i] == score[wanted] ? .5 : 0;
    return 1 + above;
}

static int rising(const void *x, const void *y) {
    double p = *(const double *)x, q = *(const double *)y;
    return (p > q) - (p < q);
}

/* score: per row of the trial. */
static measure measured(const rank_trial *t, const float *score, uint64_t seed) {
    size_t n = t->n - t->n_lessons;
    measure m = {.gain = mem_zalloc(n + 1, sizeof *m.gain)};
    for (size_t i = 0; i < n; i++) {
        size_t r = t->n_lessons + i;
        if (!t->found[r]) continue;
        double rank = rank_in(t, r, score);
        if (rank > CUTOFF) continue;
        m.gain[i] = 1 / log2(1 + rank);
        m.recall += 1;
        m.mean += m.gain[i];
    }
    double *draws = mem_alloc(BOOTSTRAPS * sizeof *draws);
    random_source random;
    random_seed(&random, seed);
    for (int b = 0; b < BOOTSTRAPS; b++) {
        draws[b] = 0;
        for (size_t i = 0; i < n; i++) draws[b] += m.gain[random_below(&random, n)];
        draws[b] /= (double)n;
    }
    qsort(draws, BOOTSTRAPS, sizeof *draws, rising);
    m.mean /= (double)n;
    m.recall /= (double)n;
    m.low = draws[(size_t)(.025 * BOOTSTRAPS)];
    m.high = draws[(size_t)(.975 * BOOTSTRAPS) - 1];
    free(draws);
    return m;
}

static void write_number(json_writer *w, const char *key, double value) {
    json_key(w, key);
    json_float(w, value);
}

static void write_ranker(const rank_trial *t, const char *name, const float *score, uint64_t seed, json_writer *w) {
    measure m = measured(t, score, seed);
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, name);
    write_number(w, "ndcg", m.mean);
    write_number(w, "low", m.low);
    write_number(w, "high", m.high);
    write_number(w, "recall10", m.recall);
    json_end_object(w);
    free(m.gain);
}

/* ---- Learning ---- */

/* Lessons as rows to learn from. */
typedef struct lessons {
    float *x, *label, *weight;
    size_t *first, n_rows, n;
    int64_t *time;
} lessons;

static void lessons_release(lessons *l) {
    free(l->x);
    free(l->label);
    free(l->weight);
    free(l->first);
    free(l->time);
}

typedef struct placed {
    float score;
    uint32_t row;
} placed;

static int best_first(const void *x, const void *y) {
    const placed *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

enum { ALL_LABELS, NAIVE_CLICKS, WEIGHED_CLICKS };

/* The lessons whose wanted document is a candidate and, of clicks, was looked at; of each the best `most` by fusion. */
static lessons make_lessons(const rank_trial *t, int labels, uint32_t most, uint64_t seed) {
    lessons l = {0};
    size_t rows = t->first[t->n_lessons];
    random_source random;
    random_seed(&random, seed);
    l.x = mem_alloc((rows * t->n_features + 1) * sizeof *l.x);
    l.label = mem_zalloc(rows + 1, sizeof *l.label);
    l.weight = mem_alloc((rows + 1) * sizeof *l.weight);
    l.first = mem_zalloc(t->n_lessons + 2, sizeof *l.first);
    l.time = mem_zalloc(t->n_lessons + 1, sizeof *l.time);
    for (size_t r = 0; r < t->n_lessons; r++) {
        size_t n = t->first[r + 1] - t->first[r];
        double lot = random_double(&random);
        if (!t->found[r] || n < 2) continue;
        placed *order = mem_alloc(n * sizeof *order);
        for (size_t i = 0; i < n; i++)
            order[i] = (placed){t->x[(t->first[r] + i) * t->n_features + t->fusion], (uint32_t)(t->first[r] + i)};
        qsort(order, n, sizeof *order, best_first);
        size_t rank = 0;
        while (!t->wanted[order[rank].row]) rank++;
        double looked = 1 / (double)(rank + 1);
        bool there = labels == ALL_LABELS || lot < looked;
        if (most && n > most) n = most;
        if (rank >= n) there = false;
        for (size_t i = 0; there && i < n; i++, l.n_rows++) {
            memcpy(l.x + l.n_rows * t->n_features, t->x + (size_t)order[i].row * t->n_features, t->n_features * sizeof *l.x);
            l.label[l.n_rows] = t->wanted[order[i].row];
            l.weight[l.n_rows] = labels == WEIGHED_CLICKS && i == rank ? (float)(1 / looked) : 1;
        }
        if (there) {
            l.time[l.n] = t->time[r];
            l.first[++l.n] = l.n_rows;
        }
        free(order);
    }
    return l;
}

static rank_rows view(const rank_trial *t, const lessons *l, size_t from, size_t end, size_t *first) {
    size_t base = l->first[from];
    for (size_t g = from; g <= end; g++) first[g - from] = l->first[g] - base;
    return (rank_rows){.n_features = t->n_features, .n_rows = l->first[end] - base, .n_groups = end - from,
                       .x = l->x + base * t->n_features, .label = l->label + base, .weight = l->weight + base, .first = first};
}

static pick_settings settings_of(const rank_trial_options *o, pick_kind kind) {
    pick_settings s;
    pick_settings_default(&s);
    s.kind = kind;
    s.trees.gain = s.linear.gain = NDCG_LINEAR;
    s.trees.rounds = o->trees;
    s.trees.trees.max_leaves = o->leaves;
    s.trees.trees.eta = o->learning_rate;
    s.trees.trees.lambda = 5;
    s.trees.trees.subsample = .7;
    s.trees.trees.colsample = .5;
    s.trees.trees.min_child_weight = .5;
    s.trees.trees.threads = o->threads;
    s.trees.truncation = o->truncation;
    s.trees.bags = o->bags;
    s.trees.weight_clip = s.linear.weight_clip = 10;
    s.trees.seed = s.trees.trees.seed = o->seed;
    return s;
}

/* Fits on the first four fifths of the lessons by time, stops by the last, and scores every row of the trial. */
static forage_status learn(const rank_trial *t, const rank_trial_options *o, pick_kind kind, int labels, float *scores, rank_fit *fit,
                           size_t *n_lessons, base_error *error) {
    lessons l = make_lessons(t, labels, o->most_rows, o->seed);
    size_t *first = mem_alloc((l.n + 2) * 2 * sizeof *first), *all = mem_alloc((t->n + 1) * sizeof *all), cut = l.n * 4 / 5;
    pick_settings settings = settings_of(o, kind);
    forage_status status = FORAGE_OK;
    *n_lessons = l.n;
    if (l.n < 10) status = error_set(error, FORAGE_E_INVALID,
        "%zu lessons have the document that was wanted among their candidates; at least 10 are needed", l.n);
    if (!status) {
        rank_rows train = view(t, &l, 0, cut, first), valid = view(t, &l, cut, l.n, first + l.n + 2);
        status = rank_train(&train, &valid, &settings, NULL, NULL, fit, error);
    }
    if (!status) {
        memcpy(all, t->first, (t->n + 1) * sizeof *all);
        rank_rows rows = {.n_features = t->n_features, .n_rows = t->n_rows, .n_groups = t->n, .x = t->x, .first = all};
        status = rank_fit_score(fit, &rows, scores, error);
        if (status) rank_fit_release(fit);
    }
    lessons_release(&l);
    free(first);
    free(all);
    return status;
}

typedef struct gained {
    uint32_t feature;
    double gain;
} gained;

static int most_gain(const void *x, const void *y) {
    const gained *a = x, *b = y;
    if (a->gain != b->gain) return a->gain > b->gain ? -1 : 1;
    return (a->feature > b->feature) - (a->feature < b->feature);
}

static void write_importance(const rank_trial *t, const rank_fit *fit, json_writer *w) {
    forest *trees;
    double sum = 0;
    if (forest_read((slice){fit->trees.data, fit->trees.size}, &trees, NULL)) return;
    uint32_t n = forest_describe(trees).n_features;
    double *gain = mem_zalloc(n + 1, sizeof *gain);
    gained *list = mem_zalloc(n + 1, sizeof *list);
    forest_importance(trees, FOREST_GAIN, gain);
    for (uint32_t i = 0; i < n && i < t->n_features; i++) {
        list[i] = (gained){i, gain[i]};
        sum += gain[i];
    }
    qsort(list, n, sizeof *list, most_gain);
    json_key(w, "importance");
    json_begin_array(w);
    for (uint32_t i = 0; i < n && i < 40 && list[i].gain > 0; i++) {
        json_begin_object(w);
        json_key(w, "feature");
        json_text(w, t->names[list[i].feature]);
        write_number(w, "gain", list[i].gain / sum);
        json_end_object(w);
    }
    json_end_array(w);
    free(list);
    free(gain);
    forest_destroy(trees);
}

static void write_head(const rank_trial *t, json_writer *w) {
    size_t found = 0, n = t->n - t->n_lessons;
    for (size_t r = t->n_lessons; r < t->n; r++) found += t->found[r];
    json_key(w, "requests");
    json_integer(w, (int64_t)n);
    json_key(w, "lessons");
    json_integer(w, (int64_t)t->n_lessons);
    write_number(w, "candidates", n ? (double)(t->n_rows - t->first[t->n_lessons]) / (double)n : 0);
    write_number(w, "recall", n ? (double)found / (double)n : 0);
}

forage_status rank_trial_write(const rank_trial *t, const rank_trial_options *o, json_writer *w, base_error *error) {
    static const struct {
        const char *name;
        pick_kind kind;
        int labels;
    } learners[] = {{"linear", PICK_LINEAR, ALL_LABELS},
                    {"trees", PICK_TREES, ALL_LABELS},
                    {"trees, clicks, naive", PICK_TREES, NAIVE_CLICKS},
                    {"trees, clicks, debiased", PICK_TREES, WEIGHED_CLICKS}};
    float *scores = mem_zalloc(t->n_rows + 1, sizeof *scores);
    rank_fit fit;
    forage_status status = FORAGE_OK;
    size_t used;
    json_begin_object(w);
    write_head(t, w);
    json_key(w, "rankers");
    json_begin_array(w);
    write_ranker(t, "rrf", t->rrf, o->seed, w);
    for (size_t i = 0; i < t->n_rows; i++) scores[i] = t->x[i * t->n_features + t->fusion];
    write_ranker(t, "fusion", scores, o->seed, w);
    buffer importance = {0};
    for (size_t i = 0; !status && i < sizeof learners / sizeof learners[0]; i++) {
        status = learn(t, o, learners[i].kind, learners[i].labels, scores, &fit, &used, error);
        if (status) break;
        write_ranker(t, learners[i].name, scores, o->seed, w);
        if (i == 1) {
            json_writer to = json_writer_of(&importance);
            json_begin_object(&to);
            write_importance(t, &fit, &to);
            json_end_object(&to);
        }
        rank_fit_release(&fit);
    }
    json_end_array(w);
    if (importance.size) {
        json_key(w, "trees");
        json_raw(w, (slice){importance.data, importance.size});
    }
    json_end_object(w);
    buffer_release(&importance);
    free(scores);
    return status;
}
