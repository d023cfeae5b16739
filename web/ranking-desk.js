// The learning view's part about rankers: reads it from the server and does what the reader asks for. Like app.js it decides
// and draws nothing.

import { confirmed } from './notices.js';
import { integer } from './format.js';

export class RankingDesk {
    #api;
    #view;
    #host;
    #desks = new Map(); // collection → what is known

    /* view: <learning-view>; host: {collection(), meanings(), failed(error, retry), announce(text), reread()} */
    constructor(api, view, host) {
        this.#api = api;
        this.#view = view;
        this.#host = host;
    }

    get handlers() {
        return {
            'training-wanted': ({ request }) => this.#act('ranker', desk => this.#startTraining(desk, request)),
            'training-unwanted': () => this.#act('ranker', desk => this.#call('DELETE', desk, 'train')),
            'model-wanted': ({ number }) => this.#readModel(number),
            'model-act': ({ number, act }) => this.#actOn(number, act),
            'roll-back': () => this.#act('ranker', desk => this.#call('POST', desk, 'models/rollback')),
            'examination-wanted': ({ method }) => {
                const desk = this.#desk();
                desk.method = method;
                this.#readLog(desk);
            },
            'experiment-wanted': ({ request }) => this.#act('experiment', desk => this.#call('POST', desk, 'experiment', request)),
            'experiment-unwanted': () => this.#endExperiment(),
        };
    }

    #desk(collection = this.#host.collection()) {
        if (!this.#desks.has(collection)) {
            this.#desks.set(collection, {
                collection, models: null, train: null, experiment: null, shadow: null, curve: null, method: 'harvest',
                details: new Map(), meanings: new Map(), trouble: { ranker: '', experiment: '', examination: '' }, stats: null, turn: 0,
            });
        }
        return this.#desks.get(collection);
    }

    /* Something goes on that is worth looking at more often. */
    running(collection) {
        return this.#desks.get(collection)?.train?.state === 'running';
    }

    #call(method, { collection }, rest, body) {
        return this.#api.ranking(method, collection, rest, body);
    }

    /* Reads what changes often; what takes a look through the whole log only when `whole`. */
    async read(collection, stats, { whole = false } = {}) {
        const desk = this.#desk(collection);
        const was = desk.train?.state;
        desk.stats = stats;
        [desk.models, desk.train, desk.experiment] = await Promise.all(
            ['models', 'train', 'experiment'].map(what => this.#call('GET', desk, what)));
        const ended = was === 'running' && desk.train.state !== 'running';
        if (ended) this.#host.announce(desk.train.model ? `Model ${integer(desk.train.model)} is trained.` : 'The training has ended.');
        desk.meanings = this.#host.meanings();
        this.#show(desk);
        if (whole || ended || !desk.curve) this.#readLog(desk);
    }

    /* These two go through the whole log, so nobody waits for them; the newest question wins. */
    async #readLog(desk) {
        const turn = ++desk.turn;
        try {
            const method = encodeURIComponent(desk.method);
            const curve = await this.#call('GET', desk, `examination?method=${method}`);
            const shadow = desk.models?.shadow ? await this.#call('GET', desk, 'shadow') : null;
            if (turn !== desk.turn) return;
            Object.assign(desk, { curve, shadow });
            desk.trouble.examination = '';
        } catch (error) {
            if (turn !== desk.turn) return;
            if (error.kind !== 'refused') return void this.#host.failed(error, () => this.#readLog(desk));
            desk.trouble.examination = error.message;
        }
        this.#show(desk);
    }

    async #readModel(number) {
        const desk = this.#desk();
        try {
            desk.details.set(number, await this.#call('GET', desk, `models/${number}`));
            this.#show(desk);
        } catch (error) {
            this.#trouble(desk, 'ranker', error, () => this.#readModel(number));
        }
    }

    async #actOn(number, act) {
        if (act === 'remove' && !await confirmed({
            title: `Remove model ${integer(number)}?`,
            text: ['The model and its report go. What it learned from stays in the log, so that another one can be trained.'],
            action: 'Remove',
        })) return;
        await this.#act('ranker', async desk => {
            if (act === 'remove') await this.#call('DELETE', desk, `models/${number}`);
            else await this.#call('POST', desk, `models/${number}/${act}`);
            if (act === 'shadow') desk.shadow = null;
        });
        if (act === 'shadow') this.#readLog(this.#desk());
    }

    #startTraining(desk, request) {
        desk.train = { ...desk.train, state: 'starting' };
        return this.#call('POST', desk, 'train', request).then(answer => { desk.train = answer; });
    }

    async #endExperiment() {
        const wanted = await confirmed({
            title: 'End the experiment?', action: 'End it',
            text: ['Everybody gets what serves again. Its result stays; another one counts anew.'],
        });
        if (wanted) await this.#act('experiment', desk => this.#call('DELETE', desk, 'experiment'));
    }

    /* Does it, then shows what has become of it; what the server refuses is told where it was asked. */
    async #act(where, work) {
        const desk = this.#desk();
        desk.trouble[where] = '';
        try {
            await work(desk);
            await this.#host.reread();
        } catch (error) {
            this.#trouble(desk, where, error, () => this.#act(where, work));
        }
    }

    #trouble(desk, where, error, retry) {
        if (error.kind === 'refused' || error.kind === 'missing') {
            desk.trouble[where] = error.message;
            this.#show(desk);
        } else {
            this.#host.failed(error, retry);
        }
    }

    #show(desk) {
        if (desk.collection === this.#host.collection() && desk.models) this.#view.showRanking(desk);
    }
}
