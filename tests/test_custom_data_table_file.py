"""The file of a table: encoding, separator, quotes and rows as a person sees them, or one line that says why not."""
import gzip
import io
import json
import os
import shlex
import tracemalloc
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.feather
import pyarrow.parquet
import pytest
from conftest import one_line, run
from examples import I, J, column_and_warnings, in_file, read, refused, same_features, table_of, written

from incv import data
from incv.custom_data import features, formats, load, table_file
from incv.custom_data.source import Source

# --- rows and encodings -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("separator", [",", ";"])
def test_a_separator_at_the_end_of_each_row(tmp_path, numbers, separator):
    lines = numbers.to_csv(index=False, sep=separator).splitlines()
    for name, text in (("rows", [lines[0], *(line + separator for line in lines[1:])]),
                       ("header too", [line + separator for line in lines])):
        (tmp_path / f"{name}.csv").write_text("\n".join(text) + "\n")
        dataset, warnings = read(tmp_path / f"{name}.csv")
        assert dataset.class_names.tolist() == ["cat", "dog", "eel"] and same_features(dataset, numbers), name
        assert name != "rows" or "separator at the end of each row is ignored" in warnings


def test_rows_that_fit_no_header_are_refused(tmp_path, numbers):
    lines = numbers.to_csv(index=False).splitlines()
    (tmp_path / "more.csv").write_text("\n".join([lines[0], *(f"x,{line}" for line in lines[1:])]))
    refused(["line 2 has 4 fields, the header 3"], tmp_path / "more.csv", "kind")
    (tmp_path / "less.csv").write_text("\n".join([*lines[:5], "1,2", *lines[5:]]))
    refused(["line 6 has 2 fields, the header 3"], tmp_path / "less.csv", "kind")
    (tmp_path / "some.csv").write_text("\n".join([lines[0], *(line + "," * (n % 2) for n, line in enumerate(lines[1:]))]))
    refused(["of 60 rows have one field more"], tmp_path / "some.csv", "kind")


@pytest.mark.parametrize("name, encode, said", [
    ("semicolons.csv", lambda t: t.to_csv(index=False, sep=";").encode(), "semicolons"),
    ("tabs.tsv", lambda t: t.to_csv(index=False, sep="\t").encode(), ""),
    ("tabs.csv", lambda t: t.to_csv(index=False, sep="\t").encode(), "tabs"),
    ("bars.txt", lambda t: t.to_csv(index=False, sep="|").encode(), "vertical bars"),
    ("latin1.csv", lambda t: t.to_csv(index=False).encode("latin-1"), "not UTF-8"),
    ("utf16.csv", lambda t: t.to_csv(index=False).encode("utf-16"), "UTF-16"),
    ("bom.csv", lambda t: t.to_csv(index=False).encode("utf-8-sig"), ""),
    ("crlf.csv", lambda t: t.to_csv(index=False, lineterminator="\r\n").encode(), ""),
    ("packed.csv.gz", lambda t: gzip.compress(t.to_csv(index=False).encode()), "")])
def test_separators_and_encodings(tmp_path, numbers, name, encode, said):
    table = numbers.assign(kind=numbers["kind"].str.replace("cat", "Kätzchen"))
    (tmp_path / name).write_bytes(encode(table))
    dataset, warnings = read(tmp_path / name)
    assert dataset.class_names.tolist() == ["Kätzchen", "dog", "eel"] and same_features(dataset, table)
    assert said in warnings if said else not warnings


def test_excel_is_refused_with_what_converts_it(tmp_path):
    for name in ("book.xlsx", "renamed.csv"):
        (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(100))
        refused(["Excel", "read_excel", "to_csv"], tmp_path / name, "kind")


def test_the_command_that_converts_excel_is_one_for_a_shell():
    for name in ("book.xlsx", "Ann's book.xlsx", "$a `b`.xlsx"):
        *_, flag, script = shlex.split(table_file.how_to_convert(Path("in", name)))
        assert flag == "-c" and f"read_excel({f'in/{name}'!r})" in script and compile(script, "", "exec")


NUMBERS = [f"{i * 37 % 101}.5" for i in J]


@pytest.mark.parametrize("content, told", {
    "Excel's first line": ("sep=;\r\n" + table_of(NUMBERS, ";", "\r\n"), "separated by semicolons"),
    "another separator": ("sep=^\n" + table_of(NUMBERS, "^"), "separated by '^'"),
    "an empty first line": ("\n \n" + table_of(NUMBERS), None), "an old Mac": (table_of(NUMBERS, end="\r"), None),
    "an end of file of DOS": (table_of(NUMBERS) + "\x1a", None),
    "UTF-16 without a mark": (table_of(NUMBERS).encode("utf-16-le"), "UTF-16"),
    "UTF-16, the other order": (table_of(NUMBERS).encode("utf-16-be"), "UTF-16"),
    "UTF-32": (table_of(NUMBERS).encode("utf-32"), "UTF-32"),
}.values())
def test_files_as_other_programs_write_them(tmp_path, content, told):
    found, warnings = column_and_warnings(written(tmp_path / "t.csv", content))
    assert found == list(map(float, NUMBERS)) and (told is None and not warnings or told in " ".join(warnings)), warnings


def test_a_separator_that_cells_may_contain_is_refused(tmp_path):
    path = written(tmp_path / "t.csv", "sep=x\n" + table_of(NUMBERS))
    refused("'x' separates fields, but cells may contain it", path, "label")


def test_words_that_begin_or_end_with_an_accent_are_western(tmp_path):
    names = ["café", "école", "€uro"]
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(["v,label", *(f"{i * i % 17},{names[i % 3]}" for i in I)]).encode("cp1252"))
    assert set(table_file.read_table(path, "label")[0]["label"]) == set(names)


def test_a_text_that_is_cut_within_a_character_is_told_with_its_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(["v,label", *(f"{i * i % 17},{'ab'[i % 2]}" for i in I)]).encode("utf-16")[:-1])
    assert f"1 character cannot be read, the first in line {len(I) + 1}" in " ".join(table_file.read_table(path, "label")[1])


def test_null_characters_are_refused_where_they_are(tmp_path):
    path = written(tmp_path / "t.csv", "\n".join(["v,label", *(f"{i * i % 17},{'ab'[i % 2]}" for i in I), "3,a\0", ""]))
    refused(f"t.csv: 1 null character, the first in line {len(I) + 2}: no text, or damaged", path, "label")


def test_cells_longer_than_a_library_expects(tmp_path):
    path = written(tmp_path / "t.csv", table_of(["x" * 150_000 if i == 3 else f"{i}" for i in J]))
    assert len(table_file.read_table(path, "label")[0]["v"][3]) == 150_000


def test_a_zip_is_no_excel_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.csv", "w") as archive:
        archive.writestr("data.csv", table_of(NUMBERS))
    refused("a .zip despite its name: unpack it", tmp_path / "t.csv", "label")


def test_what_is_no_table_is_named(tmp_path):
    for name, content in (("empty.csv", ""), ("head.csv", "a,b\n"), ("quote.csv", 'a,b\n"1,2\n3'),
                          ("bytes.csv", "\x00\xff")):
        (tmp_path / name).write_bytes(content.encode("latin-1"))
        with pytest.raises(data.DataError, match=name):
            load.facts(tmp_path / name, "b")
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(data.DataError, match="no.parquet"):
        load.facts(tmp_path / "no.parquet", "b")


def test_a_damaged_parquet_is_one_line(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    one_line(run(["--dataset", "t.parquet", "--label", "kind"], tmp_path), "t.parquet: cannot be read as a table")


REFUSED = {
    "two columns of the label's name": ("t.csv", "kind,v,kind\n" + "a,1,b\n" * 9, "2 columns are called 'kind'"),
    "alike but for spaces": ("t.csv", "v, v,kind\n" + "1,2,a\n" * 9, "2 columns are called 'v'"),
    "a line that is no JSON": ("t.jsonl", '{"v": 1, "kind": "a"}\n' * 9 + '{"v" 2}\n', "line 10 cannot be read as JSON"),
    "a name twice in a line": ("t.jsonl", '{"v": 1, "kind": "a"}\n' * 9 + '{"v": 1, "kind": "a", "kind": "b"}\n',
                               "line 10 cannot be read as JSON (_Twice: 'kind' occurs twice in an object)"),
    "a name twice in an object": ("t.json", '[{"v": 1, "v": 2, "kind": "a"}]', "'v' occurs twice in an object"),
    "a list as label": ("t.jsonl", '{"v": 1, "kind": ["a"]}\n{"v": 2, "kind": ["a", "b"]}\n' * 9, "some are lists"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path, case):
    name, content, why = REFUSED[case]
    (tmp_path / name).write_text(content)
    result = run(["--dataset", name, "--label", "kind", "--inspect"], tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and why in result.err, result.err


def test_damaged_and_odd_files_are_one_line(tmp_path):
    raw = bytearray(gzip.compress(b"v,kind\n" + b"".join(b"%d,%c\n" % (i * i, 97 + i % 2) for i in range(2000))))
    raw[len(raw) // 2:len(raw) // 2 + 30] = bytes(30)
    (tmp_path / "t.csv.gz").write_bytes(bytes(raw))
    pd.DataFrame({"v": [np.inf, 1e20] * 30, "kind": ["a", "b", "b"] * 20}).to_parquet(tmp_path / "inf.parquet")
    for name, why in (("t.csv.gz", "cannot be read as a table"), ("inf.parquet", "infinite")):
        result = run(["--dataset", name, "--label", "kind", "--inspect"], tmp_path)
        assert result.code == 2 and result.err.count("\n") == 1 and why in result.err, result.err


def test_an_export_has_the_separator_of_the_table_or_of_its_own_name(tmp_path):
    rows = "".join(f"{i % 7},5;{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "t.csv").write_text("v;kind\n" + rows)
    (tmp_path / "t.txt").write_text(("v;kind\n" + rows).replace(";", "\t"))
    assert table_file.separator_like("kept.csv", tmp_path / "t.txt", "kind") == ","
    assert table_file.separator_like("kept.tsv", tmp_path / "t.csv", "kind") == "\t"


# --- quotes -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sep", "\t,")
def test_quotes_that_are_letters_join_no_rows(tmp_path, sep):
    lines = [f'"Film {i} was great' if i % 10 == 0 else f"film {i} was dull" for i in J]
    found, warnings = column_and_warnings(written(tmp_path / f"t.{'tsv' if sep == chr(9) else 'csv'}", table_of(lines, sep)))
    assert found == lines and any("quotes are read as ordinary characters" in line for line in warnings)


def test_quotes_around_fields_are_marks(tmp_path):
    cells = [f'"{i}, or\nso"' if i % 3 else f'"say ""{i}"""' for i in J]
    found, notes = table_file.read_table(written(tmp_path / "t.csv", table_of(cells)), "label")
    assert found["v"].tolist() == [f"{i}, or\nso" if i % 3 else f'say "{i}"' for i in J] and not notes


def test_a_quote_that_ends_in_another_line_is_named(tmp_path):
    lines = table_of(['"x' if i in (5, 9) else f"{i}" for i in J]).splitlines()
    lines[60] += ",more"
    refused("line 7 has a quote that ends in another line", written(tmp_path / "t.csv", "\n".join(lines)), "label")


def test_carelessly_quoted_text_of_several_lines_is_read_as_before(tmp_path):
    cells = ['"first, and\nsecond, line"' if i % 3 == 0 else f'"he said "hi" {i}"' for i in J]
    found, notes = table_file.read_table(written(tmp_path / "t.csv", table_of(cells)), "label")
    assert len(found) == 120 and found["v"][0] == "first, and\nsecond, line" and not notes


# --- names of columns -------------------------------------------------------------------------------------------------

def test_quotes_and_separators_in_names_that_were_read_before(tmp_path):
    text = io.StringIO('"a, b",kind\n"1,5 ""x""",u\n"2",v\n"3",u\n"4",v\n')
    (tmp_path / "t.csv").write_text(text.getvalue())
    assert load.load_dataset(tmp_path / "t.csv", "kind").num_classes == 2


def test_columns_that_have_separators_in_their_names(tmp_path):
    path = written(tmp_path / "t.csv", "T,C;p,Pa;label\n" + "".join(f"{i % 9},5;{i % 8},25;{'ab'[i % 2]}\n" for i in J))
    assert [*table_file.read_table(path, as_text=True, raw=["label"])[0]] == ["T,C", "p,Pa", "label"]
    source = Source(facts=load.facts(path, "label"), path=str(path), label="label")
    new = written(tmp_path / "new.csv", "T,C;p,Pa\n1,5;1,25\n")
    assert np.array_equal(load.samples_like(new, source)[0], load.load_dataset(path, "label").x_train[1:2])


def test_a_row_where_the_names_should_be(tmp_path):
    rows = "".join(f"{i % 50 / 10},{i % 7 / 10},{'ab'[i % 2]}\n" for i in J)
    warnings = load.load_dataset(written(tmp_path / "t.csv", rows), "a").warnings
    assert any("the first line is used as the column names, such as '0.0'" in line for line in warnings), warnings
    for names in ("0,1,2,label", "1990,2000,2010,label"):  # as pandas writes columns without a name, and years
        text = names + "\n" + "".join(f"{i % 50},{i % 7},{i * i % 13},{'ab'[i % 2]}\n" for i in J)
        assert not any("first line" in line for line in load.load_dataset(written(tmp_path / "n.csv", text), "label").warnings)


def test_a_label_as_the_header_has_it(tmp_path):
    written(tmp_path / "t.csv", "v, label \n" + "".join(f"{i % 13},{'ab'[i % 2]}\n" for i in J))
    result = run(["--dataset", "t.csv", "--label", " label ", "--inspect"], tmp_path)
    assert result.code == 0 and "2 classes: 'a' 60, 'b' 60" in result.out, result.err


def test_accents_of_columns_composed_or_not(tmp_path):
    header = unicodedata.normalize("NFD", "v,Größe\n")
    path = written(tmp_path / "n.csv", header + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in J))
    assert len(load.load_dataset(path, unicodedata.normalize("NFC", "Größe")).given) == 120
    written(tmp_path / "m.csv", unicodedata.normalize("NFD", "v,Höhe,Größe\n") + "".join(
        f"{i % 7},{i % 5},{'ab'[i % 2]}\n" for i in J))
    for form in ("NFC", "NFD"):
        named = [unicodedata.normalize(form, each) for each in ("--label", "Größe", "--drop", "Höhe")]
        result = run(["--dataset", "m.csv", *named, "--inspect"], tmp_path)
        assert result.code == 0 and "120 samples of 1 features" in result.out, result.err


def test_other_columns_of_the_same_name_are_said(tmp_path):
    path = in_file(tmp_path, ["v,v,kind", *(f"{i * i % 17},{i * i % 5},{'ab'[i % 2]}" for i in I)])
    assert "several columns are called 'v'" in table_file.read_table(path, "kind")[1][0]
    path = in_file(tmp_path, [",,v,kind", *(f"{i},x,{i * i % 5},{'ab'[i % 2]}" for i in I)])
    assert not any("several" in note for note in table_file.read_table(path, "kind")[1])


# --- .jsonl and .parquet ----------------------------------------------------------------------------------------------

def test_half_a_character_in_a_jsonl(tmp_path):
    rows = [json.dumps({"v": f"cut {i} \ud83d", "w": i % 7, "label": "ab"[i % 2]}) for i in J]
    path = written(tmp_path / "t.jsonl", "\n".join(rows))
    assert load.load_dataset(path, "label").x_train.shape == (120, 1)
    assert table_file.read_table(path, "label")[0]["v"].tolist() == [f"cut {i} \ufffd" for i in J]


@pytest.mark.parametrize("write", [pyarrow.parquet.write_table, pyarrow.feather.write_feather])
def test_two_columns_of_one_name_in_a_parquet_are_refused(tmp_path, write):
    path = tmp_path / ("t.parquet" if write is pyarrow.parquet.write_table else "t.feather")
    write(pyarrow.table([list(I), list(I), ["ab"[i % 2] for i in I]], names=["v", "v", "kind"]), path)
    refused(f"{path.name}: 2 columns are called 'v': rename one of them", path, "kind")


def test_the_index_and_the_bytes_of_a_parquet(tmp_path):
    frame = pd.DataFrame({"v": [f"{i % 7}".encode() for i in J], "label": [b"ab"[i % 2:i % 2 + 1] for i in J]},
                         index=pd.Index([f"p{i // 4}" for i in J], name="patient"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert column_and_warnings(tmp_path / "t.parquet")[0] == [i % 7 for i in J]
    assert "the index 'patient' is read as a column" in " ".join(load.load_dataset(tmp_path / "t.parquet", "label").warnings)
    dataset = load.load_dataset(tmp_path / "t.parquet", "label", group="patient")
    assert dataset.groups.tolist() == [f"p{i // 4}" for i in J] and dataset.class_names.tolist() == ["a", "b"]


def test_separators_of_lines_within_a_json_string(tmp_path):
    path = in_file(tmp_path, [json.dumps({"v": i, "text": "a\u2028b", "kind": "ab"[i % 2]}, ensure_ascii=False) for i in I],
                   "t.jsonl")
    assert table_file.read_table(path, "kind")[0]["text"].tolist() == ["a\u2028b"] * 60


def test_small_and_unsigned_integers_beside_missing_values(tmp_path):
    import pyarrow.parquet

    columns = {kind: pyarrow.array([None if i % 7 == 0 else i for i in I], kind) for kind in ("int8", "uint8", "uint64")}
    pyarrow.parquet.write_table(pyarrow.table(columns | {"kind": ["a", "b"] * 30}), tmp_path / "t.parquet")
    fitted = features.Features(table_file.read_table(tmp_path / "t.parquet")[0].drop(columns="kind"), "t.parquet")
    assert {name: column.kind for name, column in fitted.columns.items()} == dict.fromkeys(columns, "numbers")
    assert fitted._converted(table_file.read_table(tmp_path / "t.parquet")[0])["uint8"].tolist()[1:7] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_large_integers_beside_missing_values_stay_apart(tmp_path, kind):
    labels = [None if i % 5 == 0 else (2 ** 60, 2 ** 60 + 1, 7)[i % 3] for i in I]
    if kind == "jsonl":
        path = in_file(tmp_path, [json.dumps({"v": i * i % 7, "kind": label}) for i, label in enumerate(labels)], "t.jsonl")
    else:
        import pyarrow.parquet

        path = tmp_path / "t.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"v": [i * i % 7 for i in I], "kind": labels}), path)
    found = formats._table(str(path), "kind", None, (), None, None, "")[0]
    assert found.class_names.tolist() == [7, 2 ** 60, 2 ** 60 + 1] and np.bincount(found.given).tolist() == [16, 16, 16]


@pytest.mark.parametrize("top, told", [("# exported by hand\n# on 2024-01-01, by night\n", "2 lines"), ("#\n", "1 line"),
                                       ("#made; of\n\n# parts\n", "3 lines"),
                                       ("# v2,,\n", "1 line"), ('"# made, by",,\n', "1 line"),
                                       ('# v2,,\n,,\n"# made, by, hand",,\n,,\n', "3 lines"),
                                       ("# a, b, c\n# d, e, f\n", "2 lines"), ("", None)])
def test_lines_at_the_top_that_begin_with_a_hash_are_comments(tmp_path, top, told):
    (tmp_path / "t.csv").write_text(top + "length,width,kind\n1,2,a\n3,4,b\n5,6,a\n")
    table, notes = table_file.read_table(tmp_path / "t.csv", "kind")
    assert table.to_dict("list") == {"length": [1, 3, 5], "width": [2, 4, 6], "kind": ["a", "b", "a"]}
    assert table_file.read_table(tmp_path / "t.csv")[0].columns[-1] == "kind" or top.count("\n# ")  # which may be a header
    assert [note for note in notes if "comments" in note] == ([] if told is None else [
        f"{tmp_path / 't.csv'}: {told} at the top, from {top.splitlines()[0]!r} on, not used: comments"])


def test_a_header_that_begins_with_a_hash_is_kept(tmp_path):
    (tmp_path / "t.csv").write_text("# two parts\n#length,width,kind\n1,2,a\n3,4,b\n")
    table, _ = table_file.read_table(tmp_path / "t.csv", "kind")
    assert table.columns.tolist() == ["#length", "width", "kind"] and len(table) == 2


@pytest.mark.parametrize("label", ["a", None])
@pytest.mark.parametrize("top", ["", "# two parts\n", "# v2,,\n"])
@pytest.mark.parametrize("ids", [["#12", "#13", "#14"], ["#12", "13", "14"], ["12", "#13", "14"], ['"#12"', "#13", "#14"]])
def test_rows_that_begin_with_a_hash_are_rows(tmp_path, ids, top, label):
    rows = "".join(f"{name},{number},x\n" for number, name in enumerate(ids))
    (tmp_path / "t.csv").write_text(f"{top}#label,a,b\n{rows}")
    table, notes = table_file.read_table(tmp_path / "t.csv", label)
    assert table.columns.tolist() == ["#label", "a", "b"] and len(table) == 3
    assert table["#label"].astype(str).tolist() == [name.strip('"') for name in ids]
    assert sum("comments" in note for note in notes) == bool(top)


def test_a_header_that_begins_with_a_hash_and_has_numbers_is_kept(tmp_path):
    (tmp_path / "t.csv").write_text("#label,0,1\na,0,1\nb,1,0\n")
    for label in ("0", "#label", None):
        assert table_file.read_table(tmp_path / "t.csv", label)[0].columns.tolist() == ["#label", "0", "1"]


def test_a_comment_among_the_rows_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("# top\nlength,width,kind\n1,2,a\n# from here on by night\n3,4,b\n")
    with pytest.raises(data.DataError, match="line 4 has 1 field, the header 3: remove this comment"):
        table_file.read_table(tmp_path / "t.csv", "kind")


@pytest.mark.parametrize("options", [{}, {"as_text": True}, {"as_text": ["late"]}, {"decimal": ","}, {"raw": ["true", "int"]}])
def test_a_table_that_is_read_in_parts_is_that_which_is_read_at_once(tmp_path, monkeypatch, options):
    n = 1200
    table = pd.DataFrame({"float": np.random.default_rng(0).normal(size=n), "int": np.arange(n)})
    late = {"gap": (np.arange(n), ""), "large": (np.full(n, 2 ** 60 + 1), "0.5"), "late": (np.arange(n), "x7"),
            "truth": (np.arange(n) % 2 == 0, ""), "text": (np.full(n, ""), "last"), "true": (np.array(["a", "b", "NA"])[
                np.arange(n) % 3], ""), "small": (np.full(n, 3), "18446744073709551615"), "flag": (np.full(n, ""), "True")}
    for name, (values, last) in late.items():
        table[name] = [*map(str, values[:-1]), last]
    table["kind"] = ["None", "NA", "dog"] * (n // 3)
    table.to_csv(tmp_path / "t.csv", index=False)
    path, found = tmp_path / "t.csv", []
    for at_once, rows in ((2 ** 20, 1000), (1, 50), (1, 397)):
        monkeypatch.setattr(table_file, "AT_ONCE", at_once)
        monkeypatch.setattr(table_file, "ROWS", rows)
        found.append(table_file.read_table(path, "kind", **options))
    for each, notes in found[1:]:
        pd.testing.assert_frame_equal(each, found[0][0], check_exact=True)
        assert notes == found[0][1]
    whole = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert found[1][0]["kind"].tolist() == whole["kind"].tolist()


def test_a_table_that_is_read_in_parts_has_the_same_features_and_warnings(tmp_path, monkeypatch):
    rng, n = np.random.default_rng(1), 600
    y = rng.integers(0, 2, n)
    table = pd.DataFrame({"v": rng.normal(size=n) + y, "count": rng.integers(0, 9, n).astype(object), "unit": [
        f"{v:.1f} kg" for v in rng.random(n)], "day": [f"2020-{m:02}-11" for m in rng.integers(1, 13, n)], "colour": np.array([
            "red", "", "blue"])[rng.integers(0, 3, n)], "id": [f"r{i}" for i in range(n)], "kind": np.array(["a", "b"])[y]})
    table.loc[550, "count"], table.loc[599, "unit"] = "", "?"
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "again.csv", index=False)
    whole = load.load_dataset(tmp_path / "t.csv", "kind")
    monkeypatch.setattr(table_file, "AT_ONCE", 1)
    monkeypatch.setattr(table_file, "ROWS", 70)
    parts = load.load_dataset(tmp_path / "again.csv", "kind")
    assert np.array_equal(parts.x_train, whole.x_train) and parts.x_train.dtype == np.float32
    assert parts.checksum == whole.checksum and parts.row_ids.tolist() == whole.row_ids.tolist()
    assert [line.replace("again.csv", "t.csv") for line in parts.warnings] == list(whole.warnings) and len(whole.warnings) > 2


@pytest.mark.parametrize("metadata", [
    {b"pandas": b"[1]"}, {b"pandas": b"{}"}, {b"pandas": b"[" * 100000},
    {b"pandas": b'{"index_columns": ["v"], "columns": [{"name": null}], "column_indexes": []}'},
    {b"huggingface": b"[" * 100000}, {b"huggingface": b'{"info": {"features": [1]}}'},
    {b"huggingface": b'{"info": {"features": {"kind": {"_type": "ClassLabel", "names": ["a", "b"]}}}}'}])
def test_metadata_of_a_parquet_may_be_anything(tmp_path, metadata):
    import pyarrow
    import pyarrow.parquet

    columns = {"v": np.arange(60.0), "kind": np.array(["a", "b"])[np.arange(60) % 2]}
    pyarrow.parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), tmp_path / "p.parquet")
    try:
        assert load.facts(tmp_path / "p.parquet", "kind").size == 60
    except data.DataError as error:
        assert "p.parquet: cannot be read as a table" in str(error)


def test_a_gz_that_contains_many_times_its_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(table_file, "SMALL", 2 ** 16)
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write(b"v,kind\n" + b"0,a\n" * 2 ** 20)
    with pytest.raises(data.DataError, match="many times its size: if the table is that large, unpack it"):
        table_file.read_table(tmp_path / "t.csv.gz", "kind")


OTHERS = {"a .parquet": lambda table, path: table.to_parquet(path), "a .feather": lambda table, path: table.to_feather(path),
          "compressed, a .gz": lambda table, path: table.to_csv(path, compression="gzip"),
          "compressed, an .xz": lambda table, path: table.to_csv(path, compression="xz"),
          "an image": lambda table, path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
          "a PDF": lambda table, path: path.write_bytes(b"%PDF-1.4\n" + bytes(range(256)))}


@pytest.mark.parametrize("what", OTHERS)
def test_another_format_in_a_file_called_csv_is_named(tmp_path, numbers, what):
    OTHERS[what](numbers.assign(kind="a"), tmp_path / "t.csv")
    refused(f"t.csv: {what} despite its name: rename or convert it", tmp_path / "t.csv", "kind")


def test_bytes_that_are_no_text_are_told_so(tmp_path):
    (tmp_path / "t.csv").write_bytes(bytes(range(256)) * 9)
    refused("no text", tmp_path / "t.csv", "kind")


def test_a_pipe_is_no_missing_file(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(data.DataError, match="t.csv: not a regular file"):
        table_file.read_table(tmp_path / "t.csv", "kind")


def test_a_long_text_gives_no_other_cell_its_memory(tmp_path):
    """A cell of a million letters among 3,000 rows: as strings of one length they would take 12 GB."""
    v, kind = np.random.default_rng(0).normal(size=3000), ["abc"[n % 3] for n in range(3000)]
    table = pd.DataFrame({"v": v, "text": "a", "kind": kind})
    table.loc[::2, "text"] = "b"
    table.loc[7, "text"] = "x" * 10 ** 6
    table.to_csv(tmp_path / "t.csv", index=False)
    tracemalloc.start()
    try:
        load.facts(tmp_path / "t.csv", "kind")
        assert tracemalloc.get_traced_memory()[1] < 10 ** 9
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("index, named", [([f"patient{n // 3}" for n in range(30)], "patient0"), (np.arange(30) / 2, "0.0"),
                                          (np.arange(30)[::-1], None), (None, None)])
def test_an_index_without_a_name_that_is_not_read_is_told(tmp_path, index, named):
    pd.DataFrame({"v": range(30), "kind": ["a", "b"] * 15}, index=index).to_parquet(tmp_path / "t.parquet")
    notes = [note for note in table_file.read_table(tmp_path / "t.parquet")[1] if "index" in note]
    assert (named is None) == (not notes) and all(f"such as {named!r}, has no name" in note for note in notes)


@pytest.mark.parametrize("content, what", [('[{"v": 1.5, "kind": "a"}]', ".json"), (' [\n {"v": 1}]', ".json"),
                                           ('{"v": 1.5, "kind": "a"}\n{"v": 2.5, "kind": "b"}\n', ".jsonl")])
def test_json_that_is_called_csv_is_named(tmp_path, content, what):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(data.DataError, match=f"t.csv: a {what} despite its name: rename it$"):
        table_file.read_table(tmp_path / "t.csv", "kind")


def test_what_is_no_npz_is_named(tmp_path):
    (tmp_path / "t.npz").write_text("<html>404</html>")
    with pytest.raises(data.DataError, match="t.npz: no .npz; save plain arrays"):
        data.read_arrays(tmp_path / "t.npz")
