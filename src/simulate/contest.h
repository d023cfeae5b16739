/* A contest: plans and policies side by side on one trial, each at the same mean cost, with intervals over the requests. */
#ifndef SIMULATE_CONTEST_H
#define SIMULATE_CONTEST_H

#include "format/json.h"
#include "simulate/trial.h"

#define CONTEST_MOST_POLICIES 32

/* "regcb", "regcb:played", "regcb:shuffled", "regcb:played:shuffled", "regcb:warm": a rule; learning by played-arm credit;
 * the requests in an order drawn for each seed, so that nothing but learning changes along the way; having learned from
 * the trial's lessons before (by hindsight only). */
typedef struct contest_policy {
    char rule[64];
    bool played, shuffled, warm;
} contest_policy;
forage_status contest_policy_read(slice text, contest_policy *out, base_error *error);

/* A fresh policy for the trial's strategies, levels and features, steered to the budget. */
typedef forage_status (*contest_maker)(void *self, const contest_policy *which, policy **out, base_error *error);

typedef struct contest_options {
    const char *const *strategies; /* names */
    uint32_t taking_part;          /* bits of them */
    const contest_policy *policies;
    size_t n_policies;
    double budget;                 /* mean candidates of a request, that all are held to */
    uint32_t seeds;                /* runs of each policy, averaged; at least 1 */
    uint64_t seed;
    uint64_t block;                /* rows of the log in one point of a learning curve; at least 1 */
    contest_maker make;
    void *self;
} contest_options;

/* Runs all of it and writes the members "budget", "levels", "strategies", "plans" and "policies" of docs/api.md into the
 * object that is open. FORAGE_E_INVALID from the maker; nothing has been written then. */
forage_status contest_write(const trial *t, const contest_options *options, json_writer *w, base_error *error);

#endif
