#include "simulate/population.h"

#include "base/hash.h"
#include "simulate/query_style.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BY_TASTE .6          /* share of intents that a taste leads to */
#define ATTRIBUTE_WILL_DO .5 /* share of those who type attributes */
#define POPULARITY_POWER .9
#define POPULARITY_NOISE 1.0 /* of the logarithm of the rank in the catalogue */
#define SEASON_STEPS 16      /* of one turn */

struct population {
    const sim_catalogue *catalogue;
    population_config config;
    uint32_t next;   /* customer */
    uint32_t drifts; /* that have happened */
    double *base;    /* weight of each document, seasons left out */
    double *weight;  /* now */
    double *total;   /* running sums of weight over documents */
    double *within;  /* the same over each attribute's members */
    double *phase;   /* of each attribute's season */
    double styles;   /* sum of the shares */
};

const char *const query_style_names[QUERY_STYLES] = {"title", "attribute", "ambiguous", "typo", "broad"};

void population_config_default(population_config *c) {
    *c = (population_config){.users = 500,
                             .drift_share = .5,
                             .season_strength = 1,
                             .styles = {[STYLE_TITLE] = .3,
                                        [STYLE_ATTRIBUTE] = .2,
                                        [STYLE_AMBIGUOUS] = .2,
                                        [STYLE_TYPO] = .15,
                                        [STYLE_BROAD] = .15}};
}

/* Independent generators for independent questions. */
enum { OF_POPULARITY, OF_DRIFT, OF_TASTE, OF_CHANGE, OF_CUSTOMER };

static random_source generator(const population *c, uint64_t what, uint64_t which, uint64_t when) {
    const uint64_t key[] = {what, which, when};
    random_source r;
    random_seed(&r, hash64(key, sizeof key, c->config.seed));
    return r;
}

/* ---- Popularity ---- */

typedef struct ranked {
    uint32_t document;
    double key;
} ranked;

static int by_key(const void *left, const void *right) {
    const ranked *a = left, *b = right;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

/* Ranks by the catalogue's popularity, shaken; at random where it knows none. */
static void draw_popularity(population *c) {
    size_t n = c->catalogue->n_documents;
    random_source r = generator(c, OF_POPULARITY, 0, 0);
    ranked *order = mem_alloc((n + 1) * sizeof *order);
    bool known = false;
    for (size_t d = 0; d < n; d++) {
        order[d] = (ranked){(uint32_t)d, -c->catalogue->documents[d].popularity};
        known = known || order[d].key < 0;
    }
    qsort(order, n, sizeof *order, by_key);
    for (size_t i = 0; i < n; i++)
        order[i].key = known ? log((double)i + 2) + POPULARITY_NOISE * random_normal(&r) : random_double(&r);
    qsort(order, n, sizeof *order, by_key);
    for (size_t i = 0; i < n; i++) c->base[order[i].document] = pow((double)i + 5, -POPULARITY_POWER);
    free(order);
}

/* The weights of a share of the documents go to others of them. */
static void drift(population *c) {
    size_t n = 0;
    random_source r = generator(c, OF_DRIFT, c->drifts, 0);
    uint32_t *changed = mem_alloc((c->catalogue->n_documents + 1) * sizeof *changed);
    for (size_t d = 0; d < c->catalogue->n_documents; d++)
        if (random_double(&r) < c->config.drift_share) changed[n++] = (uint32_t)d;
    for (size_t i = n; i > 1; i--) {
        uint32_t a = changed[i - 1], b = changed[random_below(&r, i)];
        double swap = c->base[a];
        c->base[a] = c->base[b];
        c->base[b] = swap;
    }
    free(changed);
}

static double season_of(const population *c, const sim_document *d) {
    if (!c->config.season || !d->n_attributes) return 1;
    uint32_t step = (uint32_t)((uint64_t)c->next * SEASON_STEPS / c->config.season);
    double turn = 2 * M_PI * (step % SEASON_STEPS) / SEASON_STEPS, sum = 0;
    for (uint32_t i = 0; i < d->n_attributes; i++)
        sum += sin(turn + c->phase[c->catalogue->attribute_ids[d->first + i]]);
    return exp(c->config.season_strength * sum / d->n_attributes);
}

static void weigh(population *c) {
    const sim_catalogue *k = c->catalogue;
    double sum = 0;
    for (size_t d = 0; d < k->n_documents; d++) {
        c->weight[d] = c->base[d] * season_of(c, &k->documents[d]);
        c->total[d] = sum += c->weight[d];
    }
    for (size_t a = 0; a < k->n_attributes; a++) {
        sum = 0;
        for (uint32_t i = 0; i < k->attributes[a].n_documents; i++)
            c->within[k->attributes[a].first + i] = sum += c->weight[k->members[k->attributes[a].first + i]];
    }
}

double population_popularity(const population *c, uint32_t document) {
    return c->weight[document] / c->total[c->catalogue->n_documents - 1];
}

/* The first index whose running sum is above a uniform draw. */
static size_t draw_from(const double *sums, size_t n, random_source *r) {
    double at = random_double(r) * sums[n - 1];
    size_t low = 0, high = n - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sums[middle] > at) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* ---- Users ---- */

/* How often this user's tastes were drawn anew. */
static uint32_t changes_of(const population *c, uint32_t user) {
    uint32_t changes = 0;
    for (uint32_t i = 0; i < c->drifts; i++) {
        random_source r = generator(c, OF_CHANGE, user, i);
        changes += random_double(&r) < c->config.drift_share;
    }
    return changes;
}

/* Attributes of documents drawn uniformly, so that wide attributes are liked more often. */
void population_tastes(const population *c, uint32_t user, uint32_t out[POPULATION_TASTES]) {
    const sim_catalogue *k = c->catalogue;
    random_source r = generator(c, OF_TASTE, user, changes_of(c, user));
    for (size_t i = 0; i < POPULATION_TASTES; i++) {
        out[i] = SIM_NONE;
        for (int tries = 0; out[i] == SIM_NONE && k->n_attributes && tries < 20; tries++) {
            const sim_document *d = &k->documents[random_below(&r, k->n_documents)];
            if (d->n_attributes) out[i] = k->attribute_ids[d->first + random_below(&r, d->n_attributes)];
        }
    }
}

/* ---- Customers ---- */

static uint32_t draw_intent(const population *c, uint32_t user, random_source *r) {
    const sim_catalogue *k = c->catalogue;
    uint32_t tastes[POPULATION_TASTES];
    double u = random_double(r);
    population_tastes(c, user, tastes);
    uint32_t liked = tastes[(size_t)(u * u * POPULATION_TASTES)];
    if (random_double(r) >= BY_TASTE || liked == SIM_NONE) return (uint32_t)draw_from(c->total, k->n_documents, r);
    const sim_attribute *attribute = &k->attributes[liked];
    return k->members[attribute->first + draw_from(c->within + attribute->first, attribute->n_documents, r)];
}

static query_style draw_style(const population *c, random_source *r) {
    double at = random_double(r) * c->styles;
    for (int s = 0; s < QUERY_STYLES; s++) {
        if (at < c->config.styles[s]) return (query_style)s;
        at -= c->config.styles[s];
    }
    return STYLE_TITLE;
}

static void move_on(population *c) {
    bool weights = false;
    for (; c->drifts < c->config.n_drifts && c->config.drift_at[c->drifts] <= c->next; c->drifts++) {
        drift(c);
        weights = true;
    }
    uint64_t step = (uint64_t)c->next * SEASON_STEPS;
    bool turned = c->config.season && c->next && step / c->config.season != (step - SEASON_STEPS) / c->config.season;
    if (weights || turned) weigh(c);
}

void population_next(population *c, arena *a, customer *out) {
    move_on(c);
    random_source r = generator(c, OF_CUSTOMER, c->next, 0);
    double u = random_double(&r);
    customer who = {
        .number = c->next++, .user = (uint32_t)(u * u * c->config.users), .attribute = SIM_NONE}; /* some often */
    who.intent = draw_intent(c, who.user, &r);
    who.style = draw_style(c, &r);
    uint32_t named = SIM_NONE;
    who.query = query_style_write(c->catalogue, who.intent, &who.style, &named, &r, a);
    bool will_do = who.style == STYLE_BROAD || (who.style == STYLE_ATTRIBUTE && random_double(&r) < ATTRIBUTE_WILL_DO);
    if (will_do) who.attribute = named;
    do who.seed = random_u64(&r);
    while (!who.seed);
    *out = who;
}

double population_relevance(const population *c, const customer *who, uint32_t number, const uint32_t *attributes,
                            size_t n) {
    const sim_catalogue *k = c->catalogue;
    const sim_document *intent = &k->documents[who->intent];
    if (number == intent->number) return 1;
    double shared = 0, all = 0;
    bool will_do = false;
    for (uint32_t i = 0; i < intent->n_attributes; i++) {
        uint32_t id = k->attribute_ids[intent->first + i];
        size_t j = 0;
        while (j < n && attributes[j] != id) j++;
        all += k->attributes[id].weight;
        if (j == n) continue;
        shared += k->attributes[id].weight;
        will_do = will_do || id == who->attribute;
    }
    double closeness = all > 0 ? shared / all : 0;
    if (who->attribute == SIM_NONE) return .5 * closeness;
    return will_do ? .3 + .7 * closeness : 0;
}

/* ---- Create and destroy ---- */

population *population_create(const sim_catalogue *k, const population_config *config) {
    population *c = mem_zalloc(1, sizeof *c);
    c->catalogue = k;
    c->config = *config;
    c->base = mem_alloc((k->n_documents + 1) * sizeof *c->base);
    c->weight = mem_alloc((k->n_documents + 1) * sizeof *c->weight);
    c->total = mem_alloc((k->n_documents + 1) * sizeof *c->total);
    c->within = mem_alloc((k->n_members + 1) * sizeof *c->within);
    c->phase = mem_alloc((k->n_attributes + 1) * sizeof *c->phase);
    for (int s = 0; s < QUERY_STYLES; s++) c->styles += config->styles[s];
    draw_popularity(c);
    random_source r = generator(c, OF_POPULARITY, 1, 0);
    for (size_t a = 0; a < k->n_attributes; a++) c->phase[a] = 2 * M_PI * random_double(&r);
    weigh(c);
    return c;
}

void population_destroy(population *c) {
    if (!c) return;
    free(c->base);
    free(c->weight);
    free(c->total);
    free(c->within);
    free(c->phase);
    free(c);
}
