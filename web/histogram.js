// The counts of a numeric facet, cut for drawing.
//
// The server divides the whole range of values into equal buckets. Catalogues are seldom spread evenly: with a few
// books of 2,500 years, all others share the last bucket. So the part that holds nearly everything is counted once more
// on its own, and the first and the last bar stand for "and before" and "and after".

const BARS = 24;
const TAIL = 0.015;  // share of the values that one open end may hold
const CROWDED = 0.4; // a crowd on less than this share of the buckets deserves a second look

// The first and the last bucket that are not part of a tail.
function crowd({ buckets, count }) {
    let first = 0;
    let last = buckets.length - 1;
    for (let cut = 0; first < last && cut + buckets[first] <= count * TAIL; first++) cut += buckets[first];
    for (let cut = 0; last > first && cut + buckets[last] <= count * TAIL; last--) cut += buckets[last];
    return { first, last };
}

export function isRange(facet) {
    return Array.isArray(facet?.buckets) && facet.count > 0 && facet.high > facet.low;
}

/* The filter {gte, lt} under which this facet should be counted again, or null when it is good as it is. */
export function closerLook(facet) {
    if (!isRange(facet) || isWhole(facet) && facet.width <= 1) return null;
    const { first, last } = crowd(facet);
    if (last - first + 1 > facet.buckets.length * CROWDED) return null;
    const range = {};
    if (first > 0) range.gte = facet.low + first * facet.width;
    if (last < facet.buckets.length - 1) range.lt = facet.low + (last + 1) * facet.width;
    return range;
}

/* The second look within the first: what lies outside is remembered as tails. */
export function withTails(facet, range, closer) {
    if (!isRange(closer)) return facet;
    const sum = (from, to) => facet.buckets.slice(from, to).reduce((total, count) => total + count, 0);
    const { first, last } = crowd(facet);
    return {
        ...closer, least: facet.low, most: facet.high,
        before: range.gte === undefined ? 0 : sum(0, first),
        after: range.lt === undefined ? 0 : sum(last + 1, facet.buckets.length),
    };
}

function isWhole({ low, high }) {
    return Number.isInteger(low) && Number.isInteger(high);
}

/* {counts, edges}: counts[i] lies between edges[i] and edges[i + 1]; the first and the last include the tails.
 * Whole numbers keep whole edges. */
export function barsOf(facet) {
    const { buckets, low, high, before = 0, after = 0 } = facet;
    const step = facet.width > 0 ? facet.width : (high - low) / buckets.length;
    const { first, last } = crowd(facet);
    const each = Math.max(1, Math.ceil((last - first + 1) / BARS));
    const bars = Math.ceil((last - first + 1) / each);
    const whole = isWhole(facet) && high - low > bars;
    const at = bucket => (whole ? Math.ceil(low + bucket * step) : Number((low + bucket * step).toPrecision(6)));
    const counts = new Array(bars).fill(0);
    buckets.forEach((count, i) => {
        counts[Math.max(0, Math.min(bars - 1, Math.floor((i - first) / each)))] += count;
    });
    counts[0] += before;
    counts[bars - 1] += after;
    const edges = counts.map((_, i) => (i ? at(first + i * each) : facet.least ?? low));
    edges.push(facet.most ?? high);
    return { counts, edges };
}
