"""A custom network, --architecture FILE.py:FUNCTION: trained, resumed, saved, predicted with, and refused."""
import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import FOLDER, PROJECT, run, start

from incv import data, utils
from incv.runner import custom_network

utils.start_backend(threads=2)

import keras  # noqa: E402

from incv import training  # noqa: E402
from incv.runner import networks  # noqa: E402

# A class and a file beside it, dropout, and batch normalisation with a momentum of its own.
NETWORK = """
import keras
from keras import layers
from beside import WIDTH

class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x

def tiny(input_shape, num_classes, seed):
    images = keras.Input(input_shape)
    x = layers.BatchNormalization(momentum=0.5)(layers.Conv2D(WIDTH, 3)(images))
    x = layers.Dropout(0.3)(Doubled()(layers.Flatten()(layers.ReLU()(x))))
    return keras.Model(images, layers.Dense(num_classes)(x))

def softmax(input_shape, num_classes, seed):
    return keras.Sequential([layers.Flatten(), layers.Dense(num_classes, activation="softmax")])

def inner_softmax(input_shape, num_classes, seed):
    return keras.Sequential([keras.Input(input_shape), softmax(input_shape, num_classes, seed)])

def seven(input_shape, num_classes, seed):
    return keras.Sequential([layers.Flatten(), layers.Dense(7)])

def large(input_shape, num_classes, seed):
    return keras.Sequential([keras.Input((9, 9, 1)), layers.Flatten(), layers.Dense(num_classes)])

def layer(input_shape, num_classes, seed):
    return layers.Dense(num_classes)

def half(input_shape, num_classes, seed):
    return keras.Sequential([layers.Flatten(), layers.Dense(num_classes, dtype="float16")])

def fails(input_shape, num_classes, seed):
    return [][seed + 1]
"""
RUN = ["--dataset", "digits", "--subset", 300, "--architecture", "nets/net.py:tiny", "--learning_rate", 0.01, "--epochs", 4]
METHODS = ["--method", "gce", "elr"]
NAME = "INCV_main_seed0_{}_net_tiny_epochs4_learning_rate0.01_subset300"


def write(folder):
    (folder / "nets").mkdir()
    (folder / "nets" / "net.py").write_text(NETWORK)
    (folder / "nets" / "beside.py").write_text("WIDTH = 8\n")
    return folder / "nets" / "net.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of runs of INCV_main.py with the network tiny, GCE and ELR."""
    folder = tmp_path_factory.mktemp("network")
    write(folder)
    done = run([*RUN, *METHODS, "--quiet"], folder, "INCV_main.py")
    assert done.code == 0 and done.err == "", done.err
    return folder


def test_recorded_named_and_saved_as_it_is(finished):
    path = finished / FOLDER / NAME.format("gce")
    found = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert found["settings"]["architecture"] == "net.py:tiny" and len(found["settings"]["architecture_checksum"]) == 64
    assert found["settings"]["bn_momentum"] == found["differs_from_published"]["bn_momentum"]["here"] == "the network's own"
    # Its schedule, too: 80, 120, 160, 180 of 200 epochs are 2, 2, 3, 4 of 4; all learning rates are ten times the published.
    assert found["settings"]["learning_rate"] == 0.01 and found["settings"]["schedule"].startswith("learning rate drops from")
    table = pd.read_csv(path.with_name(f"{path.name}.csv"))
    assert table["learning_rate"].tolist() == pytest.approx([0.01, 0.01, 1e-4, 1e-5])
    assert found["learning_rates"] == {"1": 0.01, "3": pytest.approx(1e-4), "4": pytest.approx(1e-5)}
    custom_network.load(str(finished / "nets" / "net.py"), "net.py:tiny", found["settings"]["architecture_checksum"])
    saved = keras.models.load_model(path.with_name(f"{path.name}_network1.keras"),
                                    custom_objects=custom_network.classes("net.py:tiny"))
    dataset = data.load("digits")
    p = saved.predict(dataset.x_test, verbose=0)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-4)
    assert (p.argmax(axis=1) == dataset.y_test).mean() == pytest.approx(table["accuracy_1"].iloc[-1])
    inner = saved.layers[-2]
    assert [layer.momentum for layer in inner.layers if hasattr(layer, "moving_mean")] == [0.5]


def test_what_others_report(finished):
    path = finished / FOLDER / NAME.format("elr")
    found, table = json.loads(path.with_name(f"{path.name}.json").read_text()), pd.read_csv(path.with_name(f"{path.name}.csv"))
    best = found["best_epoch"]
    assert best["chosen_on"] == "test data" and best["accuracy_mean"] == table["accuracy_mean"].max()
    assert best["epoch"] == table["accuracy_mean"].argmax() + 1
    assert found["mean_of_last_epochs"] == {"epochs": 4, "accuracy_1": pytest.approx(table["accuracy_1"].mean()),
                                            "accuracy_mean": pytest.approx(table["accuracy_mean"].mean())}
    assert found["derived"] == {"elr_lambda": 3.0, "elr_beta": 0.7}
    fraction = found["accuracy_on_noisy_training_labels"]["accuracy_mean"]
    assert 0.1 < fraction < 1 and fraction * 300 == pytest.approx(round(fraction * 300))


@pytest.mark.slow
def test_stopped_after_each_epoch_it_ends_with_the_same_bytes(finished, tmp_path):
    """With dropout, whose random state belongs to the checkpoint, and the targets of ELR; killed once, too."""
    write(tmp_path)
    process = start([*RUN, *METHODS], tmp_path, "INCV_main.py")
    assert any("elr epoch 2/4" in line for line in process.stdout)
    process.kill()
    process.communicate()
    stopped = run([*RUN, *METHODS, "--time_limit", 0.0001], tmp_path, "INCV_main.py")
    assert stopped.code == 0, stopped.err
    last = run([*RUN, *METHODS], tmp_path, "INCV_main.py")
    assert last.code == 0 and "resuming at epoch" in last.out, last.err
    for method in ("gce", "elr"):
        file = f"{FOLDER}/{NAME.format(method)}.csv"
        assert (tmp_path / file).read_bytes() == (finished / file).read_bytes()


@pytest.mark.slow
def test_predicted_with_from_its_file_and_refused_with_another(finished, tmp_path):
    dataset = data.load("digits")
    np.savez(finished / "unseen.npz", x=dataset.x_test)
    done = run([*RUN, "--method", "elr", "--predict", "unseen.npz"], finished, "INCV_main.py")
    assert done.code == 0 and done.err == "", done.err
    table = pd.read_csv(finished / FOLDER / f"{NAME.format('elr')}_predictions_unseen.csv")
    accuracy = pd.read_csv(finished / FOLDER / f"{NAME.format('elr')}.csv")["accuracy_1"].iloc[-1]
    assert (table["label"] == dataset.y_test).mean() == accuracy
    other = write(tmp_path)
    other.write_text(NETWORK + "# changed\n")
    bad = run([*RUN[:5], other.as_posix() + ":tiny", *RUN[6:], "--method", "elr"], finished, "INCV_main.py")
    assert bad.code == 2 and bad.err.count("\n") == 1 and "architecture_checksum" in bad.err


def test_wrong_files_are_one_line(tmp_path):
    write(tmp_path)
    (tmp_path / "broken.py").write_text("def f(:\n")
    for arguments, words in (("--architecture nets/net.py", "give FILE.py:FUNCTION"),
                             ("--architecture no.py:f", "no such file"),
                             ("--architecture nets/net.py:resnet", "defines tiny, softmax"),
                             ("--architecture broken.py:f", "is not Python"), ("--architecture resnet", "FILE.py:FUNCTION"),
                             ("--architecture nets/net.py:tiny --precision bfloat16", "--precision bfloat16"),
                             ("--learning_rate 0", "--learning_rate")):
        bad = run(["--dataset", "digits", *arguments.split()], tmp_path)
        assert bad.code == 2 and bad.err.count("\n") == 1 and words in bad.err, bad.err


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A function that loads one of the functions of NETWORK; returns its name in the settings."""
    file = write(tmp_path_factory.mktemp("loaded"))

    def load(function, path=file):
        path, settings = custom_network.find(f"{path}:{function}")
        custom_network.load(path, settings["architecture"], settings["architecture_checksum"])
        return settings["architecture"]

    return load


@pytest.mark.parametrize("function, words", [
    ("softmax", "ends in a softmax: it must end in logits"), ("inner_softmax", "ends in a softmax"),
    ("seven", "to (None, 7): it must be from (None, 8, 8, 1) to (None, 10)"), ("large", "rejects samples of shape (8, 8, 1)"),
    ("layer", "returned Dense: it must return a keras.Model"), ("half", "dtype=\"float32\""),
    ("fails", "net.py, line 35: raises IndexError: list index out of range")])
def test_an_unsuitable_network_is_one_line(loaded, function, words):
    with pytest.raises(utils.UserError, match=re.escape(words)) as error:
        networks.build_custom(loaded(function), (8, 8, 1), 10, 0)
    assert "\n" not in str(error.value)


def test_a_file_whose_code_fails_is_one_line(tmp_path):
    write(tmp_path).write_text("def tiny(input_shape, num_classes, seed):\n    pass\n\nraise ValueError('two\\nlines')\n")
    result = run(RUN, tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and "line 4: raises ValueError: two lines" in result.err


def test_weights_follow_from_the_seed_alone(loaded):
    """Though the function does not use it."""
    name = loaded("tiny")
    first, again, other = (networks.build_custom(name, (8, 8, 1), 10, seed).get_weights() for seed in (5, 5, 6))
    assert all((a == b).all() for a, b in zip(first, again, strict=True)) and (first[0] != other[0]).any()


def test_the_state_holds_that_of_random_layers(loaded):
    trainer, _ = training.make_trainer(networks.build_custom(loaded("tiny"), (8, 8, 1), 10, 1), 16)
    x, y = np.zeros((4, 8, 8, 1), np.uint8), np.arange(4)
    still = training.augmentation(np.random.default_rng(0), 4, 8, 0, False)
    trainer.train_on_batch([x, still], y)
    state = training.get_state(trainer)
    drawn = [float(trainer.train_on_batch([x, still], y)) for _ in range(2)]
    training.set_state(trainer, state)
    assert (training.get_state(trainer) == state).all()
    assert [float(trainer.train_on_batch([x, still], y)) for _ in range(2)] == drawn


@pytest.mark.slow
def test_a_network_of_keras_applications(tmp_path):
    """MobileNet for the digits, as docs/own_network.md shows it; its batch normalisation keeps its momentum."""
    code = re.search(r"```python\n(import keras\n.*?)```", (PROJECT / "docs/own_network.md").read_text(), flags=re.DOTALL)[1]
    (tmp_path / "my_networks.py").write_text(code)
    arguments = [*RUN[:4], "--architecture", "my_networks.py:mobilenet", "--epochs", 1, "--quiet"]
    done = run([*arguments, "--method", "standard"], tmp_path, "INCV_main.py")
    assert done.code == 0 and done.err == "", done.err
    np.savez(tmp_path / "few.npz", x=data.load("digits").x_test[:5])
    done = run([*arguments, "--method", "standard", "--predict", "few.npz"], tmp_path, "INCV_main.py")
    assert done.code == 0 and done.err == "", done.err
    file = next((tmp_path / FOLDER).glob("*.keras"))
    script = ("import keras, sys; momenta = set()\nfor layer in keras.models.load_model(sys.argv[1])._flatten_layers():\n"
              "    momenta |= {layer.momentum} if hasattr(layer, 'moving_mean') else set()\nprint(momenta)")
    printed = subprocess.run([sys.executable, "-I", "-c", script, file], text=True, capture_output=True,
                             env=os.environ | {"KERAS_BACKEND": "tensorflow"})
    assert printed.stdout == "{0.99}\n", printed.stderr
