// <examination-card>: how likely each rank is looked at, as a chart with intervals, in a sentence and as a table. Ranks that the
// log does not tell about are hollow. Emits "examination-wanted" {method}.

import { h, scroller, send, svg } from './dom.js';
import { integer, number, percent, plural } from './format.js';
import { ticksOf } from './time-chart.js';

const HEIGHT = 230;
const LEFT = 48;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 26;
const BEYOND = 2;  // ranks shown below the last one that people saw
const FEWEST = 5;
const CEILING = 1.25;
const METHODS = {
    harvest: 'Documents at several ranks', 'all-pairs': 'All pairs of ranks', adjacent: 'Neighbouring ranks',
    pivot: 'Against the first rank', 'regression-em': 'Regression-EM',
};

class ExaminationCard extends HTMLElement {
    #parts = null;
    #curve = null;
    #ranks = [];
    #cursor = -1;
    #plan = null;
    #width = 0;
    #watcher = new ResizeObserver(([{ contentRect }]) => {
        if (Math.abs(contentRect.width - this.#width) >= 1) this.#draw();
    });

    disconnectedCallback() {
        this.#watcher.disconnect();
    }

    /* state: {curve: the server's answer or null while it is read, trouble} */
    show({ curve, trouble }) {
        this.#parts ??= this.#frame();
        const { refusal, method } = this.#parts;
        refusal.textContent = trouble;
        refusal.hidden = !trouble;
        if (curve === this.#curve && curve) return;
        this.#curve = curve;
        if (curve && curve.method in METHODS) method.value = curve.method;
        this.#ranks = curve ? shownRanks(curve.ranks) : [];
        if (this.#cursor >= this.#ranks.length) this.#cursor = -1;
        this.#tellAll();
        this.#draw();
    }

    #frame() {
        const parts = {
            method: h('select', { 'aria-label': 'How it is estimated',
                onchange: event => send(this, 'examination-wanted', { method: event.target.value }) },
            Object.entries(METHODS).map(([value, text]) => h('option', { value }, text))),
            refusal: h('p', { class: 'trouble', role: 'alert', hidden: true }),
            sentence: h('p', { class: 'meaning' }),
            drawing: h('div', {
                class: 'drawing', tabindex: 0, role: 'slider', 'aria-orientation': 'horizontal', 'aria-valuemin': 1,
                'aria-label': 'Chance to be looked at, by rank',
                onkeydown: event => this.#pressed(event), onblur: () => this.#tell(-1),
                onpointermove: event => this.#pointed(event), onpointerdown: event => this.#pointed(event),
                onpointerleave: () => this.#tell(-1),
            }),
            where: h('p', { class: 'where' }),
            table: h('table', { class: 'numbers' }),
        };
        parts.key = h('ul', { class: 'series' },
            h('li', null, h('span', { class: 'dot known', 'aria-hidden': 'true' }), 'told by the log'),
            h('li', null, h('span', { class: 'dot', 'aria-hidden': 'true' }), 'assumed from its neighbours'));
        parts.chart = h('div', { class: 'examination' }, parts.drawing,
            h('div', { class: 'chart-foot' }, parts.key, parts.where),
            h('details', { class: 'as-table' }, h('summary', null, 'The same as a table'), scroller('Attention by rank', parts.table)));
        this.replaceChildren(h('section', { class: 'card' },
            h('header', { class: 'card-head' },
                h('div', null, h('h2', null, 'How far people look'),
                    h('p', { class: 'note' }, 'How likely each rank is looked at, relative to the first. Training counts clicks by it.')),
                parts.method),
            parts.refusal, parts.sentence, parts.chart));
        this.#watcher.observe(parts.drawing);
        return parts;
    }

    #tellAll() {
        const { sentence, chart, table } = this.#parts;
        const some = this.#ranks.length > 0;
        chart.hidden = !some;
        sentence.replaceChildren(...(some ? meaning(this.#curve) : [this.#curve
            ? 'No search has feedback yet: nobody can tell how far people look. Search and choose, or send simulated customers (above).'
            : 'Reading the log …']));
        if (!some) return;
        table.replaceChildren(
            h('thead', null, h('tr', null, ['Rank', 'Looked at', 'Between', 'And', 'A click counts', 'Shown', 'Clicks', 'Pairs']
                .map(name => h('th', { scope: 'col' }, name)))),
            h('tbody', null, this.#ranks.map(one => h('tr', null,
                h('th', { scope: 'row' }, `${integer(one.rank)}${one.identified ? '' : ' (assumed)'}`),
                h('td', null, percent(one.estimate)), h('td', null, percent(one.low)), h('td', null, percent(one.high)),
                h('td', null, `${number(1 / one.estimate)} ×`),
                h('td', null, integer(one.shown)), h('td', null, integer(one.clicks)), h('td', null, integer(one.pairs))))));
    }

    #draw() {
        if (!this.#ranks.length) return;
        const { drawing } = this.#parts;
        this.#width = drawing.clientWidth;
        if (!this.#width) return;
        const plan = planOf(this.#ranks, Math.max(220, this.#width));
        this.#plan = plan;
        drawing.replaceChildren(svg('svg', {
            viewBox: `0 0 ${plan.width} ${HEIGHT}`, width: plan.width, height: HEIGHT, 'aria-hidden': 'true',
        }, grid(plan, this.#ranks), whiskers(plan, this.#ranks), segments(plan, this.#ranks), points(plan, this.#ranks),
        svg('line', { class: 'cursor', x1: 0, x2: 0, y1: TOP, y2: HEIGHT - BOTTOM })));
        this.#tell(this.#cursor);
    }

    /* Says one rank; -1: the last that the log tells of. */
    #tell(at) {
        if (!this.#ranks.length || !this.#plan) return;
        this.#cursor = at;
        const last = this.#ranks.findLastIndex(one => one.identified);
        const index = at < 0 ? Math.max(0, last) : at;
        const one = this.#ranks[index];
        const { drawing, where } = this.#parts;
        where.textContent = `Rank ${integer(one.rank)}: ${percent(one.estimate)} (${percent(one.low)} to ${percent(one.high)})`
            + `${one.identified ? '' : ', assumed'}, ${plural(Math.round(one.clicks), 'click', 'clicks')}`;
        const line = drawing.querySelector('.cursor');
        line?.classList.toggle('shown', at >= 0);
        for (const end of ['x1', 'x2']) line?.setAttribute(end, this.#plan.x(index));
        for (const [name, value] of Object.entries({
            'aria-valuemax': this.#ranks.length, 'aria-valuenow': index + 1, 'aria-valuetext': where.textContent,
        })) drawing.setAttribute(name, value);
    }

    #pointed(event) {
        if (!this.#plan) return;
        const box = this.#parts.drawing.getBoundingClientRect();
        this.#tell(this.#plan.at(event.clientX - box.left));
    }

    #pressed(event) {
        const last = this.#ranks.length - 1;
        const now = this.#cursor < 0 ? 0 : this.#cursor;
        const to = {
            ArrowLeft: now - 1, ArrowRight: this.#cursor < 0 ? 0 : now + 1, Home: 0, End: last,
        }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        this.#tell(Math.max(0, Math.min(last, to)));
    }
}

/* Down to a little below the last rank that people saw; none when nobody chose anything. */
function shownRanks(ranks) {
    if (!ranks.some(one => one.clicks > 0)) return [];
    const last = ranks.findLastIndex(one => one.shown > 0);
    return ranks.slice(0, Math.max(FEWEST, last + 1 + BEYOND));
}

function meaning(curve) {
    const known = curve.ranks.filter(one => one.identified);
    const told = known.findLast(one => one.rank <= 5 && one.rank > 1);
    const sentences = [];
    if (told) {
        sentences.push(`A result at rank ${told.rank} is looked at ${percent(told.estimate)} as often as one at the top (between ${
            percent(told.low)} and ${percent(told.high)}), so that a click there counts ${number(1 / told.estimate)} times. `);
    }
    sentences.push(curve.identified
        ? `The log tells it down to rank ${integer(known.at(-1).rank)}, from ${integer(curve.keys)} pairs of query and document, some of `
            + 'which stood at several ranks; what is hollow follows its neighbours.'
        : 'The log does not tell it yet: the same documents have hardly stood at different ranks. What is drawn is mostly an assumption, '
            + `that attention falls as 1 / rank${curve.prior_power === 1 ? '' : ` to the power of ${number(curve.prior_power)}`}. More `
            + 'searches, another ranker that serves for a while, or exploration will tell.');
    if (curve.one_in > 1) sentences.push(` A sample: one pair in ${integer(curve.one_in)}.`);
    return sentences;
}

function planOf(ranks, width) {
    const inner = width - LEFT - RIGHT;
    const step = inner / ranks.length;
    const most = Math.min(CEILING, Math.max(1, ...ranks.filter(one => one.identified).map(one => one.high)));
    const ticks = ticksOf(0, most, 4);
    const top = ticks.at(-1);
    return {
        width, step, ticks,
        x: index => LEFT + (index + 0.5) * step,
        at: pixels => Math.max(0, Math.min(ranks.length - 1, Math.floor((pixels - LEFT) / step))),
        y: value => TOP + ((top - Math.min(top, value)) / top) * (HEIGHT - TOP - BOTTOM),
    };
}

function grid({ width, ticks, x, y, step }, ranks) {
    const each = Math.ceil(24 / step);
    return svg('g', { class: 'grid' },
        ticks.map(value => [
            svg('line', { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: value ? '' : 'base' }),
            svg('text', { x: LEFT - 8, y: y(value) + 4, 'text-anchor': 'end' }, percent(value)),
        ]),
        ranks.filter((_, i) => i % each === 0).map(one =>
            svg('text', { x: x(one.rank - 1), y: HEIGHT - 8, 'text-anchor': 'middle' }, integer(one.rank))));
}

function whiskers({ x, y, step }, ranks) {
    const cap = Math.min(6, step / 4);
    return ranks.filter(one => one.rank > 1).map((one, i) => {
        const [at, low, high] = [x(i + 1), y(one.low), y(one.high)];
        return svg('path', {
            class: `whisker${one.identified ? '' : ' assumed'}`,
            d: `M${at - cap} ${high}H${at + cap}M${at} ${high}V${low}M${at - cap} ${low}H${at + cap}`,
        });
    });
}

function segments({ x, y }, ranks) {
    return ranks.slice(1).map((one, i) => svg('line', {
        class: `line${one.identified && ranks[i].identified ? '' : ' assumed'}`,
        x1: x(i), y1: y(ranks[i].estimate), x2: x(i + 1), y2: y(one.estimate),
    }));
}

function points({ x, y }, ranks) {
    return ranks.map((one, i) => svg('circle', {
        class: one.identified ? 'point' : 'point assumed', cx: x(i), cy: y(one.estimate), r: 4.5,
    }));
}

customElements.define('examination-card', ExaminationCard);
