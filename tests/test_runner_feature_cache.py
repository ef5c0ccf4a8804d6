"""Features are computed in blocks: a kill costs one block, and the bytes are those of an unbroken computation."""
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import run, start
from examples import random_picture

from incv.custom_data import feature_file
from incv.runner import files

# At the second block that is recorded, the process ends as by a kill, if the file `kill` exists.
NETWORK = """
import os, signal, sys
from pathlib import Path
import keras

recorded, KILL = [], Path("ki" + "ll")  # a file that the code named would count as weights

def hook(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith(".done") and KILL.exists():
        recorded.append(arguments)
        if len(recorded) == 3:
            KILL.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)

def net():
    images = keras.Input((8, 8, 3))
    return keras.Model(images, keras.layers.Dense(5)(keras.layers.Flatten()(images)))
"""
COMMAND = ["--dataset", "p", "--features", "net.py:net", "--iterations", 1, "--epochs", 1, "--quiet", "--no-label_issues"]
TARGET = "results/p/features_net_net.npz"


def prepared(folder):
    """600 pictures, two of which cannot be read, and the network."""
    folder.mkdir()
    for number in range(600):
        place = folder / "p" / "ab"[number % 2] / f"{number:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        random_picture(number).save(place)
    for name in ("a/100", "b/501"):  # whose end is missing, as only decoding finds
        place = folder / "p" / f"{name}.jpg"
        random_picture(0, (64, 64)).save(place)
        place.write_bytes(place.read_bytes()[:place.stat().st_size // 2])
        place.with_suffix(".png").unlink()
    (folder / "net.py").write_text(NETWORK)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder in which the features were computed at once."""
    folder = prepared(tmp_path_factory.mktemp("cache") / "whole")
    result = run(COMMAND, folder)
    assert result.code == 0 and "2 files not used: not a readable image" in result.out, result.err
    return folder


@pytest.mark.slow
def test_a_killed_computation_resumes_to_the_same_bytes(whole, tmp_path):
    folder = prepared(tmp_path / "killed")
    (folder / "kill").touch()
    result = run(COMMAND, folder)
    assert result.code == 2 and result.err.count("\n") == 1 and "the same command resumes" in result.err, result.err
    assert str(-signal.SIGKILL) in result.err and not (folder / TARGET).exists()
    result = run(COMMAND, folder)
    assert result.code == 0 and "resuming after 512 of 600 images" in result.out, result.out
    assert "598 × 5 features" in result.out, result.out
    assert (folder / TARGET).read_bytes() == (whole / TARGET).read_bytes()
    assert [file.name for file in (folder / "results/p").iterdir() if file.is_file()] == ["features_net_net.npz"]


@pytest.mark.parametrize("seconds, kept", [(0, 8), (1000, 0)])
def test_a_slow_network_is_interrupted_at_the_loss_of_seconds_not_of_a_block(seconds, kept, tmp_path, monkeypatch):
    from incv.runner import feature_cache

    class Network:
        shape, width, calls = (2, 2, 3), 5, 0

        def fitting(self, images):
            return images

        def __call__(self, images):
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return np.ones((len(images), 5), dtype=np.float32)

    monkeypatch.setattr(feature_cache, "SECONDS", seconds)
    stream = SimpleNamespace(number=40, scale=255, images=lambda first, shape: iter(np.zeros((40 - first, *shape))))
    request = SimpleNamespace(stream=stream, target=tmp_path / "f.npz", network=SimpleNamespace(name="net"), made_from="a",
                              strict=False, deadline=None)
    with pytest.raises(KeyboardInterrupt):
        feature_cache._append(request, Network(), SimpleNamespace(show=lambda *where: None), 4)
    assert feature_cache._done(files.beside(request.target, ".rows"), files.beside(request.target, ".done"), "a", 5) == kept


def test_images_that_cannot_be_read_have_no_vector(whole):
    found = feature_file.read(whole / TARGET)
    assert found.x.shape == (598, 5) and np.isfinite(found.x).all()
    assert not {"a/100.jpg", "b/501.jpg"} & set(found.file) and len(set(found.file)) == 598


def test_a_second_command_waits_for_the_first(whole, tmp_path):
    folder = prepared(tmp_path / "second")
    target = folder / TARGET
    with files.locked(target):
        process = start(COMMAND, folder)
        assert "waiting for another command, which computes" in process.stdout.readline()
        target.write_bytes((whole / TARGET).read_bytes())
    out, err = process.communicate()
    assert process.returncode == 0 and "reusing" in out and "written: " in out, err
    assert not files.beside(target, ".lock").exists()


def test_rows_of_other_images_or_of_another_length_are_not_resumed(tmp_path):
    from incv.runner import feature_cache

    rows, record = tmp_path / "rows", tmp_path / "done"
    rows.write_bytes(bytes(4 * 5 * 10))
    record.write_text('{"made_from": "a", "width": 5, "done": 10}')
    assert feature_cache._done(rows, record, "a", 5) == 10
    assert feature_cache._done(rows, record, "b", 5) == feature_cache._done(rows, record, "a", 4) == 0
    rows.write_bytes(bytes(4 * 5 * 9))
    assert feature_cache._done(rows, record, "a", 5) == 0
    record.write_text("damaged")
    assert feature_cache._done(rows, record, "a", 5) == 0
