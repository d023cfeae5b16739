#ifndef STUB_REMOTE_H
#define STUB_REMOTE_H
#include "encode/encoder.h"
typedef struct remote_options { const char *url, *model, *key_env, *query_prefix, *document_prefix; uint32_t dimensions, timeout_ms; } remote_options;
static inline forage_status remote_encoder_open(const remote_options *o, encoder **out, base_error *e) { (void)out; return error_set(e, FORAGE_E_IO, "%s: stub", o->url); }
#endif
