// Remembers, per query, in which order its hits were last shown and which of them were chosen since, so that the page
// can show what the engine has learned: "▲2 moved up after your click".

const STORE = 'forage.movement';
const QUERIES = 100;

export class Movement {
    #queries; // key → {ids: [in shown order], acted: {id: action}}; the most recently shown last

    constructor() {
        try {
            this.#queries = new Map(JSON.parse(sessionStorage.getItem(STORE)) ?? []);
        } catch {
            this.#queries = new Map();
        }
    }

    /* Map of id → {delta, action}: places gained (or lost) since the query was last shown; absent when nothing moved.
     * delta is Infinity for a hit that was not on the page before. */
    since(key, ids) {
        const before = this.#queries.get(key);
        const moved = new Map();
        if (!before) return moved;
        ids.forEach((id, i) => {
            const was = before.ids.indexOf(id);
            const delta = was < 0 ? (i < before.ids.length ? Infinity : 0) : was - i;
            if (delta) moved.set(id, { delta, action: before.acted[id] ?? null });
        });
        return moved;
    }

    shown(key, ids) {
        this.#queries.delete(key);
        this.#queries.set(key, { ids, acted: {} });
        if (this.#queries.size > QUERIES) this.#queries.delete(this.#queries.keys().next().value);
        this.#save();
    }

    acted(key, id, action) {
        const entry = this.#queries.get(key);
        if (!entry) return;
        entry.acted[id] = action;
        this.#save();
    }

    #save() {
        try {
            sessionStorage.setItem(STORE, JSON.stringify([...this.#queries]));
        } catch {
            // The store is full or forbidden: movement is a nicety, searching goes on without it.
        }
    }
}
