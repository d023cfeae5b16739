/* Replay: a log of what people did, run through the real funnel, in its order.
 *
 * Each row is a search and what was chosen after it. The first share of the log only teaches. Of the rest, some rows are
 * scored: the search is asked, at the row's own time, before its row is learned from. Every row is learned from in the
 * end, because the log happened: memory, profiles, trends and graph are taught. Two ways to score:
 *
 * Served     The search is served and logged. Was the document that people wanted among the candidates, and on the page?
 *            Only if the page showed it is the reward revealed, as an event of that search: policy and ranker learn from
 *            what was shown and from nothing else.
 * Tried      Every strategy's list is recorded (trial.h), and policies and fixed plans are compared on the record.
 * Ranked     The strategies' candidates are recorded as a ranker sees them (rank_trial.h), and rankers are compared.
 *
 * Rows that cannot be used (documents that are not there, actions without a reward) are counted and passed over.
 * Threads: one thread runs a replay; the funnel may be used by others meanwhile. */
#ifndef SIMULATE_REPLAY_H
#define SIMULATE_REPLAY_H

#include "funnel/funnel.h"
#include "simulate/rank_trial.h"
#include "simulate/replay_log.h"
#include "simulate/trial.h"

typedef struct replay_options {
    double teach;        /* share of the rows that only teaches, [0, 1] */
    uint32_t every;      /* of the others, every so-many-th is scored, beginning with the first; at least 1 */
    bool new_only;       /* of those, only the ones whose (user, document) is in no row before that has a query */
    uint32_t page;       /* served: hits of a page, 1 to FUNNEL_MAX_LIMIT */
    bool try;            /* record, do not serve */
    bool rank;           /* record for rankers; with `try` and `warm` */
    bool warm;           /* tried: rows of the teaching share are recorded in the same way, as lessons (trial.h) */
    uint32_t strategies; /* tried: bits of those that take part */
    uint32_t depth;      /* tried: of the lists, at most TRIAL_MOST_DEPTH; at least the deepest level is taken */
    uint64_t seed;       /* of served searches */
    /* Called now and then with the rows that are done; false ends the replay (FORAGE_E_CLOSED). May be NULL. */
    bool (*progress)(void *self, uint64_t done);
    void *self;
} replay_options;
extern const replay_options replay_defaults; /* half, 1, all rows, 10, served, all strategies, 128 */

/* Of served rows, each scored one in turn. */
typedef struct replay_score {
    uint64_t event;      /* its row, from 0 */
    uint32_t candidates; /* in the union */
    uint32_t rank;       /* on the page, from 1; 0: not on it */
    bool found;          /* in the union */
} replay_score;

typedef struct replay_result {
    uint64_t taught;            /* rows learned from, with those that the page revealed */
    uint64_t unknown_documents; /* rows passed over: the document is not there */
    uint64_t unknown_actions;   /* rows passed over: the action has no reward */
    uint64_t refused;           /* searches that could not be asked, and events that were not taken */
    uint64_t scored, revealed;  /* revealed: the page showed what was wanted */
    replay_score *scores;       /* served: `scored` of them */
    size_t scores_capacity;
    trial trial;                /* tried */
    rank_trial ranks;           /* ranked */
} replay_result;

void replay_result_release(replay_result *r);
/* Problems go to the log's list. Errors: those of funnel_teach and funnel_record when the store fails. */
forage_status replay_run(funnel *f, replay_log *log, const replay_options *options, replay_result *out,
                         base_error *error);

#endif
