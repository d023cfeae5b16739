#include "simulate/simulation_internal.h"

#include "base/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US ((int64_t)86400 * 1000000)
#define PATIENCE_MS 60000 /* no strategy is ever late: the same seed gives the same pages on any machine */

void simulation_config_default(simulation_config *c) {
    *c = (simulation_config){.customers = 5000,
                             .page = 10,
                             .compare_every = 10,
                             .points = 50,
                             .days = 14,
                             .rules = {SLICE("fixed"), SLICE("all"), SLICE("rrf-equal")},
                             .n_rules = 3};
    population_config_default(&c->population);
    c->population.seed = 1;
    click_model_named(SLICE("pbm"), &c->clicks, NULL);
}

static forage_status check_population(const population_config *p, uint32_t n_customers, base_error *error) {
    double shares = 0;
    for (int s = 0; s < QUERY_STYLES; s++) {
        if (!(p->styles[s] >= 0 && p->styles[s] <= 1))
            return error_set(error, FORAGE_E_INVALID, "\"styles\", \"%s\": expected a share from 0 to 1",
                             query_style_names[s]);
        shares += p->styles[s];
    }
    if (!(shares > 0)) return error_set(error, FORAGE_E_INVALID, "\"styles\": one of them must be above 0");
    if (p->users < 1 || p->users > 10000000)
        return error_set(error, FORAGE_E_INVALID, "\"users\": expected 1 to 10000000");
    for (uint32_t i = 0; i < p->n_drifts; i++)
        if (p->drift_at[i] < 1 || p->drift_at[i] >= n_customers || (i && p->drift_at[i] <= p->drift_at[i - 1]))
            return error_set(error, FORAGE_E_INVALID, "\"drift_at\": expected growing numbers from 1 to %u, got %u",
                             n_customers - 1, p->drift_at[i]);
    if (!(p->drift_share >= 0 && p->drift_share <= 1))
        return error_set(error, FORAGE_E_INVALID, "\"drift_share\": expected a share from 0 to 1");
    if (!(p->season_strength >= 0 && p->season_strength <= 10))
        return error_set(error, FORAGE_E_INVALID, "\"season_strength\": expected a number from 0 to 10");
    return FORAGE_OK;
}

forage_status simulation_config_check(const simulation_config *c, base_error *error) {
    if (c->customers < 1 || c->customers > SIMULATION_MAX_CUSTOMERS)
        return error_set(error, FORAGE_E_INVALID, "\"customers\": expected 1 to %d, got %u", SIMULATION_MAX_CUSTOMERS,
                         c->customers);
    if (c->page < 1 || c->page > SIMULATION_MAX_PAGE)
        return error_set(error, FORAGE_E_INVALID, "\"page\": expected 1 to %d", SIMULATION_MAX_PAGE);
    if (c->points < 1 || c->points > SIMULATION_MAX_POINTS)
        return error_set(error, FORAGE_E_INVALID, "\"points\": expected 1 to %d", SIMULATION_MAX_POINTS);
    if (!(c->days >= 0 && c->days <= 3650)) return error_set(error, FORAGE_E_INVALID, "\"days\": expected 0 to 3650");
    if (c->n_rules > SIMULATION_MAX_RULES)
        return error_set(error, FORAGE_E_INVALID, "\"compare\": at most %d policies", SIMULATION_MAX_RULES);
    forage_status status = check_population(&c->population, c->customers, error);
    return status ? status : click_model_check(&c->clicks, error);
}

/* ---- A run ---- */

typedef struct running {
    simulation *s;
    funnel *funnel;
    sim_catalogue *catalogue;
    population *population;
    int64_t start, step; /* of simulated time, microseconds */
    arena memory;        /* of one customer */
    char user[64], session[96];
    slice strong; /* this customer's stronger action, and what it adds to a click; empty: none */
    double more;
} running;

static void find_actions(simulation *s, const schema *told) {
    const feedback_reward *click = NULL;
    for (uint32_t i = 0; i < told->n_rewards; i++) {
        const feedback_reward *r = &told->rewards[i];
        bool named = strcmp(r->action, "click") == 0;
        if (!click || named || (strcmp(click->action, "click") != 0 && r->reward < click->reward)) click = r;
    }
    if (!click) return;
    s->click_action = arena_slice(&s->memory, slice_of(click->action));
    s->click_reward = click->reward;
    for (uint32_t i = 0; i < told->n_rewards; i++) {
        if (!(told->rewards[i].reward > click->reward)) continue;
        s->strong_actions[s->n_strong] = arena_slice(&s->memory, slice_of(told->rewards[i].action));
        s->strong_rewards[s->n_strong++] = told->rewards[i].reward;
    }
}

/* Counters of the engine, as everybody sees them in the stats. */
static void note_point(running *r, uint32_t customers) {
    simulation *s = r->s;
    simulation_point *p = &s->points[s->n_points++];
    const simulation_point *before = p == s->points ? NULL : p - 1;
    buffer text = {0};
    json_value *stats;
    json_writer w = json_writer_of(&text);
    *p = (simulation_point){.customers = customers, .events = s->events};
    for (uint32_t i = before ? before->customers : 0; i < customers; i++) {
        p->reward += (double)s->reward[i];
        p->expected += s->expected[i];
    }
    if (before) p->reward += before->reward, p->expected += before->expected;
    arena_reset(&r->memory);
    funnel_write_stats(r->funnel, &w);
    const json_value *list = json_read(&r->memory, (slice){text.data, text.size}, &stats, NULL)
                                 ? NULL
                                 : json_get(json_get(stats, "policy"), "strategies");
    const json_value *searches = list ? json_get(stats, "impressions") : NULL;
    p->searches = searches && searches->integral ? (uint64_t)searches->integer : 0;
    for (const json_value *v = list ? list->first : NULL; v && p->n_strategies < SIMULATION_MAX_STRATEGIES;
         v = v->next) {
        simulation_strategy *strategy = &p->strategies[p->n_strategies++];
        slice name = {0};
        int64_t asked = 0;
        double depth = 0;
        json_member_string(v, "name", &name, NULL);
        json_member_integer(v, "searches", 0, INT64_MAX, &asked, NULL);
        json_member_number(v, "mean_depth", 0, 1e12, &depth, NULL);
        snprintf(strategy->name, sizeof strategy->name, "%.*s", SLICE_ARG(name));
        strategy->asked = (uint64_t)asked;
        strategy->depth = (uint64_t)(depth * (double)asked + .5);
    }
    buffer_release(&text);
}

typedef struct page {
    funnel_answer *answer;
    const funnel_hit *hits;
    size_t n;
    double relevance[SIMULATION_MAX_PAGE], expected;
    size_t candidates;
} page;

static forage_status ask(running *r, const customer *who, slice policy, bool log, page *out, base_error *error) {
    const simulation_config *config = &r->s->config;
    const uint32_t *documents;
    funnel_request request;
    funnel_request_default(&request);
    request.query = who->query;
    request.user = slice_of(r->user);
    request.session = slice_of(r->session);
    request.limit = config->page;
    request.policy = policy;
    request.log = log;
    request.seed = who->seed;
    request.timeout_ms = PATIENCE_MS;
    request.time = r->start + r->step * who->number;
    forage_status status = funnel_search(r->funnel, &request, &out->answer, error);
    if (status) return status;
    out->n = funnel_answer_hits(out->answer, &out->hits);
    out->candidates = funnel_answer_union(out->answer, &documents);
    for (size_t i = 0; i < out->n; i++) {
        uint32_t attributes[SIM_MAX_ATTRIBUTES];
        size_t n = sim_catalogue_attributes(r->catalogue, out->hits[i].source, &r->memory, attributes);
        out->relevance[i] = population_relevance(r->population, who, out->hits[i].document, attributes, n);
    }
    out->expected = click_model_reward(&config->clicks, out->relevance, out->n, (double)r->s->click_reward, r->more);
    return FORAGE_OK;
}

/* What the customer does with the page, told to the engine. */
static forage_status act(running *r, const customer *who, const page *p, random_source *random, base_error *error) {
    simulation *s = r->s;
    click_deed deeds[SIMULATION_MAX_PAGE];
    feedback_event events[2 * SIMULATION_MAX_PAGE];
    funnel_event_result results[2 * SIMULATION_MAX_PAGE];
    size_t n = 0;
    int64_t time = r->start + r->step * who->number;
    slice query_id = arena_slice(&r->memory, funnel_answer_query_id(p->answer));
    click_model_draw(&s->config.clicks, p->relevance, p->n, random, deeds);
    for (size_t i = 0; i < p->n && query_id.size; i++) {
        if (!deeds[i].clicked) continue;
        bool more = deeds[i].committed && r->strong.size;
        feedback_event e = {.query_id = query_id,
                            .action = s->click_action,
                            .document = p->hits[i].id,
                            .user = slice_of(r->user),
                            .session = slice_of(r->session)};
        e.time = time += 1000000 + (int64_t)random_below(random, 20000000);
        events[n++] = e;
        s->reward[who->number] += s->click_reward + (more ? (float)r->more : 0);
        if (!more) continue;
        e.action = r->strong;
        e.time = time += 1000000 + (int64_t)random_below(random, 60000000);
        events[n++] = e;
    }
    memset(results, 0, n * sizeof *results);
    if (!n) { /* so that the next search finds the engine having learned from this one */
        store_wait(collection_store(funnel_collection(r->funnel)));
        return FORAGE_OK;
    }
    forage_status status = funnel_record(r->funnel, events, n, results, error);
    for (size_t i = 0; !status && i < n; i++) {
        if (results[i].status && !s->refused) memcpy(s->refusal, results[i].message, sizeof s->refusal);
        s->refused += results[i].status != FORAGE_OK;
        s->events += results[i].status == FORAGE_OK;
    }
    return status;
}

static forage_status compare(running *r, const customer *who, base_error *error) {
    simulation *s = r->s;
    for (uint32_t i = 0; i < s->config.n_rules; i++) {
        page p;
        forage_status status = ask(r, who, s->config.rules[i], false, &p, error);
        if (status) return error_prefix(error, "\"compare\"");
        s->compared[i + 1][s->n_compared] = p.expected;
        s->candidates[i + 1] += (double)p.candidates;
        funnel_answer_release(p.answer);
    }
    return FORAGE_OK;
}

static forage_status serve(running *r, uint32_t number, base_error *error) {
    simulation *s = r->s;
    customer who;
    page p;
    random_source random;
    arena_reset(&r->memory);
    population_next(r->population, &r->memory, &who);
    snprintf(r->user, sizeof r->user, "simulated-%llu-%u", (unsigned long long)s->config.population.seed, who.user);
    snprintf(r->session, sizeof r->session, "%s-%u", r->user, number);
    random_seed(&random, who.seed);
    uint32_t strong = s->n_strong ? (uint32_t)random_below(&random, s->n_strong) : 0;
    r->strong = s->n_strong ? s->strong_actions[strong] : (slice){0};
    r->more = s->n_strong ? (double)(s->strong_rewards[strong] - s->click_reward) : 0;
    bool compared = s->config.compare_every && s->config.n_rules && number % s->config.compare_every == 0;
    forage_status status = compared ? compare(r, &who, error) : FORAGE_OK;
    if (!status) status = ask(r, &who, s->config.policy, true, &p, error);
    if (status) return status;
    s->expected[number] = p.expected;
    s->style[number] = (uint8_t)who.style;
    s->events_before[number] = (uint32_t)s->events;
    if (compared) {
        s->compared[0][s->n_compared] = p.expected;
        s->candidates[0] += (double)p.candidates;
        s->compared_at[s->n_compared++] = number;
    }
    status = act(r, &who, &p, &random, error);
    funnel_answer_release(p.answer);
    return status;
}

/* ---- From begin to end ---- */

static simulation *simulation_create(const simulation_config *config, const schema *told) {
    simulation *s = mem_zalloc(1, sizeof *s);
    uint32_t n = config->customers, compared = config->compare_every ? n / config->compare_every + 1 : 0;
    s->config = *config;
    arena_init(&s->memory, 0);
    for (uint32_t i = 0; i < config->n_rules; i++) s->config.rules[i] = arena_slice(&s->memory, config->rules[i]);
    s->config.policy = arena_slice(&s->memory, config->policy.size ? config->policy : slice_of(told->policy));
    s->expected = mem_zalloc(n, sizeof *s->expected);
    s->reward = mem_zalloc(n, sizeof *s->reward);
    s->events_before = mem_zalloc(n, sizeof *s->events_before);
    s->style = mem_zalloc(n, sizeof *s->style);
    for (uint32_t i = 0; i <= config->n_rules; i++) s->compared[i] = mem_zalloc(compared + 1, sizeof *s->compared[i]);
    s->compared_at = mem_zalloc(compared + 1, sizeof *s->compared_at);
    s->points = mem_zalloc(config->points + 2, sizeof *s->points);
    find_actions(s, told);
    return s;
}

static forage_status run_all(running *r, base_error *error) {
    simulation *s = r->s;
    uint32_t n = s->config.customers, points = s->config.points < n ? s->config.points : n;
    forage_status status = FORAGE_OK;
    note_point(r, 0);
    for (uint32_t i = 0; !status && i < n; i++) {
        status = serve(r, i, error);
        if (!status && (uint64_t)s->n_points * n <= (uint64_t)(i + 1) * points) note_point(r, i + 1);
    }
    return status;
}

forage_status simulation_run(funnel *f, const simulation_config *config, simulation **out, base_error *error) {
    collection *c = funnel_collection(f);
    const os_clock *clock = collection_clock(c);
    int64_t began = clock_monotonic(clock), until = config->until ? config->until : clock_wall(clock);
    running r = {.funnel = f};
    forage_status status = simulation_config_check(config, error);
    if (status) return status;
    arena_init(&r.memory, 0);
    r.s = simulation_create(config, collection_schema(c));
    r.step = (int64_t)(config->days * (double)DAY_US / config->customers);
    r.start = until - r.step * config->customers;
    if (!r.s->click_action.size)
        status = error_set(error, FORAGE_E_INVALID, "the schema rewards no action, so customers can do nothing");
    if (!status) status = sim_catalogue_create(c, config->population.seed, &r.catalogue, error);
    if (!status) {
        r.population = population_create(r.catalogue, &config->population);
        r.s->documents = r.catalogue->n_documents;
        status = run_all(&r, error);
    }
    r.s->seconds = (double)(clock_monotonic(clock) - began) / 1e6;
    population_destroy(r.population);
    sim_catalogue_destroy(r.catalogue);
    arena_release(&r.memory);
    if (status) simulation_destroy(r.s);
    else *out = r.s;
    return status;
}

void simulation_destroy(simulation *s) {
    if (!s) return;
    free(s->expected);
    free(s->reward);
    free(s->events_before);
    free(s->style);
    for (uint32_t i = 0; i <= SIMULATION_MAX_RULES; i++) free(s->compared[i]);
    free(s->compared_at);
    free(s->points);
    arena_release(&s->memory);
    free(s);
}
