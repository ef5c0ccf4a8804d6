"""What the report shows of a sample: its picture, its row of a table, or its vector as a line.

    shared, each = cards.of(source, dataset, given, suggested, positions)

Pictures are those of the original files, at up to SIDE pixels, not those that networks were trained on.
"""
import base64
import io
import itertools
from collections import Counter
from pathlib import Path

import numpy as np

from incv.custom_data import group_names, image_files, load
from incv.data import DataError

SIDE, LARGEST = 160, 4096  # of a picture: pixels a side, bytes
LOSSLESS = 48  # pixels a side up to which a picture is kept exactly, if it fits
VALUES, LETTERS, LONGEST = 24, 200, 1000  # of a row: values, letters of a value, of a text
POINTS = 160  # of a line


def of(source, dataset, given, suggested, positions):
    """Return what cards about samples show.

    Parameters
    ----------
    source : source.Source
    dataset : data.Dataset
    given : int array [n]
        The labels that were checked.
    suggested : int array [number]
        The suggested class of each sample at `positions`.
    positions : int array [number]

    Returns
    -------
    shared : dict
        columns, medians: of a table, {number of the column: its median by class}, or of vectors, a line by class.
    each : list of dict
        picture (the URL of its data) and small (whether it is to be enlarged without blur), values ([[number of the column,
        text]]) and texts, or line (list of float).
    """
    kind = "published" if source.path is None or _has_changed(source, dataset) else load.kind_of(Path(source.path), source)
    if kind == "table":
        return _of_table(source, dataset, given, suggested, positions)
    if dataset.samples.ndim == 2:
        x = load.FORMATS[kind](source).originals()[dataset.names] if kind == "npz" else dataset.samples
        return _lines(x, given, dataset.num_classes, positions)
    found = {int(position): pixels(dataset.samples[position], dataset.samples_max) for position in positions}
    if kind in ("folder", "list"):
        for position, content in load.FORMATS[kind](source).originals(dataset, positions.tolist()):
            found[position] = image_files.preview(content(), SIDE)
    return {}, [picture(found[position], kind in ("npz", "published")) for position in positions.tolist()]


def _has_changed(source, dataset):
    """Return whether the files of a custom dataset have changed since it was read; a message says so."""
    try:
        changed = load.facts(source).checksum != dataset.checksum
    except (DataError, OSError):
        changed = True
    if changed:
        print(f"{source.path}: changed while the run was under way: the report shows samples as the networks saw them",
              flush=True)
    return changed


# --- pictures ---------------------------------------------------------------------------------------------------------

def pixels(image, pixel_max):
    """Return an image as uint8 [height, width] or [height, width, 3]; pixel_max: the pixel value that means 1.0."""
    image = np.asarray(image, dtype=float) / pixel_max
    image = image - min(0.0, image.min())
    image = image[..., :3] if image.shape[-1] >= 3 else image[..., 0]
    return np.rint(255 * np.clip(image / max(1.0, image.max()), 0, 1)).astype(np.uint8)


def picture(image, is_array=False):
    """Return the picture of a card. image: PIL.Image, or uint8 [height, width] or [height, width, 3]."""
    from PIL import Image

    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.thumbnail((SIDE, SIDE))
    content = base64.b64encode(webp(image)).decode()
    return {"picture": f"data:image/webp;base64,{content}", "small": is_array or max(image.size) <= 16}


def webp(image):
    """Return a PIL.Image as a WebP of at most LARGEST bytes: exactly if it is small, else with as much quality as fits."""
    if max(image.size) <= LOSSLESS and len(content := _saved(image, lossless=True)) <= LARGEST:
        return content
    while True:
        for quality in (80, 60, 45, 30, 15, 5):
            content = _saved(image, quality=quality)
            if len(content) <= LARGEST:
                return content
        image = image.resize([max(1, 3 * side // 4) for side in image.size])


def _saved(image, **options):
    file = io.BytesIO()
    image.save(file, "webp", method=4, **options)
    return file.getvalue()


# --- rows and vectors -------------------------------------------------------------------------------------------------

def _of_table(source, dataset, given, suggested, positions):
    """Return what `of` returns: the values that differ most from the median of the suggested class come first.

    The difference of a number is in units of the spread of the class (1.48 times the median absolute deviation), that of a
    category is the fraction of the class that has another one.
    """
    texts, numbers, kinds = load.FORMATS["table"](source).originals()
    rows = np.asarray(dataset.names, dtype=int)
    names = [name for name in texts if name not in (source.label, source.true_label)]
    written = {name: group_names.as_text(texts[name].iloc[rows]) for name in names}
    differences, medians = np.full((len(positions), len(names)), -1.0), {}
    for number, name in enumerate(names):
        if name in numbers:
            values = numbers[name].to_numpy()[rows]
            middle, spread = _middle_and_spread(values, given, dataset.num_classes)
            medians[number] = [f"{each:.4g}" if np.isfinite(each) else "" for each in middle]
            difference = np.abs(values[positions] - middle[suggested]) / spread[suggested]
            differences[:, number] = np.nan_to_num(difference, nan=-0.5, posinf=1e9)
        elif kinds.get(name) == "categories":
            pairs, of_class = Counter(zip(given.tolist(), written[name], strict=True)), np.bincount(given)
            same = [pairs[label, written[name][position]] / of_class[label]
                    for position, label in zip(positions, suggested.tolist(), strict=True)]
            differences[:, number] = 1 - np.array(same)
    of_text = [name for name in names if kinds.get(name) == "text"]
    each = []
    for place, position in enumerate(positions):
        order = [number for number in np.argsort(-differences[place], kind="stable") if names[number] not in of_text]
        each.append({"values": [[int(number), _cut(written[names[number]][position], LETTERS)] for number in order[:VALUES]],
                     "texts": [[name, _cut(written[name][position], LONGEST)] for name in of_text]})
    return {"columns": list(map(str, names)), "medians": medians}, each


def _middle_and_spread(values, given, num_classes):
    """Return the median and the spread of each class, float [num_classes]; the spread is never 0. values: float [n]."""
    middle, spread = np.full(num_classes, np.nan), np.full(num_classes, 1e-9)
    for label in range(num_classes):
        of_class = values[(given == label) & np.isfinite(values)]
        if len(of_class):
            middle[label] = np.median(of_class)
            spread[label] = 1.4826 * np.median(np.abs(of_class - middle[label])) or of_class.std() or 1e-9
    return middle, spread


def _cut(text, most):
    return text if len(text) <= most else text[:most - 1] + "…"


def _lines(x, given, num_classes, positions):
    """Return what `of` returns of vectors [n, d]: standardised, if some columns vary more than ten times as much as others."""
    x = np.asarray(x, dtype=float)
    deviation = x.std(axis=0)
    varies = deviation[deviation > 0]
    if len(varies) and varies.max() > 10 * varies.min():
        x = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    ends = np.linspace(0, x.shape[1], min(POINTS, x.shape[1]) + 1).astype(int)
    x = np.stack([x[:, start:end].mean(axis=1) for start, end in itertools.pairwise(ends)], axis=1)
    medians = [np.median(x[given == label], axis=0) if (given == label).any() else np.zeros(x.shape[1])
               for label in range(num_classes)]
    return {"medians": list(map(_rounded, medians))}, [{"line": _rounded(x[position])} for position in positions]


def _rounded(line):
    return [float(f"{value:.3g}") for value in line]
