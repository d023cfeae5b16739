// Values with their intervals, one below the other on one scale, with the numbers beside them.

import { h } from './dom.js';
import { interval, score } from './format.js';

const ROOM = 0.08; // of the scale, left free at both ends

const known = one => [one.low, one.value, one.high].every(Number.isFinite);

/* rows: [{label, value, low, high, kind}]; zero: the scale has 0 in its middle, drawn as a line, and values carry their
 * sign. `kind` colours a row: "own" is the one that it is about. */
export function intervals(rows, { zero = false, write = score, label = 'Values with their intervals' } = {}) {
    const shown = rows.filter(known);
    if (!shown.length) return null;
    const [low, high] = scaleOf(shown, zero);
    const at = value => (value - low) / (high - low);
    return h('table', { class: `intervals${zero ? ' from-zero' : ''}`, 'aria-label': label },
        h('tbody', null, shown.map(one => h('tr', { data: { kind: one.kind ?? '' } },
            h('th', { scope: 'row' }, one.label),
            h('td', { class: 'chart' }, h('span', {
                class: 'interval', 'aria-hidden': 'true',
                vars: { '--low': at(one.low), '--high': at(one.high), '--value': at(one.value) },
            })),
            h('td', { class: 'told' }, interval(one, write))))));
}

function scaleOf(rows, zero) {
    const low = Math.min(...rows.map(one => one.low));
    const high = Math.max(...rows.map(one => one.high));
    if (zero) {
        const most = Math.max(Math.abs(low), Math.abs(high), 1e-9) * (1 + ROOM);
        return [-most, most];
    }
    const room = Math.max((high - low) * ROOM, 1e-9);
    return [low - room, high + room];
}

/* What an interval of a difference says in words. */
export function saying({ low, high }, better, worse) {
    return low > 0 ? better : high < 0 ? worse : 'that may still be chance';
}
