/* A collection's training in the background: one at a time. */
#ifndef API_TRAININGS_H
#define API_TRAININGS_H

#include "api/engine.h"

typedef struct training training;

training *training_create(forage_collection *c);
void training_destroy(training *t); /* stops it; NULL is a no-op */
void training_stop(training *t); /* says so, and does not wait */
/* So many events were recorded: trains when the schema says that it is time. */
void training_count(training *t, uint64_t events);

#endif
