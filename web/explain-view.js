// The whole story of one hit: how the query was read, who found the document, and what put it where it is.

import { bar, h, scroller } from './dom.js';
import { distribution } from './distribution.js';
import { humanise, integer, language, percent, plural, score, signed } from './format.js';
import { strategyChip } from './strategies.js';

const SMALL = 0.02; // features below this share of the largest are told in one line

/* shown: the settled results; hit: one of its hits, explained */
export function explainView(shown, hit) {
    const { explain } = hit;
    if (!explain) return [note('This server gave no explanation for this hit.')];
    return [
        summary(shown, hit),
        section('How the query was read', interpretation(shown.response.interpretation, shown.request.query)),
        section('Who found it', strategies(explain.strategies ?? [], shown.response.decision)),
        section('How deep each was asked', depths(shown.response.decision)),
        section('What put it here', features(explain.features ?? [], explain.score ?? hit.score)),
        section('Words', words(explain.terms ?? [])),
        section('Memory', memory(explain.memory, shown.request.query)),
    ];
}

function section(title, content) {
    return h('section', { class: 'story', data: { part: title } }, h('h3', null, title), content);
}

function summary(shown, hit) {
    const { features = [], strategies: found = [] } = hit.explain;
    const [first] = [...features].sort((a, b) => b.contribution - a.contribution);
    const total = shown.response.total;
    const over = total.relation === 'at_least' ? 'over ' : '';
    return h('p', { class: 'lead' },
        'Ranked ', h('b', null, String(hit.rank)), ` of ${over}${integer(total.value)}. `,
        found.length ? `Found by ${listed(found.map(one => `${one.name} (at rank ${one.rank})`))}. ` : null,
        first?.contribution > 0 ? ['What counts most is ', h('b', null, inText(first.name)), '.'] : null);
}

function interpretation(read, query) {
    const readings = [...(read?.readings ?? [])].sort((a, b) => b.likelihood - a.likelihood);
    if (!query.trim()) return note('An empty query asks for what is popular, new and personal.');
    return [
        h('dl', { class: 'pairs' },
            pair('As normalised', h('code', null, read.normalized)),
            read.language ? pair('Language', language(read.language)) : null,
            pair('Words', read.tokens?.length ? tokens(read.tokens) : 'none')),
        h('table', { class: 'numbers' },
            head('Reading', 'Likelihood'),
            h('tbody', null, readings.map(({ kind, likelihood, ...more }) => h('tr', null,
                h('th', { scope: 'row' }, humanise(kind), details(more)),
                h('td', null, h('span', { class: 'measure' }, bar(likelihood), percent(likelihood))))))),
    ];
}

// A reading may say more than its kind: the person or the year that it found.
function details(more) {
    const told = Object.entries(more)
        .map(([name, value]) => `${inText(name)} ${typeof value === 'object' ? JSON.stringify(value) : value}`);
    return told.length ? h('small', null, ` ${told.join(', ')}`) : null;
}

function tokens(list) {
    return h('span', { class: 'tokens' }, list.map(token => h('code', { class: 'token' }, token)));
}

function strategies(found, decision) {
    if (!found.length) return note('No strategy named it.');
    const depths = new Map(decision?.strategies?.map(one => [one.name, one.depth]));
    return h('table', { class: 'numbers' },
        head('Strategy', 'Rank', 'Of depth', 'Raw score'),
        h('tbody', null, found.map(one => h('tr', null,
            h('th', { scope: 'row' }, strategyChip(one.name)),
            h('td', null, integer(one.rank)),
            h('td', null, depths.has(one.name) ? integer(depths.get(one.name)) : '–'),
            h('td', null, score(one.score))))));
}

// What the policy could have drawn, and what it drew.
function depths(decision) {
    if (!decision?.strategies?.length) return note('This server does not tell its decision.');
    const { levels, strategies: all, propensity } = decision;
    return [
        note(levels ? `The columns are the chances of asking for ${listed(levels.map(integer))} candidates; the strong one was drawn. `
            : 'How many candidates each strategy was asked for, and the chance of that. ',
        `All of it together had a propensity of ${score(propensity)}.`),
        h('table', { class: 'numbers depths' },
            head(...(levels ? ['Strategy', 'Chances', 'Drawn', 'Chance'] : ['Strategy', 'Depth', 'Chance'])),
            h('tbody', null, all.map(one => h('tr', null,
                h('th', { scope: 'row' }, strategyChip(one.name)),
                levels ? h('td', null, distribution(one, levels)) : null,
                h('td', null, integer(levels?.[one.level] ?? one.depth)),
                h('td', null, percent(one.probability)))))),
    ];
}

function features(list, total) {
    // A ranker that is no weighted sum tells values only.
    const weighed = list.filter(one => one.contribution).sort((a, b) => size(b) - size(a));
    const most = Math.max(1e-9, ...weighed.map(size));
    const large = weighed.filter(one => size(one) >= most * SMALL);
    const small = weighed.filter(one => size(one) < most * SMALL);
    const idle = list.filter(one => !one.contribution);
    const signs = large.some(one => one.contribution < 0);
    return [
        h('table', { class: `numbers features${signs ? ' both-signs' : ''}` },
            h('thead', null, h('tr', null,
                h('th', { scope: 'col' }, 'Feature'),
                h('th', { scope: 'col', class: 'chart' }, h('span', { class: 'hidden-text' }, 'Contribution as a bar')),
                h('th', { scope: 'col', class: 'formula' }, 'Value × weight'), h('th', { scope: 'col' }, 'Adds'))),
            h('tbody', null,
                large.map(one => featureRow(humanise(one.name), formula(one), one.contribution, most)),
                small.length ? featureRow(plural(small.length, 'small one', 'small ones'), '',
                    small.reduce((sum, one) => sum + one.contribution, 0), most) : null),
            h('tfoot', null, h('tr', null,
                h('th', { scope: 'row', colspan: 2 }, 'Score'), h('td', { class: 'formula' }),
                h('td', { class: 'adds' }, score(total))))),
        small.length ? note(`Small: ${listed(small.map(one => `${inText(one.name)} ${signed(one.contribution)}`))}.`) : null,
        idle.length ? note(`${weighed.length ? 'Without weight' : 'Values'}: ${
            listed(idle.map(one => `${inText(one.name)} ${score(one.value)}`))}.`) : null,
    ];
}

const size = one => Math.abs(one.contribution);

function featureRow(name, how, contribution, most) {
    return h('tr', null,
        h('th', { scope: 'row' }, name, how ? h('small', { 'aria-hidden': 'true' }, how) : null),
        h('td', { class: 'chart' }, diverging(contribution / most)),
        h('td', { class: 'formula' }, how),
        h('td', { class: 'adds' }, signed(contribution)));
}

// On a narrow screen it stands below the name instead of in a column.
function formula(one) {
    return `${score(one.value)} × ${score(one.weight)}`;
}

/* A bar that starts in the middle (or at the left, when nothing is negative) and points to its sign. */
function diverging(share) {
    return h('span', {
        class: `diverging ${share < 0 ? 'negative' : 'positive'}`, 'aria-hidden': 'true',
        vars: { '--share': Math.min(1, Math.abs(share)) },
    });
}

function words(terms) {
    if (!terms.length) return note('None of the query’s words is in this document; other strategies found it.');
    return scroller('Words', h('table', { class: 'numbers words' },
        head('Word', 'Where', 'In docs', 'idf', 'Impact', 'Score'),
        h('tbody', null, terms.map(one => h('tr', null,
            h('th', { scope: 'row' }, h('code', null, one.term)),
            h('td', { class: 'where' }, Object.entries(one.field_frequencies ?? {})
                .map(([field, count]) => (count > 1 ? `${inText(field)} ×${count}` : inText(field))).join(', ') || '–'),
            h('td', null, integer(one.document_frequency)),
            h('td', null, score(one.idf)), h('td', null, score(one.impact)), h('td', null, score(one.score)))))));
}

function memory(counts, query) {
    const about = query.trim() ? `“${query.trim()}”` : 'the empty query';
    if (!counts || (!counts.impressions && !counts.rewards)) {
        return note(`Nobody has been seen choosing it for ${about} yet. Click it, and search again.`);
    }
    const low = Math.max(0, counts.mean - counts.deviation);
    const high = Math.min(1, counts.mean + counts.deviation);
    return [
        note(`For ${about} it was shown ${plural(Math.round(counts.impressions), 'time', 'times')} and earned rewards of `
            + `${score(counts.rewards)}. Expected reward: ${score(counts.mean)} ± ${score(counts.deviation)}.`),
        h('span', {
            class: 'posterior', 'aria-hidden': 'true',
            vars: { '--low': low, '--high': high, '--mean': Math.max(0, Math.min(1, counts.mean)) },
        }),
        h('span', { class: 'scale', 'aria-hidden': 'true' }, h('span', null, '0'), h('span', null, '1')),
    ];
}

function pair(name, content) {
    return h('div', null, h('dt', null, name), h('dd', null, content));
}

function head(...names) {
    return h('thead', null, h('tr', null, names.map(name => h('th', { scope: 'col' }, name))));
}

function note(...text) {
    return h('p', { class: 'note' }, text);
}

// A name inside a sentence: small letters, but abbreviations stay as they are.
function inText(name) {
    const text = humanise(name);
    return /^[A-Z]{2}/.test(text) ? text : text.charAt(0).toLowerCase() + text.slice(1);
}

function listed(words) {
    return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}
