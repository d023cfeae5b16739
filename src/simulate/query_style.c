#include "simulate/query_style.h"

#include <string.h>

#define LONGEST_TITLE 200
#define MANY SIM_MAX_ATTRIBUTES

static slice cut(slice text) {
    size_t n = text.size;
    if (n <= LONGEST_TITLE) return text;
    for (n = LONGEST_TITLE; n && ((unsigned char)text.data[n] & 0xC0) == 0x80;) n--;
    return (slice){text.data, n};
}

/* The document's attributes that can be typed, the most telling first. */
static size_t typed_attributes(const sim_catalogue *k, const sim_document *d, uint32_t out[MANY]) {
    size_t n = 0;
    for (uint32_t i = 0; i < d->n_attributes; i++) {
        uint32_t id = k->attribute_ids[d->first + i];
        if (!k->attributes[id].text.size) continue;
        size_t at = n++;
        for (; at > 0 && k->attributes[out[at - 1]].weight < k->attributes[id].weight; at--) out[at] = out[at - 1];
        out[at] = id;
    }
    return n;
}

static slice one_attribute(const sim_catalogue *k, uint32_t id, uint32_t *named) {
    *named = id;
    return k->attributes[id].text;
}

/* The most telling attribute or another, and half of the time one of another field beside it. */
static slice attribute_phrase(const sim_catalogue *k, const uint32_t *ids, size_t n, uint32_t *named, random_source *r,
                              arena *a) {
    uint32_t first = random_double(r) < .7 ? ids[0] : ids[random_below(r, n)], second = ids[random_below(r, n)];
    bool two = random_double(r) < .5 && k->attributes[first].field != k->attributes[second].field;
    slice text = one_attribute(k, first, named), other = k->attributes[second].text;
    return two ? slice_of(arena_printf(a, "%.*s %.*s", SLICE_ARG(text), SLICE_ARG(other))) : text;
}

/* Half of the time the widest attribute. */
static slice broad_phrase(const sim_catalogue *k, const uint32_t *ids, size_t n, uint32_t *named, random_source *r) {
    return one_attribute(k, random_double(r) < .5 ? ids[n - 1] : ids[random_below(r, n)], named);
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* One slip inside a run of ASCII letters, its first letter left alone: a letter left out, doubled, changed, or
 * swapped with the next. Without such a run the text stays as it is. */
static slice slip(slice text, random_source *r, arena *a) {
    char *out = arena_alloc(a, text.size + 2);
    size_t places[LONGEST_TITLE], n = 0;
    for (size_t i = 1; i + 1 < text.size && n < LONGEST_TITLE; i++)
        if (is_letter(text.data[i - 1]) && is_letter(text.data[i]) && is_letter(text.data[i + 1])) places[n++] = i;
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    if (!n) return (slice){out, text.size};
    size_t at = places[random_below(r, n)], left = text.size - at, size = text.size;
    char letter = out[at];
    switch (random_below(r, 4)) {
    case 0:
        memmove(out + at, out + at + 1, left);
        size--;
        break;
    case 1:
        memmove(out + at + 1, out + at, left + 1);
        size++;
        break;
    case 2: out[at] = (char)('a' + random_below(r, 26)); break;
    default: out[at] = out[at + 1]; out[at + 1] = letter;
    }
    return (slice){out, size};
}

slice query_style_write(const sim_catalogue *k, uint32_t document, query_style *style, uint32_t *attribute,
                        random_source *r, arena *a) {
    const sim_document *d = &k->documents[document];
    uint32_t ids[MANY];
    size_t n = typed_attributes(k, d, ids);
    bool by_attribute = *style == STYLE_ATTRIBUTE || *style == STYLE_BROAD;
    if (by_attribute && !n) *style = STYLE_TITLE;
    if (!by_attribute && !d->title.size && n) *style = STYLE_ATTRIBUTE;
    switch (*style) {
    case STYLE_ATTRIBUTE: return attribute_phrase(k, ids, n, attribute, r, a);
    case STYLE_BROAD: return broad_phrase(k, ids, n, attribute, r);
    case STYLE_AMBIGUOUS: return cut(d->word);
    case STYLE_TYPO: return slip(cut(d->title), r, a);
    default: return cut(d->title);
    }
}
