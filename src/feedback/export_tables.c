/* The log as tables: Open Bandit's CSV and LETOR's rows. */
#include "feedback/export_formats.h"

#include "feedback/timestamp.h"

/* As in the data set: "2019-11-24 00:00:54.346158+00:00". */
static void put_time(buffer *out, int64_t time) {
    char text[TIMESTAMP_SIZE];
    timestamp_write(time, text);
    for (const char *c = text; *c; c++) {
        if (*c == 'T') buffer_putc(out, ' ');
        else if (*c == 'Z') buffer_puts(out, "+00:00");
        else buffer_putc(out, *c);
    }
}

void export_obd_csv(const record_impression *r, uint64_t sequence, const float *credit, buffer *out) {
    for (uint32_t s = 0; s < r->n_strategies; s++) {
        const record_strategy *strategy = &r->strategies[s];
        if (!export_slot_has_choice(r, s)) continue;
        buffer_printf(out, "%llu,", (unsigned long long)sequence);
        put_time(out, r->time);
        buffer_printf(out, ",%u,%u,%d,", strategy->level, s + 1, export_slot_reward(r, s, credit) > 0);
        export_number(out, (double)strategy->probability[strategy->level]);
        for (uint32_t i = 0; i < r->n_policy_features; i++) {
            buffer_putc(out, ',');
            export_number(out, (double)strategy->x[i]);
        }
        buffer_putc(out, '\n');
    }
}

/* A comment ends with its line, so an id must not. */
static void put_comment(buffer *out, slice id) {
    for (size_t i = 0; i < id.size; i++) buffer_putc(out, (unsigned char)id.data[i] < ' ' ? ' ' : id.data[i]);
}

void export_letor(const record_impression *r, uint64_t sequence, const float *credit, const export_source *source,
                  arena *a, buffer *out) {
    for (uint32_t i = 0; i < r->n_hits; i++) {
        export_number(out, (double)credit[i]);
        buffer_printf(out, " qid:%llu", (unsigned long long)sequence);
        for (uint32_t f = 0; f < r->n_features; f++) {
            buffer_printf(out, " %u:", f + 1);
            export_number(out, (double)r->hits[i].features[f]);
        }
        buffer_puts(out, " # ");
        put_comment(out, source->id_of(source->self, r->hits[i].document, a));
        buffer_putc(out, '\n');
    }
}
