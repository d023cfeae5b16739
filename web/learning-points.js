// The points of a learning history, made ready for drawing. A point of the server covers some searches and tells sums
// of reward and candidates, and for each strategy the share of searches that asked it and its mean depth over all.

const MOST = 60; // what a chart of this size can show

/* Neighbouring points put together until there are at most `most`: [{from, to, searches, reward, candidates, price,
 * strategies: {name: {share, depth}}}]; from and to count searches, everything else is a mean per search. */
export function binsOf(points, most = MOST) {
    const each = Math.ceil(points.length / most) || 1;
    const bins = [];
    let to = 0;
    for (let at = 0, end; at < points.length; at = end) {
        // A few left over would tell little on their own: they join the last bin.
        end = points.length - at < 1.5 * each ? points.length : at + each;
        const group = points.slice(at, end);
        const from = to;
        to += group.reduce((sum, one) => sum + one.searches, 0);
        if (to > from) bins.push({ from, to, ...meansOf(group, to - from) });
    }
    return bins;
}

function meansOf(group, searches) {
    const mean = (value, weight) => group.reduce((sum, one) => sum + value(one) * weight(one), 0) / searches;
    const once = () => 1;
    const times = one => one.searches;
    const names = Object.keys(group.at(-1).strategies);
    return {
        searches,
        reward: mean(one => one.reward, once),
        candidates: mean(one => one.candidates, once),
        price: mean(one => one.price, times),
        strategies: Object.fromEntries(names.map(name => [name, {
            share: mean(one => one.strategies[name]?.share ?? 0, times),
            depth: mean(one => one.strategies[name]?.depth ?? 0, times),
        }])),
    };
}

/* The strategies that took part at any time, [{name, place}]: place in the server's order. */
export function strategiesIn(bins) {
    return Object.keys(bins.at(-1)?.strategies ?? {}).map((name, place) => ({ name, place }))
        .filter(({ name }) => bins.some(bin => bin.strategies[name].depth > 0));
}

/* Of each bin: what part of all candidates asked for was each strategy's. */
export function depthShares(bins, name) {
    return bins.map(bin => {
        const all = Object.values(bin.strategies).reduce((sum, one) => sum + one.depth, 0);
        return all ? (bin.strategies[name]?.depth ?? 0) / all : 0;
    });
}

/* Each value as the mean of its neighbourhood, `reach` to both sides. */
export function smoothed(values, reach) {
    return values.map((_, i) => {
        const near = values.slice(Math.max(0, i - reach), i + reach + 1);
        return near.reduce((sum, one) => sum + one, 0) / near.length;
    });
}
