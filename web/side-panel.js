// <side-panel>: one document, beside the results where there is room, above them where there is not. Two tabs: the
// document, and why it has its rank. Emits "panel-close", "panel-tab" {tab}, "hit-act".

import { h, iconButton, send } from './dom.js';
import { actionButtons, typeBadge, typeTile } from './hit.js';
import { documentView, loadNeighbours } from './document-view.js';
import { explainView } from './explain-view.js';

const TABS = { document: 'Document', why: 'Why this rank' };

class SidePanel extends HTMLElement {
    #loading = null;
    #heading = null;
    #filled = {}; // tab → what it shows already
    #view = null;

    /* view: {tab, document, type, hit (null when it is not among the results), shown, acted,
     * meanings: Map of a feature's name → a sentence}
     * context: {shape, navigator}; api for neighbours */
    show(view, context, api) {
        const sameDocument = this.#view?.document === view.document;
        this.#view = view;
        if (!sameDocument) this.#frame(view, context);
        if (!sameDocument || this.#filled.shown !== view.shown
            || this.#filled.meanings !== view.meanings) this.#fill(view, context, api, sameDocument);
        this.#select(view.hit ? view.tab : 'document');
    }

    focusHeading() {
        this.#heading?.focus({ preventScroll: true });
    }

    pressed(action) {
        this.querySelector(`.panel-head [data-does="${action}"]`)?.setAttribute('aria-pressed', 'true');
    }

    empty() {
        this.#loading?.abort();
        this.#view = null;
        this.#filled = {};
        this.replaceChildren();
    }

    #frame({ document, type, hit, acted }, context) {
        this.#heading = h('h2', { id: 'panel-title', tabindex: -1 }, context.shape.title(document));
        const tabs = h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'About this result',
            onkeydown: event => this.#turn(event) },
        Object.entries(TABS).map(([name, label]) => h('button', {
            type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': `panel-${name}`, data: { tab: name },
            onclick: () => send(this, 'panel-tab', { tab: name }),
        }, label)));
        const actions = hit ? actionButtons(hit, context, acted) : [];
        for (const button of actions) {
            const action = button.dataset.does;
            button.addEventListener('click', () => send(this, 'hit-act', { hit: this.#view.hit, action }));
        }
        this.replaceChildren(
            h('header', { class: 'panel-head' }, typeTile(type),
                h('div', { class: 'panel-names' }, this.#heading, typeBadge(type)),
                h('div', { class: 'hit-actions' }, actions,
                    iconButton('clear', 'Close', { title: 'Close (Esc)', onclick: () => send(this, 'panel-close') }))),
            tabs,
            ...Object.keys(TABS).map(name => h('div', {
                class: 'panel-body', id: `panel-${name}`, tabindex: 0,
                role: 'tabpanel', 'aria-labelledby': `tab-${name}`,
            })));
    }

    #fill(view, context, api, sameDocument) {
        const { document, hit, shown } = view;
        if (!sameDocument) {
            this.#loading?.abort();
            this.#loading = new AbortController();
            const body = this.querySelector('#panel-document');
            body.replaceChildren(...documentView(document, context));
            loadNeighbours(body.querySelector('.neighbours'), document, context, api, this.#loading.signal);
        }
        this.querySelector('#tab-why').hidden = !hit;
        if (hit) this.querySelector('#panel-why').replaceChildren(...explainView(shown, hit, view.meanings));
        this.#filled = { shown, meanings: view.meanings };
    }

    #select(tab) {
        for (const button of this.querySelectorAll('[role="tab"]')) {
            const chosen = button.dataset.tab === tab;
            button.setAttribute('aria-selected', String(chosen));
            button.tabIndex = chosen ? 0 : -1;
            const body = this.querySelector(`#panel-${button.dataset.tab}`);
            if (body.hidden === chosen) body.scrollTop = 0;
            body.hidden = !chosen;
        }
        this.dataset.tab = tab;
    }

    #turn(event) {
        if (!/^Arrow(Left|Right)$/.test(event.key)) return;
        const other = [...this.querySelectorAll('[role="tab"]:not([hidden])')]
            .find(button => button.getAttribute('aria-selected') !== 'true');
        if (!other) return;
        event.preventDefault();
        other.click();
        other.focus();
    }
}

customElements.define('side-panel', SidePanel);

/* Keeps an element where it belongs on a wide screen, and shows it in a modal dialog on a narrow one: the browser then
 * keeps the focus inside, makes the rest inert and closes it on Escape. */
export class Sheet {
    #dialog;

    constructor(content, home, media, { label, kind, done, onclose }) {
        Object.assign(this, { content, home, media, isOpen: false, onclose });
        this.#dialog = h('dialog', { class: `sheet ${kind}`, 'aria-label': label, onclose: () => this.#closed() });
        if (done) {
            this.#dialog.append(h('div', { class: 'sheet-end' },
                h('button', { type: 'button', class: 'button strong', onclick: () => this.#dialog.close() }, done)));
        }
        // A click on the backdrop lands on the dialog itself.
        this.#dialog.addEventListener('click', event => event.target === this.#dialog && this.#dialog.close());
        document.body.append(this.#dialog);
        media.addEventListener('change', () => this.#settle());
    }

    open() {
        this.isOpen = true;
        this.#settle();
    }

    close() {
        this.isOpen = false;
        this.#settle();
    }

    #settle() {
        const modal = this.isOpen && this.media.matches;
        const home = modal ? this.#dialog : this.home;
        if (this.content.parentElement !== home) home.prepend(this.content);
        if (modal && !this.#dialog.open) this.#dialog.showModal();
        if (!modal && this.#dialog.open) this.#dialog.close();
    }

    // Closed by the reader (Escape, backdrop), not by this page.
    #closed() {
        if (!this.isOpen || !this.media.matches) return;
        this.isOpen = false;
        this.#settle();
        this.onclose?.();
    }
}
