"""The Last.fm replay's protocol for encoders: who asked for what, in two halves.

A row of user_taggedartists.dat is a search: its tag is the query, its artist what was chosen. Rows are sorted by date; the first half
teaches; of the second, every seventh row whose user and artist never met before is asked."""

import os

import harness


def rows(name):
    with open(harness.data("lastfm-2k", name), encoding="latin-1") as file:
        next(file)
        for line in file:
            yield line.rstrip("\n").split("\t")


def readable(text):
    """artists.dat is UTF-8, tags.dat latin-1; both were read as latin-1."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return text


def taggings():
    """(user, artist, tag) in the order of the replay."""
    dated = []
    for user, artist, tag, day, month, year in rows("user_taggedartists.dat"):
        if 2005 <= int(year) <= 2011:
            dated.append(((int(year), int(month), int(day)), (int(user), int(artist), int(tag))))
    dated.sort(key=lambda row: row[0])
    return [row for _, row in dated]


def halves(every=7):
    """Artists as (id, name), the first half as (artist, tag text), what is asked of the second likewise."""
    tags = {int(number): readable(text) for number, text in rows("tags.dat")}
    all_rows = taggings()
    names = {artist: str(artist) for _, artist, _ in all_rows}
    names.update((int(cells[0]), readable(cells[1])) for cells in rows("artists.dat"))
    middle = len(all_rows) // 2
    met = {(user, artist) for user, artist, _ in all_rows[:middle]}
    taught, asked = [(artist, tags[tag]) for _, artist, tag in all_rows[:middle]], []
    for at, (user, artist, tag) in enumerate(all_rows[middle:]):
        if at % every == 0 and (user, artist) not in met:
            asked.append((artist, tags[tag]))
        met.add((user, artist))
    return sorted(names.items()), taught, asked
