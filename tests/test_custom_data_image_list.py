"""Pictures named in a list: which column, which files, labels and classes, and a list for testing."""
import dataclasses
import shutil
import unicodedata

import numpy as np
import pandas as pd
import pytest
from conftest import QUICK_PICTURES, run
from examples import (
    PICTURE_KINDS,
    PICTURE_NAMES,
    J,
    N,
    facts_of_list,
    list_written,
    pictures_of,
    pixels,
    png,
    refused,
    save_picture,
    table_of,
    written,
)
from PIL import Image

from incv import data
from incv.checking import export
from incv.custom_data import image_list, load
from incv.custom_data.source import Source


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl", ".txt"])
def test_every_kind_of_list_is_read_and_exported_as_it_is(pictures, ending):
    folder, table = pictures
    file, label = list_written(table, folder / f"list{ending}"), None if ending == ".txt" else "kind"
    dataset = load.load_dataset(file, label, images=str(folder / "all"))
    assert dataset.x_train.shape == (N, 8, 8, 1) and (dataset.x_train[..., 0] == [pixels(n) for n in range(N)]).all()
    assert (dataset.class_names[dataset.given] == PICTURE_KINDS).all() and dataset.names.tolist() == PICTURE_NAMES
    assert dataset.rows.tolist() == list(range(N))
    assert ending == ".txt" or "not used: columns 'age'" in " ".join(dataset.warnings)
    (folder / "d.csv").write_text("sample,row,given,decision\n3,3,lit,dark\n0005,5,lit,drop\n")
    source = Source(path=str(file), label=label, images=str(folder / "all"), decisions=[str(folder / "d.csv")])
    decided = load.load_dataset(source)
    assert len(decided.given) == N - 1 and decided.class_names[decided.given[3]] == "dark" and 5 not in decided.rows
    target = folder / f"clean{ending}"
    export._write_rows(target, pictures_of(file, source), label, np.array([1, 3, 8, 20, 21]), {3: "dark"})
    again = load.load_dataset(target, label, images=str(folder / "all"))
    assert again.names.tolist() == [PICTURE_NAMES[n] for n in (1, 3, 8, 20, 21)]
    assert again.class_names[again.given].tolist() == ["lit", "dark", "dark", "dark", "lit"]


def test_ids_are_looked_for_before_they_are_numbers(tmp_path):
    for number in range(N):
        (tmp_path / f"{number + 1}.png").write_bytes(png(number))
    pd.DataFrame({"id": np.arange(N) + 1, "label": PICTURE_KINDS}).to_csv(tmp_path / "trainLabels.csv", index=False)
    dataset = load.load_dataset(tmp_path / "trainLabels.csv", "label")
    assert dataset.x_train.shape == (N, 8, 8, 1) and dataset.names.tolist() == [str(n + 1) for n in range(N)]
    two = pd.DataFrame({"id": np.arange(N) + 1, "age": np.arange(N) % 7 + 1, "label": PICTURE_KINDS})
    two.to_csv(tmp_path / "two.csv", index=False)
    refused(["'id', 'age'", "--drop"], tmp_path / "two.csv", "label")
    assert len(load.load_dataset(tmp_path / "two.csv", "label", drop=["age"]).given) == N
    (tmp_path / "3.jpg").write_bytes(png(0))
    refused(["'3' may be '3.jpg' or '3.png'"], tmp_path / "trainLabels.csv", "label")


def test_missing_pictures_are_left_out_and_wrong_places_refused(pictures):
    folder, table = pictures
    place = folder / "all/list.csv"
    table.loc[N] = ["gone.png", "lit", 0]
    table.loc[N + 1] = [PICTURE_NAMES[3], "dark", 0]  # a name twice, with another label
    (folder / "all" / "p20.JPEG").write_bytes(b"no picture")
    list_written(table, place)
    dataset = load.load_dataset(place, "kind")
    assert any("1 of 26 pictures are missing: see" in warning for warning in dataset.warnings)
    assert dataset.left_out == {"gone.png": "missing", "p20.jpeg": "not a readable image"}
    assert dataset.rows.tolist() == [n for n in range(26) if n not in (20, N)] and len(set(dataset.names)) == 23
    source = Source(path=str(place), label="kind")
    before = load.facts(source).checksum
    (folder / "all" / "p21.JPEG").write_bytes(png(99))
    assert load.facts(source).checksum != before

    list_written(table, folder / "list.csv")
    refused(["column 'id_code' names pictures such as 'sub dir/pic, 6.png'", "give --images DIR"], folder / "list.csv", "kind")
    refused(["no column", "names a picture in it"], list_written(table.drop(columns="id_code"), folder / "plain.csv"), "kind",
            images=str(folder / "all"))
    outside = table.assign(id_code=[f"../all/{name}" for name in table["id_code"]])
    (folder / "lists").mkdir()
    refused(["outside", "give --images DIR"], list_written(outside, folder / "lists/up.csv"), "kind")
    assert len(load.load_dataset(folder / "lists/up.csv", "kind", images=str(folder / "all")).given) == 24
    refused(["no subfolder for each class, but a list", "list.csv --label"], folder / "all", images=str(folder))


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_true_labels_of_a_list(pictures, ending):
    folder, table = pictures
    truth = np.where(np.arange(N) % 3 == 0, "", np.roll(PICTURE_KINDS, 1))
    list_written(table.assign(truth=truth), folder / f"list{ending}")
    dataset = load.load_dataset(folder / f"list{ending}", "kind", images=str(folder / "all"), true_label="truth")
    names = np.array([*dataset.class_names, ""])
    assert names[dataset.y_train].tolist() == truth.tolist() and (names[dataset.given] == PICTURE_KINDS).all()
    assert "not used: columns 'age'" in dataset.warnings[0]
    # Other truths, or other groups, are other data: a finished run is not reused for them.
    options = {"label": "kind", "images": str(folder / "all"), "true_label": "truth", "group": "age"}
    checksums = {load.facts(folder / f"list{ending}", **options).checksum}
    for changed in ({"truth": PICTURE_KINDS}, {"truth": truth, "age": np.arange(N) // 2}):
        list_written(table.assign(**{"truth": truth} | changed), folder / f"list{ending}")
        checksums.add(load.facts(folder / f"list{ending}", **options).checksum)
    assert len(checksums) == 3


def test_first_classes_of_a_list(pictures):
    folder, table = pictures
    for kinds, number, kept in ((np.array(["2", "10", "9"]), 2, ["2", "9"]), (np.array(["b", "10", "a"]), 2, ["10", "a"])):
        kind = kinds[np.arange(N) % 3]
        file = list_written(table.assign(kind=kind), folder / "list.csv")
        dataset = load.load_dataset(file, "kind", images=str(folder / "all"), classes=number)
        assert dataset.class_names.astype(str).tolist() == kept
        assert dataset.rows.tolist() == [n for n in range(N) if kind[n] in kept]
    refused(["--classes 4", "have 3 classes"], file, "kind", images=str(folder / "all"), classes=4)


def test_numbers_that_lost_the_zeros_of_their_pictures(tmp_path):
    for i in range(8):
        save_picture(tmp_path / "pics" / f"{i + 1:04d}.jpg")
    text = "id,label\n" + "".join(f"{i + 1},{'ab'[i % 2]}\n" for i in range(8))
    words = "column 'id' contains '1', but the picture is called '0001': write the zeros"
    refused(words, written(tmp_path / "pics/list.csv", text), "label")
    refused(words, written(tmp_path / "list.csv", text), "label", images=str(tmp_path / "pics"))


def test_accents_of_files_composed_or_not(tmp_path):
    for i in range(8):
        save_picture(tmp_path / unicodedata.normalize("NFD", f"Größe {i}.png"))
    text = unicodedata.normalize("NFC", "file,Art\n" + "".join(f"Größe {i}.png,{'ab'[i % 2]}\n" for i in range(8)))
    assert len(load.load_dataset(written(tmp_path / "t.csv", text), "Art").given) == 8


def test_a_list_of_boxes(tmp_path):
    """The columns of places look like names of pictures, and each picture has several labels."""
    for i in range(6):
        save_picture(tmp_path / f"{i}.jpg", (i * 40, 0, 0))
    text = "filename,class,xmin\n" + "".join(f"{i}.jpg,{kind},{i}\n" for i in range(6) for kind in ("cat", "dog"))
    dataset = load.load_dataset(written(tmp_path / "t.csv", text), "class")
    assert dataset.names.tolist() == [f"{i}.jpg" for i in range(6) for _ in "ab"]
    assert any("12 rows name 6 pictures, 6 of them with different labels, such as '0.jpg'" in line
               for line in dataset.warnings)


# --- tables that are no lists -----------------------------------------------------------------------------------------

def test_a_picture_beside_a_table_does_not_make_it_a_list(tmp_path):
    save_picture(tmp_path / "1.jpg")
    save_picture(tmp_path / "30.png")
    text = "class,age,label\n" + "".join(f"{i % 3},{i * 7 % 60},{'ab'[i // 2 % 2]}\n" for i in J)
    assert load.load_dataset(written(tmp_path / "t.csv", text), "label").x_train.shape == (120, 2)


def test_addresses_of_pictures_are_no_files(tmp_path):
    cells = [f"https://example.org/{i}.png" for i in J]
    assert load.load_dataset(written(tmp_path / "t.csv", table_of(cells)), "label").x_train.shape == (120, 1)
    refused("or --drop 'v' to read a table", written(tmp_path / "u.csv", table_of([f"{i}.png" for i in J])), "label")


# --- lists of lines ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("separator", ["\t", "  ", ",", "; "])
def test_labels_with_spaces_in_a_file_list(tmp_path, separator):
    kinds = ["golden retriever", "poodle"]
    for i in range(8):
        save_picture(tmp_path / f"my dog {i}.jpg")
    lines = "".join(f"my dog {i}.jpg{separator}{kinds[i % 2]}\n" for i in range(8))
    dataset = load.load_dataset(written(tmp_path / "list.txt", lines))
    assert dataset.class_names[dataset.given].tolist() == kinds * 4 and dataset.names[0] == "my dog 0.jpg"


@pytest.mark.slow
def test_a_file_list_as_powershell_writes_it(listed):
    lines = "".join(f"pics/{i}.png {'ab'[i % 2]}\r\n" for i in range(24))
    (listed / "list.txt").write_bytes(lines.encode("utf-16"))
    assert facts_of_list(listed, path=str(listed / "list.txt"), label=None).size == 24
    assert run(["--dataset", "list.txt", *QUICK_PICTURES, "--export", "kept.txt"], listed).code == 0
    kept = (listed / "kept.txt").read_text().splitlines()
    assert kept and set(kept) <= set(lines.split("\r\n"))


def test_pictures_that_are_not_in_the_given_folder_are_told(tmp_path):
    """The folder itself may be missing, or lack what the list names, which is also beside the list."""
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    (tmp_path / "list.csv").write_text("file,label\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(8)))
    source = Source(path=str(tmp_path / "list.csv"), label="label")
    refused(["--images", "gone: no such folder"], dataclasses.replace(source, images=str(tmp_path / "gone")))
    (tmp_path / "empty").mkdir()
    warnings = load.load_dataset(dataclasses.replace(source, images=str(tmp_path / "empty"))).warnings
    assert any("8 pictures, such as '0.png', not in --images" in line for line in warnings)
    assert not any("--images" in line for line in load.load_dataset(source).warnings)


def test_names_in_other_cases_are_found_unless_several_fit(tmp_path):
    for name in ("img0.png", "img1.png", "Two.png", "two.PNG", "img3.PNG"):
        (tmp_path / name).write_bytes(png(3 if "w" in name else int(name[3])))

    def read(*names):
        (tmp_path / "list.csv").write_text("file,label\n" + "".join(f"{name},{n % 2}\n" for n, name in enumerate(names)))
        return load.load_dataset(tmp_path / "list.csv", label="label")

    for names in (["IMG0.png", "img1.PNG", "IMG1", "iMg3.pNg"], ["img0.png", "img1.png", "img1", "img3.png"]):
        assert (read(*names).x_train[..., 0] == [pixels(n) for n in (0, 1, 1, 3)]).all()
    assert len(read("Two.png", "two.PNG", "img0.png", "img1.png").names) == 4
    with pytest.raises(data.DataError, match="may be"):
        read("TWO.png", "img0.png", "img1.png", "img3.png")
    with pytest.raises(data.DataError, match="all of one class.*; 3 of 4 pictures are missing, the first 'a.png'"):
        read("img0.png", "a.png", "b.png", "c.png")


def test_a_picture_that_has_two_names_is_one(tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    rows = [*(f"{n}.png,{n % 2}" for n in range(8)), "./0.png,1"]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *rows]))
    [line] = [line for line in load.load_dataset(tmp_path / "list.csv", label="label").warnings if "different" in line]
    assert "9 rows name 8 pictures, 1 of them with different labels" in line


# --- --test_list ------------------------------------------------------------------------------------------------------

def test_test_pictures_that_are_trained_on(listed):
    source = Source(path=str(listed / "list.csv"), label="label", test_list=str(listed / "copy.csv"))
    shutil.copy(listed / "list.csv", listed / "copy.csv")
    with pytest.raises(data.DataError, match="the networks are trained on these pictures"):
        image_list.read_test(source, np.array(["a", "b"]))
    Image.new("RGB", (8, 8)).save(listed / "pics" / "new.png")
    (listed / "copy.csv").write_text("path,label\npics/new.png,a\npics/3.png,b\n")
    found = image_list.read_test(source, np.array(["a", "b"]))
    assert any("trained on 1 of its 2 pictures" in line for line in found.warnings)
