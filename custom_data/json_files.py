"""The rows of .json and .jsonl files; exports of annotation tools, which are no rows, are refused with what to do."""
import functools
import json
import os
import shlex
from pathlib import Path

from incv.data import DataError
from incv.utils import first_line, python_command

LINES = (".jsonl", ".ndjson")


def is_json(path):
    """Return whether a file is read by this module, by its name."""
    return Path(path).suffix.lower() in (".json", *LINES)


def are_lines(path):
    """Return whether a file has a row in each line, by its name."""
    return Path(path).suffix.lower() in LINES


def rows(path):
    """Return the rows of a file, dicts, as an iterable. Raises DataError."""
    return lines(path) if are_lines(path) else _rows_of_json(Path(path))


def lines(path):
    """Yield the content of each line of a .jsonl that has any, a dict; DataError with the number of a line that is none."""
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            try:
                content = _parsed(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}: line {number} cannot be read as JSON ({first_line(error)}): fix or remove "
                                f"it") from None
            if not isinstance(content, dict):
                raise DataError(f"{path}: line {number} is not a JSON object {{name: value}}: fix or remove it")
            yield _whole_characters(content) if "\\ud" in line.casefold() else content


class _Twice(ValueError):
    """A name occurs twice in an object, of which Python's json keeps the last value without a word."""


def _parsed(text):
    """Return what JSON holds; ValueError if it is none, or if a name occurs twice in an object."""
    def once(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise _Twice(f"{next(name for name in found if names.count(name) > 1)!r} occurs twice in an object")
        return found

    return json.loads(text, object_pairs_hook=once)


def _text(path):
    """Return the text of a file in UTF-8, UTF-16 or UTF-32."""
    raw = Path(path).read_bytes()
    return raw.decode(json.detect_encoding(raw))


def _whole_characters(content):
    """Return a row with half characters, as of a text that was cut, replaced."""
    return {name: value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value
            for name, value in content.items()}


def _rows_of_json(path):
    """Return the rows of a .json: a list of objects, or columns as pandas writes them, or a row in each line."""
    text = _text(path)
    try:
        content = _parsed(text)
    except RecursionError:
        raise DataError(f"{path}: too deep to be a table; write a list of objects [{{name: value}}]") from None
    except ValueError as error:
        start = text.lstrip()[:1]
        if start == "{" and len(text.strip().splitlines()) > 1 and _is_object(text.strip().splitlines()[0]):
            return lines(path)
        raise DataError(f"{path}: cannot be read as JSON ({first_line(error)}); write a list of objects [{{name: "
                        f"value}}]") from None
    refuse_export(path, content)
    content = _of_columns(content) if isinstance(content, dict) else content
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DataError(f"{path}: no table; write a list of objects with the same names, [{{\"file\": \"1.png\", \"label\": "
                        f"\"cat\"}}, ...]")
    return [_whole_characters(row) for row in content] if "\\ud" in text.casefold() else content


def _is_object(line):
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _of_columns(content):
    """Return the rows of {column: values}, of pandas' forms "columns", "split" and "table", or None."""
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    if isinstance(content.get("schema"), dict) and isinstance(content.get("data"), list):
        return content["data"]
    columns = list(content.values())
    if columns and all(isinstance(values, dict) for values in columns):  # {column: {"0": value}}
        if any(list(values) != list(columns[0]) for values in columns) or not all(map(str.isdecimal, columns[0])):
            return None
        columns = [list(values.values()) for values in columns]
    if not columns or not all(isinstance(values, list) and len(values) == len(columns[0]) for values in columns):
        return None
    return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]


def refuse_export_of(path):
    """Raise DataError if a file is a .json that an annotation tool exports; read once while it does not change."""
    if is_json(path) and not are_lines(path):
        found = os.stat(path)
        _refuse_once(str(path), found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _refuse_once(path, *_):
    refuse_export(path)


def refuse_export(path, content=None):
    """Raise DataError if a .json is what an annotation tool exports, with what to do. content: of the file, if it was read."""
    if content is None:
        try:
            content = json.loads(_text(path))
        except (OSError, ValueError, RecursionError):
            return
    target = f"{Path(path).stem}.csv"
    start, end = f"import json, pandas; d = json.load(open({str(path)!r})); ", f".to_csv({target!r}, index=False)"
    then = f", and give --dataset {shlex.quote(target)} --label label --images DIR"
    if isinstance(content, dict) and _is_coco(content):
        lacks = [name for name in ("annotations", "categories") if not content.get(name)] or [
            "the category_id of annotations" for each in content["annotations"][:1] if "category_id" not in each]
        if lacks:
            raise DataError(f"{path}: images of COCO without {' and '.join(lacks)}, which say the class of each picture: "
                            f"export it with them, or give the file of annotations that has them")
        command = python_command(
            f"{start}c = {{k['id']: k['name'] for k in d['categories']}}; "
            f"f = {{i['id']: i['file_name'] for i in d['images']}}; pandas.DataFrame([(f[a['image_id']], c[a['category_id']]) "
            f"for a in d['annotations']], columns=['file', 'label']){end}")
        raise DataError(f"{path}: annotations of COCO; write them as a list: {command}{then}")
    if isinstance(content, dict) and isinstance(content.get("labels"), dict) and isinstance(content.get("classes"), list):
        command = python_command(
            f"{start}pandas.DataFrame([(k, d['classes'][v] if isinstance(v, int) else v) for k, v in d['labels'].items()], "
            f"columns=['file', 'label']){end}")
        raise DataError(f"{path}: labels of FiftyOne; write them as a list: {command}{then}")
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(first, dict) and isinstance(first.get("data"), dict) and "annotations" in first:
        raise DataError(f"{path}: annotations of Label Studio; export them as CSV or JSON-MIN, and give that file with "
                        f"--label and --images")


def _is_coco(content):
    """Return whether a JSON object is what COCO has: pictures with the names of their files, annotations and categories."""
    images = content.get("images")
    of_pictures = isinstance(images, list) and images and isinstance(images[0], dict) and "file_name" in images[0]
    return {"images", "annotations", "categories"} <= set(content) or bool(of_pictures)
