// Searching as one types, and what it means for the log.
//
// Every keystroke asks the server, but only what a person has really looked at may become an impression: otherwise the
// engine would learn from "hu", "hung" and "hunge" as well. So a search is asked twice: quickly and unlogged while the
// query is being typed, then once more, logged and explained, when the typing rests (or on Enter, or before an event,
// because an event needs the impression it belongs to).

import { fold } from './format.js';
import { closerLook, withTails } from './histogram.js';

const TYPING_MS = 80;  // between the last keystroke and the unlogged search
const RESTING_MS = 600; // between the last keystroke and the logged one
const PAGE = 20;
const DEPTH = 10000; // offset + limit that the server allows

/* Emits
 *   "results" {shown, reason: "typing" | "settled" | "more"}: `shown` is {key, request, response, hits, moved, facets,
 *             logged, complete (with facets and explanations), exhausted}
 *   "facets"  {shown}: better counts than those of the search itself have arrived
 *   "busy"    {busy}
 *   "failed"  {error, retry} */
export class Searcher extends EventTarget {
    #api;
    #visitor;
    #movement;
    #request = null; // {collection, query, filters, facets: [{field, limit or buckets}]}
    #sequence = 0;
    #abort = null;
    #typing = 0;
    #resting = 0;
    #settling = null; // {key, promise} of the logged search on its way

    constructor(api, visitor, movement) {
        super();
        this.#api = api;
        this.#visitor = visitor;
        this.#movement = movement;
        this.shown = null;
    }

    get request() {
        return this.#request;
    }

    /* The query changed by a keystroke. */
    type(request) {
        this.#request = request;
        this.#stopTimers();
        this.#typing = setTimeout(() => this.#run({ log: false, full: !request.query.trim() }), TYPING_MS);
        // Nobody asked for what an empty box shows; it is logged only when something in it is chosen.
        if (request.query.trim()) this.#resting = setTimeout(() => this.settle(), RESTING_MS);
    }

    /* The query is meant: from a link, the address, a filter. */
    ask(request) {
        this.#request = request;
        this.#stopTimers();
        return request.query.trim() ? this.settle({ again: true }) : this.#run({ log: false, full: true });
    }

    /* The impression of the current request: resolves with the logged `shown`, or null when it could not be had. */
    settle({ again = false } = {}) {
        this.#stopTimers();
        const key = keyOf(this.#request);
        if (!again && this.shown?.key === key && this.shown.logged) return Promise.resolve(this.shown);
        if (!again && this.#settling?.key === key) return this.#settling.promise;
        const settling = { key, promise: this.#run({ log: true, full: true }) };
        this.#settling = settling;
        settling.promise.finally(() => {
            if (this.#settling === settling) this.#settling = null;
        });
        return settling.promise;
    }

    /* The current results with their explanations, logged or not. */
    explained() {
        const current = this.shown?.key === keyOf(this.#request) && this.shown.complete;
        return current ? Promise.resolve(this.shown) : this.settle();
    }

    get hasMore() {
        const { shown } = this;
        return Boolean(shown) && !shown.exhausted && shown.hits.length > 0
            && shown.hits.length + PAGE <= DEPTH && shown.hits.length < shown.response.total.value;
    }

    /* Appends the next page; it is an impression of its own. */
    async more() {
        const shown = await this.settle();
        if (!shown || !this.hasMore) return;
        const sequence = this.#sequence;
        const offset = shown.hits.length;
        this.#emit('busy', { busy: true });
        try {
            const body = this.#body(shown.request, { log: true, full: true, offset });
            const response = await this.#api.search(shown.request.collection, body);
            if (sequence !== this.#sequence) return;
            const known = new Set(shown.hits.map(hit => hit.id));
            const fresh = placed(response, offset).filter(hit => !known.has(hit.id));
            shown.hits.push(...fresh);
            shown.exhausted = response.hits.length === 0;
            this.#emit('results', { shown, reason: 'more' });
        } catch (error) {
            if (sequence === this.#sequence) this.#fail(error, () => this.more());
        } finally {
            if (sequence === this.#sequence) this.#emit('busy', { busy: false });
        }
    }

    /* Records what was done with a hit. Resolves true, or false when the hit is not part of the logged impression. */
    async record(action, id) {
        const shown = await this.settle();
        const hit = shown?.hits.find(one => one.id === id);
        if (!hit) return false;
        await this.#api.event(shown.request.collection, {
            query_id: hit.query_id,
            action_name: action,
            client_id: this.#visitor.user,
            session_id: this.#visitor.session,
            timestamp: new Date().toISOString(),
            event_attributes: {
                // The same action on the same hit of the same impression counts once, however often it is pressed.
                event_id: `${hit.query_id}:${action}:${id}`,
                object: { object_id: id },
                position: { ordinal: hit.rank },
            },
        });
        this.#movement.acted(shown.key, id, action);
        return true;
    }

    async #run({ log, full }) {
        const request = this.#request;
        const sequence = ++this.#sequence;
        this.#abort?.abort();
        this.#abort = new AbortController();
        this.#emit('busy', { busy: true });
        try {
            const body = this.#body(request, { log, full, offset: 0 });
            const response = await this.#api.search(request.collection, body, this.#abort.signal);
            if (sequence !== this.#sequence) return null; // a newer request is on its way
            const hits = placed(response, 0);
            const key = keyOf(request);
            const ids = hits.map(hit => hit.id);
            const shown = {
                key, request, response, hits, logged: log, complete: full, exhausted: hits.length === 0,
                moved: this.#movement.since(key, ids),
                // Counts come with the settled search; until then the previous ones are better than none.
                facets: full ? this.#facetsSoFar(request, response) : this.shown?.facets ?? {},
            };
            this.shown = shown;
            if (full) this.#movement.shown(key, ids);
            this.#emit('results', { shown, reason: full ? 'settled' : 'typing' });
            if (full) this.#tuneFacets(shown);
            return shown;
        } catch (error) {
            if (sequence === this.#sequence) this.#fail(error, () => this.#run({ log, full }));
            return null;
        } finally {
            if (sequence === this.#sequence) this.#emit('busy', { busy: false });
        }
    }

    #body(request, { log, full, offset }) {
        const body = {
            query: request.query, prefix: true, limit: PAGE, offset, log, explain: full,
            user: this.#visitor.user, session: this.#visitor.session,
        };
        if (Object.keys(request.filters).length) body.filter = request.filters;
        // An empty box is no question whose answer could be learned: all strategies show the best of what there is.
        if (!request.query.trim()) body.policy = 'all';
        if (full && !offset && request.facets.length) body.facets = request.facets;
        return body;
    }

    // A group of checkboxes would lose its other values as soon as one is ticked: each group with a choice is counted
    // once more under all filters but its own. And a crowded histogram is counted again where the crowd is.
    async #tuneFacets(shown) {
        const { request, response } = shown;
        const signal = this.#abort.signal;
        const tuned = request.facets.filter(facet => needsTuning(facet, request, response));
        await Promise.all(tuned.map(async facet => {
            const { field } = facet;
            const { [field]: own, ...others } = request.filters;
            const count = async filter => {
                const body = { query: request.query, prefix: true, limit: 1, log: false, facets: [facet] };
                if (Object.keys(filter).length) body.filter = filter;
                return (await this.#api.search(request.collection, body, signal)).facets[field];
            };
            try {
                let counts = own === undefined ? response.facets[field] : await count(others);
                const range = closerLook(counts);
                if (range) counts = withTails(counts, range, await count({ ...others, [field]: range }));
                shown.facets = { ...shown.facets, [field]: counts };
            } catch {
                // The counts of the search itself are true, only narrower or coarser.
                shown.facets = { ...shown.facets, [field]: response.facets[field] };
            }
        }));
        if (tuned.length && this.shown === shown) this.#emit('facets', { shown });
    }

    // Until a facet is tuned its former counts stay, so that nothing jumps twice.
    #facetsSoFar(request, response) {
        const facets = { ...response.facets };
        for (const facet of request.facets) {
            if (needsTuning(facet, request, response)) facets[facet.field] = this.shown?.facets[facet.field];
        }
        return facets;
    }

    #fail(error, retry) {
        if (error.kind !== 'aborted') this.#emit('failed', { error, retry });
    }

    #stopTimers() {
        clearTimeout(this.#typing);
        clearTimeout(this.#resting);
    }

    #emit(name, detail) {
        this.dispatchEvent(new CustomEvent(name, { detail }));
    }
}

function needsTuning({ field }, request, response) {
    return field in request.filters || closerLook(response.facets?.[field]) !== null;
}

/* Two requests with one key ask the same thing. */
export function keyOf({ collection, query, filters }) {
    const words = fold(query).trim().replace(/\s+/g, ' ');
    return JSON.stringify([collection, words, Object.entries(filters).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

function placed(response, offset) {
    return response.hits.map((hit, i) => ({ ...hit, rank: offset + i + 1, query_id: response.query_id }));
}
