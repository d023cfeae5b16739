/* safetensors: what is whole is read, and anything else is refused before a value is handed out. */
#include "testing.h"

#include "encode/safetensors.h"
#include "os/file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static int set_up(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/forage-safetensors-%ld", (long)getpid());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return os_remove_file(path, NULL);
}

/* A file with this header and n bytes of data. */
static forage_status try(const char *header, const void *data, size_t n, size_t cut, safetensors **out, base_error *error) {
    buffer file = {0};
    uint64_t size = strlen(header);
    buffer_append(&file, &size, sizeof size); /* little-endian machines */
    buffer_append(&file, header, size);
    buffer_append(&file, data, n);
    assert_int_equal(os_write_file(path, file.data, file.size - (cut < file.size ? cut : file.size), NULL), FORAGE_OK);
    buffer_release(&file);
    return safetensors_open(path, out, error);
}

static const char *const header =
    "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
    "\"h\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[8,14]},\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[14,16]},"
    "\"i\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[16,24]}}";
static const unsigned char values[24] = {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, /* 1, -2 */ 0, 0x3c, 1, 0, 0, 0xfc, /* 1, 2^-24, -inf */
                                         0x40, 0x40,                      /* 3 */ 7};

static void what_is_whole_is_read(void **state) {
    (void)state;
    safetensors *s;
    tensor_view v;
    float out[3];
    assert_int_equal(try(header, values, sizeof values, 0, &s, NULL), FORAGE_OK);
    assert_int_equal(safetensors_count(s), 4);
    assert_true(safetensors_find(s, SLICE("a"), &v) && v.n == 2 && v.n_dimensions == 2 && v.shape[0] == 2);
    assert_int_equal(tensor_to_floats(&v, out, NULL), FORAGE_OK);
    assert_true(out[0] == 1 && out[1] == -2);
    assert_true(safetensors_find(s, SLICE("h"), &v) && tensor_to_floats(&v, out, NULL) == FORAGE_OK);
    assert_true(out[0] == 1 && out[1] == 0x1p-24f && isinf(out[2]) && out[2] < 0);
    assert_true(safetensors_find(s, SLICE("b"), &v) && tensor_to_floats(&v, out, NULL) == FORAGE_OK && out[0] == 3);
    assert_true(safetensors_find(s, SLICE("i"), &v) && v.n == 1 && tensor_to_floats(&v, out, NULL) == FORAGE_E_INVALID);
    assert_false(safetensors_find(s, SLICE("none"), &v));
    safetensors_close(s);
}

static void any_cut_is_noticed(void **state) {
    (void)state;
    safetensors *s;
    for (size_t cut = 1; cut <= 8 + strlen(header) + sizeof values; cut++)
        assert_int_equal(try(header, values, sizeof values, cut, &s, NULL), FORAGE_E_CORRUPT);
}

static void what_does_not_agree_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "[]", "{\"a\":1}", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-1,7]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        safetensors *s;
        if (try(bad[i], values, 8, 0, &s, NULL) != FORAGE_E_CORRUPT) fail_msg("%s was taken", bad[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_whole_is_read), cmocka_unit_test(any_cut_is_noticed),
                                       cmocka_unit_test(what_does_not_agree_is_refused)};
    return cmocka_run_group_tests_name("safetensors", tests, set_up, tear_down);
}
