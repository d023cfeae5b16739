/* Queries that a document's own description suggests: its titles and aliases, its attributes and their natural
 * combinations ("2008 fantasy books by x"). Phrases that fit many documents are poor predictions for each of them, so a
 * phrase's score falls with the number of documents that it is expected to fit, attributes being taken as independent. */
#ifndef MEMORY_PREDICT_CATALOGUE_H
#define MEMORY_PREDICT_CATALOGUE_H

#include "memory/predict.h"
#include "text/analyze.h"

typedef enum predict_role {
    PREDICT_TITLE,     /* what the document is called */
    PREDICT_ALIAS,     /* what else it is called */
    PREDICT_TEXT,      /* other text: its words count, it is no phrase */
    PREDICT_TYPE,      /* "book" */
    PREDICT_KEYWORD,   /* "fantasy" */
    PREDICT_YEAR,      /* "2008" */
    PREDICT_REFERENCE, /* the title of what it refers to: its author */
    PREDICT_ROLES
} predict_role;

/* One thing that a document says about itself. */
typedef struct predict_fact {
    predict_role role;
    slice text;
    slice attribute;    /* its term in the index, or empty: sparse_attribute_key */
    uint64_t documents; /* that say the same; 0: not known */
} predict_fact;

typedef struct predict_description {
    uint32_t document;
    uint64_t documents; /* in the collection */
    text_language language;
    const predict_fact *facts;
    size_t n_facts;
} predict_description;

/* At most PREDICT_MAX_QUERIES, best first (ties: the shorter one), each query once and normalised, in the arena. */
size_t predict_from_catalogue(const predict_description *d, text_analyzer *analyzer, arena *a, predict_entry **out);

/* The terms of all its facts' texts (stopwords left out), each once, at most `most`: titles first. */
size_t predict_terms(const predict_description *d, text_analyzer *analyzer, size_t most, arena *a, slice **out);

#endif
