// <facet-panel>: the filters. Checkbox groups for values, a histogram for a range. Emits "filters-changed" {filters}, and
// "facet-opened" when a closed group is opened, whose counts are then worth asking for.

import { h, send } from './dom.js';
import { compact, integer } from './format.js';
import { rangeFacet } from './range-facet.js';

const FIRST_VALUES = 8;
const VALUES = 30;
const RANGE_BUCKETS = 64; // the most that the server gives; histogram.js joins them

class FacetPanel extends HTMLElement {
    #groups = [];
    #open = new Set();
    #expanded = new Set();
    #drawn = '';
    #held = false;
    #waiting = null; // what to show once the pointer is let go

    connectedCallback() {
        this.onpointerdown = () => this.#hold();
    }

    set groups(groups) {
        this.#groups = groups;
        this.#open = new Set(groups.filter(group => group.open).map(group => group.field));
        this.#expanded.clear();
        this.#drawn = '';
    }

    /* What a search has to ask for. */
    request(filters) {
        return this.#groups
            .filter(group => this.#open.has(group.field) || group.field in filters)
            .map(({ field, kind }) => (kind === 'range' ? { field, buckets: RANGE_BUCKETS } : { field, limit: VALUES }));
    }

    /* facets: of the response; filters: the chosen ones */
    show(facets, filters) {
        if (this.#held) {
            this.#waiting = [facets, filters];
            return;
        }
        const drawn = JSON.stringify([facets, filters]);
        if (drawn === this.#drawn) return;
        this.#drawn = drawn;
        const focus = this.contains(document.activeElement) ? document.activeElement.id : '';
        const any = Object.keys(filters).length > 0;
        this.replaceChildren(
            h('div', { class: 'facet-head' }, h('h2', null, 'Filters'),
                any ? linkButton('Clear all', { onclick: () => this.#change({}) }) : null),
            ...this.#groups.map(group => this.#group(group, facets[group.field], filters)).filter(Boolean));
        if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
    }

    // Redrawing under a pressed pointer would tear a thumb from the hand, or lose a click between press and release.
    #hold() {
        this.#held = true;
        const release = () => setTimeout(() => { // after the click that belongs to the release
            this.#held = false;
            if (this.#waiting) this.show(...this.#waiting);
            this.#waiting = null;
        });
        addEventListener('pointerup', release, { once: true });
        addEventListener('pointercancel', release, { once: true });
    }

    #group(group, facet, filters) {
        const chosen = filters[group.field];
        const isOpen = this.#open.has(group.field) || chosen !== undefined;
        const content = facet && (group.kind === 'range'
            ? this.#range(group, facet, filters) : this.#values(group, facet, filters));
        if (isOpen && !content) return null; // nothing to choose from
        return h('details', { class: 'facet', open: isOpen, data: { field: group.field },
            ontoggle: event => this.#toggled(group, event.target.open) },
        h('summary', { id: `facet-${group.field}` }, group.label,
            chosen !== undefined ? h('span', { class: 'chosen' }, String(chosen.length ?? 1)) : null),
        content ?? h('p', { class: 'note' }, 'Loading…'));
    }

    #values(group, facet, filters) {
        const chosen = new Set(filters[group.field] ?? []);
        const missing = [...chosen].filter(value => !facet.some(one => one.value === value));
        const all = [...missing.map(value => ({ value, count: 0 })), ...facet];
        // A field where every value occurs once tells nothing (serial numbers); one value alone is no choice.
        if (!all.length || (!chosen.size && (all.length === 1 || all[0].count < 2))) return null;
        const expanded = this.#expanded.has(group.field);
        const most = Math.max(1, ...all.map(one => one.count));
        const visible = all.filter((one, i) => expanded || i < FIRST_VALUES || chosen.has(one.value));
        return h('ul', { class: 'values', role: 'group', 'aria-label': group.label },
            visible.map((one, i) => h('li', null, h('label', { vars: { '--share': one.count / most } },
                h('input', {
                    type: 'checkbox', id: `facet-${group.field}-${i}`, value: one.value, checked: chosen.has(one.value),
                    onchange: event => this.#pick(group.field, one.value, event.target.checked, filters),
                }),
                h('span', { class: 'value' }, group.text(one.value)),
                h('span', { class: 'count', title: integer(one.count) }, compact(one.count))))),
            all.length > FIRST_VALUES ? h('li', null, linkButton(expanded ? 'Fewer' : `${all.length - FIRST_VALUES} more`, {
                id: `facet-${group.field}-more`, onclick: () => this.#expand(group, facet, filters, !expanded),
            })) : null);
    }

    #range(group, facet, filters) {
        return rangeFacet(group, facet, filters[group.field], range => {
            const { [group.field]: own, ...others } = filters;
            this.#change(range ? { ...others, [group.field]: range } : others);
        });
    }

    #pick(field, value, on, filters) {
        const chosen = new Set(filters[field] ?? []);
        if (on) chosen.add(value);
        else chosen.delete(value);
        const { [field]: own, ...others } = filters;
        this.#change(chosen.size ? { ...others, [field]: [...chosen] } : others);
    }

    #expand(group, facet, filters, expanded) {
        if (expanded) this.#expanded.add(group.field);
        else this.#expanded.delete(group.field);
        const details = this.querySelector(`details[data-field="${CSS.escape(group.field)}"]`);
        details.querySelector('.values').replaceWith(this.#values(group, facet, filters));
        document.getElementById(`facet-${group.field}-more`)?.focus();
    }

    #toggled(group, open) {
        if (open === this.#open.has(group.field)) return;
        if (open) this.#open.add(group.field);
        else this.#open.delete(group.field);
        if (open) send(this, 'facet-opened');
    }

    #change(filters) {
        send(this, 'filters-changed', { filters });
    }
}

function linkButton(text, properties) {
    return h('button', { type: 'button', class: 'link-button', ...properties }, text);
}

customElements.define('facet-panel', FacetPanel);
