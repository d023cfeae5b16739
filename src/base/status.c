#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A cut message must stay valid UTF-8: it ends up in JSON. */
static void end_at_character(char *text, size_t size) {
    while (size > 0 && ((unsigned char)text[size - 1] & 0xC0) == 0x80) size--;
    if (size > 0) text[size - 1] = '\0';
}

/* Messages quote what others sent; they are lines of logs and terminals. */
static void without_control_characters(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = ' ';
}

forage_status error_set(base_error *error, forage_status status, const char *format, ...) {
    if (!error) return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (wanted >= (int)sizeof error->message) end_at_character(error->message, sizeof error->message - 1);
    without_control_characters(error->message);
    return status;
}

forage_status error_prefix(base_error *error, const char *format, ...) {
    if (!error) return FORAGE_E_INTERNAL;
    char old[sizeof error->message], prefix[512];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    return error_set(error, error->status, "%s: %s", prefix, old);
}

typedef struct status_row {
    forage_status status;
    const char *name;
    int http;
    const char *message;
} status_row;

static const status_row rows[] = {
#define STATUS_ROW(symbol, value, name, http, message) {symbol, name, http, message},
    FORAGE_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

static const status_row *find(forage_status status) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status) return &rows[i];
    return NULL;
}

const char *status_name(forage_status status) {
    const status_row *row = find(status);
    return row ? row->name : "unknown";
}

const char *status_message(forage_status status) {
    const status_row *row = find(status);
    return row ? row->message : "an unknown error happened";
}

int status_http(forage_status status) {
    const status_row *row = find(status);
    return row ? row->http : 500;
}
