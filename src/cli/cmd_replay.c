/* replay: a log of what people did, run through the funnel in its order. */
#include "cli/client.h"
#include "cli/import_batch.h"
#include "cli/input.h"
#include "cli/lastfm.h"
#include "cli/scratch.h"
#include "cli/screen.h"
#include "cli/waiting.h"
#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LESSON_BYTES ((size_t)2 << 20) /* of a log that only teaches, in one request */

static const cli_option options[] = {
    {"teach", 0, "SHARE", "of the log that only teaches, 0 to 1 (default: 0.5)"},
    {"every", 0, "N", "score every N-th of the other rows (default: 1)"},
    {"new-only", 0, NULL, "score only rows whose user has not chosen that document before"},
    {"page", 0, "N", "hits of a page that is served (default: 10)"},
    {"compare", 0, "NAMES", "serve nothing; compare these policies and fixed plans: regcb,squarecb:played …"},
    {"rank", 0, NULL, "serve nothing; compare rankers that are trained on the teaching share"},
    {"trees", 0, "N", "ranked: at most so many (default: 300)"},
    {"leaves", 0, "N", "ranked: of a tree (default: 15)"},
    {"bags", 0, "N", "ranked: ensembles of other seeds, averaged (default: 1)"},
    {"learning-rate", 0, "X", "ranked: how much a tree counts (default: 0.08)"},
    {"most-rows", 0, "N", "ranked: learn from the N best candidates of a request by fusion (default: all)"},
    {"strategies", 0, "NAMES", "compared: only with these strategies"},
    {"budget", 0, "N", "compared: mean candidates of a search (default: the collection's)"},
    {"depth", 0, "N", "compared: candidates of each strategy that are recorded (default: 128)"},
    {"seeds", 0, "N", "compared: runs of each policy, averaged (default: 1)"},
    {"seed", 0, "N", "of every random choice (default: 1)"},
    {"block", 0, "N", "rows of the log in one point of a learning curve (default: 10000)"},
    {"action", 0, "NAME", "of rows that name none (default: click)"},
    {"format", 0, "NAME", "ndjson, json, csv or tsv (default: recognised; so are gzip and zstd)"},
    {"first", 0, "FILE", "teach this log as a whole before"},
    {"scratch", 0, NULL, "on a copy in a temporary folder: the collection itself learns nothing"},
    {"lastfm", 0, "FOLDER", "import the Last.fm set of HetRec 2011 and replay its tags; in a temporary folder without --data"},
    {"rows", 0, "N", "with --lastfm: only the first N searches"},
    {0}};

typedef struct replay_command {
    const cli_arguments *arguments;
    client *client;
    const char *collection;
    char folder[512]; /* a temporary data folder; "": none */
    scratch copy;
    arena memory;
} replay_command;

/* ---- Requests -------------------------------------------------------------------------------------------------- */

static void add_parameter(buffer *target, const char *name, const char *value) {
    buffer_printf(target, "%c%s=", target->size && memchr(target->data, '?', target->size) ? '&' : '?', name);
    percent_encode(target, slice_of(value));
}

static const char *replay_target(replay_command *r, bool teach_all) {
    static const struct {
        const char *option, *parameter;
    } passed[] = {{"teach", "teach"},   {"every", "every"}, {"page", "page"},   {"compare", "compare"}, {"strategies", "strategies"},
                  {"budget", "budget"}, {"depth", "depth"}, {"seeds", "seeds"}, {"seed", "seed"},       {"block", "block"},
                  {"action", "action"}, {"format", "format"}, {"trees", "trees"}, {"leaves", "leaves"}, {"bags", "bags"},
                  {"learning-rate", "learning_rate"}, {"most-rows", "most_rows"}};
    buffer rest = {0};
    buffer_puts(&rest, "/replay");
    for (size_t i = 0; !teach_all && i < sizeof passed / sizeof passed[0]; i++) {
        const char *value = arg_text(r->arguments, passed[i].option, NULL);
        if (value) add_parameter(&rest, passed[i].parameter, value);
    }
    if (teach_all) add_parameter(&rest, "teach", "1");
    else if (arg_flag(r->arguments, "new-only")) add_parameter(&rest, "new_only", "true");
    if (!teach_all && arg_flag(r->arguments, "rank")) add_parameter(&rest, "rank", "true");
    const char *target = collection_target(&r->memory, r->collection, buffer_text(&rest));
    buffer_release(&rest);
    return target;
}

/* Whole lines, up to about this many bytes. */
static slice next_lines(slice *text, size_t size) {
    if (size < text->size) {
        const char *end = memchr(text->data + size, '\n', text->size - size);
        size = end ? (size_t)(end - text->data) + 1 : text->size;
    } else {
        size = text->size;
    }
    slice part = {text->data, size};
    *text = (slice){text->data + size, text->size - size};
    return part;
}

/* Lines of NDJSON that only teach, in parts, so that a bar can tell how far it is. */
static int teach_lines(replay_command *r, const char *what, slice lines) {
    progress p = progress_start(what, lines.size, arg_flag(r->arguments, "quiet"));
    const char *target = replay_target(r, true);
    uint64_t taught = 0, total = lines.size;
    int status = CLI_OK;
    while (!status && lines.size) {
        arena answer_memory;
        json_value *answer;
        int64_t count = 0;
        arena_init(&answer_memory, 0);
        status = client_json(r->client, &answer_memory, "POST", target, next_lines(&lines, LESSON_BYTES), &answer, NULL);
        if (!status) json_member_integer(answer, "taught", 0, INT64_MAX, &count, NULL);
        taught += (uint64_t)count;
        arena_release(&answer_memory);
        progress_show(&p, total - lines.size, taught);
    }
    progress_clear(&p);
    return status;
}

static int send_request(replay_command *r, const char *method, const char *rest, slice body) {
    json_value *answer;
    return client_json(r->client, &r->memory, method, collection_target(&r->memory, r->collection, rest), body, &answer, NULL);
}

/* ---- The answer ------------------------------------------------------------------------------------------------ */

static double number(const json_value *object, const char *key) {
    const json_value *v = object ? json_get(object, key) : NULL;
    return v && v->type == JSON_NUMBER ? v->number : 0;
}

static slice text_of(const json_value *object, const char *key) {
    slice out = {0};
    json_member_string(object, key, &out, NULL);
    return out;
}

static void print_rows(replay_command *r, const json_value *answer) {
    static const struct {
        const char *member, *what;
    } counts[] = {{"malformed", "that are no rows"},       {"unknown_documents", "with documents that are not there"},
                  {"unknown_actions", "with actions that have no reward"}, {"out_of_order", "older than one before them"},
                  {"refused", "refused"}};
    const json_value *problems = json_get(answer, "problems"), *cut = json_get(answer, "cut");
    printf("%s rows, %s learned from, %s scored, in %s\n", text_count(&r->memory, (uint64_t)number(answer, "rows")),
           text_count(&r->memory, (uint64_t)number(answer, "taught")), text_count(&r->memory, (uint64_t)number(answer, "scored")),
           text_seconds(&r->memory, number(answer, "took_ms") / 1000));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (number(answer, counts[i].member) > 0)
            printf("  %s %s\n", text_count(&r->memory, (uint64_t)number(answer, counts[i].member)), counts[i].what);
    if (cut && cut->boolean) printf("  %sthe log ends too early: it is cut off or damaged%s\n", paint(STYLE_YELLOW), paint(STYLE_NONE));
    for (const json_value *p = problems ? problems->first : NULL; p && !arg_flag(r->arguments, "quiet"); p = p->next) {
        buffer clean = {0};
        text_clean(&clean, p->text);
        fprintf(stderr, "  %s\n", buffer_text(&clean));
        buffer_release(&clean);
    }
}

static void print_served(replay_command *r, const json_value *served) {
    static const table_column columns[] = {{"rows of the log", true, false, STYLE_DIM}, {"scored", true, false, STYLE_NONE},
                                           {"among candidates", true, false, STYLE_BOLD}, {"on the page", true, false, STYLE_NONE},
                                           {"nDCG@10", true, false, STYLE_NONE},  {"MRR", true, false, STYLE_NONE},
                                           {"candidates", true, false, STYLE_NONE}};
    const json_value *curve = json_get(served, "curve");
    table *t = table_create(columns, 7);
    for (const json_value *p = curve ? curve->first : NULL; p; p = p->next) {
        table_cell_text(t, text_count(&r->memory, (uint64_t)number(p, "rows")));
        table_cell_text(t, text_count(&r->memory, (uint64_t)number(p, "scored")));
        table_cell_text(t, arena_printf(&r->memory, "%.3f", number(p, "recall")));
        table_cell_text(t, arena_printf(&r->memory, "%.3f", number(p, "shown")));
        table_cell_text(t, arena_printf(&r->memory, "%.3f", number(p, "ndcg")));
        table_cell_text(t, arena_printf(&r->memory, "%.3f", number(p, "mrr")));
        table_cell_text(t, arena_printf(&r->memory, "%.1f", number(p, "candidates")));
    }
    table_print(t, "");
    table_destroy(t);
}

static void add_contestant(replay_command *r, table *t, const json_value *c) {
    slice name = text_of(c, "name"), credit = text_of(c, "credit"), order = text_of(c, "order");
    const json_value *fixed = json_get(c, "versus") ? json_get(json_get(c, "versus"), "best fixed depths in hindsight") : NULL;
    bool played = slice_is(credit, "played"), shuffled = slice_is(order, "shuffled");
    const json_value *warm = json_get(c, "warm");
    table_cell_text(t, arena_printf(&r->memory, "%.*s%s%s%s", SLICE_ARG(name), played ? ", played arms" : "",
                                    shuffled ? ", shuffled" : "", warm && warm->boolean ? ", warm" : ""));
    table_cell_text(t, arena_printf(&r->memory, "%.4f", number(c, "recall")));
    table_cell_text(t, arena_printf(&r->memory, "%.4f to %.4f", number(c, "low"), number(c, "high")));
    table_cell_text(t, arena_printf(&r->memory, "%.1f", number(c, "candidates")));
    table_cell_text(t, fixed ? arena_printf(&r->memory, "%+.4f (%+.4f to %+.4f)", number(fixed, "difference"), number(fixed, "low"),
                                            number(fixed, "high"))
                             : "");
    buffer depths = {0};
    const json_value *d = json_get(c, "depths");
    for (const json_value *v = d ? d->first : NULL; v; v = v->next)
        if (v->number >= .05) buffer_printf(&depths, "%s%.*s %.1f", depths.size ? ", " : "", SLICE_ARG(v->key), v->number);
    table_cell_text(t, buffer_text(&depths));
    buffer_release(&depths);
}

static void print_tried(replay_command *r, const json_value *tried) {
    static const table_column columns[] = {{"", false, false, STYLE_BOLD},
                                           {"recall", true, false, STYLE_BOLD},
                                           {"95 % interval", true, false, STYLE_DIM},
                                           {"candidates", true, false, STYLE_NONE},
                                           {"over the best fixed depths", true, false, STYLE_NONE},
                                           {"mean depths", false, true, STYLE_DIM}};
    const json_value *plans = json_get(tried, "plans"), *policies = json_get(tried, "policies");
    table *t = table_create(columns, 6);
    for (const json_value *p = plans ? plans->first : NULL; p; p = p->next) add_contestant(r, t, p);
    for (const json_value *p = policies ? policies->first : NULL; p; p = p->next) add_contestant(r, t, p);
    table_print(t, "");
    table_destroy(t);
}

/* ---- Waiting --------------------------------------------------------------------------------------------------- */

#define LOOK_US 200000

typedef struct watching {
    replay_command *command;
    progress progress;
} watching;

static bool look(void *self) {
    watching *w = self;
    arena memory;
    client_reply reply = {0};
    json_value *told;
    arena_init(&memory, 0);
    const char *target = collection_target(&memory, w->command->collection, "/replay");
    bool answered = client_send(w->command->client, "GET", target, NULL, (slice){0}, &reply) == CLI_OK;
    if (answered && reply.status == 200 && !json_read(&memory, reply.body, &told, NULL) && number(told, "rows") > 0) {
        w->progress.total = (uint64_t)number(told, "rows");
        progress_show(&w->progress, (uint64_t)number(told, "done"), (uint64_t)number(told, "done"));
    }
    client_reply_release(&reply);
    arena_release(&memory);
    return answered;
}

static int replay_log_text(replay_command *r, slice log) {
    bool quiet = arg_flag(r->arguments, "quiet"), watched = !quiet && !client_is_remote(r->client);
    watching w = {r, progress_start("rows", 0, quiet)};
    json_value *answer;
    slice raw;
    int status = client_json_watched(r->client, &r->memory, replay_target(r, false), log, watched ? look : NULL, &w, LOOK_US,
                                     &answer, &raw);
    if (watched) progress_clear(&w.progress);
    if (status) return status;
    if (arg_flag(r->arguments, "json")) {
        printf("%.*s\n", (int)raw.size, raw.data);
        return CLI_OK;
    }
    const json_value *served = json_get(answer, "served"), *tried = json_get(answer, "tried");
    print_rows(r, answer);
    if (served) print_served(r, served);
    if (tried) print_tried(r, tried);
    return CLI_OK;
}

/* ---- Where the log comes from ---------------------------------------------------------------------------------- */

static int open_for_lastfm(replay_command *r) {
    const char *base = getenv("TMPDIR");
    if (client_would_be_remote(r->arguments) || arg_text(r->arguments, "data", NULL))
        return client_open(r->arguments, CLIENT_CREATES, &r->client);
    if (r->folder[0]) return client_open_folder(r->arguments, r->folder, &r->client);
    snprintf(r->folder, sizeof r->folder, "%s/forage-replay-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(r->folder)) {
        cli_error("making a temporary folder: %s", strerror(errno));
        r->folder[0] = '\0';
        return CLI_FAILED;
    }
    return client_open_folder(r->arguments, r->folder, &r->client);
}

static int import_artists(replay_command *r, slice documents) {
    import_batch b;
    import_batch_init(&b, r->client, r->collection);
    int status = CLI_OK;
    b.file = "artists.dat";
    while (!status && documents.size) {
        slice line = next_lines(&documents, 0);
        status = import_batch_add(&b, line, 1);
    }
    if (!status) status = import_batch_flush(&b);
    if (!status && b.failed) {
        cli_error("%llu artists were refused: %s", (unsigned long long)b.failed, b.refused[0].message);
        status = CLI_FAILED;
    }
    import_batch_release(&b);
    return status;
}

static int run_lastfm(replay_command *r) {
    const cli_arguments *a = r->arguments;
    const char *source = arg_text(a, "lastfm", NULL);
    int64_t most = 0;
    lastfm set = {0};
    if (a->n_words) return cli_usage_error(a->command, "\"%s\": --lastfm replays what is in its folder", a->words[0]);
    int status = arg_integer(a, "rows", 1, INT64_MAX, &most);
    if (!status) status = lastfm_read(source, (uint64_t)most, &set);
    r->collection = arg_text(a, "collection", "lastfm");
    if (!status) status = open_for_lastfm(r);
    if (!status) status = send_request(r, "PUT", "", slice_of(lastfm_schema));
    if (!status && !client_is_remote(r->client)) { /* the schema's half-life counts from the next opening */
        client_close(r->client);
        r->client = NULL;
        status = open_for_lastfm(r);
    }
    if (!status) status = import_artists(r, (slice){set.artists.data, set.artists.size});
    if (!status) status = teach_lines(r, "listens", (slice){set.listens.data, set.listens.size});
    if (!status)
        cli_note(a, "%llu artists, %llu listens, %llu searches", (unsigned long long)set.n_artists,
                 (unsigned long long)set.n_listens, (unsigned long long)set.n_searches);
    if (!status) status = replay_log_text(r, (slice){set.searches.data, set.searches.size});
    lastfm_release(&set);
    return status;
}

#define MOST_LOG ((size_t)1 << 30)

/* As it is: a compressed log that is cut off still holds what came before. */
static int read_log(const char *path, buffer *out) {
    input_file file;
    base_error error;
    size_t got = 1;
    int status = input_open(path, &file);
    if (status) return status;
    while (!status && got) {
        char *room = buffer_reserve(out, (size_t)1 << 20);
        if (input_read(&file, room, (size_t)1 << 20, &got, &error)) {
            cli_error("%s: %s", path, error.message);
            status = CLI_FAILED;
        } else if ((out->size += got) > MOST_LOG) {
            cli_error("%s: more than 1 GiB; replay it in parts", path);
            status = CLI_FAILED;
        }
    }
    input_close(&file);
    return status;
}

static int run_log(replay_command *r) {
    const cli_arguments *a = r->arguments;
    const char *first = arg_text(a, "first", NULL);
    buffer log = {0}, before = {0};
    if (a->n_words != 1) return cli_usage_error(a->command, "which log? Give one file, or - for standard input");
    int status = first ? read_log(first, &before) : CLI_OK;
    if (!status) status = read_log(a->words[0], &log);
    if (!status && arg_flag(a, "scratch")) {
        status = scratch_open(a, &r->memory, &r->copy, &r->client, &r->collection);
    } else if (!status) {
        status = client_open(a, CLIENT_WRITES, &r->client);
        if (!status) status = client_collection(r->client, a, &r->memory, NULL, &r->collection);
    }
    if (!status && first) {
        json_value *answer;
        status = client_json(r->client, &r->memory, "POST", replay_target(r, true), (slice){before.data, before.size}, &answer, NULL);
    }
    if (!status) status = replay_log_text(r, (slice){log.data, log.size});
    buffer_release(&before);
    buffer_release(&log);
    return status;
}

static int run(const cli_arguments *a) {
    replay_command r = {.arguments = a};
    arena_init(&r.memory, 0);
    int status = arg_text(a, "lastfm", NULL) ? run_lastfm(&r) : run_log(&r);
    client_close(r.client);
    if (r.folder[0]) os_remove_tree(r.folder, NULL);
    scratch_remove(&r.copy);
    arena_release(&r.memory);
    return status;
}

const cli_command command_replay = {
    "replay",
    "runs a log of what people did through the engine",
    "replay [options] LOG\nreplay [options] --lastfm FOLDER",
    "A log has the columns query, user, session, document, time, action and context, in the order of time; only the\n"
    "document must be there. Each row is asked as a search, scored, and then learned from. Policy and ranker learn only\n"
    "from what a page showed; memory, profiles, trends and graph from every row. With --compare nothing is served:\n"
    "every strategy's list is recorded, and policies learn side by side on the record, beside the best plans that do\n"
    "not learn, all at the same mean number of candidates. A replay teaches the collection for good, unless it is told --scratch.",
    options,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage replay clicks.ndjson\nforage replay --teach 0.8 --compare regcb,lin-ts,rrf-equal --budget 100 clicks.csv\n"
    "forage replay --lastfm lastfm-2k --every 7 --new-only --compare regcb,squarecb",
    run};
