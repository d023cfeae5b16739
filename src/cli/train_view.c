#include "cli/train_view.h"

#include "cli/screen.h"

#include <stdio.h>
#include <time.h>

#define CURVE_WIDTH 30

static double number(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : 0;
}

static bool truth(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_BOOL && v->boolean;
}

static const char *text(arena *memory, const json_value *object, const char *key) {
    slice out = {0};
    buffer clean = {0};
    json_member_string(object, key, &out, NULL);
    text_clean(&clean, out);
    const char *copy = arena_strndup(memory, clean.data ? clean.data : "", clean.size);
    buffer_release(&clean);
    return copy;
}

static const char *count(arena *memory, const json_value *object, const char *key) {
    return text_count(memory, (uint64_t)(number(object, key) + .5));
}

static void heading(const char *word) { printf("%s%-10s%s", paint(STYLE_DIM), word, paint(STYLE_NONE)); }

/* ---- Curves and bars ------------------------------------------------------------------------------------------- */

void train_view_bar(buffer *out, double part, int width) {
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int filled = part > 0 ? (int)((part < 1 ? part : 1) * width * 8 + .5) : 0;
    for (int cell = 0; cell < width; cell++) {
        int rest = filled - cell * 8;
        buffer_puts(out, rest >= 8 ? "█" : eighths[rest > 0 ? rest : 0]);
    }
}

/* Ranks that nobody was shown have nothing to tell. */
void train_view_curve(const json_value *curve, const char *indent) {
    const json_value *ranks = json_get(curve, "ranks");
    for (const json_value *r = ranks ? ranks->first : NULL; r; r = r->next) {
        buffer bar = {0};
        bool known = truth(r, "identified");
        if (number(r, "shown") <= 0) continue;
        train_view_bar(&bar, number(r, "estimate"), CURVE_WIDTH);
        printf("%srank %2.0f  %s%s%s  %.3f", indent, number(r, "rank"), paint(known ? STYLE_CYAN : STYLE_DIM), buffer_text(&bar),
               paint(STYLE_NONE), number(r, "estimate"));
        if (known && number(r, "high") > number(r, "low")) printf("  (%.3f to %.3f)", number(r, "low"), number(r, "high"));
        else if (!known) printf("  %s(assumed: nothing in the log tells)%s", paint(STYLE_DIM), paint(STYLE_NONE));
        printf("\n");
        buffer_release(&bar);
    }
}

const char *train_view_value(arena *memory, const json_value *value, bool sign) {
    return arena_printf(memory, sign ? "%+.4f (%+.4f to %+.4f)" : "%.4f (%.4f to %.4f)", number(value, "value"), number(value, "low"),
                        number(value, "high"));
}

/* ---- A report -------------------------------------------------------------------------------------------------- */

static const char *day(arena *memory, double seconds) {
    char out[32] = "?";
    time_t time = (time_t)seconds;
    struct tm parts;
    if (gmtime_r(&time, &parts)) strftime(out, sizeof out, "%Y-%m-%d", &parts);
    return arena_strndup(memory, out, 31);
}

static void print_data(const json_value *data, arena *memory) {
    heading("data");
    printf("%s of %s searches have feedback, %s to %s: %s rows, %s features\n", count(memory, data, "with_feedback"),
           count(memory, data, "searches"), day(memory, number(data, "from")), day(memory, number(data, "to")), count(memory, data, "rows"),
           count(memory, data, "features"));
    heading("");
    printf("learned from the first %s, stopped by the next %s, judged by the last %s\n", count(memory, data, "trained_on"),
           count(memory, data, "stopped_by"), count(memory, data, "judged_by"));
    if (number(data, "without_features") > 0) {
        heading("");
        printf("%s searches were logged without features (\"log_features\" of the schema)\n", count(memory, data, "without_features"));
    }
    if (number(data, "left_out") > 0) {
        heading("");
        printf("%s early searches did not fit into memory (--memory-mb)\n", count(memory, data, "left_out"));
    }
}

static void print_bias(const json_value *bias, arena *memory) {
    const json_value *curve = json_get(bias, "curve");
    const char *how = text(memory, bias, "debias");
    heading("looked at");
    if (slice_is(slice_of(how), "none")) printf("as the log says; not used for training\n");
    else if (!truth(curve, "identified")) printf("by %s: the log has too few changes of rank to tell; the curve is a guess\n", how);
    else
        printf("by %s; of %s clicks, the weight of %s was cut at %g (%.1f %% of all weight)\n", how, count(memory, bias, "clicked"),
               count(memory, bias, "clipped"), number(bias, "weight_clip"), 100 * number(bias, "lost"));
    train_view_curve(curve, "          ");
}

static void print_fit(const json_value *fit, arena *memory) {
    const json_value *linear = json_get(fit, "linear"), *trees = json_get(fit, "trees"), *ahead = json_get(fit, "trees_ahead");
    if (linear) {
        heading("linear");
        printf("validation NDCG %.4f, %s\n", number(linear, "validation"), text_seconds(memory, number(linear, "seconds")));
    }
    if (trees) {
        heading("trees");
        printf("validation NDCG %.4f, %s trees, %s%s\n", number(trees, "validation"), count(memory, trees, "trees"),
               text_seconds(memory, number(trees, "seconds")), truth(trees, "timed_out") ? ", out of time" : "");
    }
    if (ahead) {
        heading("taken");
        printf("%s: trees are ahead by %+.4f, standard error %.4f\n", text(memory, fit, "model"), number(ahead, "difference"),
               number(ahead, "standard_error"));
    }
}

static void add_value(table *t, arena *memory, const char *name, const json_value *value, bool sign) {
    table_cell_text(t, name);
    table_cell_text(t, train_view_value(memory, value, sign));
}

static void print_held_out(const json_value *report, arena *memory) {
    static const table_column columns[] = {{"", false, false, STYLE_NONE}, {"", false, false, STYLE_NONE}};
    const json_value *held = json_get(report, "held_out"), *people = json_get(report, "judgments");
    if (!held) return;
    table *t = table_create(columns, 2);
    heading("held out");
    printf("%s searches of %s people that it has not seen; share of the possible reward, 95 %% intervals\n",
           count(memory, held, "searches"),
           count(memory, held, "users"));
    add_value(t, memory, "this model", json_get(held, "model"), false);
    add_value(t, memory, arena_printf(memory, "%s, which served", text(memory, held, "incumbent_ranker")), json_get(held, "incumbent"),
              false);
    add_value(t, memory, "as people saw it", json_get(held, "served"), false);
    add_value(t, memory, "difference", json_get(held, "difference"), true);
    for (long row = 0; row < (long)table_rows(t); row++) table_print_row(t, row, "          ");
    table_destroy(t);
    if (!people) return;
    heading("judgments");
    printf("nDCG@10 %.4f, what served %.4f\n", number(people, "model"), number(people, "incumbent"));
}

void train_view_print(const json_value *told, arena *memory) {
    const json_value *report = json_get(told, "report");
    uint64_t model = (uint64_t)number(told, "model");
    bool serves = truth(told, "activated") || truth(told, "active");
    const char *verdict = text(memory, report, "verdict");
    if (json_get(report, "data")) print_data(json_get(report, "data"), memory);
    if (json_get(report, "position_bias")) print_bias(json_get(report, "position_bias"), memory);
    if (json_get(report, "fit")) print_fit(json_get(report, "fit"), memory);
    print_held_out(report, memory);
    printf("\n%smodel %llu%s", paint(STYLE_BOLD), (unsigned long long)model, paint(STYLE_NONE));
    if (*verdict) printf(": %s%s%s", paint(truth(report, "wins") ? STYLE_GREEN : STYLE_YELLOW), verdict, paint(STYLE_NONE));
    if (truth(report, "imported")) printf(": imported; nothing here tells how good it is");
    printf("\n");
    if (serves) printf("It serves now. `forage models rollback` goes back to what served before.\n");
    else printf("It is kept and does not serve. To let it serve all the same: forage models activate %llu\n", (unsigned long long)model);
}
