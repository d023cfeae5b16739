#include "sparse/merge.h"

static void take_out(const sparse_segment *s, uint32_t place, sparse_statistics *st) {
    st->documents--;
    for (uint32_t f = 0; f < sparse_segment_fields(s); f++) {
        uint32_t length = sparse_segment_length(s, f, place);
        st->length[f] -= length;
        st->having[f] -= length > 0;
    }
}

void sparse_merge_statistics(const sparse_merge_input *input, sparse_statistics *statistics) {
    const sparse_segment *s = input->segment;
    for (uint32_t p = 0; input->live && p < sparse_segment_count(s); p++)
        if (!(input->live[p / 64] >> p % 64 & 1)) take_out(s, p, statistics);
}
