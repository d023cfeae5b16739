/* Learning to rank from files: rows in, a model and what it is worth out. */
#include "api/call.h"

#include "os/file.h"
#include "rank/pick.h"
#include "rank/ranking_file.h"
#include "rank/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOLDOUT = 5 }; /* without validation rows one group in so many is kept apart */
static const uint32_t cutoffs[] = {1, 3, 5, 10};
enum { CUTOFFS = sizeof cutoffs / sizeof cutoffs[0] };

typedef struct file_training {
    const forage_train_options *options;
    pick_settings settings;
    int64_t holdout;
    bool absent_is_missing;
    svmlight_rows files[3];            /* train, validation, test */
    rank_rows train, validation, test; /* views of files or of parts; n_rows 0: there is none */
    rank_table kept, held;
    rank_fit fit;
    forage_train_watch watch;
    void *self;
} file_training;

/* ---- Settings -------------------------------------------------------------------------------------------------- */

static forage_status read_choice(const json_value *json, const char *key, const char *const *names, int *out, base_error *error) {
    slice given = {0};
    forage_status status = json_member_string(json, key, &given, error);
    if (status || !given.size) return status;
    buffer all = {0};
    for (int i = 0; names[i]; i++) {
        if (slice_is(given, names[i])) {
            *out = i;
            buffer_release(&all);
            return FORAGE_OK;
        }
        buffer_printf(&all, "%s%s", i ? names[i + 1] ? ", " : " or " : "", names[i]);
    }
    status = error_set(error, FORAGE_E_INVALID, "\"%s\": expected %s, got \"%.*s\"", key, buffer_text(&all), SLICE_ARG(given));
    buffer_release(&all);
    return status;
}

static forage_status read_members(file_training *t, const json_value *json, base_error *error) {
    static const char *const members[] = {
        "model",   "empty",     "linear_loss", "holdout",     "absent_is_missing", "trees",  "patience",         "bags",
        "leaves",  "depth",     "bins",        "cutoff",      "truncation",        "threads", "learning_rate",   "lambda",
        "gamma",   "subsample", "colsample",   "colsample_node", "group_share",    "sigma",  "min_child_weight", "weight_clip",
        "seconds", "normalise", "debias",      "debias_regularisation", "seed",    "gain",   NULL};
    int model = PICK_BEST, empty = NDCG_EMPTY_ONE, loss = LINEAR_LISTWISE;
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "settings: expected an object, got %s", json_type_name(json->type));
    forage_status status = json_only_members(json, members, error);
    if (!status) status = read_choice(json, "model", (const char *const[]){"best", "linear", "trees", NULL}, &model, error);
    if (!status) status = read_choice(json, "empty", (const char *const[]){"one", "zero", "out", NULL}, &empty, error);
    if (!status) status = read_choice(json, "linear_loss", (const char *const[]){"listwise", "pairwise", NULL}, &loss, error);
    if (!status) status = json_member_integer(json, "holdout", 0, 1000, &t->holdout, error);
    if (!status) status = json_member_bool(json, "absent_is_missing", &t->absent_is_missing, error);
    if (!status) status = lambdamart_settings_read(json, &t->settings.trees, error);
    if (!status && t->holdout == 1)
        status = error_set(error, FORAGE_E_INVALID, "\"holdout\": expected 0 or 2 to 1000, got 1");
    t->settings.kind = (pick_kind)model;
    t->settings.trees.empty = t->settings.linear.empty = (ndcg_empty)empty;
    t->settings.linear.loss = (linear_loss)loss;
    t->settings.linear.gain = t->settings.trees.gain;
    t->settings.linear.cutoff = t->settings.trees.cutoff;
    t->settings.linear.weight_clip = t->settings.trees.weight_clip;
    return status;
}

static forage_status read_settings(file_training *t, base_error *error) {
    const char *text = t->options->settings, *output = t->options->output;
    size_t size = output ? strlen(output) : 0;
    arena memory;
    json_value *json;
    pick_settings_default(&t->settings);
    t->holdout = HOLDOUT;
    t->settings.json = size >= 5 && strcmp(output + size - 5, ".json") == 0;
    if (!text) return FORAGE_OK;
    arena_init(&memory, 0);
    forage_status status = json_read(&memory, slice_of(text), &json, error);
    if (status) error_prefix(error, "settings");
    else status = read_members(t, json, error);
    arena_release(&memory);
    return status;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

/* The files' matrices are as wide as the widest; one that is narrower is read again. */
static forage_status read_files(file_training *t, base_error *error) {
    const char *paths[3] = {t->options->train, t->options->validation, t->options->test};
    svmlight_options options = {.absent_is_missing = t->absent_is_missing};
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 3; i++) {
            if (!paths[i] || (t->files[i].n_rows && t->files[i].n_features == options.n_features)) continue;
            svmlight_release(&t->files[i]);
            forage_status status = ranking_file_read(paths[i], &options, &t->files[i], error);
            if (status) return error_prefix(error, "%s", paths[i]), status;
            options.n_features = t->files[i].n_features;
        }
    }
    return FORAGE_OK;
}

static forage_status take_rows(file_training *t, base_error *error) {
    if (!t->options->train) return error_set(error, FORAGE_E_INVALID, "training rows: no file is named");
    forage_status status = read_files(t, error);
    if (status) return status;
    t->train = ranking_file_rows(&t->files[0]);
    t->validation = ranking_file_rows(&t->files[1]);
    t->test = ranking_file_rows(&t->files[2]);
    if (t->validation.n_rows || !t->holdout) return FORAGE_OK;
    if (t->train.n_groups < 2)
        return error_set(error, FORAGE_E_INVALID, "%s: one group cannot be trained on and validated by: give validation rows",
                         t->options->train);
    rank_table_split(&t->train, (uint32_t)t->holdout, 0, t->settings.trees.seed, &t->kept, &t->held);
    t->train = t->kept.rows;
    t->validation = t->held.rows;
    return FORAGE_OK;
}

/* ---- Results --------------------------------------------------------------------------------------------------- */

static forage_status write_model(const file_training *t, base_error *error) {
    const rank_fit *f = &t->fit;
    if (!t->options->output) return FORAGE_OK;
    if (f->kind == PICK_TREES) return os_write_file(t->options->output, f->trees.data, f->trees.size, error);
    buffer text = {0};
    json_writer w = json_writer_of(&text);
    json_begin_object(&w);
    json_key(&w, "model");
    json_text(&w, "linear");
    json_key(&w, "weights");
    json_begin_array(&w);
    for (uint32_t i = 0; i < f->linear.n_features; i++) json_number(&w, (double)f->linear.weight[i]);
    json_end_array(&w);
    json_key(&w, "centers");
    json_begin_array(&w);
    for (uint32_t i = 0; i < f->linear.n_features; i++) json_number(&w, (double)f->linear.center[i]);
    json_end_array(&w);
    json_end_object(&w);
    buffer_putc(&text, '\n');
    forage_status status = os_write_file(t->options->output, text.data, text.size, error);
    buffer_release(&text);
    return status;
}

static forage_status write_scores(const file_training *t, const float *scores, base_error *error) {
    buffer text = {0};
    for (size_t i = 0; i < t->test.n_rows; i++) {
        json_writer w = json_writer_of(&text);
        json_number(&w, (double)scores[i]);
        buffer_putc(&text, '\n');
    }
    forage_status status = os_write_file(t->options->scores, text.data, text.size, error);
    buffer_release(&text);
    return status;
}

static forage_status measure(const file_training *t, const rank_rows *rows, bool is_test, const char *name, json_writer *w,
                             base_error *error) {
    const lambdamart_settings *s = &t->settings.trees;
    if (!rows->n_rows) return FORAGE_OK;
    float *scores = mem_alloc(rows->n_rows * sizeof *scores);
    forage_status status = rank_fit_score(&t->fit, rows, scores, error);
    if (!status && is_test && t->options->scores) status = write_scores(t, scores, error);
    if (!status) {
        json_key(w, name);
        json_begin_object(w);
        for (int i = 0; i < CUTOFFS; i++) {
            char key[16];
            ndcg_options metric = {.gain = s->gain, .empty = s->empty, .cutoff = cutoffs[i]};
            snprintf(key, sizeof key, "%u", cutoffs[i]);
            json_key(w, key);
            json_float(w, ndcg_mean(rows, scores, &metric, NULL));
        }
        json_end_object(w);
    }
    free(scores);
    return status;
}

static void describe(json_writer *w, const char *name, const rank_rows *rows) {
    size_t wanted = 0;
    if (!rows->n_rows) return;
    for (size_t i = 0; i < rows->n_rows; i++) wanted += rows->label[i] > 0;
    json_key(w, name);
    json_begin_object(w);
    json_key(w, "groups");
    json_integer(w, (int64_t)rows->n_groups);
    json_key(w, "rows");
    json_integer(w, (int64_t)rows->n_rows);
    json_key(w, "features");
    json_integer(w, rows->n_features);
    json_key(w, "relevant");
    json_integer(w, (int64_t)wanted);
    json_end_object(w);
}

static void write_part(json_writer *w, const char *key, buffer *part) {
    json_key(w, key);
    json_raw(w, (slice){part->data, part->size});
    buffer_clear(part);
}

static forage_status write_report(const file_training *t, int64_t start, buffer *out, base_error *error) {
    json_writer w = json_writer_of(out);
    buffer part = {0};
    json_begin_object(&w);
    json_key(&w, "model");
    json_text(&w, t->fit.kind == PICK_TREES ? "trees" : "linear");
    lambdamart_settings_json(&t->settings.trees, &part);
    write_part(&w, "settings", &part);
    json_key(&w, "data");
    json_begin_object(&w);
    describe(&w, "train", &t->train);
    describe(&w, "validation", &t->validation);
    describe(&w, "test", &t->test);
    json_end_object(&w);
    rank_fit_json(&t->fit, &part);
    write_part(&w, "fit", &part);
    buffer_release(&part);
    json_key(&w, "ndcg");
    json_begin_object(&w);
    forage_status status = measure(t, &t->train, false, "train", &w, error);
    if (!status) status = measure(t, &t->validation, false, "validation", &w, error);
    if (!status) status = measure(t, &t->test, true, "test", &w, error);
    json_end_object(&w);
    json_key(&w, "took_ms");
    json_float(&w, (double)(clock_monotonic(&os_clock_system) - start) / 1000);
    json_end_object(&w);
    return status;
}

static bool pass_on(void *self, const lambdamart_progress *p) {
    const file_training *t = self;
    return !t->watch || t->watch(t->self, &(forage_train_progress){p->bag, p->round, p->rounds, p->train, p->valid});
}

FORAGE_API forage_status forage_train_files(const forage_train_options *options, forage_train_watch watch, void *self,
                                            char **report, forage_error *error) {
    int64_t start = clock_monotonic(&os_clock_system);
    file_training t = {.options = options, .watch = watch, .self = self};
    buffer text = {0};
    forage_status status = read_settings(&t, error);
    if (!status) status = take_rows(&t, error);
    const rank_rows *validation = t.validation.n_rows ? &t.validation : NULL;
    if (!status) status = rank_train(&t.train, validation, &t.settings, pass_on, &t, &t.fit, error);
    if (!status) status = write_report(&t, start, &text, error);
    if (!status) status = write_model(&t, error);
    if (!status) *report = mem_strndup(text.data, text.size);
    buffer_release(&text);
    rank_fit_release(&t.fit);
    rank_table_release(&t.kept);
    rank_table_release(&t.held);
    for (int i = 0; i < 3; i++) svmlight_release(&t.files[i]);
    return status;
}
