"""More inputs as people have them: read as a person sees them, told, or refused in one line; without training."""
import json
import unicodedata
import zipfile

import numpy as np
import pandas as pd
import pytest
from conftest import run
from PIL import Image

from incv import data
from incv.custom_data import features, formats, image_files, load, table_file
from incv.custom_data.source import Source

I = range(120)


def written(place, content, encoding="utf-8"):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return place


def of_column(path, name="v", label="label"):
    """Return a column as it is before it is standardised, and the warnings of the dataset."""
    features = formats.Table(Source(path=str(path), label=label)).read()[1]
    return features._converted(table_file.read_table(path, label)[0])[name].tolist(), load.load_dataset(path, label).warnings


def table(cells, sep=",", end="\n"):
    """Return a table of a column v of these cells, a column w and a label."""
    rows = [f"{cell}{sep}{i * 7 % 11}{sep}{'ab'[i // 2 % 2]}" for i, cell in enumerate(cells)]
    return end.join([f"v{sep}w{sep}label", *rows]) + end


def picture(place, colour=(10, 200, 30), size=8, **options):
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(place, **options)


def refused(words, path, *arguments, **options):
    with pytest.raises(data.DataError) as error:
        load.load_dataset(path, *arguments, **options)
    assert words in str(error.value) and "\n" not in str(error.value), str(error.value)


# --- the file of a table ----------------------------------------------------------------------------------------------

NUMBERS = [f"{i * 37 % 101}.5" for i in I]


@pytest.mark.parametrize("content, told", {
    "Excel's first line": ("sep=;\r\n" + table(NUMBERS, ";", "\r\n"), "separated by semicolons"),
    "an empty first line": ("\n \n" + table(NUMBERS), None), "an old Mac": (table(NUMBERS, end="\r"), None),
    "an end of file of DOS": (table(NUMBERS) + "\x1a", None),
    "UTF-16 without a mark": (table(NUMBERS).encode("utf-16-le"), "UTF-16"),
    "UTF-16, the other order": (table(NUMBERS).encode("utf-16-be"), "UTF-16"),
    "UTF-32": (table(NUMBERS).encode("utf-32"), "UTF-32"),
}.values())
def test_files_as_other_programs_write_them(tmp_path, content, told):
    found, warnings = of_column(written(tmp_path / "t.csv", content))
    assert found == list(map(float, NUMBERS)) and (told is None and not warnings or told in " ".join(warnings)), warnings


@pytest.mark.parametrize("sep", "\t,")
def test_quotes_that_are_letters_join_no_rows(tmp_path, sep):
    lines = [f'"Film {i} was great' if i % 10 == 0 else f"film {i} was dull" for i in I]
    found, warnings = of_column(written(tmp_path / f"t.{'tsv' if sep == chr(9) else 'csv'}", table(lines, sep)))
    assert found == lines and any("quotes are read as ordinary characters" in line for line in warnings)


def test_quotes_around_fields_are_marks(tmp_path):
    cells = [f'"{i}, or\nso"' if i % 3 else f'"say ""{i}"""' for i in I]
    found, notes = table_file.read_table(written(tmp_path / "t.csv", table(cells)), "label")
    assert found["v"].tolist() == [f"{i}, or\nso" if i % 3 else f'say "{i}"' for i in I] and not notes


def test_a_quote_that_ends_in_another_line_is_named(tmp_path):
    lines = table(['"x' if i in (5, 9) else f"{i}" for i in I]).splitlines()
    lines[60] += ",more"
    refused("line 7 has a quote that ends in another line", written(tmp_path / "t.csv", "\n".join(lines)), "label")


def test_cells_longer_than_a_library_expects(tmp_path):
    path = written(tmp_path / "t.csv", table(["x" * 150_000 if i == 3 else f"{i}" for i in I]))
    assert len(table_file.read_table(path, "label")[0]["v"][3]) == 150_000


def test_a_zip_is_no_excel_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.csv", "w") as archive:
        archive.writestr("data.csv", table(NUMBERS))
    refused("a .zip despite its name: unpack it", tmp_path / "t.csv", "label")


def test_half_a_character_in_a_jsonl(tmp_path):
    rows = [json.dumps({"v": f"cut {i} \ud83d", "w": i % 7, "label": "ab"[i % 2]}) for i in I]
    path = written(tmp_path / "t.jsonl", "\n".join(rows))
    assert load.load_dataset(path, "label").x_train.shape == (120, 1)
    assert table_file.read_table(path, "label")[0]["v"].tolist() == [f"cut {i} \ufffd" for i in I]


def test_the_index_and_the_bytes_of_a_parquet(tmp_path):
    frame = pd.DataFrame({"v": [f"{i % 7}".encode() for i in I], "label": [b"ab"[i % 2:i % 2 + 1] for i in I]},
                         index=pd.Index([f"p{i // 4}" for i in I], name="patient"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert of_column(tmp_path / "t.parquet")[0] == [i % 7 for i in I]
    assert "the index 'patient' is read as a column" in " ".join(load.load_dataset(tmp_path / "t.parquet", "label").warnings)
    dataset = load.load_dataset(tmp_path / "t.parquet", "label", group="patient")
    assert dataset.groups.tolist() == [f"p{i // 4}" for i in I] and dataset.class_names.tolist() == ["a", "b"]


def test_bytes_that_are_no_images_name_their_column(tmp_path):
    frame = pd.DataFrame({"v": [i % 7 for i in I], "blob": [b"\xff\xfe\x00" + bytes([i]) for i in I],
                          "label": ["ab"[i % 2] for i in I]})
    frame.to_parquet(tmp_path / "t.parquet")
    result = run(["--dataset", "t.parquet", "--label", "label", "--inspect"], tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and "bytes in column 'blob' are not readable images" in result.err
    result = run(["--dataset", "t.parquet", "--label", "label", "--drop", "blob", "--inspect"], tmp_path)
    assert result.code == 0 and "blob" not in result.err, result.err


def test_columns_that_have_separators_in_their_names(tmp_path):
    path = written(tmp_path / "t.csv", "T,C;p,Pa;label\n" + "".join(f"{i % 9},5;{i % 8},25;{'ab'[i % 2]}\n" for i in I))
    assert [*table_file.read_table(path, as_text=True, raw=["label"])[0]] == ["T,C", "p,Pa", "label"]
    source = Source(facts=load.facts(path, "label"), path=str(path), label="label")
    new = written(tmp_path / "new.csv", "T,C;p,Pa\n1,5;1,25\n")
    assert np.array_equal(load.samples_like(new, source)[0], load.load_dataset(path, "label").x_train[1:2])


# --- columns ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cells, expected, how", {
    "wide digits": ([f"{i % 90}.5".translate({ord(c): 0xff01 + ord(c) - 0x21 for c in "0123456789."}) for i in I],
                    [i % 90 + 0.5 for i in I], "read as numbers"),
    "accounts": ([f"({i}.50)" if i % 9 == 0 else f"{i}.50" for i in I], [-i - 0.5 if i % 9 == 0 else i + 0.5 for i in I],
                 "-0.50 for '(0.50)'"),
    "SAP": ([f"{i + 1}.50-" if i % 9 == 0 else f"{i}.50" for i in I], [-i - 1.5 if i % 9 == 0 else i + 0.5 for i in I],
            "-1.50 for '1.50-'"),
    "lakhs": (['"1,23,456"' if i % 3 else '"12,345"' for i in I], [123456 if i % 3 else 12345 for i in I], "commas between"),
    "a unit": ([f"{i}.25 kg" for i in I], [i + 0.25 for i in I], "without kg"),
    "missing in a database": (["\\N" if i % 4 == 0 else f"{i}" for i in I], [np.nan if i % 4 == 0 else i for i in I],
                              "30 cells '\\\\N' as missing"),
}.values())
def test_numbers_in_yet_another_dress(tmp_path, cells, expected, how):
    found, warnings = of_column(written(tmp_path / "t.csv", table(cells)))
    assert np.array_equal(found, expected, equal_nan=True) and any(how in line for line in warnings), warnings


def test_new_rows_in_another_unit_are_refused(tmp_path):
    path = written(tmp_path / "t.csv", table([f"{i}.25 kg" for i in I]))
    source = Source(facts=load.facts(path, "label"), path=str(path), label="label")
    found = load.samples_like(written(tmp_path / "one.csv", "v,w\n1.25 kg,7\n1.25,7\n"), source)[0]
    assert np.array_equal(found, load.load_dataset(path, "label").x_train[[1, 1]])
    with pytest.raises(data.DataError, match="'1250 g', which are not numbers"):
        load.samples_like(written(tmp_path / "other.csv", "v,w\n1250 g,7\n"), source)


def test_carelessly_quoted_text_of_several_lines_is_read_as_before(tmp_path):
    cells = ['"first, and\nsecond, line"' if i % 3 == 0 else f'"he said "hi" {i}"' for i in I]
    found, notes = table_file.read_table(written(tmp_path / "t.csv", table(cells)), "label")
    assert len(found) == 120 and found["v"][0] == "first, and\nsecond, line" and not notes


@pytest.mark.parametrize("cells", [[f"10.0.{i}.{i * 7 % 250}" for i in I], [f"{i % 5}.{i % 3}.{i}" for i in I]])
def test_addresses_and_versions_are_no_dates(tmp_path, cells):
    dataset = load.load_dataset(written(tmp_path / "t.csv", table(cells)), "label")
    assert not any("date" in line for line in dataset.warnings)


def test_times_all_different_are_not_called_names(tmp_path):
    path = written(tmp_path / "t.csv", table([f"{i % 24:02d}:{i * 7 % 60:02d}:{i % 60:02d}" for i in I]))
    assert "column 'v' has a different text in each row: not used" in " ".join(load.load_dataset(path, "label").warnings)
    named = written(tmp_path / "n.csv", table([f"C{i:03d}" for i in I]))
    assert "column 'v' names each row: not used" in " ".join(load.load_dataset(named, "label").warnings)


def test_text_without_spaces_between_words(tmp_path):
    good, bad = "この映画はとても素晴らしかったです", "退屈で最悪の作品だと思いました"
    cells = [f"{(good, bad)[i // 2 % 2]}{chr(0x4e00 + i)}{chr(0x5e00 + i)}" for i in I]
    path = written(tmp_path / "t.csv", table(cells))
    fitted = features.Features(table_file.read_table(path, "label")[0][["v"]], path)
    dataset = load.load_dataset(path, "label")
    assert fitted.columns["v"].kind == "text" and any("TF-IDF of its characters" in line for line in dataset.warnings)
    assert fitted.x.shape == (120, fitted.num_features) and fitted.num_features > 20
    same = [i for i in I if i // 2 % 2 == 0]
    assert (fitted.x[same] @ fitted.x[same].T).min() > (fitted.x[same] @ np.delete(fitted.x, same, axis=0).T).max()


@pytest.mark.parametrize("cell", [lambda i: " ".join(str((i * each) % 256) for each in range(40)),
                                  lambda i: '"' + str([round(i / (each + 1), 3) for each in range(10)]) + '"'])
def test_lists_of_numbers_in_a_cell_are_refused(tmp_path, cell):
    refused("column 'v' contains lists of numbers", written(tmp_path / "t.csv", table(map(cell, I))), "label")


@pytest.mark.parametrize("name, cells", [("", [(i * 37 + 5) % 120 for i in I]), ("id", [i * 3 + i * i for i in I]),
                                         ("key", [(i * 7 + 1) % 120 + 4 for i in I])])
def test_numbers_of_rows_are_told(tmp_path, name, cells):
    text = table(cells).replace("v,", f"{name},", 1)
    warnings = load.load_dataset(written(tmp_path / "t.csv", text), "label").warnings
    assert any(f"column {name or 'Unnamed: 0'!r} has a different whole number" in line for line in warnings), warnings
    other = load.load_dataset(written(tmp_path / "u.csv", table([i * i for i in I])), "label").warnings
    assert not any("different whole number" in line for line in other)


def test_a_row_where_the_names_should_be(tmp_path):
    rows = "".join(f"{i % 50 / 10},{i % 7 / 10},{'ab'[i % 2]}\n" for i in I)
    warnings = load.load_dataset(written(tmp_path / "t.csv", rows), "a").warnings
    assert any("the first line is used as the column names, such as '0.0'" in line for line in warnings), warnings
    for names in ("0,1,2,label", "1990,2000,2010,label"):  # as pandas writes columns without a name, and years
        text = names + "\n" + "".join(f"{i % 50},{i % 7},{i * i % 13},{'ab'[i % 2]}\n" for i in I)
        assert not any("first line" in line for line in load.load_dataset(written(tmp_path / "n.csv", text), "label").warnings)


@pytest.mark.parametrize("none", ["<NA>", "\\N", "(null)", "k. A."])
def test_labels_that_mean_none_in_databases(tmp_path, none):
    text = "v,label\n" + "".join(f"{i % 13},{none if i % 10 == 0 else 'ab'[i % 2]}\n" for i in I)
    warnings = load.load_dataset(written(tmp_path / "t.csv", text), "label").warnings
    assert any(f"class {none!r} (12 samples) may mean that there is no label" in line for line in warnings), warnings


# --- pictures ---------------------------------------------------------------------------------------------------------

def test_a_class_whose_pictures_open_and_cannot_be_decoded_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for name in "abc":
        for i in range(4):
            (tmp_path / "f" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise).save(tmp_path / "f" / name / f"{i}.jpg")
    for i in range(3):
        cut = tmp_path / "f/c" / f"{i}.jpg"
        cut.write_bytes(cut.read_bytes()[:1500])
    words = "of the 4 images of class 'c', 3 cannot be read"
    refused(words, tmp_path / "f")
    listed = pd.DataFrame([(f"{name}/{i}.jpg", name) for name in "abc" for i in range(4)], columns=["file", "label"])
    listed.to_csv(tmp_path / "f" / "list.csv", index=False)
    refused(words, tmp_path / "f/list.csv", "label")


@pytest.mark.parametrize("files, give", [
    ([f"seg_{part}/seg_{part}/{end}{i}.png" for part, end in (("train", "a/"), ("train", "b/"), ("test", "a/"), ("pred", ""))
      for i in range(2)], "seg_train"),
    ([f"{place}/{i}.png" for place in ("Train/0", "Train/1", "Test", "Meta") for i in range(2)], "Train"),
    ([f"photos/{place}/{i}.png" for place in "ab" for i in range(2)], "photos")])
def test_folders_above_the_classes_are_refused(tmp_path, files, give):
    for file in files:
        picture(tmp_path / "f" / file)
    refused(f"give --dataset {tmp_path / 'f' / give}", tmp_path / "f")


def test_variants_above_the_classes_and_masks_are_told(tmp_path):
    for place in ("color", "grey"):
        for name in "ab":
            picture(tmp_path / "f" / place / name / "1.png")
            picture(tmp_path / "f" / place / name / "2.png")
    assert any("if subfolders are the classes" in line for line in load.load_dataset(tmp_path / "f").warnings)
    for name in "ab":
        for end in ("1", "1_mask", "2", "unmasked"):
            picture(tmp_path / "g" / name / f"x ({end}).png".replace("_mask).", ")_mask."))
    warnings = load.load_dataset(tmp_path / "g").warnings
    assert any("2 images such as 'a/x (1)_mask.png' may be masks" in line for line in warnings), warnings


def test_a_picture_beside_a_table_does_not_make_it_a_list(tmp_path):
    picture(tmp_path / "1.jpg")
    picture(tmp_path / "30.png")
    text = "class,age,label\n" + "".join(f"{i % 3},{i * 7 % 60},{'ab'[i // 2 % 2]}\n" for i in I)
    assert load.load_dataset(written(tmp_path / "t.csv", text), "label").x_train.shape == (120, 2)


def test_a_list_of_boxes(tmp_path):
    """The columns of places look like names of pictures, and each picture has several labels."""
    for i in range(6):
        picture(tmp_path / f"{i}.jpg", (i * 40, 0, 0))
    text = "filename,class,xmin\n" + "".join(f"{i}.jpg,{kind},{i}\n" for i in range(6) for kind in ("cat", "dog"))
    dataset = load.load_dataset(written(tmp_path / "t.csv", text), "class")
    assert dataset.names.tolist() == [f"{i}.jpg" for i in range(6) for _ in "ab"]
    assert any("12 rows name 6 pictures, 6 of them with different labels, such as '0.jpg'" in line
               for line in dataset.warnings)


def test_addresses_of_pictures_are_no_files(tmp_path):
    cells = [f"https://example.org/{i}.png" for i in I]
    assert load.load_dataset(written(tmp_path / "t.csv", table(cells)), "label").x_train.shape == (120, 1)
    refused("or --drop 'v' to read a table", written(tmp_path / "u.csv", table([f"{i}.png" for i in I])), "label")


def test_numbers_that_lost_the_zeros_of_their_pictures(tmp_path):
    for i in range(8):
        picture(tmp_path / "pics" / f"{i + 1:04d}.jpg")
    text = "id,label\n" + "".join(f"{i + 1},{'ab'[i % 2]}\n" for i in range(8))
    words = "column 'id' contains '1', but the picture is called '0001': write the zeros"
    refused(words, written(tmp_path / "pics/list.csv", text), "label")
    refused(words, written(tmp_path / "list.csv", text), "label", images=str(tmp_path / "pics"))


def test_labels_that_are_no_npy(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(24.0).reshape(12, 2))
    labels = written(tmp_path / "y.csv", "a\nb\n" * 6)
    refused("y.csv: not an .npy despite its name; save an array", tmp_path / "x.npy", labels=str(labels))


def test_a_label_as_the_header_has_it(tmp_path):
    written(tmp_path / "t.csv", "v, label \n" + "".join(f"{i % 13},{'ab'[i % 2]}\n" for i in I))
    result = run(["--dataset", "t.csv", "--label", " label ", "--inspect"], tmp_path)
    assert result.code == 0 and "2 classes: 'a' 60, 'b' 60" in result.out, result.err


def test_accents_composed_or_not(tmp_path):
    for i in range(8):
        picture(tmp_path / unicodedata.normalize("NFD", f"Größe {i}.png"))
    text = unicodedata.normalize("NFC", "file,Art\n" + "".join(f"Größe {i}.png,{'ab'[i % 2]}\n" for i in range(8)))
    assert len(load.load_dataset(written(tmp_path / "t.csv", text), "Art").given) == 8
    header = unicodedata.normalize("NFD", "v,Größe\n")
    path = written(tmp_path / "n.csv", header + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in I))
    assert len(load.load_dataset(path, unicodedata.normalize("NFC", "Größe")).given) == 120
    written(tmp_path / "m.csv", unicodedata.normalize("NFD", "v,Höhe,Größe\n") + "".join(
        f"{i % 7},{i % 5},{'ab'[i % 2]}\n" for i in I))
    for form in ("NFC", "NFD"):
        named = [unicodedata.normalize(form, each) for each in ("--label", "Größe", "--drop", "Höhe")]
        result = run(["--dataset", "m.csv", *named, "--inspect"], tmp_path)
        assert result.code == 0 and "120 samples of 1 features" in result.out, result.err


@pytest.mark.parametrize("separator", ["\t", "  ", ",", "; "])
def test_labels_with_spaces_in_a_file_list(tmp_path, separator):
    kinds = ["golden retriever", "poodle"]
    for i in range(8):
        picture(tmp_path / f"my dog {i}.jpg")
    lines = "".join(f"my dog {i}.jpg{separator}{kinds[i % 2]}\n" for i in range(8))
    dataset = load.load_dataset(written(tmp_path / "list.txt", lines))
    assert dataset.class_names[dataset.given].tolist() == kinds * 4 and dataset.names[0] == "my dog 0.jpg"


def test_formats_are_those_of_the_documentation():
    assert set(image_files.IMAGE_FILES) == {f".{each}" for each in [
        "png", "jpg", "jpeg", "jfif", "bmp", "gif", "tif", "tiff", "webp", "avif"]}
