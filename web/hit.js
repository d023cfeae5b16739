// One hit of the result list, and the pieces of it that the panel shows too.

import { h, icon, iconButton } from './dom.js';
import { fold, humanise } from './format.js';
import { strategyChip } from './strategies.js';

const ICONS = {
    book: 'book', film: 'film', movie: 'film', video: 'film', author: 'person', person: 'person', artist: 'person',
    user: 'person', director: 'camera',
};
const LINE_VALUES = 4;
// Attributes whose values say what they are; the others are shown with their names.
const TELLING = /^(year|genre|language|rating|type|category)$|date|released|minutes/;

export const ACTIONS = {
    like: { icon: 'heart', label: 'Like', key: 'l' },
    favorite: { icon: 'star', label: 'Add to favourites', key: 'f' },
};

/* context: {shape, navigator}; options: {query, moved, acted: Set of "action:id"} */
export function hitElement(hit, context, options) {
    const { shape } = context;
    const labelId = `hit-${hit.rank}`;
    const { links, lines } = shape.credits(hit.document);
    const credits = [...creditLinks(links, context), ...firstLine(lines)];
    return h('li', { class: 'hit', tabindex: -1, data: { id: hit.id }, 'aria-labelledby': labelId },
        h('span', { class: 'rank', 'aria-hidden': 'true' }, String(hit.rank)),
        typeTile(hit.type),
        h('div', { class: 'hit-body' },
            h('h3', { id: labelId },
                h('a', { class: 'hit-title', href: context.navigator.hrefOfDocument(hit.id), data: { does: 'open' } },
                    highlighted(shape.title(hit.document), options.query))),
            h('p', { class: 'credits' }, typeBadge(hit.type), credits),
            listLines(lines, context),
            attributeLine(shape.attributes(hit.document)),
            h('p', { class: 'found' },
                h('span', { class: 'hidden-text' }, 'Found by '),
                hit.strategies.map(name => strategyChip(name)), movementBadge(options.moved))),
        h('div', { class: 'hit-actions' },
            actionButtons(hit, context, options.acted),
            iconButton('why', `Why is “${shape.title(hit.document)}” here?`,
                { title: 'Explain this rank (e)', data: { does: 'why' } })));
}

export function actionButtons(hit, { shape }, acted) {
    return Object.entries(ACTIONS).filter(([action]) => shape.rewarded(action)).map(([action, { icon: name, label, key }]) => {
        const done = acted.has(`${action}:${hit.id}`);
        return iconButton(name, `${label}: ${shape.title(hit.document)}`,
            { title: `${label} (${key})`, 'aria-pressed': String(done), data: { does: action } });
    });
}

export function typeBadge(type) {
    return type ? h('span', { class: 'badge', data: { type } }, humanise(type)) : null;
}

export function typeTile(type) {
    return h('span', { class: 'tile', 'aria-hidden': 'true', data: { type: type ?? '' } }, icon(ICONS[type] ?? 'document'));
}

export function creditLinks(links, { navigator }) {
    return links.slice(0, LINE_VALUES).map(link =>
        h('a', { href: navigator.hrefOfQuery(link.query), data: { place: '' }, title: `Search for ${link.text}` }, link.text));
}

function firstLine(lines) {
    const line = lines.find(one => one.values.length === 1);
    return line ? [h('span', { class: 'line', title: humanise(line.field) }, line.values[0])] : [];
}

// Text fields with many values (the works of an author) are worth a line of their own.
function listLines(lines, { navigator }) {
    return lines.filter(line => line.values.length > 1).slice(0, 1).map(({ field, values }) =>
        h('p', { class: 'works' },
            h('span', { class: 'hidden-text' }, `${humanise(field)}: `),
            values.slice(0, LINE_VALUES).map(text => h('a', { href: navigator.hrefOfQuery(text), data: { place: '' } }, text)),
            values.length > LINE_VALUES ? h('span', { class: 'line' }, `+${values.length - LINE_VALUES}`) : null));
}

export function attributeLine(attributes) {
    if (!attributes.length) return null;
    return h('ul', { class: 'attributes' }, attributes.map(({ field, label, text }) =>
        h('li', { title: label, data: { field } },
            h('span', { class: TELLING.test(field) ? 'hidden-text' : '' }, `${label}${TELLING.test(field) ? ':' : ''} `), text)));
}

export function movementBadge(moved) {
    if (!moved) return null;
    const { delta, action } = moved;
    const after = action ? ` after your ${action === 'favorite' ? 'favourite' : action}` : ' since you last saw this query';
    if (delta === Infinity) {
        return h('span', { class: 'moved up', title: `Came onto the page${after}` }, 'new');
    }
    const places = Math.abs(delta);
    const words = `moved ${delta > 0 ? 'up' : 'down'} ${places} ${places === 1 ? 'place' : 'places'}${after}`;
    return h('span', { class: `moved ${delta > 0 ? 'up' : 'down'}${action ? ' yours' : ''}`, title: words },
        h('span', { 'aria-hidden': 'true' }, `${delta > 0 ? '▲' : '▼'}${places}`),
        h('span', { class: action && delta > 0 ? 'moved-words' : 'hidden-text' },
            action && delta > 0 ? ` moved up${after}` : words));
}

/* The title with the query's words marked; a word still being typed marks the start of its completions. */
export function highlighted(title, query) {
    const words = fold(query ?? '').match(/[\p{L}\p{N}]+/gu)?.filter(word => word.length > 1) ?? [];
    if (!words.length) return title;
    return title.split(/([\p{L}\p{N}]+)/u).map((part, i) => {
        if (i % 2 === 0) return part;
        const folded = fold(part);
        const word = words.find(one => folded.startsWith(one) || (one.length > 3 && one.startsWith(folded) && folded.length > 2));
        return word ? h('mark', null, part) : part;
    });
}
