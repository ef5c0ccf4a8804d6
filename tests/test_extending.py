"""CONTRIBUTING.md: a noise pattern, a network and a method are entered in one file each, and everything else follows."""
import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

import noise
from conftest import PROJECT

PATTERN = """    "pair": Pattern("to the next two classes", flip=lambda c: sum(np.roll(np.eye(c), k, 1) for k in (1, 2)) / 2,
                    others=lambda c: 2, pairwise=False),
"""
NETWORK = '"linear": "images", '
LINEAR = """
def linear(input_shape, num_classes, seed=0, momentum=0.9, stock=False, dtype="float32", masked=False):
    images = keras.Input(input_shape)
    return keras.Model(images, layers.Dense(num_classes)(layers.Flatten()(images)))


def build("""
METHOD = """    "smoothing": {
        "label": "Label smoothing", "color": "C6", "networks": 1, "options": [], "needs_ratio": False, "published": {}},
"""
SMOOTHING = """
def smoothing(dataset, y_noisy, settings, stage):
    network = make_network(dataset, settings, 1)

    def loss(labels, logits):
        targets = 0.9 * ops.one_hot(ops.cast(labels, "int32"), dataset.num_classes) + 0.1 / dataset.num_classes
        return ops.categorical_crossentropy(targets, logits, from_logits=True)

    trainer, _ = training.make_trainer(network, dataset.pixel_max, loss)
    return Method(trainer, [network], lambda epoch, *rest: one_epoch(
        trainer, dataset, y_noisy, np.arange(len(y_noisy)), settings, *rest), len(y_noisy))


def make("""


@pytest.fixture
def extended(tmp_path):
    """A copy of the project in which one file each has one of the three more."""
    for file in [*PROJECT.glob("*.py"), *PROJECT.glob("*.jinja"), PROJECT / "published.json"]:
        shutil.copy(file, tmp_path)
    for name, changes in (("noise", [('    "human": Pattern', PATTERN)]),
                          ("models", [('"dense": "table"', NETWORK), ("\ndef build(", None)]),
                          ("methods", [('    "standard": {', METHOD), ("\ndef make(", None)])):
        source = (tmp_path / f"{name}.py").read_text()
        for before, new in changes:
            assert source.count(before) == 1
            function = {"\ndef build(": LINEAR, "\ndef make(": SMOOTHING}.get(before)
            source = source.replace(before, function or new + before)
        (tmp_path / f"{name}.py").write_text(source)
    return tmp_path


@pytest.mark.slow
def test_each_is_entered_in_one_file(extended):
    def run(script, *arguments):
        done = subprocess.run([sys.executable, script, *map(str, arguments)], cwd=extended, text=True, capture_output=True,
                              env=os.environ | {"KERAS_BACKEND": "tensorflow"})
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout

    assert all(name in run("INCV_main.py", "--help") for name in ("smoothing", "linear", "pair: to the next two classes"))
    small = ["--dataset", "digits", "--noise_pattern", "pair", "--noise_ratio", 0.2, "--architecture", "linear", "--quiet"]
    run("INCV_main.py", *small, "--epochs", 2, "--incv_epochs", 25, "--iterations", 1, "--method", "smoothing", "incv")
    run("Verify_Theory.py", *small, "--epochs", 2)
    folder = extended / "results" / "digits" / "pair" / "0.2"
    table = pd.read_csv(extended / "results" / "table.csv")
    assert table["method"].tolist() == ["incv", "smoothing"] and set(table["noise"]) == {"pair 0.2"}
    assert (extended / "results/digits/INCV_main_methods_linear_epochs2_incv_epochs25_iterations1.png").exists()
    # Labels drawn from the matrix of the new pattern, and the theory that follows from it.
    y, y_noisy = pd.read_csv(folder / "INCV_seed0_linear_epochs25_iterations1.csv")[["y", "y_noisy"]].to_numpy().T
    assert set((y_noisy - y) % 10) == {0, 1, 2}
    theory = json.loads((folder / "Verify_Theory_seed0_linear_epochs2.json").read_text())["theory"]
    assert theory["accuracy"] == pytest.approx(.8 ** 2 + .2 ** 2 / 2)
    assert "pair" not in noise.PATTERNS
