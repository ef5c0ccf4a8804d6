"""What is lost when an image file is read is a warning: bands, bits, colours, pages and pixels."""
import io
import struct
import zlib

import numpy as np
import pytest
from conftest import run
from PIL import Image

from incv import data
from incv.checking import check, verdict
from incv.custom_data import image_files, load
from incv.data import Dataset


def tiff(pixels, photometric, extra=(), bits=8):
    """The bytes of an uncompressed TIFF. pixels: [h, w, bands]; photometric: 2 for RGB, 1 for grey, 5 for CMYK; extra: tags of
    the bands beyond those, 0 for unspecified, 2 for alpha."""
    height, width, bands = pixels.shape
    content = pixels.astype(f"<u{bits // 8}").tobytes()
    tags = {256: [width], 257: [height], 258: [bits] * bands, 259: [1], 262: [photometric], 277: [bands], 278: [height],
            279: [len(content)], 284: [1]} | ({338: list(extra)} if extra else {})
    entries, beyond, start = [], b"", 8 + len(content) + 2 + 12 * (len(tags) + 1) + 4
    for tag, values in sorted((tags | {273: [8]}).items()):
        kind, packed = (4, struct.pack("<I", *values)) if tag in (273, 279) else (3, struct.pack(f"<{len(values)}H", *values))
        place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", start + len(beyond))
        beyond += packed if len(packed) > 4 else b""
        entries.append(struct.pack("<HHI", tag, kind, len(values)) + place)
    head = b"II*\0" + struct.pack("<I", 8 + len(content))
    return head + content + struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0) + beyond


def png(pixels, bits=8):
    """The bytes of a PNG, whose channels may have 16 bits. pixels: [h, w, 1, 2, 3 or 4]."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, bits, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks)


def saved(image, kind, **options):
    image.save(stream := io.BytesIO(), kind, **options)
    return stream.getvalue()


def pixels(bands, size=16):
    return np.random.default_rng(0).integers(0, 256, (size, size, bands), dtype=np.uint8)


def folder_of(folder, content, ending):
    """A folder of two classes with two images each, all of them the same file, and what is told of it."""
    for number in range(4):
        place = folder / "photos" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}{ending}").write_bytes(content)
    dataset = load.load_dataset(folder / "photos")
    return dataset, [line.partition("photos: ")[2] for line in dataset.warnings]


def rgb(bands=3):
    return Image.fromarray(pixels(8)[..., :bands])


ALL = "for all, save the pixels as x of an .npz"
DEEP = pixels(3) * np.uint16(257)  # of 16 bits, whose first 8 are those of pixels(3)
LOSSES = {
    "near infrared": (".tif", tiff(pixels(4), 2, [0]), [f"4 images of 4 bands, of which the first 3 are used: {ALL}"]),
    "six bands": (".tif", tiff(pixels(6), 2, [0, 0, 0]), [f"4 images of 6 bands, of which the first 3 are used: {ALL}"]),
    "grey and another band": (".tif", tiff(pixels(2), 1, [0]), [
        f"4 images of 2 bands, of which the first one is used: {ALL}"]),
    "16 bits": (".png", png(DEEP, 16), [f"4 images of 16 bits a channel, of which the first 8 are used: {ALL}"]),
    "TIFF of 16 bits": (".tif", tiff(DEEP, 2, bits=16),
                        [f"4 images of 16 bits a channel, of which the first 8 are used: {ALL}"]),
    "CMYK": (".tif", tiff(pixels(4), 5), ["4 images converted from CMYK to RGB"]),
    "a JPEG of CMYK": (".jpg", saved(rgb().convert("CMYK"), "JPEG"), ["4 images converted from CMYK to RGB"]),
    "a palette": (".png", saved(rgb().quantize(16), "PNG"), ["4 images with a palette, read as its colours"]),
    "an animated PNG": (".png", saved(rgb(), "PNG", save_all=True, append_images=[Image.new("RGB", (16, 16))]),
                        ["4 files with several pages or frames: the first one is used"]),
    "alpha": (".png", png(pixels(4)), ["4 images drawn on white where transparent"]),
    "larger": (".png", png(pixels(3, 160)), [
        "4 images resized to 32 × 32 pixels, from 160 × 160: --image_size N keeps more detail, with N above 32"]),
    "nothing": (".png", png(pixels(3)), []), "nothing of grey": (".png", png(pixels(1)), []),
    "nothing of a TIFF": (".tif", tiff(pixels(3), 2), []), "nothing of a JPEG": (".jpg", saved(rgb(), "JPEG"), []),
    "nothing of a GIF": (".gif", saved(rgb(), "GIF"), []), "nothing of an AVIF": (".avif", saved(rgb(), "AVIF"), []),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_what_is_lost_is_a_warning(tmp_path, kind):
    ending, content, expected = LOSSES[kind]
    assert folder_of(tmp_path, content, ending)[1] == expected


def test_the_first_bands_and_bits_are_used(tmp_path):
    for name, content, ending in (("bands", tiff(pixels(4), 2, [0]), ".tif"), ("bits", png(DEEP, 16), ".png")):
        dataset, _ = folder_of(tmp_path / name, content, ending)
        assert (dataset.x_train[0] == pixels(4 if name == "bands" else 3)[..., :3]).all()


def test_bands_that_are_not_read(tmp_path, capfd):
    why = "a TIFF of 8 bands of 8 bits, which is not read: save the pixels as x of an .npz"
    with pytest.raises(data.DataError) as error:
        folder_of(tmp_path, tiff(pixels(8), 1, [0] * 7), ".tif")
    assert str(error.value) == f"{tmp_path / 'photos'}: none of its 4 image files can be read: {why}"
    for number in range(4, 8):
        (tmp_path / "photos" / "ab"[number % 2] / f"{number}.png").write_bytes(png(pixels(3)))
    dataset = load.load_dataset(tmp_path / "photos")
    assert dataset.warnings == [f"{tmp_path / 'photos'}: 4 files not used: {why}"] and len(dataset.given) == 4
    assert capfd.readouterr().err == ""  # Pillow prints a line for each


def test_avif_of_ten_bits():
    content = saved(rgb(), "AVIF")
    place = content.index(b"pixi") + 9
    assert image_files._bits("AVIF", content) == 8
    assert image_files._bits("AVIF", content[:place] + b"\x0a\x0a\x0a" + content[place + 3:]) == 10


def test_sizes_of_several_images(tmp_path):
    """Strips of text, and images that are enlarged: those of the size that all get do not count."""
    (tmp_path / "photos/a").mkdir(parents=True)
    (tmp_path / "photos/b").mkdir()
    for number, size in enumerate([(200, 24), (60, 24), (32, 32), (10, 12)]):
        Image.new("L", size).save(tmp_path / "photos" / "ab"[number % 2] / f"{number}.png")
    dataset = load.load_dataset(tmp_path / "photos")
    assert [line.partition("photos: ")[2] for line in dataset.warnings] == [
        "3 images resized to 32 × 32 pixels, from 12 × 10 to 24 × 200: --image_size N keeps more detail, with N above 32"]
    assert dataset.shrunk == "12 × 10 to 24 × 200 to 32 × 32"
    dataset = load.load_dataset(tmp_path / "photos", image_size=200)
    assert dataset.shrunk is None and "N keeps more" not in dataset.warnings[0] and "4 images resized" in dataset.warnings[0]


def test_advice_of_shrunk_images():
    """Where the networks learned nothing, the verdict names what can be done: keep more of the images."""
    shrunk = Dataset(x_train=np.zeros((60, 32, 32, 3)), num_classes=2, shrunk="160 × 160 to 32 × 32")
    advice = check._advice(shrunk)
    assert check._advice(Dataset(x_train=np.zeros((60, 32, 32, 3)), num_classes=2)) is None
    y, p = np.arange(60) % 2, np.random.default_rng(0).dirichlet([5, 5], 60)
    found = verdict.verdict(y, p, p[None], p.argmax(axis=1) != y, advice=advice)
    assert found["outcome"] == "nothing" and found["sentence"].endswith(
        "; give --image_size N, with N above 32: the pictures were shrunk from 160 × 160 to 32 × 32 pixels; or give more "
        "samples")
    assert found["advice"] == advice
    usual = verdict.verdict(y, p, p[None], p.argmax(axis=1) != y)
    assert usual["sentence"].endswith("; give more samples, or features that tell the classes apart")
    assert "advice" not in usual


def test_shrunk_images_from_the_command_line(tmp_path):
    folder_of(tmp_path, png(pixels(3, 70)), ".png")
    result = run(["--dataset", "photos", "--image_size", 8, "--inspect"], tmp_path)
    assert result.code == 0 and "4 images resized to 8 × 8 pixels, from 70 × 70: --image_size N keeps more" in result.out
