"""Pictures named in a list: a table (.csv, .tsv, .jsonl, .parquet) with a column of file names, a .txt of "path label" lines,
or a .parquet that contains the pictures.

    if picture_list.is_list(path, source): found = picture_list.read(path, source)
    x, broken = picture_list.decode(found, np.arange(len(found.rows)))
"""
import functools
import hashlib
import json
import os
from collections import namedtuple
from pathlib import Path

import numpy as np

import folders
import groups
import labels
import table_file
import tabular
from data import DataError, listed, many

BATCH = 256  # rows of a .parquet whose pictures are in memory at a time

# path; column: of the pictures; rows: positions in the list, int [n], of the samples; names [n]: the pictures as the list
# writes them; files: paths relative to the list's folder, None for a .parquet with pictures; class_names, given [n]; y_train:
# the true labels, int [n], -1 for unknown ones, or None; groups: object [n] or None; shape: of a picture; checksum, warnings,
# left_out, reading: as in data.Dataset and data.Facts.
Pictures = namedtuple("Pictures", "path column rows names files class_names given y_train groups shape checksum warnings "
                      "left_out reading")


def is_list(path, source):
    """Return whether a file names or contains pictures; DataError for names of which none exists.

    source: data.Source.
    """
    if not table_file.is_table(path):
        return False
    return _column(*_identity(path, source)) is not None


def read(path, source):
    """Return the Pictures of a list, read once per process while neither it nor a picture changes."""
    identity, named = _identity(path, source), None
    column = _column(*identity)
    table = _table(*identity[:3])[0]
    if column in table:
        names, files = table[column].tolist(), _files(Path(path), table[column], source.images)
        stamps = {file: (found.st_size, found.st_mtime_ns) for file in set(files) - {None}
                  for found in [os.stat(Path(path).parent / file)]}
        named = tuple(names), tuple(files), tuple(stamps.items())
    return _read(*identity, source.true_label, source.image_size, column, named)


def _identity(path, source):
    found = os.stat(path)
    not_pictures = tuple(filter(None, [source.label, source.group, source.true_label, *(source.drop or ())]))
    return (Path(path), (found.st_size, found.st_mtime_ns), source.label, source.images, source.group, not_pictures)


def decode(found, chosen, scratch=None, quiet=True):
    """Return (x, positions in `chosen` of pictures that cannot be decoded) of some samples. chosen: positions, ascending."""
    if found.files is not None:
        return folders.decode(found.path.parent, [found.files[each] for each in chosen], found.shape, scratch, quiet)
    contents = (content for _, _, content in _contents(found.path, found.column, set(found.rows[chosen].tolist())))
    return folders.decode("", chosen, found.shape, scratch, quiet, contents)


def pictures_like(file, source):
    """Return (x float32 [n, height, width, channels], names) of another list, whose pictures are read as those of a dataset.

    file: the list, with or without labels; source: data.Source of the dataset. Raises DataError.
    """
    identity = _identity(file, source)
    column = _column(*identity)
    if column is None:
        raise DataError(f"{file}: no column names a picture that exists, as one of {source.path} does; give --images DIR or "
                        f"another list")
    table = _table(*identity[:3])[0]
    if column in table:
        names, files = table[column].tolist(), _files(Path(file), table[column], source.images)
        if None in files:
            raise DataError(f"{file}: {files.count(None)} of {many(len(files), 'picture')} are missing, the first is "
                            f"{names[files.index(None)]!r}")
        x, broken = folders.decode(Path(file).parent, files, source.facts.shape)
    else:
        names, contents = zip(*((name, content) for _, name, content in _contents(file, column)))
        x, broken = folders.decode("", range(len(names)), source.facts.shape, contents=iter(contents))
    if len(broken):
        raise DataError(f"{file}: {names[broken[0]]!r} is not a readable image; fix or remove it")
    return x.astype(np.float32), list(map(folders.shown, names))


# --- which column names pictures --------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=4)
def _table(path, stamp, label):
    """Return (all cells as text, rows as in the file; notes). A .txt has the columns 0, the path, and 1, the label."""
    import pandas as pd

    if path.suffix.lower() == ".txt" and label is None:
        lines = [line.strip() for line in path.read_text("utf-8-sig", "surrogateescape").splitlines()]
        parts = [line.rsplit(None, 1) if len(line.split()) > 1 else (line, "") for line in lines if line]
        return pd.DataFrame(parts, columns=["0", "1"], dtype=object), []
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet

        schema = pyarrow.parquet.ParquetFile(path).schema_arrow
        flat = [field.name for field in schema if not pyarrow.types.is_nested(field.type) and not _is_binary(field.type)]
        table = pd.read_parquet(path, columns=flat).astype(object)
        for name, texts in class_names_of(schema).items():
            if name in table:
                table[name] = [texts[int(value)] if value is not None and 0 <= value < len(texts) else ""
                               for value in table[name]]
        return table.apply(lambda column: groups.as_text(groups.whole(column.infer_objects()))), []
    return table_file.read_table(path, as_text=True)


def _is_binary(kind):
    import pyarrow

    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)


def class_names_of(schema):
    """Return {column: names of its integers} of the metadata that Hugging Face's datasets write into a schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: list(map(str, each["names"])) for name, each in features.items() if each.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _inside(path):
    """Return the column of a .parquet that contains pictures, as bytes or a struct with bytes, or None."""
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.ParquetFile(path).schema_arrow
    except (OSError, pyarrow.ArrowException):
        return None  # table_file says what is wrong
    found = [field.name for field in schema if _is_binary(field.type) or pyarrow.types.is_struct(field.type) and any(
        each.name == "bytes" and _is_binary(each.type) for each in field.type)]
    if len(found) > 1:
        raise DataError(f"{path}: the columns {listed([repr(name) for name in found])} contain pictures: --drop all but one")
    return found[0] if found else None


@functools.lru_cache(maxsize=4)
def _column(path, stamp, label, images, group, not_pictures):
    """Return the column of a list that names or contains pictures, None if there is none."""
    if path.suffix.lower() == ".parquet" and (inside := _inside(path)) is not None:
        return inside
    places = _places(path, images)
    beside = {each.lower() for base in places[0] for each in (os.listdir(base) if os.path.isdir(base) else ())
              if each.lower().endswith(folders.IMAGE_FILES)}
    beside |= {os.path.splitext(each)[0] for each in beside}
    if not beside and path.suffix.lower() in (".csv", ".tsv", ".jsonl") and not _may_name(path):
        if images is not None:
            raise DataError(f"--images {images}: no column of {path} names a picture in it; give another folder")
        return None  # a large table is not read for nothing
    try:
        table = _table(path, stamp, label)[0]
    except (DataError, ValueError, ImportError, OSError):  # of a table, which is read again
        return None
    candidates = [name for name in table if name not in not_pictures and (name, path.suffix.lower()) != ("1", ".txt")]
    found = [name for name in candidates if any(
        ("/" in each or "\\" in each or each.strip().lower() in beside) and _find(each, places)[0]
        for each in table[name].unique())]
    if len(found) > 1:
        raise DataError(f"{path}: the columns {listed([repr(name) for name in found])} name pictures that exist: --drop all "
                        f"but one")
    for name in candidates if not found else ():
        named = table[name].str.lower().str.endswith(folders.IMAGE_FILES)
        if named.mean() > 0.5:
            raise DataError(f"{path}: {'its lines name' if label is None else f'column {name!r} names'} pictures such as "
                            f"{table[name][named.idxmax()]!r}, none of which exists in {images or path.parent}: give --images "
                            f"DIR, the folder that these names begin in")
    if not found and images is not None:
        raise DataError(f"--images {images}: no column of {path} names a picture in it; give another folder")
    return found[0] if found else None


def _may_name(path):
    """Return whether a text file has anything of a picture's path: an ending, or a separator of folders."""
    content = path.read_bytes().lower()
    return any(each in content for each in (b"/", b"\\", *(ending.encode() for ending in folders.IMAGE_FILES)))


def _places(path, images):
    """Return the folders that names may be relative to, --images first, and listings of their subfolders, as they are read."""
    return [os.path.realpath(each) for each in ([images] if images else []) + [path.parent]], {}


def _find(name, places):
    """Return (the file of a picture, whether it is outside of all folders, other files of that name).

    The file is as named, or has its extension in another case, or, for a name without one, any extension.
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
            found, by_stem = set(), {}
            for entry in os.scandir(real) if os.path.isdir(real) else ():
                if entry.name.lower().endswith(folders.IMAGE_FILES):
                    found.add(entry.name)
                    by_stem.setdefault(os.path.splitext(entry.name)[0], []).append(entry.name)
            listings[below] = inside, found, by_stem
        inside, found, by_stem = listings[below]
        stem, ending = os.path.splitext(last)
        like = [each for each in by_stem.get(stem, ()) if each.lower() == last.lower()] or by_stem.get(last, [])
        like = [last] if last in found else sorted(like)
        if like:
            return os.path.join(below, like[0]), not inside or _leads_out(os.path.join(below, like[0]), bases), like[1:]
    return None, False, []


def _leads_out(file, bases):
    real = os.path.realpath(file) if os.path.islink(file) else None
    return real is not None and not any(real.startswith(each.rstrip("/") + "/") for each in bases)


# --- reading ----------------------------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=2)
def _read(path, stamp, label, images, group, not_pictures, true_label, image_size, column, named):
    """named: (the names of the pictures, their files, the stamps of these), None for pictures in a .parquet."""
    table, notes = _table(path, stamp, label)
    in_text = path.suffix.lower() == ".txt" and label is None
    if label is None and not in_text:
        raise DataError(f"--dataset {path}: which column contains the labels? give --label COLUMN, one of "
                        f"{listed([repr(name) for name in table if name != column], 30)}")
    for name in filter(None, [label, group, true_label]):
        if name not in table:
            raise DataError(f"{path}: no column {name!r}; its columns are {listed([repr(each) for each in table])}")
    others = [name for name in table if name not in (column, *not_pictures)] if not in_text else []
    warnings = list(notes) + ([f"{path}: a list of pictures, of column {column!r}; not used: columns "
                               f"{listed([repr(name) for name in others])}"] if others else [])
    texts = table["1" if in_text else label]
    what = f"{path}: the labels" + ("" if in_text else f" in column {label!r}")
    scan, names, files, missing = _scan(path, len(table), column, named, image_size)
    used = np.array([int(row) for row in scan.labels], dtype=np.int64)
    if missing:
        warnings.append(f"{path}: {files.count(None)} of {many(len(table), 'picture')} are missing: see the file ending in "
                        f"_left_out.csv")
    keep, kept, told = labels.checkable(texts.to_numpy(dtype=str)[used], what)
    class_names, given = labels.classes_of(tabular.integers_if_all(kept.astype(np.str_)), what)
    rows = used[keep]
    y_train = None if true_label is None else labels.truth(
        table[true_label].to_numpy()[rows], class_names, f"{path}: the true labels in column {true_label!r}")
    of_group = None
    if group is not None:
        of_group = groups.as_text(table[group])[rows]
        told = told + groups.checked(of_group, given, class_names, f"{path}: --group {group}")
    content = (texts.tolist(), names, *(table[name].tolist() for name in (group, true_label) if name is not None))
    checksum = hashlib.sha256(scan.checksum.encode() + repr(content).encode("utf-8", "surrogateescape"))
    reading = "; ".join(filter(None, [f"pictures of {column!r}", scan.changed, f"{len(table) - len(rows)} samples not used"
                                      if len(rows) < len(table) else ""]))
    return Pictures(path, column, rows, np.array([folders.shown(names[row]) for row in rows], dtype=object),
                    None if named is None else [files[row] for row in rows], class_names, given, y_train, of_group, scan.shape,
                    checksum.hexdigest(), [*warnings, *scan.warnings, *told],
                    missing | scan.left_out, reading)


def _files(path, names, images):
    """Return the file of each picture, relative to the list's folder, None for missing ones. names: pandas.Series."""
    places, found = _places(path, images), {}
    for name in names.unique():
        file, outside, others = _find(name, places)
        if outside:
            raise DataError(f"{path}: {name!r} leads to a place outside {' and '.join(places[0])}: give --images DIR")
        if others:
            raise DataError(f"{path}: {name!r} may be {os.path.basename(file)!r} or {others[0]!r}: give the list the names "
                            f"with extensions, or remove one file")
        found[name] = file and os.path.relpath(file, os.path.realpath(path.parent))
    return [found[name] for name in names]


def _scan(path, number, column, named, image_size):
    """Return (folders.Scan whose labels are the rows, names of pictures, their files, {name of a missing one: why})."""
    if named is None:
        names = [str(row) for row in range(number)]
        contents = ((name, str(row), lambda content=content: content) for row, name, content in _named(path, column, names))
        return folders.scan_contents(path, contents, image_size), names, None, {}
    names, files, _ = named
    missing = {folders.shown(name) or "(no name)": "missing" for name, file in zip(names, files) if file is None}
    contents = ((names[row], str(row), functools.partial(folders.content_of, path.parent / file))
                for row, file in enumerate(files) if file is not None)
    return folders.scan_contents(path.parent, contents, image_size), names, files, missing


def _named(path, column, names):
    """Yield what `_contents` yields of all rows, and write the names to a list."""
    for row, name, content in _contents(path, column):
        names[row] = name
        yield row, name, content


def _contents(path, column, rows=None):
    """Yield (row, name, bytes) of the pictures in a .parquet, of the given rows (a set) or all, a few at a time."""
    import pyarrow.parquet

    row = -1
    with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH, columns=[column]):
            for value in batch.column(0):
                row += 1
                if rows is None or row in rows:
                    found = value.as_py()
                    content = found.get("bytes") if isinstance(found, dict) else found
                    name = found.get("path") if isinstance(found, dict) else None
                    yield row, name or str(row), content or b""
