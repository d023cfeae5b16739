// <learning-view>: what the engine has learned so far, from the collection's statistics.

import { bar, h, iconButton, scroller, send } from './dom.js';
import { bytes, compact, humanise, integer, microseconds, number, percent, plural, score, signed } from './format.js';
import { strategyChip } from './strategies.js';
import './examination-card.js';
import './experiment-panel.js';
import './learning-curves.js';
import './ranker-panel.js';

class LearningView extends HTMLElement {
    #head = null;
    #curves = h('learning-curves');
    #ranker = h('ranker-panel');
    #experiment = h('experiment-panel');
    #examination = h('examination-card');

    /* run: what became of the simulated customers, see learning-curves.js; null when none were sent */
    show(stats, run) {
        this.#head ??= this.#frame();
        this.querySelector('.collection-name').textContent = stats.name;
        this.#curves.show(stats, run);
        this.#place('tiles', tiles(stats));
        this.#place('strategies', stats.policy?.strategies?.length ? strategies(stats.policy) : null);
        this.#place('weights', stats.ranker?.weights?.length ? weights(stats.ranker) : null);
    }

    /* desk: see ranking-desk.js */
    showRanking(desk) {
        this.#head ??= this.#frame();
        this.#ranker.show({
            models: desk.models, train: desk.train, shadow: desk.shadow, details: desk.details, meanings: desk.meanings,
            trouble: desk.trouble.ranker, searches: desk.stats.impressions,
        });
        this.#experiment.show({ experiment: desk.experiment, models: desk.models.models, trouble: desk.trouble.experiment });
        this.#examination.show({ curve: desk.curve, trouble: desk.trouble.examination });
    }

    #frame() {
        const slot = name => h('div', { data: { slot: name } });
        const head = h('header', { class: 'view-head' },
            h('div', null, h('h1', { tabindex: -1 }, 'What the engine has learned'),
                h('p', { class: 'note' }, 'Collection ', h('span', { class: 'collection-name' }),
                    '. Every recorded event changes memory, policy and ranker at once.')),
            iconButton('refresh', 'Read the numbers again', { onclick: () => send(this, 'learning-refresh') }));
        this.replaceChildren(head, slot('tiles'), this.#curves, this.#ranker, this.#experiment, this.#examination,
            slot('strategies'), slot('weights'));
        return head;
    }

    // Only the numbers are drawn again: what is focused or scrolled sideways stays as it is.
    #place(name, content) {
        const slot = this.querySelector(`[data-slot="${name}"]`);
        const [old, fresh] = [slot.querySelector('table'), content?.querySelector('table')];
        if (old && fresh) {
            slot.querySelector('.note').replaceWith(content.querySelector('.note'));
            old.replaceWith(fresh);
        } else {
            slot.replaceChildren(...(content ? [content] : []));
        }
    }

    focusHeading() {
        this.querySelector('h1')?.focus({ preventScroll: true });
    }
}

function tiles(stats) {
    const facts = [
        ['Impressions', stats.impressions, 'result pages that were logged'],
        ['Events', stats.events, 'clicks, likes, favourites'],
        ['Memory pairs', stats.memory_pairs, 'queries and documents it remembers together'],
        ['Documents', stats.documents, stats.dead ? `${integer(stats.dead)} replaced or removed` : 'searchable'],
        ['Terms', stats.terms, 'distinct words in the index'],
    ].filter(([, value]) => value !== undefined);
    return h('dl', { class: 'tiles' },
        facts.map(([name, value, note]) => tile(name, value >= 1e6 ? compact(value) : integer(value), note)),
        stats.index_bytes !== undefined ? tile('Index', bytes(stats.index_bytes),
            `${plural(stats.segments, 'segment', 'segments')}; store ${bytes(stats.store_bytes)}`) : null);
}

function tile(name, value, note) {
    return h('div', null, h('dt', null, name), h('dd', null, h('b', null, value), h('small', null, note)));
}

function strategies(policy) {
    const deepest = Math.max(1, ...policy.strategies.map(one => one.mean_depth));
    const credited = policy.strategies.some(one => one.credited_events !== undefined);
    const columns = ['Strategy', 'Takes part in', 'Mean depth', 'Mean time', ...(credited ? ['Events it found'] : []), 'Late'];
    const slowest = Math.max(1, ...policy.strategies.map(one => one.mean_us));
    return h('section', { class: 'card' },
        h('h2', null, 'Which strategies it asks'),
        h('p', { class: 'note' }, 'Policy ', h('b', null, policy.name), `, version ${integer(policy.version)}: `
            + 'how often each strategy takes part, how deep it is asked, and what it costs.'),
        scroller('Strategies', h('table', { class: 'numbers' },
            h('thead', null, h('tr', null, columns.map(name => h('th', { scope: 'col' }, name)))),
            h('tbody', null, policy.strategies.map(one => h('tr', { data: { strategy: one.name } },
                h('th', { scope: 'row' }, strategyChip(one.name)),
                measure(one.share, percent(one.share), `${integer(one.searches)} searches`),
                measure(one.mean_depth / deepest, number(one.mean_depth)),
                measure(one.mean_us / slowest, microseconds(one.mean_us)),
                credited ? h('td', null, integer(one.credited_events ?? 0)) : null,
                h('td', null, integer(one.late))))))));
}

function measure(share, text, title) {
    return h('td', { title }, h('span', { class: 'measure' }, bar(share), h('span', null, text)));
}

function weights(ranker) {
    const most = Math.max(1e-9, ...ranker.weights.flatMap(one => [Math.abs(one.weight), Math.abs(one.prior)]));
    const ordered = [...ranker.weights].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
    return h('section', { class: 'card' },
        h('h2', null, 'What the linear ranker has learned'),
        h('p', { class: 'note' }, `It learns online and had ${plural(ranker.version, 'lesson', 'lessons')}. `
            + 'The bar is the weight now, the mark is where it started (its prior).'),
        scroller('Weights', h('table', { class: 'numbers weights' },
            h('thead', null, h('tr', null,
                h('th', { scope: 'col' }, 'Feature'),
                h('th', { scope: 'col', class: 'chart' },
                    h('span', { class: 'hidden-text' }, 'Weight and prior as a bar')),
                ['Weight', 'Prior', 'Learned'].map(name => h('th', { scope: 'col' }, name)))),
            h('tbody', null, ordered.map(one => h('tr', null,
                h('th', { scope: 'row' }, humanise(one.feature)),
                h('td', { class: 'chart' }, weightBar(one.weight / most, one.prior / most)),
                h('td', null, score(one.weight)), h('td', null, score(one.prior)), learned(one)))))));
}

function learned({ weight, prior }) {
    const change = weight - prior;
    const visible = Math.abs(change) >= 0.0005;
    return h('td', { class: !visible ? 'same' : change > 0 ? 'gain' : 'loss' }, visible ? signed(change) : '–');
}

function weightBar(weight, prior) {
    return h('span', {
        class: `diverging both ${weight < 0 ? 'negative' : 'positive'}`, 'aria-hidden': 'true',
        vars: { '--share': Math.abs(weight), '--prior': prior },
    }, h('span', { class: 'prior' }));
}

customElements.define('learning-view', LearningView);
