#include "simulate/replay_log.h"

#include "feedback/timestamp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TEXT 4096 /* bytes of a query, a user or any other member */

void replay_log_release(replay_log *log) {
    free(log->rows);
    arena_release(&log->memory);
    *log = (replay_log){0};
}

void replay_log_problem(replay_log *log, uint64_t line, const char *what) {
    if (log->n_problems == REPLAY_PROBLEMS_KEPT) return;
    bool placed = strncmp(what, "line ", 5) == 0;
    log->problems[log->n_problems++] = placed ? arena_strndup(&log->memory, what, strlen(what))
                                              : arena_printf(&log->memory, "line %llu: %s", (unsigned long long)line, what);
}

/* A string, or a number as it was written: ids are often numbers. */
static forage_status read_text(const json_value *json, const char *member, slice *out, base_error *error) {
    const json_value *v = json_get(json, member);
    *out = (slice){0};
    if (!v || v->type == JSON_NULL) return FORAGE_OK;
    if (v->type != JSON_STRING && v->type != JSON_NUMBER)
        return error_set(error, FORAGE_E_INVALID, "\"%s\": expected a string, got %s", member, json_type_name(v->type));
    if (v->text.size > MOST_TEXT)
        return error_set(error, FORAGE_E_INVALID, "\"%s\": %zu bytes; at most %d", member, v->text.size, MOST_TEXT);
    *out = v->text;
    return FORAGE_OK;
}

/* Seconds until the year 5138, milliseconds from 1973 on, microseconds from 1973 on. */
static bool time_of_number(double number, int64_t *out) {
    double size = fabs(number), scale = size < 1e11 ? 1e6 : size < 1e14 ? 1e3 : 1;
    if (!(size * scale < 9e18)) return false;
    *out = (int64_t)(number * scale);
    return true;
}

static forage_status read_time(arena *scratch, const json_value *json, int64_t *out, base_error *error) {
    const json_value *v = json_get(json, "time");
    if (!v || v->type == JSON_NULL) return FORAGE_OK;
    if (v->type == JSON_STRING && timestamp_read(v->text, out)) return FORAGE_OK;
    if (v->type == JSON_NUMBER && v->integral && v->text.size == 4 && timestamp_read(v->text, out)) return FORAGE_OK;
    if (v->type == JSON_NUMBER && time_of_number(v->number, out)) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"time\": expected a time such as \"2026-01-31T12:00:00Z\", got %s",
                     json_quote(scratch, v));
}

/* A table's cell holds the object as text. */
static forage_status read_context(replay_log *log, arena *scratch, const json_value *json, slice *out, base_error *error) {
    const json_value *v = json_get(json, "context");
    json_value *inner;
    *out = (slice){0};
    if (!v || v->type == JSON_NULL) return FORAGE_OK;
    if (v->type == JSON_STRING && !json_read(scratch, v->text, &inner, NULL)) v = inner;
    if (v->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "\"context\": expected an object, got %s", json_type_name(v->type));
    buffer text = {0};
    json_writer w = json_writer_of(&text);
    json_value_write(&w, v);
    *out = arena_slice(&log->memory, (slice){text.data, text.size});
    buffer_release(&text);
    return FORAGE_OK;
}

static forage_status read_row(replay_log *log, arena *scratch, slice text, replay_row *row, base_error *error) {
    json_value *json;
    forage_status status = json_read(scratch, text, &json, error);
    if (status) return status;
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "expected an object, got %s", json_type_name(json->type));
    status = read_text(json, "query", &row->query, error);
    if (!status) status = read_text(json, "user", &row->user, error);
    if (!status) status = read_text(json, "session", &row->session, error);
    if (!status) status = read_text(json, "document", &row->document, error);
    if (!status) status = read_text(json, "action", &row->action, error);
    if (!status) status = read_time(scratch, json, &row->time, error);
    if (!status) status = read_context(log, scratch, json, &row->context, error);
    if (!status && !row->document.size) status = error_set(error, FORAGE_E_INVALID, "it has no \"document\"");
    return status;
}

/* Logs repeat themselves: the same text as in the row before is kept once. */
static slice keep_text(replay_log *log, slice text, slice before) {
    if (!text.size) return (slice){0};
    return slice_equal(text, before) ? before : arena_slice(&log->memory, text);
}

static void add_row(replay_log *log, replay_row *row, slice action) {
    static const replay_row nothing;
    const replay_row *before = log->n ? &log->rows[log->n - 1] : &nothing;
    row->query = keep_text(log, row->query, before->query);
    row->user = keep_text(log, row->user, before->user);
    row->session = keep_text(log, row->session, before->session);
    row->document = keep_text(log, row->document, before->document);
    row->action = row->action.size ? keep_text(log, row->action, before->action) : action;
    if (log->n && row->time < log->newest) log->out_of_order++;
    else log->newest = row->time;
    log->rows = mem_grow(log->rows, &log->capacity, log->n + 1, sizeof *log->rows);
    log->rows[log->n++] = *row;
}

forage_status replay_log_read(records_reader *records, slice action, int64_t now, replay_log *out, base_error *error) {
    replay_log log = {0};
    arena scratch;
    arena_init(&log.memory, 0);
    arena_init(&scratch, 0);
    action = arena_slice(&log.memory, action);
    forage_status status = FORAGE_OK;
    for (;;) {
        bool end = false, recoverable = true;
        slice text;
        base_error why = {0};
        replay_row row = {.time = log.n ? log.rows[log.n - 1].time : now};
        arena_reset(&scratch);
        forage_status read = records_next(records, &text, &row.line, &end, &recoverable, &why);
        if (!read && end) break;
        log.cut = read && !recoverable;
        if (!read && log.n == REPLAY_MOST_ROWS) {
            status = error_set(error, FORAGE_E_TOO_LARGE, "more than %d rows; replay the log in parts", REPLAY_MOST_ROWS);
            break;
        }
        if (!read) read = read_row(&log, &scratch, text, &row, &why);
        if (!read) {
            add_row(&log, &row, action);
            continue;
        }
        log.malformed++;
        replay_log_problem(&log, row.line, why.message);
        if (log.cut) break;
    }
    arena_release(&scratch);
    if (status) replay_log_release(&log);
    else *out = log;
    return status;
}
