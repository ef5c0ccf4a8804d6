"""Tables as people have them: what is read is what a person sees, or is refused in one line."""
import gzip
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, run

from incv import data
from incv.custom_data import features, formats, load, table_file

I = range(60)


def written(tmp_path, lines, name="t.csv"):
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / name


def column_of(path, name="c"):
    """Return the column as training sees it before it is standardised, and the warnings about the dataset."""
    table = table_file.read_table(path, "kind")[0].drop(columns="kind")
    fitted = features.Features(table, path)
    return fitted._converted(table)[name], [*fitted.warnings(), *fitted.warnings(remarks=True)]


@pytest.mark.parametrize("share", [2, 20])
def test_a_decimal_comma_among_decimal_points_leaves_the_points(tmp_path, share):
    values = ["8.25", "8.5", "10", "12.75", "9"]
    cells = ["9,5" if i % share == 0 else values[i % 5] for i in I]
    path = written(tmp_path, ["v,c,kind", *(f'{i * i % 17},"{cell}",{"ab"[i // 2 % 2]}' for i, cell in enumerate(cells))])
    found, warnings = column_of(path)
    assert found.tolist() == [float(cell.replace(",", ".")) for cell in cells]
    assert "decimal commas" in warnings[0] and "decimal points" in warnings[0]


def test_a_new_row_is_read_by_the_points_of_the_training_table(tmp_path):
    cells = ["9,5" if i % 20 == 0 else f"{i}.25" if i % 2 else f"{i + 1}.125" for i in I]
    path = written(tmp_path, ["v;c;kind", *(f"{i * i % 17};{cell};{'ab'[i // 2 % 2]}" for i, cell in enumerate(cells))])
    features = formats._table(str(path), "kind", None, (), None, None, "")[1]
    new = table_file.read_table(written(tmp_path, ["v;c", "4;3.125"], "new.csv"), as_text=features.as_text)[0]
    assert np.array_equal(features.transform(new), features.x[2:3])


def test_decimal_commas_of_which_most_have_three_places(tmp_path):
    values = [f"{1 + i * 37 % 900 / 1000:.3f}" if i % 10 else f"{1 + i / 100:.2f}" for i in I]
    path = written(tmp_path, ["v;c;kind", *(f"{i * i % 17};{value.replace('.', ',')};{'ab'[i % 2]}"
                                            for i, value in enumerate(values))])
    assert column_of(path)[0].tolist() == list(map(float, values))


def test_a_single_decimal_comma_among_many_that_may_be_either_is_asked_about(tmp_path):
    cells = ["0,450" if i == 7 else f"{i + 1},{i * 37 % 900 + 100}" for i in range(300)]
    path = written(tmp_path, ["c;kind", *(f"{cell};{'ab'[i % 2]}" for i, cell in enumerate(cells))])
    with pytest.raises(data.DataError, match="'1,100' 1.100 or 1100.*--decimal"):
        column_of(path)


def test_minus_signs_and_many_words_for_missing(tmp_path):
    cells = [[" NA", "na", "#DIV/0!"][i % 3] if i % 4 == 0 else f"\N{MINUS SIGN}{i}.5" for i in I]
    found, warnings = column_of(written(tmp_path, ["v,c,kind", *(f"{i % 7},{cell},{'ab'[i % 2]}"
                                                                 for i, cell in enumerate(cells))]))
    assert np.isnan(found[::4]).all() and found[1] == -1.5 and "as missing" in warnings[0]


def test_true_and_false_beside_empty_cells_however_another_file_writes_them(tmp_path):
    cells = ["TRUE" if i % 3 else "" if i % 2 else "FALSE" for i in I]
    path = written(tmp_path, ["v,c,kind", *(f"{i * i % 17},{cell},{'ab'[i // 2 % 2]}" for i, cell in enumerate(cells))])
    full = written(tmp_path, ["v,c,kind", *(f"{i * i % 17},{bool(i % 3)},{'ab'[i // 2 % 2]}" for i in I)], "full.csv")
    for training in (path, full):
        features = formats._table(str(training), "kind", None, (), None, None, "")[1]
        for lines in (["v,c", *(f"{i * i % 17},{cell}" for i, cell in enumerate(cells))],
                      ["v,c", *(f"{i * i % 17},{cell.lower()}" for i, cell in enumerate(cells))]):
            other = table_file.read_table(written(tmp_path, lines, "new.csv"), as_text=features.as_text)[0]
            got = features.transform(other)
            if training == path:
                assert np.array_equal(got, features.x)
            assert len(np.unique(got[[i for i in I if cells[i] == "TRUE"]][:, 1:], axis=0)) == 1
            assert not np.array_equal(got[0, 1:], got[1, 1:])  # FALSE and TRUE


def test_dates_up_to_the_year_9999_and_a_new_file_of_a_single_day(tmp_path):
    ends = ["9999-12-31" if i % 10 == 0 else f"20{i % 20 + 10}-{i % 12 + 1:02d}-{i % 28 + 1:02d}" for i in I]
    path = written(tmp_path, ["v,c,kind", *(f"{i * i % 17},{end},{'ab'[i // 2 % 2]}" for i, end in enumerate(ends))])
    features = formats._table(str(path), "kind", None, (), None, None, "")[1]
    days = features._converted(table_file.read_table(path, "kind")[0])["c (days)"]
    assert days[0] == (np.datetime64("9999-12-31") - np.datetime64("1970-01-01")).astype(int)
    alone = table_file.read_table(written(tmp_path, ["v,c", f"1,{ends[1]}"], "one.csv"), as_text=features.as_text)[0]
    assert np.array_equal(features.transform(alone), features.x[1:2])
    unread = table_file.read_table(written(tmp_path, ["v,c", "1,vorgestern"], "no.csv"), as_text=features.as_text)[0]
    with pytest.raises(data.DataError, match="'vorgestern', which are not dates"):
        features.transform(unread)


def test_dates_without_hours_have_none_where_some_are_missing(tmp_path):
    cells = ["" if i % 9 == 0 else f"2020-{i % 12 + 1:02d}-01" for i in I]
    path = written(tmp_path, ["v,c,kind", *(f"{i},{cell},{'ab'[i % 2]}" for i, cell in enumerate(cells))])
    fitted = features.Features(table_file.read_table(path, "kind")[0].drop(columns="kind"), path)
    assert fitted.parts["c"] == ["days", "month, sine", "month, cosine", "day_of_week, sine", "day_of_week, cosine"]


def test_what_is_not_read_of_dates_is_said(tmp_path):
    cells = ["31/02/2021" if i == 7 else f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.{i + 10}" for i in I]
    _, warnings = column_of(written(tmp_path, ["v,c,kind", *(f"{i},{cell},{'ab'[i % 2]}" for i, cell in enumerate(cells))]),
                            "c (days)")
    assert any("1 cell as missing" in line and "years of two digits" in line for line in warnings), warnings


@pytest.mark.parametrize("seed", range(2))
def test_features_are_counted_without_making_them(seed):
    rng, n = np.random.default_rng(seed), 400
    words = np.array([f"w{i}" for i in range(3000)] + ["Straße", "STRASSE", "a", "é", "x_1", "İx"])
    columns = {
        "n": rng.normal(size=n), "constant": np.ones(n), "missing": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
        "none": np.full(n, np.nan), "flag": rng.random(n) < 0.5, "huge": rng.normal(size=n) * 1e150,
        "days": [f"20{i % 20 + 10}-{i % 12 + 1:02d}-{i % 28 + 1:02d}" if rng.random() < 0.99 else "" for i in range(n)],
        "hours": pd.date_range("2020-01-01", periods=n, freq="7h"), "one_day": ["2020-01-01"] * n,
        "few": rng.choice(["a", "b", None], n), "fifty": [f"c{i % 50}" for i in range(n)],
        "many": [f"c{i % 51}" for i in range(n)], "rare": [f"c{rng.integers(300)}" if i % 9 else None for i in range(n)],
        "text": [" ".join(words[rng.integers(len(words), size=12)]) for _ in range(n)],
        "long": [" ".join(words[rng.integers(len(words), size=90)]) for _ in range(n)],
        "sparse": [" ".join(f"{i}x{j}" for j in range(6)) + (" both" if i < 2 else "") for i in range(n)]}
    for names in ([*columns], rng.permutation([*columns])[:5], rng.permutation([*columns])[:2]):
        fitted = features.Features(pd.DataFrame({name: columns[name] for name in names}), "t.csv")
        assert fitted.x.shape == (n, fitted.num_features), list(names)


def test_numbers_too_large_to_standardise_are_refused_before_training(tmp_path):
    path = written(tmp_path, ["c,kind", *(f"{(-1) ** i * 1e300},{'ab'[i // 2 % 2]}" for i in I)])
    with pytest.raises(data.DataError, match="too large to standardise"):
        load.facts(path, "kind")


def test_inspect_does_not_wait_for_scikit_learn(tmp_path):
    cells = [f"{i},{i * i % 17 if i % 5 else ''},{['red', 'green', 'blue'][i * i % 3]},{'ab'[i % 2]}" for i in I]
    path = written(tmp_path, ["day,v,colour,kind", *cells])
    program = ("import runpy, sys; sys.modules['sklearn'] = sys.modules['keras'] = None;"
               f"sys.argv = ['INCV.py', '--dataset', {str(path)!r}, '--label', 'kind', '--inspect'];"
               f"runpy.run_path({str(PROJECT / 'INCV.py')!r}, run_name='__main__')")
    result = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0 and "60 samples of 4 features" in result.stdout, result.stdout + result.stderr


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
        path = written(tmp_path, [json.dumps({"v": i * i % 7, "kind": label}) for i, label in enumerate(labels)], "t.jsonl")
    else:
        import pyarrow.parquet

        path = tmp_path / "t.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"v": [i * i % 7 for i in I], "kind": labels}), path)
    found = formats._table(str(path), "kind", None, (), None, None, "")[0]
    assert found.class_names.tolist() == [7, 2 ** 60, 2 ** 60 + 1] and np.bincount(found.given).tolist() == [16, 16, 16]


def test_one_hot_columns_left_of_the_label_are_named(tmp_path):
    kinds = ["cat", "dog", "eel"]
    path = written(tmp_path, ["v,is_cat,is_dog,kind", *(f"{i * i % 17},{int(i % 3 == 0)},{int(i % 3 == 1)},{kinds[i % 3]}"
                                                        for i in I)])
    warnings = formats._table(str(path), "kind", None, (), None, None, "")[0].warnings
    told = [line for line in warnings if "--drop" in line]
    assert len(told) == 2 and "column 'is_cat' alone identifies the labels 'cat'" in told[0]
    assert "column 'is_dog' alone identifies the labels 'dog'" in told[1]


def test_true_labels_may_be_called_na(tmp_path):
    path = written(tmp_path, ["v,kind,t", *(f"{i * i % 17},{['NA', 'b'][i % 2]},{['NA', 'b', ''][i % 3]}" for i in I)])
    found = formats._table(str(path), "kind", None, (), None, "t", "")[0]
    assert [int((found.y_train == number).sum()) for number in (0, 1, -1)] == [20, 20, 20]


LATIN = np.array([b"K\xe4", b"K\xf6", b"eel"] * 20)
REFUSED = {
    "two columns of the label's name": ("t.csv", "kind,v,kind\n" + "a,1,b\n" * 9, "2 columns are called 'kind'"),
    "alike but for spaces": ("t.csv", "v, v,kind\n" + "1,2,a\n" * 9, "2 columns are called 'v'"),
    "a line that is no JSON": ("t.jsonl", '{"v": 1, "kind": "a"}\n' * 9 + '{"v" 2}\n', "line 10 cannot be read as JSON"),
    "a list as label": ("t.jsonl", '{"v": 1, "kind": ["a"]}\n{"v": 2, "kind": ["a", "b"]}\n' * 9, "some are lists"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(tmp_path, case):
    name, content, why = REFUSED[case]
    (tmp_path / name).write_text(content)
    result = run(["--dataset", name, "--label", "kind", "--inspect"], tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and why in result.err, result.err


def test_other_columns_of_the_same_name_are_said(tmp_path):
    path = written(tmp_path, ["v,v,kind", *(f"{i * i % 17},{i * i % 5},{'ab'[i % 2]}" for i in I)])
    assert "several columns are called 'v'" in table_file.read_table(path, "kind")[1][0]
    path = written(tmp_path, [",,v,kind", *(f"{i},x,{i * i % 5},{'ab'[i % 2]}" for i in I)])
    assert not any("several" in note for note in table_file.read_table(path, "kind")[1])


def test_damaged_and_odd_files_are_one_line(tmp_path):
    raw = bytearray(gzip.compress(b"v,kind\n" + b"".join(b"%d,%c\n" % (i * i, 97 + i % 2) for i in range(2000))))
    raw[len(raw) // 2:len(raw) // 2 + 30] = bytes(30)
    (tmp_path / "t.csv.gz").write_bytes(bytes(raw))
    pd.DataFrame({"v": [np.inf, 1e20] * 30, "kind": ["a", "b", "b"] * 20}).to_parquet(tmp_path / "inf.parquet")
    for name, why in (("t.csv.gz", "cannot be read as a table"), ("inf.parquet", "infinite")):
        result = run(["--dataset", name, "--label", "kind", "--inspect"], tmp_path)
        assert result.code == 2 and result.err.count("\n") == 1 and why in result.err, result.err


def test_separators_of_lines_within_a_json_string(tmp_path):
    path = written(tmp_path, [json.dumps({"v": i, "text": "a\u2028b", "kind": "ab"[i % 2]}, ensure_ascii=False) for i in I],
                   "t.jsonl")
    assert table_file.read_table(path, "kind")[0]["text"].tolist() == ["a\u2028b"] * 60


def test_labels_that_look_alike(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "d.npz", x=x, y=np.array(["Köln", "Ko\u0308ln", "Bonn"] * 20))
    np.savez(tmp_path / "bytes.npz", x=x, y=LATIN)
    np.savez(tmp_path / "numbers.npz", x=x, y=np.array(["1152921504606846976", "1152921504606846977",
                                                        "1.0", "1", "sNaN"] * 12))
    assert any("differ only by case" in line and "Köln" in line for line in data_of(tmp_path / "d.npz").warnings)
    assert len(data_of(tmp_path / "bytes.npz").class_names) == 3
    told = [line for line in data_of(tmp_path / "numbers.npz").warnings if "differ only by case" in line]
    assert len(told) == 1 and "'1' and '1.0'" in told[0]
    np.savez(tmp_path / "truth.npz", x=x, y=np.array(["a ", "b"] * 30), y_true=np.array(["a ", "b"] * 30))
    assert (data_of(tmp_path / "truth.npz").y_train == np.arange(60) % 2).all()
    np.savez(tmp_path / "some.npz", x=x, y=np.array(["a", "b", ""] * 20), y_true=np.array(["a", "b", "c"] * 20))
    assert len(data_of(tmp_path / "some.npz").y_train) == 40  # of samples without a label none is asked for
    np.savez(tmp_path / "hot.npz", x=x, y=np.arange(60) % 3, y_true=np.eye(3)[np.arange(60) % 3])
    with pytest.raises(data.DataError, match="argmax"):
        data_of(tmp_path / "hot.npz")


def data_of(path):
    return formats._npz(str(path), None, None, "")[0]


def test_texts_that_share_no_word_are_no_texts(tmp_path):
    cells = [f"Aa{i} Bb{i} Cc{i} Dd{i}" for i in I]
    found, warnings = column_of(written(tmp_path, ["v,c,kind", *(f"{i % 7},{cell},{'ab'[i % 2]}"
                                                                 for i, cell in enumerate(cells))]))
    assert found[0] == "Aa0 Bb0 Cc0 Dd0" and "60 different values" in warnings[0]
