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
    like: { icon: 'heart', label: 'Like', noun: 'like', key: 'l' },
    favorite: { icon: 'star', label: 'Add to favourites', noun: 'favourite', key: 'f' },
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
    const offered = Object.keys(ACTIONS).filter(action => shape.rewarded(action));
    return offered.map(action => {
        const { icon: name, label, key } = ACTIONS[action];
        const done = acted.has(`${action}:${hit.id}`);
        return iconButton(name, `${label}: ${shape.title(hit.document)}`,
            { title: `${label} (${key})`, 'aria-pressed': String(done), data: { does: action } });
    });
}

export function typeBadge(type) {
    return type ? h('span', { class: 'badge', data: { type } }, humanise(type)) : null;
}

export function typeTile(type) {
    return h('span', { class: 'tile', 'aria-hidden': 'true', data: { type: type ?? '' } },
        icon(ICONS[type] ?? 'document'));
}

function creditLinks(links, context) {
    return links.slice(0, LINE_VALUES).map(link => queryLink(link.text, context));
}

function queryLink(text, { navigator }) {
    return h('a', { href: navigator.hrefOfQuery(text), data: { place: '' }, title: `Search for ${text}` }, text);
}

function firstLine(lines) {
    const line = lines.find(one => one.values.length === 1);
    return line ? [h('span', { class: 'line', title: humanise(line.field) }, line.values[0])] : [];
}

// Text fields with many values (the works of an author) are worth a line of their own.
function listLines(lines, context) {
    return lines.filter(line => line.values.length > 1).slice(0, 1).map(({ field, values }) =>
        h('p', { class: 'works' },
            h('span', { class: 'hidden-text' }, `${humanise(field)}: `),
            values.slice(0, LINE_VALUES).map(text => queryLink(text, context)),
            values.length > LINE_VALUES ? h('span', { class: 'line' }, `+${values.length - LINE_VALUES}`) : null));
}

export function attributeLine(attributes) {
    if (!attributes.length) return null;
    return h('ul', { class: 'attributes' }, attributes.map(({ field, label, text }) => {
        const name = TELLING.test(field) ? h('span', { class: 'hidden-text' }, `${label}: `) : `${label} `;
        return h('li', { title: label, data: { field } }, name, text);
    }));
}

export function movementBadge(moved) {
    if (!moved) return null;
    const { delta, action } = moved;
    const after = action ? ` after your ${ACTIONS[action]?.noun ?? action}` : ' since you last saw this query';
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

// "games" and "game", "pott" and "potter": the engine compares stems, the page their beginnings.
function resembles(text, word) {
    return text.startsWith(word) || (word.length > 3 && text.length > 2 && word.startsWith(text));
}

/* The title with the query's words marked; a word still being typed marks the start of its completions. */
export function highlighted(title, query) {
    const words = fold(query ?? '').match(/[\p{L}\p{N}]+/gu)?.filter(word => word.length > 1) ?? [];
    if (!words.length) return title;
    return title.split(/([\p{L}\p{N}]+)/u).map((part, i) => {
        if (i % 2 === 0) return part;
        const folded = fold(part);
        return words.some(word => resembles(folded, word)) ? h('mark', null, part) : part;
    });
}
