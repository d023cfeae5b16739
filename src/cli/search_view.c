#include "cli/search_view.h"

#include "cli/screen.h"

#include <stdio.h>
#include <string.h>

static slice member_text(const json_value *object, const char *key) {
    slice text = {0};
    const json_value *value = json_get(object, key);
    if (value && value->type == JSON_ARRAY) value = value->first;
    if (value && value->type == JSON_STRING) text = value->text;
    return text;
}

static double member_number(const json_value *object, const char *key) {
    const json_value *value = json_get(object, key);
    return value && value->type == JSON_NUMBER ? value->number : 0;
}

static const json_value *children(const json_value *object, const char *key) {
    const json_value *value = json_get(object, key);
    return value ? value->first : NULL;
}

static const char *clean(arena *memory, slice text) {
    buffer out = {0};
    text_clean(&out, text);
    const char *copy = arena_strndup(memory, out.data, out.size);
    buffer_release(&out);
    return copy;
}

/* What a person would call the document: a member with a telling name, else its first text, else its id. */
static slice title_of(const json_value *hit) {
    static const char *const telling[] = {"title", "name", "label", "headline", "subject", "product_title"};
    const json_value *document = json_get(hit, "document");
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        slice text = member_text(document, telling[i]);
        if (text.size) return text;
    }
    for (const json_value *m = document ? document->first : NULL; m; m = m->next) {
        bool other = slice_is(m->key, "id") || slice_is(m->key, "_id") || slice_is(m->key, "type");
        if (!other && m->type == JSON_STRING && m->text.size) return m->text;
    }
    return member_text(hit, "id");
}

const char *search_view_title(arena *memory, const json_value *hit) { return clean(memory, title_of(hit)); }

static void join_texts(buffer *out, const json_value *list, const char *between) {
    size_t start = out->size;
    for (const json_value *item = list ? list->first : NULL; item; item = item->next) {
        if (out->size > start) buffer_puts(out, between);
        buffer_slice(out, item->text);
    }
}

static void add_row(table *t, size_t rank, const json_value *hit) {
    char text[64];
    buffer strategies = {0};
    snprintf(text, sizeof text, "%zu", rank);
    table_cell_text(t, text);
    table_cell(t, title_of(hit));
    table_cell(t, member_text(hit, "type"));
    table_cell(t, member_text(hit, "id"));
    snprintf(text, sizeof text, "%.3f", member_number(hit, "score"));
    table_cell_text(t, text);
    join_texts(&strategies, json_get(hit, "strategies"), ", ");
    table_cell(t, (slice){strategies.data, strategies.size});
    buffer_release(&strategies);
}

/* ---- The story of a hit ---------------------------------------------------------------------------------------- */

static void print_story_line(arena *memory, const char *heading, buffer *line) {
    if (line->size) printf("      %s%-9s%s %s\n", paint(STYLE_DIM), heading, paint(STYLE_NONE),
                           clean(memory, (slice){line->data, line->size}));
    buffer_clear(line);
}

static void tell_strategies(buffer *line, const json_value *explain) {
    for (const json_value *s = children(explain, "strategies"); s; s = s->next) {
        slice name = member_text(s, "name");
        buffer_printf(line, "%s%.*s (rank %.0f, score %.3g)", line->size ? " · " : "", SLICE_ARG(name),
                      member_number(s, "rank"), member_number(s, "score"));
    }
}

static void tell_terms(buffer *line, const json_value *explain) {
    for (const json_value *t = children(explain, "terms"); t; t = t->next) {
        slice term = member_text(t, "term");
        buffer_printf(line, "%s%.*s %.3g (", line->size ? " · " : "", SLICE_ARG(term), member_number(t, "score"));
        bool any = false;
        for (const json_value *f = children(t, "field_frequencies"); f; f = f->next, any = true)
            buffer_printf(line, "%s%.*s", any ? ", " : "in ", SLICE_ARG(f->key));
        double frequency = member_number(t, "document_frequency");
        buffer_printf(line, "%s%.0f %s)", any ? "; " : "", frequency,
                      plural((uint64_t)frequency, "document has it", "documents have it"));
    }
}

static void tell_memory(buffer *line, const json_value *explain) {
    const json_value *m = json_get(explain, "memory");
    if (!m || m->type != JSON_OBJECT) return;
    double impressions = member_number(m, "impressions");
    if (impressions <= 0) return;
    buffer_printf(line, "shown %.0f %s for such queries, reward %.3g; expects %.3g ± %.2g", impressions,
                  plural((uint64_t)impressions, "time", "times"), member_number(m, "rewards"), member_number(m, "mean"),
                  member_number(m, "deviation"));
}

/* The contributions that matter, largest first as they come. */
static void tell_features(buffer *line, const json_value *explain) {
    for (const json_value *f = children(explain, "features"); f; f = f->next) {
        double contribution = member_number(f, "contribution");
        if (contribution > -0.005 && contribution < 0.005) continue;
        slice name = member_text(f, "name");
        buffer_printf(line, "%s%.*s %+.3g", line->size ? " · " : "", SLICE_ARG(name), contribution);
    }
}

static void tell_cross(buffer *line, const json_value *explain) {
    const json_value *c = json_get(explain, "cross_encoder");
    if (!c || c->type != JSON_OBJECT) return;
    buffer_printf(line, "by the cross-encoder with %.3g; rank %.0f before", member_number(c, "score"), member_number(c, "rank_before"));
}

static void print_story(arena *memory, const json_value *hit) {
    const json_value *explain = json_get(hit, "explain");
    if (!explain) return;
    buffer line = {0};
    tell_strategies(&line, explain);
    print_story_line(memory, "found by", &line);
    tell_terms(&line, explain);
    print_story_line(memory, "words", &line);
    tell_memory(&line, explain);
    print_story_line(memory, "memory", &line);
    tell_features(&line, explain);
    print_story_line(memory, "score", &line);
    tell_cross(&line, explain);
    print_story_line(memory, "read", &line);
    buffer_release(&line);
}

/* ---- Around the hits ------------------------------------------------------------------------------------------- */

static void print_hits(const json_value *answer, arena *memory, size_t first) {
    static const table_column columns[] = {
        {"#", true, false, STYLE_DIM},  {"title", false, true, STYLE_BOLD},   {"type", false, false, STYLE_CYAN},
        {"id", false, false, STYLE_DIM}, {"score", true, false, STYLE_NONE}, {"found by", false, true, STYLE_GREEN}};
    table *t = table_create(columns, sizeof columns / sizeof *columns);
    size_t rank = first;
    for (const json_value *hit = children(answer, "hits"); hit; hit = hit->next) add_row(t, rank++, hit);
    long row = 0;
    table_print_row(t, -1, "");
    for (const json_value *hit = children(answer, "hits"); hit; hit = hit->next) {
        table_print_row(t, row++, "");
        print_story(memory, hit);
    }
    table_destroy(t);
}

static void print_histogram(const json_value *facet) {
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double most = 1;
    for (const json_value *b = children(facet, "buckets"); b; b = b->next)
        if (b->number > most) most = b->number;
    for (const json_value *b = children(facet, "buckets"); b; b = b->next)
        printf("%s", b->number > 0 ? bars[(int)(b->number / most * 7)] : " ");
    printf("  %g to %g\n", member_number(facet, "low"), member_number(facet, "high"));
}

static void print_facets(const json_value *answer, arena *memory) {
    const json_value *first = children(answer, "facets");
    if (children(answer, "hits") && first) printf("\n");
    for (const json_value *facet = first; facet; facet = facet->next) {
        printf("%s%s%s  ", paint(STYLE_BOLD), clean(memory, facet->key), paint(STYLE_NONE));
        if (facet->type == JSON_OBJECT) {
            print_histogram(facet);
            continue;
        }
        if (!facet->first) printf("%sno values%s", paint(STYLE_DIM), paint(STYLE_NONE));
        for (const json_value *v = facet->first; v; v = v->next)
            printf("%s%s %s%s%s", v == facet->first ? "" : " · ", clean(memory, member_text(v, "value")),
                   paint(STYLE_DIM), text_count(memory, (uint64_t)member_number(v, "count")), paint(STYLE_NONE));
        printf("\n");
    }
}

static void print_decision(const json_value *answer, arena *memory) {
    const json_value *decision = json_get(answer, "decision");
    slice policy = member_text(decision, "policy");
    if (!policy.size) return;
    printf(" · policy %s asked", clean(memory, policy));
    bool any = false;
    for (const json_value *s = children(decision, "strategies"); s; s = s->next) {
        if (member_number(s, "depth") <= 0) continue;
        printf("%s %s", any ? "," : "", clean(memory, member_text(s, "name")));
        any = true;
    }
    if (!any) printf(" nobody");
}

const char *shell_word(arena *memory, slice text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._-/+@%,=";
    const char *word = clean(memory, text);
    if (*word && word[strspn(word, plain)] == '\0') return word;
    buffer quoted = {0};
    buffer_putc(&quoted, '\'');
    for (; *word; word++) {
        if (*word == '\'') buffer_puts(&quoted, "'\\''");
        else buffer_putc(&quoted, *word);
    }
    buffer_putc(&quoted, '\'');
    const char *out = arena_strndup(memory, quoted.data, quoted.size);
    buffer_release(&quoted);
    return out;
}

static void print_footer(const json_value *answer, arena *memory, const char *place) {
    const json_value *total = json_get(answer, "total"), *hits = json_get(answer, "hits");
    bool exact = slice_is(member_text(total, "relation"), "exact");
    size_t shown = hits ? hits->count : 0;
    uint64_t matching = (uint64_t)member_number(total, "value");
    bool more = (double)shown > member_number(total, "value"); /* some came by other ways than the words */
    printf("\n%s%zu %s %s%s · %.1f ms", paint(STYLE_DIM), shown, more ? "shown, with the words:" : "of",
           exact ? "" : "at least ", text_count(memory, matching), member_number(answer, "took_ms"));
    print_decision(answer, memory);
    printf("%s\n", paint(STYLE_NONE));
    slice query_id = member_text(answer, "query_id"), next = member_text(answer, "next_page");
    if (next.size) printf("%sThe next page of this very order:%s --page %s\n", paint(STYLE_DIM), paint(STYLE_NONE), clean(memory, next));
    if (!place || !query_id.size || !hits || !hits->first) return;
    printf("%sWas one of them good? Say so, and the next search knows:%s\n  forage event --query-id %s --document %s "
           "--action click%s\n", paint(STYLE_DIM), paint(STYLE_NONE), shell_word(memory, query_id),
           shell_word(memory, member_text(hits->first, "id")), place);
}

void search_view_print(const json_value *answer, arena *memory, size_t first, const char *place) {
    if (children(answer, "hits")) print_hits(answer, memory, first);
    else printf("Nothing found.\n");
    print_facets(answer, memory);
    print_footer(answer, memory, place);
}
