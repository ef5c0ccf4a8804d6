"""Datasets: the real files, everything that may be wrong with them, and the fixed split of the digits."""
import functools
import hashlib
import http.server
import os
import pickle
import resource
import shutil
import tarfile
import threading

import numpy as np
import pytest
from conftest import run

from incv import data


def random_pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 3072), dtype=np.uint8)


@pytest.fixture
def small_cifar100(tmp_path, monkeypatch):
    """A folder with a small CIFAR-100, whose checksums take the place of the published ones."""
    folder = tmp_path / "given" / "cifar-100-python"
    folder.mkdir(parents=True)
    pixels = random_pixels()
    raw = published_layout(pixels, range(20), b"fine_labels")
    for name in ("train", "test"):
        (folder / name).write_bytes(raw)
        monkeypatch.setitem(data.CIFAR["cifar100"], name, {name: hashlib.md5(raw).hexdigest()})
    return folder, pixels


def published_layout(pixels, labels, label_key):
    """Pickle protocol 2 with the opcodes of the published batches: the array by numpy.core.multiarray._reconstruct."""
    n = len(pixels)
    array = (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01M" + n.to_bytes(2, "little")
             + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
             + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
             + pixels.size.to_bytes(4, "little") + pixels.tobytes() + b"tb")
    listing = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return (b"\x80\x02}(U\x04data" + array + b"U" + bytes([len(label_key)]) + label_key + listing + b"u.")


def test_cifar100_layout(small_cifar100):
    folder, pixels = small_cifar100
    dataset = data.load("cifar100", folder.parent)
    assert dataset.x_train.shape == (20, 32, 32, 3) and dataset.x_train.dtype == np.uint8
    assert dataset.y_train.tolist() == list(range(20)) and dataset.num_classes == 100
    # The file holds the red, green and blue planes one after the other, rows first.
    assert dataset.x_train[7, 3, 5].tolist() == [pixels[7, plane * 1024 + 3 * 32 + 5] for plane in range(3)]
    # The folder of the batches itself may be named, too.
    assert data.load("cifar100", folder).checksum == dataset.checksum


def test_labels_out_of_range_are_refused(tmp_path, monkeypatch):
    raw = published_layout(random_pixels(), [200] * 20, b"fine_labels")
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(raw)
        monkeypatch.setitem(data.CIFAR["cifar100"], name, {name: hashlib.md5(raw).hexdigest()})
    with pytest.raises(data.DataError, match="labels are not one in"):
        data.load("cifar100", tmp_path)


class Planted:
    """Unpickled by pickle.load, this makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_planted_pickle_never_runs(tmp_path, monkeypatch):
    harm = tmp_path / "harm"
    raw = pickle.dumps({b"data": Planted(harm)}, protocol=2)
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(data.DataError, match="not the published file"):
        data.load("cifar100", tmp_path)
    # Not even where the checksum is no obstacle.
    for name in ("train", "test"):
        monkeypatch.setitem(data.CIFAR["cifar100"], name, {name: hashlib.md5(raw).hexdigest()})
    with pytest.raises(pickle.UnpicklingError, match="does not belong"):
        data.load("cifar100", tmp_path)
    assert not harm.exists()


def test_real_cifar10(cifar10):
    dataset = data.load("cifar10", cifar10)
    assert dataset.x_train.shape == (50000, 32, 32, 3) and dataset.x_test.shape == (10000, 32, 32, 3)
    assert np.bincount(dataset.y_train).tolist() == [5000] * 10 and np.bincount(dataset.y_test).tolist() == [1000] * 10
    # The published mean of each colour over the training images, in [0, 1].
    means = dataset.x_train.mean(axis=(0, 1, 2)) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)


def damage_truncate(folder):
    path = folder / "data_batch_3"
    path.write_bytes(path.read_bytes()[:1000])
    return "data_batch_3"


def damage_swap(folder):
    (folder / "data_batch_1").rename(folder / "spare")
    (folder / "data_batch_2").rename(folder / "data_batch_1")
    (folder / "spare").rename(folder / "data_batch_2")
    return "data_batch_1"


def damage_tamper(folder):
    path = folder / "test_batch"
    raw = bytearray(path.read_bytes())
    raw[-1000] ^= 1
    path.write_bytes(raw)
    return "test_batch"


def damage_remove(folder):
    (folder / "data_batch_5").unlink()
    return "data_batch_5"


def damage_plant(folder):
    (folder / "data_batch_1").write_bytes(pickle.dumps(Planted(folder / "harm")))
    return "data_batch_1"


@pytest.mark.parametrize("damage", [damage_truncate, damage_swap, damage_tamper, damage_remove, damage_plant])
def test_damaged_batches_are_named(cifar10, tmp_path, damage):
    folder = tmp_path / "cifar-10-batches-py"
    shutil.copytree(cifar10 / "cifar-10-batches-py", folder)
    culprit = damage(folder)
    result = run(["--data_dir", tmp_path, "--results_dir", tmp_path / "results"], tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and culprit in result.err and "again" in result.err
    assert not (tmp_path / "results").exists() and not (folder / "harm").exists()


def test_digits():
    dataset = data.load("digits")
    assert dataset.x_train.shape == (1500, 8, 8, 1) and dataset.x_test.shape == (297, 8, 8, 1)
    assert dataset.x_train.dtype == np.uint8 and dataset.x_train.max() == dataset.pixel_max == 16
    assert not dataset.flip and dataset.shift == 1
    shares = np.bincount(dataset.y_train) / 1500 - np.bincount(dataset.y_test) / 297
    assert np.abs(shares).max() < 0.003
    assert data.load("digits").checksum == dataset.checksum


def test_subset_is_balanced_seeded_and_ascending():
    y = np.repeat(np.arange(4), [10, 20, 30, 40])
    draw = functools.partial(data.class_balanced_subset, y)
    index = draw(42, np.random.default_rng(0))
    assert sorted(np.bincount(y[index])) == [10, 10, 11, 11] and (np.diff(index) > 0).all()
    assert (index == draw(42, np.random.default_rng(0))).all() and (index != draw(42, np.random.default_rng(1))).any()
    # A class that runs out gives all it has; the others stay level.
    assert np.bincount(y[draw(70, np.random.default_rng(0))]).tolist() == [10, 20, 20, 20]
    assert (draw(100, np.random.default_rng(0)) == np.arange(100)).all()
    for size in (7, 101):
        with pytest.raises(ValueError, match="not between"):
            draw(size, np.random.default_rng(0))


@pytest.fixture
def server(tmp_path):
    """A web server on loopback over a folder; yields (its address, the folder)."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/", folder
        running.shutdown()


def test_download_checks_and_extracts(server, small_cifar100, tmp_path, monkeypatch):
    address, served = server
    batches, pixels = small_cifar100
    with tarfile.open(served / "cifar-100-python.tar.gz", "w:gz") as tar:
        tar.add(batches, "cifar-100-python")
    md5 = hashlib.md5((served / "cifar-100-python.tar.gz").read_bytes()).hexdigest()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "URL", address)
    with pytest.raises(data.DataError, match="MD5"):
        data.load("cifar100")  # what is served is not the published archive
    assert not (tmp_path / "data").exists()
    monkeypatch.setitem(data.CIFAR["cifar100"], "archive", ("cifar-100-python.tar.gz", md5))
    assert data.load("cifar100").x_train.shape == (20, 32, 32, 3)
    # The second time nothing is fetched.
    monkeypatch.setattr(data, "URL", "http://127.0.0.1:9/")
    assert data.load("cifar100").x_train.shape == (20, 32, 32, 3)


def test_a_half_extracted_folder_is_no_obstacle(small_cifar100, tmp_path, monkeypatch):
    batches, _ = small_cifar100
    archive = batches.parent / "cifar-100-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(batches, "cifar-100-python")
    monkeypatch.setitem(data.CIFAR["cifar100"], "archive", (archive.name, hashlib.md5(archive.read_bytes()).hexdigest()))
    (batches / "test").unlink()
    (batches.parent / "test").mkdir()  # a folder that has the name of a file means nothing
    assert len(data.load("cifar100", batches.parent).y_test) == 20
    assert sorted(path.name for path in batches.iterdir()) == ["test", "train"]


def test_a_disk_that_fills_up_while_extracting_leaves_no_part(small_cifar100, monkeypatch):
    batches, _ = small_cifar100
    archive = batches.parent / "cifar-100-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(batches, "cifar-100-python")
    monkeypatch.setitem(data.CIFAR["cifar100"], "archive", (archive.name, hashlib.md5(archive.read_bytes()).hexdigest()))
    shutil.rmtree(batches)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):  # one line by run_command, which does not blame the archive
            data.load("cifar100", batches.parent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(batches.iterdir()) and archive.exists()


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "http://nonsense:port"])
def test_without_network_one_line_says_what_to_put_where(tmp_path, proxy):
    nowhere = {"https_proxy": proxy, "HTTPS_PROXY": proxy}
    result = run([], tmp_path, environment=nowhere)
    assert result.code == 2 and result.err.count("\n") == 1
    assert "cifar-10-python.tar.gz" in result.err and "data/" in result.err
    assert not list(tmp_path.iterdir())
