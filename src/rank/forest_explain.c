/* Explanations of one row's score. */
#include "rank/forest_internal.h"

#include <string.h>

/* What a step on the way of a tree says: Algorithm 2's m. d: the split's feature; z, o: the share of the ways on which a
 * row without, and with, that feature goes on here; w: the weight of subsets with so many features. */
typedef struct path_step {
    uint32_t d;
    double z, o, w;
} path_step;

typedef struct shap {
    const forest *f;
    const float *x;
    double *phi; /* of the model's features */
} shap;

/* EXTEND */
static void extend(path_step *m, uint32_t l, double p_z, double p_o, uint32_t p_i) {
    m[l] = (path_step){p_i, p_z, p_o, l == 0};
    for (uint32_t i = l; i-- > 0;) {
        m[i + 1].w += p_o * m[i].w * (i + 1) / (l + 1);
        m[i].w = p_z * m[i].w * (l - i) / (l + 1);
    }
}

/* UNWIND step i of m[0 … l]: as if it had not been extended by it. */
static void unwind(path_step *m, uint32_t l, uint32_t i) {
    double o = m[i].o, z = m[i].z, n = m[l].w;
    for (uint32_t j = l; j-- > 0;) {
        if (o != 0) {
            double t = m[j].w;
            m[j].w = n * (l + 1) / ((j + 1) * o);
            n = t - m[j].w * z * (l - j) / (l + 1);
        } else {
            m[j].w = m[j].w * (l + 1) / (z * (l - j));
        }
    }
    for (uint32_t j = i; j < l; j++) {
        m[j].d = m[j + 1].d;
        m[j].z = m[j + 1].z;
        m[j].o = m[j + 1].o;
    }
}

/* The sum of weights after UNWIND of step i, without doing it. */
static double unwound_sum(const path_step *m, uint32_t l, uint32_t i) {
    double o = m[i].o, z = m[i].z, n = m[l].w, sum = 0;
    for (uint32_t j = l; j-- > 0;) {
        double w = o != 0 ? n * (l + 1) / ((j + 1) * o) : m[j].w * (l + 1) / (z * (l - j));
        sum += w;
        if (o != 0) n = m[j].w - w * z * (l - j) / (l + 1);
    }
    return sum;
}

/* RECURSE. `m` has room for the steps of all levels below: each copies its parent's and goes on behind. A share of 0 both
 * with and without a feature ends a way: nothing gets there. */
static void recurse(const shap *s, uint32_t j, path_step *parent, uint32_t l, double p_z, double p_o, uint32_t p_i) {
    const forest_node *n = &s->f->node[j];
    path_step *m = parent + l; /* l steps of the parent lie before */
    memcpy(m, parent, l * sizeof *m);
    if (p_z == 0 && p_o == 0) return;
    extend(m, l, p_z, p_o, p_i);
    if (n->kind == NODE_LEAF) {
        for (uint32_t i = 1; i <= l; i++)
            s->phi[m[i].d] += unwound_sum(m, l, i) * (m[i].o - m[i].z) * (double)n->value;
        return;
    }
    bool left = forest_goes_left(s->f, n, s->x);
    uint32_t hot = left ? j + 1 : n->right, cold = left ? n->right : j + 1;
    double i_z = 1, i_o = 1, cover = (double)s->f->node[hot].cover + (double)s->f->node[cold].cover;
    for (uint32_t k = 1; k <= l; k++) {
        if (m[k].d != n->feature) continue;
        i_z = m[k].z;
        i_o = m[k].o;
        unwind(m, l, k);
        l--;
        break;
    }
    recurse(s, hot, m, l + 1, i_z * (double)s->f->node[hot].cover / cover, i_o, n->feature);
    recurse(s, cold, m, l + 1, i_z * (double)s->f->node[cold].cover / cover, 0, n->feature);
}

/* The mean of a tree's leaves below every node, weighted by cover; the preorder has children behind their parents. */
static void find_means(const forest *f, double *mean) {
    for (size_t i = f->root[f->n_trees]; i-- > 0;) {
        const forest_node *n = &f->node[i];
        if (n->kind == NODE_LEAF) {
            mean[i] = (double)n->value;
            continue;
        }
        double a = (double)f->node[i + 1].cover, b = (double)f->node[n->right].cover;
        mean[i] = (a * mean[i + 1] + b * mean[n->right]) / (a + b);
    }
}

static forage_status check_cover(const forest *f, base_error *error) {
    if (f->has_cover) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "the model's file does not say how many rows each split has seen: "
                                              "without that nothing can be explained");
}

/* From the model's features to the row's columns. */
static void hand_out(const forest *f, const double *phi, double bias, double *contributions) {
    for (uint32_t c = 0; c < f->n_columns_in; c++) contributions[c] = 0;
    for (uint32_t i = 0; i < f->n_features; i++) {
        if (f->source[i] == FOREST_ABSENT) bias += phi[i];
        else contributions[f->source[i]] += phi[i];
    }
    contributions[f->n_columns_in] = bias;
}

forage_status forest_shap(const forest *f, const float *x, arena *scratch, double *contributions, base_error *error) {
    forage_status status = check_cover(f, error);
    if (status) return status;
    size_t levels = (size_t)f->depth + 3;
    path_step *m = arena_alloc(scratch, levels * (levels + 1) / 2 * sizeof *m + levels * sizeof *m);
    double *mean = arena_alloc(scratch, f->root[f->n_trees] * sizeof *mean), bias = (double)f->base;
    shap s = {f, x, arena_zalloc(scratch, (size_t)f->n_features + 1, sizeof(double))};
    find_means(f, mean);
    for (uint32_t t = 0; t < f->n_trees; t++) {
        recurse(&s, f->root[t], m, 0, 1, 1, f->n_features);
        bias += mean[f->root[t]];
    }
    hand_out(f, s.phi, bias, contributions);
    return FORAGE_OK;
}

forage_status forest_saabas(const forest *f, const float *x, arena *scratch, double *contributions, base_error *error) {
    forage_status status = check_cover(f, error);
    if (status) return status;
    double *mean = arena_alloc(scratch, f->root[f->n_trees] * sizeof *mean), bias = (double)f->base;
    double *phi = arena_zalloc(scratch, (size_t)f->n_features + 1, sizeof *phi);
    find_means(f, mean);
    for (uint32_t t = 0; t < f->n_trees; t++) {
        uint32_t at = f->root[t];
        bias += mean[at];
        while (f->node[at].kind != NODE_LEAF) {
            const forest_node *n = &f->node[at];
            uint32_t next = forest_goes_left(f, n, x) ? at + 1 : n->right;
            phi[n->feature] += mean[next] - mean[at];
            at = next;
        }
    }
    hand_out(f, phi, bias, contributions);
    return FORAGE_OK;
}
