"""Find the image files that can be read, and decode their pixels as an image viewer shows them."""
import contextlib
import dataclasses
import hashlib
import io
import logging
import os
import stat
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from incv.data import DataError, in_a_file
from incv.utils import many, native_stderr_silenced, tqdm

LARGEST_AS_IT_IS = 64  # pixels per side: images that all have one size up to this are not resized
IMAGE_SIZE = 32  # pixels per side of other images, without --image_size
IN_MEMORY = 2 ** 30  # bytes: decoded images that take more are memory-mapped
LARGEST_FILE = 2 ** 30  # bytes of an image file
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif")
HIDDEN = "hidden or of the system"  # why a file of a folder is not used
SEVERAL = ("TIFF", "GIF", "WEBP", "PNG", "AVIF")  # formats whose files may have pages or frames
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "AVIF")  # detected by content, not by name; nothing else is opened


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scan:
    """The readable images of a folder or list.

    files: their names, relative to the folder; labels: the class of each; shape: of all images; checksum: of names and
    contents; left_out: {file: why it is not used}; shrunk: how images lost pixels, such as "160 × 160 to 32 × 32", or None.
    """

    files: list
    labels: list
    shape: tuple
    checksum: str
    left_out: dict
    warnings: list
    shrunk: str | None = None


def scan_contents(folder, contents, image_size, left_out=(), if_none=None):
    """Return the Scan of images.

    folder: prefix of messages; contents: iterable of (file, label, function that returns its bytes); left_out: {other file:
    why it is not used}; if_none: the message if no image can be read.
    """
    from PIL import Image

    logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)  # what it would print is in the warnings
    number, digest, sizes, grey, used, left_out = 0, hashlib.sha256(), Counter(), True, [], dict(left_out)
    changed, several = Counter(), 0  # how many images
    for number, (file, label, content) in enumerate(contents, start=1):  # noqa: B007 (used below)
        try:
            content = content()
        except (OSError, ValueError):  # such as links in a circle
            left_out[file] = "not a readable image"
            continue
        try:
            with _quiet(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.mode[0] in "IF":
                    image.load()  # a damaged one is counted like the others
                    raise DataError(f"{Path(folder, shown(file))}: a 16-bit or float image; convert the images to 8 "
                                    f"bits, or use an .npz")
                turned = image.getexif().get(0x0112, 1)
                size = image.size if turned in (5, 6, 7, 8) else image.size[::-1]
                is_grey = image.mode in ("1", "L", "LA")
                told = _converted(image, content, 1 if is_grey else 3)
                told += ["oriented by their EXIF data"] * (turned not in (0, 1))
                told += ["drawn on white where transparent"] * image.has_transparency_data
                with contextlib.suppress(Exception):
                    several += getattr(image, "n_frames", 1) > 1 if image.format in SEVERAL else 0
        except Image.UnidentifiedImageError:
            left_out[file] = _why_not_identified(content)
            continue
        except DataError:
            raise
        except Exception:  # whatever a decoder raises for damaged bytes, such as struct.error
            left_out[file] = "not a readable image"
            continue
        digest.update(f"{file}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
        used.append((file, label))
        if image_size is not None or not _is_rare(size, sizes, len(used)) or not _is_damaged(content):
            sizes[size] += 1
        grey = grey and is_grey
        changed.update(told)
    if not used:
        why = Counter(left_out[file] for file in left_out if "TIFF" in left_out[file]).most_common(1)
        none = f"none of its {number} image files can be read" + (f": {why[0][0]}" if why else "")
        raise DataError(f"{folder}: {if_none or none}")
    height, width = (image_size or IMAGE_SIZE,) * 2
    if image_size is None and len(sizes) == 1 and max(max(sizes)) <= LARGEST_AS_IT_IS:
        [(height, width)] = sizes
    files, labels = zip(*used, strict=True)
    reasons = sorted(Counter(left_out.values()).items())
    warnings = [f"{folder}: {many(number, 'file')} not used: {why}" for why, number in reasons]
    warnings += [f"{folder}: {many(number, 'image')} {how}" for how, number in changed.items()]
    warnings += [f"{folder}: {many(several, 'file')} with several pages or frames: the first one is used"] if several else []
    resized = sum(number for size, number in sizes.items() if size != (height, width))
    larger = [size for size in sizes if size[0] > height or size[1] > width]
    sides = _sizes([size for size in sizes if size != (height, width)])
    if resized:
        more = f": --image_size N keeps more detail, with N above {height}" if larger else ""
        warnings.append(f"{folder}: {many(resized, 'image')} resized to {height} × {width} pixels, from {sides}{more}")
    shown_left_out = {shown(file): why for file, why in left_out.items()}
    return Scan(files=list(files), labels=[shown(label) for label in labels], shape=(height, width, 1 if grey else 3),
                checksum=digest.hexdigest(), left_out=shown_left_out, warnings=warnings,
                shrunk=f"{sides} to {height} × {width}" if larger else None)


def _is_rare(size, sizes, number):
    """Return whether an image may decide alone that images are resized: one of the first, or of another size than most.

    sizes: Counter of the sizes of `number` images so far.
    """
    usual = next(iter(sizes), None)
    return number <= 20 or size != usual is not None and max(usual) <= LARGEST_AS_IT_IS and sizes[usual] > 0.9 * number


def _is_damaged(content):
    """Return whether an image cannot be decoded although its size can be read, as of a file that was cut."""
    from PIL import Image

    try:
        with _quiet(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
    except Exception:  # whatever a decoder raises
        return True
    return False


@contextlib.contextmanager
def _quiet():
    """Silence the warnings of Pillow and its libraries: what is wrong with an image is counted and reported in one line."""
    with warnings.catch_warnings(), native_stderr_silenced():  # libtiff prints there
        warnings.simplefilter("ignore")
        yield


def _sizes(sizes):
    """Return "160 × 160", or the smallest and largest of several sizes by their number of pixels. sizes: (height, width)."""
    names = [f"{height} × {width}" for height, width in sorted(sizes, key=lambda size: (size[0] * size[1], size))]
    return "" if not names else names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _converted(image, content, channels):
    """Return how an opened image is converted in ways that lose or reinterpret something, a list of str.

    content: its bytes; channels: of its pixels as they are used.
    """
    told = []
    if image.format == "TIFF":
        bands = image.tag_v2.get(277, 1) - image.has_transparency_data
        bits = max(np.atleast_1d(image.tag_v2.get(258, 8)))
        if bands > channels and image.mode != "CMYK":
            told.append(f"of {bands} bands, of which the first {channels if channels > 1 else 'one'} "
                        f"{'are' if channels > 1 else 'is'} used: for all, save the pixels as x of an .npz")
    else:
        bits = _bits(image.format, content)
    if bits > 8:
        told.append(f"of {bits} bits a channel, of which the first 8 are used: for all, save the pixels as x of an .npz")
    if image.mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        told.append(f"converted from {image.mode} to RGB")
    if image.mode in ("P", "PA") and image.format != "GIF":
        told.append("with a palette, read as its colours")
    return told


def _bits(kind, content):
    """Return how many bits a channel of a PNG or an AVIF has; 8 for other formats."""
    if kind == "PNG":
        return content[24]  # after signature, length, IHDR, width and height
    place = content.find(b"pixi", 0, 10000) if kind == "AVIF" else -1  # a box: name, version, number of channels, bits of each
    return max([8, *content[place + 9:place + 9 + content[place + 8]]]) if place >= 0 and len(content) > place + 9 else 8


def _why_not_identified(content):
    """Return why bytes are no image that can be read: a TIFF may have more bands than Pillow knows."""
    from PIL import TiffImagePlugin

    with contextlib.suppress(Exception), _quiet():  # whatever else the bytes are
        directory = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
        stream = io.BytesIO(content)
        stream.seek(directory.next)
        directory.load(stream)
        bands, bits = directory.get(277, 1), max(np.atleast_1d(directory.get(258, 1)))
        if bands > 1 or bits > 8:
            return f"a TIFF of {many(bands, 'band')} of {bits} bits, which is not read: save the pixels as x of an .npz"
    return "not a readable image"


def content_of(file):
    """Return the bytes of an image file; ValueError unless it is a regular file of at most LARGEST_FILE bytes."""
    found = os.stat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
        raise ValueError("not a regular file, or too large")
    return Path(file).read_bytes()


def stamp(file):
    """Return (size, time) of a file, None if it has none, such as a link to nothing or in a circle."""
    with contextlib.suppress(OSError):
        found = os.stat(file)
        return found.st_size, found.st_mtime_ns
    return None


def files_below(folder):
    """Yield the paths of all files below a folder, however deep. Links to folders are not followed."""
    waiting = [folder]
    while waiting:
        with contextlib.suppress(OSError):  # a folder that only root may read
            for entry in os.scandir(waiting.pop()):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    yield entry.path


def shown(name):
    """Return a file name as text: bytes that are not UTF-8 as \\xff, so that different names stay different."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def pixels(file, shape):
    """Return an image file, or its bytes, as uint8 [height, width, channels], as a viewer shows it: EXIF applied, on white."""
    from PIL import Image

    content = file if isinstance(file, bytes) else content_of(file)
    with _quiet(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        image = _as_viewed(image).convert("L" if shape[2] == 1 else "RGB")
        if image.size != (shape[1], shape[0]):
            image = image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.uint8).reshape(shape)


def preview(content, side):
    """Return the bytes of an image file as a PIL.Image of at most `side` pixels a side, as a viewer shows it."""
    from PIL import Image

    with _quiet(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        image.draft(None, (2 * side, 2 * side))  # a JPEG's decoder can skip pixels
        image = _as_viewed(image)
        image = image if image.mode == "L" else image.convert("RGB")
        image.thumbnail((side, side))
        return image


def _as_viewed(image):
    """Return an opened image, rotated as its EXIF data say, transparent parts on white."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image


def decode(folder, files, shape, scratch=None, quiet=True, contents=None):
    """Decode image files or, if `contents` is given, an iterable of their bytes in the same order.

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
            content = content if isinstance(content, bytes) else content_of(content)
        except ValueError:  # a disk error is raised
            broken.append(number)
            continue
        try:
            x[number] = pixels(content, shape)
        except Exception:  # whatever a decoder raises for damaged bytes
            broken.append(number)
    return x, broken
