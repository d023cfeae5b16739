/* Runs policies over a log of ranks: each line is one request, S ranks (0: not found) and then F features, the same for
 * all strategies. What was wanted is known for every line, so that every policy's expected recall and cost are exact.
 *
 *     policy_driver LOG S F compare BUDGET          recall and cost of each policy by each kind of credit, mean of
 *                                                   five seeds, and of the best fixed depths in hindsight
 *     policy_driver LOG S F speed ALGORITHM         microseconds a decision and its lesson take
 *     policy_driver LOG S F peer VW TRUTH           draws levels uniformly; the squarecb learner's progressive reward;
 *                                                   writes the same log as VW text, and what each action was worth */
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

static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
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
    c.cost = budget > 0 ? PRICE / 3 : PRICE;
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

static void speed(const ranks_log *log, const char *name) {
    for (int how = 0; how < CREDITS; how++) {
        policy *p = make(log, name, (credit)how, 100);
        policy_decision d;
        random_source random;
        uint32_t allowed[POLICY_MAX_STRATEGIES];
        random_seed(&random, 1);
        for (uint32_t s = 0; s < log->S; s++) allowed[s] = (1u << LEVELS) - 1;
        double start = processor_seconds();
        for (size_t t = 0; t < log->n; t++) {
            policy_decide(p, log->x + t * log->S * log->F, allowed, &random, &d);
            learn(p, log, t, allowed, &d, (credit)how);
        }
        printf("%s\t%s\t%.2f\n", name, credit_names[how], (processor_seconds() - start) * 1e6 / (double)log->n);
        policy_destroy(p);
    }
}

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

/* One example per strategy: the label is on the action that was drawn, as action:cost:probability. */
static void write_vw(FILE *file, uint32_t s, const float *x, uint32_t F, uint32_t drawn, double worth) {
    fprintf(file, "shared |x");
    for (uint32_t i = 0; i < F; i++)
        if (x[i] != 0) fprintf(file, " %u:%g", i, (double)x[i]);
    fputc('\n', file);
    for (uint32_t l = 0; l < LEVELS; l++) {
        if (l == drawn) fprintf(file, "0:%.6f:%.6f ", -worth, 1.0 / LEVELS);
        fprintf(file, "|a s%ul%u\n", s, l);
    }
    fputc('\n', file);
}

static void peer(const ranks_log *log, const char *vw_path, const char *truth_path) {
    policy *p = make(log, "squarecb", PLAYED, 0);
    policy_decision d, logged = {.n_strategies = log->S, .n_levels = LEVELS};
    random_source draws, random;
    uint32_t allowed[POLICY_MAX_STRATEGIES];
    double worth[POLICY_MAX_STRATEGIES][LEVELS], progressive = 0, took = 0;
    FILE *vw = fopen(vw_path, "w"), *truth = fopen(truth_path, "w");
    if (!vw || !truth) fail("the peer's files cannot be written");
    random_seed(&draws, 20260101);
    random_seed(&random, 1);
    for (uint32_t s = 0; s < log->S; s++) allowed[s] = (1u << LEVELS) - 1;
    for (size_t t = 0; t < log->n; t++) {
        const float *x = log->x + t * log->S * log->F;
        float reward[POLICY_MAX_STRATEGIES];
        find_worth(log->rank + t * log->S, log->S, worth);
        for (uint32_t s = 0; s < log->S; s++) {
            uint32_t l = logged.level[s] = (uint32_t)random_below(&draws, LEVELS);
            reward[s] = (float)(worth[s][l] + PRICE * depths[l]);
            write_vw(vw, s, x, log->F, l, worth[s][l]);
            for (l = 0; l < LEVELS; l++) fprintf(truth, "%.6f%c", worth[s][l], l + 1 < LEVELS ? ' ' : '\n');
        }
        double start = processor_seconds();
        policy_decide(p, x, allowed, &random, &d);
        policy_observe(p, x, &logged);
        policy_reward(p, x, &logged, reward);
        took += processor_seconds() - start;
        for (uint32_t s = 0; s < log->S; s++)
            for (uint32_t l = 0; l < LEVELS; l++) progressive += (double)d.probability[s][l] * worth[s][l];
    }
    double examples = (double)log->n * log->S;
    printf("%.6f\t%.0f\n", progressive / examples, examples / took);
    if (fclose(vw) || fclose(truth)) fail("the peer's files cannot be written");
    policy_destroy(p);
}

int main(int argc, char **argv) {
    if (argc < 6) fail("LOG S F compare BUDGET | speed ALGORITHM | peer VW TRUTH");
    ranks_log log = {.S = (uint32_t)atoi(argv[2]), .F = (uint32_t)atoi(argv[3])};
    if (log.S < 1 || log.S > POLICY_MAX_STRATEGIES || log.F < 1 || log.F > POLICY_MAX_FEATURES) fail("S or F is wrong");
    read_log(argv[1], &log);
    if (!strcmp(argv[4], "compare")) compare(&log, atof(argv[5]));
    else if (!strcmp(argv[4], "speed")) speed(&log, argv[5]);
    else if (!strcmp(argv[4], "peer") && argc > 6) peer(&log, argv[5], argv[6]);
    else fail("what is to be done?");
    free(log.rank);
    free(log.x);
    return 0;
}
