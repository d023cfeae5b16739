/* The only file that knows XGBoost. */
#include "rank/boost.h"

#include "base/log.h"

#include <xgboost/c_api.h>

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREDICT_MARGIN                                                                                                 \
    "{\"type\":1,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false}"

struct boost {
    boost_settings settings;
    size_t n, n_valid;
    uint32_t rounds;
    DMatrixHandle train, valid;
    BoosterHandle booster;
    float *scores;      /* n + n_valid */
    float *derivatives; /* 2 × n: XGBoost's call takes them as not const */
};

/* ---- Errors and messages --------------------------------------------------------------------------------------- */

static void on_message(const char *text) { log_info("XGBoost: %s", text); }

static void prepare(void) {
    XGBRegisterLogCallback(on_message);
    XGBSetGlobalConfig("{\"verbosity\":1}");
}

/* What XGBoost says is a stack trace whose first line is the reason. */
static forage_status fail(base_error *error, forage_status status, const char *doing) {
    const char *text = XGBGetLastError();
    const char *reason = text ? strstr(text, "] ") : NULL; /* after "[time] file:line: " */
    const char *colon = reason ? strstr(reason + 2, ": ") : NULL;
    if (colon && !memchr(reason, '\n', (size_t)(colon - reason))) reason = colon + 2;
    else reason = text ? text : "";
    return error_set(error, status, "XGBoost, %s: %.*s", doing, (int)strcspn(reason, "\n"), reason);
}

/* ---- Settings -------------------------------------------------------------------------------------------------- */

void boost_settings_default(boost_settings *s) {
    *s = (boost_settings){.max_bin = BOOST_MOST_BINS, .max_leaves = 16, .eta = .05, .lambda = 1, .min_child_weight = .1,
                          .subsample = 1, .colsample = 1, .colsample_node = 1, .seed = 1, .threads = 1};
}

static forage_status check_number(const char *name, double value, double low, double high, base_error *error) {
    if (value >= low && value <= high) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "%s: expected %g to %g, got %g", name, low, high, value);
}

forage_status boost_settings_check(const boost_settings *s, base_error *error) {
    forage_status status = check_number("max_bin", s->max_bin, 2, BOOST_MOST_BINS, error);
    if (!status && s->max_leaves == 1) status = error_set(error, FORAGE_E_INVALID, "leaves: expected 2 or more, got 1");
    if (!status) status = check_number("leaves", s->max_leaves, 0, BOOST_MOST_LEAVES, error);
    if (!status) status = check_number("depth", s->max_depth, s->max_leaves ? 0 : 1, BOOST_MOST_DEPTH, error);
    if (!status) status = check_number("learning rate", s->eta, 1e-6, 1, error);
    if (!status) status = check_number("lambda", s->lambda, 0, 1e9, error);
    if (!status) status = check_number("min_child_weight", s->min_child_weight, 0, 1e9, error);
    if (!status) status = check_number("gamma", s->gamma, 0, 1e9, error);
    if (!status) status = check_number("subsample", s->subsample, 1e-3, 1, error);
    if (!status) status = check_number("colsample", s->colsample, 1e-3, 1, error);
    if (!status) status = check_number("colsample_node", s->colsample_node, 1e-3, 1, error);
    if (!status) status = check_number("threads", s->threads, 1, 256, error);
    return status;
}

/* Text of a number as in the C locale, whatever the program's is: XGBoost reads "0,05" as 0. */
static void number_text(double value, char *out, size_t size) {
    snprintf(out, size, "%.12e", value);
    for (char *c = out; *c; c++)
        if (!strchr("0123456789+-e", *c)) *c = '.';
}

static int set_number(BoosterHandle booster, const char *name, double value) {
    char text[40];
    number_text(value, text, sizeof text);
    return XGBoosterSetParam(booster, name, text);
}

static int set_whole(BoosterHandle booster, const char *name, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return XGBoosterSetParam(booster, name, text);
}

static int set_all(BoosterHandle booster, const boost_settings *s) {
    return XGBoosterSetParam(booster, "booster", "gbtree") || XGBoosterSetParam(booster, "tree_method", "hist") ||
           XGBoosterSetParam(booster, "objective", "reg:squarederror") || set_number(booster, "base_score", 0) ||
           XGBoosterSetParam(booster, "disable_default_eval_metric", "true") ||
           XGBoosterSetParam(booster, "grow_policy", s->max_leaves ? "lossguide" : "depthwise") ||
           set_whole(booster, "max_leaves", s->max_leaves) || set_whole(booster, "max_depth", s->max_depth) ||
           set_whole(booster, "max_bin", s->max_bin) || set_number(booster, "eta", s->eta) ||
           set_number(booster, "lambda", s->lambda) || set_number(booster, "gamma", s->gamma) ||
           set_number(booster, "min_child_weight", s->min_child_weight) ||
           set_number(booster, "subsample", s->subsample) || set_number(booster, "colsample_bytree", s->colsample) ||
           set_number(booster, "colsample_bynode", s->colsample_node) || set_whole(booster, "nthread", s->threads);
}

/* ---- Data ------------------------------------------------------------------------------------------------------ */

/* Infinities would be refused: they become missing, in a copy that is made only where there are any. */
static const float *without_infinities(const float *x, size_t n, float **copy) {
    for (size_t i = 0; i < n; i++) {
        if (!isinf(x[i])) continue;
        *copy = mem_alloc(n * sizeof *x);
        for (size_t j = 0; j < n; j++) (*copy)[j] = isinf(x[j]) ? NAN : x[j];
        return *copy;
    }
    return x;
}

static int make_matrix(const float *x, size_t n, uint32_t n_features, uint32_t threads, DMatrixHandle *out) {
    char data[160], config[64];
    float *copy = NULL;
    x = without_infinities(x, n * n_features, &copy);
    snprintf(data, sizeof data, "{\"data\":[%" PRIuPTR ",true],\"shape\":[%zu,%" PRIu32 "],\"typestr\":\"<f4\",\"version\":3}",
             (uintptr_t)x, n, n_features);
    snprintf(config, sizeof config, "{\"missing\":NaN,\"nthread\":%" PRIu32 "}", threads);
    int failed = XGDMatrixCreateFromDense(data, config, out);
    free(copy);
    return failed;
}

static forage_status score(BoosterHandle booster, DMatrixHandle matrix, size_t n, const float **out, base_error *error) {
    const bst_ulong *shape;
    bst_ulong dimensions;
    const float *scores;
    if (XGBoosterPredictFromDMatrix(booster, matrix, PREDICT_MARGIN, &shape, &dimensions, &scores))
        return fail(error, FORAGE_E_INTERNAL, "scoring");
    bst_ulong total = 1;
    for (bst_ulong i = 0; i < dimensions; i++) total *= shape[i];
    if (total != n) return error_set(error, FORAGE_E_INTERNAL, "XGBoost scored %llu rows of %zu", (unsigned long long)total, n);
    *out = scores;
    return FORAGE_OK;
}

/* Both sets' scores: XGBoost keeps what it has summed up for each matrix and adds the trees that are new. Its result is
 * one array that the next prediction overwrites, so that the training set's is copied out. */
static forage_status refresh(boost *b, base_error *error) {
    const float *scores = NULL;
    forage_status status = score(b->booster, b->train, b->n, &scores, error);
    if (status) return status;
    memcpy(b->scores, scores, b->n * sizeof *scores);
    if (b->n_valid) status = score(b->booster, b->valid, b->n_valid, &scores, error);
    if (!status && b->n_valid) memcpy(b->scores + b->n, scores, b->n_valid * sizeof *scores);
    return status;
}

/* ---- The life of a boost --------------------------------------------------------------------------------------- */

forage_status boost_create(const boost_settings *settings, uint32_t n_features, const float *x, size_t n,
                           const float *valid_x, size_t n_valid, boost **out, base_error *error) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    forage_status status = boost_settings_check(settings, error);
    if (status) return status;
    if (n == 0 || n_features == 0) return error_set(error, FORAGE_E_INVALID, "there is nothing to grow trees from");
    pthread_once(&once, prepare);
    boost *b = mem_zalloc(1, sizeof *b);
    b->settings = *settings;
    b->n = n;
    b->n_valid = n_valid;
    b->scores = mem_zalloc(n + n_valid, sizeof *b->scores);
    b->derivatives = mem_alloc(2 * n * sizeof *b->derivatives);
    if (make_matrix(x, n, n_features, settings->threads, &b->train) ||
        (n_valid && make_matrix(valid_x, n_valid, n_features, settings->threads, &b->valid)))
        status = fail(error, FORAGE_E_INTERNAL, "taking the rows");
    DMatrixHandle known[2] = {b->train, b->valid};
    if (!status && (XGBoosterCreate(known, n_valid ? 2 : 1, &b->booster) || set_all(b->booster, settings)))
        status = fail(error, FORAGE_E_INTERNAL, "starting");
    if (status) boost_destroy(b);
    else *out = b;
    return status;
}

void boost_destroy(boost *b) {
    if (!b) return;
    if (b->booster) XGBoosterFree(b->booster);
    if (b->train) XGDMatrixFree(b->train);
    if (b->valid) XGDMatrixFree(b->valid);
    free(b->scores);
    free(b->derivatives);
    free(b);
}

/* XGBoost draws from a generator that all boosters of a thread share, and seeds it when the seed changes. A seed for each
 * round makes the draws this one's own. */
static int set_round_seed(boost *b) {
    uint64_t mixed = (b->settings.seed + 1) * 0x9E3779B97F4A7C15u + b->rounds * 0xD1B54A32D192ED03u;
    mixed ^= mixed >> 29;
    mixed *= 0xBF58476D1CE4E5B9u;
    return set_whole(b->booster, "seed", mixed >> 34); /* a positive int, never the one before */
}

forage_status boost_round(boost *b, const float *gradient, const float *hessian, base_error *error) {
    const boost_settings *s = &b->settings;
    memcpy(b->derivatives, gradient, b->n * sizeof *gradient);
    memcpy(b->derivatives + b->n, hessian, b->n * sizeof *hessian);
    if (((s->subsample < 1 || s->colsample < 1 || s->colsample_node < 1) && set_round_seed(b)) ||
        XGBoosterBoostOneIter(b->booster, b->train, b->derivatives, b->derivatives + b->n, b->n))
        return fail(error, FORAGE_E_INTERNAL, "growing a tree");
    b->rounds++;
    return refresh(b, error);
}

uint32_t boost_rounds(const boost *b) { return b->rounds; }
const float *boost_scores(const boost *b) { return b->scores; }
const float *boost_valid_scores(const boost *b) { return b->n_valid ? b->scores + b->n : NULL; }

forage_status boost_cut(boost *b, uint32_t rounds, base_error *error) {
    BoosterHandle cut = NULL;
    if (rounds < 1 || rounds > b->rounds)
        return error_set(error, FORAGE_E_INVALID, "cut: expected 1 to %u rounds, got %u", b->rounds, rounds);
    if (rounds == b->rounds) return FORAGE_OK;
    if (XGBoosterSlice(b->booster, 0, (int)rounds, 1, &cut)) return fail(error, FORAGE_E_INTERNAL, "cutting");
    if (set_all(cut, &b->settings)) {
        XGBoosterFree(cut);
        return fail(error, FORAGE_E_INTERNAL, "cutting");
    }
    XGBoosterFree(b->booster);
    b->booster = cut;
    b->rounds = rounds;
    return refresh(b, error);
}

forage_status boost_model(const boost *b, bool json, buffer *out, base_error *error) {
    const char *bytes;
    bst_ulong size;
    if (XGBoosterSaveModelToBuffer(b->booster, json ? "{\"format\":\"json\"}" : "{\"format\":\"ubj\"}", &size, &bytes))
        return fail(error, FORAGE_E_INTERNAL, "writing the model");
    buffer_append(out, bytes, size);
    return FORAGE_OK;
}

forage_status boost_predict(slice model, uint32_t n_features, const float *x, size_t n, float *scores, base_error *error) {
    BoosterHandle booster = NULL;
    DMatrixHandle matrix = NULL;
    const float *found = NULL;
    forage_status status = FORAGE_OK;
    if (n == 0) return FORAGE_OK;
    if (XGBoosterCreate(NULL, 0, &booster) || XGBoosterLoadModelFromBuffer(booster, model.data, model.size) ||
        XGBoosterSetParam(booster, "nthread", "1")) /* loading forgets what was set before */
        status = fail(error, FORAGE_E_CORRUPT, "reading the model");
    if (!status && make_matrix(x, n, n_features, 1, &matrix)) status = fail(error, FORAGE_E_INTERNAL, "taking the rows");
    if (!status) status = score(booster, matrix, n, &found, error);
    if (!status) memcpy(scores, found, n * sizeof *scores);
    if (matrix) XGDMatrixFree(matrix);
    if (booster) XGBoosterFree(booster);
    return status;
}

const char *boost_version(void) {
    static char text[48];
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    int major, minor, patch;
    XGBoostVersion(&major, &minor, &patch);
    pthread_mutex_lock(&mutex);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    pthread_mutex_unlock(&mutex);
    return text;
}
