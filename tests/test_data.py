"""Datasets: the real files, everything that may be wrong with them, the fixed split of the digits, and human labels."""
import errno
import functools
import hashlib
import http.server
import json
import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import ONE_EPOCH, PROJECT, SMALL_NETWORK, run, run_refused
from examples import flipped

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


def test_cifar100_is_read_in_its_layout(small_cifar100):
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
    """Unpickled by the ordinary loader, this calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_planted_pickle_never_runs(tmp_path, monkeypatch):
    harm = tmp_path / "harm"
    raw = pickle.dumps({b"data": Planted(os.mkdir, str(harm))}, protocol=2)
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


def test_real_cifar10_is_read_whole(cifar10):
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
    (folder / "data_batch_1").write_bytes(pickle.dumps(Planted(os.mkdir, str(folder / "harm"))))
    return "data_batch_1"


@pytest.mark.parametrize("damage", [damage_truncate, damage_swap, damage_tamper, damage_remove, damage_plant])
def test_damaged_batches_are_named(cifar10, tmp_path, damage):
    folder = tmp_path / "cifar-10-batches-py"
    shutil.copytree(cifar10 / "cifar-10-batches-py", folder)
    culprit = damage(folder)
    result = run(["--data_dir", tmp_path, "--results_dir", tmp_path / "results"], tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and culprit in result.err and "again" in result.err
    assert not (tmp_path / "results").exists() and not (folder / "harm").exists()


def test_the_split_of_the_digits_is_fixed_and_balanced():
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


def test_the_sizes_of_the_classes_are_those_of_the_data():
    assert np.bincount(data.load("digits").y_train).tolist() == data.CLASS_SIZES["digits"]
    assert all(sum(sizes) == data.SIZES[name][0] and len(sizes) == data.SIZES[name][1]
               for name, sizes in data.CLASS_SIZES.items())


def test_images_for_which_the_disk_has_no_room(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(data.DataError, match="no room for 2.0 GB of decoded images .No space left"):
        data.in_a_file((2 ** 11, 2 ** 20), tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "endless device"])
def test_what_is_no_regular_file_is_not_read(tmp_path, kind):
    trap = tmp_path / "2.png"
    os.mkfifo(trap) if kind == "fifo" else trap.symlink_to("/dev/zero")
    os.mkfifo(f"{trap}.pt")
    for reading in (lambda: data.read_arrays(trap), lambda: data.human_labels(f"{trap}.pt", "a")):
        with pytest.raises(data.DataError, match="not a regular file"):
            reading()


# --- human labels -----------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_human_labels_of_cifar10_are_used_and_another_order_is_refused(cifar10, tmp_path):
    y = data.load("cifar10", cifar10).y_train
    worse = flipped(y, 10)
    np.savez(tmp_path / "human.npz", clean_label=y, worse_label=worse, aggre_label=flipped(y, 10, 1))
    options = ["--noise_pattern", "human", "--labels", "human.npz", "--subset", 200, "--architecture", SMALL_NETWORK,
               *ONE_EPOCH, "--data_dir", cifar10]
    result = run([*options, "--label_set", "worse_label"], tmp_path)
    assert result.code == 0 and result.err == "" and "LP " in result.out, result.err
    base = tmp_path / "results/cifar10/human/worse_label/INCV_seed0_networks_small_epochs1_iterations1_subset200"
    table, index = pd.read_csv(f"{base}.csv"), pd.read_csv(f"{base}_index.csv")["index"]
    assert (table["y"] == y[index]).all() and (table["y_noisy"] == worse[index]).all() and len(table) == 200
    said = run([*options, "--label_set", "best_label"], tmp_path)
    assert said.code == 2 and said.err.count("\n") == 1 and "aggre_label, worse_label" in said.err
    np.savez(tmp_path / "human.npz", clean_label=np.roll(y, 1), aggre_label=worse)
    said = run(options, tmp_path)
    assert said.code == 2 and said.err.count("\n") == 1 and "another order" in said.err
    with pytest.raises(data.DataError, match="another dataset"):
        data.human_labels(tmp_path / "human.npz", "aggre_label", y[:100])


def write_pt(file, content):
    """A .pt as PyTorch writes it: a zip with one pickle of protocol 2; the published ones are of NumPy 1."""
    raw = pickle.dumps(content, protocol=2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", raw)
        archive.writestr("archive/version", "3\n")


def test_a_pt_file_is_read_without_pytorch(tmp_path):
    """The layout of the published CIFAR-10_human.pt, whose pickle names four constructors, and no other kind of content."""
    file = tmp_path / "CIFAR-10_human.pt"
    labels = {"clean_label": np.arange(300) % 10, "worse_label": (np.arange(300)[::-1] % 10).copy()}
    write_pt(file, labels)
    named = set(re.findall(rb"c([\w.]+)\n(\w+)\n", zipfile.ZipFile(file).read("archive/data.pkl")))
    assert named == {(b"numpy.core.multiarray", b"_reconstruct"), (b"numpy", b"ndarray"), (b"numpy", b"dtype"),
                     (b"_codecs", b"encode")}
    program = ("import sys; sys.modules['torch'] = None; from incv import data;"
               f"print(data.human_labels({str(file)!r}, 'worse_label').tolist())")
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, text=True, capture_output=True)
    assert done.returncode == 0 and json.loads(done.stdout) == labels["worse_label"].tolist(), done.stderr
    for content in ({"worse_label": np.linspace(0, 1, 9)}, {"worse_label": SimpleNamespace()}, {"worse_label": [1, 2]},
                    {"worse_label": np.arange(9, dtype=">i8")}, [1, 2]):
        write_pt(file, content)
        with pytest.raises(data.DataError, match="cannot be read as arrays of labels"):
            data.human_labels(file, "worse_label")
    for raw in (b"PK", b"", pickle.dumps(labels)):
        file.write_bytes(raw)
        with pytest.raises(data.DataError, match="cannot be read as arrays of labels"):
            data.human_labels(file, "worse_label")
    with pytest.raises(data.DataError, match="order of TensorFlow Datasets"):
        data.human_labels(tmp_path / "CIFAR-10_human_ordered.npy", "worse_label")


def test_a_pickle_planted_in_a_pt_file_never_runs(tmp_path):
    file, written = tmp_path / "CIFAR-10_human.pt", tmp_path / "written"
    for planted in (Planted(os.system, f"touch {written}"), Planted(eval, f"open({str(written)!r}, 'w')"),
                    Planted(np.fromfile, str(written)), Planted(open, str(written), "w")):
        write_pt(file, {"worse_label": np.arange(10), "clean_label": planted})
        with pytest.raises(data.DataError, match="does not belong in a file of arrays"):
            data.human_labels(file, "worse_label")
        run_refused(["--noise_pattern", "human", "--labels", file], tmp_path, "does not belong in a file of arrays")
        assert not written.exists()
    pickle.loads(pickle.dumps(Planted(open, str(written), "w")))  # the ordinary loader runs it
    assert written.exists()


def test_an_unknown_dataset_is_named(tmp_path):
    for call in (lambda: data.load("CIFAR10"), lambda: data.find("mnist", tmp_path)):
        with pytest.raises(data.DataError, match="unknown dataset '.*': give one of cifar10, cifar100, digits$"):
            call()
