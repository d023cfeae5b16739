/* Log records: what was shown and why (an impression), and what somebody did (an event), as bytes in the store.
 *
 * The log is the engine's memory of its own decisions: every learner's state can be computed again from it, and other
 * policies can be judged by it, because it holds each decision's whole distribution and the features as served.
 *
 * Bytes (little-endian; `string` is a varint length and UTF-8):
 *   u8 kind (1 impression, 2 event), u8 format (3), i64 time (microseconds since 1970), then by kind as in record.c.
 * Older formats are still read. Format 1: without filter, prefix, candidates, took_us and hindsight, `allowed` what had a chance;
 * formats 1 and 2: without experiment, exploration of the order, shadow ranks and rows that were not shown.
 * A reader skips nothing and trusts nothing: damaged bytes are FORAGE_E_CORRUPT. */
#ifndef FEEDBACK_RECORD_H
#define FEEDBACK_RECORD_H

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"

#define RECORD_MAX_STRATEGIES 32
#define RECORD_MAX_LEVELS 8

typedef enum record_kind { RECORD_IMPRESSION = 1, RECORD_EVENT = 2 } record_kind;

typedef struct record_strategy {
    slice name;
    uint32_t level;                        /* drawn */
    float probability[RECORD_MAX_LEVELS];  /* the whole distribution it was drawn from */
    uint32_t depth;                        /* candidates asked for */
    uint32_t candidates;                   /* that came */
    uint32_t took_us;
    bool late;                             /* left out: its deadline passed */
    uint32_t allowed;                      /* bits: levels that could be drawn; 0 is read as those with a probability */
    float cost[RECORD_MAX_LEVELS];         /* that the levels were expected to have; below 0: not known */
    uint32_t alone[RECORD_MAX_LEVELS];     /* up to the drawn level: candidates within its depth that nobody else brought */
    const float *x;                        /* n_policy_features: the policy's features of this strategy */
} record_strategy;

typedef struct record_hit {
    uint32_t document;        /* number */
    float score;              /* of the ranker */
    const uint32_t *ranks;    /* n_strategies: rank from 1, 0 when not found by it */
    const float *features;    /* n_features, as served */
    uint32_t shadow;          /* where the shadow ranker had it among all candidates, from 1; 0: none did */
    int32_t team;             /* of an interleaved page: whose choice it was, RECORD_SIDE_A or _B; 0: nobody's alone */
    float lean;               /* of an interleaved page: what a click on it says for A (above 0) or for B (below), −1 to 1 */
} record_hit;

/* Sides of an experiment. */
enum { RECORD_SIDE_NONE, RECORD_SIDE_A, RECORD_SIDE_B, RECORD_SIDE_BOTH /* interleaved */ };

typedef struct record_impression {
    int64_t time;
    slice query_id, query;    /* the text is cut at 1,024 bytes */
    hash128 memory_key;       /* of the normalised query */
    slice language, user, session, context; /* context: JSON */
    slice filter;             /* JSON; empty: none, or too long to be kept */
    bool prefix;              /* the last word was still being typed */
    uint32_t offset;          /* rank of the first hit shown, from 0 */
    slice policy;
    uint64_t policy_version;
    double propensity;
    uint32_t n_levels;
    uint32_t depths[RECORD_MAX_LEVELS];
    uint32_t n_policy_features;
    uint32_t n_strategies;
    record_strategy strategies[RECORD_MAX_STRATEGIES];
    slice ranker;
    uint64_t ranker_version;
    uint32_t feature_set;     /* which list of names the features follow */
    uint32_t n_features;
    uint32_t n_candidates;    /* in the union */
    uint32_t took_us;         /* the whole search, but for the log */
    uint32_t n_hits;
    const record_hit *hits;
    uint32_t n_unshown;       /* candidates drawn evenly among those that were not shown, for the ranker to learn from */
    const record_hit *unshown;
    slice experiment;         /* its name; empty: none */
    uint32_t side;            /* RECORD_SIDE_…, as assigned */
    slice shadow;             /* the ranker that scored without serving; empty: none */
    uint32_t explored;        /* the order of that many first hits was drawn; 0: it was the ranker's */
    float log_propensity;     /* of the drawn order */
} record_impression;

typedef struct record_event {
    int64_t time;
    slice event_id, query_id, action, user, session, document_id;
    uint32_t document;        /* number */
    uint64_t impression;      /* sequence of the impression in the log */
    uint32_t hit;             /* index among the impression's hits */
    float reward;             /* of the action */
    float credit;             /* what it added to this (impression, document): the learners use this one */
    uint64_t engaged;         /* bit i: hit i had been engaged with before (the first 64) */
    uint32_t n_ranks;         /* strategies; 0: they were not asked */
    uint32_t ranks[RECORD_MAX_STRATEGIES]; /* by hindsight: where each would have had the document, from 1; 0: not
                                              within its deepest level */
} record_event;

void record_write_impression(const record_impression *r, buffer *out);
void record_write_event(const record_event *r, buffer *out);

forage_status record_kind_of(slice bytes, record_kind *out);
/* Slices point into `bytes`, arrays into the arena. */
forage_status record_read_impression(slice bytes, arena *a, record_impression *out);
forage_status record_read_event(slice bytes, record_event *out);

/* Where STORE_EVENTS keeps what a document has earned on an impression so far: f32, the sum of its credits; u64 (big-endian), the
 * sequence of its first event, whose ranks hold for the others too. */
hash128 record_credit_key(uint64_t impression, uint32_t document);

/* A document's id, empty when it is gone. */
typedef slice (*record_id_of)(void *self, uint32_t document, arena *a);

/* What records leave to lists kept elsewhere. Features beyond a list are "f" and their number; an event's strategies
 * are "s" and their number (from 0) when there are more or fewer than names. */
typedef struct record_names {
    const char *const *features, *const *policy_features, *const *strategies;
    uint32_t n_features, n_policy_features, n_strategies;
    /* The names of an impression's own feature set, in the arena; NULL: they are `features`. May be NULL itself. */
    const char *const *(*columns)(void *owner, uint32_t feature_set, uint32_t n, arena *a);
    void *owner;
} record_names;

/* One line of JSON (without a newline) for exports. Nothing is appended on an error. */
forage_status record_to_json(slice bytes, uint64_t sequence, const record_names *names, record_id_of id_of, void *self,
                             arena *a, buffer *out);

#endif
