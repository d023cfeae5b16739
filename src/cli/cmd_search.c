#include "cli/client.h"
#include "cli/passing.h"
#include "cli/search_filter.h"
#include "cli/search_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"limit", 'n', "N", "how many results (default: 10)"},
    {"offset", 0, "N", "leave out the first N"},
    {"where", 'w', "CONDITION", "field=value, field!=value, field>n, >=, <, <=; field=a,b for any of; repeatable"},
    {"filter", 0, "JSON", "a filter as JSON, for all that --where cannot say"},
    {"facet", 0, "FIELD", "count the values of a field; repeatable"},
    {"user", 0, "ID", "who searches: results become personal"},
    {"session", 0, "ID", "the visit it belongs to"},
    {"like", 0, "ID", "what is like this document, beside a query or instead of one"},
    {"policy", 0, "NAME", "who chooses the strategies, instead of the collection's policy"},
    {"ranker", 0, "NAME", "who orders the results: auto, linear, rrf, model, model:N (default: the collection's ranker)"},
    {"pin", 0, "ID", "this document first; repeatable, in this order"},
    {"hide", 0, "ID", "never this document; repeatable"},
    {"diversity", 0, "X", "0 (none) to 1: hits that are unlike those above them"},
    {"value", 0, "FIELD=X", "weigh expected reward by a number field, X being how much (0 to 10)"},
    {"explore", 0, "X", "draw the order of the first hits, at this temperature (0: not)"},
    {"cross-encoder", 0, "on|off", "ask the schema's cross-encoder about the first results, or not (default: as the schema says)"},
    {"feature", 0, "NAME=X", "a number that the request brings for models; repeatable"},
    {"page", 0, "TOKEN", "\"first\" asks for a token of the next page; with the token: that page, as it was ordered"},
    {"explain", 'e', NULL, "say for every result why it is there"},
    {"no-log", 0, NULL, "do not keep the impression: nothing can be learned from this search"},
    {0}};

static void write_facets(json_writer *w, const cli_arguments *a) {
    if (!arg_nth(a, "facet", 0)) return;
    json_key(w, "facets");
    json_begin_array(w);
    for (size_t i = 0; arg_nth(a, "facet", i); i++) json_text(w, arg_nth(a, "facet", i));
    json_end_array(w);
}

static void write_ids(json_writer *w, const cli_arguments *a, const char *option, const char *member) {
    if (!arg_nth(a, option, 0)) return;
    json_key(w, member);
    json_begin_array(w);
    for (size_t i = 0; arg_nth(a, option, i); i++) json_text(w, arg_nth(a, option, i));
    json_end_array(w);
}

/* What shapes the order. */
static int write_shape(json_writer *w, const cli_arguments *a) {
    static const passed_option passed[] = {{"diversity", NULL, true}, {0}};
    const char *value = arg_text(a, "value", NULL), *sign = value ? strrchr(value, '=') : NULL, *page = arg_text(a, "page", NULL);
    const char *temperature = arg_text(a, "explore", NULL), *cross = arg_text(a, "cross-encoder", NULL);
    if (cross && strcmp(cross, "on") != 0 && strcmp(cross, "off") != 0)
        return cli_usage_error(a->command, "--cross-encoder %s: expected on or off", cross);
    if (cross) {
        json_key(w, "cross_encoder");
        json_bool(w, strcmp(cross, "on") == 0);
    }
    write_ids(w, a, "pin", "pinned");
    write_ids(w, a, "hide", "hidden");
    pass_options(a, passed, w);
    if (temperature) {
        static const passed_option explored[] = {{"explore", "temperature", true}, {0}};
        json_key(w, "explore");
        json_begin_object(w);
        pass_options(a, explored, w);
        json_end_object(w);
    }
    if (value && !sign) return cli_usage_error(a->command, "--value %s: expected a field and how much, such as margin=0.5", value);
    if (value) {
        json_key(w, "value");
        json_begin_object(w);
        json_key(w, "field");
        json_string(w, (slice){value, (size_t)(sign - value)});
        json_key(w, "strength");
        if (!pass_number(sign + 1, w)) return cli_usage_error(a->command, "--value %s: expected a number after the =", value);
        json_end_object(w);
    }
    if (page) {
        json_key(w, "page");
        if (strcmp(page, "first") == 0) json_bool(w, true);
        else json_text(w, page);
    }
    if (!arg_nth(a, "feature", 0)) return CLI_OK;
    json_key(w, "features");
    json_begin_object(w);
    for (size_t i = 0; arg_nth(a, "feature", i); i++)
        if (!pass_named_number(arg_nth(a, "feature", i), w))
            return cli_usage_error(a->command, "--feature %s: expected a name and a number, such as discount=0.2",
                                   arg_nth(a, "feature", i));
    json_end_object(w);
    return CLI_OK;
}

typedef struct page {
    int64_t limit, offset;
} page;

/* The body of POST …/search. `filter` is JSON, or empty. */
static int write_request(const cli_arguments *a, page p, arena *memory, slice filter, buffer *out) {
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    json_key(&w, "query");
    json_text(&w, joined_words(a, 0, memory));
    json_key(&w, "limit");
    json_integer(&w, p.limit);
    if (p.offset) {
        json_key(&w, "offset");
        json_integer(&w, p.offset);
    }
    if (filter.size) {
        json_key(&w, "filter");
        json_raw(&w, filter);
    }
    write_facets(&w, a);
    static const char *const texts[] = {"user", "session", "like", "policy", "ranker"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!arg_text(a, texts[i], NULL)) continue;
        json_key(&w, texts[i]);
        json_text(&w, arg_text(a, texts[i], NULL));
    }
    if (arg_flag(a, "explain")) {
        json_key(&w, "explain");
        json_bool(&w, true);
    }
    if (arg_flag(a, "no-log")) {
        json_key(&w, "log");
        json_bool(&w, false);
    }
    int status = write_shape(&w, a);
    if (!status) json_end_object(&w);
    return status;
}

static void print_answer(const cli_arguments *a, page p, const json_value *answer, arena *memory) {
    buffer place = {0}; /* the same place as this search's */
    static const char *const names[] = {"collection", "data", "url", "api-key-file"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (arg_text(a, names[i], NULL))
            buffer_printf(&place, " --%s %s", names[i], shell_word(memory, slice_of(arg_text(a, names[i], NULL))));
    bool hint = !arg_flag(a, "no-log") && !arg_flag(a, "quiet");
    search_view_print(answer, memory, (size_t)p.offset + 1, hint ? buffer_text(&place) : NULL);
    buffer_release(&place);
}

static int search(const cli_arguments *a, page p, client *c, arena *memory) {
    const char *collection;
    buffer filter = {0}, request = {0};
    json_value *answer;
    slice text;
    int status = client_collection(c, a, memory, NULL, &collection);
    if (!status) status = search_filter_write(a, c, memory, collection, &filter);
    if (!status) status = write_request(a, p, memory, (slice){filter.data, filter.size}, &request);
    if (!status) {
        status = client_json(c, memory, "POST", collection_target(memory, collection, "/search"),
                             (slice){request.data, request.size}, &answer, &text);
    }
    if (!status && arg_flag(a, "json")) printf("%.*s\n", (int)text.size, text.data);
    else if (!status) print_answer(a, p, answer, memory);
    buffer_release(&filter);
    buffer_release(&request);
    return status;
}

static int run(const cli_arguments *a) {
    client *c = NULL;
    arena memory;
    arena_init(&memory, 0);
    page p = {.limit = 10};
    int status = arg_integer(a, "limit", 1, 1000, &p.limit);
    if (!status) status = arg_integer(a, "offset", 0, 10000, &p.offset);
    if (!status) status = client_open(a, CLIENT_READS, &c);
    if (!status) status = search(a, p, c, &memory);
    client_close(c);
    arena_release(&memory);
    return status;
}

const cli_command command_search = {
    "search", "finds documents", "search [options] QUERY…",
    "Without a query: what is popular, new and personal. Each search is logged, so that `forage event` can say later\n"
    "which result was good; the next search has learned from it.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage search hunger games\n"
    "forage search --where type=film --where 'year>=2000' --facet genre love\n"
    "forage search --explain -n 3 the hobbit\n"
    "forage search --pin book:1 --hide book:7 --diversity 0.3 love\n"
    "forage search --like book:1\n"
    "forage search --page first hunger games\n"
    "forage search --json --filter '{\"any\": [{\"year\": {\"lt\": 1900}}, {\"genre\": \"Drama\"}]}' love",
    run};
