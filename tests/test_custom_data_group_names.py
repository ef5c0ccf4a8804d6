"""Samples that belong together: their names, and columns, arrays and folders that may name them."""
import re

import numpy as np
import pandas as pd
import pytest
from conftest import run
from examples import patients
from PIL import Image

from incv import data
from incv.custom_data import group_names, load


def test_a_column_that_may_name_groups_is_said_and_remains_a_feature(tmp_path):
    x, y, _, patient = patients()
    draw = np.random.default_rng(0)
    age = np.clip(50 + 14 * x[:, 0] + draw.normal(size=360), 18, 90).astype(int)  # a quantity that tells the classes apart
    plain = pd.DataFrame(x.round(3)).add_prefix("v").assign(kind=np.array(["ill", "well"])[y], age=age,
                                                            ward=draw.integers(0, 30, 360))
    for values in ([f"p{p:03d}" for p in patient], draw.permutation(1000)[:60][patient], np.sort(y[::6]).argsort()[patient]):
        plain.assign(patient=values).to_csv(tmp_path / "t.csv", index=False)
        dataset = load.load_dataset(tmp_path / "t.csv", "kind")
        about = [warning for warning in dataset.warnings if "'patient'" in warning]
        assert len(about) == len(dataset.warnings) == 1 and "--group patient" in about[0] and "(" in about[0], dataset.warnings
        assert dataset.groups is None and dataset.x_train.shape[1] > 10
        grouped = load.load_dataset(tmp_path / "t.csv", "kind", group="patient")
        assert not grouped.warnings and grouped.x_train.shape[1] == 10 and len(set(grouped.groups)) == 60
        [repeated] = load.load_dataset(tmp_path / "t.csv", "kind", drop=["patient"]).warnings  # they belong together still
        assert "column 'patient' is called as groups are" in repeated
    result = run(["--dataset", "t.csv", "--label", "kind", "--inspect"], tmp_path)
    assert "warning: t.csv: column 'patient'" in result.out.replace(str(tmp_path) + "/", ""), result.out
    plain.sample(frac=1, random_state=0).to_csv(tmp_path / "t.csv", index=False)
    assert not load.load_dataset(tmp_path / "t.csv", "kind").warnings


def test_groups_of_an_array(tmp_path):
    x, y, _, patient = patients()
    np.savez(tmp_path / "a.npz", x=x, y=y, subject=patient, weight=np.random.default_rng(0).random(360))
    dataset = load.load_dataset(tmp_path / "a.npz")
    unused = f"{tmp_path / 'a.npz'}: array 'weight': not used"
    assert len(dataset.warnings) == 2 and "array 'subject'" in dataset.warnings[0] and dataset.warnings[1] == unused
    grouped = load.load_dataset(tmp_path / "a.npz", group="subject")
    assert grouped.warnings == [unused] and (grouped.groups == patient.astype(str)).all()
    for name in ("y", "patient"):
        with pytest.raises(data.DataError, match="its other arrays are 'subject', 'weight'"):
            load.load_dataset(tmp_path / "a.npz", group=name)
    result = run(["--dataset", "a.npz", "--group", "subject", "--inspect"], tmp_path)
    assert "groups by 'subject': 60, with 6 to 6 samples" in result.out, result.err


def test_groups_of_a_folder(tmp_path):
    draw = np.random.default_rng(0)
    for number in range(48):
        name = f"{'ab'[number % 2]}/video{number % 12}/x/{number}.png" if number < 40 else f"a/{number}.png"
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / "f" / name)
    (tmp_path / "f/b/video0").mkdir()
    Image.fromarray(draw.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / "f/b/video0/again.png")
    dataset = load.load_dataset(tmp_path / "f")
    assert [warning for warning in dataset.warnings if "--group folder" in warning] == dataset.warnings[-1:]
    grouped = load.load_dataset(tmp_path / "f", group="folder")
    assert len(set(group_names.numbers(grouped.groups))) == 12 + 8
    assert set(grouped.given[grouped.groups == "video0"]) == {0, 1}  # the same name in two classes is one group
    with pytest.raises(data.DataError, match="give --group folder"):
        load.load_dataset(tmp_path / "f", group="video")
    assert "together" not in " ".join(grouped.warnings)
    np.savez(tmp_path / "a.npz", x=np.eye(6), y=[0, 1] * 3)
    refused = run(["--dataset", "f", "--group", "folder", "--no-label_issues"], tmp_path)
    assert refused.code == 2 and refused.err.count("\n") == 1 and "remove --no-label_issues" in refused.err


def test_a_pattern_that_takes_for_ever_is_refused():
    with pytest.raises(data.DataError, match="takes too long to search for: write it without a repeat inside a repeat"):
        group_names.matched(np.array(["a" * 40 + "!"] * 3, dtype=object), "(a+)+$", "s:(a+)+$", seconds=0.2)
    assert group_names.matched(np.array(["a1", "b2"], dtype=object), "[a-z]", "s:[a-z]").tolist() == ["a", "b"]


def test_of_hundreds_of_columns_that_look_like_groups_most_share_a_line():
    """Such as whole numbers that were measured several times: each is looked at in a hundredth of a second."""
    counts, y = np.random.default_rng(0).integers(0, 40, (50, 400)), np.repeat(np.arange(50) % 2, 4)
    table = pd.DataFrame(np.repeat(counts, 4, axis=0), columns=[f"m{n}" for n in range(400)])
    found = group_names.in_columns(table, y, "t.csv")
    each, shared = list(found.values())[:-1], list(found.values())[-1]
    assert len(each) == group_names.MOST and all("if these belong together" in line for line in each)
    assert re.match(r"t.csv: \d+ further columns, from 'm\d+' on, .*: if one of them names groups, give --group m\d+", shared)
