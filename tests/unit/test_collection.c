/* Documents: in by every format, replaced, removed, refused with a reason, found again after reopening and after
 * damage. */
#include "world.h"

#include "sparse/match.h"

#include <locale.h>
#include <pthread.h>
#include <zlib.h>
#include <zstd.h>

static world *w;

static int set_up(void **state) {
    (void)state;
    w = world_begin();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    return 0;
}

static const char *plain_schema = "{\"fields\":{\"title\":{\"type\":\"text\"},\"genre\":{\"type\":\"keyword\"},"
                                  "\"year\":{\"type\":\"number\"},\"released\":{\"type\":\"date\"},"
                                  "\"author\":{\"type\":\"reference\"},\"v\":{\"type\":\"vector\",\"dimensions\":2}}}";

static const char *found(const char *query) { return world_ids(w, world_find(w, query)); }

static void assert_sound(world *it) {
    buffer problems = {0};
    if (collection_check(it->collection, &problems, NULL)) fail_msg("%s", buffer_text(&problems));
    buffer_release(&problems);
}

/* The stored JSON of a document, or "(none)". */
static const char *stored(const char *id) {
    store_txn *t;
    collection_document d;
    const char *out = "(none)";
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    if (!collection_document_by_id(t, slice_of(id), &d)) out = arena_strndup(&w->memory, d.source.data, d.source.size);
    store_read_end(t);
    return out;
}

/* ---- Replacing and removing ---- */

static void a_newer_document_replaces_the_older(void **state) {
    (void)state;
    world_schema(w, plain_schema);
    world_import(w, "{\"id\":\"a\",\"title\":\"red "
                    "fox\",\"genre\":\"Drama\",\"year\":1990}\n{\"id\":\"b\",\"title\":\"grey wolf\"}\n");
    assert_string_equal(found("fox"), "a");
    world_import(w, "{\"id\":\"a\",\"title\":\"blue whale\"}\n");
    assert_string_equal(found("fox"), "");
    assert_string_equal(found("whale"), "a");
    assert_string_equal(world_ids(w, world_search(w, "{\"filter\":{\"genre\":\"drama\"}}")), "");
    assert_int_equal(world_total(w, ""), 2);
    assert_string_equal(stored("a"), "{\"id\":\"a\",\"title\":\"blue whale\"}");
    assert_sound(w);
}

static void a_removed_document_is_gone_until_it_comes_again(void **state) {
    (void)state;
    base_error error = {0};
    world_import(w, "{\"id\":\"a\",\"title\":\"red fox\"}\n{\"id\":\"b\",\"title\":\"red wolf\"}\n");
    assert_ok(collection_delete(w->collection, SLICE("a"), &error));
    assert_string_equal(found("red"), "b");
    assert_string_equal(stored("a"), "(none)");
    assert_int_equal(collection_delete(w->collection, SLICE("a"), &error), FORAGE_E_NO_DOCUMENT);
    assert_string_equal(error.message, "there is no document \"a\"");
    assert_int_equal(collection_delete(w->collection, SLICE(""), &error), FORAGE_E_NO_DOCUMENT);
    world_import(w, "{\"id\":\"a\",\"title\":\"red kite\"}\n");
    assert_string_equal(found("kite"), "a");
    assert_int_equal(world_total(w, "red"), 2);
    assert_sound(w);
}

static void of_one_id_in_one_import_the_last_wins(void **state) {
    (void)state;
    assert_int_equal(world_import(w, "{\"id\":\"a\",\"title\":\"first\"}\n{\"id\":\"b\",\"title\":\"between\"}\n"
                                     "{\"id\":\"a\",\"title\":\"second\"}\n{\"id\":\"a\",\"title\":\"third\"}\n"),
                     4);
    assert_string_equal(found("first"), "");
    assert_string_equal(found("second"), "");
    assert_string_equal(found("third"), "a");
    assert_int_equal(world_total(w, ""), 2);
    assert_sound(w);
}

static void reopening_gives_the_same(void **state) {
    (void)state;
    world_import(w, "{\"id\":\"a\",\"title\":\"red "
                    "fox\",\"year\":1,\"tags\":[\"x\",\"y\"]}\n{\"id\":\"b\",\"title\":\"red wolf\",\"year\":2}\n");
    world_import(w, "{\"id\":\"a\",\"title\":\"red kite\",\"year\":3}\n");
    assert_ok(collection_delete(w->collection, SLICE("b"), NULL));
    world_import(w, "{\"id\":\"c\",\"title\":\"red hen\",\"year\":4}\n");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(world_total(w, "red"), 2);
        assert_string_equal(found("hen"), "c");
        assert_string_equal(found("fox"), "");
        assert_string_equal(stored("a"), "{\"id\":\"a\",\"title\":\"red kite\",\"year\":3}");
        world_reopen(w);
    }
    world *other = world_crash(w);
    assert_int_equal(world_total(other, "red"), 2);
    assert_string_equal(world_ids(other, world_find(other, "kite")), "a");
    assert_sound(other);
    world_end(other);
}

/* ---- What a document is ---- */

static void ids_are_what_they_say(void **state) {
    (void)state;
    char longest[501], line[1200];
    memset(longest, 'x', 500);
    longest[500] = '\0';
    const char *const good[] = {"a",
                                "0",
                                "a/b?c=d&e",
                                "two words",
                                "quote\\\"s",
                                "Ünïcödé",
                                "e\xCC\x81",
                                "\xD7\xA9\xD7\x9C",
                                "\xF0\x9F\xA6\x8A",
                                "\xE2\x80\xAE"
                                "rtl",
                                longest};
    size_t n = sizeof good / sizeof good[0];
    for (size_t i = 0; i < n; i++) {
        snprintf(line, sizeof line, "{\"id\":\"%s\",\"title\":\"same word\"}", good[i]);
        assert_int_equal(world_import(w, line), 1);
    }
    world_import(w, "{\"id\":-5,\"title\":\"same\"}\n{\"id\":9007199254740993,\"title\":\"same\"}\n{\"_id\":\"under\","
                    "\"title\":\"same\"}\n");
    assert_int_equal(world_total(w, "same"), n + 3);
    assert_string_not_equal(stored("9007199254740993"), "(none)");
    assert_string_not_equal(stored("under"), "(none)");
    assert_string_not_equal(stored("e\xCC\x81"), "(none)"); /* bytes, not looks */
    assert_string_equal(stored("\xC3\xA9"), "(none)");
    world_import(w, "{\"id\":0,\"title\":\"other\"}\n"); /* a number as written is the string */
    assert_int_equal(world_total(w, "same"), n + 2);
    assert_sound(w);
}

typedef struct refusal {
    const char *document, *message;
} refusal;

static void assert_refused(const refusal *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        import_report report;
        world_import_report(w, slice_of(rows[i].document), &report);
        assert_int_equal(report.received, 1);
        assert_int_equal(report.failed, 1);
        assert_int_equal(report.indexed, 0);
        assert_string_equal(report.problems[0].message.data, rows[i].message);
        arena_release(&report.memory);
    }
    assert_int_equal(world_total(w, ""), 0);
}

static void documents_without_a_good_id_are_refused(void **state) {
    (void)state;
    char too_long[600];
    snprintf(too_long, sizeof too_long, "{\"id\":\"%0501d\"}", 7);
    const refusal rows[] = {
        {"{\"title\":\"x\"}", "line 1, field \"id\": the document has no id; if another member holds it, name that one (the "
                               "schema's \"id\", or --id on the command line)"},
        {"{\"id\":null}", "line 1, field \"id\": the document has no id; if another member holds it, name that one (the schema's "
                       "\"id\", or --id on the command line)"},
        {"{\"id\":\"\"}", "line 1, field \"id\": an id has 1 to 500 bytes, this one has 0"},
        {too_long, "line 1, field \"id\": an id has 1 to 500 bytes, this one has 501"},
        {"{\"id\":\"a\\nb\"}", "line 1, field \"id\": an id has no control characters"},
        {"{\"id\":\"a\\u0000b\"}", "line 1, field \"id\": an id has no control characters"},
        {"{\"id\":1.5}", "line 1, field \"id\": expected an id (a string or a whole number), got 1.5"},
        {"{\"id\":1e3}", "line 1, field \"id\": expected an id (a string or a whole number), got 1e3"},
        {"{\"id\":true}", "line 1, field \"id\": expected an id (a string or a whole number), got true"},
        {"{\"id\":[]}", "line 1, field \"id\": expected an id (a string or a whole number), got an array"},
        {"{\"_id\":{}}", "line 1, field \"_id\": expected an id (a string or a whole number), got an object"},
        {"[7]", "line 1: expected a document (an object), got a number"},
    };
    assert_refused(rows, sizeof rows / sizeof rows[0]);
}

static void values_that_do_not_fit_are_refused(void **state) {
    (void)state;
    const refusal rows[] = {
        {"{\"id\":1,\"year\":\"nineteen\"}", "line 1, field \"year\": expected a number, got \"nineteen\""},
        {"{\"id\":1,\"year\":[1999]}", "line 1, field \"year\": expected a number, got an array"},
        {"{\"id\":1,\"year\":true}", "line 1, field \"year\": expected a number, got true"},
        {"{\"id\":1,\"year\":\"NaN\"}", "line 1, field \"year\": expected a number, got \"NaN\""},
        {"{\"id\":1,\"year\":\"inf\"}", "line 1, field \"year\": expected a number, got \"inf\""},
        {"{\"id\":1,\"year\":\"0x10\"}", "line 1, field \"year\": expected a number, got \"0x10\""},
        {"{\"id\":1,\"year\":\" 7\"}", "line 1, field \"year\": expected a number, got \" 7\""},
        {"{\"id\":1,\"year\":\"\"}", "line 1, field \"year\": expected a number, got \"\""},
        {"{\"id\":1,\"released\":\"June\"}",
         "line 1, field \"released\": expected a date such as \"2008-06-12\", got \"June\""},
        {"{\"id\":1,\"released\":\"2009-02-29\"}",
         "line 1, field \"released\": expected a date such as \"2008-06-12\", got \"2009-02-29\""},
        {"{\"id\":1,\"title\":{}}", "line 1, field \"title\": expected text or an array of texts, got an object"},
        {"{\"id\":1,\"genre\":[[]]}",
         "line 1, field \"genre\": expected a string or an array of strings, got an array"},
        {"{\"id\":1,\"author\":{\"id\":2}}",
         "line 1, field \"author\": expected a document's id or an array of ids, got an object"},
        {"{\"id\":1,\"v\":7}", "line 1, field \"v\": expected an array of 2 numbers, got 7"},
        {"{\"id\":1,\"v\":[1]}", "line 1, field \"v\": expected an array of 2 numbers, got 1"},
        {"{\"id\":1,\"v\":[1,\"2\"]}", "line 1, field \"v\": expected an array of 2 numbers, got \"2\""},
        {"{\"id\":1,\"v\":[1,1e39]}", "line 1, field \"v\": expected an array of 2 numbers, got 1e39"},
    };
    world_schema(w, plain_schema);
    assert_refused(rows, sizeof rows / sizeof rows[0]);
}

static void a_number_string_with_more_behind_it_is_no_number(void **state) {
    (void)state;
    import_report report;
    world_schema(w, plain_schema);
    world_import_report(
        w, SLICE("{\"id\":1,\"year\":\"12\\u0000ab\"}\n{\"id\":2,\"year\":\"\\t12\"}\n{\"id\":3,\"year\":\"12\"}"),
        &report);
    assert_int_equal(report.failed, 2);
    assert_int_equal(report.indexed, 1);
    arena_release(&report.memory);
}

static void numbers_do_not_depend_on_the_locale(void **state) {
    (void)state;
    static const char *const with_comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    bool set = false;
    for (size_t i = 0; i < sizeof with_comma / sizeof with_comma[0] && !set; i++)
        set = setlocale(LC_ALL, with_comma[i]) != NULL;
    if (!set) {
        printf("SKIPPED: no locale with a decimal comma is installed\n");
        skip();
    }
    world_schema(w, plain_schema);
    world_import(w, "{\"id\":\"a\",\"year\":\"1.5\"}\n{\"id\":\"b\",\"year\":1.5}\n");
    assert_int_equal(number_at(world_search(w, "{\"filter\":{\"year\":1.5}}"), "total.value"), 2);
    setlocale(LC_ALL, "C");
}

static void what_the_schema_does_not_name_is_kept(void **state) {
    (void)state;
    const char *document = "{\"id\":1,\"title\":\"fox\",\"extra\":{\"deep\":[1,2.50,null]},\"year\":null,\"v\":[1,2]}";
    world_schema(w, plain_schema);
    world_import(w, document);
    assert_string_equal(stored("1"), document);
    assert_string_equal(found("fox"), "1");
    world_import(w, "{\n  \"id\": 2,\n  \"title\": \"wolf\"\n}\n"); /* stored on one line, for exports */
    assert_string_equal(stored("2"), "{\"id\":2,\"title\":\"wolf\"}");
}

static void each_text_is_stemmed_by_its_own_language(void **state) {
    (void)state;
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\",\"language\":\"detect\"}}}");
    world_import(w, "{\"id\":\"de\",\"title\":\"Die schönsten Häuser und Gärten in den Städten des Landes waren "
                    "gestern geöffnet\"}\n"
                    "{\"id\":\"en\",\"title\":\"The most beautiful houses and gardens in the cities of the country "
                    "were open yesterday\"}\n");
    assert_string_equal(found("welche Häuser und welcher Garten"), "de");
    assert_string_equal(found("which house and which garden"), "en");
}

static void the_last_of_sixty_four_fields_works(void **state) {
    (void)state;
    buffer json = {0};
    buffer_puts(&json, "{\"fields\":{\"type\":{\"type\":\"keyword\"},\"popularity\":{\"type\":\"number\"}");
    for (int i = 0; i < 62; i++) buffer_printf(&json, ",\"f%d\":{\"type\":\"%s\"}", i, i % 2 ? "text" : "number");
    buffer_puts(&json, "}}");
    world_schema(w, buffer_text(&json));
    buffer_clear(&json);
    for (int d = 0; d < 50; d++) {
        buffer_printf(&json, "{\"id\":%d,\"type\":\"t\",\"popularity\":%d", d, d);
        for (int i = 0; i < 62; i++)
            buffer_printf(&json, i % 2 ? ",\"f%d\":\"word%dx%d\"" : ",\"f%d\":1%d%02d", i, i, d);
        buffer_puts(&json, "}\n");
    }
    assert_int_equal(world_import(w, buffer_text(&json)), 50);
    assert_string_equal(found("word61x7"), "7");
    assert_string_equal(world_ids(w, world_search(w, "{\"filter\":{\"f60\":16042}}")), "42");
    world_reopen(w);
    assert_string_equal(found("word61x7"), "7");
    assert_sound(w);
    buffer_release(&json);
}

/* ---- Formats ---- */

static const char *compressed(bool zstd, const char *text, size_t *size) {
    size_t length = strlen(text), room = length + 1000;
    char *out = arena_alloc(&w->memory, room);
    if (zstd) {
        *size = ZSTD_compress(out, room, text, length, 3);
        return out;
    }
    z_stream z = {0};
    char *in = arena_strndup(&w->memory, text, length);
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)in;
    z.avail_in = (uInt)length;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *size = z.total_out;
    deflateEnd(&z);
    return out;
}

/* Seventeen lines or rows, of which the last but one is wrong. */
static void assert_all_but_one(slice bytes, uint64_t line) {
    import_report report;
    char message[100];
    world *other = w;
    w = world_begin();
    world_schema(w, plain_schema);
    world_import_report(w, bytes, &report);
    assert_int_equal(report.received, 17);
    assert_int_equal(report.indexed, 16);
    assert_int_equal(report.failed, 1);
    assert_int_equal(report.n_problems, 1);
    assert_int_equal(report.problems[0].line, line);
    snprintf(message, sizeof message, "line %llu, field \"year\": expected a number, got \"nineteen\"",
             (unsigned long long)line);
    assert_string_equal(report.problems[0].message.data, message);
    assert_string_equal(report.problems[0].field.data, "year");
    assert_string_equal(report.problems[0].id.data, "d15");
    assert_int_equal(world_total(w, "fox"), 16);
    assert_string_equal(world_ids(w, world_search(w, "{\"filter\":{\"year\":1914}}")), "d14");
    arena_release(&report.memory);
    world_end(w);
    w = other;
}

static void every_format_tells_the_line_and_takes_the_rest(void **state) {
    (void)state;
    buffer lines = {0}, array = {0}, csv = {0}, tsv = {0};
    buffer_putc(&array, '[');
    buffer_puts(&csv, "id,title,year\n");
    buffer_puts(&tsv, "id\ttitle\tyear\n");
    for (int i = 0; i < 17; i++) {
        char year[16];
        snprintf(year, sizeof year, i == 15 ? "nineteen" : "%d", 1900 + i);
        const char *quote = i == 15 ? "\"" : "";
        buffer_printf(&lines, "{\"id\":\"d%d\",\"title\":\"red fox\",\"year\":%s%s%s}\n", i, quote, year, quote);
        buffer_printf(&array, "%s\n{\"id\":\"d%d\",\"title\":\"red fox\",\"year\":%s%s%s}", i ? "," : "", i, quote,
                      year, quote);
        buffer_printf(&csv, "d%d,\"red, \"\"old\"\" fox\",%s\n", i, year);
        buffer_printf(&tsv, "d%d\tred fox\t%s\n", i, year);
    }
    buffer_puts(&array, "\n]");
    size_t gzip_size, zstd_size;
    const char *gzip = compressed(false, buffer_text(&lines), &gzip_size);
    const char *zstd = compressed(true, buffer_text(&csv), &zstd_size);
    assert_all_but_one((slice){lines.data, lines.size}, 16);
    assert_all_but_one((slice){array.data, array.size}, 17);
    assert_all_but_one((slice){csv.data, csv.size}, 17);
    assert_all_but_one((slice){tsv.data, tsv.size}, 17);
    assert_all_but_one((slice){gzip, gzip_size}, 16);
    assert_all_but_one((slice){zstd, zstd_size}, 17);
    buffer_release(&lines);
    buffer_release(&array);
    buffer_release(&csv);
    buffer_release(&tsv);
}

static void broken_lines_are_counted_and_passed_over(void **state) {
    (void)state;
    import_report report;
    world_import_report(w,
                        SLICE("{\"id\":1,\"title\":\"fox\"}\n{\"id\":2,\"title\":}\n\n{\"id\":3,\"id\":4}\n{\"id\":5,"
                              "\"title\":\"fox\"}\n"),
                        &report);
    assert_int_equal(report.received, 4);
    assert_int_equal(report.indexed, 2);
    assert_int_equal(report.failed, 2);
    assert_int_equal(report.problems[0].line, 2);
    assert_int_equal(strncmp(report.problems[0].message.data, "line 2: ", 8), 0);
    assert_int_equal(report.problems[1].line, 4);
    assert_int_equal(world_total(w, "fox"), 2);
    arena_release(&report.memory);
}

static forage_status import_from_line(const char *records, uint64_t first_line, import_report *report,
                                      base_error *error) {
    *report = (import_report){0};
    arena_init(&report->memory, 0);
    records_reader *reader = records_open_memory(slice_of(records), NULL);
    forage_status status = collection_import(w->collection, reader, first_line, report, error);
    records_close(reader);
    return status;
}

/* Every message names its line once, counted from where the caller says the first one is. */
static void lines_count_from_the_first_line_given(void **state) {
    (void)state;
    import_report report;
    base_error error = {0};
    world_schema(w, plain_schema);
    assert_ok(import_from_line("id,title,year\n1,fox,1999\n2,wolf,x\n3,kite,y,z\n", 101, &report, &error));
    assert_int_equal(report.indexed, 1);
    assert_string_equal(report.problems[0].message.data, "line 103, field \"year\": expected a number, got \"x\"");
    assert_int_equal(report.problems[1].line, 104);
    assert_int_equal(strncmp(report.problems[1].message.data, "line 104", 8), 0);
    assert_null(strstr(report.problems[1].message.data + 4, "line "));
    arena_release(&report.memory);
    assert_int_equal(import_from_line("[{\"id\":7},\n{\"id\":8} nonsense", 201, &report, &error), FORAGE_E_JSON);
    assert_int_equal(strncmp(error.message, "line 202: ", 10), 0);
    assert_null(strstr(error.message + 4, "line "));
    assert_int_equal(report.indexed + report.failed, report.received);
    assert_string_not_equal(stored("7"), "(none)");
    arena_release(&report.memory);
}

static void at_most_a_hundred_errors_are_listed(void **state) {
    (void)state;
    import_report report;
    buffer lines = {0};
    for (int i = 0; i < 250; i++) buffer_puts(&lines, "{\"title\":\"no id\"}\n");
    world_import_report(w, (slice){lines.data, lines.size}, &report);
    assert_int_equal(report.failed, 250);
    assert_int_equal(report.n_problems, 100);
    arena_release(&report.memory);
    buffer_release(&lines);
}

static void what_came_before_a_broken_stream_is_kept(void **state) {
    (void)state;
    size_t size;
    buffer lines = {0};
    for (int i = 0; i < 3000; i++) buffer_printf(&lines, "{\"id\":%d,\"title\":\"fox %d\"}\n", i, i * 7919);
    const char *zstd = compressed(true, buffer_text(&lines), &size);
    import_report report = {0};
    base_error error = {0};
    arena_init(&report.memory, 0);
    records_reader *reader = records_open_memory((slice){zstd, size - 40}, NULL);
    assert_int_not_equal(collection_import(w->collection, reader, 1, &report, &error), FORAGE_OK);
    records_close(reader);
    assert_true(error.message[0]);
    assert_int_equal(world_total(w, "fox"), report.indexed);
    assert_sound(w);
    arena_release(&report.memory);
    buffer_release(&lines);
}

/* ---- Snapshots, types, damage ---- */

static void a_snapshot_stays_as_it_was(void **state) {
    (void)state;
    world_import(w, "{\"id\":1,\"title\":\"fox\"}\n");
    const sparse_snapshot *old = collection_acquire(w->collection);
    world_import(w, "{\"id\":1,\"title\":\"wolf\"}\n{\"id\":2,\"title\":\"fox\"}\n");
    assert_ok(collection_delete(w->collection, SLICE("2"), NULL));
    assert_int_equal(old->live_documents, 1);
    sparse_eligible all;
    sparse_eligible_compute(old, NULL, &w->memory, &all);
    sparse_query_term term = {.key = sparse_text_key(&w->memory, SLICE("fox")), .weight = 1};
    sparse_query query = {.terms = &term, .n_terms = 1, .text_weight = 1};
    sparse_hit hits[4];
    assert_int_equal(sparse_search(&all, &query, 4, &w->memory, hits, NULL), 1);
    collection_release(w->collection, old);
}

/* The values of an array are titles of their own: a phrase may be any of them and goes across none. */
static void a_phrase_stays_within_a_value(void **state) {
    (void)state;
    world_import(w, "{\"id\":1,\"title\":[\"red fox\",\"grey wolf\"]}\n");
    const sparse_snapshot *s = collection_acquire(w->collection);
    static const struct {
        const char *words[2];
        float phrase, exact;
    } wanted[] = {{{"red", "fox"}, 1, 1}, {{"grey", "wolf"}, 1, 1}, {{"fox", "grey"}, 0.5f, 0}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        sparse_query_term terms[2] = {{.weight = 1}, {.weight = 1}};
        for (size_t t = 0; t < 2; t++) terms[t].key = sparse_text_key(&w->memory, slice_of(wanted[i].words[t]));
        sparse_match *found = arena_alloc(&w->memory, sparse_match_columns(s->config, NULL) * sizeof *found);
        sparse_match_fields(s, terms, 2, (uint32_t[]){sparse_segment_document(s->parts[0].segment, 0)}, 1, &w->memory, found, NULL);
        assert_true(found[0].phrase == wanted[i].phrase && found[0].exact == wanted[i].exact);
    }
    collection_release(w->collection, s);
}

static void types_are_counted(void **state) {
    (void)state;
    collection_type *types;
    world_import(w, "{\"id\":1,\"type\":\"Book\"}\n{\"id\":2,\"type\":\"film\"}\n{\"id\":3,\"type\":\"film\"}\n");
    const sparse_snapshot *s = collection_acquire(w->collection);
    assert_int_equal(collection_types(w->collection, s, &w->memory, &types), 2);
    assert_true(slice_is(types[0].name, "film"));
    assert_int_equal(types[0].documents, 2);
    assert_true(slice_is(types[1].name, "book"));
    collection_release(w->collection, s);
}

static forage_status forget_document(store_txn *t, void *self, base_error *error) {
    (void)self;
    uint8_t key[4] = {0, 0, 0, 1};
    return store_delete(t, STORE_DOCUMENTS, (slice){(const char *)key, 4}, error);
}

static void check_finds_what_does_not_agree(void **state) {
    (void)state;
    buffer problems = {0};
    base_error error = {0};
    world_import(
        w, "{\"id\":\"a\",\"title\":\"fox\"}\n{\"id\":\"b\",\"title\":\"wolf\"}\n{\"id\":\"c\",\"title\":\"hen\"}\n");
    assert_sound(w);
    store_job job = {.apply = forget_document};
    assert_ok(store_write(collection_store(w->collection), &job, NULL));
    assert_int_equal(collection_check(w->collection, &problems, &error), FORAGE_E_CORRUPT);
    assert_non_null(strstr(buffer_text(&problems), "2 documents are stored, 3 are in the index"));
    assert_non_null(strstr(buffer_text(&problems), "2 documents are stored, 3 ids"));
    assert_string_equal(error.message, "2 problems were found");
    buffer_release(&problems);
}

/* Spoils one file of the index: cut short, or removed. */
static void spoil(const char *folder, bool remove) {
    char **names;
    size_t n;
    char *segments = path_join(&w->memory, folder, "segments");
    assert_ok(os_list(segments, &w->memory, &names, &n, NULL));
    assert_true(n > 0);
    char *path = path_join(&w->memory, segments, names[0]);
    if (remove) assert_ok(os_remove_file(path, NULL));
    else assert_int_equal(truncate(path, 100), 0);
}

static void damaged_index_files_are_rebuilt(void **state) {
    (void)state;
    log_set_level(LOG_SILENT);
    world_import(w, "{\"id\":\"a\",\"title\":\"red fox\"}\n{\"id\":\"b\",\"title\":\"red wolf\"}\n");
    for (int way = 0; way < 2; way++) {
        world_shut(w);
        spoil(w->folder, way == 1);
        world_open(w);
        assert_int_equal(world_total(w, "red"), 2);
        assert_sound(w);
        world_reopen(w);
        assert_int_equal(world_total(w, "red"), 2);
        world_shut(w); /* what was rebuilt is whole: it is not done again at each opening */
        store *s;
        sparse_index *index;
        bool damaged;
        sparse_config config = {
            .n_fields = 1, .fields = {{"title", SPARSE_TEXT, 3}}, .popularity = -1, .type = -1, .k1 = .9f, .b = .4f};
        assert_ok(store_open(w->folder, NULL, &s, NULL));
        assert_ok(sparse_index_open(path_join(&w->memory, w->folder, "segments"), s, &config, &index, &damaged, NULL));
        assert_false(damaged);
        sparse_index_close(index);
        store_close(s);
        world_open(w);
    }
    log_set_level(LOG_WARN);
}

/* A removal that no index file knows yet must hold when other files are damaged. */
static void what_was_removed_stays_removed_after_damage(void **state) {
    (void)state;
    log_set_level(LOG_SILENT);
    sparse_index *index = collection_index(w->collection);
    world_import(w, "{\"id\":\"a\",\"title\":\"red fox\"}\n{\"id\":\"b\",\"title\":\"red wolf\"}\n");
    assert_ok(sparse_index_flush(index, NULL));
    world_import(w, "{\"id\":\"c\",\"title\":\"red hen\"}\n{\"id\":\"d\",\"title\":\"red kite\"}\n");
    assert_ok(sparse_index_flush(index, NULL));
    for (int file = 0; file < 2; file++) {
        assert_ok(collection_delete(w->collection, file ? SLICE("b") : SLICE("c"), NULL));
        world *other = world_crash(w);
        world_shut(other);
        assert_ok(os_remove_tree(other->folder, NULL));
        world_copy(w->folder, other->folder);
        spoil(other->folder, true);
        world_open(other);
        assert_string_equal(world_ids(other, world_find(other, "hen")), "");
        assert_int_equal(world_total(other, "red"), file ? 2 : 3);
        assert_sound(other);
        world_end(other);
    }
    log_set_level(LOG_WARN);
}

/* ---- Side by side ---- */

static void *import_many(void *argument) {
    const char *word = argument;
    buffer lines = {0};
    for (int round = 0; round < 5; round++) {
        buffer_clear(&lines);
        for (int i = 0; i < 200; i++)
            buffer_printf(&lines, "{\"id\":%d,\"title\":\"%s\",\"round\":%d}\n", i, word, round);
        world_import(w, buffer_text(&lines));
    }
    buffer_release(&lines);
    return NULL;
}

static void imports_side_by_side_leave_one_document_per_id(void **state) {
    (void)state;
    static char words[3][8] = {"fox", "wolf", "kite"};
    pthread_t threads[3];
    world_schema(w, plain_schema);
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, import_many, words[i]), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(world_total(w, ""), 200);
    assert_int_equal(world_total(w, "fox") + world_total(w, "wolf") + world_total(w, "kite"), 200);
    assert_sound(w);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(a_newer_document_replaces_the_older),
        ISOLATED(a_removed_document_is_gone_until_it_comes_again),
        ISOLATED(of_one_id_in_one_import_the_last_wins),
        ISOLATED(reopening_gives_the_same),
        ISOLATED(ids_are_what_they_say),
        ISOLATED(documents_without_a_good_id_are_refused),
        ISOLATED(values_that_do_not_fit_are_refused),
        ISOLATED(a_number_string_with_more_behind_it_is_no_number),
        ISOLATED(numbers_do_not_depend_on_the_locale),
        ISOLATED(what_the_schema_does_not_name_is_kept),
        ISOLATED(each_text_is_stemmed_by_its_own_language),
        ISOLATED(the_last_of_sixty_four_fields_works),
        ISOLATED(every_format_tells_the_line_and_takes_the_rest),
        ISOLATED(broken_lines_are_counted_and_passed_over),
        ISOLATED(lines_count_from_the_first_line_given),
        ISOLATED(at_most_a_hundred_errors_are_listed),
        ISOLATED(what_came_before_a_broken_stream_is_kept),
        ISOLATED(a_snapshot_stays_as_it_was),
        ISOLATED(a_phrase_stays_within_a_value),
        ISOLATED(types_are_counted),
        ISOLATED(check_finds_what_does_not_agree),
        ISOLATED(damaged_index_files_are_rebuilt),
        ISOLATED(what_was_removed_stays_removed_after_damage),
        ISOLATED(imports_side_by_side_leave_one_document_per_id),
    };
    return cmocka_run_group_tests_name("collection", tests, NULL, NULL);
}
