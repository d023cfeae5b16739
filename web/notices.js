// What the page has to say besides results: toasts, a banner for a server in trouble, the dialogs for an API key and
// for the keyboard, and the live region that screen readers hear.

import { h } from './dom.js';

const TOAST_MS = 7000;

export class Notices {
    #toasts;
    #banner;
    #live;
    #retry = 0;

    constructor({ toasts, banner, live }) {
        this.#toasts = toasts;
        this.#banner = banner;
        this.#live = live;
    }

    /* One toast at a time: the newest says what has just happened. */
    toast(text, action) {
        const close = () => toast.remove();
        const act = () => {
            close();
            action.run();
        };
        const button = action && h('button', { type: 'button', class: 'toast-button', onclick: act }, action.label);
        const toast = h('div', { class: 'toast' }, h('span', null, text), button);
        this.#toasts.replaceChildren(toast);
        let timer = setTimeout(close, TOAST_MS);
        // Whoever reads it or is about to press its button keeps it.
        const hold = () => clearTimeout(timer);
        const release = () => { timer = setTimeout(close, TOAST_MS); };
        toast.addEventListener('pointerenter', hold);
        toast.addEventListener('focusin', hold);
        toast.addEventListener('pointerleave', release);
        toast.addEventListener('focusout', release);
    }

    /* The screen reader hears the same text only once, unless it changes in between. */
    announce(text) {
        if (this.#live.textContent !== text) this.#live.textContent = text;
    }

    /* Stays until calm() is called. after: seconds until the retry is made without being asked, 0 for never. */
    trouble(text, retry, after) {
        clearTimeout(this.#retry);
        const again = () => {
            clearTimeout(this.#retry);
            retry();
        };
        this.#banner.replaceChildren(h('span', null, text),
            h('button', { type: 'button', class: 'button', onclick: again }, 'Try again'));
        this.#banner.hidden = false;
        if (after) this.#retry = setTimeout(again, after * 1000);
    }

    calm() {
        clearTimeout(this.#retry);
        this.#banner.hidden = true;
        this.#banner.replaceChildren();
    }
}

/* Asks for the API key; resolves with it, or with null when the reader declines. */
export function askKey(wrong) {
    return new Promise(resolve => {
        const input = h('input', { type: 'password', id: 'api-key', name: 'key', required: true, autocomplete: 'off' });
        const dialog = h('dialog', { class: 'dialog', 'aria-labelledby': 'key-title', onclose: () => {
            const key = dialog.returnValue === 'use' ? input.value.trim() : '';
            dialog.remove();
            resolve(key || null);
        } },
        h('form', { method: 'dialog' },
            h('h2', { id: 'key-title' }, 'This server asks for an API key'),
            h('p', { class: 'note' }, wrong ? 'The server refused that key. ' : null,
                'It stays in this browser tab and is forgotten when the tab closes.'),
            h('label', { for: 'api-key' }, 'API key'), input,
            h('div', { class: 'dialog-buttons' },
                h('button', { type: 'submit', value: 'cancel', class: 'button', formnovalidate: true }, 'Not now'),
                h('button', { type: 'submit', value: 'use', class: 'button strong' }, 'Use this key'))));
        // Enter in the field presses the first submit button; that should be the one that uses the key.
        input.addEventListener('keydown', event => {
            if (event.key !== 'Enter') return;
            event.preventDefault();
            if (input.reportValidity()) dialog.close('use');
        });
        document.body.append(dialog);
        dialog.showModal();
        input.focus();
    });
}

/* Asks before something that cannot be undone; resolves with whether the reader wants it. */
export function confirmed({ title, text, action }) {
    return new Promise(resolve => {
        const dialog = h('dialog', { class: 'dialog', 'aria-labelledby': 'confirm-title', onclose: () => {
            dialog.remove();
            resolve(dialog.returnValue === 'yes');
        } },
        h('form', { method: 'dialog' },
            h('h2', { id: 'confirm-title' }, title), text.map(line => h('p', { class: 'note' }, line)),
            h('div', { class: 'dialog-buttons' },
                h('button', { type: 'submit', value: 'no', class: 'button' }, 'Cancel'),
                h('button', { type: 'submit', value: 'yes', class: 'button strong' }, action))));
        document.body.append(dialog);
        dialog.showModal();
    });
}

const KEYS = [
    ['/', 'Write a query'], ['↓ ↑', 'Move between results'], ['Enter', 'Open a result'], ['e', 'Explain its rank'],
    ['l', 'Like it'], ['f', 'Add it to favourites'], ['Esc', 'Close, or empty the query'], ['?', 'Show these keys'],
];

export function showKeys() {
    if (document.querySelector('dialog.keys')) return;
    const remove = () => dialog.remove();
    const dialog = h('dialog', { class: 'dialog keys', 'aria-labelledby': 'keys-title', onclose: remove },
        h('form', { method: 'dialog' },
            h('h2', { id: 'keys-title' }, 'Keyboard'),
            h('dl', null, KEYS.map(([key, does]) => h('div', null,
                h('dt', null, key.split(' ').map(one => h('kbd', null, one))), h('dd', null, does)))),
            h('div', { class: 'dialog-buttons' }, h('button', { class: 'button strong' }, 'Close'))));
    dialog.addEventListener('click', event => event.target === dialog && dialog.close());
    document.body.append(dialog);
    dialog.showModal();
}
