/* Places by document number and by popularity: sorted when a segment is written or opened. For segment*.c only. */
#ifndef SPARSE_SEGMENT_ORDER_H
#define SPARSE_SEGMENT_ORDER_H

#include <stdint.h>

/* To be freed; NULL when documents ascend with their places. Takes 32 bytes a place for a moment. */
uint32_t *segment_order_by_document(const uint32_t *documents, uint32_t count);
/* Highest number first, those that are not above 0 last, ties by document number. To be freed. */
uint32_t *segment_order_by_number(const double *numbers, const uint32_t *documents, uint32_t count);

#endif
