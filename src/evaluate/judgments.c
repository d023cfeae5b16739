#include "evaluate/judgments.h"

#include "evaluate/columns.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 64 };

judgments *judgments_create(void) {
    judgments *j = mem_zalloc(1, sizeof *j);
    identifiers_init(&j->query_ids);
    identifiers_init(&j->document_ids);
    j->slot_count = FIRST_SLOTS;
    j->slots = mem_zalloc(FIRST_SLOTS, sizeof *j->slots);
    return j;
}

void judgments_destroy(judgments *j) {
    if (!j) return;
    identifiers_release(&j->query_ids);
    identifiers_release(&j->document_ids);
    free(j->queries);
    free(j->all);
    free(j->slots);
    free(j);
}

/* Fibonacci hashing of the pair, folded so that the low bits depend on all of it. */
static size_t first_slot(const judgments *j, uint32_t query, uint32_t document) {
    uint64_t hash = ((uint64_t)query << 32 | document) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash ^ hash >> 32) & (j->slot_count - 1);
}

static size_t slot_of(const judgments *j, uint32_t query, uint32_t document) {
    size_t slot = first_slot(j, query, document);
    for (; j->slots[slot]; slot = (slot + 1) & (j->slot_count - 1)) {
        const judgment *at = &j->all[j->slots[slot] - 1];
        if (at->query == query && at->document == document) break;
    }
    return slot;
}

static void double_slots(judgments *j) {
    free(j->slots);
    j->slot_count *= 2;
    j->slots = mem_zalloc(j->slot_count, sizeof *j->slots);
    for (size_t i = 0; i < j->count; i++) {
        size_t slot = first_slot(j, j->all[i].query, j->all[i].document);
        while (j->slots[slot]) slot = (slot + 1) & (j->slot_count - 1);
        j->slots[slot] = (uint32_t)i + 1;
    }
}

static uint32_t add_query(judgments *j, slice query) {
    size_t known = j->query_ids.count;
    uint32_t q = identifiers_add(&j->query_ids, query);
    if (q == known) {
        j->queries = mem_grow(j->queries, &j->query_capacity, known + 1, sizeof *j->queries);
        j->queries[q] = (judged_query){.first = JUDGMENT_NONE};
    }
    return q;
}

void judgments_add(judgments *j, slice query, slice document, int grade) {
    uint32_t q = add_query(j, query), d = identifiers_add(&j->document_ids, document);
    judged_query *judged = &j->queries[q];
    size_t slot = slot_of(j, q, d);
    if (j->slots[slot]) {
        judgment *old = &j->all[j->slots[slot] - 1];
        judged->relevant -= old->grade >= 1;
        old->grade = grade;
    } else {
        j->all = mem_grow(j->all, &j->capacity, j->count + 1, sizeof *j->all);
        j->all[j->count] = (judgment){q, d, grade, judged->first};
        judged->first = (uint32_t)j->count;
        judged->count++;
        j->slots[slot] = (uint32_t)++j->count;
        if (j->count * 2 > j->slot_count) double_slots(j);
    }
    judged->relevant += grade >= 1;
}

size_t judgments_queries(const judgments *j) { return j->query_ids.count; }

bool judgments_has_query(const judgments *j, slice query) {
    return identifiers_find(&j->query_ids, query) != IDENTIFIER_NONE;
}

size_t judgments_relevant(const judgments *j, slice query) {
    uint32_t q = identifiers_find(&j->query_ids, query);
    return q == IDENTIFIER_NONE ? 0 : j->queries[q].relevant;
}

int judgments_grade_of(const judgments *j, uint32_t q, slice document) {
    uint32_t d = identifiers_find(&j->document_ids, document);
    if (d == IDENTIFIER_NONE) return 0;
    size_t slot = slot_of(j, q, d);
    return j->slots[slot] ? j->all[j->slots[slot] - 1].grade : 0;
}

int judgments_grade(const judgments *j, slice query, slice document) {
    uint32_t q = identifiers_find(&j->query_ids, query);
    return q == IDENTIFIER_NONE ? 0 : judgments_grade_of(j, q, document);
}

typedef enum judgments_form { FORM_UNKNOWN, FORM_TREC, FORM_BEIR } judgments_form;

/* By the first line that says something. `header` becomes true when that line is BEIR's header: its third column does
 * not begin as a number does. */
static judgments_form recognise(slice line, bool *header) {
    slice c[3];
    if (columns_split_tabs(line, c, 3) == 3) {
        char first = c[2].size ? c[2].data[0] : '0';
        *header = !(first >= '0' && first <= '9') && first != '-' && first != '+';
        return FORM_BEIR;
    }
    return line.data[0] == '#' ? FORM_UNKNOWN : FORM_TREC;
}

static forage_status read_line(judgments *j, judgments_form form, slice line, uint64_t number, base_error *error) {
    slice c[4];
    size_t expected = form == FORM_BEIR ? 3 : 4;
    size_t count = form == FORM_BEIR ? columns_split_tabs(line, c, 4) : columns_split(line, c, 4);
    if (count != expected)
        return error_set(error, FORAGE_E_INVALID, "judgments, line %llu: expected %s, got %zu columns",
                         (unsigned long long)number,
                         form == FORM_BEIR ? "3 columns (query, document, grade) with tabs between them"
                                           : "4 columns (query 0 document grade) or BEIR's 3 with tabs",
                         count);
    slice document = c[expected - 2], grade_text = c[expected - 1];
    if (!c[0].size || !document.size)
        return error_set(error, FORAGE_E_INVALID, "judgments, line %llu: the %s is empty", (unsigned long long)number,
                         c[0].size ? "document" : "query");
    int grade;
    if (!column_whole(grade_text, &grade))
        return error_set(error, FORAGE_E_INVALID,
                         "judgments, line %llu: grade: expected a whole number from -1000000 to 1000000, got \"%.*s\"",
                         (unsigned long long)number, SLICE_ARG(grade_text));
    judgments_add(j, c[0], document, grade);
    return FORAGE_OK;
}

forage_status judgments_read(judgments *j, slice text, base_error *error) {
    line_reader r = line_reader_of(text);
    judgments_form form = FORM_UNKNOWN;
    slice line, word;
    while (line_next(&r, &line)) {
        if (!columns_split(line, &word, 1)) continue;
        if (form == FORM_UNKNOWN) {
            bool header = false;
            form = recognise(line, &header);
            if (header || form == FORM_UNKNOWN) continue;
        }
        if (form == FORM_TREC && word.data[0] == '#') continue;
        forage_status status = read_line(j, form, line, r.number, error);
        if (status) return status;
    }
    return FORAGE_OK;
}
