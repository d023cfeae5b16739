// <time-chart>: one measure over the searches so far, as stacked areas or as lines, drawn as SVG as wide as it stands.
// The list below it names each series and its value: the newest, or where the pointer or the arrow keys are.

import { h, svg } from './dom.js';
import { compact, humanise, integer, score } from './format.js';

const HEIGHT = 190;
const LEFT = 44;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 24;
const TICKS = 5;

class TimeChart extends HTMLElement {
    #spec = null;
    #cursor = -1;  // which bin is told; -1: the newest
    #parts = null;
    #plan = null;
    #width = 0;
    #watcher = new ResizeObserver(([{ contentRect }]) => {
        if (Math.abs(contentRect.width - this.#width) >= 1) this.#draw();
    });

    connectedCallback() {
        this.#watcher.observe(this);
    }

    disconnectedCallback() {
        this.#watcher.disconnect();
    }

    /* spec: {title, unit, bins: [{from, to}], kind: 'areas' | 'lines', series: [{name, label, place, values}],
     * format, tick, most}. values: one for each bin; areas are stacked in the given order, the first at the bottom, and
     * `place` gives each its shade; tick: how the scale's numbers are written; most: the scale's top, when it is known; least: its
     * bottom, 0 unless told; of: what the bins count, searches unless told; where: (bin, whether it is the newest) → where that is,
     * in words */
    show(spec) {
        this.#spec = spec;
        if (this.#cursor >= spec.bins.length) this.#cursor = -1;
        this.#parts ??= this.#frame();
        this.#parts.title.textContent = spec.title;
        this.#parts.unit.textContent = spec.unit;
        this.#draw();
    }

    #frame() {
        const parts = {
            title: h('h3'), unit: h('span', { class: 'unit' }), where: h('p', { class: 'where' }),
            drawing: h('div', {
                class: 'drawing', tabindex: 0, role: 'slider', 'aria-orientation': 'horizontal', 'aria-valuemin': 1,
                onkeydown: event => this.#pressed(event), onblur: () => this.#tell(-1),
                onpointermove: event => this.#pointed(event), onpointerdown: event => this.#pointed(event),
                onpointerleave: () => this.#tell(-1),
            }),
            values: h('ul', { class: 'series' }),
        };
        this.replaceChildren(h('header', { class: 'chart-head' }, h('div', null, parts.title, parts.unit), parts.where),
            parts.drawing, parts.values);
        return parts;
    }

    #draw() {
        const spec = this.#spec;
        if (!spec || !this.#parts) return;
        this.#width = this.clientWidth;
        const plan = planOf(spec, Math.max(200, this.#width));
        this.#parts.drawing.replaceChildren(svg('svg', {
            viewBox: `0 0 ${plan.width} ${HEIGHT}`, width: plan.width, height: HEIGHT, 'aria-hidden': 'true',
        }, grid(plan, spec), spec.kind === 'areas' ? areas(plan, spec) : lines(plan, spec),
        svg('line', { class: 'cursor', x1: 0, x2: 0, y1: TOP, y2: HEIGHT - BOTTOM })));
        this.#plan = plan;
        this.#tell(this.#cursor);
    }

    /* Says the values of a bin; -1: of the newest. */
    #tell(at) {
        const { bins, series, format, kind, title, of = 'searches' } = this.#spec;
        const { drawing, values, where } = this.#parts;
        this.#cursor = at;
        const index = at < 0 ? bins.length - 1 : at;
        const bin = bins[index];
        where.textContent = this.#spec.where?.(bin, at < 0) ?? (at < 0 ? `latest ${integer(bin.to - bin.from)} ${of}`
            : `${of} ${integer(bin.from + 1)} to ${integer(bin.to)}`);
        // The list reads as the drawing does, from the top down.
        const ordered = kind === 'areas' ? [...series].reverse() : series;
        values.replaceChildren(...ordered.map(one => h('li', { data: dataOf(one) },
            h('span', { class: 'swatch', 'aria-hidden': 'true' }), one.label ?? humanise(one.name),
            h('b', null, format(one.values[index])))));
        const line = drawing.querySelector('.cursor');
        line.classList.toggle('shown', at >= 0);
        const x = this.#plan.x((bin.from + bin.to) / 2);
        line.setAttribute('x1', x);
        line.setAttribute('x2', x);
        const told = ordered.map(one => `${one.label ?? one.name} ${format(one.values[index])}`).join(', ');
        for (const [name, value] of Object.entries({
            'aria-label': title, 'aria-valuemax': bins.length, 'aria-valuenow': index + 1,
            'aria-valuetext': `${where.textContent}: ${told}`,
        })) drawing.setAttribute(name, value);
    }

    #pointed(event) {
        const box = this.#parts.drawing.getBoundingClientRect();
        const searches = this.#plan.at(event.clientX - box.left);
        const index = this.#spec.bins.findIndex(bin => searches < bin.to);
        this.#tell(index < 0 ? this.#spec.bins.length - 1 : index);
    }

    #pressed(event) {
        const last = this.#spec.bins.length - 1;
        const now = this.#cursor < 0 ? last : this.#cursor;
        const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        this.#tell(Math.max(0, Math.min(last, to)));
    }
}

// Neighbours of a stack differ in lightness as well as in hue, so that they stay apart without colours.
const SHADES = 3;

function dataOf({ name, place = 0 }) {
    return { strategy: name, shade: String(place % SHADES) };
}

/* The scales: x from searches, y from values, in pixels; `at` turns pixels back into searches. */
function planOf({ bins, series, kind, most, least = 0 }, width) {
    const end = bins.at(-1)?.to ?? 1;
    const inner = width - LEFT - RIGHT;
    const values = kind === 'areas' ? bins.map((_, i) => series.reduce((sum, one) => sum + one.values[i], 0))
        : series.flatMap(one => one.values);
    const ticks = ticksOf(Math.min(least, ...values), most ?? Math.max(0, ...values));
    const [low, high] = [ticks[0], ticks.at(-1)];
    return {
        width, ticks, end,
        x: searches => LEFT + (searches / end) * inner,
        at: pixels => ((pixels - LEFT) / inner) * end,
        y: value => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM),
    };
}

/* Round values from the last that is not above `low` to the first that is not below `high`. */
export function ticksOf(low, high, most = TICKS) {
    if (!(high > low)) return [0, 1];
    const rough = (high - low) / most;
    const size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map(factor => factor * size).find(one => one >= rough * 0.999);
    const [first, last] = [Math.floor(low / step + 0.001), Math.ceil(high / step - 0.001)];
    return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function grid(plan, { tick = score, of = 'searches' }) {
    const { ticks, width, x, y, end } = plan;
    const wide = width > 420;
    const round = ticksOf(0, end, wide ? TICKS : 2).filter(value => value < end * (wide ? 0.86 : 0.65));
    const along = (value, text, anchor) =>
        svg('text', { x: x(value), y: HEIGHT - 6, 'text-anchor': anchor }, text);
    return svg('g', { class: 'grid' },
        ticks.map(value => [
            svg('line', { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: value ? '' : 'base' }),
            svg('text', { x: LEFT - 8, y: y(value) + 4, 'text-anchor': 'end' }, tick(value)),
        ]),
        round.map(value => along(value, compact(value), value ? 'middle' : 'start')),
        along(end, `${compact(end)} ${of}`, 'end'));
}

/* Corners of a line through the middle of each bin, drawn on to both ends of the scale. */
function corners({ x, y }, bins, values) {
    return [
        [x(bins[0].from), y(values[0])],
        ...bins.map((bin, i) => [x((bin.from + bin.to) / 2), y(values[i])]),
        [x(bins.at(-1).to), y(values.at(-1))],
    ].map(([left, top]) => `${left.toFixed(1)} ${top.toFixed(1)}`);
}

function areas(plan, { bins, series }) {
    let below = bins.map(() => 0);
    return series.map(one => {
        const above = below.map((value, i) => value + one.values[i]);
        const d = `M${corners(plan, bins, above).join('L')}L${corners(plan, bins, below).reverse().join('L')}Z`;
        below = above;
        return svg('path', { class: 'area', d, data: dataOf(one) });
    });
}

function lines(plan, { bins, series }) {
    return series.map(one =>
        svg('path', { class: 'line', d: `M${corners(plan, bins, one.values).join('L')}`, data: dataOf(one) }));
}

customElements.define('time-chart', TimeChart);
