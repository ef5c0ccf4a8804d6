"""A custom network, --architecture FILE.py:FUNCTION: trained, resumed, saved, predicted with, and refused."""
import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import FOLDER, NETWORK_METHODS, NETWORK_RUN, NETWORK_RUN_NAME, ONE_EPOCH, PROJECT, one_line, run, start
from examples import NETWORKS, contents, write_networks

from incv import data, utils
from incv.runner import custom_network

utils.start_backend(threads=2)

import keras  # noqa: E402


def test_recorded_named_and_saved_as_it_is(network_runs):
    path = network_runs / FOLDER / NETWORK_RUN_NAME.format("gce")
    found = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert found["settings"]["architecture"] == "net.py:tiny" and len(found["settings"]["architecture_checksum"]) == 64
    assert found["settings"]["bn_momentum"] == found["differs_from_published"]["bn_momentum"]["here"] == "the network's own"
    # Its schedule, too: 80, 120, 160, 180 of 200 epochs are 2, 2, 3, 4 of 4; all learning rates are ten times the published.
    assert found["settings"]["learning_rate"] == 0.01 and found["settings"]["schedule"].startswith("learning rate drops from")
    table = pd.read_csv(path.with_name(f"{path.name}.csv"))
    assert table["learning_rate"].tolist() == pytest.approx([0.01, 0.01, 1e-4, 1e-5])
    assert found["learning_rates"] == {"1": 0.01, "3": pytest.approx(1e-4), "4": pytest.approx(1e-5)}
    custom_network.load(str(network_runs / "nets" / "net.py"), "net.py:tiny", found["settings"]["architecture_checksum"])
    saved = keras.models.load_model(path.with_name(f"{path.name}_network1.keras"),
                                    custom_objects=custom_network.classes("net.py:tiny"))
    dataset = data.load("digits")
    p = saved.predict(dataset.x_test, verbose=0)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-4)
    assert (p.argmax(axis=1) == dataset.y_test).mean() == pytest.approx(table["accuracy_1"].iloc[-1])
    inner = saved.layers[-2]
    assert [layer.momentum for layer in inner.layers if hasattr(layer, "moving_mean")] == [0.5]


@pytest.mark.slow
def test_stopped_after_each_epoch_it_ends_with_the_same_bytes(network_runs, tmp_path):
    """With dropout, whose random state belongs to the checkpoint, and the targets of ELR; killed once, too."""
    write_networks(tmp_path)
    process = start([*NETWORK_RUN, *NETWORK_METHODS], tmp_path, "INCV_main.py")
    assert any("elr epoch 2/4" in line for line in process.stdout)
    process.kill()
    process.communicate()
    stopped = run([*NETWORK_RUN, *NETWORK_METHODS, "--time_limit", 0.0001], tmp_path, "INCV_main.py")
    assert stopped.code == 0, stopped.err
    last = run([*NETWORK_RUN, *NETWORK_METHODS], tmp_path, "INCV_main.py")
    assert last.code == 0 and "resuming at epoch" in last.out, last.err
    for method in ("gce", "elr"):
        file = f"{FOLDER}/{NETWORK_RUN_NAME.format(method)}.csv"
        assert (tmp_path / file).read_bytes() == (network_runs / file).read_bytes()


@pytest.mark.slow
def test_predicted_with_from_its_file_and_refused_with_another(network_runs, tmp_path):
    dataset = data.load("digits")
    np.savez(network_runs / "unseen.npz", x=dataset.x_test)
    done = run([*NETWORK_RUN, "--method", "elr", "--predict", "unseen.npz"], network_runs, "INCV_main.py")
    assert done.code == 0 and done.err == "", done.err
    table = pd.read_csv(network_runs / FOLDER / f"{NETWORK_RUN_NAME.format('elr')}_predictions_unseen.csv")
    accuracy = pd.read_csv(network_runs / FOLDER / f"{NETWORK_RUN_NAME.format('elr')}.csv")["accuracy_1"].iloc[-1]
    assert (table["label"] == dataset.y_test).mean() == accuracy
    other = write_networks(tmp_path)
    other.write_text(NETWORKS + "# changed\n")
    bad = run([*NETWORK_RUN[:5], other.as_posix() + ":tiny", *NETWORK_RUN[6:], "--method", "elr"], network_runs,
              "INCV_main.py")
    assert bad.code == 2 and bad.err.count("\n") == 1 and "architecture_checksum" in bad.err


def test_wrong_files_are_one_line(tmp_path):
    write_networks(tmp_path)
    (tmp_path / "broken.py").write_text("def f(:\n")
    for arguments, words in (("--architecture nets/net.py", "give FILE.py:FUNCTION"),
                             ("--architecture no.py:f", "no such file"),
                             ("--architecture nets/net.py:resnet", "defines tiny, softmax"),
                             ("--architecture broken.py:f", "is not Python"), ("--architecture resnet", "FILE.py:FUNCTION"),
                             ("--architecture nets/net.py:tiny --precision bfloat16", "--precision bfloat16"),
                             ("--learning_rate 0", "--learning_rate")):
        bad = run(["--dataset", "digits", *arguments.split()], tmp_path)
        assert bad.code == 2 and bad.err.count("\n") == 1 and words in bad.err, bad.err


def test_a_file_whose_code_fails_is_one_line(tmp_path):
    write_networks(tmp_path).write_text(
        "def tiny(input_shape, num_classes, seed):\n    pass\n\nraise ValueError('two\\nlines')\n")
    result = run(NETWORK_RUN, tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and "line 4: raises ValueError: two lines" in result.err


@pytest.mark.slow
def test_a_network_of_keras_applications(tmp_path):
    """MobileNet for the digits, as docs/own_network.md shows it; its batch normalisation keeps its momentum."""
    code = re.search(r"```python\n(import keras\n.*?)```", (PROJECT / "docs/own_network.md").read_text(), flags=re.DOTALL)[1]
    (tmp_path / "my_networks.py").write_text(code)
    arguments = [*NETWORK_RUN[:4], "--architecture", "my_networks.py:mobilenet", "--epochs", 1, "--quiet"]
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


@pytest.mark.slow
def test_a_network_that_cannot_be_built_any_more_removes_no_result(tmp_path):
    """The command with --overwrite builds it, in another process, before it removes the earlier run."""
    code = ("import keras\nfrom keras import layers\n\n\ndef net(shape, classes, seed):\n"
            "    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(classes)])\n")
    (tmp_path / "own.py").write_text(code)
    command = ["--dataset", "digits", "--subset", 20, *ONE_EPOCH, "--architecture", "own.py:net"]
    assert run(command, tmp_path).code == 0
    before = contents(tmp_path / "results")
    (tmp_path / "own.py").write_text(code.replace("Dense", "Dnse"))
    one_line(run([*command, "--overwrite"], tmp_path), "own.py", "AttributeError")
    assert contents(tmp_path / "results") == before
    (tmp_path / "own.py").write_text(code + "\n")
    assert run([*command, "--overwrite"], tmp_path).code == 0
