/* Training: which ranker does the log teach?
 *
 * A run reads the log once for the events and once for the searches they belong to, estimates how likely each rank is looked at,
 * splits the searches by time into those to learn from, those to stop by and those to be judged by, fits a linear order and trees,
 * keeps the better one in the registry with a report, and activates it if it wins on the searches that it has not seen.
 *
 * Off the query path: it works in the calling thread and holds a read transaction only while it reads. Memory is bounded by
 * settings. Deterministic given the log, the settings and the number of threads. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "funnel/funnel.h"
#include "rank/examination.h"
#include "rank/pick.h"

typedef enum train_debias { TRAIN_DEBIAS_HARVEST, TRAIN_DEBIAS_EM, TRAIN_DEBIAS_NONE } train_debias;

/* How good an order by this ranker is on human judgments, 0 to 1; for train_settings.judge. */
typedef forage_status (*train_judge)(void *self, const char *ranker, double *ndcg, base_error *error);

typedef struct train_settings {
    pick_settings fit;
    double validation, held_out; /* shares of the searches, the latest ones */
    train_debias debias;
    double weight_clip;          /* largest inverse propensity */
    double user_cap;             /* searches that one user counts for, at most */
    size_t memory;               /* bytes of rows; the earliest searches are left out beyond it */
    int64_t since;               /* searches before it are left out; microseconds since 1970 */
    bool activate;               /* the model serves if it wins */
    slice name;                  /* of the model */
    uint64_t seed;
    train_judge judge;           /* NULL: there are no judgments */
    void *judge_self;
} train_settings;
void train_settings_default(train_settings *s);
/* Reads docs/api.md's training request: absent members stay. FORAGE_E_INVALID names the member. */
forage_status train_settings_read(const json_value *json, train_settings *out, base_error *error);

typedef enum train_phase {
    TRAIN_READING, TRAIN_WEIGHING,
    TRAIN_LINEAR,  /* fitting the linear order */
    TRAIN_FITTING, /* growing trees */
    TRAIN_JUDGING, TRAIN_DONE
} train_phase;
const char *train_phase_name(train_phase phase);

typedef struct train_progress {
    train_phase phase;
    double share;          /* of the phase that is done, 0 to 1 */
    uint32_t round;        /* fitting: trees so far */
    double train, valid;   /* NDCG; NaN: not known */
} train_progress;
typedef bool (*train_watch)(void *self, const train_progress *p); /* false: stop, and keep nothing */

typedef struct train_result {
    uint64_t model;   /* its number; 0: it was cancelled */
    bool activated, cancelled;
    buffer report;    /* JSON, also kept with the model; for buffer_release */
} train_result;

/* FORAGE_E_INVALID: too little to learn from (the message says how much there is); FORAGE_E_TOO_LARGE; FORAGE_E_READ_ONLY. */
forage_status train_run(funnel *f, const train_settings *settings, train_watch watch, void *self, train_result *out,
                        base_error *error);

/* The log's searches with feedback as SVMlight lines (format/svmlight.h) in the columns of today, with position and weight. */
forage_status train_export(funnel *f, const train_settings *settings, buffer *out, base_error *error);

/* How likely each rank is looked at, by the log as it is now. */
forage_status train_examination(funnel *f, examination_method method, examination_curve *out, base_error *error);

/* What served beside the shadow ranker: by the clicks since, how much each order would have earned. JSON. */
forage_status train_shadow(funnel *f, json_writer *w, base_error *error);

#endif
