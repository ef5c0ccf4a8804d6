"""--features NAME: one line where the network or its weights are missing; computed once, for all that needs the features."""
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, one_line, run, run_in_a_second, run_refused
from examples import digit_images, folder_of_pictures, save_picture
from PIL import Image

from incv import registry, utils
from incv.custom_data import feature_file, load
from incv.custom_data.source import Source
from incv.runner import pretrained

# Custom networks: of patches, of images of any size; weights beside the code.
NETWORKS = """
import keras
import numpy
from keras import layers

def patches():
    images = keras.Input((8, 8, 1))
    return keras.Model(images, layers.Flatten()(layers.AveragePooling2D(2)(images)))

def colours():
    images = keras.Input((None, None, 3))
    return keras.Model(images, layers.GlobalAveragePooling2D()(images))

def no_network():
    return numpy.load("weights.npy")
"""
GIVEN = "results/pics/given"
QUICK = ["--dataset", "pics", "--features", "net.py:patches", "--iterations", 1, "--epochs", 3, "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 digits as pictures of 16 × 16 in pics/, others in new/, net.py; what the first command printed."""
    folder = tmp_path_factory.mktemp("pretrained")
    x, y, _ = digit_images()
    for number in range(70):
        below = folder / (f"pics/d{y[number] % 3}" if number < 60 else "new")
        below.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[number]).resize((16, 16)).save(below / f"{number:02d}.png")
    (folder / "net.py").write_text(NETWORKS)
    result = run([*QUICK, "--seed", 0, 1], folder)
    assert result.code == 0 and result.err == "", result.err
    return folder, result


@pytest.fixture
def copied(folder, tmp_path):
    shutil.copytree(folder[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def vectors_of(folder):
    with np.load(folder / "results/pics/features_net_patches.npz") as found:
        return dict(found)


# --- computed once ----------------------------------------------------------------------------------------------------

def test_a_sweep_computes_features_once_and_trains_on_them(folder):
    place, result = folder
    assert result.out.count("written: ") == 3 and "features_net_patches.npz (0.0 MB), 60 × 16 features by" in result.out
    found = vectors_of(place)
    first = load.load_dataset(place / "pics", image_size=8).x_train / 255
    assert np.allclose(found["x"], first.reshape(60, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(60, 16), atol=1e-5)
    for seed in (0, 1):
        settings = json.loads((place / GIVEN / f"INCV_seed{seed}_epochs3_iterations1_features_net_patches.json").read_text())[
            "settings"]
        assert settings["features"] == "net.py:patches" and settings["architecture"] == "linear"
        assert settings["features_checksum"] == feature_file.checksum(place / "results/pics/features_net_patches.npz")


@pytest.mark.slow
def test_workers_train_on_the_features_that_this_process_had_computed(copied):
    result = run([*QUICK, "--seed", 2, 3, "--n_jobs", 2], copied, fresh=True)
    assert result.code == 0 and result.err == "" and result.out.count("reusing") == 1, result.err
    assert len(list((copied / GIVEN).glob("*_report.html"))) == 4


@pytest.mark.slow
def test_robust_training_and_predictions_reuse_them(copied):
    result = run([*QUICK, "--incv_epochs", 3], copied, "INCV_main.py")
    assert result.code == 0 and "reusing" in result.out and "features by" not in result.out, result.err
    result = run([*QUICK, "--incv_epochs", 3, "--predict", "new"], copied, "INCV_main.py")
    assert result.code == 0, result.err
    predicted = pd.read_csv(next(copied.glob(f"{GIVEN}/*_predictions_new.csv")))
    assert predicted["file"].tolist() == [f"new/{number}.png" for number in range(60, 70)]
    # The pictures of the training set get the features that they were trained on.
    np.savez(copied / "grey.npz", x=np.stack([np.asarray(Image.open(file)) for file in sorted((copied / "new").iterdir())]))
    assert run([*QUICK, "--incv_epochs", 3, "--predict", "grey.npz"], copied, "INCV_main.py").code == 0
    of_array = pd.read_csv(next(copied.glob(f"{GIVEN}/*_predictions_grey.csv")))
    assert np.abs(of_array.filter(like="p(") - predicted.filter(like="p(")).to_numpy().max() < 0.1
    (copied / "new" / "broken.png").write_bytes(b"no image")
    one_line(run([*QUICK, "--incv_epochs", 3, "--predict", "new"], copied, "INCV_main.py"), "new/broken.png: not a readable")


@pytest.mark.slow
def test_other_pictures_or_another_network_are_computed_again(copied):
    before = vectors_of(copied)
    save_picture(copied / "pics" / "d0" / "new.png", (9, 9, 9), 16)
    result = run([*QUICK, "--seed", 5], copied)
    assert result.code == 0 and "61 × 16 features" in result.out, result.err
    (copied / "net.py").write_text(NETWORKS.replace("AveragePooling2D(2)", "MaxPooling2D(2)"))
    one_line(run([*QUICK, "--seed", 5], copied), "features_checksum")
    result = run([*QUICK, "--seed", 6], copied)
    assert result.code == 0 and "written: " in result.out and len(vectors_of(copied)["x"]) == 61, result.err
    assert not np.array_equal(vectors_of(copied)["x"][:60], before["x"])


def test_files_that_the_code_names_count_as_weights(copied):
    (copied / "net.py").write_text(NETWORKS)
    assert "weights.npy" in NETWORKS and not (copied / "weights.npy").exists()
    before = pretrained._of_code(copied / "net.py")
    (copied / "weights.npy").write_bytes(b"1")
    after = pretrained._of_code(copied / "net.py")
    (copied / "weights.npy").write_bytes(b"2")
    assert len({before, after, pretrained._of_code(copied / "net.py")}) == 3


# --- names and weights ------------------------------------------------------------------------------------------------

def test_what_is_no_network_is_refused_within_a_second(tmp_path):
    folder_of_pictures(tmp_path)
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((8, 5)), y=np.arange(8) % 2)
    (tmp_path / "cut.keras").write_bytes(b"no network")
    for dataset, value, words in (
            ("p", "mobilenetv2", "no such network, did you mean MobileNetV2?"), ("p", "CLIP", "give MobileNetV3Small, "),
            ("p", "net.keras", "no such file"), ("p", "net.py:f", "no such file"), ("d.npz", "MobileNetV2", "has no images"),
            ("p", "cut.keras", "not a whole .keras file")):
        run_refused(["--dataset", dataset, "--features", value], tmp_path, f"--features {value}: ", words)
        if dataset == "p":
            run_refused(["--dataset", dataset, "--features", value, "--inspect"], tmp_path, f"--features {value}: ", words)
    assert run_in_a_second(["--dataset", "p", "--features", "VGG1"], tmp_path).seconds < 1
    assert "EfficientNetV2B0 78.7 %, 20 ms" in " ".join(run_in_a_second(["--help"], tmp_path).out.split())


def test_missing_weights_are_named_in_one_line(tmp_path):
    """No network here: what is downloaded comes from a port at which nothing listens."""
    folder_of_pictures(tmp_path)
    nothing = {name: "http://127.0.0.1:9" for name in ("https_proxy", "HTTPS_PROXY")}
    result = run(["--dataset", "p", "--features", "MobileNetV2"], tmp_path,
                 environment=nothing | {"KERAS_HOME": str(tmp_path / "home")})
    one_line(result, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5 (ProxyError): put this file into",
             str(tmp_path / "home" / "models"), "KERAS_HOME", "--features FILE.npz")
    assert result.seconds < 10 and not (tmp_path / "results").exists()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A KERAS_HOME with untrained weights of MobileNetV2 where Keras expects those from ImageNet; what Keras reads there.

    A process of its own, because Keras reads KERAS_HOME once.
    """
    home = tmp_path_factory.mktemp("home")
    script = """
import os, sys
import keras, numpy
network = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3))
os.mkdir(sys.argv[1] + "/models")
for name in sys.argv[2:]:
    network.save(f"{sys.argv[1]}/models/{name}")
of_keras = keras.applications.MobileNetV2(include_top=False, pooling="avg", input_shape=(96, 96, 3))
assert all((one == other).all() for one, other in zip(network.get_weights(), of_keras.get_weights(), strict=True))
x = 255 * numpy.random.default_rng(0).random((3, 96, 96, 3), dtype="float32")
numpy.savez(sys.argv[1] + "/expected.npz", x=x, vectors=network(keras.applications.mobilenet_v2.preprocess_input(x.copy())))
"""
    names = [registry.PRETRAINED["MobileNetV2"].weights.format(size) for size in (96, 224)]
    done = subprocess.run([sys.executable, "-c", script, home, *names], capture_output=True, text=True,
                          env=os.environ | {"KERAS_HOME": str(home), "KERAS_BACKEND": "tensorflow"})
    assert done.returncode == 0, done.stderr
    return home


@pytest.mark.slow
def test_weights_are_those_that_keras_reads_and_so_are_the_vectors(home, tmp_path):
    with np.load(home / "expected.npz") as found:
        x, expected = np.repeat(found["x"], 2, axis=0), found["vectors"]
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(6) % 2)
    command = ["--dataset", "d.npz", "--features", "MobileNetV2", "--iterations", 1, "--epochs", 1, "--quiet",
               "--no-label_issues"]
    result = run(command, tmp_path, environment={"KERAS_HOME": str(home)})
    assert result.code == 0 and "6 × 1280 features by MobileNetV2" in result.out, result.err
    with np.load(tmp_path / "results/d/features_MobileNetV2.npz") as found:
        assert json.loads(str(found["made_from"]))["pixels"] == 96
        # Pixels are scaled by the largest one, which is 255 but for the last digits here.
        assert np.abs(found["x"][::2] - expected).max() < 1e-2 * np.abs(expected).max()
    # With the features there, no weights are needed.
    result = run([*command, "--seed", 1], tmp_path, environment={"KERAS_HOME": str(tmp_path / "none")})
    assert result.code == 0 and "reusing" in result.out, result.err


@pytest.mark.slow
def test_damaged_weights_are_one_line(home, tmp_path):
    folder_of_pictures(tmp_path)
    (tmp_path / "home/models").mkdir(parents=True)
    weights = registry.PRETRAINED["MobileNetV2"].weights.format(224)
    whole = (home / "models" / weights).read_bytes()
    (tmp_path / "home/models" / weights).write_bytes(whole[:len(whole) // 2])
    result = run(["--dataset", "p", "--features", "MobileNetV2"], tmp_path, environment={"KERAS_HOME": str(tmp_path / "home")})
    one_line(result, "--features MobileNetV2: ", weights, "not the weights of this network, or damaged", "--features FILE.npz")


# --- advice -----------------------------------------------------------------------------------------------------------

def test_runs_on_photos_from_scratch_are_told_of_features(tmp_path):
    folder = folder_of_pictures(tmp_path, lambda image, place: image.resize((40, 40)).save(place))
    result = run(["--dataset", folder, "--inspect"], tmp_path)
    assert result.out.splitlines()[-1].startswith("hint: 6 images are few") and "--features EfficientNetV2B0" in result.out
    source = Source(path=str(folder), facts=load.facts(folder))
    use, nothing = {"outcome": "use"}, {"outcome": "nothing"}
    assert pretrained.hint(source, 19_999, use) and not pretrained.hint(source, 20_000, use)
    assert "could not check" in pretrained.hint(source, 20_000, nothing)
    assert "hint" not in run(["--dataset", folder, "--inspect", "--features", "MobileNetV2"], tmp_path).out
    small = folder_of_pictures(tmp_path / "small")
    assert not pretrained.hint(Source(path=str(small), facts=load.facts(small)), 6, nothing)


def test_inspect_does_not_advise_a_larger_image_size_with_features(tmp_path):
    folder = folder_of_pictures(tmp_path, lambda image, place: image.resize((90, 70)).save(place))
    result = run(["--dataset", folder, "--inspect", "--features", "MobileNetV2"], tmp_path)
    assert result.out.splitlines()[-1].endswith("6 images resized to 32 × 32 pixels, from 70 × 90, for the report"), result.err


def test_the_recommended_network_is_the_most_accurate_of_the_cheap_ones():
    cheap = {name: each.accuracy for name, each in registry.PRETRAINED.items() if each.milliseconds <= 20}
    assert max(cheap, key=cheap.get) == registry.FOR_CPUS
    assert registry.FOR_CPUS in (PROJECT / "docs" / "own_data.md").read_text()


def test_images_of_other_channels_need_another_network(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((6, 8, 8, 4), np.uint8), y=np.arange(6) % 2)
    source = Source(path=str(tmp_path / "d.npz"), facts=load.facts(tmp_path / "d.npz"))
    with pytest.raises(utils.UserError, match="these have 4 channels"):
        pretrained.with_network(source, "MobileNetV2", tmp_path)
