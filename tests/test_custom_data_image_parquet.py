"""Pictures inside a .parquet or its parts; bytes that are no pictures."""
import json

import numpy as np
import pandas as pd
import pytest
from conftest import run
from examples import J, N, pictures_of, pixels, png, refused, shards

from incv.checking import export
from incv.custom_data import load
from incv.custom_data.source import Source


@pytest.mark.parametrize("kind", ["struct", "bytes"])
def test_pictures_inside_a_parquet(tmp_path, kind):
    import pyarrow
    import pyarrow.parquet

    content = [{"bytes": png(n), "path": f"p{n}.png"} if kind == "struct" else png(n) for n in range(N)]
    table = pyarrow.table({"image": content, "label": pyarrow.array(np.arange(N) % 2), "note": ["x"] * N})
    features = {"image": {"_type": "Image"}, "label": {"names": ["dark", "lit"], "_type": "ClassLabel"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, tmp_path / "p.parquet", row_group_size=N)
    dataset = load.load_dataset(tmp_path / "p.parquet", "label")
    assert (dataset.x_train[..., 0] == [pixels(n) for n in range(N)]).all() and dataset.class_names.tolist() == ["dark", "lit"]
    assert dataset.names.tolist() == [f"p{n}.png" if kind == "struct" else str(n) for n in range(N)]
    source = Source(path=str(tmp_path / "p.parquet"), label="label")
    export._write_rows(tmp_path / "clean.parquet", pictures_of(source.path, source), "label", np.array([0, 1, 3, 4]),
                       {3: "dark"})
    again = pyarrow.parquet.read_table(tmp_path / "clean.parquet")
    assert again["image"].to_pylist() == [content[n] for n in (0, 1, 3, 4)] and again["label"].to_pylist() == [0, 1, 0, 0]
    assert again.schema.metadata[b"huggingface"] == table.schema.metadata[b"huggingface"]


def test_a_folder_of_parquet_shards(tmp_path):
    import pyarrow.parquet

    columns = {"image": [{"bytes": png(n), "path": f"p{n}.png"} for n in range(N)], "label": (np.arange(N) % 2).tolist()}
    features = {"label": {"names": ["lit", "dark"], "_type": "ClassLabel"}}
    folder = shards(tmp_path / "parts", columns, features=features)
    dataset = load.load_dataset(folder, "label")
    assert (dataset.x_train[..., 0] == [pixels(n) for n in range(N)]).all() and dataset.rows.tolist() == list(range(N))
    assert dataset.class_names[dataset.given].tolist() == ["lit", "dark"] * (N // 2)
    source = Source(path=str(folder), label="label")
    assert load.facts(source).name == "parts"
    rows = np.array([1, 9, 10, 20])
    export._write_rows(tmp_path / "clean.parquet", pictures_of(folder, source), "label", rows, {10: "dark"})
    again = pyarrow.parquet.read_table(tmp_path / "clean.parquet")
    assert again["image"].to_pylist() == [columns["image"][n] for n in rows]
    assert again["label"].to_pylist() == [1, 1, 1, 0]
    before = load.facts(source).checksum
    shards(folder, columns | {"label": columns["label"][::-1]}, features=features)
    assert load.facts(source).checksum != before
    refused(["several tables ('test', 'train')"], shards(tmp_path / "both", columns, ("train-0000", "test-0000")), "label")
    refused(["neither contain nor name pictures"], shards(tmp_path / "plain", {"a": columns["label"]}), "a")
    (folder / "lit").mkdir()  # a folder of images, beside which lies a table
    (folder / "lit/0.png").write_bytes(png(0))
    refused(["--label is for tables"], folder, "label")


def test_first_classes_in_the_order_of_the_metadata(tmp_path):
    names = ["lit", "dark", "other"]  # the order of the metadata, not of the alphabet
    columns = {"image": [png(n) for n in range(N)], "label": (np.arange(N) % 3).tolist()}
    parts = shards(tmp_path / "parts", columns, features={"label": {"names": names, "_type": "ClassLabel"}})
    dataset = load.load_dataset(parts, "label", classes=2)
    assert dataset.class_names.tolist() == ["dark", "lit"] and (dataset.rows % 3 < 2).all() and len(dataset.rows) == N // 3 * 2
    assert (dataset.x_train[3, ..., 0] == pixels(4)).all()


def test_a_parquet_whose_bytes_are_no_pictures(tmp_path):
    pd.DataFrame({"v": np.arange(60) % 7, "key": [b"x%d" % i for i in range(60)], "kind": ["a", "b"] * 30}).to_parquet(
        tmp_path / "t.parquet")
    result = run(["--dataset", "t.parquet", "--label", "kind", "--drop", "key", "--inspect"], tmp_path)
    assert result.code == 0 and "60 samples of 1 features" in result.out.replace("feature\n", "features\n"), result.err


def test_bytes_that_are_no_images_name_their_column(tmp_path):
    frame = pd.DataFrame({"v": [i % 7 for i in J], "blob": [b"\xff\xfe\x00" + bytes([i]) for i in J],
                          "label": ["ab"[i % 2] for i in J]})
    frame.to_parquet(tmp_path / "t.parquet")
    result = run(["--dataset", "t.parquet", "--label", "label", "--inspect"], tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and "bytes in column 'blob' are not readable images" in result.err
    result = run(["--dataset", "t.parquet", "--label", "label", "--drop", "blob", "--inspect"], tmp_path)
    assert result.code == 0 and "blob" not in result.err, result.err
