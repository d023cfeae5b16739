/* Times every kernel of a table on made inputs: kernel_driver KERNELS
 *
 * A line for each: what, ns a call, values a call; between them tabs. KERNELS as in kernels_named, "-" for the best, whose
 * name is the first line either way. Each is called on 64 inputs in turn; what restores an input that a kernel changes is
 * timed alone and taken off. A processor still learns some branches of such inputs by heart, which flatters loops that
 * have more of them. Processor time of one thread, the best of fifteen runs of at least a millisecond. */
#include "base/memory.h"
#include "base/random.h"
#include "kernel/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS = 15, INPUTS = 64, MOST = 16384, WINDOW = 4096 };

/* One input, with room for n values in each list. A case fills what it uses. Inputs stand close together, as blocks of
 * postings do. */
typedef struct input {
    uint8_t packed[512], *bytes;
    uint32_t *a, *b, *c;
    uint64_t *words, *others;
    double *numbers;
} input;

typedef struct output {
    uint32_t x[MOST + 64], y[MOST + 64];
    uint64_t words[MOST / 64];
} output;

typedef struct kernel_case {
    const char *name;
    uint32_t n;     /* values of a call */
    unsigned level; /* bits, or a share in thousandths, as the case likes */
    void (*make)(const struct kernel_case *c, input *in, random_source *r);
    void (*restore)(const struct kernel_case *c, const input *in, output *out); /* NULL: nothing changes */
    uint64_t (*call)(const struct kernel_case *c, const kernel_table *k, const input *in, output *out);
} kernel_case;

/* ---- Inputs ---- */

static bool share(random_source *r, unsigned thousandths) { return random_below(r, 1000) < thousandths; }

static void make_block(const kernel_case *c, input *in, random_source *r) {
    for (unsigned i = 0; i < 16 * c->level; i++) in->packed[i] = (uint8_t)random_u64(r);
    for (unsigned i = 0; i < KERNEL_BLOCK; i++) in->a[i] = (uint32_t)random_below(r, 16);
}

/* Places with a step of 1 … 16, impacts as a share of large ones. */
static void make_postings(const kernel_case *c, input *in, random_source *r) {
    for (uint32_t i = 0, place = 0; i < c->n; i++) {
        in->a[i] = place += 1 + (uint32_t)random_below(r, 16);
        in->bytes[i] = (uint8_t)(share(r, c->level) ? 200 + random_below(r, 56) : 1 + random_below(r, 150));
    }
}

static void make_sums(const kernel_case *c, input *in, random_source *r) {
    for (uint32_t i = 0; i < c->n; i++) in->a[i] = (uint32_t)(share(r, c->level) ? 1000 + i : random_below(r, 1000));
}

static void make_candidates(const kernel_case *c, input *in, random_source *r) {
    for (uint32_t i = 0; i < c->n; i++) {
        in->a[i] = i;
        in->b[i] = share(r, c->level) ? 1000 : 10;
        in->c[i] = 100;
        in->bytes[i] = (uint8_t)random_u64(r);
    }
}

/* Two lists over the same places: the second is `level` thousandths as long. */
static void make_lists(const kernel_case *c, input *in, random_source *r) {
    uint32_t nb = c->n * c->level / 1000;
    for (uint32_t i = 0, place = 0; i < c->n; i++) in->a[i] = place += 1 + (uint32_t)random_below(r, 16);
    for (uint32_t i = 0, place = 0; i < nb; i++) in->b[i] = place += 1 + (uint32_t)random_below(r, 16000 / c->level);
}

static void make_words(const kernel_case *c, input *in, random_source *r) {
    memset(in->words, 0, c->n / 8);
    for (uint32_t i = 0; i < c->n; i++) in->words[i / 64] |= (uint64_t)share(r, c->level) << i % 64;
    for (uint32_t i = 0; i < c->n / 64; i++) in->others[i] = random_u64(r);
}

static void make_numbers(const kernel_case *c, input *in, random_source *r) {
    for (uint32_t i = 0; i < c->n; i++) in->numbers[i] = random_double(r);
}

static void restore_a(const kernel_case *c, const input *in, output *out) { memcpy(out->x, in->a, c->n * sizeof *in->a); }

static void restore_a_b(const kernel_case *c, const input *in, output *out) {
    restore_a(c, in, out);
    memcpy(out->y, in->b, c->n * sizeof *in->b);
}

/* ---- Calls ---- */

#define CALL(NAME) static uint64_t NAME(const kernel_case *c, const kernel_table *k, const input *in, output *out)

CALL(call_unpack) {
    k->unpack(in->packed, c->level, out->x);
    return out->x[5];
}
CALL(call_unpack_gaps) {
    k->unpack_gaps(in->packed, c->level, 7, out->x);
    return out->x[127];
}
CALL(call_sum_gaps) {
    (void)in;
    k->sum_gaps(out->x, c->n, 7);
    return out->x[c->n - 1];
}
CALL(call_add_impacts) {
    k->add_impacts(out->x, WINDOW - 1, in->a, in->bytes, c->n, 3);
    return out->x[1];
}
CALL(call_collect_sums) {
    (void)in;
    return k->collect_sums(out->x, c->n, 1000, NULL, out->y, out->y + MOST / 2);
}
CALL(call_collect_impacts) { return k->collect_impacts(in->a, in->bytes, c->n, 200, 3, 1, out->x, out->y); }
CALL(call_keep) { return k->keep(out->x, out->y, in->c, c->n, 1000, 1); }
CALL(call_add_bounds) {
    k->add_bounds(out->x, in->bytes, c->n, 3);
    return out->x[1];
}
CALL(call_max_u8) {
    (void)out;
    return k->max_u8(in->bytes, c->n);
}
CALL(call_intersect) { return k->intersect(in->a, c->n, in->b, c->n * c->level / 1000, out->x, out->y); }
CALL(call_first_from) {
    (void)out;
    return k->first_from(in->a, c->n, in->a[in->bytes[0] % c->n]);
}
CALL(call_count_ones) {
    (void)out;
    return k->count_ones(in->words, c->n / 64);
}
CALL(call_and_words) {
    k->and_words(out->words, in->others, c->n / 64);
    return out->words[1];
}
CALL(call_list_ones) { return k->list_ones(in->words, c->n / 64, 7, out->x); }
CALL(call_between) {
    k->between(in->numbers, c->n, .2, .7, out->words);
    return out->words[1];
}

static const kernel_case cases[] = {
    {"unpack, 6 bits", 128, 6, make_block, NULL, call_unpack},
    {"unpack_gaps, 1 bit", 128, 1, make_block, NULL, call_unpack_gaps},
    {"unpack_gaps, 4 bits", 128, 4, make_block, NULL, call_unpack_gaps},
    {"unpack_gaps, 7 bits", 128, 7, make_block, NULL, call_unpack_gaps},
    {"unpack_gaps, 12 bits", 128, 12, make_block, NULL, call_unpack_gaps},
    {"unpack_gaps, 19 bits", 128, 19, make_block, NULL, call_unpack_gaps},
    {"sum_gaps", 128, 1, make_block, restore_a, call_sum_gaps},
    {"add_impacts", 128, 50, make_postings, NULL, call_add_impacts},
    {"collect_sums, none", WINDOW, 0, make_sums, restore_a, call_collect_sums},
    {"collect_sums, 1 %", WINDOW, 10, make_sums, restore_a, call_collect_sums},
    {"collect_sums, 30 %", WINDOW, 300, make_sums, restore_a, call_collect_sums},
    {"collect_impacts, 3 %", 128, 30, make_postings, NULL, call_collect_impacts},
    {"collect_impacts, 50 %", 128, 500, make_postings, NULL, call_collect_impacts},
    {"keep, half", 1024, 500, make_candidates, restore_a_b, call_keep},
    {"add_bounds", 1024, 0, make_candidates, NULL, call_add_bounds},
    {"max_u8", 1024, 0, make_candidates, NULL, call_max_u8},
    {"intersect, as long", 2048, 1000, make_lists, NULL, call_intersect},
    {"intersect, a quarter", 2048, 250, make_lists, NULL, call_intersect},
    {"intersect, a fiftieth", 16384, 20, make_lists, NULL, call_intersect},
    {"first_from", 128, 500, make_postings, NULL, call_first_from},
    {"count_ones", MOST, 500, make_words, NULL, call_count_ones},
    {"and_words", MOST, 500, make_words, NULL, call_and_words},
    {"list_ones, 1 %", MOST, 10, make_words, NULL, call_list_ones},
    {"list_ones, 25 %", MOST, 250, make_words, NULL, call_list_ones},
    {"between", WINDOW, 0, make_numbers, NULL, call_between},
};

/* ---- Timing ---- */

static void place_lists(input *in, uint32_t n, uint8_t *room) {
    in->numbers = (double *)(void *)room;
    in->words = (uint64_t *)(void *)(room + 8 * n);
    in->others = in->words + n / 64;
    in->a = (uint32_t *)(in->others + n / 64);
    in->b = in->a + n;
    in->c = in->b + n;
    in->bytes = (uint8_t *)(in->c + n);
}
enum { ROOM = 8 + 2 + 12 + 1 }; /* bytes a value */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static volatile uint64_t sink; /* so that no call is left out */

/* ns of `rounds` turns over all inputs; without `k`, of what restores them. */
static double run(const kernel_case *c, const kernel_table *k, const input *in, output *out, unsigned rounds) {
    uint64_t sum = 0;
    double start = now();
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < INPUTS; i++) {
            if (c->restore) c->restore(c, in + i, out);
            if (k) sum += c->call(c, k, in + i, out);
        }
    }
    sink = sum;
    return now() - start;
}

static double best(const kernel_case *c, const kernel_table *k, const input *in, output *out) {
    unsigned rounds = 1;
    while (run(c, k, in, out, rounds) < 1e6) rounds *= 2;
    double least = run(c, k, in, out, rounds);
    for (unsigned i = 1; i < RUNS; i++) {
        double t = run(c, k, in, out, rounds);
        if (t < least) least = t;
    }
    return least / rounds / INPUTS;
}

int main(int argc, char **argv) {
    const kernel_table *k = argc == 2 ? strcmp(argv[1], "-") == 0 ? kernels() : kernels_named(argv[1]) : NULL;
    if (!k) {
        fprintf(stderr, "kernel_driver: this processor has no kernels of that name\n");
        return 1;
    }
    printf("%s\n", k->name);
    static input in[INPUTS];
    uint8_t *room = mem_alloc((size_t)INPUTS * ROOM * MOST);
    output *out = mem_alloc(sizeof *out);
    memset(out, 0, sizeof *out);
    random_source r;
    random_seed(&r, 71);
    for (const kernel_case *c = cases; c < cases + sizeof cases / sizeof *cases; c++) {
        for (unsigned i = 0; i < INPUTS; i++) {
            place_lists(in + i, c->n, room + (size_t)i * ROOM * c->n);
            c->make(c, in + i, &r);
        }
        double ns = best(c, k, in, out) - (c->restore ? best(c, NULL, in, out) : 0);
        printf("%s\t%.2f\t%u\n", c->name, ns, c->n);
    }
    free(room);
    free(out);
    return 0;
}
