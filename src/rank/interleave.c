#include "rank/interleave.h"

#include "rank/simplex.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- drafting: what both kinds have in common ---- */

/* Where a list stands: its items, and how far each ranking has been used up. */
typedef struct draft {
    const uint32_t *a, *b;
    size_t n_a, n_b, i, j;
    uint32_t *id; /* of the list so far */
    uint32_t n;
} draft;

static bool has(const uint32_t *ids, size_t n, uint32_t id) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

/* Moves both sides to their best item that is not in the list. */
static void advance(draft *d) {
    while (d->i < d->n_a && has(d->id, d->n, d->a[d->i])) d->i++;
    while (d->j < d->n_b && has(d->id, d->n, d->b[d->j])) d->j++;
}

static bool open_a(const draft *d) { return d->i < d->n_a; }
static bool open_b(const draft *d) { return d->j < d->n_b; }

static bool toss(random_source *random) { return random_u64(random) >> 63; }

static void put(interleave_page *page, uint32_t id, int team) {
    page->id[page->n] = id;
    page->team[page->n] = (int8_t)team;
    page->credit[page->n++] = (float)team;
}

/* Both have somebody left, and not the same: the round's two picks in the order of a coin. Neither pick changes what the other
 * side picks, so that at both positions either side is as likely as the other, whatever happened before. */
static void play_round(interleave_page *page, uint32_t of_a, uint32_t of_b, size_t length, random_source *random) {
    bool b_first = toss(random);
    put(page, b_first ? of_b : of_a, b_first ? -1 : 1);
    if (page->n < length) put(page, b_first ? of_a : of_b, b_first ? 1 : -1);
    page->propensity /= 2;
}

/* From the page's present length on. counted: with teams; else for neither, still by coins. */
static void team_draft(const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b, size_t length, bool counted,
                       random_source *random, interleave_page *page) {
    draft d = {a, b, n_a, n_b, 0, 0, page->id, page->n};
    while (page->n < length) {
        d.n = page->n;
        advance(&d);
        if (!open_a(&d) && !open_b(&d)) break;
        if (!open_a(&d)) put(page, b[d.j], 0);
        else if (!open_b(&d) || a[d.i] == b[d.j]) put(page, a[d.i], 0);
        else {
            uint32_t from = page->n;
            play_round(page, a[d.i], b[d.j], length, random);
            for (uint32_t k = from; k < page->n && !counted; k++) {
                page->team[k] = 0;
                page->credit[k] = 0;
            }
        }
    }
}

/* ---- optimised ---- */

enum { MOST = INTERLEAVE_OPTIMISED_MAX, COLUMNS = INTERLEAVE_LISTS + 64 };

/* Items are numbered 0 … n_items − 1, those of A first. A list is allowed when each beginning of it is the union of the first i
 * of A and the first j of B; so (i, j) says what is in it, and there are few such states, however many lists. */
typedef struct programme {
    uint32_t length, n_items, n_lists;
    uint32_t n[2], side[2][MOST];    /* A's and B's first items, by number */
    uint32_t id[2 * MOST], rank[2][2 * MOST]; /* by number; ranks from 1, length + 1 when behind the page */
    double credit[2 * MOST];
    uint8_t list[COLUMNS][MOST];
    double probability[COLUMNS];
} programme;

/* The first `length` different ids of a ranking. */
static void take_side(programme *p, int side, const uint32_t *ranking, size_t n, uint32_t length) {
    for (size_t i = 0; i < n && p->n[side] < length; i++) {
        uint32_t item = 0;
        while (item < p->n_items && p->id[item] != ranking[i]) item++;
        if (item < p->n_items && p->rank[side][item]) continue; /* named before */
        if (item == p->n_items) p->id[p->n_items++] = ranking[i];
        p->side[side][p->n[side]++] = item;
        p->rank[side][item] = p->n[side];
    }
}

static void set_up(programme *p, const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b, uint32_t length) {
    memset(p, 0, offsetof(programme, list));
    take_side(p, 0, a, n_a, length);
    take_side(p, 1, b, n_b, length);
    p->length = length < p->n_items ? length : p->n_items;
    for (uint32_t item = 0; item < p->n_items; item++) {
        for (int side = 0; side < 2; side++)
            if (!p->rank[side][item]) p->rank[side][item] = length + 1;
        p->credit[item] = ((double)p->rank[1][item] - (double)p->rank[0][item]) / (double)length;
    }
}

/* What is in a list: A's first i items and B's first j, as far as they go. */
typedef struct state {
    uint32_t i, j;
} state;

static bool in_state(const programme *p, state s, uint32_t item) {
    return p->rank[0][item] <= s.i || p->rank[1][item] <= s.j;
}

/* Both sides' ends moved over what the other brought in. */
static state settle(const programme *p, state s) {
    for (;;) {
        if (s.i < p->n[0] && in_state(p, s, p->side[0][s.i])) s.i++;
        else if (s.j < p->n[1] && in_state(p, s, p->side[1][s.j])) s.j++;
        else return s;
    }
}

/* The items that may come next: 0, 1 or 2 of them, A's first. */
static uint32_t choices(const programme *p, state s, uint32_t item[2], state next[2]) {
    uint32_t n = 0;
    if (s.i < p->n[0]) {
        item[n] = p->side[0][s.i];
        next[n++] = settle(p, (state){s.i + 1, s.j});
    }
    if (s.j < p->n[1] && !(n && item[0] == p->side[1][s.j])) {
        item[n] = p->side[1][s.j];
        next[n++] = settle(p, (state){s.i, s.j + 1});
    }
    return n;
}

/* Every allowed list, depth first. False: more than INTERLEAVE_LISTS. */
static bool enumerate(programme *p, state s, uint8_t *list, uint32_t k) {
    if (k == p->length) {
        if (p->n_lists == INTERLEAVE_LISTS) return false;
        memcpy(p->list[p->n_lists++], list, k);
        return true;
    }
    uint32_t item[2], n;
    state next[2] = {{0, 0}, {0, 0}};
    n = choices(p, s, item, next);
    assert(n > 0);
    for (uint32_t c = 0; c < n; c++) {
        list[k] = (uint8_t)item[c];
        if (!enumerate(p, next[c], list, k + 1)) return false;
    }
    return true;
}

static bool add_list(programme *p, const uint8_t *list) {
    for (uint32_t l = 0; l < p->n_lists; l++)
        if (!memcmp(p->list[l], list, p->length)) return false;
    if (p->n_lists == COLUMNS) return false;
    memcpy(p->list[p->n_lists++], list, p->length);
    return true;
}

/* INTERLEAVE_LISTS draws with a coin at each difference, a pair of opposites at a time: lists on both sides of zero are what
 * the constraints need. */
static void sample_lists(programme *p, random_source *random) {
    uint64_t coins = 0;
    p->n_lists = 0;
    for (uint32_t draw = 0; draw < INTERLEAVE_LISTS; draw++) {
        uint8_t list[MOST];
        state s = {0, 0};
        coins = draw % 2 ? ~coins : random_u64(random);
        for (uint32_t k = 0; k < p->length; k++) {
            uint32_t item[2] = {0}, n;
            state next[2] = {{0, 0}, {0, 0}};
            n = choices(p, s, item, next);
            uint32_t c = n == 2 && coins >> k & 1;
            list[k] = (uint8_t)item[c];
            s = next[c];
        }
        add_list(p, list);
    }
}

/* The allowed list with the greatest sum over its beginnings of y[k] × (credits of the beginning), by dynamic programming over the
 * states. best[i][j]: the greatest sum from there on; step: which choice leads to it. */
typedef struct search {
    const programme *p;
    const double *y; /* of the beginnings of 1 … length items */
    double best[MOST + 1][MOST + 1];
    int8_t step[MOST + 1][MOST + 1]; /* −1: not visited */
} search;

static double look(search *f, state s, uint32_t k, double credits) {
    if (k == f->p->length) return 0;
    if (f->step[s.i][s.j] >= 0) return f->best[s.i][s.j];
    uint32_t item[2], n;
    state next[2] = {{0, 0}, {0, 0}};
    n = choices(f->p, s, item, next);
    for (uint32_t c = 0; c < n; c++) {
        double sum = credits + f->p->credit[item[c]];
        double value = f->y[k] * sum + look(f, next[c], k + 1, sum);
        if (c && value <= f->best[s.i][s.j]) continue;
        f->best[s.i][s.j] = value;
        f->step[s.i][s.j] = (int8_t)c;
    }
    return f->best[s.i][s.j];
}

/* Adds the list that the constraints want most, by the proof y that those at hand do not suffice. False: none can help. */
static bool add_wanted(programme *p, const double *y) {
    search f = {.p = p, .y = y + 1};
    memset(f.step, -1, sizeof f.step);
    if (y[0] + look(&f, (state){0, 0}, 0, 0) <= 1e-9) return false;
    uint8_t list[MOST];
    state s = {0, 0};
    for (uint32_t k = 0; k < p->length; k++) {
        uint32_t item[2] = {0};
        state next[2] = {{0, 0}, {0, 0}};
        choices(p, s, item, next);
        int c = f.step[s.i][s.j];
        list[k] = (uint8_t)item[c];
        s = next[c];
    }
    return add_list(p, list);
}

static double entropy_of(double share) {
    return share > 0 && share < 1 ? -share * log2(share) - (1 - share) * log2(1 - share) : 0;
}

/* How well one click can tell: with a click at position i likely as 1 / i, the entropy of who gets it, times the chance that
 * it goes to one of them at all. */
static double sensitivity(const programme *p, const uint8_t *list) {
    double for_a = 0, for_b = 0, all = 0;
    for (uint32_t i = 0; i < p->length; i++) {
        double click = 1.0 / (i + 1);
        all += click;
        if (p->credit[list[i]] > 0) for_a += click;
        if (p->credit[list[i]] < 0) for_b += click;
    }
    return for_a > 0 && for_b > 0 ? (for_a + for_b) / all * entropy_of(for_a / (for_a + for_b)) : 0;
}

/* A list's column of the programme: row 0 says that the probabilities sum to 1, row k that the first k items earn nothing. */
static void column_of(const programme *p, const uint8_t *list, double *column, size_t stride) {
    double beginning = 0;
    column[0] = 1;
    for (uint32_t k = 0; k < p->length; k++) column[(k + 1) * stride] = beginning += p->credit[list[k]];
}

/* For simplex_columns. */
static bool one_more(void *context, const double *y, double *column, double *cost) {
    programme *p = context;
    if (!add_wanted(p, y)) return false;
    column_of(p, p->list[p->n_lists - 1], column, 1);
    *cost = sensitivity(p, p->list[p->n_lists - 1]);
    return true;
}

/* A solution that rounding has spoilt must not be drawn from. */
static bool unbiased(programme *p) {
    double all = 0, at[MOST] = {0};
    for (uint32_t l = 0; l < p->n_lists; l++) all += p->probability[l];
    if (!(fabs(all - 1) < 1e-6)) return false;
    for (uint32_t l = 0; l < p->n_lists; l++) {
        p->probability[l] /= all;
        for (uint32_t k = 0; k < p->length; k++) at[k] += p->probability[l] * p->credit[p->list[l][k]];
    }
    for (uint32_t k = 0; k < p->length; k++)
        if (!(fabs(at[k]) < 1e-8)) return false;
    return true;
}

/* False where no distribution over the allowed lists is unbiased. Where the lists are a sample, those that are missing for
 * it are added one by one. */
static bool solve(programme *p, random_source *random) {
    uint8_t list[MOST];
    bool complete = enumerate(p, settle(p, (state){0, 0}), list, 0);
    if (!complete) sample_lists(p, random);
    size_t m = p->length + 1, n = p->n_lists;
    double *A = mem_alloc((m + 1) * n * sizeof *A), *c = A + m * n, b[MOST + 1] = {1};
    simplex_columns columns = {one_more, p, COLUMNS - n};
    for (size_t l = 0; l < n; l++) {
        column_of(p, p->list[l], A + l, n);
        c[l] = sensitivity(p, p->list[l]);
    }
    simplex_end end = simplex_maximise(A, b, c, m, n, complete ? NULL : &columns, p->probability);
    free(A);
    return end == SIMPLEX_SOLVED && unbiased(p);
}

static uint32_t draw_list(const programme *p, random_source *random) {
    double left = random_double(random);
    uint32_t last = 0;
    for (uint32_t l = 0; l < p->n_lists; l++) {
        if (!(p->probability[l] > 0)) continue;
        last = l;
        if ((left -= p->probability[l]) < 0) break;
    }
    return last;
}

static bool optimised(const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b, size_t length,
                      random_source *random, interleave_page *page) {
    programme *p = mem_alloc(sizeof *p);
    set_up(p, a, n_a, b, n_b, length < MOST ? (uint32_t)length : MOST);
    bool solved = solve(p, random);
    if (solved) {
        uint32_t l = draw_list(p, random);
        page->propensity = p->probability[l];
        page->n = p->length;
        for (uint32_t k = 0; k < p->length; k++) {
            double credit = p->credit[p->list[l][k]];
            page->id[k] = p->id[p->list[l][k]];
            page->credit[k] = (float)credit;
            page->team[k] = (int8_t)((credit > 0) - (credit < 0));
        }
    }
    free(p);
    return solved;
}

void interleave_draw(interleave_kind kind, const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b, size_t length,
                     random_source *random, interleave_page *out) {
    if (length > INTERLEAVE_MAX) length = INTERLEAVE_MAX;
    memset(out, 0, sizeof *out);
    out->kind = kind;
    out->propensity = 1;
    if (kind == INTERLEAVE_OPTIMISED && !optimised(a, n_a, b, n_b, length, random, out))
        out->kind = INTERLEAVE_TEAM_DRAFT;
    team_draft(a, n_a, b, n_b, length, out->kind == INTERLEAVE_TEAM_DRAFT, random, out);
}

double interleave_outcome(const float *credit, const float *reward, size_t n) {
    double sum = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        double r = isnan(reward[i]) ? 0 : fmax(-1, fmin(1, (double)reward[i]));
        sum += r * (double)credit[i];
        weight += fabs(r);
    }
    return sum / fmax(1, weight);
}

const char *interleave_kind_name(interleave_kind kind) {
    return kind == INTERLEAVE_OPTIMISED ? "optimised" : "team_draft";
}
