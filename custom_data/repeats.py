"""Samples that may repeat each other, such as the frames of one video: what names, columns and neighbours in a file say.

    told = repeats.in_columns(table, path) or repeats.in_order(x, y, path, "rows")

A warning has the code `coded.MAY_BE_GROUPS` if the samples are alike indeed (alike.py): while it stands, the verdict does not
say that all labels are right.
"""
import itertools
import re
from collections import namedtuple

import numpy as np

from incv.custom_data import alike, cells, coded

# What groups are called; "id" and the like may be beside it, in any case: subject, Patient ID, speakerId, clip_name.
WORDS = {"subject", "subj", "patient", "participant", "respondent", "person", "individual", "volunteer", "donor", "user",
         "session", "speaker", "singer", "artist", "author", "writer", "clip", "video", "recording", "song", "track",
         "album", "scene", "sequence", "shot", "bout", "site", "hospital", "household", "animal", "mouse", "rat",
         "specimen", "slide", "group", "customer", "client", "camera", "conversation", "dialogue", "document"}
BESIDE = {"id", "ids", "no", "nr", "num", "number", "name", "code", "key", "uid", "uuid", "index", "identifier", "label"}
FEWEST = 5  # groups; fewer say little of one another
# What is left of a name without its last number, its last part, or a letter after its last number: the name of a group.
CUTS = {r"(.+?)[\W_]*(?<!\d)\d+": "number", r"(.+)[\W_][^\W_]+": "part", r"(.*\d)[A-Za-z]": "letter"}
EXTENSION = r"\.\w+"
SAMPLED, OTHERS, COLUMNS = 400, 40, 40  # samples that are looked at; those each is compared with; orders that are tried
LEAST = 50  # samples that have a neighbour in the file
NEAR = 0.5  # the fraction of samples nearest to their neighbour in the file above which they may repeat each other
APART = 30  # samples of its class that are between a sample and those that it is compared with
CLEAR = 0.6  # the fraction that needs no comparison, if no column sorts the file
ABOVE = 0.15  # what this fraction must exceed that of the order of a column by

# How a warning says what to do: about a column (noun), names of a pattern, neighbours; and otherwise, if it names no groups.
Advice = namedtuple("Advice", "noun column pattern order otherwise")
TABLE = Advice("column", "give --group {name}", "give --group '{name}:{pattern}'",
               "give --group COLUMN, which says what belongs together (add one if there is none)", "--drop it")
ARRAYS = TABLE._replace(noun="array", order="give --group NAME, an array that says what belongs together",
                        otherwise="remove the array")
PICTURES = TABLE._replace(order="give --group 'name:PATTERN', a part of the file names that says what belongs together")
PYTHON = Advice("column", "give groups=x[{name!r}]", "give groups=, what the names have in common",
                "give groups=, the name of what each sample belongs to", "leave it out")


def in_columns(table, path, advice=TABLE, samples=None):
    """Return {column: warning} of the columns of a DataFrame that are called as groups are, and whose values repeat.

    samples: alike.Samples. A warning has the code only if those of the same value are alike; if groups are given, there is
    none otherwise.
    """
    found = {}
    for name in table:
        if is_called_so(name) and _repeat(table[name]):
            evidence = samples and samples.repeat(table[name], name)
            text = f"{path}: {advice.noun} {name!r} is called as groups are"
            if evidence:
                found[name] = coded.Warning(
                    f"{text}, and {alike.said(evidence)}: if samples of the same value belong together, "
                    f"{for_column(advice, name)}; if not, rename it", coded.MAY_BE_GROUPS)
            elif samples is None or samples.groups is None:
                found[name] = f"{text}: if samples of the same value belong together, {for_column(advice, name)}"
    return found


def for_column(advice, name):
    """Return what to do if a column names groups. advice: Advice."""
    return advice.column.format(name=name if advice is PYTHON or re.fullmatch(r"[\w.-]+", str(name)) else repr(str(name)))


def is_called_so(name):
    """Return whether a column is called as groups are, such as "subject" or "PatientID"."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", str(name))
    words = {word.casefold() for word in words} - BESIDE
    return len(words) == 1 and words <= WORDS


def _repeat(values):
    """Return whether the values of a pandas.Series are names that repeat: not nearly all different, not with fractions."""
    import pandas as pd

    values = values.dropna()
    try:
        distinct = values.nunique()
    except TypeError:  # lists
        return False
    if pd.api.types.is_float_dtype(values) and (values % 1 != 0).any():
        return False
    return FEWEST <= distinct <= len(values) / 2


# --- names ------------------------------------------------------------------------------------------------------------

def in_names(names, y, what, option="name", advice=TABLE, samples=None):
    """Return the warning of names, such as clip07_003.png, that are equal without their last number or part; [] if none are.

    names: str [n], file names below a folder or ids; y: int [n]; what: how it begins; option: of --group, before the pattern;
    samples: alike.Samples, which must be alike if their names are.
    """
    names = [str(name).strip() for name in names]
    if len(set(names)) < len(names) / 2:  # rows of the same name
        return []
    ending = _ending(names)
    for pattern, stems in _cuts(names, y):
        evidence = None if samples is None else samples.repeat(stems)
        if samples is None or evidence:
            give = advice.pattern.format(name=option, pattern=f"^{pattern}{EXTENSION if ending else ''}$")
            shown = "" if evidence is None else f", and {alike.said(evidence)}"
            return [coded.Warning(f"{what} are equal in groups without their last {CUTS[pattern]}, such as "
                                  f"{next(filter(None, stems))!r}{shown}: if these belong together, such as frames of one "
                                  f"video, {give}", coded.MAY_BE_GROUPS)]
    return []


def are_ids(texts):
    """Return whether texts are ids or file names, not sentences, dates or quantities: without spaces, with a letter."""
    distinct = cells.Distinct(texts)
    return bool(distinct.mean([bool(re.fullmatch(r"\S*[^\W\d_]\S*", text)) for text in distinct.texts]) > 0.9)


def _cuts(names, y):
    """Yield (which of `CUTS`, what it leaves of names, object [n]) where that repeats, and is not the classes."""
    if len(names) < 2 * FEWEST:
        return
    ending = _ending(names)
    names, classes = [_without_ending(name, ending) for name in names], len(np.unique(y))
    if len(set(names)) < len(names) / 2:  # rows of the same name
        return
    for pattern in CUTS:
        found = map(re.compile(pattern).fullmatch, names)
        # A name without any number is a word: daisy_1, daisy_2 are no two of one daisy.
        stems = np.array([match[1] if match and re.search(r"\d", match[1].rpartition("/")[2]) else "" for match in found],
                         dtype=object)
        inside = stems != ""
        if not inside.any():
            continue
        counts = cells.Distinct(stems[inside]).counts
        several = counts > 1
        if several.sum() >= max(FEWEST, 1.5 * classes) and counts[several].sum() > len(names) / 2 and (
                counts.max() < len(names) / 2):
            yield pattern, stems


def _ending(names):
    """Return whether nearly all names end in an extension."""
    return bool(np.mean([bool(re.search(r"\.[A-Za-z]\w{0,4}$", name)) for name in names]) > 0.9)


def _without_ending(name, ending):
    return re.sub(EXTENSION + "$", "", name) if ending else name


# --- neighbours in the file -------------------------------------------------------------------------------------------

def in_order(x, y, path, what="rows", advice=TABLE, groups=None):
    """Return the warning of samples that are like their neighbours in the file, of other groups; [] if they are not.

    x: array [n, ...] of numbers in the order of the file; y: int [n]; what: the samples are called; groups: object [n].
    """
    found = like_neighbours(x, y, groups=groups)
    if found is None:
        return []
    near, chance = found
    return [coded.Warning(f"{path}: {near:.0%} of the {what} are nearer to the one before or after than to {OTHERS} others of "
                          f"their class ({chance:.0%} by chance): if they repeat each other, such as overlapping windows or "
                          f"frames of one video, {advice.order}", coded.MAY_BE_GROUPS)]


def like_neighbours(x, y, seed=0, groups=None):
    """Return (fraction of samples nearest to their neighbour in the file, the same by chance) if it is large, else None.

    A sample's neighbours are the ones before and after it that have its label. It is nearest to them if none of `OTHERS`
    random samples of its class from other places in the file is nearer. In a file that is sorted by a column, neighbours are
    alike without repeating each other. So columns that the file is sorted by do not count, and if there are any, neighbours
    in the file must be more alike than neighbours in the order of any other column. x: array [n, ...] of numbers, NaN where
    missing; y: int [n]; groups: object [n], "" for none: neighbours of one group do not count.
    """
    generator = np.random.default_rng(seed)
    neighbours = _neighbours(np.arange(len(y)), y)
    if groups is not None:
        neighbours[(groups[neighbours] == groups) & (groups != "")] = -1
    asked = np.flatnonzero((neighbours >= 0).any(axis=0) & (np.bincount(y)[y] >= OTHERS / 2))
    if len(asked) < LEAST:
        return None
    asked = np.sort(generator.choice(asked, min(SAMPLED if x.ndim == 2 else SAMPLED // 2, len(asked)), replace=False))
    others = _far_away(asked, y, generator)
    vectors = alike.scaled(x, y, np.unique(np.r_[asked, others.ravel()]))
    if vectors is None:
        return None
    mine = vectors(asked)
    distance = np.stack([_distance(vectors(others[:, each]), mine) for each in range(OTHERS)])
    nearest = np.where(distance == 0, np.inf, distance).min(axis=0)

    def fraction(pairs):
        """Return how many samples are nearest to one of these, int [2, number asked], -1 for none; copies do not count."""
        distance = np.stack([_distance(vectors(np.maximum(each, 0)), mine) for each in pairs])
        distance = np.where((pairs < 0) | (distance == 0), np.inf, distance).min(axis=0)
        known = np.isfinite(distance)
        return float((distance[known] < nearest[known]).mean()) if known.sum() >= LEAST else 0.0

    near = fraction(neighbours[:, asked])
    if near < NEAR:
        return None
    if x.ndim == 2:
        sorted_ = near < CLEAR or any(_leans(column, y) for column in x.T)
        orders = itertools.chain(_by_categories(x, y, generator), _orders(x, y, generator) if sorted_ else ())
        if any(near < fraction(_neighbours(order, y)[:, asked]) + ABOVE for order in orders):
            return None
    return near, 2 / (2 + OTHERS)


def _far_away(asked, y, generator):
    """Return `OTHERS` samples of the class of each one asked, int [number asked, OTHERS], from other places in the file.

    A large group that is written row by row would else be compared with itself.
    """
    found = np.empty((len(asked), OTHERS), dtype=np.int64)
    for label in np.unique(y[asked]):
        members, mine = np.flatnonzero(y == label), np.flatnonzero(y[asked] == label)
        gap = min(max(APART, len(members) // 20), len(members) // 4)
        place = np.searchsorted(members, asked[mine])
        left = np.maximum(place - gap, 0)  # how many are before
        number = left + np.maximum(len(members) - place - gap - 1, 0)
        drawn = (generator.random((len(mine), OTHERS)) * number[:, None]).astype(np.int64)
        found[mine] = members[np.where(drawn < left[:, None], drawn, drawn - left[:, None] + (place + gap + 1)[:, None])]
    return found


def _leans(column, y):
    """Return whether a column of numbers rises or falls from row to row far more often than by chance, as in a sorted file.

    As a whole or within the classes; a column of equal steps only counts the rows.
    """
    for values, labels in ((column, np.zeros(len(y))), (column, y)):
        steps = np.diff(np.asarray(values, dtype=float))[np.diff(labels) == 0]
        steps = steps[np.isfinite(steps) & (steps != 0)]
        if len(steps) > 1 and (steps == np.median(steps)).mean() > 0.5 and len(steps) > len(y) / 2:
            continue
        if len(steps) > 1 and abs((steps > 0).mean() - 0.5) > 0.25 + 1 / len(steps) ** 0.5:
            return True
        if len(steps) > 3 and ((steps > 0).all() or (steps < 0).all()):
            return True
    return False


def _by_categories(x, y, generator):
    """Yield the order of a file that is sorted by categories, within its classes, the rows of one of them in a random order.

    x has a column of two values for each category, which is then in one place. Fewer than three explain little.
    """
    by_class = np.argsort(y, kind="stable")
    marked, ends, number = np.zeros(len(y), dtype=bool), np.zeros(len(y) - 1, dtype=bool), 0
    inside = y[by_class[1:]] == y[by_class[:-1]]
    for column in x.T:
        if len(values := np.unique(column[:5000])) == 2:
            mark = column == values[1]
            changes = (mark[by_class[1:]] != mark[by_class[:-1]]) & inside
            most = np.bincount(y[by_class[1:]][changes]).max() if changes.any() else 0
            if 0 < most <= 2 and not (mark & marked).any():
                marked, ends, number = marked | mark, ends | changes, number + 1
    if number >= 3:
        place = np.empty(len(y))
        place[by_class] = np.r_[0, np.cumsum(ends)]
        yield np.lexsort((generator.random(len(y)), place, y))


def _neighbours(order, y):
    """Return the samples before and after each one in an order, int [2, n], -1 where there is none or it has another label."""
    found = np.full((2, len(y)), -1)
    alike = y[order[1:]] == y[order[:-1]]
    found[0, order[1:][alike]], found[1, order[:-1][alike]] = order[:-1][alike], order[1:][alike]
    return found


def _distance(one, other):
    return np.sqrt(((one - other) ** 2).sum(axis=1))


def _orders(x, y, generator):
    """Yield orders of the samples, int [n]: by label, then by a column, or by two of which the first has few values."""
    ties = generator.random(len(y))
    columns = np.flatnonzero(~alike.sorted_by(x, y) & (np.nanmin(x, axis=0) < np.nanmax(x, axis=0)))
    columns = [x[:, each] for each in generator.permutation(columns)[:COLUMNS]]
    for column in columns:
        yield np.lexsort((ties, column, y))
    few = [column for column in columns if len(np.unique(column[:5000])) <= 50][:4]
    for first in few:
        for second in columns[:10]:
            yield np.lexsort((ties, second, first, y))
