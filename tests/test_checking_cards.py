"""What a card shows: pictures of the originals that stay small, the values that tell most, lines."""
import base64
import io

import numpy as np
import pandas as pd
from examples import PICTURE_KINDS, folder_of_pictures, png, shards
from PIL import Image

from incv.checking import cards
from incv.custom_data import load
from incv.custom_data.source import Source


def decoded(card):
    content = base64.b64decode(card["picture"].removeprefix("data:image/webp;base64,"))
    return Image.open(io.BytesIO(content)), len(content)


def of(path, positions, label=None, suggested=None, **options):
    """(what `cards.of` returns, the data.Dataset)."""
    source = Source(path=str(path), label=label, **options)
    dataset, positions = load.load_dataset(source), np.array(positions)
    suggested = 1 - dataset.given[positions] if suggested is None else suggested
    return cards.of(source, dataset, dataset.given, suggested, positions), dataset


def test_pictures_are_those_of_the_files(tmp_path):
    """Larger than what networks see, rotated as their EXIF data say, and never more than 4 KB, whatever they show."""
    generator = np.random.default_rng(0)
    for number in range(6):
        place = tmp_path / "p" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        noise = Image.fromarray(generator.integers(0, 256, (400, 600, 3), dtype=np.uint8))
        exif = noise.getexif()
        exif[0x0112] = 6
        noise.save(place / f"{number}.jpg", exif=exif)
    (_, found), dataset = of(tmp_path / "p", [0, 3])
    assert dataset.x_train.shape[1:3] == (32, 32)
    for card in found:
        picture, size = decoded(card)
        assert size <= cards.LARGEST and picture.width < picture.height <= 160 and not card["small"]
    smooth = Image.linear_gradient("L").resize((500, 300))
    smooth.save(tmp_path / "p/a/0.jpg")
    picture, _ = decoded(of(tmp_path / "p", [0])[0][1][0])
    assert picture.size == (160, 96)


def test_files_that_change_while_a_run_is_under_way(tmp_path, capsys):
    """They are shown as the networks saw them, and the run ends well."""
    folder = folder_of_pictures(tmp_path, lambda image, place: image.resize((200, 100)).save(place))
    source = Source(path=str(folder))
    dataset, positions = load.load_dataset(source), np.array([1, 4])
    for file in (folder / "a").iterdir():
        file.write_bytes(b"no picture")
    _, found = cards.of(source, dataset, dataset.given, dataset.given[positions], positions)
    assert [decoded(card)[0].size for card in found] == [(32, 32)] * 2
    assert "changed while the run was under way" in capsys.readouterr().out


def test_small_arrays_are_kept_exactly(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (8, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(8) % 2)
    (_, found), _ = of(tmp_path / "a.npz", [5, 2])
    for card, position in zip(found, (5, 2), strict=True):
        assert card["small"] and np.abs(np.asarray(decoded(card)[0].convert("L")).astype(int) - x[position]).max() <= 1


def test_pictures_in_a_parquet(tmp_path):
    """In whatever order they are read."""
    shards(tmp_path / "d", {"image": [png(n) for n in range(24)], "label": PICTURE_KINDS.tolist()})
    (_, found), _ = of(tmp_path / "d", [20, 3, 11], "label")
    for card, number in zip(found, (20, 3, 11), strict=True):
        expected = np.asarray(Image.open(io.BytesIO(png(number))).convert("RGB")).astype(int)
        assert np.abs(np.asarray(decoded(card)[0].convert("RGB")).astype(int) - expected).max() <= 1


def test_values_that_differ_most_from_the_suggested_class_come_first(tmp_path):
    generator, n = np.random.default_rng(0), 60
    kind = np.arange(n) % 2
    table = pd.DataFrame({
        "narrow": 5 + 0.1 * generator.normal(size=n), "wide": 1000 * kind + 100 * generator.normal(size=n),
        "colour": np.array(["red", "blue"])[kind], "kind": np.array(["a", "b"])[kind],
        "secret": np.array(["a", "b"])[kind],
        "note": [f"a long remark about the number {i} that nobody else makes" for i in range(n)]})
    table.loc[7, ["narrow", "colour"]] = [9.25, "red"]
    table.to_csv(tmp_path / "t.csv", index=False)
    (shared, [card]), dataset = of(tmp_path / "t.csv", [7], "kind", np.array([0]), true_label="secret")
    names = [shared["columns"][number] for number, _ in card["values"]]
    assert names == ["narrow", "wide", "colour"] and card["texts"] == [["note", table["note"][7]]]
    assert dict(zip(names, [text for _, text in card["values"]], strict=True))["narrow"] == "9.25"
    medians = table[dataset.given == 0]["wide"].median(), table[dataset.given == 1]["wide"].median()
    assert shared["medians"][shared["columns"].index("wide")] == [f"{each:.4g}" for each in medians]


def test_vectors_are_lines(tmp_path):
    x = np.sin(np.linspace(0, 9, 400) + np.random.default_rng(0).uniform(0, 6, (20, 1)))
    np.savez(tmp_path / "v.npz", x=x, y=np.arange(20) % 2)
    (shared, [card]), _ = of(tmp_path / "v.npz", [4])
    assert len(card["line"]) == len(shared["medians"][0]) == cards.POINTS
    assert np.corrcoef(card["line"], x[4][np.linspace(0, 399, cards.POINTS).astype(int)])[0, 1] > 0.95
