/* What the online half of ranking costs, and how soon an experiment is decided.
 *
 *     online_driver speed           rows: figure, microseconds of processor time, the shortest of five
 *     online_driver power RUNS      rows: kind, noise of the worse ranker, median of pages until a verdict, share of verdicts
 *                                   for the better one within MOST pages
 *     online_driver alarms RUNS     rows: kind, share of runs of LENGTH pages with a verdict where both rankers are equally noisy
 *
 * The simulated world: a query has ITEMS documents that a person likes with a probability of their own; a ranker sees it with
 * noise; a person looks at position k with 1 / k and clicks on what they like. A/B: a page is its own unit, and earns the share
 * of its looks that liked something. */
#include "rank/diversity.h"
#include "rank/interleave.h"
#include "rank/page_token.h"
#include "rank/plackett_luce.h"
#include "rank/sequential.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ITEMS = 20, PAGE = 10, MOST = 40000, LENGTH = 2000 };
#define ALPHA .05

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "online_driver: %s\n", what);
    exit(1);
}

/* ---- the world ---- */

static void rank_by(const double *score, uint32_t *ranking) {
    for (uint32_t i = 0; i < ITEMS; i++) {
        uint32_t k = i;
        for (; k > 0 && score[ranking[k - 1]] < score[i]; k--) ranking[k] = ranking[k - 1];
        ranking[k] = i;
    }
}

typedef struct query {
    double like[ITEMS];
    uint32_t ranking[2][ITEMS];
} query;

static void ask(query *q, const double *noise, random_source *random) {
    double score[ITEMS];
    for (int i = 0; i < ITEMS; i++) q->like[i] = random_double(random) * random_double(random);
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < ITEMS; i++) score[i] = q->like[i] + noise[side] * random_normal(random);
        rank_by(score, q->ranking[side]);
    }
}

static void click(const query *q, const uint32_t *shown, uint32_t n, random_source *random, float *reward) {
    for (uint32_t k = 0; k < n; k++) reward[k] = random_double(random) < q->like[shown[k]] / (k + 1) ? 1 : 0;
}

enum { TEAM, OPTIMISED, AB, KINDS };
static const char *const names[KINDS] = {"team draft", "optimised", "A/B"};

typedef struct trial {
    sequential paired;
    sequential_arms arms;
} trial;

static sequential_verdict page_of(int kind, trial *t, const double *noise, random_source *random) {
    query q;
    float reward[INTERLEAVE_MAX];
    ask(&q, noise, random);
    if (kind == AB) {
        bool is_b = random_u64(random) >> 63;
        click(&q, q.ranking[is_b], PAGE, random, reward);
        double clicks = 0;
        for (uint32_t k = 0; k < PAGE; k++) clicks += (double)reward[k];
        sequential_arms_add(&t->arms, is_b, fmin(1, clicks / 2)); /* two are as good as it gets */
        return t->arms.difference.verdict;
    }
    interleave_page page;
    interleave_draw(kind == TEAM ? INTERLEAVE_TEAM_DRAFT : INTERLEAVE_OPTIMISED, q.ranking[0], ITEMS, q.ranking[1], ITEMS,
                    PAGE, random, &page);
    click(&q, page.id, page.n, random, reward);
    sequential_add(&t->paired, interleave_outcome(page.credit, reward, page.n));
    return t->paired.verdict;
}

static void begin(trial *t) {
    sequential_init(&t->paired, -1, 1, ALPHA);
    sequential_arms_init(&t->arms, .5, ALPHA);
}

static int rising(const void *x, const void *y) {
    int a = *(const int *)x, b = *(const int *)y;
    return (a > b) - (a < b);
}

static void power(int runs) {
    const double worse[] = {.4, .2};
    int *needed = mem_alloc((size_t)runs * sizeof *needed);
    for (size_t w = 0; w < 2; w++)
        for (int kind = 0; kind < KINDS; kind++) {
            int right = 0;
            for (int run = 0; run < runs; run++) {
                random_source random;
                trial t;
                random_seed(&random, (uint64_t)run);
                begin(&t);
                sequential_verdict verdict = SEQUENTIAL_OPEN;
                for (needed[run] = 0; needed[run] < MOST && verdict == SEQUENTIAL_OPEN; needed[run]++)
                    verdict = page_of(kind, &t, (double[]){.1, worse[w]}, &random);
                right += verdict == SEQUENTIAL_A;
            }
            qsort(needed, (size_t)runs, sizeof *needed, rising);
            printf("%s\t%g\t%d\t%g\n", names[kind], worse[w], needed[runs / 2], (double)right / runs);
        }
    free(needed);
}

static void alarms(int runs) {
    for (int kind = 0; kind < KINDS; kind++) {
        int wrong = 0;
        for (int run = 0; run < runs; run++) {
            random_source random;
            trial t;
            random_seed(&random, 7000 + (uint64_t)run);
            begin(&t);
            sequential_verdict verdict = SEQUENTIAL_OPEN;
            for (int i = 0; i < LENGTH && verdict == SEQUENTIAL_OPEN; i++) verdict = page_of(kind, &t, (double[]){.2, .2}, &random);
            wrong += verdict != SEQUENTIAL_OPEN;
        }
        printf("%s\t%g\n", names[kind], (double)wrong / runs);
    }
}

/* ---- speed ---- */

enum { CANDIDATES = 100, SHOWN = 20, DOCUMENTS = PAGE_TOKEN_DOCUMENTS };

typedef struct things {
    random_source random;
    uint32_t a[50], b[50], first[CANDIDATES + 1], attribute[CANDIDATES * 4], documents[DOCUMENTS];
    float score[CANDIDATES];
    sequential s;
    arena scratch;
    buffer token;
} things;

static void draft(things *t, interleave_kind kind, size_t length) {
    interleave_page page;
    interleave_draw(kind, t->a, 50, t->b, 50, length, &t->random, &page);
}

static void team_10(things *t) { draft(t, INTERLEAVE_TEAM_DRAFT, 10); }
static void optimised_10(things *t) { draft(t, INTERLEAVE_OPTIMISED, 10); }
static void optimised_20(things *t) { draft(t, INTERLEAVE_OPTIMISED, 20); }
static void add(things *t) { sequential_add(&t->s, random_double(&t->random) - .5); }
static void look(things *t) { sequential_ask(&t->s); }

static void explore(things *t) {
    uint32_t order[CANDIDATES];
    plackett_luce_config c = {.2, 0, CANDIDATES, SHOWN};
    plackett_luce_sample(&c, t->score, CANDIDATES, &t->random, order, NULL, NULL);
}

static void diversify(things *t) {
    uint32_t order[CANDIDATES];
    diversity_attributes a = {t->first, t->attribute, NULL};
    diversity_rerank(t->score, &a, CANDIDATES, CANDIDATES, SHOWN, .3, &t->scratch, order, NULL);
    arena_reset(&t->scratch);
}

static void write_token(things *t) {
    page_token token = {1, 2, 3, 4, 5, DOCUMENTS, 20, DOCUMENTS, t->documents};
    buffer_clear(&t->token);
    if (page_token_encode(&token, 1, &t->token, NULL)) fail("a token cannot be written");
}

static void read_token(things *t) {
    page_token token;
    if (page_token_decode((slice){t->token.data, t->token.size}, 1, &t->scratch, &token, NULL)) fail("a token cannot be read");
    arena_reset(&t->scratch);
}

static void shuffle_near(things *t) {
    for (uint32_t i = 0; i < 50; i++) t->a[i] = t->b[i] = i;
    for (uint32_t i = 0; i < 46; i++) {
        uint32_t j = i + (uint32_t)random_below(&t->random, 4), old = t->b[i];
        t->b[i] = t->b[j];
        t->b[j] = old;
    }
}

static double shortest(void (*work)(things *), things *t, int times) {
    double best = INFINITY;
    for (int round = 0; round < 5; round++) {
        struct timespec from, to;
        shuffle_near(t);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        for (int i = 0; i < times; i++) work(t);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        best = fmin(best, ((double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3) / times);
    }
    return best;
}

static void speed(void) {
    static things t;
    random_seed(&t.random, 1);
    arena_init(&t.scratch, 0);
    sequential_init(&t.s, -1, 1, ALPHA);
    for (uint32_t i = 0; i < CANDIDATES; i++) {
        t.score[i] = (float)(CANDIDATES - i) / CANDIDATES;
        t.first[i + 1] = t.first[i] + 4;
        for (uint32_t k = 0; k < 4; k++) t.attribute[4 * i + k] = 10 * k + (uint32_t)random_below(&t.random, 10);
    }
    for (uint32_t i = 0; i < DOCUMENTS; i++) t.documents[i] = i * 1000 + (uint32_t)random_below(&t.random, 1000);
    for (uint32_t i = DOCUMENTS; i-- > 1;) {
        uint32_t j = (uint32_t)random_below(&t.random, i + 1), old = t.documents[i];
        t.documents[i] = t.documents[j];
        t.documents[j] = old;
    }
    printf("team draft of 10\t%g\n", shortest(team_10, &t, 20000));
    printf("optimised interleaving of 10\t%g\n", shortest(optimised_10, &t, 200));
    printf("optimised interleaving of 20\t%g\n", shortest(optimised_20, &t, 50));
    printf("sequential: an observation\t%g\n", shortest(add, &t, 100000));
    printf("sequential: the interval\t%g\n", shortest(look, &t, 2000));
    printf("Plackett-Luce, a draw of 100\t%g\n", shortest(explore, &t, 2000));
    printf("diversity, 20 of 100 with 4 attributes\t%g\n", shortest(diversify, &t, 2000));
    printf("page token of 1,000 documents: write\t%g\n", shortest(write_token, &t, 500));
    printf("page token of 1,000 documents: read\t%g\n", shortest(read_token, &t, 500));
    printf("# a token of 1,000 documents has %zu characters\n", t.token.size);
    arena_release(&t.scratch);
    buffer_release(&t.token);
}

int main(int n, char **arguments) {
    int runs = n > 2 ? atoi(arguments[2]) : 0;
    if (n == 2 && !strcmp(arguments[1], "speed")) speed();
    else if (n == 3 && runs > 0 && !strcmp(arguments[1], "power")) power(runs);
    else if (n == 3 && runs > 0 && !strcmp(arguments[1], "alarms")) alarms(runs);
    else fail("speed | power RUNS | alarms RUNS");
    return 0;
}
