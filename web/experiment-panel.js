// <experiment-panel>: two rankers or two policies compared on the people who search: begun, watched, ended. Emits
// "experiment-wanted" {request}, "experiment-unwanted".

import { h, icon, send } from './dom.js';
import { asSentence, integer, moment, percent, plural, score, signed } from './format.js';
import { intervals } from './intervals.js';

const KINDS = {
    team_draft: ['Both on one page, by turns',
        'Each page is drafted by both sides; every click is a vote for the side that brought the result.'],
    optimised: ['Both on one page, optimised', 'Pages are mixed so that the clicks tell as much as they can about the difference.'],
    ab: ['One of both for each person', 'A person always gets the same side; what a page earns is compared.'],
};
const POLICIES = ['regcb', 'squarecb', 'lin-ts', 'linucb', 'epsilon-greedy', 'fixed', 'rrf-equal', 'all'];
const WINDOWS = [[1800, 'for half an hour'], [60, 'for a minute'], [600, 'for ten minutes'], [86400, 'for a day']];
const NAME = 64; // bytes, at most

class ExperimentPanel extends HTMLElement {
    #parts = null;
    #offered = '';

    /* state: {experiment: the server's answer, models: [...], trouble} */
    show({ experiment, models, trouble }) {
        this.#parts ??= this.#frame();
        const { refusal, result, form, again } = this.#parts;
        refusal.textContent = trouble;
        refusal.hidden = !trouble;
        this.#offer(models);
        const running = Boolean(experiment?.running);
        const key = JSON.stringify(experiment ?? null);
        if (result.dataset.key !== key) {
            const held = result.contains(document.activeElement);
            result.dataset.key = key;
            result.replaceChildren(...(experiment?.result ? told(experiment, this) : []));
            if (held) (result.querySelector('button') ?? this.#parts.title).focus({ preventScroll: true });
        }
        result.hidden = !experiment?.result;
        form.hidden = running;
        again.hidden = running || !experiment?.result;
    }

    #frame() {
        const turned = () => this.#offer(null);
        const select = (name, label, options = []) => h('label', null, h('span', null, label),
            h('select', { name, onchange: turned }, options));
        const parts = {
            title: h('h2', { tabindex: -1 }, 'Experiment'),
            refusal: h('p', { class: 'trouble', role: 'alert', hidden: true }),
            result: h('div', { class: 'experiment-result' }),
            again: h('h3', { hidden: true }, 'Another one'),
            kindNote: h('p', { class: 'note' }),
            share: h('b'), // not an <output>, which would take the label for itself
        };
        parts.form = h('form', { class: 'experiment-form', onsubmit: event => {
            event.preventDefault();
            this.#start();
        } },
        h('div', { class: 'fields-row three' },
            select('kind', 'How', Object.entries(KINDS).map(([value, [text]]) => h('option', { value }, text))),
            select('a', 'A'), select('b', 'B'),
            h('label', null, h('span', null, 'Searches that take part ', parts.share), h('input', {
                type: 'range', name: 'share', min: 1, max: 100, value: 100, oninput: turned,
            })),
            select('window', 'Waits for feedback', WINDOWS.map(([value, text]) => h('option', { value }, text))),
            h('label', null, h('span', null, 'Name'), h('input', { name: 'name', maxlength: NAME, autocomplete: 'off' })),
            h('button', { class: 'button strong', data: { does: 'begin' } }, icon('people'), 'Begin')),
        parts.kindNote);
        this.replaceChildren(h('section', { class: 'card' },
            parts.title,
            h('p', { class: 'note' }, 'Two rankers or two policies, compared on the people who search now. The interval holds however '
                + 'often one looks.'),
            parts.refusal, parts.result, parts.again, parts.form));
        return parts;
    }

    get #fields() {
        return this.#parts.form.elements;
    }

    /* The sides that can be chosen; models: null when only the form was turned. */
    #offer(models) {
        const { kind, a, b, share, name } = this.#fields;
        if (models) this.models = models;
        const trained = (this.models ?? []).map(one => [`model:${one.model}`, `Model ${one.model}${one.name ? ` “${one.name}”` : ''}`]);
        const offered = JSON.stringify([trained, kind.value === 'ab']);
        if (offered !== this.#offered) {
            this.#offered = offered;
            const rankers = [['auto', 'What serves now'], ['linear', 'Linear, learning online'],
                ['rrf', 'Rank fusion, not learned'], ...trained];
            const groups = [['Rankers', rankers]];
            if (kind.value === 'ab') groups.push(['Policies', POLICIES.map(one => [one, one])]);
            fill(a, groups, 'auto');
            fill(b, groups, trained[0]?.[0] ?? 'rrf');
        }
        this.#parts.kindNote.textContent = KINDS[kind.value][1];
        this.#parts.share.textContent = percent(share.value / 100);
        name.placeholder = this.#suggested;
    }

    get #suggested() {
        const { a, b } = this.#fields;
        return `${a.value}-${b.value}`.replaceAll(':', '');
    }

    #start() {
        const { kind, a, b, share, window, name } = this.#fields;
        send(this, 'experiment-wanted', { request: {
            name: name.value.trim() || this.#suggested, kind: kind.value, a: a.value, b: b.value, share: share.value / 100,
            window_seconds: Number(window.value),
        } });
    }
}

// What was chosen stays, as long as it is still offered.
function fill(select, groups, first) {
    const before = select.value;
    select.replaceChildren(...groups.map(([label, options]) => h('optgroup', { label },
        options.map(([value, text]) => h('option', { value }, text)))));
    select.value = before;
    if (select.selectedIndex < 0) select.value = first;
}

function told({ running, started, result }, panel) {
    const { a, b, difference, kind } = result;
    const ab = kind === 'ab';
    const earned = ab ? 'reward a page' : 'credit a page';
    const counted = ab ? `${integer(a.units)} + ${integer(b.units)} people, sessions or queries` : plural(result.pages, 'page', 'pages');
    const some = counts(result);
    return [
        h('div', { class: 'model-head' }, h('h3', null, result.name),
            h('span', { class: `badge${running ? ' serves' : ''}` }, running ? 'Running' : 'Ended'),
            h('span', { class: 'when' }, `since ${moment(started * 1000)}`),
            running ? h('button', {
                type: 'button', class: 'button', data: { does: 'end' }, onclick: () => send(panel, 'experiment-unwanted'),
            }, 'End it') : null),
        h('p', { class: 'verdict', data: { decided: difference.decided } }, sentence(result)),
        some ? intervals([{ label: `${a.name} less ${b.name}`, kind: 'own', value: difference.estimate, ...difference }],
            { zero: true, write: signed, label: 'Difference' }) : null,
        some ? h('p', { class: 'ends', 'aria-hidden': 'true' }, h('span', null, `← ${b.name} is better`),
            h('span', null, `${a.name} is better →`)) : null,
        h('dl', { class: 'pairs' }, [
            ['A', some ? `${a.name}: ${score(a.earned)} ${earned}` : a.name],
            ['B', some ? `${b.name}: ${score(b.earned)} ${earned}` : b.name],
            ['Counted', `${counted}, ${percent(result.share)} of the searches take part`],
            ab ? ['Opened', `${integer(a.opened)} + ${integer(b.opened)}`] : null,
            ['How', KINDS[kind]?.[0] ?? kind],
        ].filter(Boolean).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value)))),
    ].filter(Boolean);
}

function counts({ kind, pages, a, b }) {
    return kind === 'ab' ? a.units > 0 && b.units > 0 : pages > 0;
}

function sentence(result) {
    return counts(result) ? asSentence(result.verdict)
        : `${asSentence(result.verdict)} A search counts when it has waited for feedback. Search and choose; simulated `
            + 'customers do not take part.';
}

customElements.define('experiment-panel', ExperimentPanel);
