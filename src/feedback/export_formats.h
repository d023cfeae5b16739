/* The log in the formats of others: impressions become what their tools learn from, with what was earned on them.
 *
 * A decision draws a level for each strategy independently, so each strategy is a bandit of its own, a *slot*: its
 * actions are the levels that had a chance, its propensity is that of the level drawn, and its reward is the credit of
 * the engaged documents that it had returned. Slots without a choice are left out: they have nothing to teach.
 *
 * | format | one line is | how it maps |
 * | --- | --- | --- |
 * | vw-dsjson | a slot | Vowpal Wabbit's decision service JSON, for --cb_explore_adf --dsjson: namespace Query holds
 *   the policy's features of the slot, Slot the strategy's name and the language, and each action's Depth its
 *   candidates; _label_cost is -reward, a and p are the actions and their probabilities, the drawn one first |
 * | obd-csv | a slot | Open Bandit Dataset: item_id is the level (0 is "not asked"), position the strategy's number
 *   from 1, click 1 when anything was earned, propensity_score that of the level; user_feature_i are the policy's
 *   features. The first column is the impression's sequence. The first line names the columns |
 * | letor | a hit | LETOR and SVMlight: the label is the document's credit, qid the impression's sequence, the
 *   features are those served, numbered from 1; the comment holds the document's id |
 *
 * Events make no lines of their own. */
#ifndef FEEDBACK_EXPORT_FORMATS_H
#define FEEDBACK_EXPORT_FORMATS_H

#include "feedback/record.h"
#include "store/store.h"

typedef enum export_format { EXPORT_JSON, EXPORT_VW_DSJSON, EXPORT_OBD_CSV, EXPORT_LETOR } export_format;

/* "json", "vw-dsjson", "obd-csv", "letor". FORAGE_E_INVALID lists them. */
forage_status export_format_parse(slice name, export_format *out, base_error *error);
const char *export_content_type(export_format format);

/* What the lines need to know besides the record. */
typedef struct export_source {
    const char *const *policy_features; /* names */
    uint32_t n_policy_features;
    record_id_of id_of;    /* a document's id, empty when it is gone */
    float (*credit_of)(void *self, uint64_t sequence, uint32_t document);
    void *self;
} export_source;

/* The line before all others, if the format has one. */
void export_head(export_format format, const export_source *source, buffer *out);

/* Appends the record's lines, which may be none. Not for EXPORT_JSON, which is record_to_json. FORAGE_E_CORRUPT,
 * FORAGE_E_VERSION: nothing was appended. */
forage_status export_record(export_format format, slice bytes, uint64_t sequence, const export_source *source, arena *a,
                            buffer *out);

/* What a document earned on an impression so far, by the store's own books. */
float export_credit(store_txn *t, uint64_t sequence, uint32_t document);

/* One file each: lines of an impression that was read; credit[i] belongs to hit i. */
void export_vw_dsjson(const record_impression *r, const float *credit, const export_source *source, buffer *out);
void export_obd_csv(const record_impression *r, uint64_t sequence, const float *credit, buffer *out);
void export_letor(const record_impression *r, uint64_t sequence, const float *credit, const export_source *source,
                  arena *a, buffer *out);

/* Whether more than one level of the strategy had a chance, and what it earned: the credit of what it returned. */
bool export_slot_has_choice(const record_impression *r, uint32_t strategy);
double export_slot_reward(const record_impression *r, uint32_t strategy, const float *credit);
void export_number(buffer *out, double value); /* six significant digits in every locale; what is not finite is 0 */

#endif
