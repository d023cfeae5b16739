/* Position bias on result pages. A line of pages is: query, then for each rank the number of the (query, document) pair and 0 or
 * 1 for clicked.
 *
 *     position_driver pages TRAIN TEST    curves from TRAIN by every method, and click models scored on TEST, as JSON lines
 *     position_driver simulate RUNS       errors and coverage of each method where the truth is known, as JSON lines */
#include "click_simulation.h"
#include "evaluate/click_models.h"
#include "rank/examination.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE = 4096, MOST_QUERIES = 28, RANK_FEATURES = 3 };

typedef struct page_file {
    click_pages pages;
    size_t *first, first_room, row_room, pair_room, query_room;
    uint32_t *pair, *query;
    uint8_t *clicked;
} page_file;

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "position_driver: %s\n", what);
    exit(1);
}

static void read_pages(const char *path, page_file *f) {
    char line[LINE];
    FILE *file = fopen(path, "r");
    size_t rows = 0, n = 0;
    *f = (page_file){0};
    if (!file) give_up("the pages cannot be opened");
    f->first = mem_grow(f->first, &f->first_room, 1, sizeof *f->first);
    f->first[0] = 0;
    while (fgets(line, sizeof line, file)) {
        char *at = line;
        f->query = mem_grow(f->query, &f->query_room, n + 1, sizeof *f->query);
        f->query[n++] = (uint32_t)strtoul(at, &at, 10);
        while (*at == ' ') {
            f->pair = mem_grow(f->pair, &f->pair_room, rows + 1, sizeof *f->pair);
            f->clicked = mem_grow(f->clicked, &f->row_room, rows + 1, 1);
            f->pair[rows] = (uint32_t)strtoul(at, &at, 10);
            f->clicked[rows] = (uint8_t)strtoul(at, &at, 10);
            if (f->pair[rows] >= f->pages.n_pairs) f->pages.n_pairs = f->pair[rows] + 1;
            rows++;
        }
        f->first = mem_grow(f->first, &f->first_room, n + 1, sizeof *f->first);
        f->first[n] = rows;
    }
    fclose(file);
    f->pages = (click_pages){n, f->first, f->pair, f->clicked, f->pages.n_pairs};
}

static void release_pages(page_file *f) {
    free(f->first);
    free(f->pair);
    free(f->query);
    free(f->clicked);
}

/* Features of a pair for regression-EM, from the training pages: mean and least logarithm of its rank, logarithm of how often it
 * was shown, and one for its query. None of them is a rank of the page at hand. */
static float *make_features(const page_file *f) {
    uint32_t F = RANK_FEATURES + MOST_QUERIES;
    float *x = mem_zalloc((size_t)f->pages.n_pairs * F, sizeof *x);
    for (size_t i = 0; i < f->pages.n_pages; i++)
        for (size_t j = f->first[i]; j < f->first[i + 1]; j++) {
            float *row = x + (size_t)f->pair[j] * F, rank = logf((float)(j - f->first[i] + 1));
            if (f->query[i] >= MOST_QUERIES) give_up("there are too many queries");
            row[0] += rank;
            if (row[2] == 0 || rank < row[1]) row[1] = rank;
            row[2]++;
            row[RANK_FEATURES + f->query[i]] = 1;
        }
    for (uint32_t p = 0; p < f->pages.n_pairs; p++) {
        float *row = x + (size_t)p * F;
        if (row[2] > 0) row[0] /= row[2];
        row[2] = logf(1 + row[2]);
    }
    return x;
}

static examination *count_pages(const page_file *f, const float *x) {
    examination_config c;
    examination *e = NULL;
    base_error error;
    examination_config_default(&c);
    c.n_features = x ? RANK_FEATURES + MOST_QUERIES : 0;
    if (examination_create(&c, &e, &error)) give_up(error.message);
    for (size_t i = 0; i < f->pages.n_pages; i++)
        for (size_t j = f->first[i]; j < f->first[i + 1]; j++) {
            examination_observation o = {.key = f->pair[j], .rank = (uint32_t)(j - f->first[i] + 1), .shown = 1,
                                         .clicks = f->clicked[j],
                                         .features = x ? x + (size_t)f->pair[j] * c.n_features : NULL};
            if (!examination_add(e, &o)) give_up("an observation was refused");
        }
    return e;
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_line(buffer *out) {
    printf("%.*s\n", (int)out->size, out->data);
    buffer_release(out);
}

static void print_curve(const char *name, const examination_curve *c, double seconds) {
    buffer out = {0};
    json_writer w = json_writer_of(&out);
    json_begin_object(&w);
    json_key(&w, "curve"), json_text(&w, name);
    json_key(&w, "seconds"), json_number(&w, seconds);
    json_key(&w, "of"), examination_write_json(&w, c);
    json_end_object(&w);
    print_line(&out);
}

static void print_score(const char *name, const click_model *m, const click_score *s, double seconds) {
    buffer out = {0};
    json_writer w = json_writer_of(&out);
    json_begin_object(&w);
    json_key(&w, "model"), json_text(&w, name);
    json_key(&w, "log_likelihood"), json_number(&w, s->log_likelihood);
    json_key(&w, "perplexity"), json_number(&w, s->perplexity);
    json_key(&w, "conditional_perplexity"), json_number(&w, s->conditional_perplexity);
    json_key(&w, "at_rank"), json_begin_array(&w);
    for (uint32_t r = 0; r < s->n_ranks; r++) json_number(&w, s->at_rank[r]);
    json_end_array(&w);
    json_key(&w, "continuation"), json_number(&w, click_model_continuation(m));
    json_key(&w, "iterations"), json_integer(&w, click_model_iterations(m));
    json_key(&w, "seconds"), json_number(&w, seconds);
    json_end_object(&w);
    print_line(&out);
}

static void score_model(const char *name, click_kind kind, const examination_curve *curve, const page_file *train,
                        const page_file *test) {
    click_options o;
    click_model *m = NULL;
    click_score score;
    base_error error;
    double chances[EXAMINATION_MAX_RANKS], start = seconds_now();
    click_options_default(&o);
    o.iterations = 2000;
    o.tolerance = 1e-8;
    for (uint32_t k = 0; curve && k < curve->n_ranks; k++) chances[k] = fmin(1, curve->ranks[k].estimate);
    o.curve = curve ? chances : NULL;
    o.n_curve = curve ? curve->n_ranks : 0;
    if (click_model_train(kind, &train->pages, &o, &m, &error)) give_up(error.message);
    double took = seconds_now() - start;
    if (click_model_score(m, &test->pages, &score, &error)) give_up(error.message);
    print_score(name, m, &score, took);
    click_model_destroy(m);
}

static void fit_and_score(const examination *e, examination_method method, const char *name, const page_file *train,
                          const page_file *test) {
    examination_curve c;
    double start = seconds_now();
    examination_fit(e, method, &c);
    print_curve(name, &c, seconds_now() - start);
    score_model(name, CLICK_CURVE, &c, train, test);
}

static void run_pages(const char *train_path, const char *test_path) {
    static const click_kind kinds[] = {CLICK_RATE, CLICK_PBM, CLICK_CASCADE, CLICK_DBN, CLICK_SDBN};
    page_file train, test;
    examination_config config;
    examination_curve prior;
    read_pages(train_path, &train);
    read_pages(test_path, &test);
    float *x = make_features(&train);
    examination *plain = count_pages(&train, NULL), *featured = count_pages(&train, x);
    for (int m = 0; m < EXAMINATION_METHODS; m++)
        fit_and_score(plain, (examination_method)m, examination_method_name((examination_method)m), &train, &test);
    fit_and_score(featured, EXAMINATION_REGRESSION_EM, "regression-em, features", &train, &test);
    examination_config_default(&config);
    examination_prior(&config, &prior);
    score_model("1/rank", CLICK_CURVE, &prior, &train, &test);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        score_model(click_kind_name(kinds[i]), kinds[i], NULL, &train, &test);
    examination_destroy(plain);
    examination_destroy(featured);
    free(x);
    release_pages(&train);
    release_pages(&test);
}

/* ---- Where the truth is known ---- */

typedef struct sim_sum {
    double error, naive, held;
} sim_sum;

/* One simulated log, and what every method makes of it; sums are means over `runs`. */
static void simulate(int world, uint64_t seed, size_t pages, int runs, sim_sum *sums) {
    sim_pages *s = mem_alloc(sizeof *s);
    examination_config config;
    examination *e = NULL;
    examination_curve c;
    double all = runs * (SIM_RANKS - 1.);
    examination_config_default(&config);
    if (examination_create(&config, &e, NULL)) give_up("no estimator");
    sim_pages_init(s, 100, seed);
    if (world) sim_swaps(s, e, .1, pages);
    else sim_rankers(s, e, 3, .3, pages);
    for (int m = 0; m < EXAMINATION_METHODS; m++) {
        examination_fit(e, (examination_method)m, &c);
        for (int k = 1; k < SIM_RANKS; k++) {
            double rate = s->clicks[k] / s->shown[k] / (s->clicks[0] / s->shown[0]);
            sums[m].error += fabs(c.ranks[k].estimate / sim_curve[k] - 1) / all;
            sums[m].naive += fabs(rate / sim_curve[k] - 1) / all;
            sums[m].held += (c.ranks[k].low <= sim_curve[k] && sim_curve[k] <= c.ranks[k].high) / all;
        }
    }
    examination_destroy(e);
    free(s);
}

static void run_simulations(int runs) {
    enum { PAGES = 50000 };
    static const char *const worlds[] = {"rankers", "swaps"};
    for (int world = 0; world < 2; world++) {
        sim_sum sums[EXAMINATION_METHODS] = {{0}};
        for (int run = 0; run < runs; run++) simulate(world, 100 + (uint64_t)run, PAGES, runs, sums);
        for (int m = 0; m < EXAMINATION_METHODS; m++)
            printf("{\"world\": \"%s\", \"method\": \"%s\", \"pages\": %d, \"error\": %.6f, \"naive\": %.6f, "
                   "\"coverage\": %.4f}\n",
                   worlds[world], examination_method_name((examination_method)m), PAGES, sums[m].error, sums[m].naive,
                   sums[m].held);
    }
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "pages")) run_pages(argv[2], argv[3]);
    else if (argc == 3 && !strcmp(argv[1], "simulate")) run_simulations(atoi(argv[2]));
    else give_up("what is to be done?");
    return 0;
}
