/* An experiment: which of two rankers or policies earns more, decided while it runs.
 *
 * Kinds. "ab": people see A or B, by a stable hash. "team_draft", "optimised": everybody in the experiment sees a
 * page drafted from both (interleave.h), which needs far fewer impressions.
 *
 * The unit of observation, and why it is valid. In an interleaved experiment it is the impression: every page is
 * drafted with coins of its own, so that its outcome is 0 in expectation under "no difference", whatever the same
 * person did before. In an A/B experiment one draw, the hash, decides all that a person sees; their impressions are
 * not independent evidence. So the unit is the person (or session, or where neither is known, query): from the first
 * impression on it is watched for `window` seconds, then counts once, with the reward per impression of that time,
 * and never again. The window is fixed beforehand, so that nothing that is earned decides how long one watches.
 * Units close in the order in which they opened, and sequential.h sees one number per unit. Impressions without any
 * reward count, as 0.
 *
 * Time comes from the caller, in microseconds, as does everything else, so that a replay of the log in its order
 * gives the same state to the last bit. A time before one already seen counts as that one.
 *
 * Threads: the owner guards it. */
#ifndef RANK_EXPERIMENT_H
#define RANK_EXPERIMENT_H

#include "format/json.h"
#include "rank/interleave.h"
#include "rank/sequential.h"

#define EXPERIMENT_NAME_MAX 64
#define EXPERIMENT_MAX_UNITS (1u << 20) /* that an experiment remembers (about 40 MB); later ones are not counted */
#define EXPERIMENT_MISMATCH_LEVEL .001  /* at which a mismatch of the sample ratio is told */

typedef enum experiment_kind { EXPERIMENT_AB = 0, EXPERIMENT_TEAM_DRAFT = 1, EXPERIMENT_OPTIMISED = 2 } experiment_kind;
typedef enum experiment_side { EXPERIMENT_OUT = -1, EXPERIMENT_A = 0, EXPERIMENT_B = 1 } experiment_side;
typedef enum experiment_unit { EXPERIMENT_USER = 0, EXPERIMENT_SESSION = 1, EXPERIMENT_QUERY = 2 } experiment_unit;

typedef struct experiment_config {
    const char *name;    /* 1 to 64 bytes; with the salt, the seed of the assignment: two experiments divide people independently */
    uint64_t salt;
    experiment_kind kind;
    const char *side[2]; /* names of A and B, as people know them; 1 to 64 bytes, different */
    double share;        /* of the traffic that takes part, above 0 to 1 */
    double split;        /* "ab": A's part of that, .01 to .99 */
    double window;       /* seconds that a unit is watched for, above 0 to 31 days */
    double alpha;        /* chance of a verdict where there is no difference, .0001 to .5 */
} experiment_config;

/* All traffic, halves, 30 minutes (an impression's rewards; for "ab" by user better a day or more), .05. */
void experiment_config_default(experiment_config *c, const char *name, experiment_kind kind, const char *a, const char *b);

const char *experiment_kind_name(experiment_kind kind);                  /* "ab", "team_draft", "optimised" */
bool experiment_kind_of(slice name, experiment_kind *out);               /* false: no such kind */
forage_status experiment_check(const experiment_config *c, base_error *error); /* FORAGE_E_INVALID names the bad member */

/* Where a unit belongs. Two hashes (xxHash, 64 bits) of kind and id, one compared with the share, the other with the
 * split, so that growing the share moves nobody to the other side, and the proportions are exact to 2^-53. In an
 * interleaved experiment those who take part are all EXPERIMENT_A. key: the unit's, for the calls below; NULL is
 * fine. */
experiment_side experiment_assign(const experiment_config *c, experiment_unit unit, slice id, uint64_t *key);

typedef struct experiment experiment;

/* Copies what it needs. FORAGE_E_INVALID. */
forage_status experiment_create(const experiment_config *config, experiment **out, base_error *error);
void experiment_destroy(experiment *e);
const experiment_config *experiment_config_of(const experiment *e);

/* An impression of unit `key` on `side` at `time`. "ab": the unit's key and side by experiment_assign. Interleaved:
 * a key for the page alone (its query id by experiment_assign as EXPERIMENT_QUERY); side is not looked at.
 * EXPERIMENT_OUT is passed over. */
void experiment_show(experiment *e, uint64_t key, experiment_side side, int64_t time);

/* A reward, clipped to [−1, 1], that the unit gave; in "ab" a unit's mean per impression is clipped to [0, 1] when
 * it counts. credit: of the shown item it was for, as logged (interleave_page); not looked at in "ab". What comes
 * after its unit closed, or without impression, is passed over and counted as late. */
void experiment_reward(experiment *e, uint64_t key, float credit, float reward, int64_t time);

/* Somebody is to be forgotten: the unit's key and what is still watched of it go; what it has added to the sums stays, since it is
 * nobody's there. Whoever comes back counts as new. False: there is no such unit. O(units). */
bool experiment_forget(experiment *e, uint64_t key);

/* Closes the units whose window is over at `time`. The two above do so too; call it before describing. */
void experiment_advance(experiment *e, int64_t time);

typedef struct experiment_result {
    uint64_t units[2];       /* closed: counted. Interleaved: [0] */
    uint64_t opened[2];      /* that began; Interleaved: [0] */
    uint64_t impressions[2]; /* of closed units */
    double earned[2];        /* per unit: mean over closed units. Interleaved: what A's and B's items were credited per page */
    sequential_result difference; /* A less B */
    double mismatch_p;       /* always-valid; sides are not as the split says when it is below EXPERIMENT_MISMATCH_LEVEL */
    uint64_t late, turned_away; /* rewards; impressions beyond EXPERIMENT_MAX_UNITS */
} experiment_result;

experiment_result experiment_ask(const experiment *e);

/* One JSON object:
 *     name, kind, unit, share, split ("ab"), confidence, pages (interleaved),
 *     a, b: {name, units, opened, impressions (these three "ab"), earned},
 *     difference: {estimate, low, high, e_value, p_value, decided ("a", "b", "not yet"), decided_at (or null)},
 *     sample_ratio ("ab"): {expected, observed, p_value, fits}, late_rewards, not_counted, verdict (sentences). */
void experiment_describe(const experiment *e, json_writer *w);

/* State as bytes, versioned and checked; open units included. A failed load changes nothing: FORAGE_E_VERSION,
 * FORAGE_E_CORRUPT, FORAGE_E_INVALID (of an experiment with another name, salt, kind, split, window or alpha, or
 * other sides). */
void experiment_save(const experiment *e, buffer *out);
forage_status experiment_load(experiment *e, slice state, base_error *error);

#endif
