// Runs before the first paint, hence not a module: a page that turns dark after it has been white hurts.
(() => {
    const stored = localStorage.getItem('forage.theme');
    if (stored === 'light' || stored === 'dark') document.documentElement.dataset.theme = stored;
})();
