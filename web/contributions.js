// What put a hit where it is: what each feature added to its score, largest first, with where the sum starts.

import { h } from './dom.js';
import { featureName, plural, score, signed } from './format.js';

const LARGE = 12;   // rows that are shown without asking
const SMALL = 0.02; // of the largest; below it a row is folded however few there are
const LITTLE = 0.4; // of the room to the right; losses below it leave the middle line further left
const CLOSE = 0.01; // of the score: sums of 32-bit numbers that differ less are the same

const METHODS = {
    tree_shap: ['TreeSHAP, exact', 'how the score changes when a feature becomes known, averaged over '
        + 'every order in which features could'],
    linear: ['a weighted sum', ''],
};

/* explain: of a hit; ranker: of the answer; meanings: Map of a feature's name → a sentence */
export function contributions({ features = [], method, bias = 0, score: total }, ranker, meanings = new Map()) {
    const weighed = features.filter(one => one.contribution).sort((a, b) => size(b) - size(a));
    if (!weighed.length) return valuesOnly(features, ranker);
    const most = Math.max(Math.abs(bias), ...weighed.map(size));
    const large = weighed.filter((one, i) => i < LARGE && size(one) >= most * SMALL);
    const small = weighed.slice(large.length);
    const idle = features.filter(one => !one.contribution);
    const products = weighed.every(one => one.weight !== undefined);
    const row = one => featureRow(one, most, meanings);
    const sum = bias + weighed.reduce((all, one) => all + one.contribution, 0);
    const table = rows => h('table', { class: `numbers features ${signsOf([bias, ...weighed.map(one => one.contribution)])}` }, rows);
    return [
        named(ranker, method),
        table([
            h('thead', null, h('tr', null,
                h('th', { scope: 'col' }, 'Feature'),
                h('th', { scope: 'col', class: 'chart' }, h('span', { class: 'hidden-text' }, 'Contribution as a bar')),
                h('th', { scope: 'col', class: 'formula' }, products ? 'Value × weight' : 'Value'), h('th', { scope: 'col' }, 'Adds'))),
            h('tbody', null,
                large.map(row),
                small.length ? plainRow(plural(small.length, 'smaller one', 'smaller ones'), sumOf(small), most) : null,
                bias ? plainRow('Where it starts (bias)', bias, most, 'bias') : null),
            h('tfoot', null, totals(sum, total)),
        ]),
        small.length ? folded('folded', `The ${plural(small.length, 'smaller one', 'smaller ones')}`,
            table(h('tbody', null, small.map(row)))) : null,
        idle.length ? folded('idle', `${plural(idle.length, 'value', 'values')} that added nothing`,
            h('p', { class: 'note' }, `${idle.map(one => `${featureName(one.name)} ${value(one)}`).join(', ')}.`)) : null,
    ];
}

function folded(kind, summary, content) {
    return h('details', { class: `as-table ${kind}` }, h('summary', null, summary), content);
}

// A ranker that no sum explains (a fusion of ranks) tells values only.
function valuesOnly(features, ranker) {
    return h('p', { class: 'note' }, ranker ? `The ranker “${ranker.name}” does not tell what each feature added. ` : '',
        features.length ? `Values: ${features.map(one => `${featureName(one.name)} ${value(one)}`).join(', ')}.` : '');
}

function named(ranker, method) {
    const [name, how] = METHODS[method] ?? [method, ''];
    if (!name) return null;
    return h('p', { class: 'note method' }, ranker ? ['Ranker ', h('b', null, ranker.name), ', explained as '] : 'Explained as ',
        h('b', null, name), `${how ? `: ${how}` : ''}. What is added makes the score.`);
}

function totals(sum, total) {
    const line = (name, amount) => h('tr', null, h('th', { scope: 'row', colspan: 2 }, name), h('td', { class: 'formula' }),
        h('td', { class: 'adds' }, score(amount)));
    if (total === undefined || Math.abs(sum - total) <= CLOSE * Math.max(Math.abs(sum), Math.abs(total), CLOSE)) return line('Score', sum);
    return [line('Sum', sum), line('Score, after value, diversity or exploration', total)];
}

const size = one => Math.abs(one.contribution);
const sumOf = list => list.reduce((sum, one) => sum + one.contribution, 0);

function value(one) {
    return one.value === null || one.value === undefined ? 'unknown' : score(one.value);
}

function featureRow(one, most, meanings) {
    const how = one.weight !== undefined ? `${value(one)} × ${score(one.weight)}` : value(one);
    return h('tr', { data: { feature: one.name } },
        // On a narrow screen the value stands below the name instead of in a column.
        h('th', { scope: 'row', title: meanings.get(one.name) }, featureName(one.name), h('small', { 'aria-hidden': 'true' }, how)),
        h('td', { class: 'chart' }, diverging(one.contribution / most)),
        h('td', { class: 'formula' }, how),
        h('td', { class: 'adds' }, signed(one.contribution)));
}

function plainRow(name, contribution, most, kind = 'rest') {
    return h('tr', { data: { kind } },
        h('th', { scope: 'row' }, name), h('td', { class: 'chart' }, diverging(contribution / most)),
        h('td', { class: 'formula' }), h('td', { class: 'adds' }, signed(contribution)));
}

/* The class of a table of diverging bars: where its middle line stands. Small losses need less room than large ones. */
export function signsOf(values) {
    const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
    if (low === 0) return '';
    return -low > LITTLE * high ? 'both-signs even' : 'both-signs';
}

/* A bar that starts at the middle line (at the left, when nothing is negative) and points to its sign. */
export function diverging(share) {
    return h('span', {
        class: `diverging ${share < 0 ? 'negative' : 'positive'}`, 'aria-hidden': 'true',
        vars: { '--share': Math.min(1, Math.abs(share)) },
    });
}
