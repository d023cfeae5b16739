#include "simulate/click_model.h"

#include <math.h>

static const char *const names[] = {[CLICK_POSITION] = "pbm", [CLICK_CASCADE] = "cascade", [CLICK_DYNAMIC] = "dbn"};

forage_status click_model_named(slice name, click_model *out, base_error *error) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!slice_is(name, names[i])) continue;
        *out = (click_model){.kind = (click_kind)i,
                             .noise = .02,
                             .attraction = .9,
                             .satisfaction = .8,
                             .commitment = .3,
                             .eta = 1,
                             .perseverance = .9};
        return FORAGE_OK;
    }
    return error_set(error, FORAGE_E_INVALID, "\"click_model\": expected pbm, cascade or dbn, got \"%.*s\"",
                     SLICE_ARG(name));
}

const char *click_model_name(const click_model *m) { return names[m->kind]; }

forage_status click_model_check(const click_model *m, base_error *error) {
    const struct {
        const char *name;
        double value, most;
    } parts[] = {{"noise", m->noise, 1},
                 {"attraction", m->attraction, 1},
                 {"satisfaction", m->satisfaction, 1},
                 {"commitment", m->commitment, 1},
                 {"eta", m->eta, 10},
                 {"perseverance", m->perseverance, 1}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!(parts[i].value >= 0 && parts[i].value <= parts[i].most))
            return error_set(error, FORAGE_E_INVALID, "\"%s\": expected a number from 0 to %g, got %g", parts[i].name,
                             parts[i].most, parts[i].value);
    if (m->noise > m->attraction)
        return error_set(error, FORAGE_E_INVALID, "\"noise\": %g is above \"attraction\", %g", m->noise, m->attraction);
    return FORAGE_OK;
}

static double attraction_of(const click_model *m, double relevance) {
    return m->noise + (m->attraction - m->noise) * relevance;
}

static double examined(const click_model *m, size_t i) { return pow((double)(i + 1), -m->eta); }

void click_model_draw(const click_model *m, const double *relevance, size_t n, random_source *random, click_deed *out) {
    bool going = true;
    for (size_t i = 0; i < n; i++) {
        out[i] = (click_deed){0};
        if (!going) continue;
        if (m->kind == CLICK_POSITION && random_double(random) >= examined(m, i)) continue;
        if (random_double(random) < attraction_of(m, relevance[i])) {
            out[i].clicked = true;
            out[i].satisfied = random_double(random) < m->satisfaction * relevance[i];
            out[i].committed = out[i].satisfied && random_double(random) < m->commitment;
        }
        if (m->kind == CLICK_CASCADE) going = !out[i].clicked;
        if (m->kind == CLICK_DYNAMIC) going = !out[i].satisfied && random_double(random) < m->perseverance;
    }
}

/* The probability of a click at position i. *looking: that somebody who reads from the top gets there; moves on. */
static double chance_of(const click_model *m, double relevance, size_t i, double *looking) {
    double a = attraction_of(m, relevance), chance = a * (m->kind == CLICK_POSITION ? examined(m, i) : *looking);
    if (m->kind == CLICK_CASCADE) *looking *= 1 - a;
    if (m->kind == CLICK_DYNAMIC) *looking *= m->perseverance * (1 - a * m->satisfaction * relevance);
    return chance;
}

void click_model_chances(const click_model *m, const double *relevance, size_t n, double *out) {
    double looking = 1;
    for (size_t i = 0; i < n; i++) out[i] = chance_of(m, relevance[i], i, &looking);
}

double click_model_reward(const click_model *m, const double *relevance, size_t n, double click, double more) {
    double sum = 0, looking = 1;
    for (size_t i = 0; i < n; i++) {
        double committed = m->satisfaction * relevance[i] * m->commitment;
        sum += chance_of(m, relevance[i], i, &looking) * (click + more * committed);
    }
    return sum;
}
