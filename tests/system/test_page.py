#!/usr/bin/env python3
"""The search page as people use it: a real server with the sample catalogue, a real browser.

FORAGE (or FORAGE_BIN) names the command. With FORAGE_SHOTS=FOLDER it also writes the pictures of docs/ there. Without a
browser everything is skipped.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

from devtools import Browser, PageError, find_browser

SOURCE = os.environ.get("FORAGE_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MEDIA = os.path.join(SOURCE, "examples", "media")
SHOTS = os.environ.get("FORAGE_SHOTS")
# What is written small, and should still be readable.
SMALL_TEXT = (".hit-title", ".credits a", ".attributes li", ".rank", ".badge", ".found .chip", ".status", ".count", ".formula",
              ".note", ".tabs button", "decision-strip thead th", ".story thead th")
SETTLED = "document.querySelector('result-list').dataset.state === 'settled'"


# ---- The server ----


class Server:
    """`forage serve` on a free port, with the catalogue in a folder of its own. Use it in a with statement."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="forage-page-")
        self.start()
        try:
            with open(os.path.join(MEDIA, "schema.json"), "rb") as file:
                self.send("PUT", "collections/media", file.read(), "application/json")
            with open(os.path.join(MEDIA, "catalogue.ndjson.zst"), "rb") as file:
                answer = self.send("POST", "collections/media/documents", file.read(), "application/x-ndjson")
            assert answer["failed"] == 0 and answer["indexed"] > 19000, answer
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, listen="127.0.0.1:0", key=None):
        data = os.path.join(self.folder, "data")
        command = [os.environ.get("FORAGE") or os.environ["FORAGE_BIN"], "serve", "--json", "--data", data, "--listen", listen]
        environment = {**os.environ, "FORAGE_API_KEY": key} if key else None
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        line = self.process.stdout.readline()
        found = re.search(r"http://([\d.]+:\d+)", line)
        assert found, f"the server did not say where it listens: {line!r}"
        self.address = found.group(1)
        self.url = f"http://{self.address}/"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    def send(self, method, path, body=None, kind="application/json"):
        request = urllib.request.Request(self.url + path, body, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def impressions(self):
        return self.send("GET", "collections/media/stats")["impressions"]


# ---- The page, in words ----


class Page:
    def __init__(self, browser, server):
        self.browser, self.server = browser, server

    def open(self, address="", width=1360, height=900, dark=False, results=True):
        self.browser.size(width, height, dark, touch=width < 600)
        self.browser.open("about:blank")
        self.browser.open(self.server.url + address)
        if results:
            self.browser.until(f"{SETTLED} && document.querySelectorAll('.hit').length > 0", "the first results")

    def write(self, query):
        """Types a query into the emptied box and returns while its results may still be on their way."""
        self.do("document.querySelector('#query').focus(); document.querySelector('#query').select(); true")
        self.browser.type(query)

    def search(self, query):
        self.write(query)
        self.browser.press("Enter")
        self.settled(query)

    def settled(self, query):
        self.browser.until(f"{SETTLED} && document.querySelector('result-list').dataset.query === {json.dumps(query)}"
                           " && !document.querySelector('search-box').classList.contains('busy')", "settled results")

    def do(self, expression):
        return self.browser.evaluate(expression)

    def until(self, expression, what=None, seconds=10):
        self.browser.until(expression, what, seconds)

    def text(self, selector):
        return self.do(f"document.querySelector({json.dumps(selector)})?.textContent ?? null")

    def texts(self, selector):
        return self.do(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")

    def ids(self):
        return self.do("[...document.querySelectorAll('.hit[data-id]')].map(e => e.dataset.id)")

    def hit(self, document):
        return f".hit[data-id={json.dumps(document)}]"

    def story(self, part):
        return self.text(f"#panel-why [data-part={json.dumps(part)}]")

    def tab(self, name):
        self.until(f"document.querySelector('#panel-{name}:not([hidden])')", f"the panel's {name}")

    def picture(self, name):
        if SHOTS:
            time.sleep(0.3)
            self.browser.picture(os.path.join(SHOTS, f"page-{name}.png"))


# ---- What people do ----


def test_start(page):
    """The empty box shows what is popular and proposes queries that find something."""
    page.open()
    assert page.do("document.activeElement === document.body")
    assert "19,580" in page.do("document.querySelector('#query').placeholder")
    examples = page.texts(".start .examples a")
    assert len(examples) >= 3, examples
    page.browser.click(".start .examples a")
    page.settled(examples[0])
    assert page.do("document.querySelector('#query').value") == examples[0]
    assert len(page.ids()) > 0
    page.do("history.back()")
    page.until("!location.search && document.querySelector('.start')", "the start page again")


def test_typing(page):
    """Results come while one types; only the query that was meant is logged."""
    page.open()
    before = page.server.impressions()
    page.write("harry pott")
    page.until("document.querySelector('result-list').dataset.state === 'typing'", "results while typing")
    page.browser.type("er")
    page.settled("harry potter")
    assert any("Harry Potter" in title for title in page.texts(".hit-title")), page.texts(".hit-title")
    assert page.texts(".hit-title mark"), "no word is marked"
    assert page.server.impressions() == before + 1, "half-typed queries were logged"
    assert re.search(r"\d+ results?", page.text(".status")), page.text(".status")
    assert re.search(r"\d+ results?", page.text("#live")), "nothing is announced to screen readers"
    page.picture("light")


def test_explain(page):
    """Why a hit has its rank: the query as it was read, who found the hit, what counted, which words."""
    page.open("?q=suzanne+collins")
    page.browser.click(".hit:first-child [data-does=why]")
    page.tab("why")
    assert "suzanne collins" in page.story("How the query was read")
    assert "Free text" in page.story("How the query was read")
    assert "Lexical" in page.story("Who found it")
    asked = page.do("document.querySelectorAll('#panel-why .depths tbody tr').length")
    assert asked >= 6 and "%" in page.story("How deep each was asked"), page.story("How deep each was asked")
    assert page.do("document.querySelectorAll('#panel-why .features tbody tr').length") >= 2
    assert page.do("document.querySelector('#panel-why .diverging').getBoundingClientRect().width") > 20
    assert "collin" in page.story("Words"), page.story("Words")
    assert page.do("document.activeElement.id") == "panel-title", "the focus did not follow"
    page.browser.press("Escape")
    page.until("!document.querySelector('.panel-head')", "the panel to close")


def test_learning(page):
    """A click on a lower hit: the same query then shows it higher, found by the memory, and says so."""
    page.open()
    page.search("hunger games")
    document = page.ids()[4]
    title = page.text(page.hit(document) + " .hit-title")
    page.browser.click(page.hit(document) + " .hit-title")
    page.until("document.querySelector('.toast')", "the toast")
    assert "engine has learned" in page.text(".toast")
    assert page.text("#panel-title") == title
    assert page.do("document.querySelectorAll('#panel-document .fields dt').length") > 4
    page.browser.click(".toast-button")
    page.until(f"document.querySelector({json.dumps(page.hit(document) + ' .moved.up')})", "the hit to move up")
    place = page.ids().index(document)
    assert place < 4, f"the hit is at place {place + 1}, it was at 5"
    assert "memory" in page.do(
        f"[...document.querySelectorAll({json.dumps(page.hit(document) + ' .chip')})].map(e => e.dataset.strategy)")
    assert "after your click" in page.text(page.hit(document) + " .moved")
    page.browser.click("#tab-why")
    page.tab("why")
    assert "earned rewards" in page.story("Memory"), page.story("Memory")
    assert "Memory" in page.story("Who found it")
    page.browser.size(1440, 1180)
    page.picture("explain")


def test_actions(page):
    """Like and favourite are recorded once, and the button stays pressed."""
    page.open("?q=dune")
    before = page.server.send("GET", "collections/media/stats")["events"]
    for action in ("like", "favorite"):
        page.browser.click(f".hit:nth-child(2) [data-does={action}]")
        page.until(f"document.querySelector('.hit:nth-child(2) [data-does={action}][aria-pressed=true]')")
    page.browser.click(".hit:nth-child(2) [data-does=like]")
    page.until("document.querySelector('.toast').textContent.includes('already')")
    assert page.server.send("GET", "collections/media/stats")["events"] == before + 2


def test_facets(page):
    """Filters narrow the results, live in the address, keep their other values, and can be taken away."""
    page.open("?q=king")
    page.until("document.querySelector('.facet[data-field=type] input[value=film]')", "the facets")
    page.browser.click(".facet[data-field=type] input[value=film]")
    page.until("document.querySelectorAll('.filter-chip').length === 1 && " + SETTLED)
    page.until("[...document.querySelectorAll('.hit .badge')].every(e => e.dataset.type === 'film')", "films only")
    page.until("document.querySelector('.facet[data-field=type] input[value=book]')", "the other types")
    assert page.do("new URLSearchParams(location.search).get('f.type')") == "film"
    page.until("document.querySelectorAll('.facet[data-field=year] .column').length > 5", "the histogram")
    page.do("document.querySelector('#facet-year-0').focus(); true")
    for _ in range(4):
        page.browser.press("ArrowRight")
    page.until("new URLSearchParams(location.search).get('r.year')", "the range in the address")
    since = int(page.do("new URLSearchParams(location.search).get('r.year')").split("..")[0])
    page.until("[...document.querySelectorAll('.hit [data-field=year]')]"
               f".every(e => Number(e.textContent.slice(-4)) >= {since})", "the years of the range")
    page.browser.click(".facet-head .link-button")
    page.until("!document.querySelector('.filter-chip') && !location.search.includes('f.')", "no filters")


def test_references(page):
    """A person's name is a link that searches for the person; the panel shows what else belongs to them."""
    page.open("?q=the+hunger+games")
    name = page.text(page.hit("book:1") + " .credits a")
    assert name == "Suzanne Collins", name
    page.browser.click(page.hit("book:1") + " .credits a")
    page.settled("Suzanne Collins")
    assert "author:suzanne-collins" in page.ids()
    page.browser.click(page.hit("author:suzanne-collins") + " .hit-title")
    page.until("document.querySelectorAll('.neighbour-list a').length >= 3", "the author's books")
    page.do("history.back()")
    page.until("!document.querySelector('.panel-head')", "the panel to close")


def test_keyboard(page):
    """From the query to the results, into one, to its explanation and back, without a mouse."""
    press, browser = page.browser.press, page.browser
    page.open()
    press("/")
    assert page.do("document.activeElement.id") == "query"
    browser.type("stephen king")
    page.settled("stephen king")
    press("ArrowDown")
    press("ArrowDown")
    second = page.ids()[1]
    assert page.do("document.activeElement.dataset.id") == second
    assert page.do("getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus cannot be seen"
    press("e")
    page.tab("why")
    press("Escape")
    page.until("!document.querySelector('.panel-head')")
    assert page.do("document.activeElement.dataset.id") == second, "the focus did not come back"
    press("Enter")
    page.tab("document")
    press("Escape")
    page.until("!document.querySelector('.panel-head')")
    press("ArrowUp")
    press("ArrowUp")
    assert page.do("document.activeElement.id") == "query"
    press("Tab")
    for _ in range(40):
        if page.do("document.activeElement.classList.contains('hit')"):
            break
        press("Tab")
    stops = page.do("[...document.querySelectorAll('.hit')].filter(e => e.tabIndex === 0).length")
    assert stops == 1, f"the list has {stops} tab stops"


def test_names(page):
    """Every control has a name, and nothing that can be reached is hidden from screen readers."""
    page.open("?q=hunger+games&d=book%3A1")
    page.until("document.querySelector('.panel-head')")
    nameless = page.do("""[...document.querySelectorAll('button, a, input, select')]
        .filter(e => e.getClientRects().length)
        .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.title || e.labels?.length
                       || e.closest('label')))
        .map(e => e.outerHTML.slice(0, 90))""")
    assert not nameless, nameless
    twice = page.do("""(() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
        return ids.filter((id, i) => ids.indexOf(id) !== i); })()""")
    assert not twice, f"ids given twice: {twice}"


def contrast(page, selector):
    """The contrast of an element's text with what is behind it (WCAG 2.2)."""
    return page.do(f"""(() => {{
        const element = document.querySelector({json.dumps(selector)});
        const canvas = document.createElement('canvas').getContext('2d', {{willReadFrequently: true}});
        const backs = [];
        for (let e = element; e; e = e.parentElement) backs.unshift(getComputedStyle(e).backgroundColor);
        const pixel = colours => {{
            canvas.fillStyle = 'white';
            canvas.fillRect(0, 0, 1, 1);
            for (const colour of colours) {{ canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }}
            return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }};
        const light = ([r, g, b]) => {{
            const [x, y, z] = [r, g, b].map(v => v / 255)
                .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
            return .2126 * x + .7152 * y + .0722 * z;
        }};
        const [a, b] = [light(pixel([...backs, getComputedStyle(element).color])), light(pixel(backs))];
        return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    }})()""")


def test_colours(page):
    """Light and dark, by the system and by the toggle; small text is readable in both."""
    for dark in (False, True):
        page.open("?q=hunger+games", dark=dark)
        page.browser.click(".hit:first-child [data-does=why]")
        page.tab("why")
        background = page.do("getComputedStyle(document.documentElement).backgroundColor")
        assert (background != "rgb(251, 250, 247)") == dark, background
        for selector in SMALL_TEXT:
            ratio = contrast(page, selector)
            assert ratio >= 4.5, f"{selector} has a contrast of {ratio:.2f}, dark {dark}"
        if dark:
            page.picture("dark")
    page.browser.click("#switch-theme")
    page.until("getComputedStyle(document.documentElement).backgroundColor === 'rgb(251, 250, 247)'", "light colours")
    page.do("localStorage.removeItem('forage.theme')")


def test_widths(page):
    """No sideways scrolling from a small phone to a wide screen; on the phone filters and explanation are sheets."""
    for width in (360, 768, 1024, 1600):
        page.open("?q=harry+potter", width=width, height=760)
        overflow = page.do("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, f"{overflow} pixels too wide at {width}"
    for width in (360, 768, 1360):
        page.open("?v=learning", width=width, height=760, results=False)
        page.until("document.querySelector('time-chart path')", "the charts")
        overflow = page.do("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, f"the learning view is {overflow} pixels too wide at {width}"
    page.open("?q=harry+potter", width=360, height=760)
    page.picture("narrow")
    page.browser.click("#open-filters")
    page.until("document.querySelector('dialog.drawer[open] facet-panel input')", "the drawer")
    page.browser.click(".drawer input[value=book]")
    page.until("document.querySelector('.filter-chip')")
    page.browser.press("Escape")
    page.until("!document.querySelector('dialog[open]')")
    page.browser.click(".hit [data-does=why]")
    page.until("document.querySelector('dialog.reader[open] #panel-why')", "the sheet")
    assert page.do("(e => e.scrollWidth - e.clientWidth)(document.querySelector('#panel-why'))") <= 0
    page.browser.press("Escape")
    page.until("!document.querySelector('dialog[open]') && !location.search.includes('d=')")


def test_decision(page):
    """Below the results: what was asked of which strategy."""
    page.open("?q=hunger+games")
    names = page.do("[...document.querySelectorAll('decision-strip tbody tr')].map(e => e.dataset.strategy)")
    assert {"lexical", "memory", "popular"} <= set(names), names
    assert "propensity" in page.text("decision-strip")


def test_more(page):
    """The next page is appended, counted on, and the focus moves to its first hit."""
    page.open("?q=king")
    before = page.ids()
    page.browser.click(".button.more")
    page.until(f"document.querySelectorAll('.hit').length > {len(before)}", "more results")
    after = page.ids()
    assert after[:len(before)] == before and len(set(after)) == len(after)
    first = json.dumps(after[len(before)])
    page.until(f"document.activeElement.dataset.id === {first}", "the focus on the first new hit")


def test_nothing(page):
    """No results: advice instead of an empty page."""
    page.open()
    page.write("qzxjvk wqpfzz")
    page.until("document.querySelector('.nothing')", "advice")
    assert "qzxjvk" in page.text(".nothing h2")


def test_statistics(page):
    """What the engine has learned: counts, strategies, weights."""
    page.open()
    page.browser.click("#open-learning")
    page.until("document.querySelectorAll('learning-view .tiles > div').length >= 5", "the numbers")
    assert "19,580" in page.text("learning-view .tiles")
    assert page.do("document.querySelectorAll('learning-view .numbers [data-strategy=lexical]').length") > 0
    assert page.do("document.querySelectorAll('learning-view .weights tbody tr').length") > 3
    page.browser.press("Escape")
    page.until("!document.querySelector('.results-view').hidden")


def send(page, customers):
    """Asks for simulated customers, as the button does."""
    page.do("document.querySelector('learning-curves').dispatchEvent(new CustomEvent('customers-wanted',"
            f" {{bubbles: true, detail: {{customers: {customers}}}}})); true")
    page.until("document.querySelector('dialog[open] #confirm-title')", "the question")


def test_customers(page):
    """Simulated customers come when the reader says so, the lines move meanwhile, and in the end the page tells the regret."""
    page.open()
    page.browser.click("#open-learning")
    page.until("document.querySelector('.card-head .button:not([disabled])')", "the button")
    before = page.server.impressions()
    page.browser.click(".card-head .button")
    page.until("document.querySelector('dialog[open] #confirm-title')", "the question")
    assert "5,000 customers" in page.text("#confirm-title")
    page.browser.press("Enter")  # the harmless button has the focus
    page.until("!document.querySelector('dialog[open]')")
    assert page.server.impressions() == before, "customers came although nobody wanted them"
    customers = 5000 if SHOTS else 300
    send(page, customers)
    page.browser.click("dialog[open] .strong")
    page.until("document.querySelector('.run-state[data-state=running] progress')", "the progress")
    assert page.do("document.querySelector('.card-head .button').disabled")
    page.until("document.querySelector('.run-state[data-state=done] .tiles')", "the summary", 300)
    assert page.server.impressions() == before + customers
    told = page.text(".run-state")
    assert "Regret" in told and "the best fixed one" in told and "rrf-equal" in told, told
    page.until("document.querySelectorAll('time-chart:not([hidden]) path').length >= 5", "the charts")
    page.browser.size(1360, 1340)
    page.picture("learning")


def test_curves(page):
    """The curves can be read without a mouse, without colours and without pictures."""
    page.open("?v=learning", results=False)
    page.until("document.querySelector('.stacked path.area[data-strategy=lexical]')", "the areas")
    newest = page.text(".stacked .where")
    assert newest.startswith("latest"), newest
    for _ in range(5):  # the panel may still be drawing itself anew
        page.do("document.querySelector('.stacked .drawing').focus(); true")
        page.browser.press("Home")
        if page.text(".stacked .where").startswith("searches 1 to"):
            break
        time.sleep(0.5)
    assert page.text(".stacked .where").startswith("searches 1 to"), page.text(".stacked .where")
    assert "lexical" in page.do("document.querySelector('.stacked .drawing').getAttribute('aria-valuetext')").lower()
    page.browser.press("ArrowRight")
    assert not page.text(".stacked .where").startswith("searches 1 to")
    page.browser.click(".choice label:last-of-type")
    page.until("document.querySelector('.stacked h3').textContent.startsWith('Share')", "the shares")
    shares = page.texts(".stacked .series b")
    assert 98 <= sum(float(share.split()[0]) for share in shares) <= 102, shares
    page.browser.click("learning-curves .as-table summary")
    page.until("document.querySelectorAll('learning-curves .as-table tbody tr').length >= 2", "the table")
    counted = int(page.texts("learning-curves .as-table tbody th")[-1].split(" ")[-1].replace(",", ""))
    assert counted == page.server.impressions(), counted
    for dark in (False, True):
        page.browser.size(1360, 900, dark)
        for selector in (".unit", ".where", ".series li", ".choice span", ".choice label:last-of-type span", ".as-table summary"):
            ratio = contrast(page, selector)
            assert ratio >= 4.5, f"{selector} has a contrast of {ratio:.2f}, dark {dark}"


# ---- Rankers that are trained ----


def learning(page, ready, **size):
    page.open("?v=learning", results=False, **size)
    page.until(ready, seconds=60)
    page.until("!document.querySelector('examination-card').textContent.includes('Reading')", "the curve", 60)


def post(page, path, **body):
    return page.server.send("POST", f"collections/media/{path}", json.dumps(body).encode())


def card(number):
    return f"ranker-panel .model[data-model='{number}']"


def test_nothing_to_train(page):
    """Before anybody has searched, every part says what to do, and training says why it cannot."""
    with open(os.path.join(MEDIA, "schema.json"), "rb") as file:
        page.server.send("PUT", "collections/bare", file.read())
    try:
        page.open("?c=bare&v=learning", results=False)
        page.until("document.querySelector('.training p')", "advice")
        assert "at least 30 searches" in page.text(".training") and "0 searches" in page.text(".training")
        page.until("document.querySelector('.meaning').textContent.includes('No search has feedback yet')", "advice")
        assert not page.do("document.querySelector('.examination svg')"), "a curve of nothing"
        page.browser.click("[data-does=train]")
        page.until("document.querySelector('.training[data-state=refused]')", "the reason", 60)
        assert "0 searches of the log have feedback" in page.text(".training"), page.text(".training")
        assert not page.do("document.querySelector('[data-does=train]').disabled")
    finally:
        page.server.send("DELETE", "collections/bare")


def test_training(page):
    """A training shows how far it is and can be cancelled; the next one leaves a model with a verdict."""
    post(page, "train", kind="trees", trees=5000, patience=0, activate=False)
    learning(page, "document.querySelector('.training progress')")
    assert page.do("document.querySelector('[data-does=train]').disabled")
    page.until("/\\d tree/.test(document.querySelector('.phase')?.textContent)", "the trees", 120)
    assert "validation NDCG" in page.text(".phase"), page.text(".phase")
    page.browser.click("[data-does=cancel]")
    page.until("document.querySelector('.training[data-state=cancelled]')", "the end", 60)
    assert "Nothing was kept" in page.text(".training") and not page.texts(".model")
    page.browser.click(".train-settings summary")
    page.do("document.querySelector('.train-settings [name=activate]').click(); true")
    page.do("document.querySelector('.train-settings [name=name]').focus(); true")
    page.browser.type("First one")
    page.browser.click("[data-does=train]")
    page.until("document.querySelector('.training[data-state=running]')", "the training")
    page.until("document.querySelector('.training[data-state=done]')", "the model", 300)
    assert "Trained model 1" in page.text(".training") and "does not serve" in page.text(".training"), page.text(".training")
    assert "is trained" in page.text("#live")
    told = page.text(card(1))
    assert "First one" in told and "win" in page.text(card(1) + " .verdict"), told
    rows = page.texts(card(1) + " .intervals tr")
    assert len(rows) == 2 and "This model" in rows[0] and " to " in rows[0] and "linear" in rows[1], rows
    model = page.server.send("GET", "collections/media/models/1")
    assert f"{model['report']['held_out']['model']['value']:.3f}" in rows[0], rows


def test_serving(page):
    """Which ranker serves is chosen with a button, taken back with another, and the focus stays where it was."""
    number = post(page, "train", kind="trees", trees=30, activate=False, name="Trees", wait=True)["model"]
    learning(page, f"document.querySelector({json.dumps(card(number))})")
    assert "linear ranker that learns online" in page.text(".serving")
    page.do(f"document.querySelector({json.dumps(card(number) + ' [data-does=shadow]')}).focus(); true")
    page.browser.press("Enter")
    page.until(f"document.querySelector({json.dumps(card(number) + ' .badge.shadow')})", "the shadow")
    page.until("document.querySelector('.shadow-account').textContent.includes('No search with feedback was scored')", "its account")
    assert page.do("document.activeElement.closest('.model')?.dataset.model") == str(number), "the focus was lost"
    post(page, "simulate", customers=60, seed=9)
    page.browser.click("[aria-label='Read the numbers again']")
    page.until("document.querySelector('.shadow-account').textContent.includes('By the clicks on')", "its account", 60)
    assert len(page.texts(".shadow-account .intervals tr")) == 3, page.text(".shadow-account")
    post(page, "models/1/shadow")
    assert page.server.send("GET", "collections/media/shadow")["searches"] == 0, "another shadow's searches are in its account"
    post(page, f"models/{number}/shadow")
    page.browser.click(card(number) + " [data-does=activate]")
    page.until(f"document.querySelector({json.dumps(card(number) + ' .badge.serves')})", "the model to serve")
    assert "Trees" in page.text(".serving") and not page.text(".shadow-account")
    assert post(page, "search", query="dune")["ranker"]["name"] == f"model:{number}"
    page.browser.click("[data-does=roll-back]")
    page.until("document.querySelector('.serving').textContent.includes('online')", "the former ranker")
    page.browser.click(card(1) + " [data-does=remove]")
    page.until("document.querySelector('dialog[open]')", "the question")
    page.browser.click("dialog[open] .strong")
    page.until(f"!document.querySelector({json.dumps(card(1))})", "the model to go")


def test_model(page):
    """What a model looks at and what it learned from."""
    number = page.server.send("GET", "collections/media/models")["models"][-1]["model"]
    model = page.server.send("GET", f"collections/media/models/{number}")
    learning(page, f"document.querySelector({json.dumps(card(number))})")
    page.do(f"document.querySelector({json.dumps(card(number) + ' summary')}).focus(); true")
    page.browser.press("Enter")
    page.until("document.querySelector('.importance tbody tr')", "the features")
    rows = page.do("[...document.querySelectorAll('.importance tbody tr')].map(e => [...e.children].map(c => c.textContent))")
    assert 3 <= len(rows) <= 15, rows
    shares = [float(row[2].split()[0]) for row in rows]
    assert shares == sorted(shares, reverse=True) and shares[0] > 5, shares
    named = page.server.send("GET", "collections/media/features")["columns"]
    assert model["importance"][0]["feature"] in [one["name"] for one in named], model["importance"][0]
    assert page.do("document.querySelector('.importance tbody small').textContent") in [one["meaning"] for one in named]
    told = page.text(card(number) + " .model-body")
    assert f"{model['report']['data']['with_feedback']:,}" in told and "clicks" in told and "30" in told, told
    assert page.do("document.querySelectorAll('.model-body time-chart path.line').length") == 2
    assert page.texts(card(number) + " .model-body .from-zero"), "the difference is not shown"
    page.browser.size(1360, 1500)
    page.do("document.querySelector('ranker-panel').scrollIntoView(); true")
    page.picture("models")


def test_contributions(page):
    """What each feature added, whichever ranker serves: sorted, signed, and its sum is the score."""
    number = page.server.send("GET", "collections/media/models")["models"][-1]["model"]
    for ranker, method in ((number, "TreeSHAP, exact"), (0, "a weighted sum")):
        post(page, f"models/{ranker}/activate")
        page.open("?q=harry+potter")
        page.browser.click(".hit:first-child [data-does=why]")
        page.tab("why")
        assert method in page.story("What put it here"), page.story("What put it here")
        adds = [float(text.replace("\u2212", "-")) for text in page.texts(".features:first-of-type tbody [data-feature] .adds")]
        large = adds[:len(page.do("[...document.querySelector('.features').querySelectorAll('[data-feature]')].map(e => 1)"))]
        assert len(large) >= 2 and [abs(x) for x in large] == sorted((abs(x) for x in large), reverse=True), large
        cells = page.do("[...document.querySelector('.features').querySelectorAll('tbody .adds')].map(e => e.textContent)")
        everything = [float(text.replace("\u2212", "-")) for text in cells]
        total = float(page.text(".features tfoot .adds").replace("\u2212", "-"))
        assert abs(sum(everything) - total) < 0.01 * max(1, abs(total)), (everything, total)
        assert page.do("[...document.querySelectorAll('.features [data-feature]')].every(e => (e.querySelector('.adds').textContent[0]"
                       " === '+') === e.querySelector('.diverging').classList.contains('positive'))")
        if ranker:
            assert page.do("!document.querySelector('.folded').open"), "a long list is not folded"
            page.browser.click(".folded summary")
            page.until("document.querySelector('.folded[open] [data-feature]').getClientRects().length", "the smaller ones")
            assert "model:" in page.text("decision-strip .note")


def test_examination(page):
    """How far people look: a curve with intervals that can be read without a mouse, honest about what the log does not tell."""
    learning(page, "document.querySelector('.examination circle')")
    curve = page.server.send("GET", "collections/media/examination")
    shown = page.do("document.querySelectorAll('.examination circle').length")
    hollow = page.do("document.querySelectorAll('.examination circle.assumed').length")
    assert shown >= 5 and hollow == sum(not one["identified"] for one in curve["ranks"][:shown]), (shown, hollow)
    assert ("does not tell it yet" in page.text(".meaning")) != curve["identified"], page.text(".meaning")
    page.do("document.querySelector('.examination .drawing').focus(); true")
    page.browser.press("Home")
    assert page.text(".examination .where").startswith("Rank 1: 100 %"), page.text(".examination .where")
    page.browser.press("ArrowRight")
    told = page.do("document.querySelector('.examination .drawing').getAttribute('aria-valuetext')")
    assert told.startswith("Rank 2: ") and "clicks" in told, told
    page.browser.click(".examination summary")
    assert len(page.texts(".examination tbody tr")) == shown
    page.do("(e => { e.value = 'pivot'; e.dispatchEvent(new Event('change')); })(document.querySelector('examination-card select')); true")
    other = page.server.send("GET", "collections/media/examination?method=pivot")["ranks"][1]["estimate"]
    page.until(f"document.querySelector('.examination tbody tr:nth-child(2) td').textContent === '{round(other * 100, 1):g} %'",
               "the other estimate")


def test_experiment(page):
    """Two rankers compared: begun in a form, watched as an interval with a sentence, ended after a question."""
    learning(page, "document.querySelector('.experiment-form')")
    quiet = len(page.browser.complaints)
    page.do("""(() => { const f = document.querySelector('.experiment-form').elements;
        f.a.value = f.b.value = 'rrf'; f.b.dispatchEvent(new Event('change')); })(); true""")
    page.browser.click("[data-does=begin]")
    page.until("document.querySelector('experiment-panel .trouble:not([hidden])')", "the reason")
    assert "both are" in page.text("experiment-panel .trouble"), page.text("experiment-panel .trouble")
    del page.browser.complaints[quiet:]  # a browser logs failed requests; this one was meant to fail
    page.do("document.querySelector('.experiment-form').elements.a.value = 'linear'; true")
    page.browser.click("[data-does=begin]")
    page.until("document.querySelector('.experiment-result .badge.serves')", "the experiment")
    assert "linear-rrf" in page.text(".experiment-result") and "Nothing has been counted yet" in page.text(".experiment-result")
    page.browser.click("[data-does=end]")
    page.until("document.querySelector('dialog[open]')", "the question")
    page.browser.click("dialog[open] .strong")
    page.until("document.querySelector('.experiment-form:not([hidden])')", "the form again")
    assert "Ended" in page.text(".experiment-result")
    post(page, "experiment", name="short", a="linear", b="rrf", window_seconds=0.05)
    for query in ("dune", "harry potter", "stephen king"):
        assert post(page, "search", query=query)["experiment"] == {"name": "short", "side": "both"}
    page.until("document.querySelector('.experiment-result .interval')", "the interval", 30)
    assert "3 pages" in page.text(".experiment-result") and "Not decided yet" in page.text(".experiment-result .verdict")
    page.server.send("DELETE", "collections/media/experiment")


def test_models_look(page):
    """The parts about rankers fit narrow screens, have names, and can be read in light and dark."""
    number = page.server.send("GET", "collections/media/models")["models"][-1]["model"]
    for width, dark in ((360, False), (768, True), (1360, False)):
        learning(page, f"document.querySelector({json.dumps(card(number))})", width=width, height=900, dark=dark)
        page.do(f"document.querySelector({json.dumps(card(number) + ' details')}).open = true")
        page.until("document.querySelector('.importance tbody tr')", "the features")
        page.do("document.querySelector('.train-settings').open = true")
        wide = page.do("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0 and page.do("innerWidth") == width, f"the learning view is {wide} pixels too wide at {width}"
        spilt = page.do("""[...document.querySelectorAll('ranker-panel *, experiment-panel *, examination-card *')]
            .filter(e => e.getClientRects().length && !e.closest('.scroller, svg, .hidden-text'))
            .filter(e => e.getBoundingClientRect().right > e.closest('.card').getBoundingClientRect().right)
            .map(e => e.outerHTML.slice(0, 90))""")
        assert not spilt, f"outside its card at {width}: {spilt}"
        nameless = page.do("""[...document.querySelectorAll('learning-view :is(button, input, select, [role=slider])')]
            .filter(e => e.getClientRects().length && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
            .map(e => e.outerHTML.slice(0, 90))""")
        assert not nameless, nameless
        for selector in (".serving", ".verdict", ".badge.serves", ".when", ".intervals .told", ".importance small", ".model-body dt",
                         ".meaning", ".chart-foot .where", ".fields-row span", ".model-actions .button", ".experiment-form .note"):
            ratio = contrast(page, selector)
            assert ratio >= 4.5, f"{selector} has a contrast of {ratio:.2f}, dark {dark}"


def test_customers_refused(page):
    """When the server does not let the customers in, the page says why."""
    page.open("?v=learning", results=False)
    page.until("document.querySelector('.card-head .button:not([disabled])')", "the button")
    quiet = len(page.browser.complaints)
    send(page, 1000000000)
    page.browser.click("dialog[open] .strong")
    page.until("document.querySelector('.refusal')", "the reason")
    assert "customers" in page.text(".refusal"), page.text(".refusal")
    assert not page.do("document.querySelector('.card-head .button').disabled")
    del page.browser.complaints[quiet:]  # a browser logs failed requests; this one was meant to fail


def test_trouble(page):
    """The server goes away and comes back with an API key: a banner, then a question, then results."""
    page.open()
    quiet = len(page.browser.complaints)
    page.server.stop()
    page.write("dune")
    page.until("!document.querySelector('.banner').hidden", "the banner")
    page.server.start(page.server.address, key="open-sesame-open-sesame")
    page.until("document.querySelector('dialog[open] #api-key')", "the question for the key")
    page.browser.type("open-sesame-open-sesame")
    page.browser.press("Enter")
    page.until("document.querySelector('.banner').hidden && document.querySelector('.hit mark')", "results")
    del page.browser.complaints[quiet:]  # a browser logs failed requests; these were meant to fail
    page.server.stop()
    page.server.start(page.server.address)


def main():
    browser_path = find_browser()
    tests = [function for name, function in globals().items() if name.startswith("test_")]
    if not browser_path:
        print("SKIPPED: no Chromium (tools/deps.sh --browser installs it): the page is not tested")
        print(f"0 passed, 0 failed, {len(tests)} skipped")
        return 0
    passed = failed = 0
    with Server() as server, Browser(browser_path) as browser:
        for test in tests:
            browser.complaints.clear()
            try:
                test(Page(browser, server))
                assert not browser.complaints, f"the browser complains: {browser.complaints}"
                passed += 1
            except (AssertionError, PageError, OSError) as failure:
                failed += 1
                print(f"{test.__name__}: {failure}")
                traceback.print_exc(file=sys.stdout)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
