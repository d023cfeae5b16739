// What a collection's schema says about showing its documents. Nothing here knows films or books: fields are told apart
// by their type, and a few usual names (year, rating, language …) get the formatting that people expect of them.

import * as format from './format.js';

const TITLES = ['title', 'name', 'label', 'headline'];
const FIRST_ATTRIBUTES = ['year', 'genre', 'language', 'rating'];
const CARD_ATTRIBUTES = 5;
const OPEN_VALUE_GROUPS = 2;

export class Shape {
    constructor(schema) {
        this.fields = schema?.fields ?? {};
        this.idField = schema?.id ?? 'id';
        this.typeField = schema?.type ?? 'type';
        this.popularityField = schema?.popularity ?? 'popularity';
        this.rewards = schema?.rewards ?? null;
        this.names = Object.keys(this.fields);
        this.spellings = new Map(); // "genre:drama" → "Drama"
        this.textFields = this.#of('text');
        this.referenceFields = this.#of('reference');
        this.titleField = TITLES.find(name => this.textFields.includes(name)) ?? this.#heaviestText() ?? 'title';
    }

    #of(type) {
        return this.names.filter(name => this.fields[name].type === type);
    }

    #heaviestText() {
        const weight = name => this.fields[name].weight ?? 1;
        return this.textFields.reduce((best, name) => (!best || weight(name) > weight(best) ? name : best), null);
    }

    /* Whether people may record this action: an undeclared one would be refused. */
    rewarded(action) {
        return !this.rewards || action in this.rewards;
    }

    title(document) {
        const value = values(document[this.titleField])[0];
        return value === undefined ? String(document[this.idField] ?? '') : String(value);
    }

    /* Facets come with keywords folded to small letters; the documents on the page know how they are really written. */
    observe(document) {
        for (const field of this.#of('keyword')) {
            for (const value of values(document[field])) {
                this.spellings.set(`${field}:${String(value).toLowerCase()}`, String(value));
            }
        }
    }

    /* The facets worth asking for, most telling first: type, a few keywords, one range; the others start closed.
     * useless: fields to leave out. */
    facets(useless) {
        const keywords = this.#of('keyword').filter(name => name !== this.typeField && !useless.has(name));
        const ranges = [...this.#of('number'), ...this.#of('date')]
            .filter(name => name !== this.popularityField)
            .sort((a, b) => (b === 'year') - (a === 'year'));
        const group = (field, kind, open) => ({
            field, kind, open, type: this.fields[field]?.type ?? 'keyword', label: format.humanise(field),
            text: value => this.choice(field, value),
        });
        return [
            ...(useless.has(this.typeField) ? [] : [group(this.typeField, 'values', true)]),
            ...keywords.slice(0, OPEN_VALUE_GROUPS).map(name => group(name, 'values', true)),
            ...ranges.slice(0, 1).map(name => group(name, 'range', true)),
            ...keywords.slice(OPEN_VALUE_GROUPS).map(name => group(name, 'values', false)),
        ];
    }

    /* {links: [{text, reference, source}], lines: [{field, values}]}: who made it and what else is written about it.
     * A reference is an id; the person's name usually stands in a text field of the same document, and is found there
     * by its slug, so that "author:suzanne-collins" reads "Suzanne Collins" without another request. */
    credits(document) {
        const links = [];
        const told = new Set();
        for (const field of this.referenceFields) {
            values(document[field]).forEach((reference, i) => {
                const source = this.#nameOf(document, String(reference), i);
                if (source) told.add(source.field);
                const text = source?.text ?? readableReference(String(reference));
                links.push({ text, reference: String(reference), source: source?.field });
            });
        }
        for (const field of told) {
            for (const text of values(document[field])) {
                if (!links.some(link => link.text === text)) links.push({ text, reference: null, source: field });
            }
        }
        const lines = this.textFields
            .filter(field => field !== this.titleField && !told.has(field) && values(document[field]).length > 0)
            .map(field => ({ field, values: values(document[field]).map(String) }));
        return { links, lines };
    }

    #nameOf(document, reference, index) {
        const wanted = reference.slice(reference.indexOf(':') + 1);
        const fields = this.textFields.filter(field => field !== this.titleField && Array.isArray(document[field]));
        for (const field of fields) {
            const text = document[field].find(value => format.slug(String(value)) === wanted);
            if (text) return { field, text };
        }
        // A slug that spells nothing ("x-5955a536") stands for a name in another script: the lists run side by side.
        const field = fields.find(name => /^x-[0-9a-f]+$/.test(wanted) && document[name][index] !== undefined);
        return field ? { field, text: String(document[field][index]) } : null;
    }

    /* The short facts under a title: [{field, label, text}]. */
    attributes(document) {
        const shown = [...FIRST_ATTRIBUTES, this.popularityField, ...this.names]
            .filter((name, i, all) => all.indexOf(name) === i && name !== this.typeField)
            .filter(name => values(document[name]).length > 0 && this.#isAttribute(name, document));
        const dated = shown.some(name => /year/.test(name));
        return shown
            .filter(name => !(dated && this.fields[name]?.type === 'date'))
            .slice(0, CARD_ATTRIBUTES)
            .map(name => ({ field: name, label: format.humanise(name), text: this.text(name, document[name]) }));
    }

    #isAttribute(name, document) {
        if (name === this.popularityField) return typeof document[name] === 'number';
        const type = this.fields[name]?.type;
        if (type === 'number' || type === 'date') return true;
        // Serial numbers identify; they tell a reader nothing in a list.
        return type === 'keyword' && !values(document[name]).some(value => /\d{6}/.test(String(value)));
    }

    /* Every member of the document for the panel: [{field, label, text, values}], schema order first, its id last.
     * Title and type head the panel already, and names that its references are told by need not be told twice. */
    members(document) {
        const told = new Set([this.titleField, this.typeField, this.idField,
            ...this.credits(document).links.filter(link => link.reference).map(link => link.source)]);
        const rest = Object.keys(document).filter(name => !this.names.includes(name));
        return [...[...this.names, ...rest].filter(name => !told.has(name)), this.idField]
            .filter(name => values(document[name]).length > 0 && this.fields[name]?.type !== 'vector')
            .map(name => ({
                field: name, label: format.humanise(name), text: this.text(name, document[name]),
                values: values(document[name]),
            }));
    }

    /* A value that can be chosen, as people write it. */
    choice(field, value) {
        const text = String(value);
        const isName = text === text.toLowerCase() && !this.spellings.has(`${field}:${text}`);
        const written = this.#one(field, this.spellings.get(`${field}:${text.toLowerCase()}`) ?? value);
        return isName ? format.capital(written) : written;
    }

    text(field, value) {
        return values(value).map(one => this.#one(field, one)).join(', ');
    }

    #one(field, value) {
        if (typeof value === 'object' && value !== null) return JSON.stringify(value);
        if (field === this.typeField) return format.humanise(String(value));
        if (/(^|_)lang(uage)?$/.test(field)) return format.language(String(value));
        if (this.fields[field]?.type === 'date' || /_at$|(^|_)date$|^released$/.test(field)) return format.date(value);
        if (typeof value !== 'number') return String(value);
        if (/(^|_)year$/.test(field)) return format.year(value);
        if (/(^|_)rating$/.test(field)) return `★ ${format.number(value)}`;
        if (/(^|_)minutes$/.test(field)) return minutes(value);
        if (field === this.popularityField || Math.abs(value) >= 100000) return format.compact(value);
        return format.number(value);
    }
}

export function values(value) {
    return value === undefined || value === null || value === '' ? [] : Array.isArray(value) ? value : [value];
}

/* "director:king-vidor" → "King Vidor" */
export function readableReference(reference) {
    return reference.slice(reference.indexOf(':') + 1).replace(/[-_]+/g, ' ').trim()
        .replace(/(^|\s)\p{L}/gu, letter => letter.toUpperCase());
}

function minutes(value) {
    const hours = Math.floor(value / 60);
    return hours ? `${hours} h ${Math.round(value % 60)} min` : `${value} min`;
}
