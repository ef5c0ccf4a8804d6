"""Lists of pictures, folders and lists of decisions as people have them: right, or refused in one line; no list is lost."""
import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL_NETWORK, run, start, wait_for_epoch
from PIL import Image

from incv import data
from incv.custom_data import decisions, image_list, load, table_file
from incv.custom_data.source import Source

QUICK = ["--architecture", SMALL_NETWORK, "--epochs", 1, "--iterations", 1, "--quiet"]


@pytest.fixture
def pictures(tmp_path):
    """A folder of 24 pictures in a list, labels a and b."""
    (tmp_path / "pics").mkdir()
    generator = np.random.default_rng(0)
    for i in range(24):
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "pics" / f"{i}.png")
    table = pd.DataFrame({"path": [f"pics/{i}.png" for i in range(24)], "label": ["a", "b"] * 12})
    table.to_csv(tmp_path / "list.csv", index=False)
    return tmp_path


def facts(folder, **options):
    source = Source(path=str(folder / "list.csv"), label="label")
    return load.facts(dataclasses.replace(source, **options))


# --- lists ------------------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_a_file_list_as_powershell_writes_it(pictures):
    lines = "".join(f"pics/{i}.png {'ab'[i % 2]}\r\n" for i in range(24))
    (pictures / "list.txt").write_bytes(lines.encode("utf-16"))
    assert facts(pictures, path=str(pictures / "list.txt"), label=None).size == 24
    assert run(["--dataset", "list.txt", *QUICK, "--export", "kept.txt"], pictures).code == 0
    kept = (pictures / "kept.txt").read_text().splitlines()
    assert kept and set(kept) <= set(lines.split("\r\n"))


def test_test_pictures_that_are_trained_on(pictures):
    source = Source(path=str(pictures / "list.csv"), label="label", test_list=str(pictures / "copy.csv"))
    shutil.copy(pictures / "list.csv", pictures / "copy.csv")
    with pytest.raises(data.DataError, match="the networks are trained on these pictures"):
        image_list.read_test(source, np.array(["a", "b"]))
    Image.new("RGB", (8, 8)).save(pictures / "pics" / "new.png")
    (pictures / "copy.csv").write_text("path,label\npics/new.png,a\npics/3.png,b\n")
    found = image_list.read_test(source, np.array(["a", "b"]))
    assert any("trained on 1 of its 2 pictures" in line for line in found.warnings)


def test_a_parquet_whose_bytes_are_no_pictures(tmp_path):
    pd.DataFrame({"v": np.arange(60) % 7, "key": [b"x%d" % i for i in range(60)], "kind": ["a", "b"] * 30}).to_parquet(
        tmp_path / "t.parquet")
    result = run(["--dataset", "t.parquet", "--label", "kind", "--drop", "key", "--inspect"], tmp_path)
    assert result.code == 0 and "60 samples of 1 features" in result.out.replace("feature\n", "features\n"), result.err


# --- folders ----------------------------------------------------------------------------------------------------------

def classes(folder, **names):
    for name, number in names.items():
        place = folder / name.replace("__", "/")
        place.mkdir(parents=True)
        for i in range(number):
            Image.fromarray(np.full((8, 8, 3), 20 * i, dtype=np.uint8)).save(place / f"{i}.png")


def test_parts_of_a_dataset_beside_another_folder(tmp_path):
    classes(tmp_path / "p", train__a=3, train__b=3, val__a=2, val__b=2, sample=2)
    with pytest.raises(data.DataError, match="parts of a dataset.*p/train"):
        load.facts(str(tmp_path / "p"))
    classes(tmp_path / "q", training_set__a=3, training_set__b=3, test_set__a=2, test_set__b=2)
    with pytest.raises(data.DataError, match="q/training_set"):
        load.facts(str(tmp_path / "q"))


def test_a_class_of_damaged_images_and_results_in_the_folder(tmp_path):
    classes(tmp_path, a=3, b=3)
    (tmp_path / "results" / "x" / "given").mkdir(parents=True)
    (tmp_path / "results" / "x" / "given" / "INCV_seed0.lock").touch()
    assert load.facts(str(tmp_path)).class_names.tolist() == ["a", "b"]
    for file in (tmp_path / "b").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(data.DataError, match="b: none of its images can be read"):
        load.facts(str(tmp_path))


# --- decisions --------------------------------------------------------------------------------------------------------

def decided(folder, text):
    (folder / "d.csv").write_text(text)
    return [str(folder / "d.csv")]


def test_decisions_about_pictures_are_by_row_and_name(pictures):
    header = "sample,row,given,decision\n"
    assert facts(pictures, decisions=decided(pictures, header + "pics/5.png,5,b,drop\n")).size == 23
    with pytest.raises(data.DataError, match="'pics/10.png' in the list, and is 'pics/5.png' now"):
        facts(pictures, decisions=decided(pictures, header + "pics/10.png,5,b,drop\n"))
    with pytest.raises(data.DataError, match="has no column 'row'"):
        facts(pictures, decisions=decided(pictures, "sample,given,decision\n5,b,drop\n"))
    every = "".join(f"pics/{i}.png,{i},{'ab'[i % 2]},drop\n" for i in range(24))
    with pytest.raises(data.DataError, match="at least two classes are needed"):
        facts(pictures, decisions=decided(pictures, header + every))


def test_true_and_false_as_a_spreadsheet_writes_them(tmp_path):
    files = decided(tmp_path, "sample,given,decision\n4,TRUE,keep\n5,TRUE,FALSE\n")
    given, used, trusted = decisions.decide(files, np.arange(8), np.ones(8, dtype=int) - (np.arange(8) < 2),
                                            np.array([False, True]))
    assert given.tolist() == [0, 0, 1, 1, 1, 0, 1, 1] and trusted[[4, 5]].all() and used.all()


EDITED = {
    "decided": lambda text: text.replace("decision\n", "decision\n", 1).rstrip("\n") + "keep\n",
    "a note beside it": lambda text: text.rstrip("\n") + "keep,see mail\n",
}


@pytest.mark.parametrize("case", EDITED)
@pytest.mark.slow
def test_an_edited_list_is_never_replaced(tmp_path, case):
    """Neither by --overwrite nor by a run that starts again since its JSON was lost; --export does not replace it either."""
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=generator.normal(size=(60, 3)), y=np.arange(60) % 2)
    arguments = ["--dataset", "d.npz", "--epochs", 30, "--iterations", 1, "--quiet"]
    assert run(arguments, tmp_path).code == 0
    [listed] = tmp_path.rglob("*_label_issues.csv")
    assert len(listed.read_text().splitlines()) > 1
    listed.write_text(EDITED[case](listed.read_text()))
    edited = listed.read_text()
    refused = run([*arguments, "--seed", 1, "--export", listed.relative_to(tmp_path)], tmp_path)
    assert refused.code == 2 and refused.err.count("\n") == 1 and "list of label issues" in refused.err, refused.err
    if case == "decided":
        next(tmp_path.rglob("INCV_seed0*.json")).unlink()
        again = run(arguments, tmp_path)
    else:
        again = run([*arguments, "--overwrite"], tmp_path)
    assert again.code == 0 and "your decisions are kept in this file" in again.out, again.err
    assert listed.with_name(f"{listed.stem}_decided1.csv").read_text() == edited and listed.read_text() != edited


@pytest.mark.slow
def test_decisions_that_change_during_a_sweep(tmp_path):
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=generator.normal(size=(60, 3)), y=np.arange(60) % 2)
    decided(tmp_path, "sample,given,decision\n4,0,keep\n")
    process = start(["--dataset", "d.npz", "--decisions", "d.csv", "--epochs", 5, "--iterations", 1, "--seed", 0, 1], tmp_path)
    wait_for_epoch(process, 1)
    decided(tmp_path, "sample,given,decision\n4,0,drop\n")
    _, err = process.communicate()
    assert process.returncode == 2 and "d.csv: changed since the command started" in err, err
    assert len(list(tmp_path.rglob("INCV_seed0*.json"))) == 1 and not list(tmp_path.rglob("INCV_seed1*.json"))


def test_pages_after_the_first_are_told(pictures):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    first.save(pictures / "pics" / "3.tiff", save_all=True, append_images=[second])
    first.save(pictures / "pics" / "4.gif", save_all=True, append_images=[second])
    first.save(pictures / "pics" / "5.gif")
    table = pd.read_csv(pictures / "list.csv").replace({f"pics/{i}.png": f"pics/{i}.{end}"
                                                       for i, end in ((3, "tiff"), (4, "gif"), (5, "gif"))})
    table.to_csv(pictures / "list.csv", index=False)
    dataset = load.load_dataset(pictures / "list.csv", "label")
    assert [line for line in dataset.warnings if "pages" in line] == [
        f"{pictures}: 2 files with several pages or frames: the first one is used"]
    assert (dataset.x_train[3] == [254, 0, 0]).all() or (dataset.x_train[3] == [255, 0, 0]).all()


def test_decisions_about_rows_of_a_table_that_has_changed_are_told(tmp_path):
    """They go by number: a row that was removed moves those below it, without any of the labels giving it away."""
    table = pd.DataFrame({"v": np.arange(40) * 7 % 11, "kind": ["a", "a", "b", "b"] * 10})
    table.to_csv(tmp_path / "t.csv", index=False)
    command = ["--dataset", "t.csv", "--label", "kind", "--epochs", 1, "--iterations", 1, "--quiet"]
    assert run(command, tmp_path).code == 0
    listed = tmp_path / "results/t/given/INCV_seed0_epochs1_iterations1_label_issues.csv"
    listed.write_text("sample,given,suggested,decision\n20,a,b,b\n")

    def told():
        dataset = load.load_dataset(tmp_path / "t.csv", "kind", decisions=[str(listed)])
        return [line for line in dataset.warnings if "no row has moved" in line]

    assert told() == []
    table.drop(index=8).to_csv(tmp_path / "t.csv", index=False)
    assert told() == [f"{tmp_path / 't.csv'} has changed since {listed} was written, and decisions refer to rows by "
                      f"number: check that no row has moved"]


# --- export -----------------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_rows_are_exported_with_their_separator(tmp_path, pictures):
    table = pd.read_csv(pictures / "list.csv")
    table.to_csv(pictures / "semicolons.csv", index=False, sep=";")
    assert run(["--dataset", "semicolons.csv", "--label", "label", *QUICK, "--export", "kept.csv"], pictures).code == 0
    assert set((pictures / "kept.csv").read_text().splitlines()) <= set((pictures / "semicolons.csv").read_text().splitlines())
    rows = "".join(f"{i % 7},5;{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "t.csv").write_text("v;kind\n" + rows)
    (tmp_path / "t.txt").write_text(("v;kind\n" + rows).replace(";", "\t"))
    assert table_file.separator_like("kept.csv", tmp_path / "t.txt", "kind") == ","
    assert table_file.separator_like("kept.tsv", tmp_path / "t.csv", "kind") == "\t"
    assert run(["--dataset", "t.csv", "--label", "kind", "--epochs", 1, "--iterations", 1, "--quiet", "--export", "rows.csv"],
               tmp_path).code == 0
    assert set((tmp_path / "rows.csv").read_text().splitlines()) <= {"v;kind", *rows.splitlines()}


def test_parts_of_a_table_are_not_exported_onto(tmp_path, pictures):
    shards = tmp_path / "shards"
    shards.mkdir()
    for part in range(2):
        pd.DataFrame({"image": [(pictures / "pics" / f"{12 * part + i}.png").read_bytes() for i in range(12)],
                      "label": ["a", "b"] * 6}).to_parquet(shards / f"train-0000{part}-of-00002.parquet")
    before = {file.name: file.read_bytes() for file in shards.iterdir()}
    for target in ("train-00000-of-00002.parquet", "clean.parquet"):
        result = run(["--dataset", "shards", "--label", "label", *QUICK, "--export", f"shards/{target}"], tmp_path)
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


@pytest.mark.slow
def test_a_table_with_a_column_of_decisions_is_exported_twice(tmp_path):
    rows = [f"{i * i % 17},{i % 5},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["v,decision,kind", *rows]))
    for _ in range(2):
        result = run(["--dataset", "t.csv", "--label", "kind", "--epochs", 1, "--iterations", 1, "--quiet", "--export",
                      "kept.csv"], tmp_path)
        assert result.code == 0, result.err


@pytest.mark.slow
def test_integers_beside_empty_cells_are_exported_as_they_are(tmp_path):
    rows = [{"v": i * i % 7, "id": None if i % 5 == 0 else 2 ** 60 + i, "kind": "ab"[i % 2]} for i in range(60)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = run(["--dataset", "t.jsonl", "--label", "kind", "--drop", "id", "--epochs", 1, "--iterations", 1, "--quiet",
                  "--export", "kept.csv"], tmp_path)
    assert result.code == 0, result.err
    kept = pd.read_csv(tmp_path / "kept.csv", dtype=str, keep_default_na=False)
    assert len(kept) and set(kept["id"]) <= {"" if row["id"] is None else str(row["id"]) for row in rows}
