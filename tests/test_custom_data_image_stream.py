"""What a network that computes features sees: photos at its own size, in order, from any position on."""
import dataclasses

import numpy as np
import pytest
from examples import N, folder_of_pictures, list_written, png, random_picture, shards
from PIL import Image

from incv import data
from incv.custom_data import load
from incv.custom_data.source import Source


def stream_of(path, **options):
    return load.stream(Source(path=str(path), **options))


def test_photos_come_at_the_size_of_the_network_not_of_the_report(tmp_path):
    folder = folder_of_pictures(tmp_path, lambda image, place: image.resize((90, 70)).save(place))
    stream = stream_of(folder)
    first = next(stream.images(0, (48, 48, 3)))
    with Image.open(folder / stream.keys["files"][0]) as image:
        expected = np.asarray(image.convert("RGB").resize((48, 48), Image.Resampling.BILINEAR))
    assert (first == expected).all() and load.load_dataset(folder).x_train.shape[1:] == (32, 32, 3)
    assert stream.keys["files"].tolist() == load.load_dataset(folder).names.tolist() and stream.scale == 255


def test_a_stream_begins_anywhere_and_marks_what_cannot_be_read(tmp_path):
    folder = folder_of_pictures(tmp_path)
    stream = stream_of(folder)
    shape, every = (8, 8, 3), list(stream.images(0, (8, 8, 3)))
    assert len(every) == stream.number == 6
    assert all((one == other).all() for one, other in zip(every[4:], stream.images(4, shape), strict=True))
    whole = (folder / "a/0.png").read_bytes()
    (folder / "a/0.png").write_bytes(whole[:len(whole) // 2])
    assert [image is None for image in stream.images(0, shape)] == [True] + 5 * [False]


def test_pictures_in_a_parquet_and_in_a_list(tmp_path, pictures):
    folder, table = pictures
    list_written(table, folder / "l.csv")
    of_list = stream_of(folder / "l.csv", label="kind", images=str(folder / "all"))
    parts = shards(tmp_path / "parts", {"image": [png(number) for number in range(N)], "kind": table["kind"].tolist()})
    of_parquet = stream_of(parts, label="kind")
    for stream in (of_list, of_parquet):
        assert stream.keys["rows"].tolist() == list(range(N))
        images = list(stream.images(20, (8, 8, 1)))
        assert len(images) == 4
    assert all((one == other).all() for one, other in zip(images, of_list.images(20, (8, 8, 1)), strict=True))


def test_labels_and_groups_of_a_list_change_nothing_pictures_do(pictures):
    folder, table = pictures
    list_written(table, folder / "l.csv")
    source = Source(path=str(folder / "l.csv"), label="kind", images=str(folder / "all"))
    before = load.stream(source).checksum
    assert load.stream(dataclasses.replace(source, group="age")).checksum == before
    table.loc[3, "kind"] = "lit"
    list_written(table, folder / "l.csv")
    assert load.stream(source).checksum == before
    random_picture(99).save(folder / "all" / "0003.png")
    assert load.stream(source).checksum != before


def test_arrays_come_as_they_are_then_those_of_the_test(tmp_path):
    x = np.random.default_rng(0).random((9, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=[0, 1, 0, 1, 0, 1, 0, 1, 2], x_test=x[:2], y_test=[0, 1])
    stream = stream_of(tmp_path / "d.npz")
    images = list(stream.images(0, (96, 96, 3)))
    assert stream.number == len(images) == 10 and stream.test == 2 and stream.keys["rows"].tolist() == list(range(8))
    assert images[0].shape == (8, 8, 1) and stream.scale == pytest.approx(x[:8].max())
    assert (images[-1][..., 0] == x[1]).all() and (next(stream.images(9, None)) == images[-1]).all()


def test_vectors_are_no_images(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((8, 5)), y=np.arange(8) % 2)
    with pytest.raises(data.DataError, match="its samples are vectors"):
        stream_of(tmp_path / "d.npz")
