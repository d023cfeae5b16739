// Where the reader is: query, collection, filters, open document and view, all of it in the address, so that links can
// be shared and the back button works.

export const NOWHERE = Object.freeze({ query: '', collection: '', filters: {}, document: '', view: '' });

/* filters: {genre: ["Drama", "Comedy"], year: {gte: 1990, lt: 2000}}
 * written ?q=…&c=…&f.genre=Drama&f.genre=Comedy&r.year=1990..2000&d=id&v=learning */
export function readPlace(search) {
    const place = { ...NOWHERE, filters: {} };
    for (const [name, value] of new URLSearchParams(search)) {
        if (name === 'q') place.query = value;
        else if (name === 'c') place.collection = value;
        else if (name === 'd') place.document = value;
        else if (name === 'v') place.view = value;
        else if (name.startsWith('f.')) (place.filters[name.slice(2)] ??= []).push(value);
        else if (name.startsWith('r.')) {
            const range = readRange(value);
            if (range) place.filters[name.slice(2)] = range;
        }
    }
    return place;
}

function readRange(text) {
    const match = /^(-?[\d.]*?)\.\.(-?[\d.]*)$/.exec(text);
    const range = {};
    if (match?.[1]) range.gte = Number(match[1]);
    if (match?.[2]) range.lt = Number(match[2]);
    return Object.values(range).length && Object.values(range).every(Number.isFinite) ? range : null;
}

export function writePlace(place) {
    const parameters = new URLSearchParams();
    if (place.query) parameters.set('q', place.query);
    if (place.collection) parameters.set('c', place.collection);
    for (const [field, wanted] of Object.entries(place.filters)) {
        if (Array.isArray(wanted)) for (const value of wanted) parameters.append(`f.${field}`, value);
        else parameters.set(`r.${field}`, `${wanted.gte ?? ''}..${wanted.lt ?? ''}`);
    }
    if (place.document) parameters.set('d', place.document);
    if (place.view) parameters.set('v', place.view);
    const text = parameters.toString();
    return text ? `?${text}` : location.pathname;
}

/* Emits "change" {from, to, typed} whenever the place changes, also by the back button; `typed` is as given to go(). */
export class Navigator extends EventTarget {
    constructor() {
        super();
        this.place = readPlace(location.search);
        this.home = ''; // the collection that needs no ?c=
        addEventListener('popstate', () => this.#become(readPlace(location.search)));
        document.addEventListener('click', event => this.#followLink(event));
    }

    /* replace: while something is still being typed or slid, steps are not worth a place in the history. */
    go(change, { replace = false, typed = false } = {}) {
        const to = { ...this.place, ...change };
        const address = this.href(to);
        if (address !== (location.search || location.pathname)) {
            history[replace ? 'replaceState' : 'pushState'](null, '', address);
        }
        this.#become(to, typed);
    }

    href(place) {
        return writePlace({ ...place, collection: place.collection === this.home ? '' : place.collection });
    }

    /* The address of a new search in this collection. */
    hrefOfQuery(query) {
        return this.href({ ...NOWHERE, query, collection: this.place.collection });
    }

    hrefOfDocument(id) {
        return this.href({ ...this.place, document: id, view: '' });
    }

    #become(to, typed = false) {
        const from = this.place;
        this.place = { ...to, collection: to.collection || this.home };
        this.dispatchEvent(new CustomEvent('change', { detail: { from, to: this.place, typed } }));
    }

    // Links on the page are real links (they open in a new tab, they can be copied); a plain click stays on the page.
    #followLink(event) {
        const special = event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
        if (event.defaultPrevented || special) return;
        const link = event.target.closest?.('a[data-place]');
        if (!link) return;
        event.preventDefault();
        this.go(readPlace(new URL(link.href).search));
    }
}
