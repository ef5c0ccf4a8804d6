"""Pictures inside a .parquet, or inside the .parquet files of a folder, which are parts (shards) of one table."""
import itertools
import json
import re
from pathlib import Path

from incv.custom_data import table_file
from incv.data import DataError
from incv.utils import first_line, listed, regular

BATCH = 256  # rows whose pictures are in memory at a time


def is_parquet(path):
    """Return whether a path is a .parquet or a folder of .parquet files."""
    path = Path(path)
    if path.is_dir():  # with subfolders, it may be a folder of images beside a .parquet
        return any(path.glob("*.parquet")) and not any(each.is_dir() and each.name[0] != "." for each in path.iterdir())
    return path.suffix.lower() in table_file.PARQUET and path.is_file()


def parts(path):
    """Return the files of a table in order, from one .parquet or a folder; DataError for a folder of several tables."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet"))
    sets = sorted({re.sub(r"[-_.]?\d+([-_]of[-_]\d+)?([-_.][0-9a-f]{8,})?$", "", file.stem) for file in found})
    if len(sets) > 1:
        raise DataError(f"{path}: its .parquet files belong to several tables ({listed([repr(each) for each in sets], 6)}): "
                        f"give a folder with the parts of one table")
    schemas = [schema_of(file) for file in found]
    for file, schema in zip(found, schemas, strict=True):
        if not schema.equals(schemas[0]):
            raise DataError(f"{file}: its columns differ from those of {found[0].name}: give a folder with the parts of one "
                            f"table")
    return found


def schema_of(path):
    """Return the Arrow schema of a .parquet. Raises DataError."""
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(regular(path)).schema_arrow
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error.__class__.__name__}); write it again") from None


def class_names_of(schema):
    """Return {column: class names of its integers} from the metadata that Hugging Face's datasets write into a schema."""
    import pyarrow

    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: each["names"] for name, each in features.items() if each.get("_type") == "ClassLabel"}
        return {name: list(map(str, names)) for name, names in found.items() if isinstance(names, list) and (
            pyarrow.types.is_integer(schema.field(name).type))}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):  # anybody may write anything there
        return {}


def column_of_pictures(path, without=()):
    """Return the column that contains pictures, as bytes or a struct with bytes, or None; DataError for several.

    without: columns to ignore.
    """
    import pyarrow

    fields = [field for field in schema_of(parts(path)[0]) if field.name not in without]
    found = [field.name for field in fields if is_binary(field.type) and not _are_text(path, field.name) or (
        pyarrow.types.is_struct(field.type) and any(each.name == "bytes" and is_binary(each.type) for each in field.type))]
    if len(found) > 1:
        raise DataError(f"{path}: the columns {listed([repr(name) for name in found])} contain pictures: --drop all but one")
    return found[0] if found else None


def _are_text(path, column):
    """Return whether a column of bytes contains strings, as some programs write them, judged by its first values."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(parts(path)[0], pre_buffer=False) as file:
        first = [value for batch in itertools.islice(file.iter_batches(BATCH, columns=[column]), 1)
                 for value in batch.column(0).to_pylist() if value is not None]
    try:
        return len(first) > 0 and all("\0" not in value.decode("utf-8") for value in first)
    except UnicodeDecodeError:
        return False


def is_binary(kind):
    """Return whether an Arrow type is bytes."""
    import pyarrow

    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)


def texts(path):
    """Return a pandas.DataFrame of all cells but pictures and lists, as text; integers with class names become the names."""
    import pandas as pd
    import pyarrow

    from incv.custom_data import group_names

    tables = []
    for file in parts(path):
        schema = schema_of(file)
        flat = [field.name for field in schema if not pyarrow.types.is_nested(field.type) and not is_binary(field.type)]
        try:
            table = pd.read_parquet(file, columns=flat).astype(object)
        except Exception as error:  # of pandas and pyarrow, or whatever they raise for strange bytes and metadata
            raise DataError(f"{file}: cannot be read as a table ({first_line(error)}); write it again") from None
        for name, of_class in class_names_of(schema).items():
            if name in table:
                table[name] = [of_class[int(value)] if value is not None and 0 <= value < len(of_class) else ""
                               for value in table[name]]
        tables.append(table.apply(lambda column: group_names.as_text(group_names.whole(column.infer_objects()))))
    return pd.concat(tables, ignore_index=True)


def contents(path, column, rows=None):
    """Yield (row, name, bytes) of the pictures in a column, for the given rows (a set) or all, a few at a time."""
    import pyarrow.parquet

    row = -1
    for part in parts(path):
        with pyarrow.parquet.ParquetFile(part, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH, columns=[column]):
                for value in batch.column(0):
                    row += 1
                    if rows is None or row in rows:
                        found = value.as_py()
                        content = found.get("bytes") if isinstance(found, dict) else found
                        name = found.get("path") if isinstance(found, dict) else None
                        yield row, name or str(row), content or b""
