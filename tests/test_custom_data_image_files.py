"""Image files: their pixels as a viewer shows them, and which files are opened at all."""
import io
import os
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from conftest import run
from examples import folder_of_pictures, random_picture, read
from PIL import Image

from incv import data, utils
from incv.checking import check, last_pass, verdict
from incv.custom_data import image_files, image_folder, load
from incv.data import Dataset


@pytest.mark.parametrize("turned, how", [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90),
                                         (8, Image.Transpose.ROTATE_270)])
def test_photographs_are_turned_as_their_exif_says(tmp_path, turned, how):
    upright = load.load_dataset(folder_of_pictures(tmp_path / "upright")).x_train

    def save(image, place):
        exif = Image.Exif()
        exif[0x0112] = turned
        image.transpose(how).save(place, exif=exif)

    dataset, warnings = read(folder_of_pictures(tmp_path / "turned", save), None)
    assert (dataset.x_train == upright).all() and "6 images oriented by their EXIF data" in warnings


def test_transparent_images_lie_on_white(tmp_path):
    def save(image, place):
        image.putalpha(Image.fromarray(np.where(np.arange(64).reshape(8, 8) < 32, 0, 255).astype(np.uint8)))
        image.save(place)

    dataset, warnings = read(folder_of_pictures(tmp_path, save), None)
    assert (dataset.x_train[:, :4] == 255).all() and (dataset.x_train[:, 4:] < 255).any()
    assert "6 images drawn on white" in warnings
    palette = Image.fromarray(np.zeros((8, 8), np.uint8), "P")
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "p" / "a" / "9.png", transparency=0)
    assert (load.load_dataset(tmp_path / "p").x_train[3] == 255).all()


def test_formats_are_told_by_content(tmp_path):
    place = folder_of_pictures(tmp_path)
    files = (("jfif", "jpeg"), ("avif", "avif"), ("JPG", "webp"), ("png", "bmp"), ("tif", "tiff"))
    for number, (ending, kind) in enumerate(files):
        random_picture(number).save(place / "a" / f"x{number}.{ending}", kind)
    random_picture(9).convert("CMYK").save(place / "b" / "cmyk.jpg")
    assert len(load.load_dataset(place).given) == 12 and set(image_files.FORMATS) >= {"AVIF", "WEBP"}


def test_formats_are_those_of_the_documentation():
    assert set(image_files.IMAGE_FILES) == {f".{each}" for each in [
        "png", "jpg", "jpeg", "jfif", "bmp", "gif", "tif", "tiff", "webp", "avif"]}


def test_pages_after_the_first_are_told(listed):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    first.save(listed / "pics" / "3.tiff", save_all=True, append_images=[second])
    first.save(listed / "pics" / "4.gif", save_all=True, append_images=[second])
    first.save(listed / "pics" / "5.gif")
    table = pd.read_csv(listed / "list.csv").replace({f"pics/{i}.png": f"pics/{i}.{end}"
                                                       for i, end in ((3, "tiff"), (4, "gif"), (5, "gif"))})
    table.to_csv(listed / "list.csv", index=False)
    dataset = load.load_dataset(listed / "list.csv", "label")
    assert [line for line in dataset.warnings if "pages" in line] == [
        f"{listed}: 2 files with several pages or frames: the first one is used"]
    assert (dataset.x_train[3] == [254, 0, 0]).all() or (dataset.x_train[3] == [255, 0, 0]).all()


def test_images_are_resized_where_they_differ_and_may_wait_on_the_disk(tmp_path, monkeypatch):
    utils.start_backend(threads=2)
    rng = np.random.default_rng(0)
    for number in range(6):
        (tmp_path / "photos" / "xy"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
            tmp_path / "photos" / "xy"[number % 2] / f"{number}.png")
    assert load.facts(tmp_path / "photos").shape == (40, 50, 3)
    assert load.facts(tmp_path / "photos", image_size=20).shape == (20, 20, 3)
    dataset = load.load_dataset(tmp_path / "photos")
    assert dataset.names.tolist() == ["x/0.png", "x/2.png", "x/4.png", "y/1.png", "y/3.png", "y/5.png"]
    assert (dataset.x_train[1] == np.asarray(Image.open(tmp_path / "photos/x/2.png"))).all()
    assert dataset.given.tolist() == [0, 0, 0, 1, 1, 1] and dataset.flip and dataset.shift == 5
    monkeypatch.setattr(image_files, "IN_MEMORY", 1000)
    on_disk = load.load_dataset(tmp_path / "photos", scratch=tmp_path)
    assert isinstance(on_disk.x_train, np.memmap) and (on_disk.x_train == dataset.x_train).all()
    some = data.part(on_disk, np.array([5, 0]))
    assert isinstance(some.x_train, np.memmap) and (some.x_train == dataset.x_train[[5, 0]]).all()
    assert some.names.tolist() == ["y/5.png", "x/0.png"] and some.given.tolist() == [1, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
    Image.new("RGB", (90, 30)).save(tmp_path / "photos/x/wide.png")
    assert load.facts(tmp_path / "photos").shape == (32, 32, 3)


# --- files that are not opened ----------------------------------------------------------------------------------------

def test_only_documented_formats_are_opened_whatever_a_file_is_called(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was called"))
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / name / f"{number}.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / "a" / "trap.eps")
    (tmp_path / "pictures" / "a" / "trap.eps").rename(tmp_path / "pictures" / "a" / "trap.png")
    dataset = load.load_dataset(tmp_path / "pictures")
    assert len(dataset.given) == 4 and dataset.left_out == {"a/trap.png": "not a readable image"}


@pytest.mark.parametrize("kind", ["fifo", "endless device"])
def test_what_is_no_regular_file_is_no_picture(tmp_path, kind):
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "pictures" / name / f"{number}.png")
    trap = tmp_path / "pictures" / "a" / "2.png"
    os.mkfifo(trap) if kind == "fifo" else trap.symlink_to("/dev/zero")
    dataset = load.load_dataset(tmp_path / "pictures")
    assert len(dataset.given) == 4 and dataset.left_out == {"a/2.png": "empty, too large, or not a regular file"}


# --- what is lost when an image is read: bands, bits, colours, pages and pixels -------------------------------------------

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
    predicted = last_pass.Predicted(y=y, p=p, last=p, first=p)
    found = verdict.verdict(predicted, p.argmax(axis=1) != y, advice=advice)
    assert found["outcome"] == "nothing" and found["sentence"].endswith(
        "; give --image_size N, with N above 32: the pictures were shrunk from 160 × 160 to 32 × 32 pixels; or give more "
        "samples")
    assert found["advice"] == advice
    usual = verdict.verdict(predicted, p.argmax(axis=1) != y)
    assert usual["sentence"].endswith("; give more samples, or features that tell the classes apart")
    assert "advice" not in usual


def test_shrunk_images_from_the_command_line(tmp_path):
    folder_of(tmp_path, png(pixels(3, 70)), ".png")
    result = run(["--dataset", "photos", "--image_size", 8, "--inspect"], tmp_path)
    assert result.code == 0 and "4 images resized to 8 × 8 pixels, from 70 × 70: --image_size N keeps more" in result.out


def test_whatever_a_decoder_raises_is_no_readable_image(tmp_path, capfd):
    """Bytes of images of all formats, changed at random: each is read, or counted, and nothing is printed."""
    generator, image = np.random.default_rng(0), rgb()
    whole = [saved(image, kind, **options) for kind, options in (
        ("png", {}), ("gif", {}), ("bmp", {}), ("jpeg", {}), ("webp", {}), ("avif", {}),
        ("tiff", {"compression": "tiff_lzw"}), ("tiff", {"compression": "jpeg"}))]
    contents = whole + [b"\x89PNG\r\n\x1a\n\0\0\0\0IHDR", b"P", b""]
    for number in range(240):
        content = bytearray(whole[number % len(whole)])
        for place in generator.integers(8, 60 if number % 2 else len(content), 3):
            content[place] = generator.integers(256)
        contents.append(bytes(content))
    found = image_files.scan_contents(tmp_path, ((str(number), "a", lambda content=content: content)
                                                 for number, content in enumerate(contents)), 8)
    x, broken = image_files.decode("", found.files, found.shape, contents=(contents[int(name)] for name in found.files))
    assert len(x) == len(found.files) and len(found.files) + len(found.left_out) == len(contents)
    assert set(map(str, range(len(whole)))) <= set(found.files) and not set(range(len(whole))) & set(broken)
    assert capfd.readouterr().err == ""


def test_links_in_a_circle_are_no_pictures(tmp_path):
    """In files, in folders, in a list; links to nothing too."""
    for label in "ab":
        (tmp_path / "all" / label).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), 30 * number).save(tmp_path / "all" / label / f"{number}.png")
    for place, to in (("all/a/circle.png", "circle.png"), ("all/a/nothing.png", "nowhere"), ("all/b/folder", "folder"),
                      ("all/top", "top"), ("all/.hidden", ".hidden")):
        (tmp_path / place).symlink_to(to)
    found = image_folder.scan(str(tmp_path / "all"))
    assert len(found.files) == 8 and len(found.left_out) == 5, found.left_out
    names = [f"all/{label}/{number}.png" for label in "ab" for number in range(4)]
    names += ["all/a/circle.png", "all/a/nothing.png"]
    (tmp_path / "list.csv").write_text("file,label\n" + "".join(f"{name},{name[4]}\n" for name in names))
    dataset = load.load_dataset(tmp_path / "list.csv", "label")
    assert len(dataset.given) == 8 and list(dataset.left_out.values()) == ["not a readable image"] * 2


@pytest.mark.slow
def test_folders_of_any_depth_are_read(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(2):
            Image.new("L", (8, 8), 30 * number).save(tmp_path / label / f"{number}.png")
    here, moved = os.getcwd(), 0
    os.chdir(tmp_path / "a")
    try:
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
            moved += 1
        Image.new("L", (8, 8), 99).save("deep.png")
        assert len(image_folder.scan(str(tmp_path)).files) == 5
        os.remove("deep.png")
        for _ in range(moved):  # which shutil, as pytest uses it, cannot remove
            os.chdir("..")
            os.rmdir("d")
    finally:
        os.chdir(here)


@pytest.mark.parametrize("place", ["a/0.png", "b/99.png"])
def test_an_image_that_was_cut_does_not_decide_the_size_of_the_others(tmp_path, place):
    for number in range(60):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / "ab"[number % 2] / f"{number}.png")
    Image.effect_noise((64, 64), 50).save(tmp_path / place)
    whole = (tmp_path / place).read_bytes()
    assert load.load_dataset(tmp_path).x_train.shape[1:3] == (32, 32)
    (tmp_path / place).write_bytes(whole[:len(whole) // 2])
    dataset = load.load_dataset(tmp_path)
    assert dataset.x_train.shape[1:3] == (16, 16) and dataset.left_out == {place: "not a readable image"}
    assert not any("resized" in line for line in dataset.warnings)


def test_a_damaged_image_of_16_bits_is_counted_and_a_sound_one_refused(tmp_path):
    """Damaged images of a kind that is refused, such as floats, are counted like other damaged ones."""
    deep = saved(Image.fromarray(np.random.default_rng(0).integers(0, 2 ** 16, (16, 16), dtype=np.uint16)), "png")

    def scanned(content):
        contents = [saved(rgb(), "png"), content]
        return image_files.scan_contents(tmp_path, ((str(number), "a", lambda each=each: each)
                                                    for number, each in enumerate(contents)), 8)

    found = scanned(deep[:-80])
    assert found.files == ["0"] and found.left_out == {"1": "not a readable image"}
    with pytest.raises(data.DataError, match="a 16-bit or float image"):
        scanned(deep)
