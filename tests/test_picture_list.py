"""Pictures named in a list, or inside a .parquet: from the file to report, export and prediction, with what people have."""
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, run
from PIL import Image

from incv import data
from incv.checking import export
from incv.custom_data import image_list, load
from incv.custom_data.source import Source

N = 24


def pixels(number):
    """A picture whose class is its brighter half, and its place in the list the rest."""
    found = np.random.default_rng(number).integers(0, 60, (8, 8), dtype=np.uint8)
    found[:, :4] += np.uint8(150 * (number % 2))
    return found


def png(number):
    file = io.BytesIO()
    Image.fromarray(pixels(number)).save(file, "PNG")
    return file.getvalue()


KINDS = np.array(["dark", "lit"])[np.arange(N) % 2]
NAMES = [f"0{n:03d}" if n < 6 else f"sub dir/pic, {n}.png" if n < 10 else f"sub dir\\p{n}.PNG" if n < 14 else f"p{n}.jpeg"
         for n in range(N)]  # ids with leading zeros, commas and spaces, another separator and case, names of another case


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures, and the DataFrame that names them."""
    (tmp_path / "all/sub dir").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        stored = name.replace("\\", "/") + (".png" if number < 6 else "")
        if number >= 14:
            stored = stored.replace(".jpeg", ".JPEG")
        (tmp_path / "all" / stored).write_bytes(png(number))
    return tmp_path, pd.DataFrame({"id_code": NAMES, "kind": KINDS, "age": np.arange(N) + 100})


def refused(words, path, *options, **named):
    with pytest.raises(data.DataError) as error:
        load.load_dataset(path, *options, **named)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value), str(error.value)


def pictures_of(path, source):
    return image_list.opened(path, source).pictures(source)


def written(table, file):
    """Write a list in the format of its name."""
    {".csv": lambda: table.to_csv(file, index=False), ".tsv": lambda: table.to_csv(file, index=False, sep="\t"),
     ".parquet": lambda: table.to_parquet(file), ".jsonl": lambda: table.to_json(file, orient="records", lines=True),
     ".txt": lambda: file.write_text("".join(f"{row.id_code}  {row.kind}\n" for row in table.itertuples()))}[
         file.suffix]()
    return file


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl", ".txt"])
def test_every_kind_of_list_is_read_and_exported_as_it_is(pictures, ending):
    folder, table = pictures
    file, label = written(table, folder / f"list{ending}"), None if ending == ".txt" else "kind"
    dataset = load.load_dataset(file, label, images=str(folder / "all"))
    assert dataset.x_train.shape == (N, 8, 8, 1) and (dataset.x_train[..., 0] == [pixels(n) for n in range(N)]).all()
    assert (dataset.class_names[dataset.given] == KINDS).all() and dataset.names.tolist() == NAMES
    assert dataset.rows.tolist() == list(range(N))
    assert ending == ".txt" or "not used: columns 'age'" in " ".join(dataset.warnings)
    (folder / "d.csv").write_text("sample,row,given,decision\nwhatever,3,lit,dark\nx,5,lit,drop\n")
    source = Source(path=str(file), label=label, images=str(folder / "all"), decisions=[str(folder / "d.csv")])
    decided = load.load_dataset(source)
    assert len(decided.given) == N - 1 and decided.class_names[decided.given[3]] == "dark" and 5 not in decided.rows
    target = folder / f"clean{ending}"
    export._write_rows(target, pictures_of(file, source), label, np.array([1, 3, 8, 20, 21]), {3: "dark"})
    again = load.load_dataset(target, label, images=str(folder / "all"))
    assert again.names.tolist() == [NAMES[n] for n in (1, 3, 8, 20, 21)]
    assert again.class_names[again.given].tolist() == ["lit", "dark", "dark", "dark", "lit"]


def test_ids_are_looked_for_before_they_are_numbers(tmp_path):
    for number in range(N):
        (tmp_path / f"{number + 1}.png").write_bytes(png(number))
    pd.DataFrame({"id": np.arange(N) + 1, "label": KINDS}).to_csv(tmp_path / "trainLabels.csv", index=False)
    dataset = load.load_dataset(tmp_path / "trainLabels.csv", "label")
    assert dataset.x_train.shape == (N, 8, 8, 1) and dataset.names.tolist() == [str(n + 1) for n in range(N)]
    two = pd.DataFrame({"id": np.arange(N) + 1, "age": np.arange(N) % 7 + 1, "label": KINDS})
    two.to_csv(tmp_path / "two.csv", index=False)
    refused(["'id', 'age'", "--drop"], tmp_path / "two.csv", "label")
    assert len(load.load_dataset(tmp_path / "two.csv", "label", drop=["age"]).given) == N
    (tmp_path / "3.jpg").write_bytes(png(0))
    refused(["'3' may be '3.jpg' or '3.png'"], tmp_path / "trainLabels.csv", "label")


def test_missing_pictures_are_left_out_and_wrong_places_refused(pictures):
    folder, table = pictures
    place = folder / "all/list.csv"
    table.loc[N] = ["gone.png", "lit", 0]
    table.loc[N + 1] = [NAMES[3], "dark", 0]  # a name twice, with another label
    (folder / "all" / "p20.JPEG").write_bytes(b"no picture")
    written(table, place)
    dataset = load.load_dataset(place, "kind")
    assert any("1 of 26 pictures are missing: see" in warning for warning in dataset.warnings)
    assert dataset.left_out == {"gone.png": "missing", "p20.jpeg": "not a readable image"}
    assert dataset.rows.tolist() == [n for n in range(26) if n not in (20, N)] and len(set(dataset.names)) == 23
    source = Source(path=str(place), label="kind")
    before = load.facts(source).checksum
    (folder / "all" / "p21.JPEG").write_bytes(png(99))
    assert load.facts(source).checksum != before

    written(table, folder / "list.csv")
    refused(["column 'id_code' names pictures such as 'sub dir/pic, 6.png'", "give --images DIR"], folder / "list.csv", "kind")
    refused(["no column", "names a picture in it"], written(table.drop(columns="id_code"), folder / "plain.csv"), "kind",
            images=str(folder / "all"))
    outside = table.assign(id_code=[f"../all/{name}" for name in table["id_code"]])
    (folder / "lists").mkdir()
    refused(["outside", "give --images DIR"], written(outside, folder / "lists/up.csv"), "kind")
    assert len(load.load_dataset(folder / "lists/up.csv", "kind", images=str(folder / "all")).given) == 24
    refused(["--images is for lists of pictures"], folder / "all", images=str(folder))


@pytest.mark.parametrize("kind", ["struct", "bytes"])
def test_pictures_inside_a_parquet(tmp_path, kind):
    import pyarrow
    import pyarrow.parquet

    content = [{"bytes": png(n), "path": f"p{n}.png"} if kind == "struct" else png(n) for n in range(N)]
    table = pyarrow.table({"image": content, "label": pyarrow.array(np.arange(N) % 2), "note": ["x"] * N})
    features = {"image": {"_type": "Image"}, "label": {"names": ["dark", "lit"], "_type": "ClassLabel"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, tmp_path / "p.parquet", row_group_size=N)
    dataset = load.load_dataset(tmp_path / "p.parquet", "label")
    assert (dataset.x_train[..., 0] == [pixels(n) for n in range(N)]).all() and dataset.class_names.tolist() == ["dark", "lit"]
    assert dataset.names.tolist() == [f"p{n}.png" if kind == "struct" else str(n) for n in range(N)]
    source = Source(path=str(tmp_path / "p.parquet"), label="label")
    export._write_rows(tmp_path / "clean.parquet", pictures_of(source.path, source), "label", np.array([0, 1, 3, 4]),
                       {3: "dark"})
    again = pyarrow.parquet.read_table(tmp_path / "clean.parquet")
    assert again["image"].to_pylist() == [content[n] for n in (0, 1, 3, 4)] and again["label"].to_pylist() == [0, 1, 0, 0]
    assert again.schema.metadata[b"huggingface"] == table.schema.metadata[b"huggingface"]


def test_a_list_from_the_command_to_report_export_and_prediction(pictures):
    folder, table = pictures
    table.loc[N] = ["gone.png", "lit", 0]
    written(pd.concat([table.head(N)] * 2 + [table.tail(1)]), folder / "train.csv")
    command = ["--dataset", "train.csv", "--label", "kind", "--images", "all", "--epochs", 1, "--iterations", 1, "--quiet",
               "--architecture", "resnet8"]
    told = run([*command[:6], "--inspect"], folder)
    assert "48 samples of 8 × 8 × 1 pixels" in told.out and "1 of 49 pictures are missing" in told.out, told.err
    result = run([*command, "--export", "clean.csv"], folder)
    assert result.code == 0 and result.err == "", result.err
    base = next(folder.glob("results/train/given/*.json")).with_suffix("")
    every = pd.read_csv(f"{base}_out_of_fold.csv", dtype=str)
    assert every["row"].tolist() == [str(n) for n in range(48)] and every["sample"].tolist() == NAMES * 2
    assert pd.read_csv(f"{base}_left_out.csv")["file"].tolist() == ["gone.png"]
    assert "data:image/png" in base.with_name(f"{base.name}_report.html").read_text()
    selected = every["status"] == "selected"
    exported = pd.read_csv(folder / "clean.csv", dtype=str)
    assert exported["id_code"].tolist() == every["sample"][selected].tolist()
    refused_ = run([*command, "--export", "clean.npz"], folder)
    assert refused_.code == 2 and "ends in .csv" in refused_.err
    assert json.loads(base.with_suffix(".json").read_text())["settings"]["images"].endswith("all")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_true_labels_of_a_list(pictures, ending):
    folder, table = pictures
    truth = np.where(np.arange(N) % 3 == 0, "", np.roll(KINDS, 1))
    written(table.assign(truth=truth), folder / f"list{ending}")
    dataset = load.load_dataset(folder / f"list{ending}", "kind", images=str(folder / "all"), true_label="truth")
    names = np.array([*dataset.class_names, ""])
    assert names[dataset.y_train].tolist() == truth.tolist() and (names[dataset.given] == KINDS).all()
    assert "not used: columns 'age'" in dataset.warnings[0]
    # Other truths, or other groups, are other data: a finished run is not reused for them.
    options = {"label": "kind", "images": str(folder / "all"), "true_label": "truth", "group": "age"}
    checksums = {load.facts(folder / f"list{ending}", **options).checksum}
    for changed in ({"truth": KINDS}, {"truth": truth, "age": np.arange(N) // 2}):
        written(table.assign(**{"truth": truth} | changed), folder / f"list{ending}")
        checksums.add(load.facts(folder / f"list{ending}", **options).checksum)
    assert len(checksums) == 3


def shards(folder, columns, names=("train-00000-of-00002", "train-00001-of-00002"), features=None):
    """Write a table of pictures in two parts, as Hugging Face's datasets do; return the folder."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(exist_ok=True)
    for name, part in zip(names, (slice(0, 10), slice(10, N)), strict=True):
        table = pyarrow.table({column: values[part] for column, values in columns.items()})
        if features:
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
    return folder


def test_a_folder_of_parquet_shards(tmp_path):
    import pyarrow.parquet

    columns = {"image": [{"bytes": png(n), "path": f"p{n}.png"} for n in range(N)], "label": (np.arange(N) % 2).tolist()}
    features = {"label": {"names": ["lit", "dark"], "_type": "ClassLabel"}}
    folder = shards(tmp_path / "parts", columns, features=features)
    dataset = load.load_dataset(folder, "label")
    assert (dataset.x_train[..., 0] == [pixels(n) for n in range(N)]).all() and dataset.rows.tolist() == list(range(N))
    assert dataset.class_names[dataset.given].tolist() == ["lit", "dark"] * (N // 2)
    source = Source(path=str(folder), label="label")
    assert load.facts(source).name == "parts"
    rows = np.array([1, 9, 10, 20])
    export._write_rows(tmp_path / "clean.parquet", pictures_of(folder, source), "label", rows, {10: "dark"})
    again = pyarrow.parquet.read_table(tmp_path / "clean.parquet")
    assert again["image"].to_pylist() == [columns["image"][n] for n in rows]
    assert again["label"].to_pylist() == [1, 1, 1, 0]
    before = load.facts(source).checksum
    shards(folder, columns | {"label": columns["label"][::-1]}, features=features)
    assert load.facts(source).checksum != before
    refused(["several tables ('test', 'train')"], shards(tmp_path / "both", columns, ("train-0000", "test-0000")), "label")
    refused(["neither contain nor name pictures"], shards(tmp_path / "plain", {"a": columns["label"]}), "a")
    (folder / "lit").mkdir()  # a folder of images, beside which lies a table
    (folder / "lit/0.png").write_bytes(png(0))
    refused(["--label is for tables"], folder, "label")


def test_first_classes_of_a_list(pictures, tmp_path):
    folder, table = pictures
    for kinds, number, kept in ((np.array(["2", "10", "9"]), 2, ["2", "9"]), (np.array(["b", "10", "a"]), 2, ["10", "a"])):
        kind = kinds[np.arange(N) % 3]
        file = written(table.assign(kind=kind), folder / "list.csv")
        dataset = load.load_dataset(file, "kind", images=str(folder / "all"), classes=number)
        assert dataset.class_names.astype(str).tolist() == kept
        assert dataset.rows.tolist() == [n for n in range(N) if kind[n] in kept]
    refused(["--classes 4", "have 3 classes"], file, "kind", images=str(folder / "all"), classes=4)
    names = ["lit", "dark", "other"]  # the order of the metadata, not of the alphabet
    columns = {"image": [png(n) for n in range(N)], "label": (np.arange(N) % 3).tolist()}
    parts = shards(tmp_path / "parts", columns, features={"label": {"names": names, "_type": "ClassLabel"}})
    dataset = load.load_dataset(parts, "label", classes=2)
    assert dataset.class_names.tolist() == ["dark", "lit"] and (dataset.rows % 3 < 2).all() and len(dataset.rows) == N // 3 * 2
    assert (dataset.x_train[3, ..., 0] == pixels(4)).all()


def test_a_true_label_of_a_class_that_is_not_trained_on_counts_as_wrong(pictures):
    folder, table = pictures
    kind, truth = np.array(["a", "b", "c"])[np.arange(N) % 3], np.array(["a", "b", "c"])[np.arange(N) // 2 % 3]
    truth[:2] = ""
    written(table.assign(kind=kind, truth=truth), folder / "list.csv")
    arguments = ["--dataset", "list.csv", "--label", "kind", "--images", "all", "--classes", 2, "--true_label", "truth"]
    result = run([*arguments, "--architecture", f"{PROJECT / 'tests/networks.py'}:small", "--epochs", 1, "--iterations", 1,
                  "--quiet"], folder)
    assert result.code == 0 and result.err.count("Traceback") == 0, result.err
    [file] = (folder / "results/list/given").glob("INCV_seed0_*.json")
    used, found = kind != "c", pd.read_csv(file.with_suffix(".csv"), keep_default_na=False)
    assert found["y"].tolist() == np.where(truth == "c", "another class", truth)[used].tolist()
    provenance = json.loads(file.read_text())
    assert provenance["flipped"] == ((truth != kind) & (truth != ""))[used].sum()
    assert provenance["true_labels_known"] == (truth != "")[used].sum()
    written(table.assign(kind=kind, truth=np.where(truth == "c", "d", truth)), folder / "list.csv")
    refused(["'d' are not classes of the given labels"], folder / "list.csv", "kind", images=str(folder / "all"), classes=2,
            true_label="truth")


def test_webvision_is_two_commands(tmp_path):
    """The files of WebVision 1.0: lists in info/, of which the second names pictures in another folder."""
    for number in range(N):
        for place in (f"web/google/q{number % 3:04d}", "web/val_images_256"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            (tmp_path / place / f"pic {number}.png").write_bytes(png(number))
    (tmp_path / "web/info").mkdir()
    train, test = tmp_path / "web/info/train_filelist_google.txt", tmp_path / "web/info/val_filelist.txt"
    train.write_text("".join(f"google/q{n % 3:04d}/pic {n}.png {n % 3}\n" for n in range(N)))
    test.write_text("".join(f"pic {n}.png {n % 3}\n" for n in range(5)))
    command = ["--dataset", train, "--images", "web", "--classes", 2, "--iterations", 1, "--batch_size", 8,
               "--no-label_issues", "--architecture", f"{PROJECT / 'tests/networks.py'}:small", "--quiet"]
    found = run([*command, "--epochs", 1], tmp_path)
    assert found.code == 0, found.err
    tested = ["--epochs", 1, "--incv_epochs", 1, "--test_list", test, "--test_images", "web/val_images_256"]
    found = run([*command, *tested], tmp_path, "INCV_main.py")
    assert found.code == 0 and "reusing" in found.out, found.err + found.out
    path = next(tmp_path.glob("results/train_filelist_google/given/INCV_main_*classes_2*.json"))
    settings = json.loads(path.read_text())["settings"]
    assert (settings["classes"], settings["test_list"]) == (2, str(test)) and "test_list" not in path.name
    accuracies = pd.read_csv(path.with_suffix(".csv"))["accuracy_1"] * 4  # of four test pictures: the fifth has another class
    assert (accuracies == accuracies.round()).all()
    (tmp_path / "web/val_images_256/pic 1.png").write_bytes(png(99))
    found = run([*command, *tested], tmp_path, "INCV_main.py")
    assert found.code == 2 and "test_checksum" in found.err and found.err.count("\n") == 1, found.err
    none = tmp_path / "web/info/none.txt"
    none.write_text("pic 2.png 2\n")
    source = Source(path=str(train), images=str(tmp_path / "web"), test_list=str(test))
    for changed, words in (({}, ["--test_list", "give --test_images DIR"]),
                           ({"test_list": "gone.txt"}, ["gone.txt: no such file"]),
                           ({"test_list": str(train)}, ["trained on these pictures"]),
                           ({"test_list": str(none), "test_images": str(tmp_path / "web/val_images_256"), "classes": 2},
                            ["none.txt: none of its pictures has a class"]),
                           ({"test_list": None, "test_images": "x"}, ["give --test_list FILE too"])):
        refused(words, dataclasses.replace(source, **changed))


@pytest.mark.slow
def test_robust_training_predicts_other_pictures(pictures):
    folder, table = pictures
    written(pd.concat([table] * 2), folder / "train.csv")
    command = ["--dataset", "train.csv", "--label", "kind", "--images", "all", "--epochs", 1, "--architecture", "resnet8",
               "--method", "standard", "--quiet"]
    result = run(command, folder, "INCV_main.py")
    assert result.code == 0, result.err
    predicted = run([*command, "--predict", "all"], folder, "INCV_main.py")
    assert predicted.code == 0, predicted.err
    of_folder = pd.read_csv(next(folder.glob("results/train/given/*predictions_all.csv"))).set_index("file")
    assert len(of_folder) == N
    # Another list, in any order and without labels.
    other = table.drop(columns="kind").iloc[[5, 2, 9]]
    written(other, folder / "other.csv")
    predicted = run([*command, "--predict", "other.csv"], folder, "INCV_main.py")
    assert predicted.code == 0, predicted.err
    of_list = pd.read_csv(next(folder.glob("results/train/given/*predictions_other.csv")))
    assert of_list["file"].tolist() == other.iloc[:, 0].tolist()
    by_stem = {Path(name).stem: label for name, label in of_folder["label"].items()}
    assert of_list["label"].tolist() == [by_stem[Path(name).stem] for name in of_list["file"]]
    # Lines have no header: the first one is a picture too.
    (folder / "lines.txt").write_text("".join(f"{name}\tlit\n" for name in other.iloc[:, 0]))
    predicted = run([*command, "--predict", "lines.txt"], folder, "INCV_main.py")
    assert predicted.code == 0, predicted.err
    assert pd.read_csv(next(folder.glob("results/train/given/*predictions_lines.csv"))).equals(of_list)
    written(pd.concat([other, other.head(1).replace(regex={".*": "gone.png"})]), folder / "more.csv")
    refused_ = run([*command, "--predict", "more.csv"], folder, "INCV_main.py")
    assert refused_.code == 2 and refused_.err.count("\n") == 1 and "1 of 4 pictures are missing" in refused_.err
