// Values as people read them. Everything goes through Intl, so numbers and dates follow the reader's own language.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const decimal = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const three = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const four = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
const thousandths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
const days = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const languages = typeof Intl.DisplayNames === 'function'
    ? new Intl.DisplayNames(undefined, { type: 'language', fallback: 'none' }) : null;

export const integer = value => whole.format(value);
export const compact = value => short.format(value);
export const number = value => decimal.format(value);
export const percent = share => `${decimal.format(Math.round(share * 1000) / 10)} %`;

/* Scores keep three significant digits whatever their size, so that 14.2 and 0.0034 are both readable. */
export function score(value) {
    if (!Number.isFinite(value)) return '–';
    if (value === 0) return '0';
    const size = Math.abs(value);
    if (size >= 1e6) return compact(value);
    if (size < 0.0005) return value.toExponential(1).replace('-', '−');
    return (size >= 100 ? four : three).format(value).replace('-', '−');
}

export function signed(value) {
    return value > 0 ? `+${score(value)}` : score(value);
}

/* Shares that stand below each other: always three decimals. */
export const thousandth = value => thousandths.format(value).replace('-', '−');
export const signedThousandth = value => (value > 0 ? `+${thousandth(value)}` : thousandth(value));

export function microseconds(value) {
    if (value < 1000) return `${whole.format(value)} µs`;
    return milliseconds(value / 1000);
}

export function milliseconds(value) {
    return value < 1000 ? `${decimal.format(value)} ms` : `${decimal.format(value / 1000)} s`;
}

export function bytes(value) {
    const units = ['B', 'KB', 'MB', 'GB', 'TB'];
    let unit = 0;
    for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
    return `${value < 10 && unit ? decimal.format(Math.round(value * 10) / 10) : whole.format(value)} ${units[unit]}`;
}

export function year(value) {
    return value < 0 ? `${-value} BC` : String(Math.round(value));
}

export function date(value) {
    const time = typeof value === 'number' ? value * 1000 : /^\d{4}(-\d\d)?$/.test(value) ? NaN : Date.parse(value);
    return Number.isNaN(time) ? String(value) : days.format(time);
}

/* value: as Date takes it; in the reader's own time zone */
export function moment(value) {
    const time = new Date(value);
    return Number.isNaN(time.getTime()) ? '–' : moments.format(time);
}

export function language(code) {
    try {
        return languages?.of(code) ?? code;
    } catch {
        return code; // not a language tag at all
    }
}

const ABBREVIATIONS = /\b(bm25|id|idf|isbn|ndcg|rrf|url)\b/gi;

/* "running_minutes" → "Running minutes", "lexical_rrf" → "Lexical RRF" */
export function humanise(name) {
    const words = name.replace(/[_-]+/g, ' ').trim().replace(ABBREVIATIONS, word => word.toUpperCase());
    return capital(words);
}

/* "original_title.exact" → "Original title: exact" */
export function featureName(name) {
    const [first, ...rest] = name.split('.');
    const small = text => text.replace(/[_-]+/g, ' ').replace(ABBREVIATIONS, word => word.toUpperCase());
    return rest.length ? `${humanise(first)}: ${small(rest.join(' '))}` : humanise(name);
}

/* "0.77 (0.75 to 0.79)" */
export function interval({ value, low, high }, write = score) {
    return `${write(value)} (${write(low)} to ${write(high)})`;
}

/* What the server wrote in words, as the page writes: with a real minus and from a capital letter. */
export function asSentence(text) {
    return capital(text.replace(/(^|[\s(])-(?=\d)/g, '$1−')).replace(/[^.!?]$/, '$&.');
}

export function capital(text) {
    return text.charAt(0).toUpperCase() + text.slice(1);
}

export function plural(count, one, many) {
    return `${integer(count)} ${count === 1 ? one : many}`;
}

/* Letters and digits only, without case and accents: for comparing words across spellings. */
export function fold(text) {
    return text.normalize('NFKD').replace(/\p{M}+/gu, '').toLowerCase();
}

export function slug(text) {
    return fold(text).replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '');
}
