/* Training of click models: closed forms, and EM. Symbols as in Chuklin, Markov & de Rijke (2015). */
#include "evaluate/click_models_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[CLICK_KINDS] = {"pbm", "curve", "cascade", "dbn", "sdbn", "rate"};

const char *click_kind_name(click_kind kind) { return (unsigned)kind < CLICK_KINDS ? kind_names[kind] : "unknown"; }

bool click_kind_named(const char *name, click_kind *out) {
    for (int k = 0; name && k < CLICK_KINDS; k++)
        if (!strcmp(name, kind_names[k])) {
            *out = (click_kind)k;
            return true;
        }
    return false;
}

void click_options_default(click_options *o) {
    *o = (click_options){.iterations = 200, .tolerance = 1e-7, .prior_strength = 2};
}

double click_limit(double chance) { return fmax(CLICK_LEAST, fmin(1 - CLICK_LEAST, chance)); }

forage_status click_pages_check(const click_pages *pages, uint32_t n_pairs, base_error *error) {
    if (!pages->n_pages) return error_set(error, FORAGE_E_INVALID, "click model: there are no pages");
    for (size_t i = 0; i < pages->n_pages; i++) {
        size_t from = pages->first[i], to = pages->first[i + 1];
        if (to < from || to - from > CLICK_MAX_RANKS)
            return error_set(error, FORAGE_E_INVALID, "click model: page %zu: expected at most %d ranks", i,
                             CLICK_MAX_RANKS);
        for (size_t j = from; j < to; j++) {
            if (pages->pair[j] >= n_pairs)
                return error_set(error, FORAGE_E_INVALID, "click model: page %zu: pair %u, expected less than %u", i,
                                 pages->pair[j], n_pairs);
            if (pages->clicked[j] > 1)
                return error_set(error, FORAGE_E_INVALID, "click model: page %zu: clicked %u, expected 0 or 1", i,
                                 pages->clicked[j]);
        }
    }
    return FORAGE_OK;
}

static forage_status check_options(click_kind kind, const click_options *o, base_error *error) {
    if ((unsigned)kind >= CLICK_KINDS) return error_set(error, FORAGE_E_INVALID, "click model: unknown kind");
    if (!(o->prior_strength >= 0 && o->prior_strength <= 1e6) || !(o->tolerance >= 0))
        return error_set(error, FORAGE_E_INVALID, "click model: prior strength %g, tolerance %g", o->prior_strength,
                         o->tolerance);
    if (kind != CLICK_CURVE) return FORAGE_OK;
    if (!o->curve || !o->n_curve || o->n_curve > CLICK_MAX_RANKS)
        return error_set(error, FORAGE_E_INVALID, "click model: expected a curve of 1 to %d ranks", CLICK_MAX_RANKS);
    for (uint32_t r = 0; r < o->n_curve; r++)
        if (!(o->curve[r] > 0 && o->curve[r] <= 1))
            return error_set(error, FORAGE_E_INVALID, "click model: curve at rank %u: expected more than 0, at most 1, "
                             "got %g", r + 1, o->curve[r]);
    return FORAGE_OK;
}

/* What pairs did (clicks, satisfactions …) of how often they could have. */
typedef struct counts {
    double *did, *could; /* n_pairs each */
    uint32_t n;
} counts;

static counts counts_of(uint32_t n) {
    double *both = mem_zalloc(2 * (size_t)n + 1, sizeof *both);
    return (counts){both, both + n, n};
}

static void counts_clear(counts *c) { memset(c->did, 0, 2 * (size_t)c->n * sizeof *c->did); }

/* The mode under the Beta prior; returns the mean of all pairs. */
static double to_chances(const counts *c, double strength, double *out) {
    double did = 0, could = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        did += c->did[i];
        could += c->could[i];
    }
    double mean = could > 0 ? did / could : .5;
    for (uint32_t i = 0; i < c->n; i++) {
        double all = c->could[i] + strength;
        out[i] = click_limit(all > 0 ? (c->did[i] + strength * mean) / all : mean);
    }
    return click_limit(mean);
}

/* ---- Position-based: looking and liking as two coins, both needed ---- */

/* One step of EM; returns the log-likelihood before it. */
static double pbm_step(click_model *m, const click_pages *pages, const click_options *o, counts *liked) {
    double looked[CLICK_MAX_RANKS] = {0}, shown[CLICK_MAX_RANKS] = {0}, value = 0;
    counts_clear(liked);
    for (size_t i = 0; i < pages->n_pages; i++)
        for (size_t j = pages->first[i]; j < pages->first[i + 1]; j++) {
            size_t r = j - pages->first[i];
            double a = m->a[pages->pair[j]], p = m->p[r], miss = 1 - p * a;
            bool clicked = pages->clicked[j];
            value += log(clicked ? p * a : miss);
            looked[r] += clicked ? 1 : p * (1 - a) / miss;
            shown[r]++;
            liked->did[pages->pair[j]] += clicked ? 1 : a * (1 - p) / miss;
            liked->could[pages->pair[j]]++;
        }
    m->mean_a = to_chances(liked, o->prior_strength, m->a);
    for (int r = 0; r < CLICK_MAX_RANKS && m->kind == CLICK_PBM; r++)
        if (shown[r] > 0) m->p[r] = click_limit(looked[r] / shown[r]);
    return value;
}

static void start_pbm(click_model *m, const click_options *o) {
    for (int r = 0; r < CLICK_MAX_RANKS; r++) {
        double given = o->curve ? o->curve[(uint32_t)r < o->n_curve ? (uint32_t)r : o->n_curve - 1] : 1;
        m->p[r] = click_limit(m->kind == CLICK_CURVE ? given : 1 / (r + 1.));
    }
}

/* ---- Cascades ---- */

/* The last row that was looked at for certain, plus 1: down to the first or the last click, or to the end without one. */
static size_t looked_to(const click_pages *pages, size_t page, bool first_click) {
    size_t from = pages->first[page], to = pages->first[page + 1], end = to;
    for (size_t j = from; j < to; j++) {
        if (!pages->clicked[j]) continue;
        end = j + 1;
        if (first_click) break;
    }
    return end;
}

static void train_closed(click_model *m, const click_pages *pages, const click_options *o) {
    counts liked = counts_of(m->n_pairs), satisfied = counts_of(m->n_pairs);
    bool cascade = m->kind == CLICK_CASCADE;
    for (size_t i = 0; i < pages->n_pages; i++) {
        size_t end = looked_to(pages, i, cascade);
        for (size_t j = pages->first[i]; j < end; j++) {
            uint32_t pair = pages->pair[j];
            liked.did[pair] += pages->clicked[j];
            liked.could[pair]++;
            satisfied.did[pair] += pages->clicked[j] && j + 1 == end;
            satisfied.could[pair] += pages->clicked[j];
        }
    }
    m->mean_a = to_chances(&liked, o->prior_strength, m->a);
    if (cascade) {
        m->mean_s = 1;
        for (uint32_t i = 0; i < m->n_pairs; i++) m->s[i] = 1;
    } else m->mean_s = to_chances(&satisfied, o->prior_strength, m->s);
    m->iterations = 1;
    free(liked.did);
    free(satisfied.did);
}

/* ---- Dynamic Bayesian network ---- */

typedef struct dbn_counts {
    counts liked, satisfied;
    double went_on, could_go; /* after what did not satisfy, before the end of the page */
} dbn_counts;

/* The rows after the last click, `from` to `to`, of which the first was looked at with chance `entry`, everything that was
 * seen taken into account. quiet[j]: the chance of no click from row j on, if it is looked at. */
static void dbn_tail(const click_model *m, const click_pages *pages, size_t from, size_t to, double entry,
                     const double *quiet, dbn_counts *c) {
    for (size_t j = from; j < to; j++) {
        double onward = m->gamma * quiet[j + 1 - from];
        c->liked.could[pages->pair[j]] += entry;
        if (j + 1 == to) break;
        c->could_go += entry;
        entry *= onward / (1 - m->gamma + onward);
        c->went_on += entry;
    }
}

/* Expectations of one page. Down to the last click all rows were looked at. Whether the last click satisfied, and how far the
 * user looked on, is weighed by how likely the silence below it is. Returns the page's log-likelihood. */
static double dbn_page(const click_model *m, const click_pages *pages, size_t page, dbn_counts *c) {
    size_t from = pages->first[page], to = pages->first[page + 1], below = from;
    double quiet[CLICK_MAX_RANKS + 1], value = 0;
    for (size_t j = from; j < to; j++)
        if (pages->clicked[j]) below = j + 1;
    quiet[to - below] = 1;
    for (size_t j = to; j-- > below;) {
        double rest = j + 1 == to ? 1 : 1 - m->gamma + m->gamma * quiet[j + 1 - below];
        quiet[j - below] = (1 - m->a[pages->pair[j]]) * rest;
    }
    for (size_t j = from; j < below; j++) {
        uint32_t pair = pages->pair[j];
        bool clicked = pages->clicked[j], last = j + 1 == below;
        c->liked.did[pair] += clicked;
        c->liked.could[pair]++;
        c->satisfied.could[pair] += clicked;
        value += log(clicked ? m->a[pair] : 1 - m->a[pair]);
        if (last) break;
        c->could_go++;
        c->went_on++;
        value += log(m->gamma * (clicked ? 1 - m->s[pair] : 1));
    }
    if (below == from) {
        dbn_tail(m, pages, from, to, 1, quiet, c);
        return log(quiet[0]);
    }
    double s = m->s[pages->pair[below - 1]];
    if (below == to) { /* nothing is below: nothing tells whether it satisfied */
        c->satisfied.did[pages->pair[below - 1]] += s;
        return value;
    }
    double onward = m->gamma * quiet[0], silence = s + (1 - s) * (1 - m->gamma + onward);
    double unsatisfied = (1 - s) * (1 - m->gamma + onward) / silence, entry = (1 - s) * onward / silence;
    c->satisfied.did[pages->pair[below - 1]] += 1 - unsatisfied;
    c->could_go += unsatisfied;
    c->went_on += entry;
    dbn_tail(m, pages, below, to, entry, quiet, c);
    return value + log(silence);
}

static double dbn_step(click_model *m, const click_pages *pages, const click_options *o, dbn_counts *c) {
    double value = 0;
    counts_clear(&c->liked);
    counts_clear(&c->satisfied);
    c->went_on = c->could_go = 0;
    for (size_t i = 0; i < pages->n_pages; i++)
        if (pages->first[i + 1] > pages->first[i]) value += dbn_page(m, pages, i, c);
    m->mean_a = to_chances(&c->liked, o->prior_strength, m->a);
    m->mean_s = to_chances(&c->satisfied, o->prior_strength, m->s);
    if (c->could_go > 0) m->gamma = click_limit(c->went_on / c->could_go);
    return value;
}

/* ---- */

static void train_rate(click_model *m, const click_pages *pages, const click_options *o) {
    double clicks[CLICK_MAX_RANKS] = {0}, shown[CLICK_MAX_RANKS] = {0};
    for (size_t i = 0; i < pages->n_pages; i++)
        for (size_t j = pages->first[i]; j < pages->first[i + 1]; j++) {
            shown[j - pages->first[i]]++;
            clicks[j - pages->first[i]] += pages->clicked[j];
        }
    for (int r = 0; r < CLICK_MAX_RANKS; r++)
        m->p[r] = click_limit((clicks[r] + o->prior_strength * .1) / fmax(1, shown[r] + o->prior_strength));
    m->mean_a = 1;
    m->iterations = 1;
}

static void train_em(click_model *m, const click_pages *pages, const click_options *o) {
    dbn_counts c = {counts_of(m->n_pairs), counts_of(m->n_pairs), 0, 0};
    double before = -INFINITY;
    for (uint32_t i = 0; i < m->n_pairs; i++) m->a[i] = m->s[i] = .5;
    start_pbm(m, o);
    m->gamma = m->kind == CLICK_DBN ? .9 : 1;
    for (; m->iterations < o->iterations; m->iterations++) {
        double value = m->kind == CLICK_DBN ? dbn_step(m, pages, o, &c) : pbm_step(m, pages, o, &c.liked);
        if (value - before < o->tolerance * (double)pages->n_pages && m->iterations > 1) break;
        before = value;
    }
    free(c.liked.did);
    free(c.satisfied.did);
}

forage_status click_model_train(click_kind kind, const click_pages *pages, const click_options *options,
                                click_model **out, base_error *error) {
    forage_status status = check_options(kind, options, error);
    if (!status) status = click_pages_check(pages, pages->n_pairs, error);
    if (status) return status;
    click_model *m = mem_zalloc(1, sizeof *m);
    m->kind = kind;
    m->n_pairs = pages->n_pairs;
    m->a = mem_zalloc(2 * (size_t)m->n_pairs + 1, sizeof *m->a);
    m->s = m->a + m->n_pairs;
    m->gamma = 1;
    if (kind == CLICK_CASCADE || kind == CLICK_SDBN) train_closed(m, pages, options);
    else if (kind == CLICK_RATE) train_rate(m, pages, options);
    else train_em(m, pages, options);
    *out = m;
    return FORAGE_OK;
}

void click_model_destroy(click_model *m) {
    if (!m) return;
    free(m->a);
    free(m);
}
