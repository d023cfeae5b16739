// <search-box>: the query. Emits "query-typed" {query} on every change, "query-entered" {query} on Enter,
// and "leave-down" when the arrow key asks for the results.

import { h, icon, iconButton, send } from './dom.js';

class SearchBox extends HTMLElement {
    #input;
    #clear;

    connectedCallback() {
        if (this.#input) return;
        this.#input = h('input', {
            id: 'query', type: 'search', name: 'q', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false',
            enterkeyhint: 'search', maxlength: 1000, placeholder: 'Search', 'aria-controls': 'results',
            'aria-describedby': 'query-help', oninput: () => this.#typed(), onkeydown: event => this.#pressed(event),
        });
        this.#clear = iconButton('clear', 'Clear the query',
            { class: 'icon-button clear', onclick: () => this.#empty() });
        this.append(
            h('form', { role: 'search', onsubmit: event => this.#entered(event) },
                h('label', { for: 'query', class: 'hidden-text' }, 'Search'),
                icon('search'), this.#input, this.#clear,
                h('kbd', { 'aria-hidden': 'true', title: 'Press / to search' }, '/'),
                h('span', { id: 'query-help', class: 'hidden-text' },
                    'Results appear while you type. Arrow down moves into them.'),
                h('span', { class: 'progress', 'aria-hidden': 'true' })));
        this.#sync();
    }

    get value() {
        return this.#input.value;
    }

    set value(query) {
        if (this.#input.value !== query) this.#input.value = query;
        this.#sync();
    }

    set hint(text) {
        this.#input.placeholder = text;
    }

    set busy(busy) {
        this.classList.toggle('busy', busy);
    }

    focus({ select = false } = {}) {
        this.#input.focus();
        if (select) this.#input.select();
    }

    #typed() {
        this.#sync();
        send(this, 'query-typed', { query: this.value });
    }

    #entered(event) {
        event.preventDefault();
        send(this, 'query-entered', { query: this.value });
    }

    #empty() {
        this.value = '';
        this.#input.focus();
        this.#typed();
    }

    #pressed(event) {
        if (event.isComposing) return;
        if (event.key === 'ArrowDown') {
            event.preventDefault();
            send(this, 'leave-down');
        } else if (event.key === 'Escape' && this.value) {
            event.preventDefault();
            event.stopPropagation(); // the first Escape empties the box, the next one closes the panel
            this.#empty();
        }
    }

    #sync() {
        this.#clear.hidden = !this.value;
    }
}

customElements.define('search-box', SearchBox);
