/* What the log says beside a training: its rows for others, the examination curve, the shadow's account. */
#include "format/svmlight.h"
#include "train/train_judging.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

forage_status train_export(funnel *f, const train_settings *settings, buffer *out, base_error *error) {
    train_rows t;
    forage_status status = train_rows_read(f, settings, NULL, NULL, &t, error);
    if (status) return status;
    examination_curve curve;
    examination_weighing weighing;
    float *weight = mem_alloc((t.n_rows + 1) * sizeof *weight);
    for (size_t i = 0; i < t.n_rows; i++) weight[i] = 1;
    examination_fit(t.looked, settings->debias == TRAIN_DEBIAS_EM ? EXAMINATION_REGRESSION_EM : EXAMINATION_HARVEST, &curve);
    if (settings->debias != TRAIN_DEBIAS_NONE)
        examination_weigh(&curve, t.label, t.position, t.n_rows, settings->weight_clip, weight, &weighing);
    svmlight_rows rows = {.n_features = t.n_features, .n_rows = t.n_rows, .n_groups = t.n_groups, .x = t.x, .label = t.label,
                          .first = t.first, .qid = t.sequence, .weight = weight, .position = t.position};
    svmlight_write(&rows, t.names, out);
    free(weight);
    train_rows_release(&t);
    return FORAGE_OK;
}

forage_status train_examination(funnel *f, examination_method method, examination_curve *out, base_error *error) {
    train_settings settings;
    train_rows t;
    train_settings_default(&settings);
    settings.memory = 1; /* the looks are counted all the same */
    forage_status status = train_rows_read(f, &settings, NULL, NULL, &t, error);
    if (status) return status;
    examination_fit(t.looked, method, out);
    train_rows_release(&t);
    return FORAGE_OK;
}

/* By the rank that the shadow gave the hits that people chose, among the hits that were shown. */
forage_status train_shadow(funnel *f, json_writer *w, base_error *error) {
    train_settings settings;
    train_rows t;
    train_settings_default(&settings);
    forage_status status = train_rows_read(f, &settings, NULL, NULL, &t, error);
    if (status) return status;
    examination_curve curve;
    examination_weighing weighing;
    float *weight = mem_alloc((t.n_rows + 1) * sizeof *weight), *shadow = mem_alloc((t.n_rows + 1) * sizeof *shadow);
    float *served = mem_alloc((t.n_rows + 1) * sizeof *served);
    examination_fit(t.looked, EXAMINATION_HARVEST, &curve);
    for (size_t i = 0; i < t.n_rows; i++) weight[i] = 1;
    examination_weigh(&curve, t.label, t.position, t.n_rows, settings.weight_clip, weight, &weighing);
    size_t with = 0;
    for (size_t g = 0; g < t.n_groups; g++) {
        bool shadowed = t.shadow[t.first[g]] > 0;
        with += shadowed;
        for (size_t i = t.first[g]; i < t.first[g + 1]; i++) {
            if (!shadowed) weight[i] = 0;
            shadow[i] = -t.shadow[i];
            served[i] = -(float)t.position[i];
        }
    }
    json_begin_object(w);
    json_key(w, "searches");
    json_integer(w, (int64_t)with);
    if (with) {
        train_verdict v;
        train_judge_orders(&t, 0, t.n_groups, weight, shadow, served, settings.seed, &v);
        const struct {
            const char *key;
            const train_value *value;
        } parts[] = {{"shadow", &v.candidate}, {"served", &v.served}, {"difference", &v.difference}};
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            json_key(w, parts[i].key);
            json_begin_object(w);
            json_key(w, "value");
            json_number(w, parts[i].value->value);
            json_key(w, "low");
            json_number(w, parts[i].value->low);
            json_key(w, "high");
            json_number(w, parts[i].value->high);
            json_end_object(w);
        }
    }
    json_end_object(w);
    free(served);
    free(shadow);
    free(weight);
    train_rows_release(&t);
    return FORAGE_OK;
}
