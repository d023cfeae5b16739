// <result-list>: the hits, in a list with one tab stop. Arrow keys move between hits, the controls of the active hit
// follow it in the tab order. Emits "hit-open", "hit-why" and "hit-act" {hit, action}, "hits-more", "leave-up".

import { h, send } from './dom.js';
import { plural } from './format.js';
import { ACTIONS, hitElement } from './hit.js';

const calm = matchMedia('(prefers-reduced-motion: reduce)');

class ResultList extends HTMLElement {
    #list;
    #more;
    #hits = [];
    #active = 0;
    #drawn = '';

    connectedCallback() {
        if (this.#list) return;
        this.#list = h('ol', {
            id: 'results', class: 'hits', 'aria-describedby': 'list-help',
            onclick: event => this.#clicked(event), onauxclick: event => this.#clicked(event),
            onkeydown: event => this.#pressed(event), onfocusin: event => this.#entered(event),
        });
        this.#more = h('button', {
            type: 'button', class: 'button more', hidden: true, onclick: () => send(this, 'hits-more'),
        }, 'Show more');
        this.append(
            h('p', { id: 'list-help', class: 'hidden-text' },
                'Arrow keys move between results. Enter opens, E explains, L likes, F adds to favourites.'),
            this.#list, this.#more);
    }

    /* view: {hits, query, moved, acted, hasMore, stale}; context: {shape, navigator} */
    show(view, context, { animate = false } = {}) {
        this.#more.hidden = !view.hasMore;
        // The same list again (the logged search after the typed one): nothing on the screen needs to change.
        const drawn = JSON.stringify([context.shape.names, view.query, view.hits.map(hit =>
            [hit.id, hit.strategies, view.moved.get(hit.id), hit.document])]);
        if (drawn === this.#drawn) {
            this.#hits = view.hits;
            return;
        }
        this.#drawn = drawn;
        const before = animate && !calm.matches ? this.#positions() : null;
        const focused = this.#list.querySelector('.hit:focus, .hit:focus-within')?.dataset.id;
        this.#hits = view.hits;
        this.#list.replaceChildren(...view.hits.map(hit => hitElement(hit, context,
            { query: view.query, moved: view.moved.get(hit.id), acted: view.acted })));
        const again = view.hits.findIndex(hit => hit.id === focused);
        this.#activate(Math.max(0, again), { focus: focused !== undefined });
        if (before) this.#glide(before);
    }

    set stale(stale) {
        this.classList.toggle('stale', stale);
    }

    set selected(id) {
        for (const item of this.#list.children) {
            if (item.dataset.id === id) item.setAttribute('aria-current', 'true');
            else item.removeAttribute('aria-current');
        }
    }

    /* Marks an action as done without drawing the list anew. */
    pressed(action, id) {
        const button = this.#itemOf(id)?.querySelector(`[data-does="${action}"]`);
        button?.setAttribute('aria-pressed', 'true');
    }

    focusFirst() {
        if (this.#hits.length) this.#activate(0, { focus: true });
    }

    focusHit(id) {
        const index = this.#hits.findIndex(hit => hit.id === id);
        if (index >= 0) this.#activate(index, { focus: true });
        return index >= 0;
    }

    focusAfter(count) {
        if (this.#hits.length > count) this.#activate(count, { focus: true });
    }

    #itemOf(id) {
        return [...this.#list.children].find(item => item.dataset.id === id);
    }

    #activate(index, { focus = false } = {}) {
        this.#active = index;
        [...this.#list.children].forEach((item, i) => {
            item.tabIndex = i === index ? 0 : -1;
            for (const control of item.querySelectorAll('a, button')) control.tabIndex = i === index ? 0 : -1;
        });
        const item = this.#list.children[index];
        if (!focus || !item) return;
        item.focus({ preventScroll: true });
        item.scrollIntoView({ block: 'nearest', behavior: calm.matches ? 'auto' : 'smooth' });
    }

    #entered(event) {
        const index = [...this.#list.children].indexOf(event.target.closest('.hit'));
        if (index >= 0 && index !== this.#active) this.#activate(index);
    }

    #clicked(event) {
        const control = event.target.closest('[data-does]');
        const hit = this.#hitAt(event.target);
        if (!control || !hit) return;
        const does = control.dataset.does;
        const elsewhere = event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey;
        if (does === 'open' && elsewhere) {
            // Opened in another tab: the browser follows the link, the engine still hears of the click.
            if (event.button < 2) send(this, 'hit-act', { hit, action: 'click', quiet: true });
            return;
        }
        if (event.button !== 0) return;
        event.preventDefault();
        this.#does(does, hit);
    }

    #pressed(event) {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const hit = this.#hitAt(event.target);
        if (!hit) return;
        const index = this.#hits.indexOf(hit);
        const onItem = event.target.classList.contains('hit');
        const letter = event.key.toLowerCase();
        const action = Object.keys(ACTIONS).find(name => ACTIONS[name].key === letter);
        if (event.key === 'ArrowDown') this.#activate(Math.min(index + 1, this.#hits.length - 1), { focus: true });
        else if (event.key === 'ArrowUp' && index === 0) send(this, 'leave-up');
        else if (event.key === 'ArrowUp') this.#activate(index - 1, { focus: true });
        else if (event.key === 'Home') this.#activate(0, { focus: true });
        else if (event.key === 'End') this.#activate(this.#hits.length - 1, { focus: true });
        else if (event.key === 'Enter' && onItem) this.#does('open', hit);
        else if (letter === 'e') this.#does('why', hit);
        else if (action && this.#itemOf(hit.id).querySelector(`[data-does="${action}"]`)) this.#does(action, hit);
        else return;
        event.preventDefault();
    }

    #does(what, hit) {
        if (what === 'open' || what === 'why') send(this, `hit-${what}`, { hit });
        else send(this, 'hit-act', { hit, action: what });
    }

    #hitAt(target) {
        const id = target.closest('.hit')?.dataset.id;
        return this.#hits.find(hit => hit.id === id);
    }

    #positions() {
        return new Map([...this.#list.children].map(item => [item.dataset.id, item.getBoundingClientRect().top]));
    }

    // Hits that changed places glide there: one sees what the engine has learned.
    #glide(before) {
        const timing = { duration: 260, easing: 'cubic-bezier(.2, .7, .2, 1)' };
        for (const item of this.#list.children) {
            const from = before.get(item.dataset.id);
            const distance = from === undefined ? 0 : from - item.getBoundingClientRect().top;
            const start = from === undefined ? { opacity: 0 } : { transform: `translateY(${distance}px)` };
            if (from === undefined || distance) item.animate([start, {}], timing);
        }
    }
}

customElements.define('result-list', ResultList);

/* "37 results", "over 1,000 results" */
export function countText(total) {
    return (total.relation === 'at_least' ? 'over ' : '') + plural(total.value, 'result', 'results');
}
