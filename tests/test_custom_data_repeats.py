"""Samples that repeat each other: what hints at groups, groups from a part of names, and the verdict while a hint stands."""
import copy
import json

import numpy as np
import pandas as pd
import pytest
from conftest import run
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression

from incv import data
from incv.checking import last_pass, verdict
from incv.custom_data import coded, group_names, load, repeats
from incv.label_issues import find_label_issues

HINT = {coded.MAY_BE_GROUPS}


def windows(bouts=60, rows=7, seed=0):
    """-> (24 features of overlapping windows in bouts, given labels, wrong ones of whole bouts, bout of each row)."""
    draw = np.random.default_rng(seed)
    true = np.arange(bouts) % 3
    bad = np.isin(np.arange(bouts), draw.choice(bouts, 7, replace=False))
    bout = np.repeat(np.arange(bouts), rows)
    x = (draw.normal(0, 1.3, (3, 24))[true] + draw.normal(0, 0.75, (bouts, 24)))[bout] + draw.normal(0, 0.3, (len(bout), 24))
    return pd.DataFrame(x.round(4)).add_prefix("f"), np.where(bad, (true + 1) % 3, true)[bout], bad[bout], bout


def pictures(folder, name, draw=None):
    """Write pictures of 30 clips of 3 classes, five frames each, almost alike. name(class, clip, frame) -> file name."""
    draw = np.random.default_rng(0) if draw is None else draw
    for clip in range(30):
        base = draw.integers(0, 255, (8, 8))
        for frame in range(5):
            file = folder / name("abc"[clip % 3], clip, frame)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(base + draw.integers(-5, 5, (8, 8)), 0, 255).astype(np.uint8)).save(file)


# --- hints ------------------------------------------------------------------------------------------------------------

def test_columns_are_called_as_groups_are():
    for name in ("subject", "Subject ID", "patient_id", "PatientID", "speakerId", "clip_name", "USER", "Site no.", "video"):
        assert repeats.is_called_so(name), name
    for name in ("user_rating", "site_area", "session_length", "age", "id", "videos", "name", "subjective", "patient age"):
        assert not repeats.is_called_so(name), name
    values = {"subject": np.arange(60) % 12, "user": np.arange(60), "session": np.arange(60) % 2, "clip": np.arange(60) / 7}
    assert list(repeats.in_columns(pd.DataFrame(values), "t.csv")) == ["subject"]  # others do not repeat, or are no names


@pytest.mark.parametrize("name, stem", [
    ("{c}/clip{k:02d}_{f:03d}.png", "a/clip00"), ("{c}/{c}.{k:05d}.{f}.png", "a/a.00000"), ("{c}/S{k}-f{f}.jpg", "a/S0-f"),
    ("{c}{k}_{f}", "a0"), ("{c}/{k:04d}{l}.png", "a/0000"), ("{c}/img_{k:03d}_{w}.png", "a/img_000")])
def test_names_that_are_equal_without_their_last_part(name, stem):
    made = [(name.format(c="abc"[k % 3], k=k, f=f, l="pqrst"[f], w=["flip", "crop", "dark", "blur", "no"][f]), k % 3)
            for k in range(30) for f in range(5)]
    names, y = zip(*made, strict=True)
    [told] = repeats.in_names(names, np.array(y), "t: the names")
    assert told.code == coded.MAY_BE_GROUPS and repr(stem) in told
    pattern = told.partition("'name:")[2].removesuffix("'")
    assert len(set(group_names.matched(list(names), pattern, "x"))) == 30  # the advice makes the groups


@pytest.mark.parametrize("name", ["{c}/{n:05d}.png", "{c}/{c}_{n}.jpg", "IMG_{n:04d}.jpg", "n0144{y}_{n}.JPEG",
                                  "{c}/photo ({n}).png", "tailed_frog_s_{n:06d}.png"])
def test_names_that_only_count_are_no_groups(name):
    names = [name.format(c="abc"[n % 3], y=n % 3, n=n) for n in range(150)]
    assert not repeats.in_names(names, np.arange(150) % 3, "t")


def test_neighbours_in_the_file_that_repeat_each_other():
    x, given, _, bout = windows()
    x = x.to_numpy()
    assert repeats.like_neighbours(x, given)[0] > 0.6
    by_class = np.argsort(given, kind="stable")
    assert repeats.like_neighbours(x[by_class], given[by_class])[0] > 0.6
    assert repeats.like_neighbours(np.c_[np.arange(len(x)), x], given)[0] > 0.6  # whatever column counts the rows
    assert repeats.like_neighbours(x, given, groups=bout.astype(str).astype(object)) is None
    mixed = np.random.default_rng(0).permutation(len(x))
    assert repeats.like_neighbours(x[mixed], given[mixed]) is None


@pytest.mark.parametrize("sample", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_files_sorted_by_class_or_by_a_column_are_no_repetition(sample):
    x, y = sample(return_X_y=True)
    orders = [np.arange(len(y)), np.argsort(y, kind="stable")]
    for column in range(0, x.shape[1], max(1, x.shape[1] // 5)):
        orders += [np.argsort(x[:, column], kind="stable"), np.lexsort((x[:, column], y)),
                   np.lexsort((x[:, column - 1], x[:, column].round(), y))]
    for order in orders:
        assert repeats.like_neighbours(x[order], y[order]) is None


# --- tables, folders, lists, arrays -----------------------------------------------------------------------------------

def test_a_table_hints_until_groups_are_given(tmp_path):
    x, given, _, bout = windows()
    table = x.assign(activity=np.array(["lie", "sit", "walk"])[given])
    songs = [f"song.{number:05d}.{place}.wav" for place, number in enumerate(bout)]
    mixed = np.random.default_rng(0).permutation(len(x))
    for columns, rows, words in (({}, slice(None), "of the rows are nearer to the one before or after"),
                                 ({"subject": bout // 6}, mixed, "column 'subject' is called as groups are"),
                                 ({"file": songs}, mixed, "the values of column 'file' are equal in groups")):
        table.assign(**columns).iloc[rows].to_csv(tmp_path / "t.csv", index=False)
        for drop in (None, list(columns) or None):
            dataset = load.load_dataset(tmp_path / "t.csv", "activity", drop=drop)
            assert coded.codes(dataset.warnings) == HINT and sum(words in told for told in dataset.warnings) == 1
    grouped = load.load_dataset(tmp_path / "t.csv", "activity", group=r"file:(.+)\.\d+\.wav")
    assert not grouped.warnings and len(set(grouped.groups)) == 60 and grouped.x_train.shape[1] == 24
    finer = load.load_dataset(tmp_path / "t.csv", "activity", group=r"file:.+\.\d+")
    assert coded.codes(finer.warnings) == HINT  # a group for each row
    dated = x.drop(columns=[f"f{n}" for n in range(8, 24)]).assign(  # parts of dates do not count
        time=pd.date_range("2024-01-01", periods=len(x), freq="10min"), activity=table["activity"])
    dated.to_csv(tmp_path / "d.csv", index=False)
    assert coded.codes(load.load_dataset(tmp_path / "d.csv", "activity").warnings) == HINT
    times = pd.Series(pd.date_range("2024-01-01", periods=len(x), freq="7h").astype(str)).to_numpy()
    pressure = [f"{120 + n % 31}/{80 + n % 17}" for n in range(len(x))]
    table.assign(time=times, pressure=pressure).iloc[mixed].to_csv(tmp_path / "t.csv", index=False)
    assert not coded.codes(load.load_dataset(tmp_path / "t.csv", "activity").warnings)


def test_a_folder_by_a_part_of_the_file_names(tmp_path):
    pictures(tmp_path / "f", lambda label, clip, frame: f"{label}/clip{clip:02d}_{frame:03d}.png")
    (tmp_path / "f/a/other.png").write_bytes((tmp_path / "f/a/clip00_000.png").read_bytes())
    dataset = load.load_dataset(tmp_path / "f")
    assert coded.codes(dataset.warnings) == HINT and "such as 'a/clip00'" in dataset.warnings[-1]
    by_clip = load.load_dataset(tmp_path / "f", group=r"name:clip\d+")
    assert sorted(set(by_clip.groups)) == ["", *(f"clip{clip:02d}" for clip in range(30))]
    assert by_clip.warnings == [f"{tmp_path / 'f'}: --group name:clip\\d+: 1 of 151 samples have no group: each is a "
                                f"separate group"]
    by_number = load.load_dataset(tmp_path / "f", group=r"name:clip(\d\d)_")
    assert set(by_number.groups[by_number.groups != ""]) == {f"{clip:02d}" for clip in range(30)}
    for group, words in (("name:scene", r"'scene' matches none of the 151 names, such as 'a/clip00_000.png'"),
                         ("name:(", "is not a regular expression: missing"), ("name:", "matches none"),
                         ("clip:x", "give --group folder, the subfolders of its classes, or --group 'name:PATTERN'")):
        with pytest.raises(data.DataError, match=words):
            load.load_dataset(tmp_path / "f", group=group)
    pictures(tmp_path / "g", lambda label, clip, frame: f"{label}/{clip * 5 + frame:05d}.png")
    dataset = load.load_dataset(tmp_path / "g")
    assert coded.codes(dataset.warnings) == HINT and "of the images are nearer" in dataset.warnings[-1]


def test_a_list_of_pictures_by_names_and_by_other_columns(tmp_path):
    pictures(tmp_path, lambda label, clip, frame: f"p/{label}_clip{clip:02d}_{frame:03d}.png")
    files = pd.Series(sorted(file.name for file in (tmp_path / "p").glob("*")))
    table = pd.DataFrame({"file": "p/" + files, "label": files.str[0], "scene": files.str[2:8],
                          "tag": "s" + files.str[6:8] + "x"})
    table.drop(columns=["scene", "tag"]).to_csv(tmp_path / "t.csv", index=False)
    assert coded.codes(load.load_dataset(tmp_path / "t.csv", "label").warnings) == HINT
    for group in (r"name:clip\d+", r"file:clip\d+"):
        found = load.load_dataset(tmp_path / "t.csv", "label", group=group)
        assert len(set(found.groups)) == 30 and not found.warnings, found.warnings
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset = load.load_dataset(tmp_path / "t.csv", "label")
    assert any("column 'scene' is called as groups" in told for told in dataset.warnings)
    assert len(set(load.load_dataset(tmp_path / "t.csv", "label", group=r"tag:s(\d)").groups)) == 3
    with pytest.raises(data.DataError, match="no column 'nam:clip'"):
        load.load_dataset(tmp_path / "t.csv", "label", group="nam:clip")


def test_arrays_hint_too(tmp_path):
    x, given, _, bout = windows()
    np.savez(tmp_path / "a.npz", x=x.to_numpy(), y=given)
    assert coded.codes(load.load_dataset(tmp_path / "a.npz").warnings) == HINT
    np.savez(tmp_path / "b.npz", x=x.to_numpy(), y=given, speaker=np.array([f"s{each // 6}" for each in bout]))
    assert any("array 'speaker' is called as groups" in told for told in load.load_dataset(tmp_path / "b.npz").warnings)
    np.savez(tmp_path / "c.npz", x=x.to_numpy(), y=given, bout=bout)
    assert not load.load_dataset(tmp_path / "c.npz", group="bout").warnings


# --- the verdict ------------------------------------------------------------------------------------------------------

def test_a_warning_is_text_with_a_code():
    told = coded.Warning("t.csv: column", coded.MAY_BE_GROUPS)
    assert told == "t.csv: column" and json.dumps([told]) == '["t.csv: column"]' and coded.codes([told, "else"]) == HINT
    assert copy.deepcopy(told).code == coded.MAY_BE_GROUPS


def test_no_verdict_is_use_while_a_warning_stands():
    """The same predictions with and without codes: a list with entries, and an empty one."""
    draw = np.random.default_rng(0)
    y = np.arange(300) % 3
    given = np.where(np.arange(300) < 20, (y + 1) % 3, y)
    p = np.full((300, 3), 0.01) + 0.97 * np.eye(3)[y] + 0.001 * draw.random((300, 3))
    p /= p.sum(axis=1, keepdims=True)
    for labels, issue, outcome in ((given, given != y, "top"), (y, given != given, "nothing")):
        predicted = last_pass.Predicted(y=labels, p=p, last=p, first=p)
        plain = verdict.verdict(predicted, issue)
        assert plain["outcome"] == "use" and "warned" not in plain
        hinted = verdict.verdict(predicted, issue, codes=HINT)
        assert hinted["outcome"] == outcome and hinted["wrong"] is None and hinted["warned"] == [coded.MAY_BE_GROUPS]
        assert "samples may repeat each other" in hinted["sentence"] and "--group" in hinted["sentence"]
        assert verdict.verdict(predicted, issue, codes={coded.TELLS_LABEL, *HINT})["outcome"] == "nothing"


def test_python_warns_and_finds_the_bouts_with_groups():
    x, given, wrong, bout = windows()
    model = LogisticRegression(max_iter=3000)
    for samples, words in ((x, "of the samples are nearer"), (x.to_numpy(), "of the samples are nearer"),
                           (x.assign(subject=bout // 6), r"column 'subject' .* give groups=x\['subject'\]"),
                           (x.set_index(pd.Index([f"s.{b:03d}.{n}" for n, b in enumerate(bout)])), "level 0 of the index")):
        with pytest.warns(UserWarning, match=words):
            found = find_label_issues(samples, given, model, permutations=0)
        assert found.attrs["verdict"]["outcome"] != "use" and found["issue"].to_numpy()[wrong].mean() < 0.2
        assert "groups=" in found.attrs["verdict"]["sentence"]
    found = find_label_issues(x, given, model, groups=bout)
    assert found["issue"].to_numpy()[wrong].mean() > 0.9 and found.attrs["verdict"]["outcome"] != "nothing"
    with pytest.warns(UserWarning, match="of the samples are nearer"):
        p = np.eye(3)[given] * 0.9 + 0.1 / 3
        assert find_label_issues(x, given, pred_probs=p).attrs["verdict"]["outcome"] != "use"


@pytest.mark.slow
def test_a_run_by_a_pattern_has_its_own_name_and_settings(tmp_path):
    pictures(tmp_path / "f", lambda label, clip, frame: f"{label}/clip{clip:02d}_{frame:03d}.png")
    command = ["--dataset", "f", "--epochs", 1, "--iterations", 1, "--quiet"]
    inspected = run([*command, "--group", r"name:clip\d+", "--inspect"], tmp_path)
    assert r"groups by 'name:clip\d+': 30, with 5 to 5 samples" in inspected.out, inspected.err
    for group in (r"name:clip\d+", r"name:clip\d"):
        result = run([*command, "--group", group], tmp_path)
        assert result.code == 0, result.err
    made = sorted(tmp_path.glob("results/f/given/*_group_name-clip-d*.json"))
    assert len(made) == 2 and {json.loads(file.read_text())["settings"]["group"] for file in made} == {
        r"name:clip\d+", r"name:clip\d"}
    refused = run([*command, "--group", "name:["], tmp_path)
    assert refused.code == 2 and refused.err.count("\n") == 1 and "is not a regular expression" in refused.err
    hinted = run(command, tmp_path)
    assert hinted.code == 0, hinted.err
    [found] = [json.loads(file.read_text()) for file in tmp_path.glob("results/f/given/*.json") if "group" not in file.name]
    assert found["verdict"]["outcome"] != "use" and any("equal in groups" in told for told in found["warnings"])
