/* Training: what a log with a known truth teaches, and what it must not. People click by price; words say nothing. */
#include "ranked_world.h"

#include "train/train_judging.h"
#include "train/train_rows.h"

#define NOW ((int64_t)1700000000 * 1000000)
#define WORDS 60 /* queries: so many that nobody remembers what was chosen after each */
#define ALIKE 8  /* documents of a query */

static world *w;

static double price_of(int word, int place) { return (double)((place * 5 + word) % ALIKE); }

/* Documents of a query differ in price, and in age, which nobody cares for. */
static void import_stones(void) {
    buffer lines = {0};
    for (int q = 0; q < WORDS; q++)
        for (int d = 0; d < ALIKE; d++)
            buffer_printf(&lines, "{\"id\":\"q%dd%d\",\"title\":\"word%d\",\"word\":\"w%d\",\"price\":%g,\"age\":%d}\n", q, d,
                q, q, price_of(q, d), (d * 3 + q) % ALIKE);
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
}

static int begin(void **state) {
    (void)state;
    w = world_begin();
    w->fixed = NOW;
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"price\":{\"type\":\"number\"},\"age\":{\"type\":\"number\"},"
        "\"word\":{\"type\":\"keyword\"}},"
                    "\"rewards\":{\"click\":1},\"ranking\":{\"features\":[\"price\",\"age\"]}}");
    import_stones();
    return 0;
}

static int end(void **state) {
    (void)state;
    ranked_end(w);
    return 0;
}

/* ---- People ---- */

typedef struct people {
    random_source random;
    double taste;   /* how much a click depends on price, from -1 to 1; 0: not at all */
    double power;   /* rank k is looked at with chance k^-power */
    const char *more; /* of the request */
    const char *user; /* NULL: one of fifty */
} people;

static people crowd(uint64_t seed) {
    people p = {.taste = 1, .power = 0, .more = ""};
    random_seed(&p.random, seed);
    return p;
}

static double chance(const people *p, double price) { return .4 + .38 * p->taste * (2 * price / (ALIKE - 1) - 1); }

static void search_once(people *p) {
    int q = (int)random_below(&p->random, WORDS);
    const char *user = p->user ? p->user : arena_printf(&w->memory, "u%d", (int)random_below(&p->random, 50));
    asked *a = ask_open(w, arena_printf(&w->memory,
        "{\"query\":\"word%d\",\"filter\":{\"word\":\"w%d\"},\"policy\":\"all\",\"user\":\"%s\",\"limit\":%d,\"seed\":%u%s}", q, q, user,
                                        ALIKE, (unsigned)random_below(&p->random, 1u << 30) + 1, p->more), 0);
    feedback_event events[ALIKE];
    funnel_event_result results[ALIKE] = {{0}};
    size_t n = 0;
    w->fixed += 1000000;
    for (size_t i = 0; i < a->answer->n_hits; i++) {
        int place = atoi(strchr(a->answer->hits[i].id.data, 'd') + 1);
        bool looks = random_double(&p->random) < pow((double)i + 1, -p->power);
        if (!(random_double(&p->random) < chance(p, price_of(q, place)) && looks)) continue;
        events[n++] = (feedback_event){.query_id = funnel_answer_query_id(a->answer), .action = SLICE("click"),
            .document = a->answer->hits[i].id,
                                       .user = slice_of(user), .time = w->fixed};
    }
    base_error error = {0};
    if (n && funnel_record(w->funnel, events, n, results, &error)) fail_msg("%s", error.message);
    asked_end(a);
}

static void live(people *p, int searches) {
    for (int i = 0; i < searches; i++) search_once(p);
    store_wait(collection_store(w->collection));
}

/* ---- Training ---- */

static train_settings quick(pick_kind kind) {
    train_settings s;
    train_settings_default(&s);
    s.fit.kind = kind;
    s.fit.trees.rounds = 40;
    s.fit.trees.trees.max_leaves = 6;
    s.fit.trees.trees.eta = .2;
    s.fit.trees.trees.threads = 1;
    return s;
}

static train_result train(const train_settings *s) {
    train_result r = {0};
    base_error error = {0};
    if (train_run(w->funnel, s, NULL, NULL, &r, &error)) fail_msg("%s", error.message);
    return r;
}

static const json_value *report_of(train_result *r) {
    const json_value *json = parse(&w->memory, arena_strndup(&w->memory, r->report.data, r->report.size));
    buffer_release(&r->report);
    return json;
}

/* How well a ranker orders every query's documents by price: mean of DCG over the best, 1 is all. */
static double order_by_price(const char *name) {
    double sum = 0;
    for (int q = 0; q < WORDS; q++) {
        asked *a = ask_open(w, arena_printf(&w->memory,
            "{\"query\":\"word%d\",\"filter\":{\"word\":\"w%d\"},\"policy\":\"all\",\"limit\":%d,\"log\":false,"
                "\"ranker\":\"%s\",\"seed\":1}",
                                            q, q, ALIKE, name), 0);
        double dcg = 0, best = 0;
        assert_int_equal(a->answer->n_hits, ALIKE);
        for (int i = 0; i < ALIKE; i++) {
            dcg += price_of(q, atoi(strchr(a->answer->hits[i].id.data, 'd') + 1)) / log2(2 + i);
            best += (ALIKE - 1 - i) / log2(2 + i);
        }
        asked_end(a);
        sum += dcg / best;
    }
    return sum / WORDS;
}

static double order_of_model(uint64_t number) { return order_by_price(arena_printf(&w->memory, "model:%d", (int)number)); }

static void a_better_ranker_is_found_and_serves(void **state) {
    (void)state;
    people p = crowd(1);
    live(&p, 400);
    train_settings s = quick(PICK_BEST);
    train_result r = train(&s);
    const json_value *report = report_of(&r);
    assert_true(r.activated && !r.cancelled && r.model == 1);
    assert_int_equal(funnel_active_model(w->funnel), 1);
    assert_true(order_of_model(1) > .97);
    assert_true(true_at(report, "wins"));
    assert_non_null(strstr(text_at(report, "verdict"), "wins"));
    assert_float_equal(number_at(report, "data.searches"), 400, 0);
    assert_float_equal(number_at(report, "data.trained_on") + number_at(report, "data.stopped_by") + number_at(report, "data.judged_by"),
                       number_at(report, "data.with_feedback"), 0);
    assert_true(number_at(report, "held_out.model.value") > number_at(report, "held_out.incumbent.value"));
    assert_true(number_at(report, "held_out.difference.low") > 0);
    assert_string_equal(text_at(report, "held_out.incumbent_ranker"), "linear");
    assert_true(number_at(report, "calibration.slope") > 0);
    funnel_model m;
    assert_ok(funnel_model_get(w->funnel, 1, &w->memory, &m, NULL));
    assert_string_equal(text_at(parse(&w->memory, arena_strndup(&w->memory, m.report.data, m.report.size)), "verdict"),
        text_at(report, "verdict"));
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    assert_ok(funnel_model_importance(&m, &writer, NULL));
    assert_non_null(named(parse(&w->memory, buffer_text(&text)), "feature", "field.price")); /* by our name, whatever its kind */
    buffer_release(&text);
    /* Once more: there is nothing better than what serves now. */
    r = train(&s);
    report = report_of(&r);
    assert_false(r.activated);
    assert_string_equal(text_at(report, "held_out.incumbent_ranker"), "model:1");
    assert_int_equal(funnel_active_model(w->funnel), 1);
    s.activate = false;
    (void)funnel_model_activate(w->funnel, 0, NULL);
    r = train(&s);
    buffer_release(&r.report);
    assert_false(r.activated);
    assert_int_equal(funnel_active_model(w->funnel), 0);
}

/* People who click whatever it is: whoever wins there has learned from chance. */
static void nothing_is_activated_where_nothing_differs(void **state) {
    uint32_t activated = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        if (seed > 1) begin(state);
        people p = crowd(seed * 77);
        p.taste = 0;
        p.power = 1;
        p.more = ",\"explore\":{\"temperature\":0.5,\"top\":8}";
        live(&p, 150);
        train_settings s = quick(PICK_BEST);
        s.seed = seed;
        train_result r = train(&s);
        activated += r.activated;
        buffer_release(&r.report);
        if (seed < 5) end(state);
    }
    assert_true(activated <= 1);
}

/* What serves puts the old first, and people look at the top: naive training takes that for a taste. */
static void debiased_training_sees_past_the_order_that_served(void **state) {
    (void)state;
    assert_ok(funnel_model_activate(w->funnel, add_linear(w, "field.age", 1), NULL));
    people p = crowd(3);
    p.power = 1.5;
    p.more = ",\"explore\":{\"temperature\":2.5,\"top\":8}";
    live(&p, 700);
    train_settings s = quick(PICK_LINEAR);
    s.activate = false;
    train_result harvest = train(&s);
    s.debias = TRAIN_DEBIAS_NONE;
    train_result naive = train(&s);
    s.debias = TRAIN_DEBIAS_EM;
    train_result em = train(&s);
    double debiased = order_of_model(harvest.model), biased = order_of_model(naive.model), by_em = order_of_model(em.model);
    if (!(debiased > biased + .02)) fail_msg("debiased %.4f, naive %.4f, EM %.4f", debiased, biased, by_em);
    assert_true(by_em > biased);
    const json_value *report = report_of(&harvest);
    assert_string_equal(text_at(report, "position_bias.debias"), "harvest");
    double third = number_at(report, "position_bias.curve.ranks.2.estimate"); /* 3^-1.5 is .19 */
    assert_true(third > .09 && third < .4);
    assert_true(number_at(report, "position_bias.clicked") > 0);
    examination_curve curve;
    assert_ok(train_examination(w->funnel, EXAMINATION_HARVEST, &curve, NULL));
    assert_true(fabs(curve.ranks[2].estimate - third) < 1e-6);
    buffer_release(&naive.report);
    buffer_release(&em.report);
}

/* One who searches all day and likes it cheap, and many who do not. */
static void one_user_is_one_voice(void **state) {
    (void)state;
    people one = crowd(5), many = crowd(6);
    one.user = "loud";
    one.taste = -1;
    for (int i = 0; i < 160; i++) {
        live(&one, 2);
        if (i % 2) live(&many, 1);
    }
    train_settings s = quick(PICK_LINEAR);
    s.activate = false;
    s.user_cap = 5;
    train_result capped = train(&s);
    s.user_cap = 1e9;
    train_result loud = train(&s);
    assert_true(order_of_model(capped.model) > .9);
    assert_true(order_of_model(loud.model) < order_of_model(capped.model) - .15);
    buffer_release(&capped.report);
    buffer_release(&loud.report);
}

/* Those who come last like it cheap: nothing of it is trained on, and by it the model is judged. */
static void what_comes_later_is_not_trained_on(void **state) {
    (void)state;
    people before = crowd(7), after = crowd(8);
    after.taste = -1;
    live(&before, 200);
    live(&after, 50);
    train_settings s = quick(PICK_BEST);
    s.validation = .1;
    s.held_out = .19;
    train_result r = train(&s);
    const json_value *report = report_of(&r);
    assert_true(order_of_model(r.model) > .95);
    assert_false(r.activated);
    assert_true(number_at(report, "held_out.difference.value") < 0);
    train_rows rows;
    size_t first[400];
    rank_rows part;
    assert_ok(train_rows_read(w->funnel, &s, NULL, NULL, &rows, NULL));
    size_t cut = rows.n_groups - 20;
    train_rows_view(&rows, 0, cut, NULL, first, &part);
    assert_int_equal(part.n_groups, cut);
    assert_int_equal(part.n_rows, rows.first[cut]);
    assert_int_equal(first[cut], part.n_rows);
    for (size_t g = 1; g < rows.n_groups; g++) assert_true(rows.time[g] > rows.time[g - 1] && rows.sequence[g] > rows.sequence[g - 1]);
    train_rows_release(&rows);
}

/* ---- Stopping, and too little ---- */

typedef struct stopping {
    train_phase at;
    int calls, after;
    bool stopped;
} stopping;

static bool stop_at(void *self, const train_progress *p) {
    stopping *s = self;
    s->calls++;
    s->after += s->stopped;
    assert_true(p->share >= 0 && p->share <= 1.001);
    if (p->phase == s->at) s->stopped = true;
    return !s->stopped;
}

static void a_training_can_be_stopped_anywhere(void **state) {
    (void)state;
    people p = crowd(9);
    funnel_model *models;
    size_t n;
    live(&p, 80);
    for (train_phase at_ = TRAIN_READING; at_ <= TRAIN_JUDGING; at_++) {
        stopping s = {.at = at_};
        train_settings settings = quick(PICK_BEST);
        train_result r = {0};
        assert_ok(train_run(w->funnel, &settings, stop_at, &s, &r, NULL));
        assert_true(r.cancelled && !r.model && !r.activated);
        assert_int_equal(s.after, 0);
        buffer_release(&r.report);
    }
    assert_ok(funnel_models(w->funnel, &w->memory, &models, &n, NULL));
    assert_int_equal(n, 0);
    stopping s = {.at = TRAIN_DONE};
    train_settings settings = quick(PICK_BEST);
    train_result r = {0};
    assert_ok(train_run(w->funnel, &settings, stop_at, &s, &r, NULL));
    assert_true(!r.cancelled && r.model && s.stopped && s.calls > 10);
    buffer_release(&r.report);
}

static void too_little_says_how_much_there_is(void **state) {
    (void)state;
    train_settings s = quick(PICK_BEST);
    train_result r = {0};
    base_error error = {0};
    assert_int_equal(train_run(w->funnel, &s, NULL, NULL, &r, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "0 searches"));
    people p = crowd(10);
    live(&p, 12);
    assert_int_equal(train_run(w->funnel, &s, NULL, NULL, &r, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "at least 30"));
    assert_non_null(strstr(error.message, "12 searches"));
    p.taste = -1;
    live(&p, 30);
    s.since = w->fixed + 1;
    assert_int_equal(train_run(w->funnel, &s, NULL, NULL, &r, &error), FORAGE_E_INVALID);
    world_shut(w);
    collection_options options = {.no_sync = true, .clock = w->clock, .read_only = true};
    assert_ok(collection_open(w->folder, "world", &options, &w->collection, &error));
    assert_ok(funnel_open(w->collection, w->pool, 7, &w->funnel, &error));
    s.since = INT64_MIN;
    assert_int_equal(train_run(w->funnel, &s, NULL, NULL, &r, &error), FORAGE_E_READ_ONLY);
}

/* ---- What is read ---- */

static uint32_t column(const train_rows *t, const char *name) {
    for (uint32_t i = 0; i < t->n_features; i++)
        if (strcmp(t->names[i], name) == 0) return i;
    fail_msg("no column %s", name);
    return 0;
}

/* Logged under an older schema, learned from by names. */
static void older_feature_sets_are_found_by_name(void **state) {
    (void)state;
    people p = crowd(11);
    live(&p, 40);
    world_schema(w, "{\"fields\":{\"stock\":{\"type\":\"number\"}},\"ranking\":{\"features\":[\"stock\",\"price\"]}}");
    live(&p, 40);
    world_reopen(w);
    train_settings s = quick(PICK_LINEAR);
    train_rows rows;
    assert_ok(train_rows_read(w->funnel, &s, NULL, NULL, &rows, NULL));
    assert_int_equal(rows.without_features, 0);
    assert_true(rows.n_groups > 60);
    uint32_t price = column(&rows, "field.price"), stock = column(&rows, "field.stock"), title = column(&rows, "title.bm25");
    for (size_t i = 0; i < rows.n_rows; i++) {
        const float *x = rows.x + i * rows.n_features;
        assert_true(x[price] >= 0 && x[price] < ALIKE);
        assert_true(isnan(x[stock]) && isfinite(x[title]));
        assert_true(rows.position[i] <= ALIKE);
        assert_true(rows.position[i] || rows.label[i] == 0);
    }
    train_rows_release(&rows);
    train_result r = train(&s);
    assert_true(order_of_model(r.model) > .95);
    buffer_release(&r.report);
}

static void what_does_not_fit_is_left_out_from_the_beginning(void **state) {
    (void)state;
    people p = crowd(12);
    live(&p, 200);
    train_settings s = quick(PICK_LINEAR);
    train_rows all, some;
    assert_ok(train_rows_read(w->funnel, &s, NULL, NULL, &all, NULL));
    s.memory = all.n_rows * (all.n_features + 6) * sizeof(float) / 2; /* growth counts double: a quarter of the rows */
    assert_ok(train_rows_read(w->funnel, &s, NULL, NULL, &some, NULL));
    assert_true(some.n_rows * (some.n_features + 6) * sizeof(float) * 2 <= s.memory + 200000);
    assert_true(some.n_groups >= 10 && some.n_groups < all.n_groups);
    assert_int_equal(some.left_out + some.n_groups, all.n_groups);
    for (size_t g = 0; g < some.n_groups; g++) /* the latest, whole */
        assert_int_equal(some.sequence[g], all.sequence[all.n_groups - some.n_groups + g]);
    for (size_t g = 0; g < some.n_groups; g++) {
        size_t there = all.n_groups - some.n_groups + g, n = some.first[g + 1] - some.first[g];
        assert_int_equal(n, all.first[there + 1] - all.first[there]);
        assert_memory_equal(some.label + some.first[g], all.label + all.first[there], n * sizeof(float));
        assert_memory_equal(some.position + some.first[g], all.position + all.first[there], n * sizeof(uint32_t));
        for (size_t i = 0; i < n; i++)
            assert_true(some.x[(some.first[g] + i) * some.n_features + column(&some, "field.price")] ==
                        all.x[(all.first[there] + i) * all.n_features + column(&all, "field.price")]);
    }
    train_rows_release(&all);
    train_rows_release(&some);
}

static void the_same_log_gives_the_same_model(void **state) {
    (void)state;
    people p = crowd(13);
    funnel_model a, b;
    live(&p, 120);
    for (int kind = 0; kind < 2; kind++) {
        train_settings s = quick(kind ? PICK_TREES : PICK_LINEAR);
        s.activate = false;
        s.fit.trees.trees.subsample = .7;
        train_result first = train(&s), second = train(&s);
        assert_ok(funnel_model_get(w->funnel, first.model, &w->memory, &a, NULL));
        assert_ok(funnel_model_get(w->funnel, second.model, &w->memory, &b, NULL));
        assert_int_equal(a.bytes.size, b.bytes.size);
        assert_memory_equal(a.bytes.data, b.bytes.data, a.bytes.size);
        buffer_release(&first.report);
        buffer_release(&second.report);
    }
}

/* ---- Records of format 2 ---- */

/* As the program before wrote it: no shadow, team and lean, nothing after the hits. */
static void write_format_2(const record_impression *r, buffer *out) {
    record_impression head = *r;
    head.n_hits = head.n_unshown = 0;
    head.experiment = head.shadow = (slice){0};
    head.feature_set = FUNNEL_FEATURE_SET;
    head.n_features = F_COUNT;
    record_write_impression(&head, out);
    out->size -= 2 + 2 + 1 + 1 + 1 + 2 + 4;
    out->data[1] = 2;
    put_u16(out, (uint16_t)r->n_hits);
    for (uint32_t i = 0; i < r->n_hits; i++) {
        put_u32(out, r->hits[i].document);
        put_f32(out, r->hits[i].score);
        for (uint32_t s = 0; s < r->n_strategies; s++) put_varint(out, r->hits[i].ranks[s]);
        buffer_append(out, r->hits[i].features, F_COUNT * sizeof(float));
    }
}

static forage_status rewrite_apply(store_txn *t, void *self, base_error *error) {
    uint64_t *rewritten = self, sequence = 0;
    uint8_t key[8];
    slice record;
    forage_status status = FORAGE_OK;
    *rewritten = 0;
    while (!status && funnel_log_record(t, ++sequence, &record)) {
        record_impression r;
        buffer bytes = {0};
        if (record_read_impression(arena_slice(&w->memory, record), &w->memory, &r)) continue;
        write_format_2(&r, &bytes);
        store_be64(key, sequence);
        status = store_put(t, STORE_LOG, (slice){(const char *)key, 8}, (slice){bytes.data, bytes.size}, error);
        buffer_release(&bytes);
        (*rewritten)++;
    }
    return status;
}

static void records_of_format_2_are_learned_from(void **state) {
    (void)state;
    uint64_t rewritten;
    people p = crowd(14);
    live(&p, 80);
    store_job job = {rewrite_apply, NULL, &rewritten};
    assert_ok(store_write(collection_store(w->collection), &job, NULL));
    assert_int_equal(rewritten, 80);
    world_reopen(w);
    live(&p, 20);
    train_settings s = quick(PICK_BEST);
    train_rows rows;
    assert_ok(train_rows_read(w->funnel, &s, NULL, NULL, &rows, NULL));
    assert_int_equal(rows.searches, 100);
    assert_int_equal(rows.without_features, 0);
    assert_true(rows.n_groups > 80);
    assert_true(isnan(rows.x[column(&rows, "field.price")]));
    assert_true(isfinite(rows.x[F_LEXICAL_SCORE]));
    assert_true(isfinite(rows.x[(rows.n_rows - 1) * rows.n_features + column(&rows, "query.words")]));
    train_rows_release(&rows);
    train_result r = train(&s);
    assert_int_equal(r.model, 1);
    buffer_release(&r.report);
}

/* ---- Beside ---- */

static void the_shadow_is_judged_by_what_people_did_since(void **state) {
    (void)state;
    people p = crowd(15);
    uint64_t bad = add_linear(w, "field.price", -1), good = add_linear(w, "field.price", 1);
    assert_ok(funnel_model_shadow(w->funnel, bad, NULL));
    live(&p, 60);
    assert_ok(funnel_model_shadow(w->funnel, good, NULL));
    live(&p, 60);
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    assert_ok(train_shadow(w->funnel, &writer, NULL));
    const json_value *json = parse(&w->memory, buffer_text(&text));
    assert_true(number_at(json, "searches") > 40 && number_at(json, "searches") <= 60); /* of this shadow, not of the one before */
    assert_true(number_at(json, "difference.low") > 0);
    assert_true(number_at(json, "shadow.value") > number_at(json, "served.value"));
    buffer_release(&text);
}

static void rows_are_exported_for_others(void **state) {
    (void)state;
    people p = crowd(16);
    buffer lines = {0};
    live(&p, 30);
    train_settings s = quick(PICK_LINEAR);
    train_rows rows;
    assert_ok(train_rows_read(w->funnel, &s, NULL, NULL, &rows, NULL));
    assert_ok(train_export(w->funnel, &s, &lines, NULL));
    size_t n = 0;
    for (const char *line = strtok(buffer_text(&lines), "\n"); line; line = strtok(NULL, "\n")) n += strstr(line, "qid:") != NULL;
    assert_int_equal(n, rows.n_rows);
    train_rows_release(&rows);
    buffer_release(&lines);
}

/* Settings of a request. */
static void settings_are_read_or_named(void **state) {
    (void)state;
    static const struct {
        const char *json, *says;
    } bad[] = {{"{\"kind\":\"forest\"}", "kind"}, {"{\"debias\":\"magic\"}", "debias"}, {"{\"trees\":0}", "trees"},
        {"{\"leaves\":1}", "leaves"},
               {"{\"validation\":0.5,\"held_out\":0.5}", "held_out"}, {"{\"user_cap\":0}", "user_cap"}, {"{\"memory_mb\":1}", "memory_mb"},
               {"{\"tres\":3}", "tres"}, {"{\"weight_clip\":0.5}", "weight_clip"}, {"{\"learning_rate\":7}", "learning_rate"}};
    train_settings s;
    base_error error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        train_settings_default(&s);
        assert_true(train_settings_read(parse(&w->memory, bad[i].json), &s, &error) < 0);
        if (!strstr(error.message, bad[i].says)) fail_msg("\"%s\" does not say %s", error.message, bad[i].says);
        assert_int_equal(s.seed, 1);
    }
    assert_ok(train_settings_read(parse(&w->memory,
        "{\"kind\":\"linear\",\"debias\":\"none\",\"since\":5,\"memory_mb\":16,\"name\":\"n\"}"), &s, &error));
    assert_true(s.fit.kind == PICK_LINEAR && s.debias == TRAIN_DEBIAS_NONE && s.since == 5000000 && s.memory == 16u << 20);
}

/* Others search and act while it trains. */
static void *search_on(void *self) {
    (void)self;
    for (int i = 0; i < 80; i++) {
        funnel_request r;
        funnel_answer *a;
        funnel_request_default(&r);
        r.query = SLICE("word3");
        r.timeout_ms = 60000;
        if (funnel_search(w->funnel, &r, &a, NULL)) return "a search failed";
        const funnel_hit *hits;
        if (!funnel_answer_hits(a, &hits)) return "nothing was found";
        feedback_event e = {.query_id = funnel_answer_query_id(a), .action = SLICE("click"), .document = hits[0].id, .time = INT64_MIN};
        funnel_event_result result = {0};
        if (funnel_record(w->funnel, &e, 1, &result, NULL) || result.status) return "an event was not taken";
        funnel_answer_release(a);
    }
    return NULL;
}

static void training_and_serving_go_on_together(void **state) {
    (void)state;
    pthread_t threads[2];
    void *failed;
    people p = crowd(17);
    live(&p, 80);
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, search_on, NULL);
    for (int i = 0; i < 3; i++) {
        train_settings s = quick(PICK_LINEAR);
        train_result r = train(&s);
        assert_true(r.model > 0);
        buffer_release(&r.report);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(a_better_ranker_is_found_and_serves), T(nothing_is_activated_where_nothing_differs),
        T(debiased_training_sees_past_the_order_that_served), T(one_user_is_one_voice), T(what_comes_later_is_not_trained_on),
        T(a_training_can_be_stopped_anywhere), T(too_little_says_how_much_there_is), T(older_feature_sets_are_found_by_name),
        T(what_does_not_fit_is_left_out_from_the_beginning), T(the_same_log_gives_the_same_model), T(records_of_format_2_are_learned_from),
        T(the_shadow_is_judged_by_what_people_did_since), T(rows_are_exported_for_others), T(settings_are_read_or_named),
        T(training_and_serving_go_on_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
