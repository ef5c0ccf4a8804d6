"""The images of a dataset as a stream, for a network that computes features: one after the other, at the size it needs.

    stream = load.stream(source)              # or load.stream_like(file, source)
    for image in stream.images(start, shape): # uint8 or float32 [height, width, channels], None for an unreadable one

Photos are decoded at this size, never by way of the size that the report shows; arrays come as they are.
"""
import dataclasses
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from incv import data
from incv.custom_data import image_files, image_parquet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
    """n images, of which the last `test` are test data.

    images(start, shape): yields those from position start on; keys: {"files" or "rows": array [n]}, by which vectors are
    found (feature_file.py), {} for published datasets; scale: the value that means 1.0; checksum: of images and keys.
    """

    number: int
    images: Callable
    keys: dict
    scale: float
    checksum: str
    test: int = 0


def of_files(folder, files, keys, checksum):
    """Return the Stream of image files. files: relative to folder, as bytes or str; checksum: of names and contents."""
    return Stream(number=len(files), images=functools.partial(_decoded, folder, list(files)), keys=keys, scale=255,
                  checksum=_of(keys, checksum))


def of_parquet(path, column, rows, keys, checksum):
    """Return the Stream of the pictures in a .parquet. rows: int [n], ascending."""
    return Stream(number=len(rows), images=functools.partial(_decoded_of_parquet, path, column, np.asarray(rows)), keys=keys,
                  scale=255, checksum=_of(keys, checksum))


def of_arrays(arrays, keys, scale, test=0):
    """Return the Stream of arrays [n, height, width, channels], one after the other."""
    digest = hashlib.sha256()
    for x in arrays:
        digest.update(f"{x.dtype}{x.shape}".encode())
        for start in range(0, len(x), 10000):
            digest.update(np.ascontiguousarray(x[start:start + 10000]))
    return Stream(number=sum(map(len, arrays)), images=functools.partial(_entries, arrays), keys=keys, scale=scale, test=test,
                  checksum=_of(keys, digest.hexdigest()))


def of_published(name, data_dir):
    """Return the Stream of a published dataset, training images, then test images."""
    dataset = data.load(name, data_dir)
    return of_arrays([dataset.x_train, dataset.x_test], {}, dataset.pixel_max, len(dataset.x_test))


def _of(keys, checksum):
    digest = hashlib.sha256(checksum.encode())
    for name, values in keys.items():
        digest.update(f"{name} {values.tolist()}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _decoded(folder, files, start, shape):
    for file in files[start:]:
        yield _pixels(Path(folder) / file, shape)


def _decoded_of_parquet(path, column, rows, start, shape):
    for _, _, content in image_parquet.contents(path, column, set(rows[start:].tolist())):
        yield _pixels(content, shape)


def _pixels(file, shape):
    try:
        return image_files.pixels(file, shape)
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, OSError) and error.errno:  # a disk error, not a broken image
            raise
        return None


def _entries(arrays, start, shape):
    for x in arrays:
        yield from x[start:]
        start = max(0, start - len(x))
