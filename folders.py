"""A folder of images: which files are used, of which class, and their pixels as a viewer shows them."""
import contextlib
import functools
import hashlib
import io
import itertools
import os
import re
import stat
import sys
from collections import Counter, namedtuple
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data import DataError, in_a_file, listed, many

LARGEST_AS_IT_IS = 64  # pixels a side: images of one size up to this are not resized
IMAGE_SIZE = 32  # pixels a side of other images, without --image_size
IN_MEMORY = 2 ** 30  # bytes: decoded images that take more are memory-mapped
LARGEST_FILE = 2 ** 30  # bytes of an image file
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "AVIF")  # by content, whatever the name: nothing else is opened
SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"}
SYSTEM = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "lost+found", "$recycle.bin"}

# files: names relative to the folder, of the images that are used; labels: the class of each; shape: of all images; checksum:
# of names and contents; left_out: {file: why it is not used}; warnings: list of str.
Scan = namedtuple("Scan", "files labels shape checksum left_out warnings")


def scan(path, image_size=None):
    """Read the images of a folder with a subfolder per class, once per process while no name, size or time changes.

    Raises DataError for a folder without classes, a class without images, and folders such as train/ above the classes.
    """
    folder = Path(path)
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    classes = [entry.name for entry in entries if entry.is_dir() and not _is_system(entry.name)]
    results = [name for name in classes if _are_results(folder / name)]
    classes = [name for name in classes if name not in results]
    splits = [name for name in classes if re.sub(r"[-_ ]?(set|data|images)$", "", name.casefold()) in SPLITS]
    below = {name: {each.name for each in os.scandir(folder / name) if each.is_dir()} for name in classes}
    words = {name: set(re.split(r"[^a-z]+", name.casefold())) for name in classes}  # of seg_train, test_images
    parts = [name for name in classes if words[name] & {*SPLITS, "pred", "meta"}]
    if len(parts) > 1 and any(below[name] and "train" in name.casefold() for name in parts) and not any(
            below[name] for name in set(classes) - set(parts)):
        splits = parts
    if splits and (len(splits) == len(classes) and any(below.values()) or splits is parts or any(
            below[one] & below[other] for one, other in itertools.combinations(splits, 2))):
        first = next((name for name in splits if "train" in name.casefold()), splits[0])
        raise DataError(f"{folder}: {listed(splits)} are parts of a dataset, not classes: give --dataset {folder / first}")
    if len(classes) == 1 and len(below[classes[0]]) > 1:
        raise DataError(f"{folder}: has a single subfolder, which would be the only class: give --dataset "
                        f"{folder / classes[0]}, if its subfolders are the classes")
    left_out = {f"{name}/": "results of INCV" for name in results}
    for entry in entries:
        if entry.is_dir() and _is_system(entry.name):
            left_out |= _inside(folder, entry.path)
        elif not entry.is_dir():
            left_out[entry.name] = "hidden or of the system" if _is_system(entry.name) else "not in the folder of a class"
    files, labels = [], []
    for label in classes:
        found = list(_files(folder, folder / label, left_out))
        if not found:
            _refuse_tables(folder, label)
            raise DataError(f"{folder / label}: contains no image ({', '.join(IMAGE_FILES)}); add images or remove it")
        files += found
        labels += [label] * len(found)
    if not files:
        raise DataError(f"{folder}: has no subfolder of images; each class needs one")
    stamps = tuple((file, (found := (folder / file).stat()).st_size, found.st_mtime_ns) for file in files)
    return _scan(folder, stamps, tuple(labels), image_size, tuple(left_out.items()))


def _refuse_tables(folder, label):
    """Raise DataError if a folder without images holds .parquet files, which are a table of their own or a part of one."""
    table = next((each for each in (folder / label).rglob("*.parquet") if each.is_file()), None)
    if table and "=" in label:
        raise DataError(f"{folder}: a .parquet in parts by {label.split('=')[0]!r}; write it as one file and give that: "
                        f"pandas.read_parquet({str(folder)!r}).to_parquet('table.parquet')")
    if table:
        raise DataError(f"{folder / label}: contains .parquet files, no image: add images or remove it; for the table, "
                        f"give --dataset {table.parent}")


def _are_results(place):
    """Return whether a folder that has no files itself has below it what our commands write."""
    return not any(each.is_file() for each in os.scandir(place)) and any(
        file.startswith(("INCV_seed", "INCV_main_seed", "Verify_Theory_seed")) for _, _, files in os.walk(place)
        for file in files)


def _is_system(name):
    return name.startswith(".") or name.casefold() in SYSTEM


def _inside(folder, place):
    """Return the files below a hidden folder, as left out."""
    files = [os.path.join(below, file) for below, _, names in os.walk(place) for file in names]
    return {Path(os.path.relpath(file, folder)).as_posix(): "hidden or of the system" for file in files}


def _files(folder, place, left_out, seen=None):
    """Yield the image files below a class's folder, relative to `folder`, ascending; adds others to left_out.

    Links to files and folders are followed, each folder once.
    """
    seen = set() if seen is None else seen
    real = os.path.realpath(place)
    if real in seen:
        return
    seen.add(real)
    folders = []
    for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
        name = Path(os.path.relpath(entry.path, folder)).as_posix()
        if _is_system(entry.name):
            left_out |= _inside(folder, entry.path) if entry.is_dir() else {name: "hidden or of the system"}
        elif entry.is_dir():
            folders.append(entry.path)
        elif not entry.name.lower().endswith(IMAGE_FILES):
            left_out[name] = f"a {Path(entry.name).suffix or 'nameless'} file"
        elif not entry.is_file() or not 0 < entry.stat().st_size <= LARGEST_FILE:
            left_out[name] = "empty, too large, or not a regular file"
        else:
            yield name
    for path in folders:
        yield from _files(folder, Path(path), left_out, seen)


@functools.lru_cache(maxsize=2)
def _scan(folder, stamps, labels, image_size, left_out):
    """stamps: (file, size, time) of each image."""
    contents = ((file, label, functools.partial(content_of, folder / file)) for (file, _, _), label in zip(stamps, labels))
    found = scan_contents(folder, contents, image_size, left_out)
    stems = {os.path.splitext(file)[0] for file in found.files}
    masks = [file for file in found.files
             if (stem := re.sub(r"[-_ ](mask|seg|segmentation|label)(_\d+)?$", "", os.path.splitext(file)[0], flags=re.I))
             in stems and stem != os.path.splitext(file)[0]]
    if masks:
        found = found._replace(warnings=[*found.warnings, f"{folder}: {many(len(masks), 'image')} such as {shown(masks[0])!r} "
                                         f"may be masks of others, and are used as images: remove them if they are"])
    lost = sorted(set(map(shown, labels)) - set(found.labels))
    if lost:
        raise DataError(f"{folder / lost[0]}: none of its images can be read; replace them, or remove the folder")
    return found


def scan_contents(folder, contents, image_size, left_out=(), if_none=None):
    """Return the Scan of images.

    folder: how messages begin; contents: iterable of (file, label, function that returns its bytes); left_out: of others;
    if_none: the message if no image can be read.
    """
    from PIL import Image

    number, digest, sizes, grey, used, left_out, changed = 0, hashlib.sha256(), set(), True, [], dict(left_out), Counter()
    several = 0  # files
    for number, (file, label, content) in enumerate(contents, start=1):
        try:
            content = content()
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.mode[0] in "IF":
                    raise DataError(f"{Path(folder, shown(file))}: an image of 16 bits or floats; convert the images to 8 "
                                    f"bits, or use an .npz")
                turned = image.getexif().get(0x0112, 1)
                sizes.add(image.size if turned in (5, 6, 7, 8) else image.size[::-1])
                grey = grey and image.mode in ("1", "L", "LA")
                changed["turned as their EXIF says"] += turned not in (0, 1)
                changed["laid on white where transparent"] += image.has_transparency_data
                with contextlib.suppress(OSError, ValueError, SyntaxError, EOFError):
                    several += image.n_frames > 1 if image.format in ("TIFF", "GIF", "WEBP") else 0
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError):
            left_out[file] = "not a readable image"
            continue
        digest.update(f"{file}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
        used.append((file, label))
    if not used:
        raise DataError(f"{folder}: {if_none or f'none of its {number} image files can be read'}")
    height, width = (image_size or IMAGE_SIZE,) * 2
    if image_size is None and len(sizes) == 1 and max(max(sizes)) <= LARGEST_AS_IT_IS:
        [(height, width)] = sizes
    files, labels = zip(*used)
    changed = {how: number for how, number in changed.items() if number}
    reasons = sorted(Counter(left_out.values()).items())
    warnings = [f"{folder}: {many(number, 'file')} not used: {why}" for why, number in reasons]
    warnings += [f"{folder}: {many(number, 'image')} {how}" for how, number in changed.items()]
    warnings += [f"{folder}: {many(several, 'file')} of several pages or frames: the first one is used"] if several else []
    shown_left_out = {shown(file): why for file, why in left_out.items()}
    return Scan(list(files), [shown(label) for label in labels], (height, width, 1 if grey else 3), digest.hexdigest(),
                shown_left_out, warnings)


def content_of(file):
    """Return the bytes of an image file; ValueError unless it is a regular file of a size that an image can have."""
    found = os.stat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
        raise ValueError("not a regular file, or too large")
    return Path(file).read_bytes()


def shown(name):
    """Return a file name as text: bytes that are not UTF-8 as \\xff, so that different names stay different."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def pixels(file, shape):
    """Return an image file, or its bytes, as uint8 [height, width, channels], as a viewer shows it: EXIF applied, on white."""
    from PIL import Image, ImageOps

    content = file if isinstance(file, bytes) else content_of(file)
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        image = image.convert("L" if shape[2] == 1 else "RGB")
        if image.size != (shape[1], shape[0]):
            image = image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.uint8).reshape(shape)


def decode(folder, files, shape, scratch=None, quiet=True, contents=None):
    """Decode images, of files or, in the same order, of an iterable of their bytes.

    Returns
    -------
    x : uint8 array [n, *shape]
        In memory, or memory-mapped in the folder `scratch`.
    broken : list of int
        Positions of the images that cannot be decoded.
    """
    size, broken = (len(files), *shape), []
    x = in_a_file(size, scratch) if np.prod(size, dtype=float) > IN_MEMORY else np.empty(size, dtype=np.uint8)
    contents = (Path(folder) / file for file in files) if contents is None else contents
    bar = tqdm(contents, "reading images", len(files), leave=False, file=sys.stdout,
               disable=quiet or not sys.stdout.isatty())
    for number, content in enumerate(bar):
        try:
            x[number] = pixels(content, shape)
        except (OSError, ValueError, SyntaxError) as error:
            if isinstance(error, OSError) and error.errno:  # of the disk, not of the image
                raise
            broken.append(number)
    return x, broken
