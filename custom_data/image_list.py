"""Lists of pictures: a table (.csv, .tsv, .jsonl, .parquet) with a column of file names, a .txt of "path label" lines, or a
.parquet (or a folder of its parts) that contains the pictures (custom_data/image_parquet.py).

    if image_list.is_list(path, source): found = image_list.opened(path, source).pictures(source)
    x, broken = image_list.decode(found, np.arange(len(found.rows)))
"""
import dataclasses
import functools
import hashlib
import os
import re
import shlex
import unicodedata
from pathlib import Path

import numpy as np

from incv.custom_data import (
    foreign_paths,
    group_names,
    image_files,
    image_parquet,
    image_stream,
    json_files,
    labels,
    row_ids,
    table_file,
)
from incv.data import DataError
from incv.utils import listed, many, missing, python_command


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
    """The n samples that a list of pictures names, not yet decoded.

    column: of the pictures; rows: positions in the list, int [n]; rows_in_file: its length; names [n]: the pictures as named
    in the list; files: paths relative to the list's folder, None for a .parquet with pictures; given: the labels, int [n];
    y_train: the true labels, int [n], -1 for unknown ones; groups: object [n]; row_ids: of the pictures in a .parquet, object
    [n]; shape: of a picture; checksum, warnings, left_out, shrunk: as in data.Dataset; of_pictures: the checksum of the
    pictures alone; others: the other columns of the list, a DataFrame of n rows.
    """

    path: Path
    column: str
    rows: np.ndarray
    rows_in_file: int
    names: np.ndarray
    files: list | None
    class_names: np.ndarray
    given: np.ndarray
    y_train: np.ndarray | None
    groups: np.ndarray | None
    row_ids: np.ndarray | None
    shape: tuple
    checksum: str
    of_pictures: str
    warnings: list
    left_out: dict
    shrunk: str | None
    others: object


def is_list(path, source):
    """Return whether a file, or a folder of .parquet files, names or contains pictures.

    source: source.Source. Raises DataError if none of the named pictures exists.
    """
    if not table_file.is_table(path) and not image_parquet.is_parquet(path):
        return False
    column = opened(path, source).column
    if column is None and os.path.isdir(path):
        raise DataError(f"{path}: a folder of .parquet files that neither contain nor name pictures; give a table as one file")
    return column is not None


def opened(path, source):
    """Return the ImageList of a file or folder; cached while the list does not change."""
    stamps = tuple((found.st_size, found.st_mtime_ns) for found in map(os.stat, (
        image_parquet.parts(path) if image_parquet.is_parquet(path) else [path])))
    not_pictures = tuple(filter(None, [source.label, source.group, source.true_label, *(source.drop or ())]))
    return _opened(stamps, path=Path(path), label=source.label, images=source.images, group=source.group,
                   not_pictures=not_pictures)


@functools.lru_cache(maxsize=4)
def _opened(stamps, **named):
    return ImageList(**named)


class ImageList:
    """A list of pictures.

    Parameters
    ----------
    path : Path
    label, images, group : str or None
        As in source.Source.
    not_pictures : tuple of str
        Columns that name no pictures.
    """

    def __init__(self, path, label, images, group, not_pictures):
        self.path, self.label, self.images, self.group, self.not_pictures = path, label, images, group, not_pictures
        self._read = functools.lru_cache(maxsize=2)(self._read)  # cached while no picture changes

    @functools.cached_property
    def table(self):
        """All cells as text, a DataFrame with the rows of the file. A .txt has the columns "0" (path) and "1" (label)."""
        return self._table_and_notes[0]

    @functools.cached_property
    def _table_and_notes(self):
        return _table(self.path, self.label)

    @functools.cached_property
    def column(self):
        """The column that names or contains pictures, None if there is none."""
        return _column(self)

    def pictures(self, source, known=None):
        """Return the Pictures; cached while none of them changes.

        source: source.Source, of which true_label, image_size and classes are used (with classes, rows of other classes are
        not used); known: the class names, if they are fixed (for test pictures).
        """
        named, classes = None, (source.classes, None if known is None else tuple(known))
        if self.column in self.table:
            wanted = _wanted(self.path, self.table, self.label, *classes)
            of_names, told = _files(self.path, self.table[self.column][wanted], self.images)
            found = iter(of_names)
            names, files = self.table[self.column].tolist(), [next(found) if each else None for each in wanted]
            stamps = {file: image_files.stamp(_base(self.path) / file) for file in set(files) - {None}}
            named = tuple(names), tuple(files), tuple(stamps.items()), tuple(told)
        return self._read(named, *classes, true_label=source.true_label, image_size=source.image_size)

    def _read(self, named, classes, known, true_label, image_size):
        """named: (names of the pictures, files, (file, (size, time)) pairs, warnings), None for pictures in a .parquet."""
        path, label, column = self.path, self.label, self.column
        table, notes = self._table_and_notes
        group, pattern = group_names.parted(self.group, table, pictures=True)
        in_text = path.suffix.lower() == ".txt" and label is None
        if not in_text:
            _refuse_one_hot(path, table, column, label, [name for name in self.not_pictures if name != label])
        if label is None and not in_text:
            raise DataError(f"--dataset {path}: which column contains the labels? give --label COLUMN, one of "
                            f"{listed([repr(name) for name in table if name != column], 30)}")
        by_name = pattern is not None and group not in table  # --group name:PATTERN
        for name in filter(None, [label, None if by_name else group, true_label]):
            if name not in table:
                raise DataError(f"{path}: no column {name!r}; its columns are {listed([repr(each) for each in table])}")
        others = [name for name in table if name not in (column, group, *self.not_pictures)] if not in_text else []
        warnings = list(notes) + ([f"{path}: a list of pictures, in column {column!r}; not used: columns "
                                   f"{listed([repr(name) for name in others])}"] if others else [])
        warnings += named[3] if named is not None else ()
        texts = table["1" if in_text else label]
        what = f"{path}: the labels" + ("" if in_text else f" in column {label!r}")
        wanted = _wanted(path, table, label, classes, known)
        if len(table) and not wanted.any():
            raise DataError(f"{path}: none of its pictures has a class that is trained on; give another list")
        digests = np.zeros(len(wanted), dtype=np.uint64)
        scan, names, files, missing = _scan(path, wanted, column, named, image_size, digests)
        used = np.array([int(row) for row in scan.labels], dtype=np.int64)
        if missing:
            number = sum(file is None and each for file, each in zip(files, wanted, strict=True))
            warnings.append(f"{path}: {number} of {many(int(wanted.sum()), 'picture')} are missing: see the file ending in "
                            f"_left_out.csv")
        keep, kept, told = labels.checkable(texts.to_numpy(dtype=str)[used], what)
        if known is not None:  # a test picture may be the only one of its class
            keep, told = np.char.strip(texts.to_numpy(dtype=str)[used]) != "", []
            kept = np.char.strip(texts.to_numpy(dtype=str)[used][keep])
        try:
            class_names, given = labels.classes_of(labels.integers_if_all(kept.astype(np.str_)), what,
                                                   None if known is None else np.array(known))
        except DataError as error:
            raise DataError(f"{error}" + (f"; {number} of {many(int(wanted.sum()), 'picture')} are missing, the first "
                                          f"{next(iter(missing))!r}" if missing else "")) from None
        rows = used[keep]
        told += _named_twice(path, [names[row] for row in rows], given)
        y_train = None if true_label is None else labels.truth(
            table[true_label].to_numpy()[rows], class_names, f"{path}: the true labels in column {true_label!r}",
            () if classes is None else texts.astype(str).str.strip())
        of_group, listed_names = None, group_names.as_text([names[row] for row in rows])
        if group is not None:
            of_group = listed_names if by_name else group_names.as_text(table[group])[rows]
            of_group = of_group if pattern is None else group_names.matched(of_group, pattern, self.group)
            told = told + group_names.checked(of_group, given, class_names, f"{path}: --group {self.group}")
        content = (texts.tolist(), names, *(
            table[name].tolist() for name in (None if by_name else group, true_label) if name is not None))
        checksum = hashlib.sha256(scan.checksum.encode() + repr(content).encode("utf-8", "surrogateescape"))
        return Pictures(path=path, column=column, rows=rows, rows_in_file=len(table), class_names=class_names, given=given,
                        y_train=y_train, groups=of_group,
                        row_ids=row_ids.numbered(digests[rows]) if named is None else None,
                        names=np.array([image_files.shown(names[row]) for row in rows], dtype=object),
                        files=None if named is None else [files[row] for row in rows], shape=scan.shape,
                        checksum=checksum.hexdigest(), of_pictures=scan.checksum, warnings=[*warnings, *scan.warnings, *told],
                        left_out=missing | scan.left_out, shrunk=scan.shrunk, others=table[others].iloc[rows])


def read_test(source, class_names):
    """Return the Pictures of --test_list, labelled with the dataset's class names. source: source.Source of the dataset."""
    path = source.test_list
    as_test = dataclasses.replace(source, images=source.test_images or source.images, group=None, true_label=None,
                              label=None if path.lower().endswith(".txt") else source.label)
    try:
        if not Path(path).is_file() and not image_parquet.is_parquet(path):
            raise DataError(f"{path}: {missing(path)}")
        if os.path.samefile(path, source.path):
            raise DataError(f"{path}: the networks are trained on these pictures; give another list")
        if not is_list(path, as_test):
            raise DataError(f"{path}: no column names an existing picture: give --images DIR, the folder that its names are "
                            f"relative to")
        return _apart(opened(path, as_test).pictures(as_test, class_names), opened(source.path, source).pictures(source))
    except DataError as error:
        raise DataError("--test_list " + str(error).removeprefix("--dataset ").replace("--images", "--test_images")) from None


def _apart(test, training):
    """Return the Pictures of --test_list, with a warning about those in the training list; DataError if all are in it."""
    of_both = []
    for found in (test, training):
        base = os.path.realpath(_base(found.path))
        of_both.append({os.path.normpath(os.path.join(base, file)) for file in found.files or ()})
    common = len(of_both[0] & of_both[1])
    if common and common == len(of_both[0]):
        raise DataError(f"{test.path}: the networks are trained on these pictures; give another list")
    told = [f"--test_list {test.path}: the networks are trained on {common} of its {many(len(of_both[0]), 'picture')}: test "
            f"accuracy is overestimated"] if common else []
    return dataclasses.replace(test, warnings=[*test.warnings, *told])


def decode(found, chosen, scratch=None, quiet=True):
    """Decode some samples; return (x, positions in `chosen` of those that cannot be decoded). chosen: ascending positions."""
    if found.files is not None:
        return image_files.decode(_base(found.path), [found.files[each] for each in chosen], found.shape, scratch, quiet)
    contents = (content for _, _, content in image_parquet.contents(
        found.path, found.column, set(found.rows[chosen].tolist())))
    return image_files.decode("", chosen, found.shape, scratch, quiet, contents)


def stream(found):
    """Return the image_stream.Stream of Pictures."""
    keys = {"rows": found.rows}
    if found.files is not None:
        return image_stream.of_files(_base(found.path), found.files, keys, found.of_pictures)
    return image_stream.of_parquet(found.path, found.column, found.rows, keys, found.of_pictures)


def contents(found, rows):
    """Yield (row, function that returns the bytes of its picture) of rows of a list of pictures. found: Pictures."""
    if found.files is None:
        for row, _, content in image_parquet.contents(found.path, found.column, set(rows)):
            yield row, lambda content=content: content
        return
    place = {row: number for number, row in enumerate(found.rows.tolist())}
    for row in rows:
        yield row, functools.partial(image_files.content_of, _base(found.path) / found.files[place[row]])


def pictures_like(file, source):
    """Return (x float32 [n, height, width, channels], names) of another list, with pictures read like those of a dataset.

    file: the list, with or without labels; source: source.Source of the dataset. Raises DataError.
    """
    names, files, contents = _like(file, source)
    x, broken = image_files.decode(_base(Path(file)), files, source.facts.shape, contents=contents)
    if len(broken):
        raise DataError(f"{file}: {names[broken[0]]!r} is not a readable image; fix or remove it")
    return x.astype(np.float32), list(map(image_files.shown, names))


def stream_like(file, source):
    """Return the image_stream.Stream of another list; arguments as for `pictures_like`."""
    names, files, contents = _like(file, source)
    keys = {"files": np.array(list(map(image_files.shown, names)))}
    if contents is None:
        return image_stream.of_files(_base(Path(file)), files, keys, "")
    return image_stream.of_parquet(file, opened(file, source).column, files, keys, "")


def _like(file, source):
    """Return (names, files, None) of another list, or (names, rows, iterator of bytes) if the pictures are in it."""
    if Path(file).suffix.lower() == ".txt" and Path(source.path).suffix.lower() != ".txt":
        source = dataclasses.replace(source, label=None)  # lines without column names: a picture and perhaps a label
    of_file = opened(file, source)
    column = of_file.column
    if column is None:
        raise DataError(f"{file}: no column names an existing picture, as one of {source.path} does; give --images DIR or "
                        f"another list")
    if column in of_file.table:
        listed_names = of_file.table[column]
        names, (files, told) = listed_names.tolist(), _files(Path(file), listed_names, source.images)
        for line in told:
            print(f"warning: {line}", flush=True)
        if None in files:
            raise DataError(f"{file}: {files.count(None)} of {many(len(files), 'picture')} are missing, the first is "
                            f"{names[files.index(None)]!r}")
        return names, files, None
    names = [name for _, name, _ in image_parquet.contents(file, column)]
    return names, np.arange(len(names)), (content for _, _, content in image_parquet.contents(file, column))


# --- which column names pictures --------------------------------------------------------------------------------------

def lines_of(path):
    """Return the lines of a list as text that `os.fsencode` can restore; UTF-8, or UTF-16 with a byte order mark."""
    raw = path.read_bytes()
    utf_16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    return re.split(r"\r\n|\n|\r", raw.decode("utf-16") if utf_16 else raw.decode("utf-8-sig", "surrogateescape"))


def _table(path, label):
    """Return (`ImageList.table`, notes)."""
    if path.suffix.lower() == ".txt" and label is None:
        import pandas as pd

        lines = [line.strip() for line in lines_of(path)]
        lines = [line for line in lines if line]
        # After a tab, or after the ending of the picture's name, a label may contain spaces; else it is the last word.
        splits = [re.fullmatch(r"(.*\S)\s*\t\s*(.*)", line) for line in lines]
        if not all(splits):
            ending = "|".join(map(re.escape, image_files.IMAGE_FILES))
            splits = [re.fullmatch(rf"(.*(?:{ending}))\s*[\s,;]\s*(\S+|.*[^\W\d_].*)", line, re.I) for line in lines]
        parts = [split.groups() for split in splits] if all(splits) else [
            line.rsplit(None, 1) if len(line.split()) > 1 else (line, "") for line in lines]
        return pd.DataFrame(parts, columns=["0", "1"], dtype=object), []
    if image_parquet.is_parquet(path):
        return image_parquet.texts(path), []
    return table_file.read_table(path, as_text=True)


def _column(of_list):
    """Return `ImageList.column`."""
    path, label, images, not_pictures = of_list.path, of_list.label, of_list.images, of_list.not_pictures
    if image_parquet.is_parquet(path):
        try:
            if (inside := image_parquet.column_of_pictures(path, not_pictures)) is not None:
                return inside
        except DataError as error:
            if path.is_dir() or "contain pictures" in str(error):
                raise
            return None  # table_file reports the error
    places = _places(path, images)
    beside = {_composed(each) for base in places[0] for each in (os.listdir(base) if os.path.isdir(base) else ())
              if each.lower().endswith(image_files.IMAGE_FILES)}
    beside |= {os.path.splitext(each)[0] for each in beside}
    if not beside and (path.suffix.lower() in (".csv", ".tsv") or json_files.is_json(path)) and not _may_name(path):
        if images is not None:
            raise DataError(f"--images {images}: no column of {path} names a picture in it; give another folder")
        return None  # avoid reading a large table needlessly
    try:
        table = of_list.table
    except (DataError, ValueError, ImportError, OSError):  # a table, which is read again and reports the error
        return None
    candidates = [name for name in table if name not in not_pictures and (name, path.suffix.lower()) != ("1", ".txt")]
    named = {name: _names_pictures(table[name].unique(), len(table), places, beside, images) for name in candidates}
    found = [name for name in candidates if named[name] and named[name] == max(named.values())]
    for name in candidates if not found else ():
        digits = [each for each in table[name].unique() if each.isdecimal()]
        for width in {len(each) for each in beside if each.isdecimal() and each[0] == "0"} if digits else ():
            padded = [each for each in digits if each.zfill(width) in beside]
            if len(padded) > len(digits) / 2:
                raise DataError(f"{path}: column {name!r} contains {padded[0]!r}, but the picture is called "
                                f"{padded[0].zfill(width)!r}: write the zeros, or --drop {name!r} to read a table")
    if len(found) > 1:
        raise DataError(f"{path}: the columns {listed([repr(name) for name in found])} name existing pictures: --drop all "
                        f"but one")
    for name in candidates if not found else ():
        if _by_ends(path, table[name], images)[0]:
            found.append(name)
    if len(found) > 1:
        raise DataError(f"{path}: the ends of the names in columns {listed([repr(name) for name in found])} are pictures that "
                        f"exist: --drop all but one")
    addresses = [name for name in candidates if not found and table[name].map(
        lambda cell: foreign_paths.is_address(cell, with_ending=len(candidates) > 1)).mean() > 0.5]
    if addresses and (images is not None or len(addresses) == len(candidates)):
        foreign_paths.refuse_addresses(path, addresses[0], table[addresses[0]], images, label)
    for name in candidates if not found else ():
        named = table[name].str.lower().str.endswith(image_files.IMAGE_FILES) & ~table[name].str.contains("://", regex=False)
        if named.mean() > 0.5:
            other = "" if label is None else f", or --drop {name!r} to read a table without them"
            raise DataError(f"{path}: {'its lines name' if label is None else f'column {name!r} names'} pictures such as "
                            f"{table[name][named.idxmax()]!r}, none of which exists in {images or _base(path)}: give --images "
                            f"DIR, the folder that these names are relative to{other}")
    if not found and images is not None:
        raise DataError(f"--images {images}: no column of {path} names a picture in it; give another folder")
    return found[0] if found else None


def _composed(name):
    """Return a name for comparison: in lower case, with composed accents (NFC), which some systems decompose."""
    return unicodedata.normalize("NFC", name.strip()).lower()


def _names_pictures(values, rows, places, beside, images):
    """Return 2 if the distinct values of a table's column name pictures, 1 if they do so without an ending, else 0.

    Without --images, some numbers or words that happen to match file names without an ending do not make a table a list: at
    least half of the values must match or, if nearly every row has a different value, ten.
    """
    loose, least = 0, min(len(values) / 2, 10 if len(values) > 0.9 * rows else np.inf)
    for each in values:
        if ("/" in each or "\\" in each or _composed(each) in beside) and _find(each, places)[0]:
            loose += 1
            if each.lower().strip().endswith(image_files.IMAGE_FILES):
                return 2
    return int(loose > 0 and (images is not None or loose >= least))


def _may_name(path):
    """Return whether a text file may contain the path of a picture: it has an image ending or a path separator."""
    content = path.read_bytes().lower()
    return any(each in content for each in (b"/", b"\\", *(ending.encode() for ending in image_files.IMAGE_FILES)))


def _places(path, images):
    """Return the folders that names may be relative to, --images first, and an empty cache of folder listings."""
    return [os.path.realpath(each) for each in ([images] if images else []) + [_base(path)]], {}


def _find(name, places):
    """Return (the file of a picture or None, whether it is outside all folders, other files that match the name).

    The name of the file may differ in case; a name without an extension matches any.
    """
    bases, listings = places
    name = name.replace("\\", "/").strip()
    if not name:
        return None, False, []
    for base in bases:
        below, _, last = os.path.join(base, name).rpartition("/")
        if below not in listings:
            real = os.path.realpath(below)
            inside = any(real == each or real.startswith(each.rstrip("/") + "/") for each in bases)
            found, by_stem = {}, {}
            for entry in os.scandir(real) if os.path.isdir(real) else ():
                if entry.name.lower().endswith(image_files.IMAGE_FILES):
                    composed = unicodedata.normalize("NFC", entry.name)
                    found[composed] = found[entry.name] = entry.name
                    by_stem.setdefault(os.path.splitext(composed)[0].casefold(), []).append(entry.name)
            listings[below] = inside, found, by_stem
        inside, found, by_stem = listings[below]
        composed = unicodedata.normalize("NFC", last)
        stem, ending = os.path.splitext(composed)
        like = [each for each in by_stem.get(stem.casefold(), ()) if _composed(each) == composed.lower()]
        like = like or by_stem.get(composed.casefold(), [])
        like = [each for each in like if unicodedata.normalize("NFC", os.path.splitext(each)[0]) in (stem, composed)] or like
        like = [found[each] for each in (last, composed) if each in found][:1] or sorted(like)
        if like:
            return os.path.join(below, like[0]), not inside or _leads_out(os.path.join(below, like[0]), bases), like[1:]
    return None, False, []


def _base(path):
    """Return the folder that the names in a list are relative to."""
    return path if path.is_dir() else path.parent


def _leads_out(file, bases):
    real = os.path.realpath(file) if os.path.islink(file) else None
    return real is not None and not any(real.startswith(each.rstrip("/") + "/") for each in bases)


# --- reading ----------------------------------------------------------------------------------------------------------

def _named_twice(path, names, given):
    """Return the warning about pictures that several rows name with different labels."""
    labels_of = {}
    for name, label in zip(names, given.tolist(), strict=True):
        labels_of.setdefault(os.path.normpath(name.replace("\\", "/")), set()).add(label)
    several = [name for name, found in labels_of.items() if len(found) > 1]
    if not several:
        return []
    return [f"{path}: {len(names)} rows name {many(len(labels_of), 'picture')}, {len(several)} of them with different "
            f"labels, such as {several[0]!r}: if the rows are parts of pictures, such as boxes, crop them first"]


def _wanted(path, table, label, classes, known):
    """Return which rows of a list are used, bool [n]: those of the first `classes` classes, or of the known ones; else all.

    Classes are in the order of the metadata of a .parquet, else by value if all are integers, else in alphabetical order.
    """
    column = "1" if label is None else label
    if classes is None or column not in table:
        return np.ones(len(table), dtype=bool)
    texts = np.char.strip(table[column].to_numpy(dtype=str))
    if known is None:
        order = image_parquet.class_names_of(image_parquet.schema_of(image_parquet.parts(path)[0])).get(
            label) if image_parquet.is_parquet(path) else None
        distinct = np.unique(texts[texts != ""])
        known = np.sort(labels.integers_if_all(distinct)) if order is None else [each for each in order if each in distinct]
        if len(known) < classes:
            raise DataError(f"{path}: --classes {classes}, but its labels have {len(known)} classes: give fewer, or remove "
                            f"the option")
        known = known[:classes]
    return np.isin(texts, np.array(known).astype(str))


def _by_ends(path, names, images, known=()):
    """Return ({name: file, relative to the list's folder}, warnings) of names of another machine, by their ends.

    names: pandas.Series, of which half are paths of pictures; known: {name: file}, those that are found by their names.
    """
    places, known = _places(path, images), dict(known)
    names = [name for name in names.unique() if name not in known]
    ends = image_files.IMAGE_FILES
    plain = [foreign_paths.plain(name) for name in names]
    paths = [name for name, each in zip(names, plain, strict=True)
             if each.lower().endswith(ends) and ("/" in each or each != name) or (
                 images is not None and foreign_paths.is_absolute(each))]
    if len(paths) <= len(names) / 2 and not known:
        return {}, []

    def find_file(name):
        file, outside, others = _find(name, places)
        if others and not outside:
            raise DataError(f"{path}: {name!r} may be {os.path.basename(file)!r} or {others[0]!r}: add extensions to the "
                            f"names in the list, or remove one file")
        return None if file is None or outside else os.path.relpath(file, os.path.realpath(_base(path)))

    found, beginnings = foreign_paths.find(paths, find_file, known)
    foreign_paths.check_apart(path, found, known)
    return found, [foreign_paths.told(path, found, beginnings, places[0])] if found else []


def _files(path, names, images):
    """Return (the file of each picture, relative to the list's folder, None for missing ones; warnings).

    names: pandas.Series.
    """
    places, found, elsewhere = _places(path, images), {}, []
    for name in names.unique():
        file, outside, others = _find(name, places)
        if images and file and not file.startswith(f"{places[0][0].rstrip('/')}/"):
            elsewhere.append(name)
        if outside:
            raise DataError(f"{path}: {name!r} is outside {' and '.join(places[0])}: give --images DIR")
        if others:
            raise DataError(f"{path}: {name!r} may be {os.path.basename(file)!r} or {others[0]!r}: add extensions to the "
                            f"names in the list, or remove one file")
        found[name] = file and os.path.relpath(file, os.path.realpath(_base(path)))
    missing = names[names.map(lambda name: found[name] is None)]
    by_ends, told = _by_ends(path, missing, images, {name: file for name, file in found.items() if file is not None})
    if elsewhere:
        told.append(f"{path}: {many(len(elsewhere), 'picture')}, such as {elsewhere[0]!r}, not in --images {images} but "
                    f"beside the list, used as they are there")
    return [by_ends.get(name, found[name]) for name in names], told


def _refuse_one_hot(path, table, column, label, others):
    """Raise DataError if the columns of a list, of text, beside that of pictures are a class each, with 1 in its rows.

    column: of the pictures; label: as given, the name of a column or not, or None; others: columns that are no classes.
    """
    others = [name for name in others if name in table]
    table = table.drop(columns=[column, *others], errors="ignore")
    written = {"true": "1", "false": "0", "1.0": "1", "0.0": "0"}
    cells = table.apply(lambda each: each.str.strip().str.casefold().replace(written))
    if len(table.columns) < 2 or not cells.isin(["0", "1"]).all(axis=None):
        return
    of_row, one_class = (cells == "1").sum(axis=1), label in table
    names = listed([repr(name) for name in table], 6)
    if (of_row != 1).any():
        if one_class:  # which may be a label of 0 and 1 beside others
            return
        raise DataError(f"{path}: the columns {names} have several 1, or none, in {(of_row != 1).sum()} of {len(table)} rows: "
                        f"write one column with one class per picture, and give it as --label")
    against = f", or --drop the others to tell {label!r} from all other classes" if one_class else ""
    one = f"{path}: each of the columns {names} is 1 for one class: write them as one"
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise DataError(f"{one}, of the names of the classes, and give it as --label{against}")
    separator, target = table_file.separator_like(path, path, column), f"{path.stem.strip('_')}_list.csv"
    without = f".drop(columns={others!r})" if others else ""
    command = python_command(f"import pandas; t = pandas.read_csv({str(path)!r}, sep={separator!r}, index_col={column!r}, "
                             f"skipinitialspace=True){without}; (t == 1).idxmax(axis=1).rename('label').to_csv({target!r})")
    raise DataError(f"{one}: {command}, and give --dataset {shlex.quote(target)} --label label --images "
                    f"{shlex.quote(str(_base(path)))}{against}")


def _scan(path, wanted, column, named, image_size, digests):
    """Return (image_files.Scan whose labels are the rows, names of pictures, their files, {name of a missing one: why}).

    wanted: which rows are used, bool [n]; digests: uint64 [n], which hashes of pictures in a .parquet are written to.
    """
    if named is None:
        names = [str(row) for row in range(len(wanted))]
        contents = ((name, str(row), lambda content=content: content)
                    for row, name, content in _named(path, column, names, set(np.flatnonzero(wanted).tolist()), digests))
        no_image = f"the bytes in column {column!r} are not readable images; --drop the column to ignore it"
        return image_files.scan_contents(path, contents, image_size, if_none=no_image), names, None, {}
    names, files, *_ = named
    missing = {image_files.shown(name) or "(no name)": "missing" for name, file, each in zip(names, files, wanted, strict=True)
               if file is None and each}
    contents = ((names[row], str(row), functools.partial(image_files.content_of, _base(path) / file))
                for row, file in enumerate(files) if file is not None)
    return image_files.scan_contents(_base(path), contents, image_size), names, files, missing


def _named(path, column, names, rows, digests):
    """Yield the items of `image_parquet.contents`; write their names to a list, hashes of the pictures to an array."""
    for row, name, content in image_parquet.contents(path, column, rows):
        names[row], digests[row] = name, row_ids.digest(content)
        yield row, name, content
