/* Ranking files: the first byte chooses the size of the pieces that the rest arrives in and what an absent feature is. However it
 * arrives, the same comes out; what is read is consistent, and reads back equal after it was written. */
#include "format/svmlight.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct pieces {
    slice left;
    size_t step;
} pieces;

static forage_status next_piece(void *self, void *data, size_t size, size_t *got, base_error *error) {
    (void)error;
    pieces *p = self;
    *got = p->left.size < p->step ? p->left.size : p->step;
    if (*got > size) *got = size;
    if (*got) memcpy(data, p->left.data, *got);
    p->left.data += *got;
    p->left.size -= *got;
    return FORAGE_OK;
}

static void check(const svmlight_rows *r) {
    if (r->n_rows == 0 || r->n_groups == 0 || r->n_features == 0) abort();
    if (r->first[0] != 0 || r->first[r->n_groups] != r->n_rows) abort();
    for (size_t g = 0; g < r->n_groups; g++)
        if (r->first[g] >= r->first[g + 1]) abort();
    for (size_t i = 0; i < r->n_rows * r->n_features; i++)
        if (r->x[i] - r->x[i] != 0 && r->x[i] == r->x[i]) abort(); /* infinite */
}

static bool same(const svmlight_rows *a, const svmlight_rows *b) {
    if (a->n_rows != b->n_rows || a->n_groups != b->n_groups || a->n_features != b->n_features) return false;
    if (memcmp(a->first, b->first, (a->n_groups + 1) * sizeof *a->first)) return false;
    if (memcmp(a->qid, b->qid, a->n_groups * sizeof *a->qid)) return false;
    for (size_t i = 0; i < a->n_rows; i++)
        if (a->label[i] < b->label[i] || a->label[i] > b->label[i]) return false;
    for (size_t i = 0; i < a->n_rows * a->n_features; i++)
        if ((a->x[i] < b->x[i] || a->x[i] > b->x[i]) || (a->x[i] == a->x[i]) != (b->x[i] == b->x[i])) return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    svmlight_options options = {.feature_limit = 1000, .line_limit = 400, .matrix_limit = 1 << 20, .inflated_limit = 1 << 20,
                                .absent_is_missing = data[0] & 1};
    slice text = {(const char *)data + 1, size - 1};
    pieces p = {text, 1u + (data[0] >> 4)};
    svmlight_rows whole = {0}, pieced = {0}, back = {0};
    base_error first = {0}, second = {0};
    forage_status a = svmlight_read_memory(text, &options, &whole, &first);
    forage_status b = svmlight_read(next_piece, &p, &options, &pieced, &second);
    if (a != b || (a && strcmp(first.message, second.message))) abort();
    if (!a) {
        buffer written = {0};
        check(&whole);
        if (!same(&whole, &pieced)) abort();
        svmlight_write(&whole, NULL, &written);
        options.n_features = whole.n_features;
        options.line_limit = 1 << 20;
        options.absent_is_missing = false;
        if (svmlight_read_memory((slice){written.data, written.size}, &options, &back, NULL) || !same(&whole, &back)) abort();
        buffer_release(&written);
    } else if (strncmp(first.message, "line ", 5) != 0 && a == FORAGE_E_INVALID && whole.x) {
        abort();
    }
    svmlight_release(&whole);
    svmlight_release(&pieced);
    svmlight_release(&back);
    return 0;
}
