/* safetensors files: named tensors in a mapped file. Hostile-input-safe: every offset, shape and size is checked before
 * anything is handed out. */
#ifndef ENCODE_SAFETENSORS_H
#define ENCODE_SAFETENSORS_H

#include "base/memory.h"
#include "base/status.h"

typedef struct safetensors safetensors;

typedef enum tensor_type {
    TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_F64, TENSOR_I64, TENSOR_I32, TENSOR_I8, TENSOR_U8, TENSOR_OTHER
} tensor_type;
enum { TENSOR_MOST_DIMENSIONS = 8 };

typedef struct tensor_view {
    tensor_type type;
    uint32_t n_dimensions;
    uint64_t shape[TENSOR_MOST_DIMENSIONS];
    uint64_t n;       /* product of the shape */
    const void *data; /* in the mapped file; may be unaligned; lives as long as the file is open */
} tensor_view;

forage_status safetensors_open(const char *path, safetensors **out, base_error *error);
void safetensors_close(safetensors *s);
size_t safetensors_count(const safetensors *s);
bool safetensors_find(const safetensors *s, slice name, tensor_view *out);
/* All n values of a floating tensor as float32 (F32, F16, BF16, F64). FORAGE_E_INVALID for other types. */
forage_status tensor_to_floats(const tensor_view *t, float *out, base_error *error);

#endif
