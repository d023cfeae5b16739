#include "server/http.h"

#include "format/json.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void http_reply_header(http_reply *reply, const char *name, const char *value) {
    assert(reply->n_headers < HTTP_MAX_HEADERS);
    reply->headers[reply->n_headers].name = name;
    reply->headers[reply->n_headers++].value = value;
}

void http_reply_error(const http_request *r, http_reply *reply, int http_status, const char *code,
                      const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    buffer text = {0};
    json_writer w = json_writer_of(&text);
    json_begin_object(&w);
    json_key(&w, "error");
    json_begin_object(&w);
    json_key(&w, "code");
    json_text(&w, code);
    json_key(&w, "message");
    json_text(&w, message);
    json_key(&w, "status");
    json_integer(&w, http_status);
    json_end_object(&w);
    json_end_object(&w);
    buffer_putc(&text, '\n');
    reply->status = http_status;
    reply->content_type = "application/json";
    reply->body = arena_slice(r->memory, (slice){text.data, text.size});
    buffer_release(&text);
}
