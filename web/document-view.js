// A document with all its fields, and the documents that its references lead to.

import { h } from './dom.js';
import { humanise } from './format.js';
import { typeTile } from './hit.js';
import { values } from './schema.js';

const NEIGHBOURS = 6;
const GROUPS = 4;

/* context: {shape, navigator} */
export function documentView(document, context) {
    const { shape } = context;
    return [
        h('dl', { class: 'fields' }, shape.members(document).map(member => h('div', { data: { field: member.field } },
            h('dt', null, member.label), h('dd', null, valueOf(member, document, context))))),
        h('div', { class: 'neighbours', 'aria-live': 'polite' }),
        h('details', { class: 'raw' }, h('summary', null, 'As JSON'),
            h('pre', { tabindex: 0 }, JSON.stringify(document, null, 2))),
    ];
}

function valueOf(member, document, { shape, navigator }) {
    const type = shape.fields[member.field]?.type;
    if (type === 'reference') {
        const names = shape.credits(document).links;
        return list(member.values.map(reference => {
            const known = names.find(link => link.reference === reference);
            return h('a', { href: navigator.hrefOfDocument(reference), data: { place: '' }, title: reference },
                known?.text ?? reference);
        }));
    }
    if (type === 'text' && member.values.length > 1) {
        return list(member.values.map(text =>
            h('a', { href: navigator.hrefOfQuery(String(text)), data: { place: '' } }, String(text))));
    }
    return member.text;
}

function list(items) {
    return items.length === 1 ? items[0] : h('ul', null, items.map(item => h('li', null, item)));
}

/* Fills `place` with neighbours: what refers to this document, and what shares a reference with it. Each group is a
 * filter of an ordinary search that is not logged: nobody asked for these, so showing them teaches nothing. */
export async function loadNeighbours(place, document, context, api, signal) {
    const { shape } = context;
    const id = String(document[shape.idField]);
    const names = new Map(shape.credits(document).links.map(link => [link.reference, link.text]));
    const groups = shape.referenceFields.flatMap(field => [
        { field, value: id, title: `Refers to ${shape.title(document)} as ${humanise(field).toLowerCase()}` },
        ...values(document[field]).map(reference =>
            ({ field, value: reference, title: `More with ${names.get(reference) ?? reference}` })),
    ]).slice(0, GROUPS);
    const found = await Promise.all(groups.map(group => neighbours(group, id, context, api, signal)));
    place.replaceChildren(...found.filter(Boolean));
}

async function neighbours({ field, value, title }, id, context, api, signal) {
    const { shape, navigator } = context;
    let response;
    try {
        response = await api.search(navigator.place.collection,
            { query: '', limit: NEIGHBOURS + 1, log: false, policy: 'all', filter: { [field]: value } }, signal);
    } catch {
        return null; // the document itself is there; its neighbours are an extra
    }
    const hits = response.hits.filter(hit => hit.id !== id).slice(0, NEIGHBOURS);
    if (!hits.length) return null;
    return h('section', null, h('h3', null, title),
        h('ul', { class: 'neighbour-list' }, hits.map(hit => h('li', null,
            h('a', { href: navigator.hrefOfDocument(hit.id), data: { place: '' } },
                typeTile(hit.type), h('span', null, h('b', null, shape.title(hit.document)),
                    h('small', null, shape.attributes(hit.document).slice(0, 3).map(one => one.text).join(' · '))))))));
}
