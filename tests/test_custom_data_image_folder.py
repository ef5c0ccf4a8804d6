"""Folders of images, a subfolder a class: which files are used, which folders are refused."""
import os

import numpy as np
import pytest
from conftest import run_refused
from examples import folder_of_pictures, random_picture, read, refused, save_picture
from PIL import Image

from incv import data
from incv.custom_data import image_folder, load


def test_files_that_are_not_used_are_counted_by_kind(tmp_path):
    place = folder_of_pictures(tmp_path)
    (place / "a" / ".ipynb_checkpoints").mkdir()
    random_picture(0).save(place / "a" / ".ipynb_checkpoints" / "0-checkpoint.png")
    (place / "__MACOSX").mkdir()
    (place / "__MACOSX" / "._0.png").write_bytes(b"")
    (place / "README.txt").write_text("about")
    random_picture(0).save(place / "loose.png")
    (place / "a" / "scan.heic").write_bytes(b"heic")
    (place / "b" / "notes.txt").write_text("mine")
    (place / "b" / ".DS_Store").write_text("system")
    whole = (place / "a" / "2.png").read_bytes()
    (place / "a" / "cut.png").write_bytes(whole[:80])
    (place / "a" / "text.png").write_text("no picture")
    (place / "b" / "linked.jpg").symlink_to(place / "b" / "1.png")
    (place / "b" / "again").symlink_to(place / "b", target_is_directory=True)
    dataset, warnings = read(place, None)
    assert dataset.names.tolist() == ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png", "b/5.png", "b/linked.jpg"]
    assert dataset.left_out == {
        "a/.ipynb_checkpoints/0-checkpoint.png": "hidden or of the system", "b/.DS_Store": "hidden or of the system",
        "__MACOSX/._0.png": "hidden or of the system", "README.txt": "not in the folder of a class",
        "loose.png": "not in the folder of a class", "a/scan.heic": "a .heic file", "b/notes.txt": "a .txt file",
        "a/cut.png": "not a readable image", "a/text.png": "not a readable image"}
    assert "3 files not used: hidden" in warnings and "1 file not used: a .heic file" in warnings


def test_quotes_and_commas_in_names_of_files(tmp_path):
    (tmp_path / "it's, here").mkdir()
    place = folder_of_pictures(tmp_path / "it's, here")
    random_picture(7).save(place / "a" / 'quote", comma.png')
    assert 'a/quote", comma.png' in load.load_dataset(place).names.tolist()


def test_classes_whose_names_cannot_be_decoded_stay_apart(tmp_path):
    for number, name in enumerate((b"\xe9", b"\xe8", b"plain")):
        folder = os.fsencode(tmp_path) + b"/pictures/" + name
        os.makedirs(folder)
        for copy in range(2):
            Image.fromarray(np.full((8, 8), 40 * number + copy, np.uint8)).save(folder.decode(errors="surrogateescape") +
                                                                                f"/{copy}.png")
    assert load.facts(tmp_path / "pictures").num_classes == 3
    dataset = load.load_dataset(tmp_path / "pictures")
    assert dataset.class_names.tolist() == ["\\xe8", "\\xe9", "plain"] and len(set(dataset.names)) == 6


def class_folders(folder, **names):
    for name, number in names.items():
        place = folder / name.replace("__", "/")
        place.mkdir(parents=True)
        for i in range(number):
            Image.fromarray(np.full((8, 8, 3), 20 * i, dtype=np.uint8)).save(place / f"{i}.png")


def test_a_class_of_damaged_images_and_results_in_the_folder(tmp_path):
    class_folders(tmp_path, a=3, b=3)
    (tmp_path / "results" / "x" / "given").mkdir(parents=True)
    (tmp_path / "results" / "x" / "given" / "INCV_seed0.lock").touch()
    assert load.facts(str(tmp_path)).class_names.tolist() == ["a", "b"]
    for file in (tmp_path / "b").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(data.DataError, match="b: none of its images can be read"):
        load.facts(str(tmp_path))


def test_bad_folders_are_one_line(tmp_path):
    folder = tmp_path / "images"
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (8, 8), 80 * number).save(folder / label / f"{number}.png")
    (folder / "b" / "notes.txt").write_text("not an image, and not taken for one")
    assert load.facts(folder).size == 6
    before = load.facts(folder).checksum
    (folder / "a" / "1.png").write_bytes((folder / "a" / "2.png").read_bytes())
    assert load.facts(folder).checksum != before
    Image.fromarray(np.full((8, 8), 300, np.uint16)).save(folder / "a" / "deep.png")
    run_refused(["--dataset", "images"], tmp_path, "deep.png", "8 bits")
    (folder / "a" / "deep.png").unlink()
    (folder / "c").mkdir()
    run_refused(["--dataset", "images"], tmp_path, "c: contains no image")
    parts = folder / "c" / "table.parquet"  # as Spark names a folder of parts
    parts.mkdir()
    (parts / "part-0.parquet").touch()
    run_refused(["--dataset", "images"], tmp_path, "c: contains .parquet files", f"give --dataset {parts}\n")
    (folder / "c").rename(folder / "label=c")
    run_refused(["--dataset", "images"], tmp_path, "in parts by 'label'", f"pandas.read_parquet({str(folder)!r}).to_parquet(")
    run_refused(["--dataset", "elsewhere"], tmp_path, "no such dataset", "cifar10")
    run_refused(["--dataset", "images/a"], tmp_path, "no subfolder")


# --- folders above the classes ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("parts", [("train", "val", "test"), ("Training", "Validation")])
def test_parts_above_the_classes_are_refused(tmp_path, parts):
    for part in parts:
        folder_of_pictures(tmp_path / "all" / part)
        (tmp_path / "all" / part / "p").rename(tmp_path / "all" / part / "q")
    refused(["are parts of a dataset, not classes", f"all/{parts[0]}"], tmp_path / "all")


def test_parts_of_a_dataset_beside_another_folder(tmp_path):
    class_folders(tmp_path / "p", train__a=3, train__b=3, val__a=2, val__b=2, sample=2)
    with pytest.raises(data.DataError, match="parts of a dataset.*p/train"):
        load.facts(str(tmp_path / "p"))
    class_folders(tmp_path / "q", training_set__a=3, training_set__b=3, test_set__a=2, test_set__b=2)
    with pytest.raises(data.DataError, match="q/training_set"):
        load.facts(str(tmp_path / "q"))


@pytest.mark.parametrize("files, give", [
    ([f"seg_{part}/seg_{part}/{end}{i}.png" for part, end in (("train", "a/"), ("train", "b/"), ("test", "a/"), ("pred", ""))
      for i in range(2)], "seg_train"),
    ([f"{place}/{i}.png" for place in ("Train/0", "Train/1", "Test", "Meta") for i in range(2)], "Train"),
    ([f"photos/{place}/{i}.png" for place in "ab" for i in range(2)], "photos")])
def test_folders_above_the_classes_are_refused(tmp_path, files, give):
    for file in files:
        save_picture(tmp_path / "f" / file)
    refused(f"give --dataset {tmp_path / 'f' / give}", tmp_path / "f")


def test_variants_above_the_classes_and_masks_are_told(tmp_path):
    for place in ("color", "grey"):
        for name in "ab":
            save_picture(tmp_path / "f" / place / name / "1.png")
            save_picture(tmp_path / "f" / place / name / "2.png")
    assert any("if subfolders are the classes" in line for line in load.load_dataset(tmp_path / "f").warnings)
    for name in "ab":
        for end in ("1", "1_mask", "2", "unmasked"):
            save_picture(tmp_path / "g" / name / f"x ({end}).png".replace("_mask).", ")_mask."))
    warnings = load.load_dataset(tmp_path / "g").warnings
    assert any("2 images such as 'a/x (1)_mask.png' may be masks" in line for line in warnings), warnings


def test_a_link_to_a_folder_above_puts_no_class_into_another(tmp_path):
    place = folder_of_pictures(tmp_path)
    (place / "a" / "up").symlink_to(place, target_is_directory=True)
    (place / "b" / "top").symlink_to(tmp_path, target_is_directory=True)
    found = image_folder.scan(str(place))
    assert set(found.files) == {"a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png", "b/5.png"}
    assert found.left_out == dict.fromkeys(["a/up", "b/top"], "a link to a folder above")
