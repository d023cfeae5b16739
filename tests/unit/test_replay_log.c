/* Replay logs as people have them: every format, times of every kind, and what is broken in them. */
#include "testing.h"

#include "simulate/replay_log.h"

#include <zlib.h>

#define NOW ((int64_t)1700000000 * 1000000)
#define DAY ((int64_t)86400 * 1000000)

static replay_log read_bytes(slice bytes) {
    replay_log log;
    records_reader *r = records_open_memory(bytes, NULL);
    assert_ok(replay_log_read(r, SLICE("click"), NOW, &log, NULL));
    records_close(r);
    return log;
}

static replay_log read_text(const char *text) { return read_bytes(slice_of(text)); }

#define assert_slice(s, text) \
    do { \
        slice got_ = (s); \
        if (!slice_is(got_, text)) fail_msg("expected %s, got %.*s", text, (int)got_.size, got_.data); \
    } while (0)

/* All that a row says but its time. */
typedef struct row_texts {
    const char *query, *user, *session, *document, *action, *context;
} row_texts;

static void assert_row(const replay_row *row, row_texts want) {
    assert_slice(row->query, want.query);
    assert_slice(row->user, want.user);
    assert_slice(row->session, want.session);
    assert_slice(row->document, want.document);
    assert_slice(row->action, want.action);
    assert_slice(row->context, want.context);
}

static void test_ndjson(void **state) {
    (void)state;
    replay_log log = read_text("{\"query\":\"indie\",\"user\":42,\"session\":\"s\",\"document\":1672,\"time\":\"2009-05-01\","
                               "\"action\":\"tag\",\"context\":{\"country\":\"DE\"},\"page\":3}\n"
                               "{\"document\":\"b\",\"query\":null}\n");
    assert_int_equal(log.n, 2);
    assert_row(&log.rows[0], (row_texts){"indie", "42", "s", "1672", "tag", "{\"country\":\"DE\"}"});
    assert_int_equal(log.rows[0].time / DAY, 14365);
    assert_row(&log.rows[1], (row_texts){"", "", "", "b", "click", ""});
    assert_int_equal(log.rows[1].time, log.rows[0].time); /* that of the row before */
    assert_int_equal(log.malformed, 0);
    replay_log_release(&log);
}

static void test_tables(void **state) {
    (void)state;
    replay_log log = read_text("query,user,document,time,action,context\n"
                               "\"late, night\",u1,007,2010-01-01T12:00:00Z,play,\"{\"\"country\"\":\"\"FR\"\"}\"\n"
                               "jazz,u2,8,,,\n");
    assert_int_equal(log.n, 2);
    assert_row(&log.rows[0], (row_texts){"late, night", "u1", "", "007", "play", "{\"country\":\"FR\"}"});
    assert_row(&log.rows[1], (row_texts){"jazz", "u2", "", "8", "click", ""});
    replay_log_release(&log);
    log = read_text("document\tquery\nd1\tnight\td2\nd3\tday\n");
    assert_int_equal(log.n + log.malformed, 2);
    assert_slice(log.rows[log.n - 1].document, "d3");
    replay_log_release(&log);
}

static void test_times(void **state) {
    (void)state;
    replay_log log = read_text("{\"document\":\"a\"}\n"
                               "{\"document\":\"a\",\"time\":1700000100}\n"
                               "{\"document\":\"a\",\"time\":1700000200000}\n"
                               "{\"document\":\"a\",\"time\":1700000300000000}\n"
                               "{\"document\":\"a\",\"time\":1700000400.5}\n"
                               "{\"document\":\"a\",\"time\":\"2024\"}\n"
                               "{\"document\":\"a\",\"time\":2025}\n"
                               "{\"document\":\"a\",\"time\":1e300}\n"
                               "{\"document\":\"a\",\"time\":\"yesterday\"}\n"
                               "{\"document\":\"a\",\"time\":[1]}\n"
                               "{\"document\":\"a\",\"time\":-9e18}\n");
    static const int64_t want[] = {NOW, 100, 200, 300, 400};
    assert_int_equal(log.n, 7);
    assert_int_equal(log.rows[0].time, NOW);
    for (int i = 1; i < 4; i++) assert_int_equal(log.rows[i].time, NOW + want[i] * 1000000);
    assert_int_equal(log.rows[4].time, NOW + 400500000);
    assert_int_equal(log.rows[5].time / DAY, 19723);
    assert_int_equal(log.rows[6].time / DAY, 20089);
    assert_int_equal(log.malformed, 4);
    assert_int_equal(log.out_of_order, 0);
    assert_non_null(strstr(log.problems[1], "line 9: \"time\": expected a time"));
    replay_log_release(&log);
}

static void test_clocks_that_jump_back(void **state) {
    (void)state;
    replay_log log = read_text("{\"document\":\"a\",\"time\":\"2010-01-02\"}\n{\"document\":\"b\",\"time\":\"2010-01-01\"}\n"
                               "{\"document\":\"c\",\"time\":\"2010-01-01\"}\n{\"document\":\"d\",\"time\":\"2010-01-02\"}\n");
    assert_int_equal(log.n, 4);
    assert_int_equal(log.out_of_order, 2);
    assert_slice(log.rows[1].document, "b"); /* where it stands, with its own time */
    assert_int_equal(log.rows[1].time, log.rows[0].time - DAY);
    replay_log_release(&log);
}

static void test_broken_lines(void **state) {
    (void)state;
    replay_log log = read_text("{\"document\":\"a\"}\n"
                               "{\"query\":\"no document\"}\n"
                               "[1,2]\n"
                               "{\"document\":\"b\\uD800\"}\n"
                               "{\"document\":\"\xff\xfe\"}\n"
                               "{\"document\":{\"id\":1}}\n"
                               "{\"document\":\"c\",\"context\":\"night\"}\n"
                               "\n"
                               "{\"document\":\"d\",\"user\":\"u\"}\n"
                               "{\"document\":\"e\",\"que");
    assert_int_equal(log.n, 2);
    assert_slice(log.rows[1].document, "d");
    assert_int_equal(log.malformed, 7);
    assert_int_equal(log.n_problems, 7);
    for (size_t i = 0; i < log.n_problems; i++) assert_true(strncmp(log.problems[i], "line ", 5) == 0);
    assert_non_null(strstr(log.problems[0], "line 2: it has no \"document\""));
    assert_false(log.cut);
    replay_log_release(&log);
}

static void test_nothing_and_noise(void **state) {
    (void)state;
    static const char *const texts[] = {"", "\n\n", "query,document\n", "\x80\x81\x82", "null", "[]", "{}", "{", "document\n\xff\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        replay_log log = read_text(texts[i]);
        assert_int_equal(log.n, 0);
        replay_log_release(&log);
    }
}

static void test_long_texts(void **state) {
    (void)state;
    buffer text = {0};
    buffer_puts(&text, "{\"document\":\"a\",\"query\":\"");
    for (int i = 0; i < 100000; i++) buffer_putc(&text, 'x');
    buffer_puts(&text, "\"}\n{\"document\":\"b\"}\n");
    replay_log log = read_bytes((slice){text.data, text.size});
    assert_int_equal(log.n, 1);
    assert_int_equal(log.malformed, 1);
    assert_true(strlen(log.problems[0]) < 200);
    replay_log_release(&log);
    buffer_release(&text);
}

static void test_problems_are_bounded(void **state) {
    (void)state;
    buffer text = {0};
    for (int i = 0; i < 1000; i++) buffer_puts(&text, "{}\n");
    replay_log log = read_bytes((slice){text.data, text.size});
    assert_int_equal(log.malformed, 1000);
    assert_int_equal(log.n_problems, REPLAY_PROBLEMS_KEPT);
    replay_log_release(&log);
    buffer_release(&text);
}

static void test_compressed_and_cut(void **state) {
    (void)state;
    buffer text = {0};
    for (int i = 0; i < 5000; i++) buffer_printf(&text, "{\"document\":\"%d\",\"query\":\"word%d\"}\n", i, i * 7919 % 5003);
    unsigned char *packed = mem_alloc(text.size + 1000);
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)text.data;
    z.avail_in = (unsigned)text.size;
    z.next_out = packed;
    z.avail_out = (unsigned)text.size + 1000;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    replay_log log = read_bytes((slice){(char *)packed, z.total_out});
    assert_int_equal(log.n, 5000);
    assert_false(log.cut);
    replay_log_release(&log);
    log = read_bytes((slice){(char *)packed, z.total_out / 2});
    assert_true(log.cut);
    assert_true(log.n > 1000 && log.n < 5000); /* what came before it is used */
    assert_slice(log.rows[1000].document, "1000");
    replay_log_release(&log);
    free(packed);
    buffer_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ndjson),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_clocks_that_jump_back),
        cmocka_unit_test(test_broken_lines),
        cmocka_unit_test(test_nothing_and_noise),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_problems_are_bounded),
        cmocka_unit_test(test_compressed_and_cut),
    };
    return cmocka_run_group_tests_name("replay_log", tests, NULL, NULL);
}
