// <learning-curves>: learning as it happens. What is asked of each strategy and what a search earns, over the searches
// so far, as charts and as a table; and simulated customers to see the lines move. Emits "customers-wanted"
// {customers}.

import { h, icon, scroller, send } from './dom.js';
import { humanise, integer, percent, plural, score, signed } from './format.js';
import { binsOf, depthShares, smoothed, strategiesIn } from './learning-points.js';
import './time-chart.js';

const CUSTOMERS = 5000;
const ROWS = 16; // of the table
const TREND = 4; // bins to both sides of a smoothed one

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
            several: h('div', { class: 'several' }),
            stack: chart(), reward: chart(), cost: chart(), regret: chart(),
            choice: h('fieldset', { class: 'choice' }, h('legend', { class: 'hidden-text' }, 'What the areas show'),
                this.#option('depth', 'Candidates'), this.#option('share', 'Share')),
            table: h('table', { class: 'numbers' }),
        };
        parts.details = h('details', { class: 'as-table', ontoggle: () => this.#showCharts() },
            h('summary', null, 'The same as a table'), scroller('Learning over time', parts.table));
        parts.several.append(parts.reward, parts.cost, parts.regret);
        parts.charts.append(h('div', { class: 'stacked' }, parts.choice, parts.stack), parts.several);
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
                state.replaceChildren(h('progress', { 'aria-label': 'Customers are searching' }), h('span'));
            }
            const searches = Math.max(0, this.#stats.impressions - this.#run.since);
            state.lastElementChild.textContent =
                `${integer(this.#run.customers)} customers are searching: ${integer(searches)} searches so far.`;
        }
        state.run = this.#run;
    }

    #showCharts() {
        const { stack, reward, cost, regret, empty, charts, choice, details } = this.#parts;
        const bins = binsOf(this.#stats.learning?.points ?? []);
        empty.hidden = bins.length > 0;
        charts.hidden = details.hidden = choice.hidden = !bins.length;
        if (!bins.length) return;
        const asked = strategiesIn(bins);
        const share = this.#stack === 'share';
        stack.show({
            title: share ? 'Share of the candidates asked for' : 'Candidates asked of each strategy',
            unit: share ? 'of all that were asked for' : 'mean of a search', bins, kind: 'areas',
            series: asked.map(({ name, place }) => ({
                name, place, values: share ? depthShares(bins, name) : bins.map(bin => bin.strategies[name].depth),
            })),
            format: share ? percent : score, tick: share ? percent : score, most: share ? 1 : undefined,
        });
        const rewards = bins.map(bin => bin.reward);
        reward.show({
            title: 'Reward of a search', unit: 'what clicks and other actions earned', bins, kind: 'lines', format: score,
            series: [{ name: 'reward', label: 'Reward', values: rewards },
                { name: 'trend', label: 'Trend', values: smoothed(rewards, TREND) }],
        });
        cost.show({
            title: 'Candidates of a search', unit: 'distinct, all strategies together', bins, kind: 'lines',
            series: [{ name: 'candidates', label: 'Candidates', values: bins.map(bin => bin.candidates) }], format: score,
        });
        this.#showRegret(regret);
        if (details.open) this.#showTable(binsOf(this.#stats.learning.points, ROWS), asked);
    }

    #showRegret(chart) {
        const bins = this.#run?.summary?.regret ? binsOfRun(this.#run.summary) : [];
        chart.hidden = !bins.length;
        if (!bins.length) return;
        chart.show({
            title: 'Regret of the customers just sent', unit: 'against the best fixed policy at this cost, added up', bins, kind: 'lines',
            series: [{ name: 'regret', label: 'Regret', values: bins.map(bin => bin.regret) }], format: score, of: 'customers',
        });
    }

    #showTable(bins, asked) {
        const head = ['Searches', 'Reward', 'Candidates', 'Price', ...asked.map(({ name }) => humanise(name))];
        this.#parts.table.replaceChildren(
            h('caption', { class: 'note' }, 'Means of a search: reward, distinct candidates, the price of a candidate, and the '
                + 'candidates asked of each strategy.'),
            h('thead', null, h('tr', null, head.map(name => h('th', { scope: 'col' }, name)))),
            h('tbody', null, bins.map(bin => h('tr', null,
                h('th', { scope: 'row' }, `${integer(bin.from + 1)} – ${integer(bin.to)}`),
                h('td', null, score(bin.reward)), h('td', null, score(bin.candidates)), h('td', null, score(bin.price)),
                asked.map(({ name }) => h('td', null, score(bin.strategies[name].depth)))))));
    }
}

/* Of a finished run: what it earned at first and at last, and how much more the best fixed policy would have earned with
 * as many candidates. */
function told(run) {
    if (run?.state === 'refused') return [h('p', { class: 'refusal', role: 'alert' }, `Not sent: ${run.reason}`)];
    if (run?.state !== 'done') return [];
    const { customers, events, seed, policy, first, last, regret, compared } = run.summary;
    const [before, after] = [first.expected_per_1000 / 1000, last.expected_per_1000 / 1000];
    const change = after - before;
    return [
        h('dl', { class: 'tiles' },
            fact('Sent', integer(customers), `customers, ${plural(events, 'event', 'events')}, seed ${seed}`),
            fact(`First ${integer(first.customers)}`, score(before), 'expected reward of a customer'),
            fact(`Last ${integer(last.customers)}`, score(after),
                before > 0 ? `${signed(change)}, or ${percent(change / before)}` : signed(change)),
            regret ? fact('Regret', score(regret.total),
                `against “${regret.against}”, the best fixed one at this cost; ${score(regret.total / customers)} a customer`) : null),
        compared?.length ? scroller('Policies compared', comparison(compared, policy)) : null,
    ].filter(Boolean);
}

function fact(name, value, note) {
    return h('div', null, h('dt', null, name), h('dd', null, h('b', null, value), h('small', null, note)));
}

function comparison(compared, served) {
    const heads = ['Policy', 'Expected reward', 'Candidates'];
    return h('table', { class: 'numbers compared' },
        h('thead', null, h('tr', null, heads.map(name => h('th', { scope: 'col' }, name)))),
        h('tbody', null, compared.map(one => h('tr', null,
            h('th', { scope: 'row' }, nameOf(one, served)),
            h('td', null, score(one.expected_per_1000 / 1000)), h('td', null, score(one.candidates))))));
}

function nameOf({ policy, equal_cost: equal = true }, served) {
    if (policy === 'served') return `${served}, which served`;
    return equal ? policy : `${policy}, at a higher cost`;
}

/* [{from, to, regret}]: of each part of the series, in customers; the regret is added up from the start. */
function binsOfRun({ series }) {
    return series.map((one, i) => ({ from: series[i - 1]?.customers ?? 0, to: one.customers, regret: one.regret }));
}

customElements.define('learning-curves', LearningCurves);
