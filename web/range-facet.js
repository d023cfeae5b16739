// A numeric facet as a histogram with two thumbs.

import { h, setVars } from './dom.js';
import { date, integer, number, plural, year } from './format.js';
import { barsOf, isRange } from './histogram.js';

/* chosen: {gte, lt} or undefined; onrange: called with {gte, lt} or null when the choice is made. NULL when there is
 * nothing to choose from. */
export function rangeFacet(group, facet, chosen, onrange) {
    if (!isRange(facet)) return null;
    const { counts, edges } = barsOf(facet);
    const text = textOf(group, facet);
    const most = Math.max(1, ...counts);
    let from = chosen?.gte === undefined ? 0 : nearest(edges, chosen.gte);
    let to = chosen?.lt === undefined ? counts.length : Math.max(from + 1, nearest(edges, chosen.lt));

    const bars = counts.map((count, i) => h('span', {
        class: 'column', vars: { '--share': Math.sqrt(count / most) },
        title: `${text(edges[i])} – ${text(edges[i + 1])}: ${integer(count)}`,
    }));
    const output = h('output', { class: 'range-text' });
    const low = thumb('From', 0, from);
    const high = thumb('To', 1, to);
    const box = h('div', { class: 'range', role: 'group', 'aria-label': group.label },
        h('div', { class: 'columns', 'aria-hidden': 'true' }, bars), h('div', { class: 'thumbs' }, low, high), output);
    paint();
    return box;

    function thumb(name, side, value) {
        return h('input', {
            type: 'range', min: 0, max: counts.length, step: 1, value, id: `facet-${group.field}-${side}`,
            'aria-label': `${group.label}: ${name.toLowerCase()}`,
            oninput: event => slide(side, event.target), onchange: finish,
        });
    }

    function slide(side, input) {
        if (side === 0) from = Math.min(Number(input.value), to - 1);
        else to = Math.max(Number(input.value), from + 1);
        paint();
    }

    function finish() {
        const range = {};
        if (from > 0) range.gte = edges[from];
        if (to < counts.length) range.lt = edges[to];
        onrange(Object.keys(range).length ? range : null);
    }

    function paint() {
        low.value = from;
        high.value = to;
        low.setAttribute('aria-valuetext', from ? text(edges[from]) : 'the beginning');
        high.setAttribute('aria-valuetext', to < counts.length ? text(edges[to]) : 'the end');
        setVars(box, { '--from': from / counts.length, '--to': to / counts.length });
        bars.forEach((column, i) => column.classList.toggle('within', i >= from && i < to));
        const inside = counts.slice(from, to).reduce((sum, count) => sum + count, 0);
        output.replaceChildren(h('span', null, `${text(edges[from])} – ${text(edges[to])}`),
            h('span', { class: 'count' }, plural(inside, 'result', 'results')));
    }
}

function textOf(group, { low, high }) {
    if (group.type === 'date') return date;
    if (/(^|_)year$/.test(group.field)) return year;
    return high - low > 20 ? integer : number;
}

function nearest(edges, value) {
    let best = 0;
    edges.forEach((edge, i) => {
        if (Math.abs(edge - value) < Math.abs(edges[best] - value)) best = i;
    });
    return best;
}
