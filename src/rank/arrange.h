/* What a business wants of an order: value beside engagement, pinned and hidden candidates.
 *
 * Value. With s the ranker's score (any finite number), the expected engagement is e = sigmoid(slope × s +
 * intercept), a calibration (arrange_fit) that rises with the score, so that it never turns an order. With v a value
 * >= 0 per candidate (margin, bid, price) and v0 the median of the known values above 0,
 *     final = log e + strength × log(v / v0),
 * that is e × (v / v0)^strength: strength 1 is the expected value of showing it, as ads are ranked by bid × click
 * probability (Edelman, Ostrovsky & Schwarz 2007; Varian 2007); less blends. v0 moves no order; it lets a missing
 * value (NaN, negative, infinite) be neutral: it counts as v0. A value of 0 makes the final score −FLT_MAX, last, as
 * long as the strength is above 0. Strength 0: the final score is log e and the order is that of the scores.
 *
 * Reserve. A candidate with e below `reserve` cannot buy itself upwards: its value counts as at most v0; with `drop`
 * it is marked as hidden instead.
 *
 * Pure functions; any thread. */
#ifndef RANK_ARRANGE_H
#define RANK_ARRANGE_H

#include "base/memory.h"
#include "base/status.h"

typedef struct arrange_calibration {
    double slope, intercept; /* slope above 0 */
} arrange_calibration;

typedef struct arrange_value {
    arrange_calibration engagement; /* slope not above 0, or not finite: {1, 0} */
    double strength;                /* 0 to 4; clipped, NaN is 0 */
    double reserve;                 /* least expected engagement, 0 to 1; 0: none */
    bool drop;
} arrange_value;

/* final: n, finite: log of the expected, valued engagement. engagement: n or NULL: e. hidden: n or NULL; where
 * `drop` is set, becomes true below the reserve and is else left alone. Scores that are not finite count as
 * ±FLT_MAX, NaN as −FLT_MAX. scratch: n floats. O(n log n) for the median. */
void arrange_score(const arrange_value *settings, const float *score, const float *value, size_t n, arena *scratch,
                   float *final, float *engagement, bool *hidden);

/* Platt scaling (Platt 1999; Newton's method after Lin, Lin & Weng 2007): the calibration under which rewards of 0
 * to 1 (clipped) are likeliest, given the scores; targets are pulled towards one half as by one more positive and
 * one more negative. weight: one per row, NULL: 1 each. FORAGE_E_INVALID: fewer than 2 rows with weight, rewards or
 * scores all the same, or a slope that is not above 0 (higher scores earn less: that ranker predicts nothing); *out
 * is then unchanged. */
forage_status arrange_fit(const float *score, const float *reward, const float *weight, size_t n, arrange_calibration *out,
                          base_error *error);

typedef struct arrange_pin {
    uint32_t candidate; /* index; one that is not below n, or is named before, is passed over */
    uint32_t position;  /* from 1; 0 counts as 1 */
} arrange_pin;

/* The order: final falling, of equals the higher score, then the lower index; without the hidden; then the pinned at
 * their positions, the rest filling up around them. Hidden wins over pinned. Of two pins at one position the earlier
 * in the list has it and the other takes the next free one. A pin beyond the end stands at the end. final: n; score:
 * n or NULL, used for ties only; hidden: n or NULL; pins: n_pins (O(n_pins log n_pins + n log n)). order: room for
 * n; returns how many it holds. */
size_t arrange_order(const float *final, const float *score, const bool *hidden, size_t n, const arrange_pin *pins, size_t n_pins,
                     arena *scratch, uint32_t *order);

/* The same for an order that is made already (say, after exploration): moves the hidden out and the pins in place,
 * in `order` (n entries, a permutation of 0 … n − 1 or a part of it); returns how many are left. */
size_t arrange_pins(uint32_t *order, size_t n, const bool *hidden, const arrange_pin *pins, size_t n_pins, arena *scratch);

#endif
