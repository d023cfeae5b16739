// What the results column says when there is something other than results to say.

import { h } from './dom.js';

const EXAMPLES = 6;

/* The start page's examples: titles and names from what is popular, so that they always find something. */
export function startState(hits, { shape, navigator }) {
    const queries = [];
    const add = text => {
        const query = shortened(text);
        if (query && !queries.some(one => one.toLowerCase() === query.toLowerCase())) queries.push(query);
    };
    for (const { document } of hits) {
        const { links, lines } = shape.credits(document);
        const others = [...links.map(link => link.text), ...lines.flatMap(line => (line.values.length > 1 ? line.values : []))];
        const other = others.find(text => shortened(text));
        add(queries.length % 2 && other ? other : shape.title(document)); // titles and names by turns
        if (queries.length >= EXAMPLES) break;
    }
    return h('section', { class: 'start' },
        h('h1', null, 'Search that learns'),
        h('p', null, 'Type, choose, search again: every choice changes what is found and in which order, at once.'),
        queries.length ? h('p', { class: 'examples' }, h('span', null, 'Try'),
            queries.map(query => h('a', { href: navigator.hrefOfQuery(query), data: { place: '' } }, query))) : null);
}

// Long titles make poor buttons: the part before a subtitle or a bracket is what people would type.
function shortened(text) {
    const short = text.split(/[:(]| - /)[0].trim();
    return short.length <= 40 ? short : '';
}

export function nothingState(request, { navigator }, clearFilters) {
    const query = request.query.trim();
    const words = query.split(/\s+/).filter(word => word.length > 1);
    const link = (text, to) => h('a', { href: navigator.hrefOfQuery(to), data: { place: '' } }, text);
    const advice = [];
    if (Object.keys(request.filters).length) {
        advice.push(h('button', { type: 'button', class: 'link-button', onclick: clearFilters }, 'Search without filters'));
    }
    if (query) advice.push('Check the spelling, or write whole words');
    if (words.length > 1) {
        advice.push(h('span', { class: 'examples' }, 'Try one word alone', words.slice(0, 3).map(word => link(word, word))));
    }
    if (query) advice.push(link('See what is popular', ''));
    return h('section', { class: 'nothing' },
        h('h2', null, query ? `Nothing found for “${query}”` : 'Nothing matches these filters'),
        h('ul', null, advice.map(one => h('li', null, one))));
}

export function emptyCollectionState(name) {
    const command = `curl --data-binary @documents.ndjson \\
     -H 'Content-Type: application/x-ndjson' \\
     ${location.origin}/collections/${name || 'books'}/documents`;
    return h('section', { class: 'nothing' },
        h('h2', null, name ? `The collection “${name}” holds no documents yet` : 'There is no collection yet'),
        h('p', null, 'Documents can be imported on the command line or over HTTP:'),
        h('pre', { tabindex: 0 }, command));
}

export function skeleton() {
    return h('ol', { class: 'hits skeleton', 'aria-hidden': 'true' }, Array.from({ length: 6 }, () =>
        h('li', { class: 'hit' }, h('span', { class: 'rank' }), h('span', { class: 'tile' }),
            h('div', { class: 'hit-body' }, h('span'), h('span'), h('span')))));
}
