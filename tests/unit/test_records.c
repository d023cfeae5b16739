/* Records: the formats people have, compressed or not, in whatever pieces they arrive, and what is wrong with them. */
#include "testing.h"

#include "base/random.h"
#include "format/json.h"
#include "format/records.h"
#include "os/file.h"

#include <zlib.h>
#include <zstd.h>

/* Gives the bytes in pieces of `step`, and an error at `fail_at` when that is not 0. */
typedef struct pieces {
    slice bytes;
    size_t at, step, fail_at;
} pieces;

static forage_status next_piece(void *self, void *data, size_t size, size_t *got, base_error *error) {
    pieces *p = self;
    if (p->fail_at && p->at >= p->fail_at) return error_set(error, FORAGE_E_IO, "the cable was pulled");
    size_t left = p->bytes.size - p->at;
    *got = left < p->step ? left : p->step;
    if (*got > size) *got = size;
    if (*got) memcpy(data, p->bytes.data + p->at, *got);
    p->at += *got;
    return FORAGE_OK;
}

/* Everything the reader says, a line each: "line: json" or "line! message". */
static char *transcript(records_reader *r, buffer *out) {
    buffer_clear(out);
    for (int i = 0; i < 100000; i++) {
        slice json = {0};
        uint64_t line = 0;
        bool end = false, recoverable = false;
        base_error error = {0};
        forage_status status = records_next(r, &json, &line, &end, &recoverable, &error);
        if (status) {
            buffer_printf(out, "%s%s: %s\n", recoverable ? "" : "over, ", status_name(status), error.message);
            assert_int_equal(strncmp(error.message, "line ", 5), 0);
        } else if (end) {
            break;
        } else {
            buffer_printf(out, "%llu: ", (unsigned long long)line);
            buffer_slice(out, json);
            buffer_putc(out, '\n');
        }
    }
    records_close(r);
    return buffer_text(out);
}

static void assert_records_of(slice bytes, records_options options, const char *expected) {
    buffer out = {0};
    assert_string_equal(transcript(records_open_memory(bytes, &options), &out), expected);
    static const size_t steps[] = {1, 2, 3, 7};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        pieces p = {.bytes = bytes, .step = steps[i]};
        assert_string_equal(transcript(records_open(next_piece, &p, &options), &out), expected);
    }
    buffer_release(&out);
}

static void assert_records(const char *text, records_format format, const char *expected) {
    assert_records_of(slice_of(text), (records_options){.format = format}, expected);
}

static void reads_ndjson(void **state) {
    (void)state;
    assert_records("{\"a\":1}\n\n  \r\n{\"b\":\"x\\\"}\"}\r\n {\"c\":3} \n{\"d\":4}", RECORDS_AUTO,
                   "1: {\"a\":1}\n4: {\"b\":\"x\\\"}\"}\n5: {\"c\":3}\n6: {\"d\":4}\n");
    assert_records("\xEF\xBB\xBF{\"a\":1}\n", RECORDS_NDJSON, "1: {\"a\":1}\n");
    assert_records("", RECORDS_AUTO, "");
    assert_records("\n \n", RECORDS_NDJSON, "");
    assert_records("\xEF\xBB\xBF", RECORDS_AUTO, "");
    assert_records("17\nnull\n", RECORDS_NDJSON, "1: 17\n2: null\n"); /* for the JSON reader to judge */
}

static void reads_pretty_printed_objects(void **state) {
    (void)state;
    assert_records("{\n  \"a\": {\n    \"b\": [\n      {\"c\": 1},\n      {}\n    ]\n  }\n}\n"
                   "{\n\"x\":\"}\"\n}\n{\"y\":1}",
                   RECORDS_AUTO,
                   "1: {\n  \"a\": {\n    \"b\": [\n      {\"c\": 1},\n      {}\n    ]\n  }\n}\n"
                   "9: {\n\"x\":\"}\"\n}\n12: {\"y\":1}\n");
    assert_records("{\"a\":{}\n,\"b\":{}\n}\n{\"c\":1}\n", RECORDS_NDJSON,
                   "1: {\"a\":{}\n,\"b\":{}\n}\n4: {\"c\":1}\n");
}

/* A broken line costs one record, not the rest of the file. */
static void broken_lines_end_where_they_are(void **state) {
    (void)state;
    assert_records("{\"a\":1}\n{\"b\": [1,2\n{\"c\":3}\n{\"d\":\"x\n{\"e\":5}\n{\"f\":", RECORDS_NDJSON,
                   "1: {\"a\":1}\n2: {\"b\": [1,2\n3: {\"c\":3}\n4: {\"d\":\"x\n5: {\"e\":5}\n6: {\"f\":\n");
    assert_records("{\"a\":1} trailing\n{\"b\":2}\n", RECORDS_NDJSON, "1: {\"a\":1} trailing\n2: {\"b\":2}\n");
}

static void reads_json_arrays(void **state) {
    (void)state;
    assert_records(" [ {\"a\":[1,{}]} , {\"b\":\"],}{\"},\n{\"c\":\"\\\\\"},\n 7,\"s\",null]\n", RECORDS_AUTO,
                   "1: {\"a\":[1,{}]}\n1: {\"b\":\"],}{\"}\n2: {\"c\":\"\\\\\"}\n3: 7\n3: \"s\"\n3: null\n");
    assert_records("[]", RECORDS_AUTO, "");
    assert_records("[\n]\n", RECORDS_JSON, "");
    assert_records("{\"a\":1}", RECORDS_JSON, "1: {\"a\":1}\n");
    assert_records("{\"a\":1}{\"b\":2} {\"c\":\n3}\n\n{\"d\":4}", RECORDS_JSON,
                   "1: {\"a\":1}\n1: {\"b\":2}\n1: {\"c\":\n3}\n4: {\"d\":4}\n");
}

static void broken_arrays_are_errors(void **state) {
    (void)state;
    const char *cut = "1: {}\nover, invalid_json: line 2: the array is not closed: the text was cut short\n";
    assert_records("[{},\n", RECORDS_AUTO, cut);
    assert_records("[{}\n", RECORDS_AUTO, cut);
    assert_records("[{},\n{\"a\":", RECORDS_AUTO, cut);
    assert_records("[{},\n12", RECORDS_AUTO, cut);
    assert_records("[{} {}]", RECORDS_AUTO,
                   "1: {}\nover, invalid_json: line 1: expected ',' or ']' after an element\n");
    assert_records("[{},]", RECORDS_AUTO, "1: {}\nover, invalid_json: line 1: expected an element\n");
    assert_records("[,{}]", RECORDS_AUTO, "over, invalid_json: line 1: expected an element\n");
    assert_records("[{}]\n{}", RECORDS_AUTO, "1: {}\nover, invalid_json: line 2: something follows the array\n");
}

static void reads_csv(void **state) {
    (void)state;
    assert_records("id,title,year\r\n1,Heat,1995\r\n2,\"Me, Myself \"\"&\"\" Irene\",2000\r\n\r\n3,,\r\n4\r\n"
                   "5,\"two\nlines\",7\r\n\"6\",\"\",\"8\"",
                   RECORDS_AUTO,
                   "2: {\"id\":1,\"title\":\"Heat\",\"year\":1995}\n"
                   "3: {\"id\":2,\"title\":\"Me, Myself \\\"&\\\" Irene\",\"year\":2000}\n"
                   "5: {\"id\":3}\n6: {\"id\":4}\n"
                   "7: {\"id\":5,\"title\":\"two\\nlines\",\"year\":7}\n9: {\"id\":6,\"year\":8}\n");
    assert_records("a,b\n5\" disk,x\"y\"\n", RECORDS_CSV, "2: {\"a\":\"5\\\" disk\",\"b\":\"x\\\"y\\\"\"}\n");
    assert_records("a\nx\n", RECORDS_AUTO, "2: {\"a\":\"x\"}\n");
    assert_records("\xEF\xBB\xBF\"a \"\"q\"\"\",b\n1,2\n", RECORDS_CSV, "2: {\"a \\\"q\\\"\":1,\"b\":2}\n");
    assert_records("a;b\n1,5;x\n", RECORDS_AUTO, "2: {\"a\":\"1,5\",\"b\":\"x\"}\n");
    assert_records(",b,\n0,1,\n", RECORDS_CSV, "2: {\"b\":1}\n"); /* columns without a name are left out */
    assert_records("\n\na,b\n1,2\n", RECORDS_CSV, "4: {\"a\":1,\"b\":2}\n");
    assert_records("a,b\n", RECORDS_CSV, "");
    assert_records("a,b\n,\n", RECORDS_CSV, "2: {}\n");
}

static void cells_become_numbers_only_when_canonical(void **state) {
    (void)state;
    assert_records("v\n0\n-7\n007\n+1\n1.50\n1.\n.5\n1e5\n0x1F\n-\n1,\n00.1\n-0.25\n123456789012345678\n"
                   "1234567890123456789\n 1\nNaN\n",
                   RECORDS_CSV,
                   "2: {\"v\":0}\n3: {\"v\":-7}\n4: {\"v\":\"007\"}\n5: {\"v\":\"+1\"}\n6: {\"v\":1.50}\n"
                   "7: {\"v\":\"1.\"}\n8: {\"v\":\".5\"}\n9: {\"v\":\"1e5\"}\n10: {\"v\":\"0x1F\"}\n11: {\"v\":\"-\"}\n"
                   "invalid_request: line 12: 2 cells, but the header has 1 columns\n13: {\"v\":\"00.1\"}\n"
                   "14: {\"v\":-0.25}\n15: {\"v\":123456789012345678}\n16: {\"v\":\"1234567890123456789\"}\n"
                   "17: {\"v\":\" 1\"}\n18: {\"v\":\"NaN\"}\n");
}

static void broken_csv_costs_one_line(void **state) {
    (void)state;
    assert_records("a,b\n1,2,3\n4,5\n", RECORDS_CSV,
                   "invalid_request: line 2: 3 cells, but the header has 2 columns\n3: {\"a\":4,\"b\":5}\n");
    assert_records("a,b\n1,\"open\n2,x\n3,y\n", RECORDS_CSV,
                   "invalid_request: line 2: a quoted cell does not end\n"
                   "3: {\"a\":2,\"b\":\"x\"}\n4: {\"a\":3,\"b\":\"y\"}\n");
    assert_records("a,b\n1,\"x\"y\n2,z\n", RECORDS_CSV,
                   "invalid_request: line 2: text follows the closing quote of a cell\n3: {\"a\":2,\"b\":\"z\"}\n");
    assert_records("a\nd\xE9j\xE0\nok\n", RECORDS_CSV,
                   "invalid_request: line 2: not valid UTF-8; save the file as UTF-8\n3: {\"a\":\"ok\"}\n");
    assert_records("a,b,a\n1,2,3\n", RECORDS_CSV,
                   "over, invalid_request: line 1: the header has the column \"a\" twice\n");
    assert_records("a,\"b\n1,2\n", RECORDS_CSV, "over, invalid_request: line 1: a quoted cell does not end\n");
    assert_records_of((slice){"\xFF\xFE" "a\0", 4}, (records_options){0},
                      "over, invalid_request: line 1: the text is UTF-16; save it as UTF-8\n");
}

static void reads_tsv(void **state) {
    (void)state;
    assert_records("id\tname\n1\t\"quoted\" and, more\r\n2\t\n\t3\n", RECORDS_AUTO,
                   "2: {\"id\":1,\"name\":\"\\\"quoted\\\" and, more\"}\n3: {\"id\":2}\n4: {\"name\":3}\n");
    assert_records("\tname\n0\tx\n", RECORDS_AUTO, "2: {\"name\":\"x\"}\n");
    assert_records("a\tb\n1\t\"open\n2\tx\n", RECORDS_TSV,
                   "2: {\"a\":1,\"b\":\"\\\"open\"}\n3: {\"a\":2,\"b\":\"x\"}\n");
}

static void records_that_are_too_large_are_passed_over(void **state) {
    (void)state;
    records_options small = {.record_limit = 20};
    const char *large = "line 2: the record is larger than 20 bytes\n";
    char expected[300];
    snprintf(expected, sizeof expected, "1: {\"a\":1}\ntoo_large: %s3: {\"c\":3}\n", large);
    assert_records_of(SLICE("{\"a\":1}\n{\"b\":\"0123456789012345678901234567890\"}\n{\"c\":3}\n"), small, expected);
    assert_records_of(SLICE("{\"a\":1}\n{\n\"b\":\"012345678901234567890\",\n\"d\":1\n}\n{\"c\":3}\n"), small,
                      "1: {\"a\":1}\ntoo_large: line 2: the record is larger than 20 bytes\n6: {\"c\":3}\n");
    snprintf(expected, sizeof expected, "1: {\"a\":1}\ntoo_large: %s2: {\"c\":3}\n", large);
    assert_records_of(SLICE("[{\"a\":1},\n{\"b\":\"01234567890\\\"23456789\"},{\"c\":3}]"), small, expected);
    snprintf(expected, sizeof expected, "too_large: %s3: {\"a\":\"x\"}\n", large);
    assert_records_of(SLICE("a\n012345678901234567890123456789\nx\n"), small, expected);
    assert_records_of(SLICE("a\n\"3456789\n012345678901234567890123456789\nx\n"), small,
                      "invalid_request: line 2: a quoted cell does not end\n"
                      "too_large: line 3: the record is larger than 20 bytes\n4: {\"a\":\"x\"}\n");
    assert_records_of(SLICE("012345678901234567890123456789\nx\n"), small,
                      "over, too_large: line 1: the record is larger than 20 bytes\n");
}

static buffer gzipped(slice text) {
    buffer out = {0};
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t bound = deflateBound(&z, text.size) + 64;
    char *copy = mem_strndup(text.data, text.size);
    z.next_in = (Bytef *)copy;
    z.avail_in = (uInt)text.size;
    z.next_out = (Bytef *)buffer_reserve(&out, bound);
    z.avail_out = (uInt)bound;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.size = bound - z.avail_out;
    deflateEnd(&z);
    free(copy);
    return out;
}

static buffer zstd_packed(slice text) {
    buffer out = {0};
    size_t bound = ZSTD_compressBound(text.size);
    out.size = ZSTD_compress(buffer_reserve(&out, bound), bound, text.data, text.size, 3);
    return out;
}

typedef buffer (*packer)(slice text);

static void reads_compressed_members(packer pack, const char *name) {
    buffer one = pack(SLICE("{\"a\":1}\n{\"b\"")), two = pack(SLICE(":2}\n{\"c\":3}\n")), empty = pack(SLICE(""));
    buffer all = {0};
    buffer_append(&all, one.data, one.size);
    buffer_append(&all, empty.data, empty.size);
    buffer_append(&all, two.data, two.size);
    slice bytes = {all.data, all.size};
    assert_records_of(bytes, (records_options){0}, "1: {\"a\":1}\n2: {\"b\":2}\n3: {\"c\":3}\n");
    char expected[200];
    snprintf(expected, sizeof expected, "1: {\"a\":1}\nover, invalid_request: line 2: the %s data ends too early: "
             "it was cut short\n", name);
    bytes.size = one.size + empty.size + 6;
    assert_records_of(bytes, (records_options){0}, expected);
    assert_records_of((slice){empty.data, empty.size}, (records_options){0}, "");
    all.data[one.size] ^= 0x55;
    buffer out = {0};
    pieces p = {.bytes = {all.data, all.size}, .step = 5};
    assert_non_null(strstr(transcript(records_open(next_piece, &p, NULL), &out), name));
    buffer_release(&out);
    buffer_release(&one);
    buffer_release(&two);
    buffer_release(&empty);
    buffer_release(&all);
}

static void reads_gzip(void **state) {
    (void)state;
    reads_compressed_members(gzipped, "gzip");
    buffer padded = gzipped(SLICE("a,b\n1,2\n"));
    buffer_append(&padded, "\0\0\0\0\0", 5);
    assert_records_of((slice){padded.data, padded.size}, (records_options){0}, "2: {\"a\":1,\"b\":2}\n");
    buffer_puts(&padded, "junk");
    assert_records_of((slice){padded.data, padded.size}, (records_options){0},
                      "2: {\"a\":1,\"b\":2}\n"
                      "over, invalid_request: line 3: the gzip data is damaged: something else follows it\n");
    buffer_release(&padded);
}

static void reads_zstd(void **state) {
    (void)state;
    reads_compressed_members(zstd_packed, "zstd");
}

static void bombs_are_stopped(void **state) {
    (void)state;
    size_t size = 50 << 20;
    char *zeros = mem_alloc(size);
    memset(zeros, '\n', size);
    packer packers[] = {gzipped, zstd_packed};
    for (int i = 0; i < 2; i++) {
        buffer bomb = packers[i]((slice){zeros, size}), out = {0};
        records_options options = {.inflated_limit = 1 << 20};
        const char *said = transcript(records_open_memory((slice){bomb.data, bomb.size}, &options), &out);
        assert_non_null(strstr(said, "over, too_large: line "));
        assert_non_null(strstr(said, "more than 1048576 bytes after decompression"));
        buffer_release(&bomb);
        buffer_release(&out);
    }
    free(zeros);
    records_options options = {.inflated_limit = 10};
    buffer out = {0};
    assert_string_equal(transcript(records_open_memory(SLICE("{\"a\":1}\n{\"b\":2}\n"), &options), &out),
                        "1: {\"a\":1}\nover, too_large: line 2: there are more than 10 bytes\n");
    buffer_release(&out);
}

static void source_errors_are_passed_on(void **state) {
    (void)state;
    pieces p = {.bytes = SLICE("{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n"), .step = 8, .fail_at = 16};
    buffer out = {0};
    assert_string_equal(transcript(records_open(next_piece, &p, NULL), &out),
                        "1: {\"a\":1}\n2: {\"b\":2}\nover, io_error: line 3: the cable was pulled\n");
    buffer_release(&out);
    records_close(NULL);
}

static void long_streams_stay_small_and_exact(void **state) {
    (void)state;
    buffer text = {0};
    random_source r;
    random_seed(&r, 5);
    enum { COUNT = 20000 };
    for (int i = 0; i < COUNT; i++) {
        buffer_printf(&text, "{\"i\":%d,\"t\":\"", i);
        for (uint64_t n = random_below(&r, 200); n; n--) buffer_putc(&text, (char)('a' + n % 26));
        buffer_puts(&text, "\"}\n");
    }
    buffer packed = gzipped((slice){text.data, text.size});
    pieces p = {.bytes = {packed.data, packed.size}, .step = 4096};
    records_reader *reader = records_open(next_piece, &p, NULL);
    arena a;
    arena_init(&a, 0);
    for (int i = 0; i < COUNT; i++) {
        slice json;
        uint64_t line;
        bool end, recoverable;
        json_value *v;
        assert_ok(records_next(reader, &json, &line, &end, &recoverable, NULL));
        assert_true(!end && line == (uint64_t)i + 1);
        arena_reset(&a);
        assert_ok(json_read(&a, json, &v, NULL));
        assert_true(json_get(v, "i")->integer == i);
    }
    slice json;
    uint64_t line;
    bool end = false, recoverable;
    assert_ok(records_next(reader, &json, &line, &end, &recoverable, NULL));
    assert_true(end && records_bytes_read(reader) == packed.size);
    records_close(reader);
    arena_release(&a);
    buffer_release(&packed);
    buffer_release(&text);
}

/* Counts the records of a real file, each of which must be valid JSON. */
static uint64_t count_file(const char *path, records_format format) {
    buffer file = {0};
    assert_ok(os_read_file(path, 0, &file, NULL));
    records_options options = {.format = format};
    records_reader *r = records_open_memory((slice){file.data, file.size}, &options);
    arena a;
    arena_init(&a, 0);
    uint64_t count = 0;
    for (;; count++) {
        slice json;
        uint64_t line;
        bool end, recoverable;
        base_error error = {0};
        json_value *v = NULL;
        if (records_next(r, &json, &line, &end, &recoverable, &error)) fail_msg("%s: %s", path, error.message);
        if (end) break;
        arena_reset(&a);
        if (json_read(&a, json, &v, &error)) fail_msg("%s, line %d: %s", path, (int)line, error.message);
        assert_int_equal(v->type, JSON_OBJECT);
    }
    records_close(r);
    arena_release(&a);
    buffer_release(&file);
    return count;
}

static void reads_real_files(void **state) {
    (void)state;
    const char *path = testing_data("beir/scifact/corpus.jsonl.gz");
    if (!path) skip();
    assert_int_equal(count_file(path, RECORDS_AUTO), 5183);
    path = testing_data("goodbooks-10k/books.csv");
    if (path) assert_int_equal(count_file(path, RECORDS_AUTO), 10000);
}

static void knows_formats_by_name(void **state) {
    (void)state;
    static const struct { const char *name; records_format format; } known[] = {
        {"ndjson", RECORDS_NDJSON}, {"jsonl", RECORDS_NDJSON}, {"json", RECORDS_JSON}, {"csv", RECORDS_CSV},
        {"TSV", RECORDS_TSV}, {"auto", RECORDS_AUTO}, {"application/x-ndjson; charset=utf-8", RECORDS_NDJSON},
        {"application/json", RECORDS_JSON}, {"Text/CSV ;header=present", RECORDS_CSV},
        {"text/tab-separated-values", RECORDS_TSV}, {"application/octet-stream", RECORDS_AUTO}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        records_format format = (records_format)99;
        assert_ok(records_format_from_name(slice_of(known[i].name), &format));
        assert_int_equal(format, known[i].format);
    }
    records_format format = RECORDS_TSV;
    assert_int_equal(records_format_from_name(SLICE("xml"), &format), FORAGE_E_INVALID);
    assert_int_equal(records_format_from_name(SLICE(""), &format), FORAGE_E_INVALID);
    assert_int_equal(format, RECORDS_TSV);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_ndjson), cmocka_unit_test(reads_pretty_printed_objects),
        cmocka_unit_test(broken_lines_end_where_they_are), cmocka_unit_test(reads_json_arrays),
        cmocka_unit_test(broken_arrays_are_errors), cmocka_unit_test(reads_csv),
        cmocka_unit_test(cells_become_numbers_only_when_canonical), cmocka_unit_test(broken_csv_costs_one_line),
        cmocka_unit_test(reads_tsv), cmocka_unit_test(records_that_are_too_large_are_passed_over),
        cmocka_unit_test(reads_gzip), cmocka_unit_test(reads_zstd), cmocka_unit_test(bombs_are_stopped),
        cmocka_unit_test(source_errors_are_passed_on), cmocka_unit_test(long_streams_stay_small_and_exact),
        cmocka_unit_test(reads_real_files), cmocka_unit_test(knows_formats_by_name),
    };
    return cmocka_run_group_tests_name("records", tests, NULL, NULL);
}
