// The chances that one strategy's depth was drawn from, as a row of small columns, one for each depth; the tallest
// is the likeliest.

import { h } from './dom.js';
import { integer, percent } from './format.js';

/* one: a strategy of a decision, with its level and distribution; levels: the decision's depths. Null when the server
 * told no distribution. */
export function distribution(one, levels) {
    if (!one.distribution?.length || !levels?.length) return null;
    const most = Math.max(...one.distribution);
    const chances = levels.map((depth, level) => `${integer(depth)}: ${percent(one.distribution[level] ?? 0)}`);
    return h('span', { class: 'distribution', data: { strategy: one.name }, title: chances.join('\n') },
        levels.map((depth, level) => h('span', {
            class: level === one.level ? 'chance drawn' : 'chance', 'aria-hidden': 'true',
            vars: { '--share': (one.distribution[level] ?? 0) / most },
        })),
        h('span', { class: 'hidden-text' }, chances.join(', ')));
}
