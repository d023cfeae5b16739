// The whole story of one hit: how the query was read, who found the document, and what put it where it is.

import { contributions } from './contributions.js';
import { bar, h, scroller } from './dom.js';
import { distribution } from './distribution.js';
import { featureName, humanise, integer, language, percent, plural, score } from './format.js';
import { strategyChip } from './strategies.js';

/* shown: the settled results; hit: one of its hits, explained; meanings: Map of a feature's name → a sentence */
export function explainView(shown, hit, meanings) {
    const { explain } = hit;
    if (!explain) return [note('This server gave no explanation for this hit.')];
    return [
        summary(shown, hit),
        section('How the query was read', interpretation(shown.response.interpretation, shown.request.query)),
        section('Who found it', strategies(explain.strategies ?? [], shown.response.decision)),
        section('What put it here', contributions({ score: hit.score, ...explain }, shown.response.ranker, meanings)),
        section('How deep each was asked', depths(shown.response.decision)),
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
        first?.contribution > 0 ? ['What counts most is ', h('b', null, featureInText(first.name)), '.'] : null);
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

function featureInText(name) {
    const text = featureName(name);
    return /^[A-Z]{2}/.test(text) ? text : text.charAt(0).toLowerCase() + text.slice(1);
}

function listed(words) {
    return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}
