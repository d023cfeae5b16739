// Building DOM by hand: the page never parses HTML that came from a document, so no catalogue can inject markup.

const SVG = 'http://www.w3.org/2000/svg';

/* h('a', {class: 'x', href: '/', onclick: f, vars: {'--share': 0.4}}, 'text', child, [more], null)
 * `vars` goes through the CSSOM: the content security policy forbids style attributes, not style objects. */
export function h(tag, properties, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties ?? {})) {
        if (value === undefined || value === null || value === false) continue;
        if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
        else if (name === 'vars') setVars(element, value);
        else if (name === 'data') Object.assign(element.dataset, value);
        else element.setAttribute(name, value === true ? '' : value);
    }
    element.append(...flat(children));
    return element;
}

/* The same for drawings: svg('path', {d: 'M0 0'}). */
export function svg(tag, properties, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(properties ?? {})) {
        if (name === 'data') Object.assign(element.dataset, value);
        else element.setAttribute(name, value);
    }
    element.append(...flat(children));
    return element;
}

export function setVars(element, vars) {
    for (const [name, value] of Object.entries(vars)) element.style.setProperty(name, value);
}

function flat(children) {
    return children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false);
}

const PATHS = {
    search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM15.3 15.3 20 20',
    clear: 'M6 6l12 12M18 6 6 18',
    heart: 'M12 20s-7.5-4.6-7.5-10.2A4.3 4.3 0 0 1 12 7.4a4.3 4.3 0 0 1 7.5 2.4C19.5 15.4 12 20 12 20Z',
    star: 'm12 4 2.5 5.1 5.6.8-4 4 .9 5.6-5-2.7-5 2.7.9-5.6-4-4 5.6-.8L12 4Z',
    why: 'M5 19v-6M12 19V5M19 19v-9',
    filter: 'M4 7h16M7 12h10M10 17h4',
    learning: 'M4 18l5-6 4 3 7-9M15 6h5v5',
    sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 3v2M12 19v2M3 12h2M19 12h2'
        + 'M5.6 5.6 7 7M17 17l1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4',
    moon: 'M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z',
    auto: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM12 4v16',
    keyboard: 'M4 7h16v10H4ZM7.5 10.5h.01M11 10.5h.01M14.5 10.5h.01M8.5 14h7',
    book: 'M6 4h11a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H7a2 2 0 0 1-2-2V5M5 17.5A1.5 1.5 0 0 1 6.5 16H18',
    film: 'M4 6h16v12H4ZM8 6v12M16 6v12M4 10h4M4 14h4M16 10h4M16 14h4',
    person: 'M12 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7ZM5 19.5c0-3.3 3-5.5 7-5.5s7 2.2 7 5.5',
    people: 'M9 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM3 19c0-3 2.6-5 6-5s6 2 6 5'
        + 'M15.5 5.3a3 3 0 0 1 0 5.4M17.5 14.4c2.1.7 3.5 2.3 3.5 4.6',
    camera: 'M4 8h11v9H4ZM15 11.5l5-3v8l-5-3',
    document: 'M7 4h7l4 4v12H7ZM14 4v4h4M10 12h5M10 16h5',
    back: 'M14 6l-6 6 6 6',
    refresh: 'M19 12a7 7 0 1 1-2-5M19 4v4h-4',
};

/* A decorative line icon; the control that holds it carries the name. */
export function icon(name) {
    return svg('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true', class: `icon icon-${name}` },
        svg('path', { d: PATHS[name] ?? PATHS.document }));
}

export function iconButton(name, label, properties) {
    return h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, ...properties },
        icon(name));
}

/* A horizontal bar of `share` in [0, 1]; the number beside it is the accessible value, so the bar itself is hidden. */
export function bar(share, properties) {
    const width = Number.isFinite(share) ? Math.max(0, Math.min(1, share)) : 0;
    return h('span', { class: 'bar', 'aria-hidden': 'true', ...properties, vars: { '--share': width } });
}

/* What may be wider than the screen scrolls on its own, also by keyboard. */
export function scroller(label, content) {
    return h('div', { class: 'scroller', tabindex: 0, role: 'region', 'aria-label': label }, content);
}

export function send(element, name, detail) {
    element.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
}

/* True when the keystroke belongs to a control that takes text. */
export function typingIn(target) {
    return target instanceof HTMLElement
        && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)
            && !/^(checkbox|radio|range|button)$/.test(target.type));
}
