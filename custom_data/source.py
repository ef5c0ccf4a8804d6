"""The source of a dataset, and the facts that are known before it is read."""
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts about a dataset that are known before it is read.

    name: in the paths of results; kind: determines the defaults (the name of a published dataset; "images", "small_images" or
    "table" for custom ones); size: training samples; shape: of a sample; checksum, class_names: of custom datasets.
    """

    name: str
    kind: str
    size: int
    num_classes: int
    shape: tuple
    checksum: str | None = None
    class_names: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A network that computes --features (runner/pretrained.py).

    name: of the option, without folders; file: of its weights (keras.applications), the network (.keras) or its code (.py), an
    absolute path; checksum: of its content; pixels: a side of the images that it is given, None for what the network says;
    width: the length of a vector, None if unknown; made_from: as in feature_file.py; of_images: the Facts of the images.
    """

    name: str
    file: str
    checksum: str
    pixels: int | None
    width: int | None
    made_from: str
    of_images: Facts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """The source of samples and labels: options of the command line.

    data_dir: the folder of the CIFAR batches, None for the default; path: of a custom dataset. For a published dataset, path
    and all options but labels are None. labels: a file of human labels, or the labels of an .npy; decisions: a list of files.
    features: a file of feature vectors (feature_file.py); network: the Network that computes this file, None for a user's;
    test_features: such a file for the pictures of test_list.
    """

    facts: Facts | None = None
    data_dir: str | None = None
    path: str | None = None
    label: str | None = None
    image_size: int | None = None
    labels: str | None = None
    drop: list | None = None
    decimal: str | None = None
    decisions: list | None = None
    group: str | None = None
    images: str | None = None
    true_label: str | None = None
    classes: int | None = None
    test_list: str | None = None
    test_images: str | None = None
    features: str | None = None
    network: Network | None = None
    test_features: str | None = None
