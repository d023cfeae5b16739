// What a trained ranker is made of: how it did, which features it uses, what it learned from.

import { diverging, signsOf } from './contributions.js';
import { bar, h } from './dom.js';
import { bytes, featureName, integer, moment, number, percent, plural, score, signed, signedThousandth, thousandth } from './format.js';
import { intervals } from './intervals.js';
import './time-chart.js';

const FEATURES = 15;

/* model: the server's answer for one of them; meanings: Map of a feature's name → a sentence */
export function modelDetail(model, meanings) {
    const { report } = model;
    const curves = model.kind === 'trees' && report?.fit?.trees?.validation_curve?.length > 1;
    return h('div', { class: 'model-parts' },
        h('div', null,
            report?.held_out ? part('How it did', heldOut(report)) : null,
            report?.data ? part('What it learned from', data(report.data)) : null,
            report?.position_bias ? part('Attention', bias(report.position_bias)) : null,
            part('Settings', settings(model))),
        h('div', null,
            part('What it looks at', importance(model, meanings)),
            curves ? part('While it was trained', curve(report.fit.trees)) : null));
}

function part(title, content) {
    return h('section', { data: { part: title } }, h('h4', null, title), content);
}

function heldOut({ held_out: held, judgments }) {
    return [
        h('p', { class: 'note' }, `On ${plural(held.searches, 'search', 'searches')} by ${plural(held.users, 'user', 'users')}, the `
            + 'latest of the log, which it did not learn from: the share of the possible that each order earns, with 95 % '
            + 'intervals. Clicks at places that are seldom looked at count more.'),
        intervals([
            { label: 'This model', kind: 'own', ...held.model },
            { label: `Served then (${held.incumbent_ranker})`, ...held.incumbent },
            { label: 'As it was shown', ...held.served },
        ], { write: thousandth, label: 'Share of the possible' }),
        intervals([{ label: 'Difference', kind: 'own', ...held.difference }],
            { zero: true, write: signedThousandth, label: 'Difference to what served' }),
        judgments ? h('p', { class: 'note' }, `By judgments (NDCG): ${score(judgments.model)}, what served ${score(judgments.incumbent)}.`)
            : null,
    ];
}

function importance({ importance: list = [], kind }, meanings) {
    if (!list.length) return h('p', { class: 'note' }, 'It uses no feature: every document gets the same score.');
    const trees = kind === 'trees';
    const size = one => Math.abs(trees ? one.gain : one.weight);
    const all = list.reduce((sum, one) => sum + size(one), 0) || 1;
    const most = Math.max(1e-9, ...list.map(size));
    const shown = list.slice(0, FEATURES);
    const left = list.slice(FEATURES);
    return [
        h('p', { class: 'note' }, trees
            ? 'How much of what the trees gain comes from splits by this feature.'
            : 'Its weights. A feature with large values needs only a small one, so that they do not compare importance.'),
        h('table', { class: `numbers importance ${trees ? '' : signsOf(shown.map(one => one.weight))}` },
            h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Feature'),
                h('th', { scope: 'col', class: 'chart' }, h('span', { class: 'hidden-text' }, 'As a bar')),
                h('th', { scope: 'col' }, trees ? 'Share' : 'Weight'))),
            h('tbody', null, shown.map(one => h('tr', null,
                h('th', { scope: 'row' }, featureName(one.feature), meaning(meanings.get(one.feature))),
                h('td', { class: 'chart' }, trees ? bar(size(one) / most) : diverging(one.weight / most)),
                h('td', null, trees ? percent(size(one) / all) : signed(one.weight)))))),
        left.length ? h('p', { class: 'note' }, `And ${plural(left.length, 'other', 'others')}`
            + `${trees ? `, together ${percent(left.reduce((sum, one) => sum + size(one), 0) / all)}` : ''}.`) : null,
    ];
}

function meaning(text) {
    return text ? h('small', null, text) : null;
}

function curve(fit) {
    const chart = h('time-chart');
    const all = [...fit.train_curve, ...fit.validation_curve];
    chart.show({
        title: 'NDCG by number of trees', unit: `${plural(fit.trees, 'tree', 'trees')} kept: the best on searches held back for that`,
        kind: 'lines', of: 'trees', where: bin => `after ${plural(bin.to, 'tree', 'trees')}`, format: score,
        least: Math.min(...all), most: Math.max(...all),
        bins: fit.validation_curve.map((_, i) => ({ from: i, to: i + 1 })),
        series: [{ name: 'reward', label: 'Learned from', values: fit.train_curve },
            { name: 'trend', label: 'Held back', values: fit.validation_curve }],
    });
    return chart;
}

function pairs(list) {
    return h('dl', { class: 'pairs' }, list.filter(([, value]) => value !== null && value !== undefined)
        .map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))));
}

function data(told) {
    return pairs([
        ['Time', `${moment(told.from * 1000)} – ${moment(told.to * 1000)}`],
        ['Searches', `${integer(told.searches)}, with feedback ${integer(told.with_feedback)}`],
        ['Events', integer(told.events)],
        ['Rows', `${integer(told.rows)} of ${integer(told.features)} features`],
        ['Divided into', `${integer(told.trained_on)} to learn from, ${integer(told.stopped_by)} to stop by, `
            + `${integer(told.judged_by)} to be judged by`],
        ['Left out', told.left_out || told.without_features
            ? `${integer(told.left_out)} for want of memory, ${integer(told.without_features)} without features` : null],
    ]);
}

const DEBIASED = { harvest: 'estimated from documents that stood at several ranks', 'regression-em': 'regression-EM', none: null };

function bias(told) {
    if (told.debias === 'none') {
        return h('p', { class: 'note' }, 'Every click counted the same, wherever it was: what stood high looks better than it is.');
    }
    const clipped = told.clicked ? told.clipped / told.clicked : 0;
    return pairs([
        ['Chance to be seen', DEBIASED[told.debias] ?? told.debias],
        ['Clipped', `${integer(told.clipped)} of ${integer(told.clicked)} clicks (${percent(clipped)}) would have counted more than `
            + `${number(told.weight_clip)} times; ${percent(told.lost)} of the weight was lost`],
        ['Worth', `as much as ${integer(told.effective)} clicks of equal weight`],
    ]);
}

function settings(model) {
    const { report, kind } = model;
    const fit = report?.fit?.[kind];
    const ahead = report?.fit?.trees_ahead;
    return pairs([
        ['Kind', kind === 'trees' ? 'Boosted trees (LambdaMART)' : 'Linear'],
        ['Trees', kind === 'trees' && fit ? `${integer(fit.trees)}${fit.bags > 1 ? ` in ${fit.bags} bags` : ''}` : null],
        ['Regularisation', fit?.l2 !== undefined ? `L2 ${score(fit.l2)}` : null],
        ['NDCG', fit ? `${score(fit.train)} where it learned, ${score(fit.validation)} where it stopped` : null],
        ['Chosen', ahead ? `trees were ${signed(ahead.difference)} ± ${score(ahead.standard_error)} against linear on `
            + `${plural(ahead.groups, 'search', 'searches')}` : null],
        ['Took', fit ? `${number(fit.seconds)} s on ${plural(report.threads, 'thread', 'threads')}` : null],
        ['Seed', report?.seed !== undefined ? String(report.seed) : null],
        ['Size', bytes(model.bytes)],
        ['Origin', report?.imported ? 'imported from a model file' : null],
    ]);
}
