/* The result of an experiment, for a person and for a program. */
#include "rank/experiment.h"

#include <math.h>

static bool is_ab(const experiment *e) { return experiment_config_of(e)->kind == EXPERIMENT_AB; }

static const char *decided_text(sequential_verdict v) {
    return v == SEQUENTIAL_A ? "a" : v == SEQUENTIAL_B ? "b" : "not yet";
}

static void put_side(const experiment *e, const experiment_result *r, int side, json_writer *w) {
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, experiment_config_of(e)->side[side]);
    if (is_ab(e)) {
        json_key(w, "units");
        json_integer(w, (int64_t)r->units[side]);
        json_key(w, "opened");
        json_integer(w, (int64_t)r->opened[side]);
        json_key(w, "impressions");
        json_integer(w, (int64_t)r->impressions[side]);
    }
    json_key(w, "earned");
    json_float(w, r->earned[side]);
    json_end_object(w);
}

static void put_difference(const experiment_result *r, json_writer *w) {
    const sequential_result *d = &r->difference;
    json_begin_object(w);
    json_key(w, "estimate");
    json_float(w, d->mean);
    json_key(w, "low");
    json_float(w, d->low);
    json_key(w, "high");
    json_float(w, d->high);
    json_key(w, "e_value");
    json_float(w, d->e);
    json_key(w, "p_value");
    json_float(w, d->p);
    json_key(w, "decided");
    json_text(w, decided_text(d->verdict));
    json_key(w, "decided_at");
    if (d->verdict == SEQUENTIAL_OPEN) json_null(w);
    else json_integer(w, (int64_t)d->decided_at);
    json_end_object(w);
}

static double observed_split(const experiment_result *r) {
    double all = (double)(r->opened[0] + r->opened[1]);
    return all > 0 ? (double)r->opened[0] / all : NAN;
}

static void put_ratio(const experiment *e, const experiment_result *r, json_writer *w) {
    json_begin_object(w);
    json_key(w, "expected");
    json_float(w, experiment_config_of(e)->split);
    json_key(w, "observed");
    json_float(w, observed_split(r));
    json_key(w, "p_value");
    json_float(w, r->mismatch_p);
    json_key(w, "fits");
    json_bool(w, r->mismatch_p >= EXPERIMENT_MISMATCH_LEVEL);
    json_end_object(w);
}

static void put_numbers(const experiment *e, const experiment_result *r, buffer *text) {
    const experiment_config *c = experiment_config_of(e);
    const sequential_result *d = &r->difference;
    const char *unit = is_ab(e) ? "reward per impression" : "credit per page";
    buffer_printf(text, "\"%s\" earned %.4g and \"%s\" %.4g in %s, over %llu %s. ", c->side[0], r->earned[0], c->side[1],
                  r->earned[1], unit, (unsigned long long)d->n, is_ab(e) ? "units" : "pages");
    buffer_printf(text, "The difference is %.4g, and between %.4g and %.4g with %.4g %% certainty, however often one looks.",
                  d->mean, d->low, d->high, 100 * (1 - c->alpha));
}

static void put_verdict(const experiment *e, const experiment_result *r, buffer *text) {
    const experiment_config *c = experiment_config_of(e);
    const sequential_result *d = &r->difference;
    if (is_ab(e) && r->mismatch_p < EXPERIMENT_MISMATCH_LEVEL)
        buffer_printf(text, "Do not trust this: \"%s\" got %.4g %% of the units instead of %.4g %%, so that something loses "
                            "those of one side. ", c->side[0], 100 * observed_split(r), 100 * c->split);
    if (!d->n) {
        buffer_puts(text, "Nothing has been counted yet.");
        return;
    }
    if (d->verdict == SEQUENTIAL_OPEN) buffer_puts(text, "Not decided yet. ");
    else
        buffer_printf(text, "\"%s\" is better, decided after %llu %s. ", c->side[d->verdict == SEQUENTIAL_B],
                      (unsigned long long)d->decided_at, is_ab(e) ? "units" : "pages");
    put_numbers(e, r, text);
}

void experiment_describe(const experiment *e, json_writer *w) {
    const experiment_config *c = experiment_config_of(e);
    experiment_result r = experiment_ask(e);
    buffer text = {0};
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, c->name);
    json_key(w, "kind");
    json_text(w, experiment_kind_name(c->kind));
    json_key(w, "unit");
    json_text(w, is_ab(e) ? "the person, session or query that was assigned" : "the page");
    json_key(w, "share");
    json_float(w, c->share);
    if (is_ab(e)) {
        json_key(w, "split");
        json_float(w, c->split);
    }
    json_key(w, "confidence");
    json_float(w, 1 - c->alpha);
    if (!is_ab(e)) {
        json_key(w, "pages");
        json_integer(w, (int64_t)r.units[0]);
    }
    json_key(w, "a");
    put_side(e, &r, 0, w);
    json_key(w, "b");
    put_side(e, &r, 1, w);
    json_key(w, "difference");
    put_difference(&r, w);
    if (is_ab(e)) {
        json_key(w, "sample_ratio");
        put_ratio(e, &r, w);
    }
    json_key(w, "late_rewards");
    json_integer(w, (int64_t)r.late);
    json_key(w, "not_counted");
    json_integer(w, (int64_t)r.turned_away);
    json_key(w, "verdict");
    put_verdict(e, &r, &text);
    json_text(w, buffer_text(&text));
    json_end_object(w);
    buffer_release(&text);
}
