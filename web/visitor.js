// Who is searching, as far as the engine needs to know: two random names that mean nothing elsewhere.

export function visitor() {
    return {
        user: remembered(localStorage, 'forage.user', 'u-'),
        session: remembered(sessionStorage, 'forage.session', 's-'),
    };
}

function remembered(storage, name, prefix) {
    let value = storage.getItem(name);
    if (!value) {
        const random = crypto.getRandomValues(new Uint8Array(9));
        value = prefix + Array.from(random, byte => byte.toString(16).padStart(2, '0')).join('');
        storage.setItem(name, value);
    }
    return value;
}
