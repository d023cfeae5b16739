// <learning-curves>: learning as it happens. What is asked of each strategy and what a search earns, over the searches so
// far, as charts and as a table; and simulated customers to see the lines move. Emits "customers-wanted" {customers}.

import { h, icon, scroller, send } from './dom.js';
import { humanise, integer, number, percent, score, signed } from './format.js';
import { binsOf, depthShares, namesIn } from './learning-points.js';
import './time-chart.js';

const CUSTOMERS = 5000;
const ROWS = 16; // of the table
const EDGE = 1000; // searches that the summary compares

class LearningCurves extends HTMLElement {
    #parts = null;
    #stack = 'depth';
    #stats = null;
    #run = null;

    /* run: null, or {state: 'running', customers, since: impressions before} | {state: 'refused', reason}
     * | {state: 'done', summary: the server's answer} */
    show(stats, run) {
        this.#parts ??= this.#frame();
        this.#stats = stats;
        this.#run = run;
        this.#showRun();
        this.#showCharts();
    }

    #frame() {
        const chart = () => h('time-chart');
        const parts = {
            button: h('button', {
                type: 'button', class: 'button strong', onclick: () => send(this, 'customers-wanted', { customers: CUSTOMERS }),
            }, icon('people'), `Send ${integer(CUSTOMERS)} customers`),
            state: h('div', { class: 'run-state' }),
            empty: h('p', { class: 'note' }, 'Nothing was searched yet. Search, or send customers.'),
            charts: h('div', { class: 'charts' }),
            stack: chart(), reward: chart(), regret: chart(),
            choice: h('fieldset', { class: 'choice' }, h('legend', { class: 'hidden-text' }, 'What the areas show'),
                this.#option('depth', 'Candidates'), this.#option('share', 'Share')),
            table: h('table', { class: 'numbers' }),
        };
        parts.details = h('details', { class: 'as-table', ontoggle: () => this.#showCharts() },
            h('summary', null, 'The same as a table'), scroller('Learning over time', parts.table));
        parts.charts.append(h('div', { class: 'stacked' }, parts.choice, parts.stack), parts.reward, parts.regret);
        this.replaceChildren(h('section', { class: 'card' },
            h('header', { class: 'card-head' },
                h('div', null, h('h2', null, 'Learning over time'),
                    h('p', { class: 'note' }, 'What the policy asks of each strategy, and what a search earns.')),
                parts.button),
            parts.state, parts.empty, parts.charts, parts.details));
        return parts;
    }

    #option(value, label) {
        const choose = () => {
            this.#stack = value;
            this.#showCharts();
        };
        return h('label', null, h('input', {
            type: 'radio', name: 'stack', value, checked: value === this.#stack, onchange: choose,
        }), h('span', null, label));
    }

    #showRun() {
        const { button, state } = this.#parts;
        const running = this.#run?.state === 'running';
        button.toggleAttribute('disabled', running);
        state.dataset.state = this.#run?.state ?? '';
        if (!running) {
            if (state.run !== this.#run) state.replaceChildren(...told(this.#run));
        } else {
            if (state.run !== this.#run) {
                state.replaceChildren(h('progress', { 'aria-label': 'Customers are searching' }), h('span', { class: 'note' }));
            }
            const searches = Math.max(0, this.#stats.impressions - this.#run.since);
            state.lastElementChild.textContent =
                `${integer(this.#run.customers)} customers are searching: ${integer(searches)} searches so far.`;
        }
        state.run = this.#run;
    }

    #showCharts() {
        const { stack, reward, regret, empty, charts, choice, details } = this.#parts;
        const bins = binsOf(this.#stats.learning?.points ?? []);
        empty.hidden = bins.length > 0;
        charts.hidden = details.hidden = choice.hidden = !bins.length;
        if (!bins.length) return;
        const names = namesIn(bins);
        const share = this.#stack === 'share';
        stack.show({
            title: share ? 'Share of the candidates asked for' : 'Candidates asked of each strategy',
            unit: share ? 'of all that were asked for' : 'mean of a search', bins, kind: 'areas',
            series: names.map(name => ({
                name, values: share ? depthShares(bins, name) : bins.map(bin => bin.strategies[name].depth),
            })),
            format: share ? percent : number, tick: share ? percent : score, most: share ? 1 : undefined,
        });
        reward.show({
            title: 'Reward of a search', unit: 'what clicks and other actions earned', bins, kind: 'lines',
            series: [{ name: 'reward', label: 'Reward', values: bins.map(bin => bin.reward) }], format: score,
        });
        this.#showRegret(regret);
        if (details.open) this.#showTable(binsOf(this.#stats.learning.points, ROWS), names);
    }

    #showRegret(chart) {
        const points = this.#run?.summary?.points ?? [];
        const bins = binsOfRun(points);
        chart.hidden = !bins.length;
        if (!bins.length) return;
        chart.show({
            title: 'Regret of the customers just sent', unit: 'against the best fixed policy, added up', bins, kind: 'lines',
            series: [{ name: 'regret', label: 'Regret', values: bins.map(bin => bin.regret) }], format: score,
        });
    }

    #showTable(bins, names) {
        const head = ['Searches', 'Reward', 'Candidates', 'Price', ...names.map(humanise)];
        this.#parts.table.replaceChildren(
            h('caption', { class: 'note' }, 'Means of a search: reward, distinct candidates, the price of a candidate, and the '
                + 'candidates asked of each strategy.'),
            h('thead', null, h('tr', null, head.map(name => h('th', { scope: 'col' }, name)))),
            h('tbody', null, bins.map(bin => h('tr', null,
                h('th', { scope: 'row' }, `${integer(bin.from + 1)} – ${integer(bin.to)}`),
                h('td', null, score(bin.reward)), h('td', null, number(bin.candidates)), h('td', null, score(bin.price)),
                names.map(name => h('td', null, number(bin.strategies[name].depth)))))));
    }
}

/* Of a finished run: what it earned at first and at last, and what the best fixed policy would have earned more. */
function told(run) {
    if (run?.state === 'refused') return [h('p', { class: 'refusal', role: 'alert' }, `Not sent: ${run.reason}`)];
    if (run?.state !== 'done') return [];
    const { summary } = run;
    const bins = binsOfRun(summary.points ?? []);
    const searches = bins.at(-1)?.to ?? 0;
    const [first, last] = [rewardOf(bins, 0, EDGE), rewardOf(bins, searches - EDGE, searches)];
    const change = last - first;
    const regret = bins.at(-1)?.regret;
    const fact = (name, value, note) => h('div', null, h('dt', null, name), h('dd', null, h('b', null, value), h('small', null, note)));
    return [h('dl', { class: 'tiles' },
        fact('Sent', `${integer(summary.customers)}`, `customers, ${integer(searches)} searches, seed ${summary.seed}`),
        fact(`First ${integer(Math.min(EDGE, searches))}`, score(first), 'reward of a search'),
        fact(`Last ${integer(Math.min(EDGE, searches))}`, score(last),
            first > 0 ? `${signed(change)}, ${percent(change / first)}` : signed(change)),
        regret === undefined ? null
            : fact('Regret', score(regret), `against the best fixed policy; ${score(regret / searches)} a search`))];
}

/* [{from, to, reward (of a search), regret (so far)}] */
function binsOfRun(points) {
    let to = 0;
    return points.map(one => {
        const from = to;
        to += one.searches;
        return { from, to, reward: one.reward / one.searches, regret: one.regret };
    });
}

/* Mean reward of the searches from `from` to `to`, as finely as the points tell. */
function rewardOf(bins, from, to) {
    let sum = 0;
    let searches = 0;
    for (const bin of bins) {
        const part = Math.min(to, bin.to) - Math.max(from, bin.from);
        if (part <= 0) continue;
        sum += bin.reward * part;
        searches += part;
    }
    return searches ? sum / searches : 0;
}

customElements.define('learning-curves', LearningCurves);
