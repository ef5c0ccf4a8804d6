"""Arrays as a dataset, .npz or .npy: what is found in them, what is refused in one line."""
import dataclasses
import mmap
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from conftest import ONE_EPOCH, SMALL_NETWORK, run, run_refused
from examples import DIGIT_NAMES, X6, X12, Y6, Y12, digit_images, read, refused, samples_read_like, written

from incv import data
from incv.custom_data import arrays, load
from incv.custom_data.source import Source
from incv.runner import noisy_labels


@pytest.mark.parametrize("scale", [lambda x: x, lambda x: (x / 255).astype(np.float32), lambda x: x / 127.5 - 1,
                                   lambda x: (x - x.mean()) / x.std(), lambda x: x.astype(np.uint16) * 257])
def test_arrays_that_were_read_before(tmp_path, scale):
    np.savez(tmp_path / "a.npz", x=scale(X12), y=Y12)
    dataset, warnings = read(tmp_path / "a.npz", None)
    assert dataset.x_train.shape == (12, 8, 8, 1) and not warnings


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("X", "labels"), ("data", "targets"), ("images", "label"),
                                   ("train_images", "train_labels")])
def test_arrays_by_their_usual_names(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (X12, Y12), strict=True)))
    dataset, warnings = read(tmp_path / "a.npz", None)
    assert (dataset.x_train[..., 0] == X12).all() and (dataset.given == Y12).all()
    assert f"the samples are read from array {names[0]!r}, the labels from {names[1]!r}" in warnings


def test_arrays_that_are_not_there(tmp_path):
    np.savez(tmp_path / "a.npz", pictures=X12, y=Y12)
    refused(["no array x", "'pictures', 'y'"], tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(12, 1, 8, 8), (12, 2, 8, 8), (12, 3, 16, 16), (12, 4, 20, 30), (12, 6, 32, 32)])
def test_channels_first_are_refused_with_the_transpose(tmp_path, shape):
    np.savez(tmp_path / "a.npz", x=np.zeros(shape, np.uint8), y=Y12)
    refused(["channels go last", "numpy.transpose(x, (0, 2, 3, 1))"], tmp_path / "a.npz")


def test_arrays_read_as_grey_pictures_are_said(tmp_path):
    rng = np.random.default_rng(0)
    for shape, said in (((50, 2), "grey images of 50 × 2 pixels"), ((8, 8), None), ((50, 2, 1), None), ((9,), None)):
        np.savez(tmp_path / "a.npz", x=rng.normal(size=(20, *shape)), y=np.arange(20) % 2)
        warnings = read(tmp_path / "a.npz", None)[1]
        assert said in warnings and "numpy.reshape(x, (len(x), -1))" in warnings if said else not warnings
        source = Source(path=str(tmp_path / "a.npz"))
        lines = load.inspect(dataclasses.replace(source, facts=load.facts(source)))
        assert not said or any(line.startswith("warning: ") and said in line for line in lines)


def test_large_numbers_keep_their_differences(tmp_path):
    np.savez(tmp_path / "times.npz", x=1.7e9 + np.arange(12.0).reshape(6, 2), y=Y6)
    x = load.load_dataset(tmp_path / "times.npz").x_train
    assert x[:, 0] == pytest.approx((np.arange(6) - 2.5) / np.arange(6).std(), abs=1e-3)
    assert samples_read_like(tmp_path / "times.npz", tmp_path / "times.npz") == pytest.approx(x)


K = np.random.default_rng(0).integers(0, 1000, (12, 8, 8))


@pytest.mark.parametrize("x, words", [
    (np.uint64(2 ** 63) + K.astype(np.uint64), "differ too little for their size"), (2 ** 62 + K, "differ too little"),
    (1e9 + K / 1000, "differ too little"), (1e-310 * K, "too small to compute with"), (1e-36 * K, "too small to compute")])
def test_numbers_that_cannot_be_told_apart_are_refused(tmp_path, x, words):
    np.savez(tmp_path / "a.npz", x=x, y=Y12)
    refused([words, "a.npz"], tmp_path / "a.npz")
    if x.max() > 1 and x.dtype != float or x.max() < 1e-300:  # vectors are computed in float64
        np.savez(tmp_path / "a.npz", x=x.reshape(12, 64), y=Y12)
        refused([words, "column 0 of x"], tmp_path / "a.npz")


def test_samples_of_a_single_value_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((12, 8, 8), 0.5), y=Y12)
    assert "all pixels of x are 0.5: nothing tells its samples apart" in read(tmp_path / "a.npz", None)[1]
    np.savez(tmp_path / "a.npz", x=np.eye(12, 14), y=Y12)
    assert "2 columns of 14 in x with a single value (first: column 12): not used" in read(tmp_path / "a.npz", None)[1]
    np.savez(tmp_path / "a.npz", x=K, y=Y12)
    assert "value" not in read(tmp_path / "a.npz", None)[1]


@pytest.mark.parametrize("in_memory", [2 ** 30, 0])
def test_samples_do_not_change_with_their_file(tmp_path, monkeypatch, in_memory):
    """A small file is read whole; a large one, which does not fit into memory, is copied to a file without a name."""
    monkeypatch.setattr(arrays, "IN_MEMORY", in_memory)
    np.save(tmp_path / "x.npy", X12)
    np.save(tmp_path / "y.npy", Y12)
    source = Source(path=str(tmp_path / "x.npy"), labels=str(tmp_path / "y.npy"))
    load.facts(source)
    x = load.load_dataset(source, scratch=tmp_path).x_train
    base = x
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, (np.memmap, mmap.mmap)) == (in_memory == 0)
    with open(tmp_path / "x.npy", "r+b") as file:
        file.truncate(200)
    assert (x[..., 0] == X12).all() and sorted(os.listdir(tmp_path)) == ["x.npy", "y.npy"]


def test_an_npy_of_samples_beside_one_of_labels(tmp_path):
    x, _, given = (array[:120] for array in digit_images())
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", DIGIT_NAMES[given])
    np.savez(tmp_path / "both.npz", x=x, y=DIGIT_NAMES[given])
    source = Source(path=str(tmp_path / "x.npy"), labels=str(tmp_path / "y.npy"))
    dataset = load.load_dataset(source)
    assert (dataset.x_train[..., 0] == x).all() and (dataset.class_names[dataset.given] == DIGIT_NAMES[given]).all()
    command = ["--dataset", "x.npy", "--labels", "y.npy", "--architecture", SMALL_NETWORK, *ONE_EPOCH]
    result = run([*command, "--export", "kept.npz"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    alike = run(["--dataset", "both.npz", *command[4:]], tmp_path)
    assert alike.code == 0, alike.err
    name = "INCV_seed0_networks_small_epochs1_iterations1.csv"
    one, other = (tmp_path / "results" / each / "given" / name for each in ("x", "both"))
    assert one.read_bytes() == other.read_bytes()
    kept = np.load(tmp_path / "kept.npz")
    every = pd.read_csv(tmp_path / "results/x/given" / name.replace(".csv", "_out_of_fold.csv"))
    issues = (every["issue"] & (every["status"] == "selected")).sum()
    assert f"written: kept.npz ({len(kept['y'])} of 120 samples" in result.out
    assert issues == 0 or f", {issues} label issue" in result.out
    assert (kept["x"] == x[kept["index"]]).all() and (kept["y"] == DIGIT_NAMES[given][kept["index"]]).all()
    # Other labels are other data.
    np.save(tmp_path / "y.npy", DIGIT_NAMES[given][::-1])
    changed = run(command, tmp_path)
    assert changed.code == 2 and "labels differ" in changed.err and changed.err.count("\n") == 1


def test_an_npy_that_cannot_be_used(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((6, 8, 8), np.uint8))
    np.save(tmp_path / "y.npy", np.arange(5) % 2)
    np.save(tmp_path / "objects.npy", np.array([{}, 1, 2, 3, 4, 5], dtype=object), allow_pickle=True)
    run_refused(["--dataset", "x.npy"], tmp_path, "give --labels FILE.npy")
    run_refused(["--dataset", "x.npy", "--labels", "y.npy"], tmp_path, "one label per sample")
    run_refused(["--dataset", "x.npy", "--labels", "objects.npy"], tmp_path, "objects")
    run_refused(["--dataset", "x.npy", "--labels", "nowhere.npy"], tmp_path, "no such file")
    np.save(tmp_path / "y.npy", np.arange(6) % 2)
    run_refused(["--dataset", "x.npy", "--labels", "y.npy", "--group", "who"], tmp_path, "numpy.savez")


def test_labels_that_are_no_npy(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(24.0).reshape(12, 2))
    labels = written(tmp_path / "y.csv", "a\nb\n" * 6)
    refused("y.csv: not an .npy despite its name; save an array", tmp_path / "x.npy", labels=str(labels))


BAD_ARRAYS = {
    "lengths that differ": (dict(x=X6, y=Y6[:5]), "6"),
    "one class": (dict(x=X6, y=np.zeros(6, int)), "one class"),
    "NaN": (dict(x=np.where(np.arange(6) == 4, np.nan, 1.0)[:, None] * np.ones((6, 3)), y=Y6), "first in number 4"),
    "infinite": (dict(x=np.full((6, 3), np.inf), y=Y6), "NaN or infinite"),
    "objects": (dict(x=np.array([None] * 6), y=Y6), "Python objects"),
    "objects as labels": (dict(x=X6, y=np.array(["a", 1, None] * 2, dtype=object)), "Python objects"),
    "labels that are none": (dict(x=X6, y=np.linspace(0, 1, 6)), "are a quantity"),
    "no labels": (dict(x=X6), "no array y"),
    "10,000 classes": (dict(x=np.zeros((20000, 2)), y=np.arange(20000) // 2), "10000 classes"),
    "numbers too large": (dict(x=np.linspace(1e200, 1e300, 12).reshape(6, 2), y=Y6), "another unit"),
    "labels too large": (dict(x=X6, y=np.array([5, 2 ** 64 - 1] * 3, np.uint64)), "too large for a class number"),
    "labels that are infinite": (dict(x=X6, y=np.array([1.0, np.inf] * 3)), "integer or string"),
    "true labels of another type": (dict(x=X6, y=Y6, y_true=Y6.astype(bool)), "use the same type for both"),
    "no samples": (dict(x=X6[:0], y=Y6[:0]), "shape (0, 8, 8)"),
    "true labels of other classes": (dict(x=X6, y=Y6, y_true=Y6 + 1), "y_true"),
    "test data without labels": (dict(x=X6, y=Y6, x_test=X6), "y_test"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_one_line(name, tmp_path):
    arrays, word = BAD_ARRAYS[name]
    np.savez(tmp_path / "bad.npz", **arrays)
    assert run_refused(["--dataset", "bad.npz"], tmp_path, "bad.npz", word, fresh=True).seconds < 4


def test_files_that_are_no_arrays_are_one_line(tmp_path):
    np.save(tmp_path / "one.npy", X6)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    np.savez_compressed(tmp_path / "damaged.npz", x=np.random.default_rng(0).random((50, 4)), y=np.arange(50) % 2)
    content = bytearray((tmp_path / "damaged.npz").read_bytes())
    content[200:240] = bytes(40)
    (tmp_path / "damaged.npz").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "members.npz", "w") as archive:
        archive.writestr("x", "no array")
        archive.writestr("y", "none either")
    (tmp_path / "text.npz").write_text("text")
    for name in ("one", "damaged", "members", "text"):
        with pytest.raises(data.DataError, match=f"{name}.npz: (cannot be read|contains Python objects|no .npz)"):
            load.facts(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "more.npz", x=X6, y=Y6, meta=np.array([{}], dtype=object))
    run_refused(["--dataset", "more.npz", "--export", "kept.npz"], tmp_path, "more.npz", "Python objects")


@pytest.mark.parametrize("header", ["'shape': (60, -1)", "'shape': (99999999999999999999, 2)", "'shape': 5", "[[[["])
def test_a_forged_header_of_an_array_is_one_line(tmp_path, header):
    text = f"{{'descr': '<f8', 'fortran_order': False, {header}, }}".encode().ljust(117) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text + bytes(480))
    np.save(tmp_path / "y.npy", np.arange(60) % 2)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.write(tmp_path / "x.npy", "x.npy")
        archive.write(tmp_path / "y.npy", "y.npy")
    for read_it in (lambda: arrays.read_npy(tmp_path / "x.npy", "r"), lambda: data.read_arrays(tmp_path / "x.npz"),
                    lambda: noisy_labels.read(tmp_path / "x.npy", [6] * 10)):
        with pytest.raises(data.DataError):
            read_it()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(tmp_path):
    np.savez(tmp_path / "t.npz", x=X6, y=Y6)
    with zipfile.ZipFile(tmp_path / "t.npz", "a") as archive:
        archive.writestr("x.npy", archive.read("x.npy"))
    refused("2 arrays are called 'x'", tmp_path / "t.npz")
