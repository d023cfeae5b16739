/* train: learns an order from the log of a collection, or from files of judged rows. */
#include "cli/arguments.h"
#include "cli/progress.h"
#include "cli/screen.h"
#include "cli/train_log.h"
#include "format/json.h"

#include "forage.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Those of a log come first; those of files follow. Some are for both, with defaults of their own. */
static const cli_option options[] = {
    {"name", 0, "NAME", "log: what the model is called"},
    {"since", 0, "TIME", "log: only searches from then on, such as 2026-01-31"},
    {"no-activate", 0, NULL, "log: keep the model and let nothing change, even if it wins"},
    {"judgments", 0, "FILE", "log: it must win by these too; TREC qrels or BEIR's TSV"},
    {"queries", 0, "FILE", "log: the judged queries, TSV (id, text) or JSON lines"},
    {"validation-share", 0, "X", "log: of the searches, to stop and to choose by (default: 0.15)"},
    {"held-out", 0, "X", "log: of the searches, the latest, to be judged by (default: 0.2)"},
    {"user-cap", 0, "N", "log: searches that one user counts for (default: 100)"},
    {"memory-mb", 0, "N", "log: for rows; beyond it the earliest are left out (default: the schema's, 512)"},
    {"svmlight", 0, "FILE", "learn from this file, not from a log: \"label qid:7 1:0.5 2:3\", plain, gzip or zstd"},
    {"validation", 0, "FILE", "rows to stop and to choose by (default: one group in five of the first)"},
    {"test", 0, "FILE", "rows that are only measured"},
    {"output", 'o', "FILE", "the model: XGBoost's form, JSON if named .json, else UBJSON; linear: JSON"},
    {"scores", 0, "FILE", "the test rows' scores, one a line"},
    {"kind", 0, "NAME", "best (default), trees or linear; best: trees where they are clearly ahead"},
    {"model", 0, "NAME", "files: the same as --kind"},
    {"trees", 0, "N", "at most so many (default: 500)"},
    {"patience", 0, "N", "stop after so many without a better validation NDCG; 0: never (default: 50)"},
    {"leaves", 0, "N", "of a tree, grown where they help most; 0: by depth alone (default: 16)"},
    {"depth", 0, "N", "of a tree; 0: any (default: 0)"},
    {"bins", 0, "N", "that a feature's values are put in, at most 254 (default)"},
    {"learning-rate", 0, "X", "how much a tree counts (default: 0.05)"},
    {"lambda", 0, "X", "L2 penalty of a leaf's value (default: 1)"},
    {"min-child-weight", 0, "X", "least sum of second derivatives in a leaf (default: 0.1)"},
    {"gamma", 0, "X", "least gain of a split (default: 0)"},
    {"subsample", 0, "X", "share of the rows that a tree sees (default: 1)"},
    {"group-share", 0, "X", "share of the groups that a tree sees (default: 1)"},
    {"colsample", 0, "X", "share of the features that a tree sees (default: 1)"},
    {"colsample-node", 0, "X", "share of the features that a split sees (default: 1)"},
    {"bags", 0, "N", "ensembles of other seeds, averaged (default: 1)"},
    {"truncation", 0, "N", "pairs with one among the first so many count (default: 30; log: 10)"},
    {"sigma", 0, "X", "steepness of the pairs' loss (default: 1)"},
    {"no-normalise", 0, NULL, "groups with many pairs weigh more"},
    {"gain", 0, "NAME", "exponential (default, for grades) or linear (for rewards)"},
    {"cutoff", 0, "N", "of the NDCG that is watched; 0: none (default: 10)"},
    {"empty", 0, "NAME", "what a group without relevant rows counts as: one (default), zero or out"},
    {"debias", 0, "NAME", "log: harvest (default), regression-em or none; files: pairs (rows with \"# position=3\") or none"},
    {"weight-clip", 0, "X", "largest weight of a row (\"# weight=2.5\"); 0: any (default: 10)"},
    {"linear-loss", 0, "NAME", "listwise (default) or pairwise"},
    {"holdout", 0, "N", "without --validation, one group in N is held out; 0: none (default: 5)"},
    {"absent-is-missing", 0, NULL, "features that a row does not name are missing, not 0"},
    {"seconds", 0, "X", "stop then with what there is; 0: no limit (default)"},
    {"seed", 0, "N", "of all that is drawn (default: 1)"},
    {"threads", 0, "N", "that grow trees (default: 1)"},
    {0}};

/* ---- From files ------------------------------------------------------------------------------------------------ */

/* The options that are settings: under their name with _ for -, a number, a name or a switch. */
static int write_settings(const cli_arguments *a, buffer *out) {
    static const char *const numbers[] = {
        "trees",     "patience",  "leaves",         "depth", "bins",       "learning-rate", "lambda", "min-child-weight", "gamma",
        "subsample", "group-share", "colsample",    "colsample-node", "bags", "truncation", "sigma",  "cutoff", "weight-clip",
        "holdout",   "seconds",   "seed",           "threads", NULL};
    static const char *const names[] = {"model", "gain", "empty", "linear-loss", NULL};
    const char *kind = arg_text(a, "kind", NULL), *debias = arg_text(a, "debias", "none");
    json_writer w = json_writer_of(out);
    arena memory;
    int status = CLI_OK;
    arena_init(&memory, 4096);
    if (strcmp(debias, "none") != 0 && strcmp(debias, "pairs") != 0)
        status = cli_usage_error(a->command, "--debias: of files expected pairs or none, got \"%s\"", debias);
    if (kind && arg_text(a, "model", NULL)) status = cli_usage_error(a->command, "--kind and --model are the same: give one");
    json_begin_object(&w);
    for (size_t i = 0; numbers[i] && !status; i++) {
        const char *text = arg_text(a, numbers[i], NULL);
        json_value *value;
        if (!text) continue;
        if (json_read(&memory, slice_of(text), &value, NULL) || value->type != JSON_NUMBER) {
            status = cli_usage_error(a->command, "--%s: expected a number, got \"%s\"", numbers[i], text);
            continue;
        }
        char *key = arena_strndup(&memory, numbers[i], strlen(numbers[i]));
        for (char *c = key; *c; c++) *c = *c == '-' ? '_' : *c;
        json_key(&w, key);
        json_value_write(&w, value);
    }
    for (size_t i = 0; names[i]; i++) {
        const char *text = arg_text(a, names[i], NULL);
        if (!text) continue;
        json_key(&w, i == 3 ? "linear_loss" : names[i]);
        json_text(&w, text);
    }
    if (kind) {
        json_key(&w, "model");
        json_text(&w, kind);
    }
    json_key(&w, "normalise");
    json_bool(&w, !arg_flag(a, "no-normalise"));
    json_key(&w, "debias");
    json_bool(&w, strcmp(debias, "pairs") == 0);
    json_key(&w, "absent_is_missing");
    json_bool(&w, arg_flag(a, "absent-is-missing"));
    json_end_object(&w);
    arena_release(&memory);
    return status;
}

static volatile sig_atomic_t interrupted;
static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

static bool watch(void *self, const forage_train_progress *p) {
    uint64_t done = (uint64_t)p->bag * p->rounds + p->round;
    progress_show(self, done, done);
    return !interrupted;
}

/* Interrupted once, training ends with the trees it has; twice, the process does. */
static int train_files(const cli_arguments *a, uint64_t rounds, const char *settings, char **report) {
    forage_train_options o = {.train = arg_text(a, "svmlight", NULL),
                              .validation = arg_text(a, "validation", NULL),
                              .test = arg_text(a, "test", NULL),
                              .output = arg_text(a, "output", NULL),
                              .scores = arg_text(a, "scores", NULL),
                              .settings = settings};
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND}, before;
    progress bar = progress_start("trees", rounds, arg_flag(a, "quiet"));
    forage_error error;
    sigaction(SIGINT, &action, &before);
    forage_status status = forage_train_files(&o, watch, &bar, report, &error);
    sigaction(SIGINT, &before, NULL);
    progress_clear(&bar);
    if (!status) return CLI_OK;
    cli_error("%s", error.message);
    return CLI_FAILED;
}

/* ---- For people ------------------------------------------------------------------------------------------------ */

static double number(const json_value *object, const char *key) {
    const json_value *value = json_get(object, key);
    return value && value->type == JSON_NUMBER ? value->number : 0;
}

static void print_data(const json_value *data, arena *memory) {
    for (const json_value *part = data->first; part; part = part->next)
        printf("%-11.*s %s rows in %s groups, %s relevant; %s features\n", SLICE_ARG(part->key),
               text_count(memory, (uint64_t)number(part, "rows")), text_count(memory, (uint64_t)number(part, "groups")),
               text_count(memory, (uint64_t)number(part, "relevant")), text_count(memory, (uint64_t)number(part, "features")));
}

static void print_fit(const json_value *report, arena *memory) {
    const json_value *fit = json_get(report, "fit"), *linear = json_get(fit, "linear"), *trees = json_get(fit, "trees");
    const json_value *ahead = json_get(fit, "trees_ahead");
    if (linear)
        printf("linear      L2 penalty %g, %s\n", number(linear, "l2"), text_seconds(memory, number(linear, "seconds")));
    if (trees)
        printf("trees       %s trees, %s pairs, %s%s\n", text_count(memory, (uint64_t)number(trees, "trees")),
               text_count(memory, (uint64_t)number(trees, "pairs")), text_seconds(memory, number(trees, "seconds")),
               json_get(trees, "cancelled")->boolean ? ", interrupted" : json_get(trees, "timed_out")->boolean ? ", out of time" : "");
    if (trees && number(trees, "clipped") > 0)
        printf("            weights of %.1f %% of the relevant rows were clipped\n", 100 * number(trees, "clipped"));
    if (ahead)
        printf("taken       %.*s: trees are ahead by %.4f, standard error %.4f, of %s groups\n",
               SLICE_ARG(json_get(report, "model")->text), number(ahead, "difference"), number(ahead, "standard_error"),
               text_count(memory, (uint64_t)number(ahead, "groups")));
}

static void print_ndcg(const json_value *ndcg, arena *memory) {
    static const table_column columns[] = {{"", false, false, STYLE_BOLD},
                                           {"NDCG@1", true, false, STYLE_NONE},
                                           {"@3", true, false, STYLE_NONE},
                                           {"@5", true, false, STYLE_NONE},
                                           {"@10", true, false, STYLE_NONE}};
    table *t = table_create(columns, 5);
    for (const json_value *part = ndcg->first; part; part = part->next) {
        table_cell(t, part->key);
        for (const json_value *v = part->first; v; v = v->next)
            table_cell_text(t, v->type == JSON_NUMBER ? arena_printf(memory, "%.4f", v->number) : "–");
    }
    table_print(t, "  ");
    table_destroy(t);
}

static int print_report(const char *text) {
    arena memory;
    json_value *report;
    forage_error error;
    arena_init(&memory, 0);
    forage_status status = json_read(&memory, slice_of(text), &report, &error);
    if (status) {
        cli_error("the report: %s", error.message);
    } else {
        print_data(json_get(report, "data"), &memory);
        print_fit(report, &memory);
        print_ndcg(json_get(report, "ndcg"), &memory);
    }
    arena_release(&memory);
    return status ? CLI_FAILED : CLI_OK;
}

static int run_files(const cli_arguments *a) {
    int64_t trees = 500, bags = 1;
    buffer settings = {0};
    char *report = NULL;
    int status = write_settings(a, &settings);
    if (!status) status = arg_integer(a, "trees", 0, 1000000, &trees);
    if (!status) status = arg_integer(a, "bags", 0, 1000000, &bags);
    if (!status) status = train_files(a, (uint64_t)(trees * bags), buffer_text(&settings), &report);
    if (!status && arg_flag(a, "json")) printf("%s\n", report);
    else if (!status) status = print_report(report);
    forage_free(report);
    buffer_release(&settings);
    return status;
}

static bool is_among(const char *name, const char *const *list) {
    for (; *list; list++)
        if (strcmp(name, *list) == 0) return true;
    return false;
}

static int run(const cli_arguments *a) {
    static const char *const always[] = {"json", "quiet", "help", NULL}, *const only_log[] = {
        "name", "since", "no-activate", "judgments", "queries", "validation-share", "held-out", "user-cap", "memory-mb", NULL};
    const char *file = arg_text(a, "svmlight", NULL);
    if (a->n_words) return cli_usage_error(a->command, "\"%s\": name a file with --svmlight, a collection with -c", a->words[0]);
    for (size_t i = 0; i < a->n_given; i++) {
        const char *name = a->given[i].option->name;
        bool of_place = false;
        for (const cli_option *o = place_options; o->name; o++) of_place |= strcmp(name, o->name) == 0;
        for (const cli_option *o = collection_options; o->name; o++) of_place |= strcmp(name, o->name) == 0;
        if (is_among(name, always)) continue;
        if (file && (of_place || is_among(name, only_log)))
            return cli_usage_error(a->command, "--%s is for a log, and --svmlight learns from a file", name);
        if (!file && !of_place && !is_among(name, train_log_options))
            return cli_usage_error(a->command, "--%s is for files: name the rows to learn from with --svmlight", name);
    }
    return file ? run_files(a) : train_from_log(a);
}

const cli_command command_train = {
    "train",
    "learns an order from what people did, or from judged rows",
    "train [-c COLLECTION] [options]\ntrain --svmlight FILE [--validation FILE] [--test FILE] [--output FILE] [options]",
    "From the log: reads the searches that somebody engaged with, estimates how likely each rank is looked at, trains trees\n"
    "(LambdaMART) and a linear order on the early searches, and judges the better one by late searches that it has not\n"
    "seen. A model that wins serves from then on; one that does not is kept with its report. Searches go on meanwhile.\n"
    "Interrupted once (Ctrl-C), nothing is kept.\n"
    "From files: trains both on the same rows, takes the trees where they are ahead on the validation rows by more than a\n"
    "standard error, and tells NDCG at 1, 3, 5 and 10. The same seed, settings and number of threads give the same model.\n"
    "Interrupted once, it ends with the trees that it has.",
    options,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage train -c books\n"
    "forage train -c books --since 2026-01-01 --name spring --no-activate\n"
    "forage train -c books --kind linear --debias regression-em --queries queries.tsv --judgments judgments.tsv\n"
    "# from files\n"
    "forage train --svmlight train.txt --validation vali.txt --test test.txt -o model.ubj\n"
    "forage train --svmlight train.txt.gz --kind trees --leaves 8 --learning-rate 0.03 --bags 5 --colsample 0.5\n"
    "forage train --svmlight clicks.txt --debias pairs --gain linear --json",
    run};
