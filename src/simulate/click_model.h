/* Click models: what a simulated customer does with a page, by a rule whose parameters are known.
 *
 * A hit of relevance rel in [0, 1] attracts (a click follows when it is looked at) and satisfies (once clicked) with
 *     a = noise + (attraction - noise) rel          s = satisfaction rel
 * and the models differ in what is looked at, position i counting from 1:
 *     "pbm"      i with probability i ^ -eta, whatever happened above (Richardson et al. 2007)
 *     "cascade"  from the top until the first click (Craswell et al. 2008)
 *     "dbn"      from the top; after a click that satisfies nothing more, else the next with probability perseverance
 *                (Chapelle & Zhang 2009, section 3: a_u, s_u and gamma)
 * A satisfied customer also takes a stronger action (buys, plays) with probability `commitment`, in all three. */
#ifndef SIMULATE_CLICK_MODEL_H
#define SIMULATE_CLICK_MODEL_H

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

typedef enum click_kind { CLICK_POSITION, CLICK_CASCADE, CLICK_DYNAMIC } click_kind;

typedef struct click_model {
    click_kind kind;
    double noise, attraction, satisfaction, commitment; /* probabilities, noise <= attraction */
    double eta;          /* "pbm": [0, 10] */
    double perseverance; /* "dbn": a probability */
} click_model;

/* noise .02, attraction .9, satisfaction .8, commitment .3, eta 1, perseverance .9. FORAGE_E_INVALID: no such name. */
forage_status click_model_named(slice name, click_model *out, base_error *error);
const char *click_model_name(const click_model *m);
/* FORAGE_E_INVALID names the parameter that is out of its range. */
forage_status click_model_check(const click_model *m, base_error *error);

/* What happens at each of n positions. Satisfied and committed imply clicked. */
typedef struct click_deed {
    bool clicked, satisfied, committed;
} click_deed;
void click_model_draw(const click_model *m, const double *relevance, size_t n, random_source *random, click_deed *out);

/* The exact probability of a click at each of n positions. */
void click_model_chances(const click_model *m, const double *relevance, size_t n, double *out);
/* The page's exact expected reward when a click is worth `click` and a stronger action `more` on top of it. */
double click_model_reward(const click_model *m, const double *relevance, size_t n, double click, double more);

#endif
