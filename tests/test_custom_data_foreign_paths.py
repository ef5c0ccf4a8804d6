"""Lists of pictures as annotation tools and other machines write them: found, or refused in a line that says what to do."""
import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import run
from PIL import Image

from incv import data
from incv.custom_data import image_list, load
from incv.custom_data.source import Source

I = range(12)
LABELS = ["cat", "dog"] * 6


def pictures(folder, values=I, name="{}.png"):
    """Grey pictures of 8 × 8, each of its own level."""
    folder.mkdir(parents=True, exist_ok=True)
    for value in values:
        Image.new("L", (8, 8), 10 * value).save(folder / name.format(value))
    return folder


def listed(folder, names, name="list.csv", **columns):
    pd.DataFrame({"path": names, "label": LABELS[:len(names)], **columns}).to_csv(folder / name, index=False)
    return folder / name


def read(path, label="label", **options):
    """(The levels of the pictures that are used, what is told without the list's own path)."""
    dataset = load.load_dataset(path, label, **options)
    return [int(level) // 10 for level in dataset.x_train[:, 0, 0, 0]], [line.removeprefix(f"{path}: ")
                                                                         for line in dataset.warnings]


def refused(words, path, label="label", **options):
    with pytest.raises(data.DataError) as error:
        load.load_dataset(path, label, **options)
    assert words in str(error.value) and "\n" not in str(error.value), str(error.value)
    return str(error.value)


FORMS = {
    "Colab": ("/content/drive/MyDrive/photos/{}.png", "/content/drive/MyDrive/"),
    "Windows": (r"C:\Users\me\photos\{}.png", "C:/Users/me/"), "a network drive": (r"\\nas\data\photos\{}.png", "//nas/data/"),
    "a file's address": ("file:///home/me/photos/{}.png", "/home/me/"), "a bucket": ("s3://bucket/photos/{}.png", "s3://bucket/"),
    "a signed address": ("https://storage.example.org/b/photos/{}.png?Signature=a/b%2F&x=1", "https://storage.example.org/b/"),
    "Label Studio": ("/data/upload/photos/{}.png", "/data/upload/"), "another folder": ("Bilder/photos/{}.png", "Bilder/"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("below", [True, False])
def test_paths_of_another_machine(tmp_path, form, below):
    """Found by their ends below --images DIR, or beside the list; a warning says what of the names is not here."""
    pictures(tmp_path / "here" / "photos")
    names, beginning = FORMS[form]
    path = listed(tmp_path if below else tmp_path / "here", [names.format(i) for i in I])
    levels, told = read(path, images=str(tmp_path / "here") if below else None)
    places = f"{tmp_path / 'here'}" + (f" and {tmp_path}" if below else "")
    assert levels == list(I)
    assert told == [f"12 pictures found in {places} without {beginning!r}, the beginning of their names"]


@pytest.mark.parametrize("form, folder", [
    ("/data/local-files/?d=photos/{}.png", "photos"), ("my%20photos/{}.png", "my photos")])
def test_names_that_are_decoded(tmp_path, form, folder):
    pictures(tmp_path / folder)
    levels, told = read(listed(tmp_path, [form.format(i) for i in I]))
    assert levels == list(I) and told == [f"12 pictures found in {tmp_path} after their names are decoded"]


def test_the_longest_end_is_found_and_the_same_one_for_all(tmp_path):
    """Picture 3 is missing in its folder: another one of that name, in the folder above, is not taken for it."""
    pictures(tmp_path / "train" / "new", set(I) - {3})
    pictures(tmp_path / "train", [3, 5])
    path = listed(tmp_path, [f"/content/train/new/{i}.png" for i in I])
    levels, told = read(path, images=str(tmp_path / "train"))
    assert levels == [i for i in I if i != 3] and "1 of 12 pictures are missing: see" in told[1]
    assert "without '/content/', the" in told[0]


def test_a_part_of_the_names_is_of_another_machine(tmp_path):
    pictures(tmp_path / "photos")
    path = listed(tmp_path, [f"/content/drive/photos/{i}.png" if i % 4 == 0 else f"./photos/{i}.png" for i in I])
    levels, told = read(path)
    assert levels == list(I)
    assert told == [f"3 pictures found in {tmp_path} without '/content/drive/', the beginning of their names"]


def test_a_missing_relative_picture_is_not_one_of_the_folder_above(tmp_path):
    pictures(tmp_path / "photos", set(I) - {3})
    pictures(tmp_path, [3])
    levels, told = read(listed(tmp_path, [f"photos/{i}.png" for i in I]))
    assert levels == [i for i in I if i != 3]
    assert told == ["1 of 12 pictures are missing: see the file ending in _left_out.csv"]


def test_two_names_of_one_picture_are_refused(tmp_path):
    """Pictures of two people with the same names, of which only one's are here."""
    pictures(tmp_path / "photos", range(6))
    path = listed(tmp_path, [f"/home/{who}/{i}.png" for who in ("ann", "bob") for i in range(6)])
    refused("'/home/ann/0.png' and '/home/bob/0.png' may both be 'photos/0.png'", path, images=str(tmp_path / "photos"))
    path = listed(tmp_path, [f"https://a.org/{i % 6}.png?token={i}" for i in I])  # one picture with two signatures
    assert read(path, images=str(tmp_path / "photos"))[0] == [*range(6), *range(6)]


def test_addresses_without_pictures(tmp_path):
    path = listed(tmp_path, [f"s3://bucket/{i}.png" for i in I])
    refused("column 'path' contains addresses of pictures such as 's3://bucket/0.png', which are not downloaded here: "
            "download them, and give --images DIR, the folder that contains them", path)
    (tmp_path / "list.txt").write_text("".join(f"https://a.org/{i}.jpg {label}\n" for i, label in zip(I, LABELS, strict=True)))
    refused("its lines contain addresses of pictures such as 'https://a.org/0.jpg'", tmp_path / "list.txt", None)
    refused("column 'path' contains addresses", listed(tmp_path, [f"https://a.org/photo?id={i}" for i in I], "no_ending.csv"))
    (tmp_path / "empty").mkdir()
    refused(f"none of which is in {tmp_path / 'empty'}: download", path, images=str(tmp_path / "empty"))
    table = listed(tmp_path, [f"s3://bucket/{i}.png" for i in I], "table.csv", price=np.arange(12) % 5)  # beside features
    told = load.load_dataset(table, "label").warnings
    assert (f"{table}: column 'path' contains addresses of pictures, which are not downloaded: to check pictures, download "
            f"them and give --images DIR") in told


def test_a_list_of_another_machine_from_the_command_line(tmp_path):
    """Decisions, the export, and pictures to predict."""
    pictures(tmp_path / "photos")
    path = listed(tmp_path, [f"/content/photos/{i}.png" for i in I])
    result = run(["--dataset", "list.csv", "--label", "label", "--epochs", 1, "--iterations", 1, "--quiet", "--export",
                  "clean.csv"], tmp_path)
    assert result.code == 0 and result.out.count("without '/content/'") == 1, result.err
    assert pd.read_csv(tmp_path / "clean.csv")["path"].str.startswith("/content/photos/").all()
    source = Source(path=str(path), label="label")
    source = Source(path=str(path), label="label", facts=load.facts(source))
    assert load.samples_like(str(path), source)[0][:, 0, 0, 0].tolist() == [10 * i for i in I]


# --- annotation tools -------------------------------------------------------------------------------------------------

def carried_out(message, folder):
    """Carry out the command in a message, by a shell; returns the file that it writes."""
    command = re.search(r"python (-c .*), and give --dataset", message)[1]
    subprocess.run(f"{shlex.quote(sys.executable)} {command}", cwd=folder, check=True, shell=True)
    return folder / shlex.split(message.partition("and give --dataset ")[2].replace(", or --drop", " "))[0]


def one_hot(folder, **columns):
    table = pd.DataFrame({"filename": [f"{i}.png" for i in I], " cat": [1, 0] * 6, " dog": [0, 1] * 6, **columns})
    table.to_csv(folder / "_classes.csv", index=False)
    return folder / "_classes.csv"


def test_classes_of_roboflow(tmp_path):
    """A column of 0 and 1 per class."""
    for part in ("train", "valid"):
        path = one_hot(pictures(tmp_path / "rf" / part))
    train = tmp_path / "rf" / "train"
    path = train / "_classes.csv"
    said = refused("each of the columns 'cat', 'dog' is 1 for one class: write them as one: python -c", path, None)
    new = carried_out(said, tmp_path)
    dataset = load.load_dataset(new, "label", images=str(train))
    assert dataset.class_names[dataset.given].tolist() == LABELS and dataset.names.tolist() == [f"{i}.png" for i in I]
    for folder in (tmp_path / "rf", train):
        refused(f"give --dataset {path} --label COLUMN --images {train}", folder, None)
    refused("have several 1, or none, in 12 of 12 rows: write one column with one class", one_hot(train, both=1), None)
    path = one_hot(train)
    for label in ("label", "cat"):
        said = refused("each of the columns 'cat', 'dog' is 1 for one class", path, label, images=str(train))
        new = carried_out(said, tmp_path)
        assert load.load_dataset(new, "label", images=str(train)).class_names.tolist() == ["cat", "dog"]
    assert said.endswith(", or --drop the others to tell 'cat' from all other classes")
    assert load.load_dataset(path, "cat", drop=["dog"]).class_names.tolist() == [0, 1]
    path = one_hot(train, kind=["x", "y"] * 6)
    said = refused("one class", path, None, drop=["kind"])
    assert load.load_dataset(carried_out(said, tmp_path), "label", images=str(train)).class_names.tolist() == ["cat", "dog"]
    assert load.load_dataset(one_hot(train, both=1), "cat").class_names.tolist() == [0, 1]  # not one class of several


def test_labels_of_fiftyone(tmp_path):
    pictures(tmp_path / "fo" / "data")
    content = {"classes": ["cat", "dog"], "labels": {str(i): i % 2 for i in I}}
    (tmp_path / "fo" / "labels.json").write_text(json.dumps(content))
    said = refused("labels of FiftyOne; write them as a list: python -c", tmp_path / "fo", None)
    assert said == refused("labels.json", tmp_path / "fo" / "labels.json")
    dataset = load.load_dataset(carried_out(said, tmp_path), "label", images=str(tmp_path / "fo" / "data"))
    assert dataset.class_names[dataset.given].tolist() == LABELS and len(dataset.names) == 12


def test_annotations_of_coco(tmp_path):
    pictures(tmp_path / "coco" / "images")
    content = {"categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
               "images": [{"id": 100 + i, "file_name": f"{i}.png"} for i in I],
               "annotations": [{"id": i, "image_id": 100 + i, "category_id": 9 if i % 2 else 7} for i in I]}
    (tmp_path / "coco" / "annotations.json").write_text(json.dumps(content))
    said = refused("annotations of COCO; write them as a list: python -c", tmp_path / "coco", None)
    dataset = load.load_dataset(carried_out(said, tmp_path), "label", images=str(tmp_path / "coco" / "images"))
    assert dataset.class_names[dataset.given].tolist() == LABELS


def test_annotations_of_label_studio(tmp_path):
    full = [{"id": i, "annotations": [{"result": []}], "data": {"image": f"/data/upload/1/{i}.png"}} for i in I]
    (tmp_path / "project.json").write_text(json.dumps(full))
    for options in ({}, {"images": str(tmp_path)}):
        refused("annotations of Label Studio; export them as CSV or JSON-MIN", tmp_path / "project.json", **options)
    pictures(tmp_path / "media" / "upload" / "1")
    rows = [{"image": f"/data/upload/1/{i}.png", "id": i, "choice": label} for i, label in zip(I, LABELS, strict=True)]
    (tmp_path / "min.json").write_text(json.dumps(rows))
    assert read(tmp_path / "min.json", "choice", images=str(tmp_path / "media"))[0] == list(I)


EXPORTS = {
    "COCO": {"categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
             "images": [{"id": 100 + i, "file_name": f"{i}.png"} for i in I],
             "annotations": [{"id": i, "image_id": 100 + i, "category_id": 9 if i % 2 else 7} for i in I]},
    "FiftyOne": {"classes": ["cat", "dog"], "labels": {str(i): i % 2 for i in I}}}


@pytest.mark.parametrize("options", [{}, {"images": "flat"}, {"images": "flat", "drop": ["a"], "image_size": 8, "classes": 2}])
@pytest.mark.parametrize("tool, name", [("COCO", "Ann's labels of today.json"), ("FiftyOne", "$HOME `x`!.json")])
def test_what_converts_an_export_comes_before_its_options(tmp_path, tool, name, options):
    """And the command that is printed runs in a shell, whatever the file is called."""
    folder = pictures(tmp_path / "flat")
    (tmp_path / name).write_text(json.dumps(EXPORTS[tool]))
    options = options | ({"images": str(folder)} if "images" in options else {})
    for label in ("label", None):
        said = refused(f"of {tool}; write them as a list: python -c", tmp_path / name, label, **options)
        dataset = load.load_dataset(carried_out(said, tmp_path), "label", images=str(folder))
        assert dataset.class_names[dataset.given].tolist() == LABELS
    (tmp_path / "of" / "pictures").mkdir(parents=True)
    (tmp_path / name).rename(tmp_path / "of" / name)
    refused(f"of {tool}; write them as a list: python -c", tmp_path / "of", **options)


def test_a_folder_of_roboflow_with_a_space_and_an_apostrophe(tmp_path):
    path = one_hot(pictures(tmp_path / "Ann's rf"))
    new = carried_out(refused("is 1 for one class", path), tmp_path)
    assert load.load_dataset(new, "label", images=str(path.parent)).class_names.tolist() == ["cat", "dog"]


@pytest.mark.parametrize("lacks, words", [
    (["annotations"], "images of COCO without annotations, which say the class"),
    (["categories"], "without categories, which"), (["annotations", "categories"], "without annotations and categories"),
    ([], "without the category_id of annotations")])
def test_coco_that_lacks_something_is_told_what(tmp_path, lacks, words):
    content = {name: value for name, value in EXPORTS["COCO"].items() if name not in lacks}
    if not lacks:
        content["annotations"] = [{"image_id": 100 + i, "caption": "a cat"} for i in I]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    for options in ({}, {"images": str(pictures(tmp_path / "flat"))}):
        refused(words, tmp_path / "coco.json", **options)


def test_folders_of_classes_with_a_table_beside_them_are_folders(tmp_path):
    for name in ("cat", "dog"):
        pictures(tmp_path / "photos" / name, range(3))
        pictures(tmp_path / "parts" / "train" / name, range(3))
    for folder in ("photos", "parts"):
        listed(tmp_path / folder, ["0.png"])
    assert len(load.load_dataset(tmp_path / "photos").given) == 6
    refused(f"give --dataset {tmp_path / 'parts' / 'train'}", tmp_path / "parts", None)


# --- other endings ----------------------------------------------------------------------------------------------------

TABLE = pd.DataFrame({"v": np.arange(12) * 7 % 5 / 2, "n": pd.array([3, None, *range(10)], dtype="Int64"), "label": LABELS})
WRITTEN = {
    "records.json": lambda path: TABLE.to_json(path, orient="records"), "columns.json": lambda path: TABLE.to_json(path),
    "split.json": lambda path: TABLE.to_json(path, orient="split"),
    "schema.json": lambda path: TABLE.to_json(path, orient="table"),
    "lines.json": lambda path: TABLE.to_json(path, orient="records", lines=True),
    "lists.json": lambda path: path.write_text(json.dumps({
        name: json.loads(TABLE[name].to_json(orient="values")) for name in TABLE})),
    "t.ndjson": lambda path: TABLE.to_json(path, orient="records", lines=True),
    "t.pq": lambda path: TABLE.to_parquet(path), "t.feather": lambda path: TABLE.to_feather(path),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_tables_of_other_endings(tmp_path, name):
    """Read as the same table in a .jsonl, with the same ids of rows."""
    TABLE.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    WRITTEN[name](tmp_path / name)
    expected, found = (load.load_dataset(path, "label", drop=["index"] if "schema" in str(path) else None)
                       for path in (tmp_path / "t.jsonl", tmp_path / name))
    assert (found.x_train == expected.x_train).all() and found.class_names[found.given].tolist() == LABELS
    assert "schema" in name or (found.row_ids == expected.row_ids).all()


@pytest.mark.parametrize("ending, exported", [(".json", ".csv"), (".ndjson", ".ndjson"), (".pq", ".pq"), (".feather", ".csv")])
def test_lists_of_other_endings_and_their_export(tmp_path, ending, exported):
    pictures(tmp_path / "photos")
    table, path = pd.DataFrame({"path": [f"photos/{i}.png" for i in I], "n": I, "label": LABELS}), tmp_path / f"list{ending}"
    {".json": lambda: table.to_json(path, orient="records"), ".pq": lambda: table.to_parquet(path),
     ".ndjson": lambda: table.to_json(path, orient="records", lines=True),
     ".feather": lambda: table.to_feather(path)}[ending]()
    assert read(path)[0] == list(I)
    command = ["--dataset", path.name, "--label", "label", "--epochs", 1, "--iterations", 1, "--quiet", "--export"]
    assert f"give a file that ends in {exported}" in run([*command, "clean.txt"], tmp_path).err
    assert run([*command, f"clean{exported}"], tmp_path).code == 0
    found = tmp_path / f"clean{exported}"
    rows = {".csv": pd.read_csv, ".pq": pd.read_parquet,
            ".ndjson": lambda each: pd.read_json(each, lines=True)}[exported](found)
    assert rows.columns.tolist() == ["path", "n", "label"] and len(rows) and rows["path"].isin(table["path"]).all()


def test_json_in_other_encodings(tmp_path):
    for encoding in ("utf-16", "utf-8-sig", "utf-32"):
        for name, lines in (("t.json", False), ("t.jsonl", True)):
            text = TABLE.to_json(orient="records", lines=lines, force_ascii=False).replace("cat", "Kätzchen")
            (tmp_path / name).write_text(text, encoding=encoding)
            assert load.load_dataset(tmp_path / name, "label").class_names.tolist() == ["Kätzchen", "dog"]


def test_ids_of_another_machine_without_an_ending(tmp_path):
    pictures(tmp_path / "photos")
    path = listed(tmp_path, [f"/content/photos/{i}" for i in I])
    assert read(path, images=str(tmp_path / "photos"))[0] == list(I)


@pytest.mark.parametrize("text, words", [
    ('{"a.png": "cat", "b.png": "dog"}', "no table; write a list of objects with the same names"),
    ("[1, 2]", "no table; write a list of objects"), ("[{", "cannot be read as JSON"), ("", "cannot be read as JSON"),
    ('{"v": [1, 2], "w": [1]}', "no table"), ("[]", "has no rows"), ("[" * 10 ** 5, "too deep to be a table"),
])
def test_json_that_is_no_table(tmp_path, text, words):
    (tmp_path / "t.json").write_text(text)
    refused(words, tmp_path / "t.json")


def test_feather_with_pictures_and_archives(tmp_path):
    pd.DataFrame({"image": [b"\x89PNG"] * 4, "label": LABELS[:4]}).to_feather(tmp_path / "t.feather")
    refused("column 'image' contains bytes or objects, such as pictures: write the table as a .parquet",
            tmp_path / "t.feather")
    (tmp_path / "t.zip").write_bytes(b"PK\x03\x04")
    refused("an archive: unpack it, and give the folder or the table in it", tmp_path / "t.zip")


def test_many_names_are_found_in_seconds(tmp_path):
    pictures(tmp_path / "photos", range(20))
    names = pd.Series([f"/content/drive/a/b/c/photos/{i}.png" for i in range(200000)])
    files, told = image_list._files(tmp_path / "list.csv", names, None)
    assert files[:21] == [f"photos/{i}.png" for i in range(20)] + [None] and "list.csv: 20 pictures found" in told[0]
