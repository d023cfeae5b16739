/* What customers know of a collection: its documents by name, and the values that several of them share. Read from the
 * documents' own fields through the schema, with no look at the engine: a frozen picture of the moment it was made. */
#ifndef SIMULATE_SIM_CATALOGUE_H
#define SIMULATE_SIM_CATALOGUE_H

#include "collection/collection.h"

#define SIM_MAX_DOCUMENTS 50000 /* a uniform sample of a larger collection */
#define SIM_MAX_ATTRIBUTES 24   /* of one document */
#define SIM_NONE UINT32_MAX

/* A value of a keyword or reference field, or a short one of a text field that is not the title, that at least two
 * documents share. */
typedef struct sim_attribute {
    slice text;                   /* what people type for it; empty for a reference */
    uint32_t field;               /* of the schema */
    uint32_t first, n_documents;  /* its documents: members[first …] */
    double weight;                /* ln((documents + 1) / n_documents): how much it tells */
} sim_attribute;

typedef struct sim_document {
    uint32_t number;
    uint32_t first, n_attributes; /* attribute_ids[first …] */
    slice title;                  /* may be empty */
    slice word;                   /* of the title's longer words the one that most titles have */
    double popularity;            /* as the catalogue says; 0: unknown */
} sim_document;

typedef struct sim_catalogue {
    arena memory;
    const schema *schema;
    int32_t title_field;
    sim_document *documents; /* by number */
    sim_attribute *attributes;
    uint32_t *attribute_ids, *members; /* of documents, of attributes (indices into documents) */
    size_t n_documents, n_attributes, n_members;
    struct sim_values *values;         /* attributes by field and value */
} sim_catalogue;

/* FORAGE_E_INVALID when there is no document that anybody could look for. The collection must outlive it. */
forage_status sim_catalogue_create(collection *c, uint64_t seed, sim_catalogue **out, base_error *error);
void sim_catalogue_destroy(sim_catalogue *k); /* NULL is a no-op */

/* The attributes that a document's JSON names, in the catalogue or not; at most SIM_MAX_ATTRIBUTES. */
size_t sim_catalogue_attributes(const sim_catalogue *k, slice source, arena *a, uint32_t *out);

#endif
