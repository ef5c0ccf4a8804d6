"""--export: the selected samples as they were written, and no file lost for them."""
import dataclasses
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import ONE_EPOCH, QUICK, QUICK_PICTURES, REFERENCE, planned, run, run_refused, start, wait_for_epoch
from examples import X6, mixed_table
from PIL import Image

from incv import data, utils
from incv.checking import export
from incv.custom_data import load, table_file
from incv.custom_data.source import Source
from incv.runner import files, planning


def test_labels_are_written_and_exported_as_they_are(tmp_path):
    text = "id,size,made,kind\n" + "".join(
        f"00{number},{number}.50,2020-01-0{number % 9 + 1},{'007' if number % 2 else 'NA-1'}\n" for number in range(40))
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / utils.parts_of("kept.csv").replace("*", "1")).mkdir()  # of a command that was killed while it wrote
    result = run(["--dataset", "t.csv", "--label", "kind", *ONE_EPOCH, "--export", "kept.csv"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.csv", "results", "t.csv"]
    table = pd.read_csv(tmp_path / "results/t/given/INCV_seed0_epochs1_iterations1.csv", dtype=str)
    assert table["y_noisy"].tolist() == ["NA-1", "007"] * 20
    rows = text.splitlines()
    kept = (tmp_path / "kept.csv").read_text().splitlines()
    assert kept == [rows[0]] + [row for row, select in zip(rows[1:], table["select"], strict=True) if select == "True"]


@pytest.mark.slow
def test_names_that_are_numbers_or_missing_values_to_others(tmp_path):
    """Class folders 007 and NA, a carriage return in a name, and an array called file: exported as they are."""
    for label in ("007", "NA", "c\rd"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (8, 8), 30 * number).save(tmp_path / "images" / label / f"{number}.png")
    result = run(["--dataset", "images", *ONE_EPOCH, "--export", "kept.csv"], tmp_path)
    assert result.code == 0 and result.err == "" and "3 classes: '007', 'NA', 'c\\rd'" in result.out, result.err
    table = pd.read_csv(tmp_path / "results/images/given/INCV_seed0_epochs1_iterations1.csv", dtype=str,
                        keep_default_na=False)
    assert table["y_noisy"].tolist() == ["007"] * 8 + ["NA"] * 8 + ["c\rd"] * 8
    kept = pd.read_csv(tmp_path / "kept.csv", keep_default_na=False, dtype=str)
    assert (kept["label"] == kept["file"].str.split("/").str[0]).all() and len(kept) == (table["select"] == "True").sum()

    different = X6 + np.arange(6, dtype=np.uint8)[:, None, None]
    np.savez(tmp_path / "a.npz", x=different, y=np.array(["007", "08", "NA"] * 2), ids=np.arange(6) + 100)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, archive.open("file.npy", "w") as member:
        np.lib.format.write_array(member, np.arange(6))
    result = run(["--dataset", "a.npz", *ONE_EPOCH, "--export", "kept.npz"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    kept = data.read_arrays(tmp_path / "kept.npz")
    assert (kept["ids"] == kept["index"] + 100).all() and (kept["file"] == kept["index"]).all()
    assert (kept["y"] == np.array(["007", "08", "NA"] * 2)[kept["index"]]).all()


@pytest.mark.slow
def test_rows_are_exported_with_their_separator(tmp_path, listed):
    table = pd.read_csv(listed / "list.csv")
    table.to_csv(listed / "semicolons.csv", index=False, sep=";")
    assert run(["--dataset", "semicolons.csv", "--label", "label", *QUICK_PICTURES, "--export", "kept.csv"], listed).code == 0
    assert set((listed / "kept.csv").read_text().splitlines()) <= set((listed / "semicolons.csv").read_text().splitlines())
    rows = "".join(f"{i % 7},5;{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "t.csv").write_text("v;kind\n" + rows)
    assert run(["--dataset", "t.csv", "--label", "kind", "--epochs", 1, "--iterations", 1, "--quiet", "--export", "rows.csv"],
               tmp_path).code == 0
    assert set((tmp_path / "rows.csv").read_text().splitlines()) <= {"v;kind", *rows.splitlines()}


@pytest.mark.parametrize("encoding, end", [("cp1252", "\r\n"), ("utf-8-sig", "\r\n"), ("utf-16", "\n"), ("utf-8", "\n")])
def test_a_table_is_exported_in_its_own_encoding_and_line_ends(tmp_path, encoding, end):
    file, target = tmp_path / "t.csv", tmp_path / "kept.csv"
    lines = ["x;ort", *(f"{n};{['Köln', 'Weiß'][n % 2]}" for n in range(40))]
    file.write_bytes(end.join([*lines, ""]).encode(encoding))
    table = table_file.read_table(file, as_text=True)[0]
    files.write_table(target, table, table_file.separator_like(target, file, "ort"), *table_file.text_like(file))
    assert target.read_bytes() == file.read_bytes()
    files.write_table(target, table.assign(ort="Łódź"), ";", *table_file.text_like(file))  # which cp1252 lacks
    assert target.read_bytes().decode("utf-8" if encoding == "cp1252" else encoding).startswith(f"x;ort{end}0;Łódź{end}")


@pytest.mark.slow
def test_integers_beside_empty_cells_are_exported_as_they_are(tmp_path):
    rows = [{"v": i * i % 7, "id": None if i % 5 == 0 else 2 ** 60 + i, "kind": "ab"[i % 2]} for i in range(60)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = run(["--dataset", "t.jsonl", "--label", "kind", "--drop", "id", "--epochs", 1, "--iterations", 1, "--quiet",
                  "--export", "kept.csv"], tmp_path)
    assert result.code == 0, result.err
    kept = pd.read_csv(tmp_path / "kept.csv", dtype=str, keep_default_na=False)
    assert len(kept) and set(kept["id"]) <= {"" if row["id"] is None else str(row["id"]) for row in rows}


@pytest.mark.slow
def test_a_table_with_a_column_of_decisions_is_exported_twice(tmp_path):
    rows = [f"{i * i % 17},{i % 5},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["v,decision,kind", *rows]))
    for _ in range(2):
        result = run(["--dataset", "t.csv", "--label", "kind", "--epochs", 1, "--iterations", 1, "--quiet", "--export",
                      "kept.csv"], tmp_path)
        assert result.code == 0, result.err


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_corrected_label_of_true_is_exported_as_false(tmp_path, ending):
    rows = pd.DataFrame({"name": list("abcd"), "ok": [True, False, True, False]})
    file = tmp_path / f"list{ending}"
    rows.to_json(file, orient="records", lines=True) if ending == ".jsonl" else rows.to_parquet(file)
    target = tmp_path / f"clean{ending}"
    export._write_rows(target, SimpleNamespace(path=file), "ok", np.array([0, 1, 3]), {0: "False", 3: "True"})
    found = pd.read_json(target, lines=True) if ending == ".jsonl" else pd.read_parquet(target)
    assert found["ok"].tolist() == [False, False, True] and found["name"].tolist() == ["a", "b", "d"]


@pytest.mark.parametrize("kind, dtype", [("y", np.int8), ("labels", "<U1"), ("y", bool)])
def test_decisions_keep_the_arrays_own_type(tmp_path, kind, dtype):
    y = (np.arange(20) % 2).astype(dtype)
    np.savez(tmp_path / "a.npz", x=np.eye(20), **{kind: y[:, None]})
    names = [str(name) for name in np.unique(y)]
    (tmp_path / "d.csv").write_text(f"sample,given,decision\n4,{names[0]},{names[1]}\n7,{names[1]},drop\n")
    source = Source(path=str(tmp_path / "a.npz"), decisions=[str(tmp_path / "d.csv")])
    dataset = load.load_dataset(source)
    assert len(dataset.given) == 19 and dataset.given[4] == 1 and dataset.trusted.sum() == 1 and 7 not in dataset.names
    assert load.facts(source).size == 19
    changed = export.corrected(y[:, None], dataset.names, planning.Plan(
        settings=None, path=None, source=source, results_dir=None))
    assert changed.dtype == y.dtype and changed.ravel().tolist() == [
        y[1] if number == 4 else y[number] for number in range(20) if number != 7]


# --- what is not written ----------------------------------------------------------------------------------------------

def test_export_replaces_neither_an_input_nor_a_result(quick_copy, monkeypatch):
    monkeypatch.chdir(quick_copy)
    [plan] = planned(monkeypatch, QUICK)
    for ending in (".csv", "_index.csv", "_label_issues.csv"):
        with pytest.raises(utils.UserError, match="the name of a file of a run"):
            export.check(files.beside(plan.path, ending), [plan])
    labels = quick_copy / "labels.npz"
    np.savez(labels, a=np.arange(3))
    with pytest.raises(utils.UserError, match="the command reads this file"):
        export.check(labels, [dataclasses.replace(plan, source=dataclasses.replace(plan.source, labels=str(labels)))])


def test_export_replaces_only_what_it_wrote(quick_copy, monkeypatch):
    """Neither a result of any run nor a person's own list, whatever its content, nor an export that was edited."""
    monkeypatch.chdir(quick_copy)
    [plan] = planned(monkeypatch, QUICK)
    for found in REFERENCE.rglob("*_seed0*.csv"):
        with pytest.raises(utils.UserError, match="the name of a file of a run"):
            export.check(found, [plan])
    for name in ("kept.csv", "kept.npz", "renamed.csv"):
        Path(name).write_text("index,label\n3,1\n")
        with pytest.raises(utils.UserError, match=f"{name}: exists, and --export did not write it"):
            export.check(name, [plan])
        Path(name).write_text("")  # as mktemp does
        export.check(name, [plan])
        for _ in range(2):
            export.write(name, plan)
            export.check(name, [plan])
    record = (plan.path.parents[2] / "exports.txt").read_text().splitlines()
    assert [line.rpartition("/")[2] for line in record] == ["kept.csv", "kept.npz", "renamed.csv"]
    with open("kept.csv", "a") as file:
        file.write("4,1\n")
    for attempt in (lambda: export.check("kept.csv", [plan]), lambda: export.write("kept.csv", plan)):
        with pytest.raises(utils.UserError, match="or it was changed afterwards: remove it, or give another place"):
            attempt()
    assert Path("kept.csv").read_text().endswith("\n4,1\n")


def test_a_table_is_not_exported_onto_itself(tmp_path):
    table, y = mixed_table(20)
    table.assign(kind=y).to_csv(tmp_path / "t.csv", index=False)
    run_refused(["--dataset", "t.csv", "--label", "kind", "--export", "t.csv"], tmp_path, "t.csv: the command reads this file")


def test_parts_of_a_table_are_not_exported_onto(tmp_path, listed):
    shards = tmp_path / "shards"
    shards.mkdir()
    for part in range(2):
        pd.DataFrame({"image": [(listed / "pics" / f"{12 * part + i}.png").read_bytes() for i in range(12)],
                      "label": ["a", "b"] * 6}).to_parquet(shards / f"train-0000{part}-of-00002.parquet")
    before = {file.name: file.read_bytes() for file in shards.iterdir()}
    for target in ("train-00000-of-00002.parquet", "clean.parquet"):
        result = run(["--dataset", "shards", "--label", "label", *QUICK_PICTURES, "--export", f"shards/{target}"], tmp_path)
        assert result.code == 2 and result.err.count("\n") == 1 and "are the dataset" in result.err, result.err
    assert before == {file.name: file.read_bytes() for file in shards.iterdir()}


@pytest.mark.slow
def test_a_table_that_changes_during_the_run_is_not_exported(tmp_path):
    rows = [f"{i * i % 17},{i % 5},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["v,w,kind", *rows]))
    process = start(["--dataset", "t.csv", "--label", "kind", "--epochs", 5, "--iterations", 1, "--export", "kept.csv"],
                    tmp_path)
    wait_for_epoch(process, 1)
    (tmp_path / "t.csv").write_text("\n".join(["v,w,kind", *rows[::-1]]))
    _, err = process.communicate()
    assert process.returncode == 2 and "has changed since the command started" in err and not (tmp_path / "kept.csv").exists()
