/* A group's rows are laid out in the order of their scores, so that the inner loop walks arrays and the compiler can take several
 * pairs at a time. Groups are dealt to blocks of about equal work; a block's sums are added up in the order of the blocks, whoever
 * computed them, so that the result is the same with any number of threads. */
#include "rank/lambda_pairs.h"

#include "base/hash.h"
#include "os/pool.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 64, PARALLEL_ROWS = 20000 };
#define LEAST_BIAS .02f /* a position counts at most fifty times the first */

typedef struct block {
    size_t first_group, end_group;
    uint64_t pairs;
    double *cost_plus, *cost_minus; /* n_positions + 1 */
} block;

/* One thread's room, for the rows of the largest group in the order of their scores. */
typedef struct room {
    uint64_t *scratch;
    uint32_t *order, *wanted, *place;
    float *s, *gain, *win, *lose, *gradient, *hessian; /* by rank */
    float *push, *curve, *delta, *rho;                 /* of the row at hand with each row below it */
} room;

struct lambda_pairs {
    const rank_rows *rows;
    lambdamart_settings settings;
    size_t largest, informative, with_gain, clipped;
    uint64_t pairs;
    float *gain, *weight, *discount; /* by row, by row, by rank from 0 */
    double *ideal;
    block blocks[BLOCKS];
    size_t n_blocks;
    uint32_t n_positions;
    float *t_plus, *t_minus; /* 0 … n_positions; [0]: not known, always 1 */
    room *rooms;
    uint32_t n_rooms;
    os_pool *pool;
    /* The call at hand: */
    const float *scores;
    float *gradient, *hessian;
    uint64_t round_seed;
    atomic_size_t next_block;
    atomic_uint next_room;
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    uint32_t running; /* under the mutex */
};

/* ---- Making ---------------------------------------------------------------------------------------------------- */

static void room_init(room *r, size_t n) {
    size_t count = n + 1;
    float *floats = mem_alloc(10 * count * sizeof *floats);
    float **parts[] = {&r->s, &r->gain, &r->win, &r->lose, &r->gradient, &r->hessian, &r->push, &r->curve, &r->delta, &r->rho};
    for (size_t i = 0; i < 10; i++) *parts[i] = floats + i * count;
    r->scratch = mem_alloc(2 * count * sizeof *r->scratch);
    r->order = mem_alloc(3 * count * sizeof *r->order);
    r->wanted = r->order + count;
    r->place = r->order + 2 * count;
}

static void room_release(room *r) {
    free(r->s);
    free(r->scratch);
    free(r->order);
}

static bool group_has_pair(const lambda_pairs *p, size_t g) {
    for (size_t row = p->rows->first[g] + 1; row < p->rows->first[g + 1]; row++)
        if (p->gain[row] != p->gain[row - 1]) return true;
    return false;
}

static void look_at_rows(lambda_pairs *p) {
    const rank_rows *rows = p->rows;
    double clip = p->settings.weight_clip;
    for (size_t row = 0; row < rows->n_rows; row++) {
        double weight = rows->weight ? (double)rows->weight[row] : 1;
        p->gain[row] = (float)ndcg_gain_of(p->settings.gain, rows->label[row]);
        p->with_gain += p->gain[row] > 0;
        p->clipped += p->gain[row] > 0 && clip > 0 && weight > clip;
        p->weight[row] = (float)(clip > 0 && weight > clip ? clip : weight);
        if (rows->position && rows->position[row] > p->n_positions) p->n_positions = rows->position[row];
    }
    if (p->n_positions > LAMBDAMART_MOST_POSITIONS) p->n_positions = LAMBDAMART_MOST_POSITIONS;
    for (size_t g = 0; g < rows->n_groups; g++) {
        size_t n = rows->first[g + 1] - rows->first[g];
        if (n > p->largest) p->largest = n;
        p->informative += group_has_pair(p, g);
    }
    if (!p->settings.debias) p->n_positions = 0;
}

static void make_blocks(lambda_pairs *p) {
    const rank_rows *rows = p->rows;
    size_t share = rows->n_rows / BLOCKS + 1;
    for (size_t g = 0; g < rows->n_groups;) {
        block *b = &p->blocks[p->n_blocks++];
        size_t start = rows->first[g];
        b->first_group = g++;
        while (g < rows->n_groups && (p->n_blocks == BLOCKS || rows->first[g] - start < share)) g++;
        b->end_group = g;
        if (!p->n_positions) continue;
        b->cost_plus = mem_zalloc(2 * ((size_t)p->n_positions + 1), sizeof *b->cost_plus);
        b->cost_minus = b->cost_plus + p->n_positions + 1;
    }
}

lambda_pairs *lambda_pairs_create(const rank_rows *rows, const lambdamart_settings *settings) {
    lambda_pairs *p = mem_zalloc(1, sizeof *p);
    p->rows = rows;
    p->settings = *settings;
    p->gain = mem_alloc((2 * rows->n_rows + 1) * sizeof *p->gain);
    p->weight = p->gain + rows->n_rows;
    look_at_rows(p);
    p->ideal = mem_alloc(rows->n_groups * sizeof *p->ideal);
    ndcg_ideals(rows, &(ndcg_options){.gain = settings->gain, .cutoff = settings->truncation}, p->ideal);
    p->discount = mem_alloc((p->largest + 1) * sizeof *p->discount);
    for (size_t i = 0; i <= p->largest; i++) p->discount[i] = (float)ndcg_discount(i + 1);
    p->t_plus = mem_alloc(2 * ((size_t)p->n_positions + 1) * sizeof *p->t_plus);
    p->t_minus = p->t_plus + p->n_positions + 1;
    lambda_pairs_forget(p);
    make_blocks(p);
    p->n_rooms = rows->n_rows < PARALLEL_ROWS ? 1 : settings->trees.threads;
    p->rooms = mem_zalloc(p->n_rooms, sizeof *p->rooms);
    for (uint32_t i = 0; i < p->n_rooms; i++) room_init(&p->rooms[i], p->largest);
    if (p->n_rooms > 1) p->pool = os_pool_create(p->n_rooms - 1, p->n_rooms);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->finished, NULL);
    return p;
}

void lambda_pairs_destroy(lambda_pairs *p) {
    if (!p) return;
    os_pool_destroy(p->pool);
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->finished);
    for (uint32_t i = 0; i < p->n_rooms; i++) room_release(&p->rooms[i]);
    for (size_t i = 0; i < p->n_blocks; i++) free(p->blocks[i].cost_plus);
    free(p->rooms);
    free(p->gain);
    free(p->ideal);
    free(p->discount);
    free(p->t_plus);
    free(p);
}

void lambda_pairs_forget(lambda_pairs *p) {
    for (uint32_t i = 0; i <= p->n_positions; i++) p->t_plus[i] = p->t_minus[i] = 1;
}

uint64_t lambda_pairs_count(const lambda_pairs *p) { return p->pairs; }
size_t lambda_pairs_informative(const lambda_pairs *p) { return p->informative; }
double lambda_pairs_clipped(const lambda_pairs *p) {
    return p->with_gain ? (double)p->clipped / (double)p->with_gain : 0;
}

uint32_t lambda_pairs_biases(const lambda_pairs *p, const float **t_plus, const float **t_minus) {
    *t_plus = p->t_plus + 1;
    *t_minus = p->t_minus + 1;
    return p->n_positions;
}

/* ---- One pair -------------------------------------------------------------------------------------------------- */

/* e^x to 1e-6 of itself, without a branch or a call: 2^y = 2^whole × 2^rest, the latter by its series around 0. */
static inline float quick_exp(float x) {
    float y = x * 1.44269504f;
    y = y < -120 ? -120 : y;
    y = y > 120 ? 120 : y;
    int32_t whole = (int32_t)(y + 512.5f) - 512; /* nearest, as y + 512 is positive */
    float r = (y - (float)whole) * .69314718f;
    float power = 1 + r * (1 + r * (.5f + r * (.16666667f + r * (.041666667f + r * (.0083333333f + r * .0013888889f)))));
    union {
        uint32_t bits;
        float value;
    } scale = {(uint32_t)(whole + 127) << 23};
    return power * scale.value;
}

typedef struct pair_rule {
    float sigma, ideal; /* ideal: its inverse */
    float soften;       /* normalised: .01 and 1, else 1 and 0: delta / (soften + slope |s_i − s_j|) */
    float slope;
} pair_rule;

/* The pair of the rows at ranks i < j. delta: what exchanging them would change NDCG; rho; push: sigma × delta × rho, above 0 when i
 * should be above j; curve: the second derivative. Neither counts weights. */
static inline void look_at_pair(const room *r, const float *discount, pair_rule rule, size_t i, size_t j) {
    float difference = r->gain[i] - r->gain[j], apart = r->s[i] - r->s[j]; /* apart >= 0 */
    float sign = difference > 0 ? 1.0f : -1.0f;
    float delta = difference * sign * (discount[i] - discount[j]) * rule.ideal / (rule.soften + rule.slope * apart);
    float rho = 1 / (1 + quick_exp(rule.sigma * apart * sign));
    float push = rule.sigma * delta * rho;
    r->delta[j] = delta;
    r->rho[j] = rho;
    r->push[j] = push * sign;
    r->curve[j] = rule.sigma * push * (1 - rho);
}

/* ---- One group ------------------------------------------------------------------------------------------------- */

static uint32_t place_of(const lambda_pairs *p, size_t row) {
    uint32_t position = p->rows->position ? p->rows->position[row] : 0;
    return position > p->n_positions ? p->n_positions : position;
}

/* Returns the number of rows with a gain; their ranks are in r->wanted. */
static size_t lay_out(const lambda_pairs *p, room *r, size_t first, size_t n) {
    size_t n_wanted = 0;
    ndcg_order(p->scores + first, n, r->scratch, r->order);
    for (size_t i = 0; i < n; i++) {
        size_t row = first + r->order[i];
        uint32_t place = p->n_positions ? place_of(p, row) : 0;
        r->s[i] = p->scores[row];
        r->gain[i] = p->gain[row];
        r->win[i] = p->weight[row] / p->t_plus[place];
        r->lose[i] = 1 / p->t_minus[place];
        r->place[i] = place;
        if (r->gain[i] > 0) r->wanted[n_wanted++] = (uint32_t)i;
    }
    memset(r->gradient, 0, n * sizeof *r->gradient);
    memset(r->hessian, 0, n * sizeof *r->hessian);
    return n_wanted;
}

/* The costs of pair (i, j) for the biases: of the winner's position over the loser's bias, and the other way round. */
static void count_cost(const lambda_pairs *p, const room *r, block *b, size_t i, size_t j) {
    if (r->push[j] == 0) return;
    size_t winner = r->push[j] > 0 ? i : j, loser = r->push[j] > 0 ? j : i;
    double weight = (double)(r->win[winner] * p->t_plus[r->place[winner]]);
    double cost = weight * (double)r->delta[j] * -log(1 - (double)r->rho[j] + 1e-12);
    b->cost_plus[r->place[winner]] += cost / (double)p->t_minus[r->place[loser]];
    b->cost_minus[r->place[loser]] += cost / (double)p->t_plus[r->place[winner]];
}

/* Adds the pairs of i with the ranks from..end, or with the listed ones. Returns the sum of the unweighted pushes' sizes. */
static double add_below(const lambda_pairs *p, const room *r, pair_rule rule, size_t i, size_t n) {
    float gradient = 0, hessian = 0, win = r->win[i], lose = r->lose[i], size = 0;
    for (size_t j = i + 1; j < n; j++) look_at_pair(r, p->discount, rule, i, j);
    for (size_t j = i + 1; j < n; j++) {
        float weight = r->push[j] > 0 ? win * r->lose[j] : r->win[j] * lose;
        r->gradient[j] += r->push[j] * weight;
        r->hessian[j] += r->curve[j] * weight;
        gradient -= r->push[j] * weight;
        hessian += r->curve[j] * weight;
        size += fabsf(r->push[j]);
    }
    r->gradient[i] += gradient;
    r->hessian[i] += hessian;
    return (double)size;
}

static double add_listed(const lambda_pairs *p, const room *r, pair_rule rule, size_t i, const uint32_t *ranks, size_t n) {
    double size = 0;
    for (size_t k = 0; k < n; k++) {
        size_t j = ranks[k];
        look_at_pair(r, p->discount, rule, i, j);
        float weight = r->win[j] * r->lose[i]; /* i has no gain: j wins */
        r->gradient[j] += r->push[j] * weight;
        r->hessian[j] += r->curve[j] * weight;
        r->gradient[i] -= r->push[j] * weight;
        r->hessian[i] += r->curve[j] * weight;
        size += (double)fabsf(r->push[j]);
    }
    return size;
}

/* Rows without a gain have no pair among themselves, and they are most: one of them is paired with the listed others. */
static double add_pairs(const lambda_pairs *p, room *r, block *b, pair_rule rule, size_t n, size_t n_wanted) {
    size_t truncation = p->settings.truncation < n ? p->settings.truncation : n, above = 0;
    double size = 0;
    for (size_t i = 0; i < truncation; i++) {
        bool listed = r->gain[i] <= 0;
        if (!listed) above++;
        const uint32_t *ranks = r->wanted + above;
        size_t n_listed = n_wanted - above;
        size += listed ? add_listed(p, r, rule, i, ranks, n_listed) : add_below(p, r, rule, i, n);
        b->pairs += listed ? n_listed : n - i - 1;
        if (!p->n_positions) continue;
        for (size_t k = 0; listed && k < n_listed; k++) count_cost(p, r, b, i, ranks[k]);
        for (size_t j = i + 1; !listed && j < n; j++) count_cost(p, r, b, i, j);
    }
    return size;
}

static bool is_drawn(const lambda_pairs *p, size_t g) {
    uint64_t key = g;
    if (p->settings.group_share >= 1) return true;
    return (double)(hash64(&key, sizeof key, p->round_seed) >> 11) * 0x1p-53 < p->settings.group_share;
}

static void do_group(const lambda_pairs *p, room *r, block *b, size_t g) {
    size_t first = p->rows->first[g], n = p->rows->first[g + 1] - first;
    float weight = p->rows->group_weight ? p->rows->group_weight[g] : 1;
    memset(p->gradient + first, 0, n * sizeof *p->gradient);
    memset(p->hessian + first, 0, n * sizeof *p->hessian);
    if (!(p->ideal[g] > 0) || weight <= 0 || !is_drawn(p, g)) return;
    size_t n_wanted = lay_out(p, r, first, n);
    bool soften = p->settings.normalise && r->s[0] > r->s[n - 1];
    pair_rule rule = {(float)p->settings.sigma, (float)(1 / p->ideal[g]), soften ? .01f : 1, soften};
    double size = 2 * add_pairs(p, r, b, rule, n, n_wanted);
    if (p->settings.normalise && size > 0) weight *= (float)(log2(1 + size) / size);
    for (size_t i = 0; i < n; i++) {
        p->gradient[first + r->order[i]] = weight * r->gradient[i];
        p->hessian[first + r->order[i]] = weight * r->hessian[i];
    }
}

/* ---- All groups ------------------------------------------------------------------------------------------------ */

static void work(lambda_pairs *p) {
    room *r = &p->rooms[atomic_fetch_add(&p->next_room, 1)];
    for (size_t i; (i = atomic_fetch_add(&p->next_block, 1)) < p->n_blocks;) {
        block *b = &p->blocks[i];
        b->pairs = 0;
        if (p->n_positions) memset(b->cost_plus, 0, 2 * ((size_t)p->n_positions + 1) * sizeof *b->cost_plus);
        for (size_t g = b->first_group; g < b->end_group; g++) do_group(p, r, b, g);
    }
}

static void work_in_pool(void *argument) {
    lambda_pairs *p = argument;
    work(p);
    pthread_mutex_lock(&p->mutex);
    if (--p->running == 0) pthread_cond_signal(&p->finished);
    pthread_mutex_unlock(&p->mutex);
}

static void work_together(lambda_pairs *p) {
    for (uint32_t i = 1; i < p->n_rooms; i++) {
        pthread_mutex_lock(&p->mutex);
        p->running++;
        pthread_mutex_unlock(&p->mutex);
        if (os_pool_submit(p->pool, work_in_pool, p)) continue;
        pthread_mutex_lock(&p->mutex);
        p->running--;
        pthread_mutex_unlock(&p->mutex);
    }
    work(p);
    pthread_mutex_lock(&p->mutex);
    while (p->running) pthread_cond_wait(&p->finished, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

/* Hu et al. 2019, equations 30 and 31: the costs at a position over those at the first, to the power of 1 / (1 + regularisation).
 * A position without a pair keeps its bias. */
static void move_bias(const lambda_pairs *p, float *t, bool plus) {
    double first = 0, power = 1 / (1 + p->settings.debias_regularisation);
    for (uint32_t position = 0; position <= p->n_positions; position++) {
        double cost = 0;
        for (size_t i = 0; i < p->n_blocks; i++)
            cost += plus ? p->blocks[i].cost_plus[position] : p->blocks[i].cost_minus[position];
        if (position == 1) first = cost;
        if (position < 1 || !(first > 0) || !(cost > 0)) continue;
        float bias = (float)pow(cost / first, power);
        t[position] = bias < LEAST_BIAS ? LEAST_BIAS : bias > 1 / LEAST_BIAS ? 1 / LEAST_BIAS : bias;
    }
}

void lambda_pairs_compute(lambda_pairs *p, const float *scores, uint64_t round_seed, float *gradient, float *hessian) {
    p->scores = scores;
    p->gradient = gradient;
    p->hessian = hessian;
    p->round_seed = round_seed;
    atomic_store(&p->next_block, 0);
    atomic_store(&p->next_room, 0);
    work_together(p);
    for (size_t i = 0; i < p->n_blocks; i++) p->pairs += p->blocks[i].pairs;
    if (!p->n_positions) return;
    move_bias(p, p->t_plus, true);
    move_bias(p, p->t_minus, false);
}
