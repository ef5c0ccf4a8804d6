"""Read the file of a table into a DataFrame; detect its encoding, separator and header."""
import codecs
import contextlib
import csv
import functools
import gzip
import io
import json
import re
import sys
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from incv.custom_data import blocks, group_names, json_files
from incv.data import DataError
from incv.utils import first_line, listed, many, missing, python_command

PARQUET = (".parquet", ".pq")
ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", *PARQUET, ".feather", ".jsonl", ".ndjson", ".json")
csv.field_size_limit(min(sys.maxsize, 2 ** 31 - 1))  # cells may contain whole articles
AT_ONCE, ROWS = 2 ** 20, 1000  # cells and, at least, rows of a text file that are parsed at a time
SMALL, MOST_PACKED = 2 ** 28, 100  # bytes that a .gz may contain in any case, and how many times its size others may
OTHER_FORMATS = {  # by how they begin
    b"PAR1": "a .parquet", b"ARROW1": "a .feather", b"FEA1": "a .feather", b"\x1f\x8b": "compressed, a .gz",
    b"BZh": "compressed, a .bz2", b"\xfd7zXZ": "compressed, an .xz", b"\x28\xb5\x2f\xfd": "compressed, a .zst",
    b"7z\xbc\xaf": "an archive", b"Rar!": "an archive", b"%PDF": "a PDF", b"\x93NUMPY": "an .npy", b"SQLite": "a database",
    b"\x89HDF": "an HDF5 file", b"\x89PNG": "an image", b"\xff\xd8\xff": "an image", b"GIF8": "an image"}
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def is_table(path):
    """Return whether a file is read as a table, by its name."""
    return str(path).lower().endswith(ENDINGS)


def read_table(path, label=None, decimal=None, as_text=(), raw=()):
    """Read a table of at least one row.

    Parameters
    ----------
    path : path
        Ends in one of ENDINGS. Encoding and separator of a text file are detected.
    label : str, optional
        The column of labels: kept as text, and only empty cells are missing ("NA" and "None" may be classes).
    decimal : str, optional
        "," or ".": the decimal separator of formatted numbers.
    as_text : True or list of str
        Columns not to parse as numbers; True keeps all cells exactly as they are (for `--export`).
    raw : list of str
        Other columns, kept as text like the label's if `label` is given. The separator is one with which the header contains
        the label or, without `label`, the first of these.

    Returns
    -------
    table : pandas.DataFrame
        The index counts the rows of the file from 0; column names are strings without white space around them.
    notes : list of str
        Warnings about values that were converted or reinterpreted.

    Raises
    ------
    DataError
    """
    import pandas as pd

    path, notes = Path(path), []
    if not path.is_file():
        raise DataError(f"{path}: {missing(path)}")
    try:
        if is_columnar(path):
            table = _columnar(path)
            named_levels = [name for name in table.index.names if name is not None and name not in table]
            table = table.reset_index(named_levels) if named_levels else table
            notes += [f"{path}: the index {name!r} is read as a column" for name in named_levels]
            unnamed = [level for name, level in _levels(table.index) if name is None and len(level)]
            notes += [f"{path}: its index, such as {str(level[0])!r}, has no name and is not read: name it (rename_axis) to "
                      f"use it as a column or --group" for level in unnamed if not pd.api.types.is_integer_dtype(level.dtype)]
            for column in table.columns[table.dtypes == object]:  # noqa: E721 (an array)
                table[column] = _decoded_bytes(table[column])
            if as_text is True and path.suffix.lower() == ".feather":
                table = table.apply(lambda column: group_names.as_text(group_names.whole(column)))
        elif json_files.is_json(path):
            found = json_files.rows(path)
            table = pd.DataFrame([{name: [value] for name, value in row.items()} for row in found], dtype=object)
            table = pd.DataFrame({name: _of_json(cells, as_text is True) for name, cells in table.items()})
        else:
            named = [] if as_text is True else as_text
            content, separator = _content_of(path, [*([] if label is None else [label]), *raw, *named], notes)
            options = {"sep": separator, "index_col": False, "low_memory": False}
            header = pd.read_csv(io.BytesIO(content), nrows=0, **options).columns
            kept = {} if label is None else {
                place: name for place, name in enumerate(header) if composed(path, name).strip() in {label, *raw}}
            dtype = str if as_text is True or decimal == "," else {name: str for name in (*as_text, *kept.values())}
            table = _parsed(content, len(header), dtype=dtype, keep_default_na=as_text is not True, **options)
            if decimal == "," and as_text is not True:  # numbers with dots between thousands stay text; others are plain
                for column in set(table) - {*as_text, *kept.values()}:
                    dotted = table[column].dropna().str.strip()
                    dotted = dotted[dotted.str.contains(".", regex=False)]
                    if not len(dotted) or not dotted.str.fullmatch(r"[+-]?[1-9]\d{0,2}(\.\d{3})+").all():
                        with contextlib.suppress(ValueError):
                            table[column] = pd.to_numeric(table[column])
            if any(table[name].hasnans for name in kept.values()):  # which may be "NA" or "None"
                as_it_is = _parsed(content, len(header), dtype=str, keep_default_na=False, na_values=[""], usecols=list(kept),
                                   **options)
                table[as_it_is.columns] = as_it_is
            if label is not None:
                table.columns = _names(table.columns, label, path, notes)
    except ImportError:
        raise DataError(f"{path}: to read {path.suffix.lower()}, pip install pyarrow") from None
    except DataError:
        raise
    except csv.Error:  # of carriage returns inside lines
        raise DataError(f"{path}: cannot be read as a table: its lines end in different ways, or it is no text") from None
    except Exception as error:  # of pandas and pyarrow, or whatever they raise for strange bytes and metadata
        raise DataError(f"{path}: cannot be read as a table ({first_line(error)})") from None
    if not len(table):
        raise DataError(f"{path}: has no rows")
    table.columns = _names(table.columns.map(str), label, path, notes)  # changes nothing if it was done above
    if label is not None:
        notes += _row_of_names(table.columns, path)
    return blocks.joined(table).reset_index(drop=True), notes


def _levels(index):
    """Return [(name, pandas.Index)] of the levels of an index."""
    return [(name, index.get_level_values(place)) for place, name in enumerate(index.names)]


def how_to_convert(path):
    """Return what to do with an Excel file, by a command that replaces no file."""
    command = python_command(f"import pandas; pandas.read_excel({str(path)!r}).to_csv({f'{path.stem}.csv'!r}, index=False, "
                             f"mode='x')")
    return f"an Excel file; convert it: pip install openpyxl; {command}"


def separator_like(target, path, label):
    """Return the separator for rows of a table in a new file: the table's if both are .csv, else by the new file's name."""
    tabs = str(target).lower().endswith((".tsv", ".tsv.gz"))
    alike = not tabs and str(path).lower().endswith((".csv", ".csv.gz"))
    return "\t" if tabs else _content_of(Path(path), [label], [])[1] if alike else ","


def text_like(path):
    """Return (encoding, end of lines) for rows of a table in a new file: those of a table of text, else UTF-8 and LF."""
    if is_columnar(path) or json_files.is_json(path):
        return "utf-8", "\n"
    raw = _unpacked(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    encoding = _encoding(raw)
    return encoding, re.search(r"\r?\n|$", raw[:10 ** 6].decode(encoding, "replace"))[0] or "\n"


def composed(path, name):
    """Return the name of a column as `read_table` returns it: with composed accents (NFC), unchanged if it `is_columnar`."""
    return name if is_columnar(path) else unicodedata.normalize("NFC", name)


def _names(columns, label, path, notes):
    """Return column names without white space around them; DataError if a name occurs twice."""
    columns = [composed(path, str(name)) for name in columns]
    stripped = [name.strip() for name in columns]
    if stripped != columns:
        notes.append(f"{path}: white space around column names is removed")
    twice = [name for name, number in Counter(stripped).items() if number > 1]
    if twice:
        raise DataError(f"{path}: {stripped.count(twice[0])} columns are called {twice[0]!r}: rename one of them")
    return stripped


def _row_of_names(columns, path):
    """Return the warning about column names that look like a row: mostly numbers, but not 0, 1, 2 ... or 1990, 2000 ..."""
    numbers = [name for name in columns if re.fullmatch(r"[+-]?\d+(\.\d+)*", name)]
    if len(numbers) <= len(columns) / 2 or len(numbers) < 2:
        return []
    whole = [int(name) for name in numbers if name.isdecimal()]
    if len(whole) == len(numbers) and len(set(np.diff(whole))) == 1 and whole[0] != whole[-1]:
        return []
    return [f"{path}: the first line is used as the column names, such as {listed(list(map(repr, numbers)), 3)}: if "
            f"it is a row, write a line of names above it"]


def _of_json(cells, as_text):
    """Return a column of a .jsonl as a Series, with missing values where a line lacks it; integers stay integers.

    cells: [value] for each line, NaN where it lacks the column; as_text: whether to return strings, other values as JSON.
    """
    import pandas as pd

    values = [cell[0] if isinstance(cell, list) else None for cell in cells]
    if as_text:
        return pd.Series(["" if value is None or value != value else value if isinstance(value, str) else json.dumps(value)
                          for value in values], dtype=object)
    present = [value for value in values if value is not None]
    if len(present) < len(values) and present and all(type(value) is int and abs(value) < 2 ** 63 for value in present):
        return pd.Series(values, dtype="Int64")
    return pd.Series(values, dtype=None if present else object)


@functools.cache
def is_columnar(path):
    """Return whether a file is a .parquet or .feather, by its name."""
    return Path(path).suffix.lower() in (*PARQUET, ".feather")


def _columnar(path):
    """Return the DataFrame of a .parquet or .feather; its integers stay integers beside missing values, unlike in pandas."""
    import pandas as pd
    import pyarrow.feather
    import pyarrow.parquet

    of_feather = path.suffix.lower() == ".feather"
    read = pyarrow.feather.read_table if of_feather else pyarrow.parquet.read_table
    schema = read(path).schema if of_feather else pyarrow.parquet.read_schema(path)
    if twice := [name for name, number in Counter(schema.names).items() if number > 1]:
        raise DataError(f"{path}: {schema.names.count(twice[0])} columns are called {twice[0]!r}: rename one of them")
    kinds = pyarrow.types
    for field in schema if of_feather else ():
        if kinds.is_binary(field.type) or kinds.is_large_binary(field.type) or kinds.is_struct(field.type):
            raise DataError(f"{path}: column {field.name!r} contains bytes or objects, such as pictures: write the table as a "
                            f".parquet")
    table = pd.read_feather(path) if of_feather else pd.read_parquet(path)
    for name in table.columns[[pd.api.types.is_float_dtype(kind) for kind in table.dtypes]]:
        if name in schema.names and kinds.is_integer(schema.field(name).type):
            column = read(path, columns=[name])[name]
            kind = pd.UInt64Dtype() if kinds.is_unsigned_integer(column.type) else pd.Int64Dtype()
            table[name] = column.to_pandas(types_mapper=lambda _, kind=kind: kind).set_axis(table.index)
    return table


def _decoded_bytes(column):
    """Decode a column of bytes, as some programs write strings; return other columns unchanged."""
    if column.dtype != object or not (present := column.dropna()).map(type).isin([bytes]).all() or not len(present):
        return column
    return column.map(lambda value: value.decode("utf-8", "backslashreplace"), na_action="ignore")


def _parsed(content, width, **options):
    """Return what pandas.read_csv reads from UTF-8, bytes, in parts: at once it needs the memory of the file several times.

    width: the number of columns. A column of different types in different parts is read as a whole, since its type depends on
    all of its cells.
    """
    import pandas as pd

    with pd.read_csv(io.BytesIO(content), chunksize=max(ROWS, AT_ONCE // width), **options) as reader:
        parts = list(reader)
    if not parts:
        return pd.read_csv(io.BytesIO(content), **options)
    if len(parts) == 1:
        return parts[0]
    differing = [name for name, types in zip(parts[0], zip(*(part.dtypes for part in parts), strict=True), strict=True)
                 if len(set(types)) > 1 and not _are_floats([part[name] for part in parts])]
    table = pd.DataFrame({name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}, copy=False)
    if differing:
        whole = pd.read_csv(io.BytesIO(content), **options | {"usecols": differing})
        table[differing] = whole[differing]
    return table


def _are_floats(parts):
    """Return whether parts of a column, of different types, are those of a column of floats: some have integers alone."""
    return {part.dtype.kind for part in parts} == {"i", "f"} and all(
        max(-int(part.min()), int(part.max())) < 2 ** 53 for part in parts if part.dtype.kind == "i")


def _first_lines(text, most):
    """Return at most so many lines of a text, a list, without splitting all of it."""
    end = 0
    for _ in range(most):
        end = text.find("\n", end) + 1 or len(text)
    return text[:end].splitlines(keepends=True)[:most]


def _lines(content):
    """Return the lines of UTF-8, bytes, one at a time: a StringIO needs four bytes for each letter."""
    return io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="\n")


def _content_of(path, named, notes):
    """Return (the text of a file without trailing separators, as UTF-8, its separator); adds to notes what was detected.

    named: the columns that the user has named, the label first.
    """
    label = named[0] if named else None
    raw = _unpacked(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    if (inside := _names_inside(raw)) and not any(name.startswith("xl/") for name in inside):
        raise DataError(f"{path}: a .zip despite its name: unpack it, and give the table in it")
    if raw[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise DataError(f"{path}: {how_to_convert(path)}")
    if what := next((what for start, what in OTHER_FORMATS.items() if raw.startswith(start)), None):
        raise DataError(f"{path}: {what} despite its name: rename or convert it")
    text = _decoded(raw, path, notes).rstrip("\x1a")
    if what := _json_in(text):
        raise DataError(f"{path}: a {what} despite its name: rename it")
    del raw
    if "\0" in text:  # which pandas would leave out
        raise DataError(f"{path}: {many(text.count(chr(0)), 'null character')}, the first in line "
                        f"{text.count(chr(10), 0, text.index(chr(0))) + 1}: no text, or damaged; copy or write the file again")
    text = text if "\n" in text else text.replace("\r", "\n")
    above = re.match(r"(?:[ \t]*\r?\n)*(?:\"?sep=(.)\"?[ \t]*\r?\n)?", text)  # empty lines, and Excel's line "sep=;"
    text, lines_above = _without_comments(text[above.end():], label, above[0].count("\n"), path, notes)
    sample = [line for line in _first_lines(text, 200) if line.strip()]
    if not sample:
        raise DataError(f"{path}: has no rows")
    if above[1] and above[1] not in SEPARATORS and (above[1].isalnum() or above[1] in " \"'.-+_#\r"):
        raise DataError(f"{path}: its first line says that {above[1]!r} separates fields, but cells may contain it: separate "
                        f"them by commas, and remove this line")
    separators = [*SEPARATORS, *([above[1]] if above[1] and above[1] not in SEPARATORS else [])]
    quoted = any('"' in line for line in sample)
    counted = {separator: [len(row) for row in csv.reader(sample, delimiter=separator)] if quoted else [
        line.count(separator) + 1 for line in sample] for separator in separators}
    header = {separator: [name.strip() for name in next(csv.reader(sample, delimiter=separator))] for separator in separators}
    fitting = [separator for separator in SEPARATORS if label is not None and label in header[separator]] or list(SEPARATORS)
    if path.name.lower().endswith((".tsv", ".tsv.gz")) and "\t" in fitting:
        fitting = ["\t"]
    fitting = [above[1]] if above[1] else fitting
    # The separator that gives most rows the same number of fields, and the most fields.
    separator = max(fitting, key=lambda each: (np.mean(np.array(counted[each][1:] or [1]) >= counted[each][0]),
                                               counted[each][0] > 1, counted[each][0]))
    if separator != ("\t" if path.name.lower().endswith((".tsv", ".tsv.gz")) else ","):
        notes.append(f"{path}: fields are separated by {SEPARATORS.get(separator, repr(separator))}")
    twice = [name for name, number in Counter(header[separator]).items() if name and number > 1]
    if set(twice) & set(named):
        name = next(name for name in named if name in twice)
        raise DataError(f"{path}: {header[separator].count(name)} columns are called {name!r}: rename one of them")
    if twice:
        notes.append(f"{path}: several columns are called {listed(list(map(repr, twice)))}: the second is called "
                     f"{f'{twice[0]}.1'!r} here, and so on")
    content = text.encode()
    del text
    content = _unquoted(content, separator, path, notes, lines_above)
    return _rectangular(content, separator, path, notes, lines_above), separator


def _without_comments(text, label, lines_above, path, notes):
    """Return (a text without the lines at its top that begin with #, how many lines of the file it lacks).

    One of them is the header, as numpy writes it, if it has the label or the fields of the line below it, and not only the
    first of them; so is one above rows that begin with #, as of ids such as #12. A spreadsheet pads and quotes comments.
    """
    top = re.match(r'(?:[ \t\r,;|]*(?:"?#[^\n]*)?\n)+', text)
    if not re.match('"?#', text) or not top:
        return text, lines_above
    lines = re.sub(r"(\n[ \t\r,;|]*)+$", "", top[0]).split("\n")
    below = text[top.end():].partition("\n")[0]
    of_label = [] if label is None else [place for place, line in enumerate(lines[:200]) if _has_field(line, label)]
    in_below = label is not None and _has_field(below, label)
    if bool(of_label) != in_below:
        header = of_label[0] if of_label else len(lines)
    else:
        alike = (place for place in range(len(lines)) if _is_header(lines[place:place + 50], below))
        header = next(alike, len(lines) - (not below))
    if header:
        notes.append(f"{path}: {many(header, 'line')} at the top, from {lines[0].strip()[:40]!r} on, not used: comments")
    rest = "".join(f"{line}\n" for line in lines[header:]) + text[top.end():]
    return rest, lines_above + text.count("\n") - rest.count("\n")


def _unpacked(path):
    """Return the content of a .gz; DataError if it is many times larger than the file, and may not fit into memory."""
    most = max(SMALL, MOST_PACKED * path.stat().st_size)
    with gzip.open(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise DataError(f"{path}: contains more than {most >> 20} MB, many times its size: if the table is that large, unpack "
                        f"it, and give the file without .gz")
    return content


def _has_field(line, name):
    """Return whether a line, with any separator, has several fields, one of which is this name."""
    rows = [[field.strip() for field in row] for each in SEPARATORS for row in csv.reader([line], delimiter=each)]
    return any(name in row and len(row) > 1 for row in rows)


def _is_header(lines, below):
    """Return whether the first of some lines that begin with # is a header of the others, if any, and the line below them."""
    first, *ids = lines
    if not all(re.match(r'"?#[^\s,;|"]+"?\s*[,;|\t]', line) for line in ids):
        return False
    for separator in SEPARATORS:
        rows = list(csv.reader([*lines, *([below] if below.strip() else [])], delimiter=separator))
        if len(rows) > 1 and len(set(map(len, rows))) == 1 < len(rows[0]) and any(map(str.strip, rows[0][1:])):
            return True
    return False


def _json_in(text):
    """Return ".json" or ".jsonl" if a text begins with a list of objects, or its first line is an object, else None."""
    if re.match(r"\s*\[\s*\{", text):
        return ".json"
    with contextlib.suppress(ValueError, RecursionError):
        first = text.lstrip().partition("\n")[0]
        if first.startswith("{") and isinstance(json.loads(first), dict):
            return ".jsonl"
    return None


def _names_inside(raw):
    """Return the names of the files in a .zip, [] if it is not a .zip or broken."""
    if raw[:4] != b"PK\x03\x04":
        return []
    with contextlib.suppress(zipfile.BadZipFile):
        return zipfile.ZipFile(io.BytesIO(raw)).namelist()
    return []


def _unquoted(content, separator, path, notes, lines_above):
    """Return a text, as UTF-8, with quotes that are ordinary characters of a field escaped.

    Some programs never quote: a quote at the beginning of a field would then join all rows up to the next quote.
    """
    if b'"' not in content:
        return content
    with contextlib.suppress(csv.Error):
        strict = csv.reader(_lines(content), delimiter=separator, strict=True)
        for _ in strict:
            pass
        return content
    text = content.decode()
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
    lines = [line.split(separator) for line in re.split(r"\r?\n", text) if line]
    width, joined = len(rows[0]), [row for row in rows if any("\n" in field and any(
        line.count(separator) >= len(rows[0]) - 1 for line in field.split("\n")) for field in row)]
    if not joined or len(rows) == len(lines):
        return content
    if any(len(line) != width for line in lines):
        if all(len(row) == width for row in rows):  # a field of several lines, beside carelessly quoted ones
            return content
        place = text.find('"' + next(each for each in joined[0] if "\n" in each)[:20])
        line = lines_above + (strict.line_num if place < 0 else 1 + text[:place].count("\n"))
        raise DataError(f"{path}: line {line} has a quote that ends in another line: remove it, or write \"\" for a quote "
                        f"inside a quoted field")
    notes.append(f"{path}: quotes are read as ordinary characters: as marks around fields, they would join rows")
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows(
        [re.sub(r'^"(.*)"$', r"\1", field) for field in line] for line in lines)
    return out.getvalue().encode()


def _encoding(raw):
    """Return the encoding of a file's bytes."""
    if raw[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "utf-32"
    zeros = [raw[start:4000:2].count(0) for start in (0, 1)]  # in UTF-16 text without accents, every second byte
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if max(zeros) > len(raw[:4000]) / 4:
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        import charset_normalizer

        western = raw.decode("cp1252", "replace")
        # In Western languages a non-ASCII letter is beside an ASCII letter, also where a word begins or ends with it; other
        # scripts, read as cp1252, are rows of non-ASCII letters.
        beyond = [place for place, letter in enumerate(western) if ord(letter) > 127]
        beside = sum(re.search("[A-Za-z]", western[max(place - 1, 0):place + 2]) is not None for place in beyond)
        best = "\ufffd" in western or beside < 0.8 * len(beyond)
        best = charset_normalizer.from_bytes(raw[:10 ** 6]).best() if best else None
        return best.encoding if best else "cp1252"
    return "utf-8-sig" if raw.startswith(codecs.BOM_UTF8) else "utf-8"


def _decoded(raw, path, notes):
    """Return the text of a file's bytes; adds to notes an encoding other than UTF-8."""
    encoding = _encoding(raw)
    if encoding.startswith("utf-8"):
        return raw.decode(encoding)
    notes.append(f"{path}: read as {encoding[:6].upper()}" if encoding.startswith(("utf-16", "utf-32")) else
                 f"{path}: not UTF-8; read as {encoding}: check the letters, or convert the file")
    return _replaced(raw, encoding, path, notes)


def _replaced(raw, encoding, path, notes):
    """Return the text of bytes, with \ufffd for what is none in this encoding; adds to notes where it is, as of a cut file."""
    with contextlib.suppress(UnicodeDecodeError):
        return raw.decode(encoding)
    text = raw.decode(encoding, "replace")
    notes.append(f"{path}: {many(text.count(chr(0xfffd)), 'character')} cannot be read, the first in line "
                 f"{text.count(chr(10), 0, text.find(chr(0xfffd))) + 1}: if the file was cut, write it again")
    return text


def _rectangular(content, separator, path, notes, lines_above):
    """Return a text, as UTF-8, whose rows have as many fields as its header, without a separator at the end of each row.

    DataError for rows that cannot be assigned to columns. lines_above: how many lines of the file the text lacks.
    """
    reader, wider, number = csv.reader(_lines(content), delimiter=separator), 0, 0
    header = next(reader)
    width = len(header)
    for row in reader:
        if not row:
            continue
        number += 1
        if len(row) == width + 1 and not row[-1].strip():
            wider += 1
        elif len(row) != width:
            what = ("remove this comment" if row[0].lstrip().startswith("#") else
                    "complete or remove it" if len(row) < width else
                    f"give each column a name, or quote fields that contain {separator!r}")
            raise DataError(f"{path}: line {lines_above + reader.line_num} has {many(len(row), 'field')}, the header {width}: "
                            f"{what}")
    if wider and wider < number:
        raise DataError(f"{path}: {wider} of {number} rows have one field more than the header: give that column a name, or "
                        f"remove the field")
    if not wider:
        return content
    notes.append(f"{path}: the separator at the end of each row is ignored")
    out, writer = io.StringIO(), None
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    for row in csv.reader(_lines(content), delimiter=separator):
        writer.writerow(row[:width])
    return out.getvalue().encode()
