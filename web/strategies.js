// The strategies in people's words. The page shows whatever names the server sends; those below also get a sentence.

import { h } from './dom.js';
import { humanise } from './format.js';

const TELLS = {
    lexical: 'Matches the words of the query with the words of the document',
    structured: 'Understands parts of the query as attributes, such as a year or a person',
    fuzzy: 'Forgives misspelt words by comparing groups of letters',
    semantic: 'Compares meaning instead of words',
    expansion: 'Adds words that belong to the meaning of the query',
    memory: 'Remembers what people chose for this query and for queries like it',
    personal: 'Follows what this visitor chose before',
    related: 'Follows references from the best matches to the documents they are linked with',
    popular: 'Brings what most people look at',
    fresh: 'Brings what is new',
    explore: 'Tries documents that nobody has had the chance to choose yet',
    remote: 'Asks another search service',
};

export function describeStrategy(name) {
    return TELLS[name] ?? `Found by the strategy “${name}”`;
}

export function strategyChip(name, properties) {
    return h('span', { class: 'chip', data: { strategy: name }, title: describeStrategy(name), ...properties },
        h('span', { class: 'chip-dot', 'aria-hidden': 'true' }), humanise(name));
}
