"""The file of a table as a DataFrame: encoding, separator, header and rows as a person sees them."""
import contextlib
import csv
import gzip
import io
import json
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from data import DataError, first_line, listed

ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".parquet", ".jsonl")
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
        The column of labels, whose text is kept, and of which only empty cells are missing ("NA" and "None" may be classes).
    decimal : str, optional
        "," or ".": the decimal separator of numbers that are not plain.
    as_text : True or list of str
        Columns not to parse as numbers; True keeps all cells exactly as they are (for `--export`).
    raw : list of str
        Other columns that are kept as the label's is.

    Returns
    -------
    table : pandas.DataFrame
        The index counts the rows of the file from 0; column names are strings without white space around them.
    notes : list of str
        What is read otherwise than written, as warnings.

    Raises
    ------
    DataError
    """
    import pandas as pd

    path, notes = Path(path), []
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        if path.suffix.lower() == ".parquet":
            table = _with_integers(pd.read_parquet(path), path)
        elif path.suffix.lower() == ".jsonl":
            table = pd.DataFrame([{name: [value] for name, value in row.items()} for row in json_lines(path)], dtype=object)
            table = pd.DataFrame({name: _of_json(cells, as_text is True) for name, cells in table.items()})
        else:
            named = [] if as_text is True else as_text
            text, separator = _text_of(path, [] if label is None else [label, *named, *raw], notes)
            options = {"sep": separator, "index_col": False, "low_memory": False}
            dtype = str if as_text is True or decimal == "," else {name: str for name in as_text}
            table = pd.read_csv(io.StringIO(text), dtype=dtype, keep_default_na=as_text is not True, **options)
            if decimal == "," and as_text is not True:  # numbers with dots between thousands stay text; others are plain
                for column in set(table) - set(as_text):
                    dotted = table[column].dropna().str.strip()
                    dotted = dotted[dotted.str.contains(".", regex=False)]
                    if not len(dotted) or not dotted.str.fullmatch(r"[+-]?[1-9]\d{0,2}(\.\d{3})+").all():
                        with contextlib.suppress(ValueError):
                            table[column] = pd.to_numeric(table[column])
            if label is not None:
                table.columns = _names(table.columns, label, path, notes)
                as_it_is = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, na_values=[""], **options)
                as_it_is.columns = table.columns
                for column in {label, *raw} & set(as_it_is):
                    table[column] = as_it_is[column]
    except ImportError:
        raise DataError(f"{path}: to read .parquet, pip install pyarrow") from None
    except DataError:
        raise
    except Exception as error:  # pandas' and pyarrow's own, among others
        known = isinstance(error, (OSError, ValueError, EOFError, csv.Error, zlib.error))
        if not known and type(error).__module__.split(".")[0] not in ("pyarrow", "pandas"):
            raise
        raise DataError(f"{path}: cannot be read as a table ({error})") from None
    if not len(table):
        raise DataError(f"{path}: has no rows")
    table.columns = _names(table.columns.map(str), label, path, notes)  # adds nothing where it was done above
    return table.reset_index(drop=True), notes


def separator_like(target, path, label):
    """Return the separator of a new file of rows of a table: the table's own in a .csv of a .csv, else by its name."""
    tabs = str(target).lower().endswith((".tsv", ".tsv.gz"))
    alike = not tabs and str(path).lower().endswith((".csv", ".csv.gz"))
    return "\t" if tabs else _text_of(Path(path), [label], [])[1] if alike else ","


def _names(columns, label, path, notes):
    """Return column names without white space around them; DataError if the label's name is there twice."""
    stripped = [str(name).strip() for name in columns]
    if stripped != list(columns):
        notes.append(f"{path}: white space around column names is removed")
    twice = [name for name, number in Counter(stripped).items() if number > 1]
    if twice:
        raise DataError(f"{path}: {stripped.count(twice[0])} columns are called {twice[0]!r}: rename one of them")
    return stripped


def json_lines(path):
    """Yield the content of each line of a .jsonl that has any, a dict; DataError with the number of a line that is none."""
    for number, line in enumerate(path.read_text("utf-8-sig").split("\n"), start=1):
        if line.strip():
            try:
                content = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}: line {number} cannot be read as JSON ({first_line(error)}): fix or remove "
                                f"it") from None
            if not isinstance(content, dict):
                raise DataError(f"{path}: line {number} is no JSON object {{name: value}}: fix or remove it")
            yield content


def _of_json(cells, as_text):
    """Return the values [value] of a column of a .jsonl, NaN where a line lacks it, as a Series; integers stay integers.

    as_text: as strings that keep what is written.
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


def _with_integers(table, path):
    """Return the DataFrame of a .parquet whose integers beside missing values are integers: pandas makes floats of them."""
    import pandas as pd
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(path)
    for name in table.columns[[pd.api.types.is_float_dtype(kind) for kind in table.dtypes]]:
        if name in schema.names and pyarrow.types.is_integer(schema.field(name).type):
            column = pyarrow.parquet.read_table(path, columns=[name])[name]
            kind = pd.UInt64Dtype() if pyarrow.types.is_unsigned_integer(column.type) else pd.Int64Dtype()
            table[name] = column.to_pandas(types_mapper=lambda _, kind=kind: kind).set_axis(table.index)
    return table


def _text_of(path, named, notes):
    """Return (the text of a file without trailing separators, its separator); adds to notes what was detected.

    named: the columns that the person has named, the label first.
    """
    label = named[0] if named else None
    raw = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    if raw[:4] == b"PK\x03\x04" or raw[:4] == b"\xd0\xcf\x11\xe0":
        raise DataError(f"{path}: an Excel file; convert it: python -c \"import pandas; pandas.read_excel('{path}').to_csv("
                        f"'{path.stem}.csv', index=False)\"")
    text = _decoded(raw, path, notes)
    lines = text.splitlines(keepends=True)
    sample = [line for line in lines[:200] if line.strip()]
    if not sample:
        raise DataError(f"{path}: has no rows")
    counted = {separator: [len(row) for row in csv.reader(sample, delimiter=separator)] for separator in SEPARATORS}
    header = {separator: [name.strip() for name in next(csv.reader(sample, delimiter=separator))] for separator in SEPARATORS}
    fitting = [separator for separator in SEPARATORS if label is not None and label in header[separator]] or list(SEPARATORS)
    if path.name.lower().endswith((".tsv", ".tsv.gz")) and "\t" in fitting:
        fitting = ["\t"]
    # The separator that gives most rows the same number of fields, and the most fields.
    separator = max(fitting, key=lambda each: (np.mean(np.array(counted[each][1:] or [1]) >= counted[each][0]),
                                               counted[each][0] > 1, counted[each][0]))
    if separator != ("\t" if path.name.lower().endswith((".tsv", ".tsv.gz")) else ","):
        notes.append(f"{path}: fields are separated by {SEPARATORS[separator]}")
    twice = [name for name, number in Counter(header[separator]).items() if name and number > 1]
    if set(twice) & set(named):
        name = next(name for name in named if name in twice)
        raise DataError(f"{path}: {header[separator].count(name)} columns are called {name!r}: rename one of them")
    if twice:
        notes.append(f"{path}: several columns are called {listed(list(map(repr, twice)))}: the second is called "
                     f"{f'{twice[0]}.1'!r} here, and so on")
    return _rectangular(text, separator, path, notes), separator


def _decoded(raw, path, notes):
    """Return the text of a file's bytes; adds to notes an encoding other than UTF-8."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        notes.append(f"{path}: read as UTF-16")
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        import charset_normalizer

        western, encoding = raw.decode("cp1252", "replace"), "cp1252"
        # In Western languages a letter beyond ASCII stands beside one of ASCII; read as such, other scripts are rows of them.
        beyond = [place for place, letter in enumerate(western) if ord(letter) > 127]
        beside = sum(western[place - 1:place + 2].encode("ascii", "ignore").isalpha() for place in beyond)
        if "\ufffd" in western or beside < 0.8 * len(beyond):
            best = charset_normalizer.from_bytes(raw[:10 ** 6]).best()
            encoding = best.encoding if best else "cp1252"
        notes.append(f"{path}: not UTF-8; read as {encoding}: check the letters, or convert the file")
        return raw.decode(encoding, "replace")


def _rectangular(text, separator, path, notes):
    """Return a text whose rows have as many fields as its header, without a separator at the end of each row.

    DataError for rows that cannot be assigned to columns.
    """
    reader, wider, number = csv.reader(io.StringIO(text), delimiter=separator), 0, 0
    header = next(reader)
    width = len(header)
    for row in reader:
        if not row:
            continue
        number += 1
        if len(row) == width + 1 and not row[-1].strip():
            wider += 1
        elif len(row) > width:
            raise DataError(f"{path}: line {reader.line_num} has {len(row)} fields, the header {width}: give each column a "
                            f"name, or quote fields that contain {separator!r}")
        elif len(row) < width:
            raise DataError(f"{path}: line {reader.line_num} has {len(row)} fields, the header {width}: complete or remove it")
    if wider and wider < number:
        raise DataError(f"{path}: {wider} of {number} rows have one field more than the header: which column is it?")
    if not wider:
        return text
    notes.append(f"{path}: the separator at the end of each row is ignored")
    out, writer = io.StringIO(), None
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    for row in csv.reader(io.StringIO(text), delimiter=separator):
        writer.writerow(row[:width])
    return out.getvalue()
