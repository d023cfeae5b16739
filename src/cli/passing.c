#include "cli/passing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As JSON has it, so that whole numbers stay whole, or as people do: ".5". */
bool pass_number(const char *typed, json_writer *w) {
    arena memory;
    json_value *value;
    arena_init(&memory, 256);
    bool fine = !json_read(&memory, slice_of(typed), &value, NULL) && value->type == JSON_NUMBER;
    if (fine) json_value_write(w, value);
    arena_release(&memory);
    if (fine || !*typed || typed[strspn(typed, "+-.0123456789eE")]) return fine;
    char *end;
    double number = strtod(typed, &end);
    fine = !*end && isfinite(number);
    if (fine) json_number(w, number);
    return fine;
}

void pass_options(const cli_arguments *a, const passed_option *options, json_writer *w) {
    for (const passed_option *o = options; o->option; o++) {
        const char *typed = arg_text(a, o->option, NULL);
        char name[32];
        if (!typed) continue;
        snprintf(name, sizeof name, "%s", o->member ? o->member : o->option);
        for (char *c = name; *c; c++) *c = *c == '-' ? '_' : *c;
        json_key(w, name);
        if (!o->number || !pass_number(typed, w)) json_text(w, typed);
    }
}

bool pass_named_number(const char *typed, json_writer *w) {
    const char *sign = strrchr(typed, '=');
    buffer scratch = {0};
    json_writer trial = json_writer_of(&scratch);
    bool fine = sign && sign != typed && pass_number(sign + 1, &trial);
    if (fine) {
        json_key_slice(w, (slice){typed, (size_t)(sign - typed)});
        json_raw(w, (slice){scratch.data, scratch.size});
    }
    buffer_release(&scratch);
    return fine;
}

const char *joined_words(const cli_arguments *a, size_t i, arena *memory) {
    buffer text = {0};
    for (size_t first = i; i < a->n_words; i++) {
        if (i > first) buffer_putc(&text, ' ');
        buffer_puts(&text, a->words[i]);
    }
    const char *out = arena_strndup(memory, text.data ? text.data : "", text.size);
    buffer_release(&text);
    return out;
}
