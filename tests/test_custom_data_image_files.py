"""Image files: their pixels as a viewer shows them, and which files are opened at all."""
import os

import numpy as np
import pandas as pd
import pytest
from examples import folder_of_pictures, random_picture, read
from PIL import Image

from incv import data, utils
from incv.custom_data import image_files, load


@pytest.mark.parametrize("turned, how", [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90),
                                         (8, Image.Transpose.ROTATE_270)])
def test_photographs_are_turned_as_their_exif_says(tmp_path, turned, how):
    upright = load.load_dataset(folder_of_pictures(tmp_path / "upright")).x_train

    def save(image, place):
        exif = Image.Exif()
        exif[0x0112] = turned
        image.transpose(how).save(place, exif=exif)

    dataset, warnings = read(folder_of_pictures(tmp_path / "turned", save), None)
    assert (dataset.x_train == upright).all() and "6 images oriented by their EXIF data" in warnings


def test_transparent_images_lie_on_white(tmp_path):
    def save(image, place):
        image.putalpha(Image.fromarray(np.where(np.arange(64).reshape(8, 8) < 32, 0, 255).astype(np.uint8)))
        image.save(place)

    dataset, warnings = read(folder_of_pictures(tmp_path, save), None)
    assert (dataset.x_train[:, :4] == 255).all() and (dataset.x_train[:, 4:] < 255).any()
    assert "6 images drawn on white" in warnings
    palette = Image.fromarray(np.zeros((8, 8), np.uint8), "P")
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "p" / "a" / "9.png", transparency=0)
    assert (load.load_dataset(tmp_path / "p").x_train[3] == 255).all()


def test_formats_are_told_by_content(tmp_path):
    place = folder_of_pictures(tmp_path)
    files = (("jfif", "jpeg"), ("avif", "avif"), ("JPG", "webp"), ("png", "bmp"), ("tif", "tiff"))
    for number, (ending, kind) in enumerate(files):
        random_picture(number).save(place / "a" / f"x{number}.{ending}", kind)
    random_picture(9).convert("CMYK").save(place / "b" / "cmyk.jpg")
    assert len(load.load_dataset(place).given) == 12 and set(image_files.FORMATS) >= {"AVIF", "WEBP"}


def test_formats_are_those_of_the_documentation():
    assert set(image_files.IMAGE_FILES) == {f".{each}" for each in [
        "png", "jpg", "jpeg", "jfif", "bmp", "gif", "tif", "tiff", "webp", "avif"]}


def test_pages_after_the_first_are_told(listed):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    first.save(listed / "pics" / "3.tiff", save_all=True, append_images=[second])
    first.save(listed / "pics" / "4.gif", save_all=True, append_images=[second])
    first.save(listed / "pics" / "5.gif")
    table = pd.read_csv(listed / "list.csv").replace({f"pics/{i}.png": f"pics/{i}.{end}"
                                                       for i, end in ((3, "tiff"), (4, "gif"), (5, "gif"))})
    table.to_csv(listed / "list.csv", index=False)
    dataset = load.load_dataset(listed / "list.csv", "label")
    assert [line for line in dataset.warnings if "pages" in line] == [
        f"{listed}: 2 files with several pages or frames: the first one is used"]
    assert (dataset.x_train[3] == [254, 0, 0]).all() or (dataset.x_train[3] == [255, 0, 0]).all()


def test_images_are_resized_where_they_differ_and_may_wait_on_the_disk(tmp_path, monkeypatch):
    utils.start_backend(threads=2)
    rng = np.random.default_rng(0)
    for number in range(6):
        (tmp_path / "photos" / "xy"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
            tmp_path / "photos" / "xy"[number % 2] / f"{number}.png")
    assert load.facts(tmp_path / "photos").shape == (40, 50, 3)
    assert load.facts(tmp_path / "photos", image_size=20).shape == (20, 20, 3)
    dataset = load.load_dataset(tmp_path / "photos")
    assert dataset.names.tolist() == ["x/0.png", "x/2.png", "x/4.png", "y/1.png", "y/3.png", "y/5.png"]
    assert (dataset.x_train[1] == np.asarray(Image.open(tmp_path / "photos/x/2.png"))).all()
    assert dataset.given.tolist() == [0, 0, 0, 1, 1, 1] and dataset.flip and dataset.shift == 5
    monkeypatch.setattr(image_files, "IN_MEMORY", 1000)
    on_disk = load.load_dataset(tmp_path / "photos", scratch=tmp_path)
    assert isinstance(on_disk.x_train, np.memmap) and (on_disk.x_train == dataset.x_train).all()
    some = data.part(on_disk, np.array([5, 0]))
    assert isinstance(some.x_train, np.memmap) and (some.x_train == dataset.x_train[[5, 0]]).all()
    assert some.names.tolist() == ["y/5.png", "x/0.png"] and some.given.tolist() == [1, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
    Image.new("RGB", (90, 30)).save(tmp_path / "photos/x/wide.png")
    assert load.facts(tmp_path / "photos").shape == (32, 32, 3)


# --- files that are not opened ----------------------------------------------------------------------------------------

def test_only_documented_formats_are_opened_whatever_a_file_is_called(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was called"))
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / name / f"{number}.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / "a" / "trap.eps")
    (tmp_path / "pictures" / "a" / "trap.eps").rename(tmp_path / "pictures" / "a" / "trap.png")
    dataset = load.load_dataset(tmp_path / "pictures")
    assert len(dataset.given) == 4 and dataset.left_out == {"a/trap.png": "not a readable image"}


@pytest.mark.parametrize("kind", ["fifo", "endless device"])
def test_what_is_no_regular_file_is_no_picture(tmp_path, kind):
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "pictures" / name / f"{number}.png")
    trap = tmp_path / "pictures" / "a" / "2.png"
    os.mkfifo(trap) if kind == "fifo" else trap.symlink_to("/dev/zero")
    dataset = load.load_dataset(tmp_path / "pictures")
    assert len(dataset.given) == 4 and dataset.left_out == {"a/2.png": "empty, too large, or not a regular file"}
