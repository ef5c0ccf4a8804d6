"""Datasets, their files, custom networks and files of runs that several files of tests use."""
import dataclasses
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from incv import data, noise
from incv.custom_data import features, formats, image_list, load, table_file
from incv.custom_data.source import Source
from incv.runner import custom_network, files


def refused(words, path, label=None, **options):
    """Loading a dataset ends in one line that contains these words."""
    with pytest.raises(data.DataError) as error:
        load.load_dataset(path, label, **options)
    words = [words] if isinstance(words, str) else words
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value), str(error.value)


def contents(folder):
    """{path: bytes} of all files in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- tables -----------------------------------------------------------------------------------------------------------

ROWS = 60
I, J = range(60), range(120)  # the rows of a table


@pytest.fixture(scope="session")
def numbers():
    """Two columns of numbers, three classes of kind."""
    rng = np.random.default_rng(0)
    kind = np.array(["cat", "dog", "eel"])[np.arange(ROWS) % 3]
    return pd.DataFrame({"v0": rng.normal(size=ROWS).round(4), "v1": (1000 * rng.random(ROWS)).round(2), "kind": kind})


def mixed_table(n, seed=1):
    """Numbers and categories, some missing, that tell three kinds apart; (table, the true kinds)."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    table = pd.DataFrame({
        "length": 10 + 4 * y + rng.normal(0, 1.5, n), "weight": 50 - 9 * y + rng.normal(0, 4, n),
        "code": rng.integers(0, 9, n), "same": "always",
        "colour": np.where(rng.random(n) < 0.8, np.array(["red", "green", "blue"])[y], "grey")})
    table.loc[rng.random(n) < 0.1, "length"] = np.nan
    table.loc[rng.random(n) < 0.1, "colour"] = None
    return table, np.array(["cat", "dog", "eel"])[y]


def table_of(cells, sep=",", end="\n"):
    """Return the text of a table of a column v of these cells, a column w and a label."""
    rows = [f"{cell}{sep}{i * 7 % 11}{sep}{'ab'[i // 2 % 2]}" for i, cell in enumerate(cells)]
    return end.join([f"v{sep}w{sep}label", *rows]) + end


def written(place, content, encoding="utf-8"):
    """Write text or bytes; return the path."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return place


def in_file(folder, lines, name="t.csv"):
    return written(folder / name, "\n".join(lines))


def read(path, label="kind", **options):
    """(the data.Dataset, its warnings in one text)."""
    dataset = load.load_dataset(path, label, **options)
    return dataset, " | ".join(dataset.warnings)


def same_features(dataset, table):
    """Whether the dataset holds these columns, standardised."""
    x = table.drop(columns="kind").to_numpy(dtype=float)
    return np.allclose(dataset.x_train, (x - x.mean(axis=0)) / x.std(axis=0), atol=1e-4)


def column_of(path, name="c"):
    """Return the column as training sees it before it is standardised, and the warnings about the features."""
    table = table_file.read_table(path, "kind")[0].drop(columns="kind")
    fitted = features.Features(table, path)
    return fitted._converted(table)[name], [*fitted.warnings(), *fitted.warnings(remarks=True)]


def column_and_warnings(path, name="v", label="label"):
    """Return a column as it is before it is standardised, and the warnings of the dataset."""
    fitted = formats.Table(Source(path=str(path), label=label)).read()[1]
    return fitted._converted(table_file.read_table(path, label)[0])[name].tolist(), load.load_dataset(path, label).warnings


def samples_read_like(file, path, label=None):
    """The samples of a file, read as the dataset at this path was."""
    source = Source(facts=load.facts(path, label), path=str(path), label=label)
    return load.samples_like(file, source)[0]


# --- arrays -----------------------------------------------------------------------------------------------------------

X6, Y6 = np.zeros((6, 8, 8), np.uint8), np.array([0, 0, 0, 1, 1, 1])
X12, Y12 = np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8), np.arange(12) % 3
DIGIT_NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


def flipped(y, num_classes, seed=0):
    return noise.flip_labels(y, noise.transition_matrix("sym", 0.2, num_classes), np.random.default_rng(seed))


def digit_images():
    """(uint8 images [1797, 8, 8], true labels, noisy labels)."""
    digits = load_digits()
    return (15 * digits.images).astype(np.uint8), digits.target, flipped(digits.target, 10)


# --- groups and decisions ---------------------------------------------------------------------------------------------

def patients(seed=0, number=60, rows=6, wrong=0.15):
    """-> x [n, 8], given [n], wrong [n], patient [n]: rows of a patient lie close together and have one label."""
    draw = np.random.default_rng(seed)
    true = draw.integers(0, 2, number)
    centre = 1.6 * (2 * true - 1)[:, None] / np.sqrt(8) + 0.72 * draw.normal(size=(number, 8))
    flipped = draw.random(number) < wrong
    patient = np.repeat(np.arange(number), rows)
    x = centre[patient] + 0.1 * draw.normal(size=(number * rows, 8))
    return x, np.where(flipped, 1 - true, true)[patient], flipped[patient], patient


def decided(folder, text):
    """Write a list of decisions; return it as --decisions takes it."""
    (folder / "d.csv").write_text(text)
    return [str(folder / "d.csv")]


# --- pictures ---------------------------------------------------------------------------------------------------------

def random_picture(number, size=(8, 8)):
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def save_picture(place, colour=(10, 200, 30), size=8, **options):
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(place, **options)


def folder_of_pictures(tmp_path, save=lambda image, place: image.save(place)):
    """A folder `p` of two classes of three pictures each."""
    for number in range(6):
        place = tmp_path / "p" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        save(random_picture(number), place / f"{number}.png")
    return tmp_path / "p"


@pytest.fixture
def listed(tmp_path):
    """A folder with 24 pictures in pics/ and list.csv, labels a and b."""
    (tmp_path / "pics").mkdir()
    generator = np.random.default_rng(0)
    for i in range(24):
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "pics" / f"{i}.png")
    table = pd.DataFrame({"path": [f"pics/{i}.png" for i in range(24)], "label": ["a", "b"] * 12})
    table.to_csv(tmp_path / "list.csv", index=False)
    return tmp_path


def facts_of_list(folder, **options):
    """The facts of `listed`."""
    source = Source(path=str(folder / "list.csv"), label="label")
    return load.facts(dataclasses.replace(source, **options))


N = 24  # pictures
PICTURE_KINDS = np.array(["dark", "lit"])[np.arange(N) % 2]
PICTURE_NAMES = [
    f"0{n:03d}" if n < 6 else f"sub dir/pic, {n}.png" if n < 10 else f"sub dir\\p{n}.PNG" if n < 14 else f"p{n}.jpeg"
    for n in range(N)]  # ids with leading zeros, commas and spaces, another separator and case, names of another case


def pixels(number):
    """A picture whose class is its brighter half, and its place in the list the rest."""
    found = np.random.default_rng(number).integers(0, 60, (8, 8), dtype=np.uint8)
    found[:, :4] += np.uint8(150 * (number % 2))
    return found


def png(number):
    file = io.BytesIO()
    Image.fromarray(pixels(number)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures with names as people have them, and the DataFrame that names them."""
    (tmp_path / "all/sub dir").mkdir(parents=True)
    for number, name in enumerate(PICTURE_NAMES):
        stored = name.replace("\\", "/") + (".png" if number < 6 else "")
        if number >= 14:
            stored = stored.replace(".jpeg", ".JPEG")
        (tmp_path / "all" / stored).write_bytes(png(number))
    return tmp_path, pd.DataFrame({"id_code": PICTURE_NAMES, "kind": PICTURE_KINDS, "age": np.arange(N) + 100})


def list_written(table, file):
    """Write a list in the format of its name."""
    {".csv": lambda: table.to_csv(file, index=False), ".tsv": lambda: table.to_csv(file, index=False, sep="\t"),
     ".parquet": lambda: table.to_parquet(file), ".jsonl": lambda: table.to_json(file, orient="records", lines=True),
     ".txt": lambda: file.write_text("".join(f"{row.id_code}  {row.kind}\n" for row in table.itertuples()))}[
         file.suffix]()
    return file


def pictures_of(path, source):
    return image_list.opened(path, source).pictures(source)


def shards(folder, columns, names=("train-00000-of-00002", "train-00001-of-00002"), features=None):
    """Write a table of pictures in two parts, as Hugging Face's datasets do; return the folder."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(exist_ok=True)
    for name, part in zip(names, (slice(0, 10), slice(10, N)), strict=True):
        table = pyarrow.table({column: values[part] for column, values in columns.items()})
        if features:
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
    return folder


# --- custom networks --------------------------------------------------------------------------------------------------

# A class and a file beside it, dropout, and batch normalisation with a momentum of its own.
NETWORKS = """
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

def rectified(input_shape, num_classes, seed):
    return keras.Sequential([layers.Flatten(), layers.Dense(num_classes), layers.ReLU()])

def bounded(input_shape, num_classes, seed):
    images = keras.Input(input_shape)
    return keras.Model(images, keras.ops.sigmoid(layers.Dense(num_classes)(layers.Flatten()(images))))

def log_softmax(input_shape, num_classes, seed):
    return keras.Sequential([layers.Flatten(), layers.Dense(num_classes, activation="log_softmax")])

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


def write_networks(folder):
    """Write NETWORKS and the file beside it; return its path."""
    (folder / "nets").mkdir()
    (folder / "nets" / "net.py").write_text(NETWORKS)
    (folder / "nets" / "beside.py").write_text("WIDTH = 8\n")
    return folder / "nets" / "net.py"


@pytest.fixture(scope="session")
def loaded(tmp_path_factory):
    """A function that loads one of the functions of NETWORKS; returns its name in the settings."""
    file = write_networks(tmp_path_factory.mktemp("loaded"))

    def load_function(function, path=file):
        path, settings = custom_network.find(f"{path}:{function}")
        custom_network.load(path, settings["architecture"], settings["architecture_checksum"])
        return settings["architecture"]

    return load_function


# --- runs -------------------------------------------------------------------------------------------------------------

def write_run(folder, script, seed, differs=(), backend="tensorflow", csv="", **provenance):
    """The files of a run that ended: JSON and CSV."""
    pattern, ratio = folder.parts[-2:]
    method = provenance.pop("method", "incv")
    settings = {"dataset": "cifar10", "noise_pattern": pattern, "noise_ratio": float(ratio), "seed": seed, "backend": backend,
                **({"method": method} if script == "INCV_main" else {}), **dict(differs)}
    name = "_".join([f"{script}_seed{seed}", *([method] if method != "incv" else []),
                     *("".join(map(str, change)) for change in differs), *(["jax"] if backend == "jax" else [])])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.csv").write_text(csv)
    (folder / f"{name}.json").write_text(json.dumps({
        "settings": settings, "differs_from_published": {key: {"here": here, "published": None} for key, here in differs},
        "versions": {backend: "9.9"}, "device": "a machine", "code_revision": "0123456789abcdef", "wall_seconds": 5400.0,
        "finished": "2026-01-02T03:04:05+00:00", "tested_on": "test data",
        "checksums": {".csv": files.checksum(folder / f"{name}.csv")}, **provenance}))


def accuracies(value, epochs=200):
    history = pd.DataFrame({"epoch": np.arange(epochs), "learning_rate": 1e-3, "accuracy_1": value, "accuracy_2": value,
                            "accuracy_mean": value, "accuracy_pair": value})
    return history.to_csv(index=False)


def recall_and_precision(folder, wrong, position=lambda sample: sample):
    """(recall, precision) of the samples in _label_issues.csv. wrong: bool [n]; position(sample): where a sample is in it."""
    [file] = folder.glob("results/*/given/INCV_seed0*_label_issues.csv")
    listed = np.array([position(sample) for sample in pd.read_csv(file)["sample"]])
    return wrong[listed].sum() / wrong.sum(), wrong[listed].mean()
