// <decision-strip>: how this answer was made. Which strategies the policy asked, how deep, with what probability, and
// what each of them gave.

import { bar, h, scroller } from './dom.js';
import { distribution } from './distribution.js';
import { integer, microseconds, milliseconds, percent, score } from './format.js';
import { strategyChip } from './strategies.js';

const COLUMNS = ['Strategy', 'Depth', 'Probability', 'Candidates', 'Time'];
const CHANCES = 'Chances of each depth';

class DecisionStrip extends HTMLElement {
    show(response) {
        const { decision, ranker, experiment } = response;
        this.hidden = !decision?.strategies?.length;
        if (this.hidden) return;
        const asked = decision.strategies.filter(one => one.depth > 0);
        const late = asked.filter(one => one.late).length;
        const most = {
            depth: Math.max(1, ...decision.strategies.map(one => one.depth)),
            candidates: Math.max(1, ...decision.strategies.map(one => one.candidates)),
            time: Math.max(1, ...decision.strategies.map(one => one.took_us)),
        };
        const { levels } = decision;
        const columns = levels ? COLUMNS.toSpliced(2, 0, CHANCES) : COLUMNS;
        const open = this.querySelector('details')?.open ?? true;
        this.replaceChildren(h('details', { open },
            h('summary', null,
                h('h2', null, 'How this answer was made'),
                h('span', { class: 'summary-facts' },
                    `${asked.length} of ${decision.strategies.length} strategies asked`
                    + `${late ? `, ${late} late` : ''} · ${milliseconds(response.took_ms)}`)),
            h('p', { class: 'note' },
                'The policy ', h('b', null, decision.policy), ` (version ${integer(decision.version)}) drew this decision `,
                'with ', h('b', null, `propensity ${score(decision.propensity)}`), '; the ', h('b', null, ranker.name),
                ` ranker (version ${integer(ranker.version)}) ordered the candidates`,
                ranker.took_us === undefined ? '.' : ` in ${microseconds(ranker.took_us)}.`,
                experiment ? [' The page took part in the experiment ', h('b', null, experiment.name),
                    experiment.side === 'both' ? ', both sides of it.' : `, side ${experiment.side.toUpperCase()}.`] : null),
            scroller('Strategies of this decision',
                h('table', { class: 'numbers' },
                    h('thead', null, h('tr', null, columns.map(name => h('th', { scope: 'col' }, name)))),
                    h('tbody', null, decision.strategies.map(one => row(one, most, levels)))))));
    }
}

function row(one, most, levels) {
    const asked = one.depth > 0;
    return h('tr', { class: asked ? '' : 'not-asked', data: { strategy: one.name } },
        h('th', { scope: 'row' }, strategyChip(one.name)),
        cell(one.depth / most.depth, asked ? integer(one.depth) : 'not asked'),
        levels ? h('td', null, distribution(one, levels)) : null,
        cell(one.probability, percent(one.probability)),
        cell(one.candidates / most.candidates, integer(one.candidates)),
        h('td', null, h('span', { class: 'measure' },
            bar(one.took_us / most.time), h('span', null, asked ? microseconds(one.took_us) : '–'),
            one.late ? h('span', { class: 'late', title: 'Did not answer within its deadline' }, 'late') : null)));
}

function cell(share, text) {
    return h('td', null, h('span', { class: 'measure' }, bar(share), h('span', null, text)));
}

customElements.define('decision-strip', DecisionStrip);
