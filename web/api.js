// The only module that talks to the server. Every failure becomes an ApiError whose `kind` says what the page can do.

export class ApiError extends Error {
    /* kind: "away" (no answer), "busy" (429, 503), "key" (401), "missing" (404), "aborted",
     * "refused" (anything else) */
    constructor(kind, message, { status = 0, code = '', retryAfter = 0 } = {}) {
        super(message);
        Object.assign(this, { kind, status, code, retryAfter });
    }
}

const KINDS = { 401: 'key', 404: 'missing', 429: 'busy', 503: 'busy' };
const KEY_NAME = 'forage.key';

export class Api {
    // In sessionStorage: a key should not outlive the tab it was typed into.
    get key() {
        return sessionStorage.getItem(KEY_NAME) ?? '';
    }

    set key(value) {
        if (value) sessionStorage.setItem(KEY_NAME, value);
        else sessionStorage.removeItem(KEY_NAME);
    }

    collections(signal) {
        return this.#call('GET', 'collections', null, signal).then(answer => answer.collections);
    }

    collection(name, signal) {
        return this.#call('GET', `collections/${encodeURIComponent(name)}`, null, signal);
    }

    document(collection, id, signal) {
        const path = `collections/${encodeURIComponent(collection)}/documents/${encodeURIComponent(id)}`;
        return this.#call('GET', path, null, signal);
    }

    search(collection, request, signal) {
        return this.#call('POST', `collections/${encodeURIComponent(collection)}/search`, request, signal);
    }

    stats(collection, signal) {
        return this.#call('GET', `collections/${encodeURIComponent(collection)}/stats`, null, signal);
    }

    /* Answers when the last customer has left. */
    simulate(collection, request) {
        return this.#call('POST', `collections/${encodeURIComponent(collection)}/simulate`, request);
    }

    /* ---- Rankers: …/models, …/train, …/shadow, …/examination, …/features, …/experiment ---- */

    /* rest: "models", "models/3/activate"; body: null for none, which POST sends as an empty object */
    ranking(method, collection, rest, body = method === 'POST' ? {} : null) {
        return this.#call(method, `collections/${encodeURIComponent(collection)}/${rest}`, body);
    }

    async event(collection, event) {
        const answer = await this.#call('POST', `collections/${encodeURIComponent(collection)}/events`, event);
        const reason = answer.rejected?.[0];
        if (reason) throw new ApiError('refused', reason.message, { code: reason.code });
        return answer;
    }

    async #call(method, path, body, signal) {
        const headers = { Accept: 'application/json' };
        if (body) headers['Content-Type'] = 'application/json';
        if (this.key) headers.Authorization = `Bearer ${this.key}`;
        let response, text;
        try {
            response = await fetch(path, { method, headers, signal, body: body ? JSON.stringify(body) : undefined });
            text = await response.text();
        } catch (failure) {
            if (failure.name === 'AbortError') throw new ApiError('aborted', 'a newer request replaced this one');
            throw new ApiError('away', 'The server does not answer.');
        }
        const answer = parse(text);
        if (response.ok && answer !== undefined) return answer;
        const { status } = response;
        if (response.ok) throw new ApiError('refused', 'The server’s answer could not be read.', { status });
        throw new ApiError(KINDS[status] ?? 'refused', reasonOf(answer) ?? `The server answered ${status}.`, {
            status,
            code: answer?.error?.code ?? '',
            retryAfter: Number(response.headers.get('Retry-After')) || 0,
        });
    }
}

function parse(text) {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

// Events answer with a list of reasons, everything else with one error.
function reasonOf(answer) {
    return answer?.error?.message ?? answer?.rejected?.[0]?.message;
}
