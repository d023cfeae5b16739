/* models: the trained rankers of a collection; what they see, and how likely each rank is looked at. */
#include "cli/client.h"
#include "cli/input.h"
#include "cli/screen.h"
#include "cli/train_view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BAR 24
#define MOST_SHOWN 25 /* features of a model */

static const cli_option options[] = {
    {"name", 0, "NAME", "import: what the model is called"},
    {"map", 0, "FILE", "import: lines \"their feature TAB ours\"; without it the names must be the same"},
    {"allow-missing", 0, NULL, "import: features that are not here are missing in every row"},
    {"method", 0, "NAME", "examination: harvest (default), all-pairs, adjacent, pivot or regression-em"},
    {"output", 'o', "FILE", "export-data: write there, not to standard output"},
    {0}};

typedef struct models_command {
    const cli_arguments *arguments;
    client *client;
    const char *collection;
    arena memory;
} models_command;

static double number(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : 0;
}

static bool truth(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_BOOL && v->boolean;
}

static slice text(const json_value *object, const char *key) {
    slice out = {0};
    json_member_string(object, key, &out, NULL);
    return out;
}

/* Sends; with --json, prints the answer and sets *told. */
static int ask(models_command *m, const char *method, const char *rest, slice body, json_value **answer, bool *told) {
    slice raw;
    int status = client_json(m->client, &m->memory, method, collection_target(&m->memory, m->collection, rest), body, answer, &raw);
    *told = !status && arg_flag(m->arguments, "json");
    if (*told) printf("%.*s\n", (int)raw.size, raw.data);
    return status;
}

static const char *parameter(models_command *m, const char *before, const char *value) {
    buffer out = {0};
    buffer_puts(&out, before);
    percent_encode(&out, slice_of(value));
    const char *copy = arena_strndup(&m->memory, out.data, out.size);
    buffer_release(&out);
    return copy;
}

/* "model 3", or what serves without one. */
static const char *ranker_text(models_command *m, double n) {
    return n > 0 ? arena_printf(&m->memory, "model %.0f", n) : "the linear ranker that learns online";
}

/* ---- list, show ------------------------------------------------------------------------------------------------ */

static void add_model(table *t, const json_value *model, arena *memory) {
    const json_value *report = json_get(model, "report"), *difference = json_get(json_get(report, "held_out"), "difference");
    slice time = text(model, "time");
    table_cell_text(t, arena_printf(memory, "%.0f", number(model, "model")));
    table_cell(t, text(model, "name"));
    table_cell(t, text(model, "kind"));
    table_cell(t, (slice){time.data, time.size < 16 ? time.size : 16});
    table_cell_text(t, truth(model, "active") ? "serves" : truth(model, "shadow") ? "shadow" : "");
    if (difference) table_cell_text(t, train_view_value(memory, difference, true));
    else table_cell_text(t, truth(report, "imported") ? "imported" : "");
}

static int list(models_command *m) {
    static const table_column columns[] = {{"model", true, false, STYLE_BOLD},  {"name", false, true, STYLE_NONE},
                                           {"kind", false, false, STYLE_NONE},  {"made", false, false, STYLE_DIM},
                                           {"state", false, false, STYLE_GREEN},
                                           {"against what served, held out", false, true, STYLE_NONE}};
    json_value *answer;
    bool told;
    int status = ask(m, "GET", "/models", (slice){0}, &answer, &told);
    if (status || told) return status;
    const json_value *models = json_get(answer, "models");
    slice ranker = text(answer, "ranker");
    if (slice_is(ranker, "auto") || slice_is(ranker, "model")) printf("%s serves", ranker_text(m, number(answer, "active")));
    else printf("\"%.*s\" serves, as the schema says", SLICE_ARG(ranker));
    if (number(answer, "shadow") > 0) printf(", %s scores beside it", ranker_text(m, number(answer, "shadow")));
    printf("\n");
    if (!models || !models->first) {
        cli_note(m->arguments, "There are no models yet; `forage train` makes one from the log.");
        return CLI_OK;
    }
    table *t = table_create(columns, 6);
    for (const json_value *one = models->first; one; one = one->next) add_model(t, one, &m->memory);
    printf("\n");
    table_print(t, "");
    table_destroy(t);
    return CLI_OK;
}

static double size_of(double x) { return x < 0 ? -x : x; }

static void print_importance(models_command *m, const json_value *importance) {
    static const table_column columns[] = {{"feature", false, true, STYLE_BOLD}, {"", false, false, STYLE_CYAN},
                                           {"", true, false, STYLE_NONE},
                                           {"splits", true, false, STYLE_DIM}};
    double most = 0, all = 0;
    size_t shown = 0;
    bool trees = importance && importance->first && json_get(importance->first, "gain");
    for (const json_value *f = importance ? importance->first : NULL; f; f = f->next) {
        double x = size_of(number(f, trees ? "gain" : "weight"));
        most = x > most ? x : most;
        all += x;
    }
    if (!(most > 0)) return;
    table *t = table_create(columns, 4);
    for (const json_value *f = importance->first; f && shown < MOST_SHOWN; f = f->next, shown++) {
        double x = number(f, trees ? "gain" : "weight");
        buffer bar = {0};
        train_view_bar(&bar, size_of(x) / most, BAR);
        table_cell(t, text(f, "feature"));
        table_cell(t, (slice){bar.data, bar.size});
        table_cell_text(t, trees ? arena_printf(&m->memory, "%.1f %%", 100 * x / all) : arena_printf(&m->memory, "%+.4f", x));
        table_cell_text(t, trees ? arena_printf(&m->memory, "%.0f", number(f, "splits")) : "");
        buffer_release(&bar);
    }
    printf("\n%s, %zu of %zu features:\n", trees ? "share of what the splits gained" : "weights", shown, importance->count);
    table_print(t, "  ");
    table_destroy(t);
}

static int show(models_command *m, const char *model) {
    json_value *answer;
    bool told;
    int status = ask(m, "GET", parameter(m, "/models/", model), (slice){0}, &answer, &told);
    if (status || told) return status;
    slice name = text(answer, "name"), kind = text(answer, "kind"), time = text(answer, "time");
    const char *called = name.size ? arena_printf(&m->memory, " \"%.*s\"", SLICE_ARG(name)) : "";
    printf("%.*s%s, made %.*s, %s\n", SLICE_ARG(kind), called, (int)(time.size < 16 ? time.size : 16), time.data ? time.data : "",
           text_bytes(&m->memory, (uint64_t)number(answer, "bytes")));
    train_view_print(answer, &m->memory);
    print_importance(m, json_get(answer, "importance"));
    return CLI_OK;
}

/* ---- What serves ----------------------------------------------------------------------------------------------- */

static int tell_serving(models_command *m, int status, const json_value *answer, bool told) {
    if (status || told || arg_flag(m->arguments, "quiet")) return status;
    printf("%s serves", ranker_text(m, number(answer, "active")));
    if (number(answer, "shadow") > 0) printf(", %s scores beside it", ranker_text(m, number(answer, "shadow")));
    printf("\n");
    return CLI_OK;
}

static int change(models_command *m, const char *model, const char *what) {
    json_value *answer = NULL;
    bool told = false;
    const char *rest = model ? arena_printf(&m->memory, "%s/%s", parameter(m, "/models/", model), what) : "/models/rollback";
    int status = ask(m, "POST", rest, (slice){0}, &answer, &told);
    return tell_serving(m, status, answer, told);
}

static int tell_shadow(models_command *m) {
    static const table_column columns[] = {{"", false, false, STYLE_BOLD}, {"", false, false, STYLE_NONE}};
    json_value *answer;
    bool told;
    int status = ask(m, "GET", "/shadow", (slice){0}, &answer, &told);
    if (status || told) return status;
    if (number(answer, "searches") <= 0) {
        printf("No search with feedback has been scored by a shadow yet; `forage models shadow N` lets one score beside what serves.\n");
        return CLI_OK;
    }
    printf("%s searches with feedback that a shadow has scored; share of the possible reward, 95 %% intervals\n",
           text_count(&m->memory, (uint64_t)number(answer, "searches")));
    table *t = table_create(columns, 2);
    for (const json_value *part = answer->first; part; part = part->next) {
        if (part->type != JSON_OBJECT) continue;
        table_cell(t, part->key);
        table_cell_text(t, train_view_value(&m->memory, part, slice_is(part->key, "difference")));
    }
    for (long row = 0; row < (long)table_rows(t); row++) table_print_row(t, row, "  ");
    table_destroy(t);
    return CLI_OK;
}

static int remove_model(models_command *m, const char *model) {
    json_value *answer;
    bool told;
    int status = ask(m, "DELETE", parameter(m, "/models/", model), (slice){0}, &answer, &told);
    if (!status && !told && !arg_flag(m->arguments, "quiet")) printf("model %.0f is removed\n", number(answer, "removed"));
    return status;
}

/* ---- In and out ------------------------------------------------------------------------------------------------ */

/* The map goes in front of the model: it may be too long for an address. */
static const char *import_target(models_command *m, size_t map_bytes) {
    const char *name = arg_text(m->arguments, "name", NULL);
    buffer target = {0};
    buffer_puts(&target, "/models?allow_missing=");
    buffer_putc(&target, arg_flag(m->arguments, "allow-missing") ? '1' : '0');
    if (name) {
        buffer_puts(&target, "&name=");
        percent_encode(&target, slice_of(name));
    }
    if (map_bytes) buffer_printf(&target, "&map_bytes=%zu", map_bytes);
    const char *out = arena_strndup(&m->memory, target.data, target.size);
    buffer_release(&target);
    return out;
}

static int import(models_command *m, const char *path) {
    const char *map_path = arg_text(m->arguments, "map", NULL);
    buffer body = {0};
    json_value *answer = NULL;
    bool told = false;
    int status = map_path ? input_text(map_path, &body) : CLI_OK;
    size_t map_bytes = body.size;
    if (!status) status = input_text(path, &body);
    if (!status) status = ask(m, "POST", import_target(m, map_bytes), (slice){body.data, body.size}, &answer, &told);
    if (!status && !told && !arg_flag(m->arguments, "quiet"))
        printf("model %.0f is imported and does not serve yet; forage models activate %.0f, or shadow %.0f to see how it does\n",
               number(answer, "model"), number(answer, "model"), number(answer, "model"));
    buffer_release(&body);
    return status;
}

static int export_data(models_command *m) {
    const char *path = arg_text(m->arguments, "output", NULL);
    client_reply reply = {0};
    FILE *out = stdout;
    int status = client_send(m->client, "GET", collection_target(&m->memory, m->collection, "/training-data"), NULL, (slice){0}, &reply);
    if (!status) status = client_check(m->client, &reply);
    if (!status && path && !(out = fopen(path, "we"))) {
        cli_error("writing %s: %s", path, strerror(errno));
        status = CLI_FAILED;
    }
    if (!status && fwrite(reply.body.data, 1, reply.body.size, out) != reply.body.size && errno != EPIPE) status = CLI_FAILED;
    if (out && out != stdout && fclose(out) != 0) status = CLI_FAILED;
    if (status && out && path) cli_error("writing %s: %s", path, strerror(errno));
    client_reply_release(&reply);
    return status;
}

/* ---- What it sees ---------------------------------------------------------------------------------------------- */

static int features(models_command *m) {
    static const table_column columns[] = {{"feature", false, false, STYLE_BOLD}, {"from", false, false, STYLE_CYAN},
                                           {"what it says", false, true, STYLE_NONE}};
    json_value *answer;
    bool told;
    int status = ask(m, "GET", "/features", (slice){0}, &answer, &told);
    if (status || told) return status;
    const json_value *list = json_get(answer, "columns");
    table *t = table_create(columns, 3);
    for (const json_value *f = list ? list->first : NULL; f; f = f->next) {
        table_cell(t, text(f, "name"));
        table_cell(t, text(f, "source"));
        table_cell(t, text(f, "meaning"));
    }
    table_print(t, "");
    table_destroy(t);
    return CLI_OK;
}

static int show_examination(models_command *m) {
    const char *method = arg_text(m->arguments, "method", NULL);
    json_value *answer;
    bool told;
    int status = ask(m, "GET", method ? parameter(m, "/examination?method=", method) : "/examination", (slice){0}, &answer, &told);
    if (status || told) return status;
    slice how = text(answer, "method");
    printf("how likely each rank is looked at, the first one being 1; by %.*s from %s documents of queries\n", SLICE_ARG(how),
           text_count(&m->memory, (uint64_t)number(answer, "keys")));
    if (!truth(answer, "identified"))
        printf("%sthe log has too few documents that stood at different ranks to tell; the curve is a guess%s\n", paint(STYLE_YELLOW),
               paint(STYLE_NONE));
    train_view_curve(answer, "  ");
    return CLI_OK;
}

/* ---- The command ----------------------------------------------------------------------------------------------- */

typedef struct verb {
    const char *name, *word; /* word: what must follow it; NULL: nothing may */
    bool optional, looks;
} verb;

static const verb verbs[] = {{"list", NULL, false, true},        {"show", "N", false, true},      {"activate", "N", false, false},
                             {"rollback", NULL, false, false},   {"shadow", "N", true, false},    {"remove", "N", false, false},
                             {"import", "FILE", false, false},   {"export-data", NULL, false, true}, {"features", NULL, false, true},
                             {"examination", NULL, false, true}, {0}};

static int check(const cli_arguments *a, const verb **out) {
    static const struct {
        const char *option, *verb;
    } belongs[] = {{"name", "import"}, {"map", "import"}, {"allow-missing", "import"}, {"method", "examination"},
                   {"output", "export-data"}};
    const char *name = a->n_words ? a->words[0] : "list";
    const verb *v = verbs;
    while (v->name && strcmp(v->name, name) != 0) v++;
    if (!v->name)
        return cli_usage_error(a->command, "\"%s\": expected list, show, activate, rollback, shadow, remove, import, export-data, "
                               "features or examination", name);
    if (v->word && !v->optional && a->n_words < 2) return cli_usage_error(a->command, "which? forage models %s %s", name, v->word);
    if (a->n_words > (v->word ? 2u : 1u)) return cli_usage_error(a->command, "\"%s\": %s takes no more words", a->words[a->n_words - 1],
                                                                 name);
    for (size_t i = 0; i < sizeof belongs / sizeof belongs[0]; i++)
        if ((arg_flag(a, belongs[i].option) || arg_text(a, belongs[i].option, NULL)) && strcmp(belongs[i].verb, name) != 0)
            return cli_usage_error(a->command, "--%s is for %s", belongs[i].option, belongs[i].verb);
    *out = v;
    return CLI_OK;
}

static int run_verb(models_command *m, const char *name, const char *word) {
    if (strcmp(name, "show") == 0) return show(m, word);
    if (strcmp(name, "activate") == 0) return change(m, word, "activate");
    if (strcmp(name, "rollback") == 0) return change(m, NULL, "");
    if (strcmp(name, "shadow") == 0) return word ? change(m, word, "shadow") : tell_shadow(m);
    if (strcmp(name, "remove") == 0) return remove_model(m, word);
    if (strcmp(name, "import") == 0) return import(m, word);
    if (strcmp(name, "export-data") == 0) return export_data(m);
    if (strcmp(name, "features") == 0) return features(m);
    if (strcmp(name, "examination") == 0) return show_examination(m);
    return list(m);
}

static int run(const cli_arguments *a) {
    models_command m = {.arguments = a};
    const verb *v = verbs;
    int status = check(a, &v);
    if (status) return status;
    const char *word = a->n_words > 1 ? a->words[1] : NULL;
    bool looks = v->looks || (v->optional && !word);
    arena_init(&m.memory, 0);
    status = client_open(a, looks ? CLIENT_LOOKS : CLIENT_WRITES, &m.client);
    if (!status) status = client_collection(m.client, a, &m.memory, NULL, &m.collection);
    if (!status) status = run_verb(&m, v->name, word);
    client_close(m.client);
    arena_release(&m.memory);
    return status;
}

const cli_command command_models = {
    "models", "shows trained rankers, lets one serve, takes in somebody else's",
    "models [options] [list]\nmodels [options] show N\nmodels [options] activate N\nmodels [options] rollback\n"
    "models [options] shadow [N]\n"
    "models [options] remove N\nmodels [options] import FILE [--map FILE] [--name NAME] [--allow-missing]\n"
    "models [options] export-data [--output FILE]\nmodels [options] features\nmodels [options] examination [--method NAME]",
    "Every model stays with its report until it is removed. activate lets one serve where the ranker of the schema is auto\n"
    "or model (0: the linear ranker that learns online); rollback lets serve what did before. A shadow scores every search\n"
    "beside what serves and is not seen: shadow without a number tells how it would have done. import takes models of\n"
    "XGBoost (JSON or UBJ) and LightGBM (text). export-data writes the log's rows as SVMlight lines, as training sees them.\n"
    "features lists what a model can see; examination shows how likely each rank is looked at.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage models -c books\nforage models show 3\nforage models activate 3\nforage models rollback\n"
    "forage models import model.ubj --map names.tsv --name from-the-notebook\n"
    "forage models export-data -o rows.svmlight\nforage models examination --method regression-em",
    run};
