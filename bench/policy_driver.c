/* Runs policies over a log of ranks: each line is one request, S ranks (0: not found) and then F features, the same for
 * all strategies. What was wanted is known for every line, so that every policy's expected recall and cost are exact.
 *
 *     policy_driver compare LOG S F BUDGET          recall and cost of each policy by each kind of credit, mean of
 *                                                   five seeds, and of the best fixed depths in hindsight
 *     policy_driver speed RULE F                    microseconds that a decision and its lesson take
 *     policy_driver write LOG S F TEXT TRUTH        draws levels uniformly: one example per request and strategy, as
 *                                                   Vowpal Wabbit reads it, and what each action was worth
 *     policy_driver learn TEXT TRUTH S F RULE KNOB PRIOR
 *                                                   learns from these examples what was drawn: progressive reward,
 *                                                   examples, seconds while it reads the text, seconds from memory */
#include "policy/policy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEVELS = 8, LINE = 4096, SEEDS = 5 };
static const uint32_t depths[LEVELS] = {0, 10, 25, 40, 50, 64, 80, 100};
#define WEIGHT_LIMIT 4.0 /* of an event that could be seen for what was shown: bias against variance */
#define PRICE 1.6e-3 /* of a candidate, about where the budget of 100 steers it on Last.fm */

typedef struct ranks_log {
    uint32_t S, F;
    size_t n;
    uint32_t *rank; /* n × S */
    float *x;       /* n × S × F */
} ranks_log;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "policy_driver: %s\n", what);
    exit(1);
}

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_line(ranks_log *log, char *line) {
    uint32_t *rank = log->rank + log->n * log->S;
    float *x = log->x + log->n * log->S * log->F;
    for (uint32_t s = 0; s < log->S; s++) rank[s] = (uint32_t)strtoul(line, &line, 10);
    for (uint32_t i = 0; i < log->F; i++) x[i] = strtof(line, &line);
    for (uint32_t s = 1; s < log->S; s++) memcpy(x + s * log->F, x, log->F * sizeof *x);
    log->n++;
}

static void read_log(const char *path, ranks_log *log) {
    char line[LINE];
    size_t room = 0;
    FILE *file = fopen(path, "r");
    if (!file) fail("the log cannot be opened");
    while (fgets(line, sizeof line, file)) {
        if (log->n == room) {
            room = room ? 2 * room : 1024;
            log->rank = mem_realloc(log->rank, room * log->S * sizeof *log->rank);
            log->x = mem_realloc(log->x, room * log->S * log->F * sizeof *log->x);
        }
        read_line(log, line);
    }
    fclose(file);
    if (!log->n) fail("the log is empty");
}

/* How much of the log is told. SHOWN: only what was drawn can be engaged with, and each such event stands for those
 * that could not be seen. */
typedef enum credit { PLAYED, SHOWN, HINDSIGHT, CREDITS } credit;
static const char *const credit_names[CREDITS] = {"played arms", "hindsight, of what was shown", "hindsight"};

static policy *make(const ranks_log *log, const char *name, credit how, double budget) {
    policy_config c;
    policy *p = NULL;
    base_error error;
    policy_config_default(&c, name, log->S);
    c.n_features = log->F;
    c.n_levels = LEVELS;
    memcpy(c.depths, depths, sizeof depths);
    c.hindsight = how != PLAYED;
    c.exploration = .001;
    c.cost = budget > 0 ? PRICE / 8 : PRICE;
    c.budget = budget;
    for (uint32_t s = 0; s < log->S; s++) c.prior_reward[s] = .2;
    if (policy_create(&c, &p, &error)) fail(error.message);
    return p;
}

/* Marginal value of what was drawn, if nobody else drew it. Returns whether anybody drew what was wanted. */
static bool reward_played(const ranks_log *log, const uint32_t *rank, const policy_decision *d, float *reward) {
    uint32_t finders = 0;
    for (uint32_t s = 0; s < log->S; s++) {
        reward[s] = rank[s] && rank[s] <= depths[d->level[s]];
        finders += reward[s] > 0;
    }
    for (uint32_t s = 0; finders > 1 && s < log->S; s++) reward[s] = 0;
    return finders > 0;
}

static void learn(policy *p, const ranks_log *log, size_t t, const uint32_t *allowed, const policy_decision *d,
                  credit how) {
    const uint32_t *rank = log->rank + t * log->S;
    const float *x = log->x + t * log->S * log->F;
    float reward[POLICY_MAX_STRATEGIES];
    bool shown = reward_played(log, rank, d, reward);
    if (how == PLAYED) {
        policy_observe(p, x, d);
        policy_reward(p, x, d, reward);
        return;
    }
    policy_observe_all(p, x, allowed, d);
    if (how == HINDSIGHT) policy_hindsight(p, x, d, rank, 1);
    else if (shown) policy_hindsight(p, x, d, rank, (float)fmin(WEIGHT_LIMIT, 1 / policy_inclusion(d, depths, rank)));
}

/* Expected recall and cost of a policy that learns as it goes, added to `sum`. */
static void add_run(const ranks_log *log, const char *name, credit how, double budget, uint64_t seed, double sum[2]) {
    policy *p = make(log, name, how, budget);
    policy_decision d;
    random_source random;
    uint32_t allowed[POLICY_MAX_STRATEGIES];
    random_seed(&random, seed);
    for (uint32_t s = 0; s < log->S; s++) allowed[s] = (1u << LEVELS) - 1;
    for (size_t t = 0; t < log->n; t++) {
        policy_decide(p, log->x + t * log->S * log->F, allowed, &random, &d);
        sum[0] += policy_inclusion(&d, depths, log->rank + t * log->S) / (double)log->n;
        sum[1] += d.expected_cost / (double)log->n;
        learn(p, log, t, allowed, &d, how);
    }
    policy_destroy(p);
}

static void print_runs(const ranks_log *log, const char *name, credit how, double budget) {
    double sum[2] = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) add_run(log, name, how, budget, seed, sum);
    printf("%s\t%s\t%.4f\t%.1f\n", name, credit_names[how], sum[0] / SEEDS, sum[1] / SEEDS);
}

static double recall_of(const ranks_log *log, const uint32_t *depth) {
    size_t found = 0;
    for (size_t t = 0; t < log->n; t++) {
        const uint32_t *rank = log->rank + t * log->S;
        bool any = false;
        for (uint32_t s = 0; s < log->S; s++) any |= rank[s] && rank[s] <= depth[s];
        found += any;
    }
    return (double)found / (double)log->n;
}

/* The best recall of one allocation for all requests, found by trying all that the budget allows. */
static double best_fixed(const ranks_log *log, double left, uint32_t s, uint32_t *depth) {
    double best = 0;
    if (s == log->S) return recall_of(log, depth);
    for (uint32_t l = 0; l < LEVELS && depths[l] <= left; l++) {
        depth[s] = depths[l];
        best = fmax(best, best_fixed(log, left - depths[l], s + 1, depth));
    }
    return best;
}

static void compare(const ranks_log *log, double budget) {
    static const char *const names[] = {"epsilon-greedy", "linucb", "lin-ts", "squarecb", "regcb"};
    uint32_t depth[POLICY_MAX_STRATEGIES];
    double equal[2] = {0};
    add_run(log, "rrf-equal", PLAYED, budget, 1, equal);
    printf("equal depth\t-\t%.4f\t%.1f\n", equal[0], equal[1]);
    printf("best fixed depths\t-\t%.4f\t%.1f\n", best_fixed(log, budget, 0, depth), budget);
    for (int how = 0; how < CREDITS; how++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) print_runs(log, names[i], (credit)how, budget);
}

/* ---- Speed ---- */

/* Twelve strategies with features of their own, and an event after every decision: more than requests bring. */
static void make_requests(ranks_log *log, uint32_t F, size_t n) {
    random_source random;
    *log = (ranks_log){.S = 12, .F = F, .n = n};
    log->rank = mem_alloc(n * log->S * sizeof *log->rank);
    log->x = mem_alloc(n * log->S * log->F * sizeof *log->x);
    random_seed(&random, 12);
    for (size_t i = 0; i < n * log->S; i++) {
        bool found = random_below(&random, 12) < 3;
        log->rank[i] = found ? 1 + (uint32_t)random_below(&random, depths[LEVELS - 1]) : 0;
        for (uint32_t f = 0; f < log->F; f++) log->x[i * log->F + f] = f ? (float)random_double(&random) : 1;
    }
}

/* Processor seconds of a policy over the whole log, learning or only deciding. */
static double time_run(policy *p, const ranks_log *log, credit how, bool learns) {
    policy_decision d;
    random_source random;
    uint32_t allowed[POLICY_MAX_STRATEGIES];
    random_seed(&random, 1);
    for (uint32_t s = 0; s < log->S; s++) allowed[s] = (1u << LEVELS) - 1;
    double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t t = 0; t < log->n; t++) {
        policy_decide(p, log->x + t * log->S * log->F, allowed, &random, &d);
        if (learns) learn(p, log, t, allowed, &d, how);
    }
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Medians of several runs, each of which goes on from the one before. */
static void speed(const char *rule, uint32_t F) {
    enum { RUNS = 7, REQUESTS = 10000 };
    ranks_log log;
    if (F < 1 || F > POLICY_MAX_FEATURES) fail("F is wrong");
    make_requests(&log, F, REQUESTS);
    for (int how = 0; how < CREDITS; how++) {
        double both[RUNS], deciding[RUNS];
        policy *p = make(&log, rule, (credit)how, 300);
        for (int i = 0; i < RUNS; i++) {
            both[i] = time_run(p, &log, (credit)how, true);
            deciding[i] = time_run(p, &log, (credit)how, false);
        }
        qsort(both, RUNS, sizeof *both, by_size);
        qsort(deciding, RUNS, sizeof *deciding, by_size);
        printf("%s\t%s\t%.2f\t%.2f\n", rule, credit_names[how], both[RUNS / 2] * 1e6 / REQUESTS,
               deciding[RUNS / 2] * 1e6 / REQUESTS);
        policy_destroy(p);
    }
    free(log.rank);
    free(log.x);
}

/* ---- The same examples for another learner ---- */

/* worth[s][l]: what level l of strategy s adds to the others' uniform draws, less its price. */
static void find_worth(const uint32_t *rank, uint32_t S, double worth[][LEVELS]) {
    double miss[POLICY_MAX_STRATEGIES];
    for (uint32_t s = 0; s < S; s++) {
        uint32_t found = 0;
        for (uint32_t l = 0; l < LEVELS; l++) found += rank[s] && rank[s] <= depths[l];
        miss[s] = 1 - (double)found / LEVELS;
    }
    for (uint32_t s = 0; s < S; s++)
        for (uint32_t l = 0; l < LEVELS; l++) {
            double value = rank[s] && rank[s] <= depths[l];
            for (uint32_t other = 0; other < S; other++) value *= other == s ? 1 : miss[other];
            worth[s][l] = value - PRICE * depths[l];
        }
}

/* One example: the label is on the action that was drawn, as action:cost:probability. Namespace d has the depth. */
static void write_example(FILE *file, uint32_t s, const float *x, uint32_t F, uint32_t drawn, double worth) {
    fprintf(file, "shared |x");
    for (uint32_t i = 0; i < F; i++)
        if (x[i] != 0) fprintf(file, " %u:%g", i, (double)x[i]);
    fputc('\n', file);
    for (uint32_t l = 0; l < LEVELS; l++) {
        if (l == drawn) fprintf(file, "0:%.6f:%.6f ", -worth, 1.0 / LEVELS);
        fprintf(file, "|a s%ul%u |d s%u:%g\n", s, l, s, (double)depths[l] / depths[LEVELS - 1]);
    }
    fputc('\n', file);
}

static void write_log(const ranks_log *log, const char *text_path, const char *truth_path) {
    random_source random;
    double worth[POLICY_MAX_STRATEGIES][LEVELS];
    FILE *text = fopen(text_path, "w"), *truth = fopen(truth_path, "w");
    if (!text || !truth) fail("the files cannot be written");
    random_seed(&random, 20260101);
    for (size_t t = 0; t < log->n; t++) {
        find_worth(log->rank + t * log->S, log->S, worth);
        for (uint32_t s = 0; s < log->S; s++) {
            uint32_t drawn = (uint32_t)random_below(&random, LEVELS);
            write_example(text, s, log->x + t * log->S * log->F, log->F, drawn, worth[s][drawn]);
            for (uint32_t l = 0; l < LEVELS; l++)
                fprintf(truth, "%.6f%c", worth[s][l], l + 1 < LEVELS ? ' ' : '\n');
        }
    }
    if (fclose(text) || fclose(truth)) fail("the files cannot be written");
}

/* The shorter of wall and processor time since a start: neither a busy machine nor a second thread counts. */
typedef struct stopwatch {
    double wall, processor;
} stopwatch;

static stopwatch start_watch(void) {
    return (stopwatch){seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)};
}

static double stop_watch(stopwatch start) {
    return fmin(seconds_of(CLOCK_MONOTONIC) - start.wall, seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start.processor);
}

/* The examples of one request: S of them. */
typedef struct lesson {
    float x[POLICY_MAX_STRATEGIES * POLICY_MAX_FEATURES];
    float reward[POLICY_MAX_STRATEGIES];
    policy_decision drawn;
} lesson;

static void read_label(char *line, uint32_t s, lesson *out) {
    char *at = strchr(line, '|');
    if (!at || at == line) return;
    double cost = strtod(line + 2, NULL);
    uint32_t l = (uint32_t)strtoul(strchr(at, 'l') + 1, NULL, 10);
    if (l >= LEVELS) fail("an example's level is wrong");
    out->drawn.level[s] = l;
    out->reward[s] = (float)(PRICE * depths[l] - cost);
}

/* False at the end. */
static bool read_lesson(FILE *file, uint32_t S, uint32_t F, lesson *out) {
    char line[LINE];
    for (uint32_t s = 0; s < S; s++) {
        float *x = out->x + (size_t)s * F;
        memset(x, 0, F * sizeof *x);
        if (!fgets(line, sizeof line, file)) return false;
        char *at = strchr(line, '|') + 2;
        while (*at == ' ') {
            uint32_t i = (uint32_t)strtoul(at, &at, 10);
            if (i >= F || *at != ':') fail("an example's feature is wrong");
            x[i] = strtof(at + 1, &at);
        }
        while (fgets(line, sizeof line, file) && line[0] != '\n') read_label(line, s, out);
    }
    return true;
}

typedef struct learner {
    policy *p;
    uint32_t S;
    random_source random;
    uint32_t allowed[POLICY_MAX_STRATEGIES];
} learner;

static void start_learner(learner *l, uint32_t S, uint32_t F, const char *rule, double knob, double prior) {
    policy_config c;
    base_error error;
    policy_config_default(&c, rule, S);
    c.n_features = F;
    c.n_levels = LEVELS;
    memcpy(c.depths, depths, sizeof depths);
    c.exploration = .001;
    c.cost = PRICE;
    if (!strcmp(rule, "squarecb")) c.gamma = knob;
    else c.noise = knob;
    for (uint32_t s = 0; s < S; s++) {
        c.prior_reward[s] = prior;
        l->allowed[s] = (1u << LEVELS) - 1;
    }
    if (policy_create(&c, &l->p, &error)) fail(error.message);
    l->S = S;
    random_seed(&l->random, 1);
}

static void take_lesson(learner *l, const lesson *given, policy_decision *d) {
    policy_decide(l->p, given->x, l->allowed, &l->random, d);
    policy_observe(l->p, given->x, &given->drawn);
    policy_reward(l->p, given->x, &given->drawn, given->reward);
}

/* Reads, decides and learns, one request after the other; returns the seconds and how many examples there were. */
static double learn_from_text(learner *l, const char *path, uint32_t F, size_t *n) {
    policy_decision d;
    lesson given = {.drawn = {.n_strategies = l->S, .n_levels = LEVELS}};
    stopwatch start = start_watch();
    FILE *file = fopen(path, "r");
    if (!file) fail("the examples cannot be read");
    for (*n = 0; read_lesson(file, l->S, F, &given); *n += l->S) take_lesson(l, &given, &d);
    fclose(file);
    return stop_watch(start);
}

/* The lessons lie in memory; what each decision was worth is added up outside the time taken. */
static double learn_from_memory(learner *l, const char *path, const char *truth_path, uint32_t F, size_t n,
                                double *worth) {
    size_t requests = n / l->S;
    lesson *lessons = mem_zalloc(requests, sizeof *lessons);
    policy_decision *decided = mem_alloc(requests * sizeof *decided);
    FILE *file = fopen(path, "r"), *truth = fopen(truth_path, "r");
    if (!file || !truth) fail("the examples cannot be read");
    for (size_t i = 0; i < requests; i++) {
        lessons[i].drawn = (policy_decision){.n_strategies = l->S, .n_levels = LEVELS};
        read_lesson(file, l->S, F, &lessons[i]);
    }
    double value;
    stopwatch start = start_watch();
    for (size_t i = 0; i < requests; i++) take_lesson(l, &lessons[i], &decided[i]);
    double took = stop_watch(start);
    *worth = 0;
    for (size_t i = 0; i < n * LEVELS; i++) {
        if (fscanf(truth, "%lf", &value) != 1) fail("the truth is cut short");
        *worth += value * (double)decided[i / LEVELS / l->S].probability[i / LEVELS % l->S][i % LEVELS] / (double)n;
    }
    fclose(file);
    fclose(truth);
    free(lessons);
    free(decided);
    return took;
}

static void learn_log(char **argv) {
    uint32_t S = (uint32_t)atoi(argv[2]), F = (uint32_t)atoi(argv[3]);
    double knob = atof(argv[5]), prior = atof(argv[6]), worth, text = INFINITY, memory = INFINITY;
    size_t n;
    for (int i = 0; i < 3; i++) { /* the fastest: what disturbed the others was not the learner */
        learner l;
        start_learner(&l, S, F, argv[4], knob, prior);
        text = fmin(text, learn_from_text(&l, argv[0], F, &n));
        policy_destroy(l.p);
        start_learner(&l, S, F, argv[4], knob, prior);
        memory = fmin(memory, learn_from_memory(&l, argv[0], argv[1], F, n, &worth));
        policy_destroy(l.p);
    }
    printf("%.6f\t%zu\t%.6f\t%.6f\n", worth, n, text, memory);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    bool compares = !strcmp(what, "compare") && argc == 6, writes = !strcmp(what, "write") && argc == 7;
    if (!strcmp(what, "speed") && argc == 4) speed(argv[2], (uint32_t)atoi(argv[3]));
    else if (!strcmp(what, "learn") && argc == 9) learn_log(argv + 2);
    else if (!compares && !writes) fail("what is to be done?");
    if (!compares && !writes) return 0;
    ranks_log log = {.S = (uint32_t)atoi(argv[3]), .F = (uint32_t)atoi(argv[4])};
    if (log.S < 1 || log.S > POLICY_MAX_STRATEGIES || log.F < 1 || log.F > POLICY_MAX_FEATURES) fail("S or F is wrong");
    read_log(argv[2], &log);
    if (compares) compare(&log, atof(argv[5]));
    else write_log(&log, argv[5], argv[6]);
    free(log.rank);
    free(log.x);
    return 0;
}
