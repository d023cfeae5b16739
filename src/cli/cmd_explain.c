/* explain: why a hit stands where it stands, feature by feature. */
#include "cli/client.h"
#include "cli/passing.h"
#include "cli/screen.h"
#include "cli/search_view.h"
#include "cli/train_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAR 16
#define DEPTH 1000 /* among so many hits a document is looked for */

static const cli_option options[] = {
    {"limit", 'n', "N", "how many hits (default: 3)"},
    {"document", 0, "ID", "this document's place and score, wherever it stands"},
    {"features", 0, "N", "lines for each hit, those that move it most (default: 12; 0: all)"},
    {"user", 0, "ID", "as this user would see it"},
    {"session", 0, "ID", "the visit it belongs to"},
    {"policy", 0, "NAME", "who chooses the strategies, instead of the collection's policy"},
    {"ranker", 0, "NAME", "who orders: auto, linear, rrf, model, model:N"},
    {"seed", 0, "N", "of the policy's draws (default: 1)"},
    {0}};

typedef struct explain_command {
    const cli_arguments *arguments;
    client *client;
    const char *collection;
    int64_t limit, lines;
    arena memory;
} explain_command;

static double number(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : 0;
}

static slice text(const json_value *object, const char *key) {
    slice out = {0};
    json_member_string(object, key, &out, NULL);
    return out;
}

/* ---- Asking ---------------------------------------------------------------------------------------------------- */

/* candidate NULL: a search, else ranking this one. */
static int ask(explain_command *e, int64_t limit, const char *candidate, json_value **answer, slice *raw) {
    static const passed_option passed[] = {{"user", NULL, false}, {"session", NULL, false}, {"policy", NULL, false},
                                           {"ranker", NULL, false}, {0}};
    int64_t seed = 1;
    buffer body = {0};
    json_writer w = json_writer_of(&body);
    int status = arg_integer(e->arguments, "seed", 0, INT64_MAX, &seed);
    json_begin_object(&w);
    json_key(&w, "query");
    json_text(&w, joined_words(e->arguments, 0, &e->memory));
    json_key(&w, "limit");
    json_integer(&w, limit);
    json_key(&w, "explain");
    json_bool(&w, true);
    json_key(&w, "log");
    json_bool(&w, false);
    json_key(&w, "seed");
    json_integer(&w, seed);
    pass_options(e->arguments, passed, &w);
    if (candidate) {
        json_key(&w, "candidates");
        json_begin_array(&w);
        json_text(&w, candidate);
        json_end_array(&w);
    }
    json_end_object(&w);
    if (!status)
        status = client_json(e->client, &e->memory, "POST", collection_target(&e->memory, e->collection, candidate ? "/rank" : "/search"),
                             (slice){body.data, body.size}, answer, raw);
    buffer_release(&body);
    return status;
}

/* ---- Telling --------------------------------------------------------------------------------------------------- */

static int most_first(const void *x, const void *y) {
    double a = number(*(const json_value *const *)x, "contribution"), b = number(*(const json_value *const *)y, "contribution");
    a = a < 0 ? -a : a, b = b < 0 ? -b : b;
    if (a != b) return a < b ? 1 : -1;
    return slice_compare(text(*(const json_value *const *)x, "name"), text(*(const json_value *const *)y, "name"));
}

/* A bar to the right of a middle for what lifts, to the left for what lowers. */
static void write_bar(buffer *out, double part) {
    int width = (int)((part < 0 ? -part : part) * BAR / 2 + .5);
    for (int i = 0; i < BAR / 2; i++) buffer_puts(out, part < 0 && i >= BAR / 2 - width ? "█" : " ");
    buffer_puts(out, "│");
    for (int i = 0; i < BAR / 2; i++) buffer_puts(out, part > 0 && i < width ? "█" : " ");
}

static void print_features(explain_command *e, const json_value *explain) {
    static const table_column columns[] = {{"", false, true, STYLE_BOLD}, {"", true, false, STYLE_DIM}, {"", true, false, STYLE_NONE},
                                           {"", false, false, STYLE_CYAN}};
    const json_value *list = json_get(explain, "features");
    size_t n = 0, shown;
    const json_value **sorted = arena_alloc(&e->memory, ((list ? list->count : 0) + 1) * sizeof *sorted);
    for (const json_value *f = list ? list->first : NULL; f; f = f->next)
        if (number(f, "contribution") != 0) sorted[n++] = f;
    if (!n) return;
    qsort(sorted, n, sizeof *sorted, most_first);
    shown = e->lines && (size_t)e->lines < n ? (size_t)e->lines : n;
    double most = number(sorted[0], "contribution"), rest = 0;
    most = most < 0 ? -most : most;
    table *t = table_create(columns, 4);
    for (size_t i = 0; i < n; i++) {
        double part = number(sorted[i], "contribution");
        const json_value *value = json_get(sorted[i], "value");
        buffer bar = {0};
        rest += i < shown ? 0 : part;
        if (i >= shown) continue;
        write_bar(&bar, part / most);
        table_cell(t, text(sorted[i], "name"));
        table_cell_text(t, value && value->type == JSON_NUMBER ? arena_printf(&e->memory, "%.4g", value->number) : "unknown");
        table_cell_text(t, arena_printf(&e->memory, "%+.4f", part));
        table_cell(t, (slice){bar.data, bar.size});
        buffer_release(&bar);
    }
    if (shown < n) {
        table_cell_text(t, arena_printf(&e->memory, "%zu more", n - shown));
        table_cell_text(t, "");
        table_cell_text(t, arena_printf(&e->memory, "%+.4f", rest));
        table_cell_text(t, "");
    }
    for (long row = 0; row < (long)table_rows(t); row++) table_print_row(t, row, "     ");
    table_destroy(t);
}

static void print_hit(explain_command *e, const json_value *hit, size_t rank) {
    const json_value *explain = json_get(hit, "explain");
    slice method = text(explain, "method");
    if (rank) printf("\n%2zu.  ", rank);
    else printf("\n     ");
    const char *title = search_view_title(&e->memory, hit);
    printf("%s%s%s  %s%s%s  score %.4f\n", paint(STYLE_BOLD), title, paint(STYLE_NONE), paint(STYLE_DIM),
           shell_word(&e->memory, text(hit, "id")), paint(STYLE_NONE), number(hit, "score"));
    if (!method.size) {
        printf("     the sum of 1 / (60 + rank) over the strategies that found it:");
        const json_value *found = json_get(explain, "strategies");
        for (const json_value *s = found ? found->first : NULL; s; s = s->next)
            printf(" %.*s %.0f", SLICE_ARG(text(s, "name")), number(s, "rank"));
        printf("\n");
        return;
    }
    print_features(e, explain);
    if (slice_is(method, "linear")) printf("     %sweight × value of each; bias %+.4f%s\n", paint(STYLE_DIM), number(explain, "bias"),
                                           paint(STYLE_NONE));
    else printf("     %sexact Shapley values (%.*s): with the bias %+.4f they sum to the score%s\n", paint(STYLE_DIM), SLICE_ARG(method),
                number(explain, "bias"), paint(STYLE_NONE));
}

static void print_head(const json_value *answer) {
    const json_value *ranker = json_get(answer, "ranker");
    printf("ranker %.*s, version %.0f\n", SLICE_ARG(text(ranker, "name")), number(ranker, "version"));
}

static int explain_hits(explain_command *e) {
    json_value *answer;
    slice raw;
    int status = ask(e, e->limit, NULL, &answer, &raw);
    if (status) return status;
    if (arg_flag(e->arguments, "json")) {
        printf("%.*s\n", (int)raw.size, raw.data);
        return CLI_OK;
    }
    const json_value *hits = json_get(answer, "hits");
    size_t rank = 1;
    print_head(answer);
    if (!hits || !hits->first) printf("Nothing found.\n");
    for (const json_value *hit = hits ? hits->first : NULL; hit; hit = hit->next) print_hit(e, hit, rank++);
    return CLI_OK;
}

/* Where no strategy has found it, it is described all the same, as a candidate that somebody else brings. */
static int explain_document(explain_command *e, const char *id) {
    json_value *answer;
    slice raw;
    size_t rank = 1;
    int status = ask(e, DEPTH, NULL, &answer, &raw);
    if (status) return status;
    const json_value *hits = json_get(answer, "hits"), *hit = hits ? hits->first : NULL;
    while (hit && !slice_is(text(hit, "id"), id)) hit = hit->next, rank++;
    if (!hit) {
        status = ask(e, 1, id, &answer, &raw);
        if (status) return status;
        hits = json_get(answer, "hits");
        hit = hits ? hits->first : NULL;
        rank = 0;
        if (!hit || json_get(hit, "document")->type == JSON_NULL) {
            cli_error("there is no document \"%s\"", id);
            return CLI_FAILED;
        }
    }
    if (arg_flag(e->arguments, "json")) {
        buffer out = {0};
        json_writer w = json_writer_of(&out);
        json_begin_object(&w);
        json_key(&w, "ranker");
        json_value_write(&w, json_get(answer, "ranker"));
        json_key(&w, "rank");
        if (rank) json_integer(&w, (int64_t)rank);
        else json_null(&w);
        json_key(&w, "hit");
        json_value_write(&w, hit);
        json_end_object(&w);
        printf("%s\n", buffer_text(&out));
        buffer_release(&out);
        return CLI_OK;
    }
    print_head(answer);
    if (!rank) printf("no strategy brings it for this query; this is how it would be scored if one did\n");
    print_hit(e, hit, rank);
    return CLI_OK;
}

static int run(const cli_arguments *a) {
    explain_command e = {.arguments = a, .limit = 3, .lines = 12};
    const char *document = arg_text(a, "document", NULL);
    arena_init(&e.memory, 0);
    int status = arg_integer(a, "limit", 1, 100, &e.limit);
    if (!status) status = arg_integer(a, "features", 0, 1000, &e.lines);
    if (!status) status = client_open(a, CLIENT_LOOKS, &e.client);
    if (!status) status = client_collection(e.client, a, &e.memory, NULL, &e.collection);
    if (!status) status = document ? explain_document(&e, document) : explain_hits(&e);
    client_close(e.client);
    arena_release(&e.memory);
    return status;
}

const cli_command command_explain = {
    "explain", "says feature by feature why a hit stands where it stands", "explain [options] QUERY…",
    "What each feature adds to the score of a hit. Of trees these are exact Shapley values (TreeSHAP), of a linear ranker\n"
    "weight times value; with the bias they sum to the score. Nothing is logged and nothing is learned. The features are\n"
    "described by `forage models features`.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage explain hunger games\nforage explain --document book:6224 hunger games\n"
    "forage explain --ranker model:3 -n 1 --features 0 hunger games",
    run};
