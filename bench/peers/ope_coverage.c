/* How often do 95 % intervals hold the truth? ope_coverage RUNS prints one line of JSON per estimator and world. */
#include "ope_simulation.h"

#include <stdio.h>

static void print(const char *world, const char *settings, const sim_coverage *c, size_t n) {
    for (size_t i = 0; i < n; i++)
        printf("{\"world\":\"%s\",\"settings\":\"%s\",\"estimator\":\"%s\",\"runs\":%d,\"coverage\":%.4f,"
               "\"rmse\":%.6f,\"bias\":%.6f,\"width\":%.6f}\n",
               world, settings, c[i].name, c[i].runs, (double)c[i].covered / c[i].runs, c[i].error, c[i].bias,
               c[i].width);
}

int main(int argc, char **argv) {
    int runs = argc > 1 ? atoi(argv[1]) : 0;
    if (runs < 1) return fprintf(stderr, "usage: ope_coverage RUNS\n"), 2;
    for (int slope = 0; slope < 2; slope++) {
        ope_options o = OPE_DEFAULTS;
        sim_coverage c[OPE_KINDS] = {{0}};
        o.tuning = slope ? OPE_TUNE_SLOPE : OPE_TUNE_MSE;
        sim_cover_bandit(runs, &o, c);
        /* Only the last two depend on the tuning. */
        print("bandit", slope ? "slope" : "mse", c + (slope ? OPE_SWITCH_DR : 0), slope ? 2 : OPE_KINDS);
    }
    ope_options o = OPE_DEFAULTS;
    sim_coverage apart[4] = {{0}}, overlap[4] = {{0}};
    sim_cover_depth(runs, false, &o, apart);
    sim_cover_depth(runs, true, &o, overlap);
    print("depths, strategies apart", "", apart, 4);
    print("depths, strategies overlap", "", overlap, 4);
    return 0;
}
