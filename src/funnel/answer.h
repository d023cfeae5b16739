/* The inside of a request on its way through the funnel; only this folder's files include it. */
#ifndef FUNNEL_ANSWER_H
#define FUNNEL_ANSWER_H

#include "base/bytes.h"
#include "feedback/record.h"
#include "funnel/ranker_columns.h"
#include "funnel/describe.h"
#include "funnel/funnel.h"
#include "funnel/history.h"
#include "funnel/models.h"
#include "funnel/performance.h"
#include "policy/overlap.h"
#include "rank/arrange.h"
#include "rank/experiment.h"
#include "rank/interleave.h"
#include "rank/ranker.h"
#include "retrieve/cross_encoder.h"
#include "retrieve/strategy.h"
#include "understand/understand.h"

#include <pthread.h>
#include <stdatomic.h>

#define FUNNEL_MAX_ROWS 2048 /* of the memory, the most believed first */
#define FUNNEL_FEATURE_SET 4 /* the core alone; other sets are hashes of their names (ranker_columns.h) and begin with the core */
#define FUNNEL_MOST_PINS 100
#define FUNNEL_MOST_LOGGED 100 /* hits of a page that is logged with more than the core */

/* The policy's features of one strategy, bias first. The last five are the strategy's own, the others the request's. */
enum {
    X_BIAS, X_WORDS, X_ONE_WORD, X_STOPWORDS, X_DIGITS, X_TYPE_WORD, X_LANGUAGE, X_FILTER, X_RARITY, X_MATCHING,
    X_SEEN, X_UNSEEN, X_EARNED, X_TOP, X_BELIEF, X_USER, X_TENURE, X_LIKED, X_BOTH, X_SHARED, X_HOUR_SIN, X_HOUR_COS, X_WEEKEND,
    X_EXPECTED, X_QUERY, X_PAST_WORDS, X_SEGMENT, X_LATENCY, X_COUNT
};

/* The core of the ranker's columns. */
enum {
    F_LEXICAL_RRF, F_LEXICAL_SCORE, F_MEMORY_RRF, F_MEMORY_MEAN, F_MEMORY_SURE, F_POPULAR_RRF, F_FRESH_RRF, F_RELATED_RRF,
    F_EXPLORE_RRF, F_FOUND_BY, F_POPULARITY, F_TYPE_MATCH, F_SHORT_LEXICAL, F_SHORT_POPULARITY, F_BROWSE_POPULAR, F_BROWSE_FRESH,
    F_PERSONAL_RRF, F_AFFINITY, F_BROWSE_PERSONAL, F_SEMANTIC_RRF, F_SEMANTIC_SCORE, F_CATALOGUE_SCORE, F_BROWSE_SEMANTIC,
    F_EXPANSION_RRF, F_EXPANSION_SCORE, F_COUNT
};

typedef struct funnel_counters {
    uint64_t searches, events;
    uint64_t asked[RETRIEVE_STRATEGIES], depth[RETRIEVE_STRATEGIES], took_us[RETRIEVE_STRATEGIES],
        late[RETRIEVE_STRATEGIES], credited[RETRIEVE_STRATEGIES];
} funnel_counters;

/* What learns from the log: the funnel's own, or others beside it. */
typedef struct funnel_learners {
    policy *policy;
    performance *performance;
    ranker *ranker;
    policy_overlap *overlap; /* somebody else's; under the funnel's counters_mutex */
    text_analyzer *analyzer;
} funnel_learners;

/* Searches are logged with the policy's count of decisions (record.h: policy_version). Where what was learned was replaced, that
 * count fell or rose; a turn says after which record of the log, and by how much it fell. The log's decisions have one count
 * throughout: the logged one and what all turns before it took. */
#define FUNNEL_MOST_TURNS 64
typedef struct funnel_turn {
    uint64_t sequence;
    int64_t fell_by;
} funnel_turn;
typedef struct funnel_line {
    uint32_t n;
    funnel_turn turns[FUNNEL_MOST_TURNS];
} funnel_line;

struct funnel {
    collection *collection;
    os_pool *pool;
    const retrieve_strategy *const *strategies; /* retrieve_strategies; a test may put others in their places */
    policy *learned; /* learns from what is served, whichever rule drew it */
    performance *performance;
    ranker *ranker;
    query_memory *memory;
    behaviour *behaviour;
    vectors *vectors;
    cross_encoder *cross;

    pthread_mutex_t random_mutex;
    random_source random;

    pthread_mutex_t spare_mutex;
    funnel_answer *spare; /* answers to be used again, with their memory */
    atomic_uint in_flight;

    /* The writer thread's own. */
    text_analyzer *analyzer;
    uint64_t next_sequence;
    uint64_t learned_sequence; /* of the last log record that the learners have seen */
    uint64_t saved_sequence;   /* of the last one in the saved state */
    uint64_t save_tried;       /* learned_sequence of the last attempt to save */
    funnel_line line;          /* changed with versions_mutex as well, so that its holder may read it */

    pthread_mutex_t columns_mutex;
    columns_list *columns;          /* the latest schema's first */
    model_registry *models;
    _Atomic uint64_t complained;    /* the model that could not be read, when that was said */
    _Atomic uint64_t column_us[COLUMNS_SOURCES], described_requests, described_rows;
    uint32_t named_set;             /* whose names are in the store; the writer thread's own */

    pthread_mutex_t experiment_mutex; /* of all three; they are changed by the writer thread */
    experiment *experiment;           /* NULL: there was none */
    bool experiment_running;
    int64_t experiment_started;

    pthread_mutex_t versions_mutex; /* one at a time keeps, rolls back, or puts in place what was learned again */
    atomic_bool relearning;
    _Atomic uint64_t relearned_to, relearn_end; /* sequences of the log */

    pthread_mutex_t counters_mutex; /* of all three */
    funnel_counters counters;
    history history;
    policy_overlap overlap;
};

typedef enum slot_state { SLOT_IDLE, SLOT_RUNNING, SLOT_DONE, SLOT_LATE } slot_state;

/* One strategy's place in a request. */
typedef struct funnel_slot {
    funnel_answer *answer;
    uint32_t strategy, depth;
    uint32_t base; /* its hits beyond this one are for later pages */
    slot_state state; /* under the answer's mutex */
    arena memory;
    sparse_hit *hits;
    size_t n_hits;
    uint32_t took_us;
    bool gave_up;
} funnel_slot;

/* It was asked and its answer did not come whole: it ran out of time, or the one it waits for did. */
static inline bool funnel_slot_late(const funnel_slot *slot) {
    return slot->depth > 0 && (slot->state != SLOT_DONE || slot->gave_up);
}

typedef struct funnel_candidate {
    uint32_t document;
    uint32_t rank[RETRIEVE_STRATEGIES]; /* from 1; 0: not found by it */
    float raw[RETRIEVE_STRATEGIES];
    uint32_t tier; /* 0: on the first page's list; else it comes after all of a lower one */
} funnel_candidate;

typedef enum funnel_scorer_kind { FUNNEL_SCORE_RRF, FUNNEL_SCORE_ONLINE, FUNNEL_SCORE_MODEL } funnel_scorer_kind;

/* What gives candidates their scores. Zeroed is none. */
typedef struct funnel_scorer {
    funnel_scorer_kind kind;
    loaded_model *model;     /* held; for funnel_release_scorer */
    const char *name; /* "rrf", "linear" (that learns online), "model:NUMBER" */
    uint64_t version;
} funnel_scorer;

/* What the cross-encoder made of the first of the order. */
typedef struct funnel_cross {
    bool asked;         /* else nothing else means anything */
    cross_result result;
    size_t n;           /* chosen */
    uint32_t *chosen;   /* candidates, best first by the ranker */
    float *score;       /* of chosen[i]; NaN: not scored */
} funnel_cross;

struct funnel_answer {
    funnel_answer *next_spare;
    funnel *funnel;
    atomic_uint references; /* the requester's, and one for each running strategy: a late one may outlive the request */
    arena memory;
    text_analyzer *analyzer;
    int64_t started;        /* monotonic */

    const funnel_request *request;
    const schema *schema;
    const sparse_snapshot *snapshot;
    store_txn *txn;
    random_source random;

    /* understand */
    understand_query understood;
    collection_type *types;
    size_t n_types;
    sparse_query_term *terms;
    size_t n_terms;
    hash128 memory_key;
    memory_row *rows;
    size_t n_rows;
    sparse_eligible eligible, matching;
    vector_query *meaning;  /* NULL: the collection has no vectors */
    weights_query *expansion; /* NULL: the collection has no fields of weights */
    float rarity;           /* highest idf of a word */
    float spread;           /* documents that the words are expected in, one by one */
    int64_t now;            /* wall clock: when it is asked */
    profile *profile;       /* NULL: none */
    memory_segment context_segments[SEGMENTS_MAX];
    size_t n_context_segments;
    uint64_t segments[SEGMENTS_MAX];

    /* decide */
    float x[RETRIEVE_STRATEGIES][X_COUNT];
    uint32_t allowed[RETRIEVE_STRATEGIES];
    float cost[RETRIEVE_STRATEGIES][FUNNEL_LEVELS];
    const char *policy_name;
    policy_decision decision;

    /* retrieve */
    retrieve_request asked;
    pthread_mutex_t mutex;
    pthread_cond_t arrived;
    funnel_slot slots[RETRIEVE_STRATEGIES];

    /* unite, rank */
    uint32_t alone[RETRIEVE_STRATEGIES][FUNNEL_LEVELS];
    funnel_candidate *candidates;
    size_t n_candidates, n_united, room; /* united: that were found; room: for named documents beside them */
    const funnel_given *given; /* somebody else's candidates, instead of a union */
    size_t n_given;
    const columns_list *columns;
    float *features;        /* n_candidates × columns->n; beyond the core, of those that are `described` */
    bool *described;
    const describe_indexed *indexed; /* n_candidates; NULL: not looked up yet */
    funnel_scorer scorer, rival; /* rival: the other side of an interleaved page, else none */
    float *scores;
    funnel_cross cross;
    uint32_t *order;        /* candidates, best first, without the hidden */
    size_t n_order;
    uint32_t offset;        /* of the first hit: the request's, or its page token's */
    uint32_t end;           /* places of the order up to the last hit, those of documents that are gone among them */
    uint32_t *frozen;       /* the order of a page token */
    size_t n_frozen;
    arrange_pin *pins;
    size_t n_pins;
    float weights[F_COUNT]; /* of the linear ranker when it ranked, for explanations */
    uint32_t *shadow_rank;  /* n_candidates; NULL: there is no shadow */
    const char *shadow_name;
    uint32_t explored;
    float log_propensity;
    uint32_t rank_us;       /* that ranking took */

    /* the experiment that the request takes part in */
    slice experiment, side_ranker, side_policy, rival_name;
    uint32_t side;          /* RECORD_SIDE_… */
    interleave_kind interleaving;
    interleave_page *drafted; /* NULL: the page is not interleaved */

    /* respond */
    funnel_hit *hits;
    size_t n_hits;
    char query_id[40];
    slice query_id_slice;
    int64_t finished;
};

forage_status funnel_understand(funnel_answer *a, base_error *error);
void funnel_describe(funnel_answer *a); /* features.c: what the policy sees, may draw, and what it would cost */
forage_status funnel_decide(funnel_answer *a, base_error *error);
void funnel_retrieve(funnel_answer *a);
void funnel_unite(funnel_answer *a);
forage_status funnel_rank(funnel_answer *a, base_error *error);
void funnel_make_id(funnel_answer *a); /* respond.c: the impression's; none when it will not be logged */

/* rank.c. For funnel_release_scorer. */
forage_status funnel_take_scorer(funnel_answer *a, slice name, funnel_scorer *out, base_error *error);
void funnel_release_scorer(funnel_scorer *s); /* a zeroed one is a no-op */
float *funnel_score(funnel_answer *a, const funnel_scorer *s); /* n_candidates, in the arena */
void funnel_complain_once(funnel *f, uint64_t number, const char *why); /* of a model */

/* order.c */
uint32_t *funnel_sorted(funnel_answer *a, const float *scores); /* candidates, best first, in the arena */
forage_status funnel_add_pinned(funnel_answer *a, base_error *error); /* pinned and frozen documents become candidates */
forage_status funnel_order(funnel_answer *a, base_error *error);
slice funnel_next_page(funnel_answer *a); /* empty: this was the last */

bool *funnel_hidden(funnel_answer *a); /* n_candidates; NULL: none is */

/* cross_stage.c. FORAGE_E_INVALID: the request asks for a cross-encoder that the schema does not have. */
forage_status funnel_check_cross(const funnel_answer *a, base_error *error);
/* Scores the first of the orders by a->scorer and a->rival, and makes that a feature. False: there is nothing new. */
bool funnel_cross_read(funnel_answer *a);
/* Scores that put what was scored in the cross-encoder's order; `scores` themselves where the schema does not want that. */
float *funnel_cross_last(funnel_answer *a, float *scores);
void funnel_write_cross(const funnel_answer *a, json_writer *w);               /* the answer's member */
void funnel_write_cross_hit(const funnel_answer *a, uint32_t candidate, json_writer *w); /* the explanation's, if it was scored */
void funnel_write_cross_stats(funnel *f, json_writer *w);                      /* the member of stats, if the schema has one */
void funnel_write_cross_metrics(funnel *f, buffer *out);

/* compare.c */
void funnel_assign(funnel_answer *a);
forage_status funnel_compare(funnel_answer *a, slice otherwise, base_error *error); /* takes the scorer, and the rival */
void funnel_experiment_shown(funnel *f, const record_impression *r);             /* these by the writer thread */
void funnel_experiment_earned(funnel *f, const record_impression *r, const record_event *e);
forage_status funnel_experiment_save(funnel *f, store_txn *t, base_error *error);
void funnel_experiment_load(funnel *f, store_txn *t, bool fresh);

/* columns_kept.c. The list of a schema's columns; it lives as long as the funnel. */
const columns_list *funnel_columns(funnel *f, const schema *s);
forage_status funnel_keep_names(funnel *f, store_txn *t, const columns_list *list, base_error *error); /* in a store job */
void funnel_respond(funnel_answer *a);
void funnel_log(funnel_answer *a);

funnel_answer *funnel_answer_begin(funnel *f, const funnel_request *request);
void funnel_answer_unref(funnel_answer *a);
/* The strategy without which a page would be empty. */
bool funnel_is_main(const funnel_answer *a, uint32_t strategy);
segment_fields funnel_segment_fields(const schema *s);

/* try.c. Understands, and asks every strategy that can answer for `depth[s]` candidates. */
forage_status funnel_ask(funnel *f, const funnel_request *request, const uint32_t *depth, funnel_answer **out, base_error *error);
/* By hindsight: at which rank, from 1, each strategy would have returned the hit of the impression, had it been asked at
 * its deepest level; 0: not within it. Where the impression tells it, it is not asked again. False: it cannot be told. */
bool funnel_hindsight(funnel *f, const record_impression *r, uint64_t sequence, uint32_t hit, uint32_t rank[RETRIEVE_STRATEGIES]);
extern const float funnel_prior_weights[F_COUNT], funnel_prior_variances[F_COUNT];
/* Fresh ones, which have learned nothing, with the collection's settings. `overlap` is the caller's and is initialised. */
forage_status funnel_learners_init(const funnel *f, policy_overlap *overlap, funnel_learners *out, base_error *error);
void funnel_learners_release(funnel_learners *l);
static inline funnel_learners funnel_own_learners(funnel *f) {
    return (funnel_learners){f->learned, f->performance, f->ranker, &f->overlap, f->analyzer};
}
void funnel_set_budget(funnel *f); /* the schema's, to the learner */
/* How deep the main strategy is asked for a page that ends at the `needed`-th hit. */
uint32_t funnel_later_depth(uint32_t needed);
bool funnel_is_of_this_shape(const record_impression *r); /* lesson.c: can teach this build's policies */
/* What a search has spent of the collection's budget. */
float funnel_spent(const schema *s, uint32_t candidates, uint32_t took_us);

/* learn.c: what an impression and an event teach; called in the log's order by one thread. */
void funnel_learn_impression(funnel *f, const record_impression *r);
void funnel_learn_event(funnel *f, const record_impression *r, const record_event *e);
/* The lessons alone, counting nothing; any thread, for learners that nobody else teaches. False: r is of another shape. */
bool funnel_teach_impression(funnel *f, const funnel_learners *l, const record_impression *r);
void funnel_teach_event(const funnel *f, const funnel_learners *l, const record_impression *r, const record_event *e);

/* engage.c: exposure, for trends and for what is not well known. */
void funnel_count_shown(funnel *f, const record_impression *r, arena *a);
/* What an engagement changes beside the memory of its query, inside a store job; for behaviour_committed. */
forage_status funnel_engage(funnel *f, store_txn *t, const sparse_snapshot *snapshot, const record_impression *r,
                            const record_event *e, bool taught, arena *a, behaviour_change *out, base_error *error);

/* state.c */
forage_status funnel_load_state(funnel *f, base_error *error);
forage_status funnel_save_state(funnel *f, store_txn *t, base_error *error); /* inside a store job */
#define FUNNEL_SAVE_EVERY 2048 /* log records */
/* With these in place of the funnel's own, as of its learned_sequence. */
forage_status funnel_save_learners(funnel *f, store_txn *t, const funnel_learners *l, const funnel_line *line, base_error *error);
/* The parts of a saved state that learners have, as strings in a row: policy, ranker, performance, overlap. */
void funnel_write_learners(funnel *f, const funnel_learners *l, buffer *out);
/* FORAGE_E_VERSION, FORAGE_E_CORRUPT or FORAGE_E_INVALID (of another shape): some of them may have been loaded. */
forage_status funnel_read_learners(funnel *f, byte_reader *in, const funnel_learners *l, base_error *error);

/* versions.c. Keeps a version, inside a store job, when enough was learned since the last one. */
forage_status funnel_keep_sometimes(funnel *f, store_txn *t, base_error *error);
/* Keeps what is learned, inside a store job; `name` empty: without one. */
forage_status funnel_keep_own(funnel *f, store_txn *t, slice name, funnel_version *out, base_error *error);

/* relearn.c */
/* The count, without turns and without `skipped` decisions, of one that was logged with `version` in a record before or at
 * `sequence`; at least 1. 0 (its count is unknown) stays 0. */
uint64_t funnel_line_count(const funnel_line *line, uint64_t sequence, uint64_t version, int64_t skipped);
uint64_t funnel_line_now(const funnel_line *line, uint64_t sequence, uint64_t version); /* by the count since the last turn */
void funnel_line_turn(funnel_line *line, uint64_t sequence, int64_t fell_by);
int64_t funnel_line_sum(const funnel_line *line);

/* What puts other learners in the place of the funnel's own, durably, between two records of the log. */
typedef struct funnel_swap {
    funnel *funnel;
    const funnel_learners *learners;
    /* Inside the store job, before its first put; may run again. NULL: none. Sets `reached` when nothing is left to be taught. */
    forage_status (*prepare)(struct funnel_swap *s, store_txn *t, base_error *error);
    uint64_t reached; /* of the log, what they have been taught */
    int64_t since;    /* what was searched before teaches nothing */
    int64_t skipped;  /* decisions that their count leaves out (funnel_line_count) */
    uint64_t searches, events; /* that taught */
    funnel_line line, turned;  /* as it is, and as it will be */
    uint64_t saves;            /* the sequence that the saved state is of */
    funnel_version *before; /* what was kept of what was there */
    void *self;                    /* prepare's */
} funnel_swap;
/* The caller holds versions_mutex. What was there is kept as a version before. */
forage_status funnel_swap_learners(funnel_swap *s, base_error *error);
#define FUNNEL_EVENT_WINDOW_DAYS 30

/* log_stage.c. A record of the log, and one that is an impression; slices live as long as the transaction. */
bool funnel_log_record(store_txn *t, uint64_t sequence, slice *record);
bool funnel_log_impression(store_txn *t, uint64_t sequence, arena *a, record_impression *out);
/* The records after this sequence, in order, until `see` says false. */
typedef bool (*funnel_see_record)(void *self, uint64_t sequence, slice record);
forage_status funnel_log_each(store_txn *t, uint64_t after, funnel_see_record see, void *self, base_error *error);
slice funnel_json_text(const json_value *value, arena *a); /* NULL: empty */
forage_status funnel_append_log(funnel *f, store_txn *t, slice record, uint64_t *sequence, base_error *error);

#endif
