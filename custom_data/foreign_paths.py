"""Names of pictures as another machine or a web server has them: which end of them is a path below a folder here."""
import os
import re
from collections import Counter
from urllib.parse import unquote

from incv.custom_data.image_files import IMAGE_FILES
from incv.data import DataError
from incv.utils import listed, many

TRIED = 2000  # names from which it follows which beginnings are not here


def plain(name):
    """Return a name as a path with /: without file://, a query (?X-Signature=...) and %20; what follows Label Studio's ?d=."""
    name = name.strip().replace("\\", "/")
    if "?d=" in name:
        name = name.partition("?d=")[2]
    if "://" in name:
        name = re.split(r"[?#]", name)[0]
    name = re.sub(r"^file:/+", "/", name)
    return unquote(name) if "%" in name else name


def is_address(name, with_ending=True):
    """Return whether a name is an address on a server: https://, s3:// and the like. with_ending: as of a picture."""
    on_server = re.match(r"\s*(?!file:)[a-z][a-z0-9+.-]*://", name, re.I) is not None
    return on_server and (not with_ending or plain(name).lower().endswith(IMAGE_FILES))


def find(names, find_file, known):
    """Find pictures by the longest end of their name that is a path here.

    All names with the same beginning lose the same part of it, the one that most of them lose: a picture that is missing in
    its own folder is not found in the folder above.

    Parameters
    ----------
    names : list of str
        That name no picture as they are, each once.
    find_file : callable
        ``find_file(path)`` returns the file of a relative path, or None.
    known : {name: file}
        The pictures that are found by their names.

    Returns
    -------
    found : {name: file}
    beginnings : list of str
        What names lose, the most frequent first.
    """
    plains = {name: plain(name) for name in names}
    sample = list(plains.values())[::max(1, len(plains) // TRIED)]
    lost = Counter(beginning for name in sample if (beginning := _lost(name, find_file)) is not None)
    beginnings = [""] if any(not is_absolute(name) for name in known) else []
    for beginning, _ in lost.most_common():
        if not any(_alike(beginning, other) for other in beginnings):
            beginnings.append(beginning)
    found, used = {}, Counter()
    for name, path in plains.items():
        for beginning in beginnings:
            if path.startswith(beginning) and (is_absolute(path) == is_absolute(beginning)):
                file = find_file(path[len(beginning):])
                if file is not None:
                    found[name], used[beginning] = file, used[beginning] + 1
                break
    return found, [beginning for beginning, _ in used.most_common()]


def _lost(name, find_file):
    """Return the shortest beginning without which a name is a path here, or None."""
    starts = [0] if not is_absolute(name) else []
    for start in starts + [place + 1 for place, letter in enumerate(name) if letter == "/"]:
        end = name[start:]
        if end and not end.startswith("/") and ".." not in end.split("/") and find_file(end) is not None:
            return name[:start]
    return None


def renamed(names, known, some_known=False):
    """Return {name: name in a list} of pictures that another version of the list names, by the longest end that both have.

    Only where all names have lost the same beginning, and all of the list have got the same one: a picture that is not in the
    list any more is not another one of its name in another folder.

    Parameters
    ----------
    names : list of str
        That are not in the list, each once.
    known : iterable of str
        The names in the list, each once.
    some_known : bool
        Whether other names are in the list as they are: a folder that names lack is not a new beginning of all names then.
    """
    parts_of, by_last = {name: _parts(name) for name in known}, {}
    for name, parts in parts_of.items():
        by_last.setdefault(parts[-1], []).append(name)
    asked = {name: _parts(name) for name in names}
    common = [os.path.commonprefix([parts[:-1] for parts in each.values()]) for each in (asked, parts_of)]
    found = {}
    for name, mine in asked.items():
        ends = {other: len(os.path.commonprefix([mine[::-1], parts_of[other][::-1]])) for other in by_last.get(mine[-1], ())}
        longest = [other for other, length in ends.items() if length == max(ends.values())]
        if len(longest) != 1:
            continue
        theirs = parts_of[longest[0]]
        beginnings = [parts[:len(parts) - ends[longest[0]]] for parts in (mine, theirs)]
        absolute = [is_absolute("/".join(parts)) for parts in (mine, theirs)]
        alike = all(beginning == shared[:len(beginning)] for beginning, shared in zip(beginnings, common, strict=True))
        anew = not all(beginnings) or all(absolute)  # not one folder here instead of another
        if not any(beginnings) or alike and anew and (any(absolute) or not some_known):
            found[name] = longest[0]
    return found


def _parts(name):
    """Return the parts of a path, a list: of an absolute one the first is "" or a drive."""
    parts = plain(name).split("/")
    return [part for place, part in enumerate(parts) if part != "." and (part or not place)] or [""]


def is_absolute(name):
    return bool(re.match(r"\s*([/\\]|[A-Za-z][A-Za-z0-9+.-]*:)", name))


def _alike(one, other):
    """Return whether one beginning continues the other: what is missing below one is not looked for below the other."""
    return is_absolute(one) == is_absolute(other) and (one.startswith(other) or other.startswith(one))


def check_apart(path, found, known):
    """Raise DataError if different names lead to one picture. found, known: as in `find`."""
    name_of = {file: name for name, file in known.items() if file is not None}
    for name, file in found.items():
        other = name_of.setdefault(file, name)
        if plain(other) != plain(name):
            raise DataError(f"{path}: {other!r} and {name!r} may both be {file!r}: write names that exist, or give --images "
                            f"DIR, the folder in which both do")


def told(path, found, beginnings, places):
    """Return the warning that says how pictures are found. places: folders."""
    without = [repr(beginning) for beginning in beginnings if beginning]
    how = f"without {listed(without, 3)}, the beginning of their names" if without else "after their names are decoded"
    return f"{path}: {many(len(found), 'picture')} found in {' and '.join(dict.fromkeys(places))} {how}"


def refuse_addresses(path, column, names, images, label):
    """Raise DataError for a column of addresses (names, a pandas.Series) of which no picture is found."""
    first = next(name for name in names if is_address(name, with_ending=False))
    of_column = "its lines contain" if label is None else f"column {column!r} contains"
    if images is None:
        raise DataError(f"{path}: {of_column} addresses of pictures such as {first!r}, which are not downloaded here: "
                        f"download them, and give --images DIR, the folder that contains them")
    raise DataError(f"{path}: {of_column} addresses of pictures such as {first!r}, none of which is in {images}: download "
                    f"them, and give --images DIR, the folder that contains them")


def addresses_in(table, path):
    """Return the warnings of the columns of a DataFrame that contain addresses of pictures, which a table does not use."""
    lines = []
    for name in table.columns[[kind.kind not in "biuf" for kind in table.dtypes]]:
        cells = table[name].dropna()
        if len(cells) and cells.head(100).map(
                lambda cell: isinstance(cell, str) and is_address(cell)).mean() > 0.5:
            lines.append(f"{path}: column {name!r} contains addresses of pictures, which are not downloaded: to check "
                         f"pictures, download them and give --images DIR")
    return lines
