#ifndef STUB_BERT_H
#define STUB_BERT_H
#include "encode/encoder.h"
typedef enum { BERT_FP32, BERT_INT8 } bert_precision;
typedef struct bert_options { bert_precision precision; const char *query_prefix, *document_prefix; } bert_options;
static inline forage_status bert_encoder_open(const char *folder, const bert_options *o, encoder **out, base_error *e) { (void)o;(void)out; return error_set(e, FORAGE_E_IO, "%s: stub", folder); }
#endif
