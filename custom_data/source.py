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
class Source:
    """The source of samples and labels: options of the command line.

    data_dir: the folder of the CIFAR batches, None for the default; path: of a custom dataset. For a published dataset, path
    and all options but labels are None. labels: a file of human labels, or the labels of an .npy; decisions: a list of files.
    features: a file of feature vectors (feature_file.py).
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
