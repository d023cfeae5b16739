// The page: wires the elements, the address, the searcher and the server together. Each element draws, this file
// decides.

import { Api } from './api.js';
import { h, icon, typingIn } from './dom.js';
import { integer, milliseconds, plural, year } from './format.js';
import { Movement } from './movement.js';
import { Navigator, NOWHERE } from './place.js';
import { askKey, confirmed, Notices, showKeys } from './notices.js';
import { countText } from './result-list.js';
import { RankingDesk } from './ranking-desk.js';
import { Searcher } from './searcher.js';
import { Shape } from './schema.js';
import { Sheet } from './side-panel.js';
import { emptyCollectionState, nothingState, skeleton, startState } from './states.js';
import { visitor } from './visitor.js';
import './decision-strip.js';
import './facet-panel.js';
import './learning-view.js';
import './search-box.js';

const LEARNING_MS = 5000; // between two readings of the statistics while they are looked at
const RUNNING_MS = 500;   // the same while simulated customers search, or a ranker is trained
const SEEDS = 1e6;         // simulated customers differ each time, and a short seed can be told to others
const RETRY_S = { away: 4, busy: 2 };
const LEARNED = 'Recorded. Search again: the engine has learned.';

const one = selector => document.querySelector(selector);

class App {
    #api = new Api();
    #navigator = new Navigator();
    #searcher = new Searcher(this.#api, visitor(), new Movement());
    #notices = new Notices({ toasts: one('.toasts'), banner: one('.banner'), live: one('#live') });
    #box = one('search-box');
    #list = one('result-list');
    #facets = one('facet-panel');
    #panel = one('side-panel');
    #decision = one('decision-strip');
    #learning = one('learning-view');
    #shape = new Shape(null);
    #collections = [];
    #loaded = '';       // the collection whose schema #shape is
    #rested = true;     // the address in the history is a finished search, not a half-typed one
    #displayed = '';    // key of the results on screen
    #meanings = new Map(); // feature → what it says
    #tab = 'document';
    #acted = new Set(); // "action:id", for the pressed state of the buttons
    #panelTurn = 0;     // the newest request to fill the panel wins
    #learningTimer = 0;
    #runs = new Map();  // collection → what became of its simulated customers
    #asking = null;     // the question for the API key, while it is on the screen
    #desk = new RankingDesk(this.#api, this.#learning, {
        collection: () => this.#navigator.place.collection, meanings: () => this.#meanings,
        failed: (error, retry) => this.#failed(error, retry), announce: text => this.#notices.announce(text),
        reread: () => this.#readStats(),
    });
    #filterSheet = new Sheet(this.#facets, one('.facets'), matchMedia('(max-width: 899px)'),
        { label: 'Filters', kind: 'drawer', done: 'Show results' });
    #panelSheet = new Sheet(this.#panel, one('.beside'), matchMedia('(max-width: 1199px)'),
        { label: 'Result', kind: 'reader', onclose: () => this.#closePanel() });

    get #context() {
        return { shape: this.#shape, navigator: this.#navigator };
    }

    get #request() {
        const { collection, query, filters } = this.#navigator.place;
        return { collection, query, filters, facets: this.#facets.request(filters) };
    }

    async start() {
        this.#decorate();
        this.#listen();
        one('.message').replaceChildren(skeleton());
        await this.#attempt(async () => {
            await this.#loadCollections();
            await this.#arrive({ from: NOWHERE, to: this.#navigator.place, typed: false, first: true });
        });
    }

    #decorate() {
        one('#open-learning').append(icon('learning'));
        one('#show-keys').append(icon('keyboard'));
        one('#open-filters').append(icon('filter'), h('span', null, 'Filters'));
        this.#showTheme();
    }

    #listen() {
        const on = (target, handlers) => {
            for (const [name, handler] of Object.entries(handlers)) {
                target.addEventListener(name, event => handler(event.detail ?? {}, event));
            }
        };
        on(this.#navigator, { change: change => this.#attempt(() => this.#arrive(change)) });
        on(this.#searcher, {
            results: result => this.#showResults(result),
            facets: ({ shown }) => this.#facets.show(shown.facets, shown.request.filters),
            busy: ({ busy }) => { this.#box.busy = busy; },
            failed: ({ error, retry }) => this.#failed(error, retry),
        });
        on(this.#box, {
            'query-typed': ({ query }) => this.#typed(query),
            'query-entered': () => this.#entered(),
            'leave-down': () => this.#list.focusFirst(),
        });
        on(document, {
            'leave-up': () => this.#box.focus(),
            'hit-open': ({ hit }) => this.#open(hit),
            'hit-why': ({ hit }) => this.#why(hit),
            'hit-act': ({ hit, action, quiet }) => this.#act(hit, action, quiet),
            'hits-more': () => this.#more(),
            'filters-changed': ({ filters }) => this.#navigator.go({ filters, document: '' }),
            'facet-opened': () => this.#searcher.ask(this.#request),
            'panel-close': () => this.#closePanel(),
            'panel-tab': ({ tab }) => this.#turn(tab),
            'learning-refresh': () => this.#readStats({ whole: true }),
            'customers-wanted': ({ customers }) => this.#offerCustomers(customers),
        });
        on(document, this.#desk.handlers);
        document.addEventListener('keydown', event => this.#pressed(event));
        document.addEventListener('visibilitychange', () => {
            if (!document.hidden && !this.#learning.hidden) this.#readStats();
        });
        one('#show-keys').addEventListener('click', showKeys);
        one('#switch-theme').addEventListener('click', () => this.#switchTheme());
        one('#open-filters').addEventListener('click', () => this.#filterSheet.open());
        one('.collection select').addEventListener('change', event =>
            this.#navigator.go({ ...NOWHERE, collection: event.target.value }));
        matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#showTheme());
    }

    /* ---- Where we are ---- */

    async #loadCollections() {
        this.#collections = await this.#api.collections();
        const [largest] = [...this.#collections].sort((a, b) => b.documents - a.documents);
        this.#navigator.home = largest?.name ?? '';
        const { place } = this.#navigator;
        if (!this.#collections.some(known => known.name === place.collection)) place.collection = this.#navigator.home;
        const select = one('.collection select');
        select.replaceChildren(...this.#collections.map(({ name }) => h('option', { value: name }, name)));
        one('.collection').hidden = this.#collections.length < 2;
    }

    async #loadSchema(name) {
        const { schema, documents } = await this.#api.collection(name);
        this.#shape = new Shape(schema);
        this.#facets.groups = await this.#usefulFacets(name);
        this.#loaded = name;
        this.#meanings = await this.#meaningsOf(name);
        this.#box.hint = documents ? `Search ${plural(documents, 'document', 'documents')}` : 'Search';
        one('.collection select').value = name;
    }

    // A keyword whose every value occurs once identifies documents and divides nothing; one look at the counts tells.
    async #usefulFacets(name) {
        const groups = this.#shape.facets(new Set());
        const fields = groups.filter(group => group.kind === 'values').map(group => group.field).slice(0, 16);
        try {
            const { facets } = await this.#api.search(name, { query: '', limit: 1, log: false, facets: fields });
            const useless = fields.filter(field => !facets?.[field]?.some(one => one.count > 1));
            return this.#shape.facets(new Set(useless));
        } catch {
            return groups; // asked again with the first search, whose failure the reader will hear of
        }
    }

    async #meaningsOf(name) {
        try {
            const { columns } = await this.#api.ranking('GET', name, 'features');
            return new Map(columns.map(one => [one.name, one.meaning]));
        } catch {
            return new Map(); // a nicety of explanations
        }
    }

    async #arrive({ from, to, typed, first = false }) {
        document.title = to.query ? `${to.query} – Forage` : 'Forage';
        one('#open-learning').href = this.#navigator.href({ ...to, view: to.view ? '' : 'learning', document: '' });
        one('#open-learning').dataset.place = '';
        one('#open-learning').toggleAttribute('aria-current', to.view === 'learning');
        if (!to.collection) {
            one('.message').replaceChildren(emptyCollectionState(''));
            return;
        }
        if (this.#loaded !== to.collection) await this.#loadSchema(to.collection);
        this.#box.value = to.query;
        this.#showView(to.view, from.view);
        const searched = what => JSON.stringify([what.collection, what.query, what.filters]);
        if (!typed && (first || searched(from) !== searched(to))) {
            this.#rested = true;
            await this.#searcher.ask(this.#request);
        }
        if (first || from.document !== to.document) await this.#showPanel(from);
    }

    #typed(query) {
        // Half-typed queries replace each other in the history; a finished one keeps its place.
        const replace = !this.#rested;
        this.#rested = false;
        this.#navigator.go({ query, document: '', view: '' }, { replace, typed: true });
        this.#searcher.type(this.#request);
    }

    #entered() {
        this.#rested = true;
        this.#navigator.go({ view: '' });
        this.#searcher.settle({ again: true });
    }

    #showView(view, before) {
        const learning = view === 'learning';
        document.body.classList.toggle('learning', learning);
        one('.results-view').hidden = learning;
        this.#learning.hidden = !learning;
        clearTimeout(this.#learningTimer);
        if (!learning) return;
        this.#readStats({ whole: true }).then(() => before === view || this.#learning.focusHeading());
    }

    // Again and again as long as the view is looked at; one question at a time.
    async #readStats(how = {}) {
        const { collection } = this.#navigator.place;
        clearTimeout(this.#learningTimer);
        try {
            const stats = await this.#api.stats(collection);
            if (collection !== this.#navigator.place.collection) return;
            this.#learning.show(stats, this.#runs.get(collection) ?? null);
            await this.#desk.read(collection, stats, how);
            this.#notices.calm();
        } catch (error) {
            this.#failed(error, () => this.#readStats(how));
        }
        clearTimeout(this.#learningTimer);
        if (this.#learning.hidden || document.hidden) return;
        const busy = this.#runs.get(collection)?.state === 'running' || this.#desk.running(collection);
        const pause = busy ? RUNNING_MS : LEARNING_MS;
        this.#learningTimer = setTimeout(() => this.#readStats(), pause);
    }

    /* ---- Simulated customers ---- */

    async #offerCustomers(customers) {
        const { collection } = this.#navigator.place;
        const count = plural(customers, 'customer', 'customers');
        const wanted = await confirmed({
            title: `Send ${count} to ${collection}?`,
            text: ['They are simulated: they search for what is in the collection, look at the results and choose.',
                'The engine learns from them as it learns from people. That cannot be undone.'],
            action: `Send ${count}`,
        });
        if (wanted) await this.#sendCustomers(collection, customers, Math.floor(Math.random() * SEEDS));
    }

    async #sendCustomers(collection, customers, seed) {
        const told = run => {
            this.#runs.set(collection, run);
            return this.#readStats({ whole: run?.state === 'done' });
        };
        try {
            const { impressions } = await this.#api.stats(collection);
            told({ state: 'running', customers, since: impressions });
            const summary = await this.#api.simulate(collection, { customers, seed });
            this.#notices.announce(`${integer(customers)} customers have searched.`);
            await told({ state: 'done', summary });
        } catch (error) {
            const asksKey = error.kind === 'key';
            told(asksKey ? null : { state: 'refused', reason: error.message });
            if (asksKey || !error.kind) await this.#failed(error, () => this.#sendCustomers(collection, customers, seed));
        }
    }

    /* ---- Results ---- */

    #showResults({ shown, reason }) {
        this.#notices.calm();
        const { request, hits } = shown;
        // In the middle of a word there may be no hit; the former ones, faded, are calmer than an empty page.
        const between = reason === 'typing' && hits.length === 0 && this.#displayed !== '';
        this.#list.stale = between;
        Object.assign(this.#list.dataset, { state: reason === 'typing' ? 'typing' : 'settled', query: request.query });
        if (between) return;
        if (reason === 'settled') this.#rested = true;
        hits.forEach(hit => this.#shape.observe(hit.document));
        this.#showHead(shown);
        const view = { hits, query: request.query, moved: shown.moved, acted: this.#acted, hasMore: this.#searcher.hasMore };
        this.#list.show(view, this.#context, { animate: shown.key === this.#displayed });
        this.#displayed = shown.key;
        this.#list.selected = this.#navigator.place.document;
        if (!shown.complete) return;
        this.#decision.show(shown.response);
        this.#facets.show(shown.facets, request.filters);
        if (reason === 'settled') this.#notices.announce(countText(shown.response.total));
        if (this.#navigator.place.document) this.#showPanel(this.#navigator.place);
    }

    #showHead({ request, response, hits }) {
        const filtered = Object.keys(request.filters).length > 0;
        const start = !request.query.trim() && !filtered;
        const collection = this.#collections.find(known => known.name === request.collection);
        const empty = !hits.length && collection?.documents === 0;
        one('.intro').replaceChildren(...(start && hits.length ? [startState(hits, this.#context)] : []));
        one('.message').replaceChildren(...(hits.length ? []
            : empty ? [emptyCollectionState(request.collection)]
                : [nothingState(request, this.#context, () => this.#navigator.go({ filters: {} }))]));
        one('.results-head').hidden = !hits.length && !filtered;
        one('.status').replaceChildren(...(start ? ['Popular now']
            : [h('b', null, countText(response.total)), h('span', null, ` in ${milliseconds(response.took_ms)}`)]));
        this.#showActiveFilters(request.filters);
    }

    #showActiveFilters(filters) {
        const chip = (text, field, left) => h('li', null, h('button', {
            type: 'button', class: 'filter-chip', 'aria-label': `Remove the filter ${text}`,
            onclick: () => {
                const { [field]: own, ...others } = filters;
                this.#navigator.go({ filters: left.length ? { ...others, [field]: left } : others });
            },
        }, text, icon('clear')));
        const chips = Object.entries(filters).flatMap(([field, wanted]) => (Array.isArray(wanted)
            ? wanted.map(value => chip(this.#shape.choice(field, value), field, wanted.filter(other => other !== value)))
            : [chip(rangeText(field, wanted), field, [])]));
        one('.active-filters').replaceChildren(...chips);
        one('#open-filters').lastElementChild.textContent = chips.length ? `Filters (${chips.length})` : 'Filters';
    }

    async #more() {
        const count = this.#searcher.shown?.hits.length ?? 0;
        await this.#searcher.more();
        this.#list.focusAfter(count);
    }

    /* ---- One result ---- */

    #open(hit) {
        this.#tab = 'document';
        this.#goToDocument(hit.id);
        this.#act(hit, 'click');
    }

    async #why(hit) {
        const shown = await this.#searcher.explained();
        if (!shown?.hits.some(known => known.id === hit.id)) return;
        this.#tab = 'why';
        this.#goToDocument(hit.id);
    }

    #goToDocument(id) {
        if (this.#navigator.place.document === id) this.#showPanel(NOWHERE);
        else this.#navigator.go({ document: id });
    }

    async #turn(tab) {
        this.#tab = tab;
        if (tab === 'why') await this.#searcher.explained();
        await this.#showPanel(this.#navigator.place);
    }

    async #act(hit, action, quiet = false) {
        const name = `${action}:${hit.id}`;
        if (action !== 'click' && this.#acted.has(name)) {
            this.#notices.toast('That is recorded already.');
            return;
        }
        try {
            if (!await this.#searcher.record(action, hit.id)) return;
            this.#acted.add(name);
            this.#list.pressed(action, hit.id);
            if (this.#navigator.place.document === hit.id) this.#panel.pressed(action);
            if (quiet) return;
            this.#notices.toast(LEARNED, { label: 'Search again', run: () => this.#searcher.settle({ again: true }) });
        } catch (error) {
            if (error.kind === 'refused') this.#notices.toast(`Not recorded: ${error.message}`);
            else this.#failed(error, () => this.#act(hit, action, quiet));
        }
    }

    async #showPanel(from) {
        const turn = ++this.#panelTurn;
        const { document: id, collection } = this.#navigator.place;
        this.#list.selected = id;
        if (!id) {
            this.#hidePanel(from.document);
            return;
        }
        const { shown } = this.#searcher;
        const hit = shown?.hits.find(known => known.id === id) ?? null;
        const document = hit?.document ?? await this.#api.document(collection, id);
        if (turn !== this.#panelTurn) return;
        const explained = hit?.explain ? hit : null;
        this.#panel.show({
            tab: explained ? this.#tab : 'document', document, type: document[this.#shape.typeField], hit, shown,
            acted: this.#acted, meanings: this.#meanings,
        }, this.#context, this.#api);
        one('.beside').hidden = false;
        one('body').classList.add('reading');
        this.#panelSheet.open();
        if (from.document !== id) this.#panel.focusHeading();
    }

    #hidePanel(id) {
        const held = this.#panel.contains(document.activeElement) || document.activeElement === document.body;
        this.#panelSheet.close();
        this.#panel.empty();
        one('.beside').hidden = true;
        one('body').classList.remove('reading');
        if (held && id) this.#list.focusHit(id);
    }

    #closePanel() {
        this.#navigator.go({ document: '' });
    }

    /* ---- Keys, colours, trouble ---- */

    #pressed(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
        if (event.key === 'Escape' && !one('dialog[open]')) {
            if (this.#navigator.place.document) this.#closePanel();
            else if (this.#navigator.place.view) this.#navigator.go({ view: '' });
            return;
        }
        if (typingIn(event.target) || one('dialog[open]')) return;
        if (event.key === '/') {
            event.preventDefault();
            this.#box.focus({ select: true });
        } else if (event.key === '?') {
            event.preventDefault();
            showKeys();
        }
    }

    get #isDark() {
        const { theme } = document.documentElement.dataset;
        return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    }

    #switchTheme() {
        const theme = this.#isDark ? 'light' : 'dark';
        document.documentElement.dataset.theme = theme;
        localStorage.setItem('forage.theme', theme);
        this.#showTheme();
    }

    #showTheme() {
        const button = one('#switch-theme');
        const label = this.#isDark ? 'Light colours' : 'Dark colours';
        button.replaceChildren(icon(this.#isDark ? 'sun' : 'moon'));
        button.title = label;
        button.setAttribute('aria-label', label);
    }

    async #attempt(work) {
        try {
            await work();
        } catch (error) {
            this.#failed(error, () => this.#attempt(work));
        }
    }

    async #failed(error, retry) {
        if (error.kind === 'aborted') return;
        if (!error.kind) throw error; // a mistake of this page's, for the console
        if (error.kind === 'key') {
            // Several requests may be refused at once; the reader is asked once.
            this.#asking ??= askKey(this.#api.key !== '').finally(() => { this.#asking = null; });
            const key = await this.#asking;
            if (key) {
                this.#api.key = key;
                retry();
            } else {
                this.#notices.trouble('This server asks for an API key.', retry, 0);
            }
            return;
        }
        const text = error.kind === 'busy' ? 'The server is busy. Trying again in a moment.' : error.message;
        this.#notices.trouble(text, retry, error.retryAfter || RETRY_S[error.kind] || 0);
    }
}

function rangeText(field, { gte, lt }) {
    const text = value => (/(^|_)year$/.test(field) ? year(value) : String(value));
    if (gte === undefined) return `before ${text(lt)}`;
    return lt === undefined ? `${text(gte)} and later` : `${text(gte)} – ${text(lt)}`;
}

new App().start();
