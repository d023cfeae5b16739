// <ranker-panel>: who orders the results. What serves, training with its progress, the trained versions with their
// verdicts, the shadow's account. Emits "training-wanted" {request}, "training-unwanted", "model-wanted" {number},
// "model-act" {number, act: 'activate' | 'shadow' | 'remove'}, "roll-back".

import { h, icon, send } from './dom.js';
import { asSentence, capital, integer, moment, percent, plural, score, signedThousandth, thousandth } from './format.js';
import { intervals, saying } from './intervals.js';
import { modelDetail } from './model-detail.js';

const FIRST = 4; // models that are shown without asking
const PHASES = {
    reading: 'Reading the log', weighing: 'Estimating who looks where', linear: 'Learning a linear order', fitting: 'Growing trees',
    judging: 'Judging on searches it has not seen', done: 'Done',
};

class RankerPanel extends HTMLElement {
    #parts = null;
    #state = null;
    #items = new Map(); // number → {element, told}
    #open = new Set();

    /* state: {models: the server's answer, train, shadow, details: Map of number → model, meanings, trouble,
     * searches: impressions of the collection}; shadow is null until it was read */
    show(state) {
        this.#parts ??= this.#frame();
        this.#state = state;
        const { trouble } = this.#parts;
        this.#showServing();
        this.#showTraining();
        if (trouble.textContent !== state.trouble) trouble.textContent = state.trouble;
        trouble.hidden = !state.trouble;
        this.#showModels();
        this.#showShadow();
    }

    #frame() {
        const parts = {
            serving: h('p', { class: 'note serving' }),
            back: h('button', { type: 'button', class: 'button', data: { does: 'roll-back' }, onclick: () => send(this, 'roll-back') },
                icon('back'), 'Roll back'),
            train: h('button', { type: 'button', class: 'button strong', data: { does: 'train' }, onclick: () => this.#train() },
                icon('learning'), 'Train now'),
            training: h('div', { class: 'run-state training', role: 'group', 'aria-label': 'Training' }),
            trouble: h('p', { class: 'trouble', role: 'alert', hidden: true }),
            models: h('ol', { class: 'models', 'aria-label': 'Rankers' }),
            older: h('ol', { class: 'models' }),
            shadow: h('div', { class: 'shadow-account', role: 'group', 'aria-label': 'Shadow' }),
        };
        parts.form = settingsForm();
        parts.summary = h('summary');
        parts.rest = h('details', { class: 'older', hidden: true }, parts.summary, parts.older);
        this.replaceChildren(h('section', { class: 'card' },
            h('header', { class: 'card-head' },
                h('div', null, h('h2', null, 'Ranker'), parts.serving),
                h('div', { class: 'buttons' }, parts.back, parts.train)),
            parts.trouble, parts.training,
            h('details', { class: 'as-table train-settings' }, h('summary', null, 'Settings of the training'), parts.form),
            parts.shadow, parts.models, parts.rest));
        return parts;
    }

    #train() {
        const form = new FormData(this.#parts.form);
        const request = { kind: form.get('kind'), debias: form.get('debias'), activate: form.get('activate') === 'on' };
        if (form.get('name').trim()) request.name = form.get('name').trim();
        send(this, 'training-wanted', { request });
    }

    /* ---- What serves ---- */

    get #serves() {
        const { ranker, active } = this.#state.models;
        if (ranker === 'auto') return active;
        return ranker === 'linear' ? 0 : Number(/^model:(\d+)$/.exec(ranker)?.[1] ?? -1);
    }

    #showServing() {
        const { models } = this.#state;
        const { serving, back } = this.#parts;
        const named = models.ranker !== 'auto';
        const model = models.models.find(one => one.model === this.#serves);
        const who = this.#serves < 0 ? `“${models.ranker}”` : model ? titleOf(model) : 'The linear ranker that learns online';
        const key = JSON.stringify([who, named, model?.time]);
        if (serving.dataset.key !== key) {
            serving.dataset.key = key;
            serving.replaceChildren(h('b', null, who), ' orders the results',
                model ? `, trained ${moment(model.time)}.` : '.',
                named ? ` The schema names it, so that no other model serves until its "ranker" is "auto".` : '');
        }
        back.hidden = models.active === 0;
    }

    /* ---- Training ---- */

    #showTraining() {
        const { train } = this.#state;
        const { training, train: button } = this.#parts;
        const running = train.state === 'running';
        button.toggleAttribute('disabled', running);
        const key = running ? 'running' : JSON.stringify([train.state, train.finished, train.model]);
        if (training.dataset.key !== key) {
            training.dataset.key = key;
            training.dataset.state = train.state === 'failed' ? 'refused' : train.state;
            training.replaceChildren(...(running ? [
                h('progress', { max: 1, 'aria-label': 'Training' }), h('span', { class: 'phase' }),
                h('button', { type: 'button', class: 'button', data: { does: 'cancel' }, onclick: () => send(this, 'training-unwanted') },
                    icon('clear'), 'Cancel'),
            ] : this.#trained(train)));
        }
        if (!running) return;
        const progress = training.querySelector('progress');
        // Of the phases only these tell how far they are.
        if (train.share > 0) progress.value = train.share;
        else progress.removeAttribute('value');
        training.querySelector('.phase').textContent = phaseText(train);
    }

    #trained(train) {
        const lines = {
            never: () => (this.#state.models.models.length ? null
                : 'No ranker was trained yet. “Train now” learns one from the log: it needs at least 30 searches whose results '
                    + `people chose from; ${plural(this.#state.searches, 'search', 'searches')} are logged. `
                    + 'Search and choose, or send simulated customers (above).'),
            failed: () => [`Not trained: ${train.error}.`, h('br'),
                'Search and choose, or send simulated customers (above); then train again.'],
            cancelled: () => 'The training was cancelled. Nothing was kept.',
            done: () => `Trained model ${integer(train.model)}. ${asSentence(train.report.verdict)} `
                + (train.activated ? 'It serves now.' : 'It is kept below and does not serve.'),
        };
        const line = lines[train.state]?.();
        return line ? [h('p', null, line)] : [];
    }

    /* ---- Models ---- */

    #showModels() {
        const { models } = this.#state;
        const { models: list, older, rest, summary } = this.#parts;
        const first = one => (one.model === this.#serves ? 2 : one.shadow ? 1 : 0);
        const online = { model: 0, kind: 'online', active: models.active === 0, shadow: false };
        const trained = [...models.models].sort((a, b) => first(b) - first(a) || b.model - a.model);
        const shown = this.#serves === 0 || !trained.length ? [online, ...trained.slice(0, FIRST)]
            : [...trained.slice(0, FIRST), online];
        const left = trained.slice(FIRST);
        this.#place(list, trained.length ? shown : []);
        this.#place(older, left);
        rest.hidden = !left.length;
        summary.textContent = plural(left.length, 'older model', 'older models');
        const numbers = new Set(models.models.map(one => one.model));
        for (const number of this.#items.keys()) if (number && !numbers.has(number)) this.#items.delete(number);
    }

    // Items keep their element while nothing about them changes, and what is focused in one stays focused.
    #place(list, models) {
        const elements = models.map(model => this.#item(model));
        if (elements.length === list.children.length && elements.every((element, i) => element === list.children[i])) return;
        const { does, number } = focusedIn(this);
        list.replaceChildren(...elements);
        if (number === undefined || this.contains(document.activeElement) && document.activeElement !== this) return;
        const item = this.querySelector(`.model[data-model="${number}"]`);
        (item?.querySelector(`[data-does="${does}"]`) ?? item?.querySelector('h3'))?.focus({ preventScroll: true });
    }

    #item(model) {
        const serves = model.model === this.#serves;
        const detail = this.#state.details.get(model.model);
        const told = JSON.stringify([model, serves, Boolean(detail), this.#state.meanings.size]);
        const known = this.#items.get(model.model);
        if (known?.told === told) return known.element;
        const element = model.model === 0 ? this.#online(serves) : this.#model(model, serves, detail);
        this.#items.set(model.model, { element, told });
        return element;
    }

    #online(serves) {
        return h('li', { class: 'model', data: { model: 0, serves } },
            h('div', { class: 'model-head' }, h('h3', { tabindex: -1 }, 'Linear, learning online'), badges({ kind: 'online' }, serves)),
            h('p', { class: 'verdict' }, 'It learns from every event at once and needs no training. Its weights are below.'),
            serves ? null : h('div', { class: 'model-actions' }, this.#act(0, 'activate', 'Let it serve')));
    }

    #model(model, serves, detail) {
        const { model: number, report } = model;
        const held = report?.held_out;
        return h('li', { class: 'model', data: { model: number, serves } },
            h('div', { class: 'model-head' }, h('h3', { tabindex: -1 }, titleOf(model)), badges(model, serves),
                h('span', { class: 'when' }, moment(model.time))),
            h('p', { class: 'verdict', data: { wins: report?.wins ?? '' } },
                report?.verdict ? asSentence(report.verdict) : 'Imported: no verdict. Let it be the shadow to see how it would do.'),
            held ? intervals([
                { label: 'This model', kind: 'own', ...held.model },
                { label: `Served then (${held.incumbent_ranker})`, ...held.incumbent },
            ], { write: thousandth, label: 'Share of the possible on searches it has not seen' }) : null,
            h('div', { class: 'model-actions' },
                serves ? null : this.#act(number, 'activate', 'Let it serve'),
                serves ? null : model.shadow ? this.#act(0, 'shadow', 'End the shadow', 'end')
                    : this.#act(number, 'shadow', 'Make it the shadow'),
                serves || model.shadow ? null : this.#act(number, 'remove', 'Remove')),
            this.#detail(number, detail));
    }

    #act(number, act, label, does = act) {
        return h('button', {
            type: 'button', class: 'button', data: { does }, onclick: () => send(this, 'model-act', { number, act }),
        }, label);
    }

    #detail(number, detail) {
        const body = h('div', { class: 'model-body' });
        const fill = () => body.replaceChildren(detail ? modelDetail(detail, this.#state.meanings)
            : h('p', { class: 'note' }, 'Reading …'));
        const turned = () => {
            if (element.open === this.#open.has(number)) return;
            if (!element.open) {
                this.#open.delete(number);
                return;
            }
            this.#open.add(number);
            fill();
            if (!detail) send(this, 'model-wanted', { number });
        };
        const element = h('details', { class: 'as-table', open: this.#open.has(number), ontoggle: turned },
            h('summary', { data: { does: 'detail' } }, 'What it looks at, and what it learned from'), body);
        if (element.open) fill();
        return element;
    }

    /* ---- The shadow ---- */

    #showShadow() {
        const { shadow, models } = this.#state;
        const place = this.#parts.shadow;
        const model = models.models.find(one => one.shadow);
        const key = JSON.stringify([model?.model, shadow]);
        if (place.dataset.key === key) return;
        place.dataset.key = key;
        place.replaceChildren(...(model ? account(titleOf(model), shadow) : []));
    }
}

function titleOf({ model, name }) {
    return name ? `Model ${integer(model)} “${name}”` : `Model ${integer(model)}`;
}

const KINDS = { trees: 'Trees', linear: 'Linear', online: 'Online' };

function badges({ kind, shadow, report }, serves) {
    return [
        h('span', { class: 'badge' }, KINDS[kind] ?? kind),
        serves ? h('span', { class: 'badge serves' }, 'Serves') : null,
        shadow ? h('span', { class: 'badge shadow' }, 'Shadow') : null,
        report?.wins ? h('span', { class: 'badge wins' }, 'Won') : null,
    ];
}

function phaseText({ phase, share, trees, validation_ndcg: valid, ndcg }) {
    const words = [PHASES[phase] ?? capital(phase)];
    if (phase === 'linear') words.push(percent(share));
    if (phase === 'fitting' && trees) words.push(`${plural(trees, 'tree', 'trees')} (${percent(share)} of the most)`);
    if (Number.isFinite(valid)) words.push(`validation NDCG ${score(valid)} (learned from: ${score(ndcg)})`);
    return words.join(' · ');
}

function account(title, shadow) {
    const head = h('h3', null, 'The shadow');
    if (!shadow?.searches) {
        return [head, h('p', { class: 'note' }, shadow ? `${title} scores beside what serves, and nobody sees its order. No search with `
            + 'feedback was scored by it yet: search and choose, or send simulated customers.' : 'Reading …')];
    }
    const { difference } = shadow;
    return [
        head,
        h('p', { class: 'note' }, h('b', null, title), ` scores beside what serves. By the clicks on ${
            plural(shadow.searches, 'search', 'searches')}, its order of the results that were shown would have earned ${
            thousandth(shadow.shadow.value)} of the possible, a difference of ${
            signedThousandth(difference.value)} to the order that people saw: ${
            saying(difference, 'it is better', 'it is worse')}.`),
        intervals([{ label: 'Shadow', kind: 'own', ...shadow.shadow }, { label: 'As it was shown', ...shadow.served }],
            { write: thousandth, label: 'Share of the possible' }),
        intervals([{ label: 'Difference', kind: 'own', ...difference }], { zero: true, write: signedThousandth, label: 'Difference' }),
    ];
}

function settingsForm() {
    const choice = (name, label, options) => h('label', null, h('span', null, label), h('select', { name },
        Object.entries(options).map(([value, text]) => h('option', { value }, text))));
    return h('form', { class: 'fields-row', onsubmit: event => event.preventDefault() },
        choice('kind', 'Kind', { best: 'The better of both', linear: 'Linear', trees: 'Boosted trees' }),
        choice('debias', 'Attention', {
            harvest: 'From documents at several ranks', 'regression-em': 'Regression-EM', none: 'Trust clicks as they are',
        }),
        h('label', null, h('span', null, 'Name'), h('input', { name: 'name', maxlength: 40, autocomplete: 'off', placeholder: 'none' })),
        h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'activate', checked: true }), 'Let it serve if it wins'));
}

function focusedIn(panel) {
    const active = document.activeElement;
    if (!panel.contains(active)) return {};
    return { does: active.dataset.does ?? '', number: active.closest('.model')?.dataset.model };
}

customElements.define('ranker-panel', RankerPanel);
