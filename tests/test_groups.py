"""Samples that belong together: halves, decisions, warnings and the verdict by group, in Python and by the commands."""
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from conftest import run
from PIL import Image
from sklearn import set_config
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_validate
from sklearn.neighbors import KNeighborsClassifier

from incv import INCV, INCV_main, data
from incv.checking import grouping, issue_table, last_pass, verdict
from incv.custom_data import decisions, group_names, load
from incv.custom_data.source import Source
from incv.label_issues import NoisyLabelClassifier, find_label_issues


def patients(seed=0, number=60, rows=6, wrong=0.15):
    """-> x [n, 8], given [n], wrong [n], patient [n]: rows of a patient lie close together and have one label."""
    draw = np.random.default_rng(seed)
    true = draw.integers(0, 2, number)
    centre = 1.6 * (2 * true - 1)[:, None] / np.sqrt(8) + 0.72 * draw.normal(size=(number, 8))
    flipped = draw.random(number) < wrong
    patient = np.repeat(np.arange(number), rows)
    x = centre[patient] + 0.1 * draw.normal(size=(number * rows, 8))
    return x, np.where(flipped, 1 - true, true)[patient], flipped[patient], patient


# --- halves -----------------------------------------------------------------------------------------------------------

def test_halves_divide_no_group_and_are_balanced():
    draw = np.random.default_rng(0)
    units = np.repeat(np.arange(80), draw.integers(1, 12, 80))
    y = draw.integers(0, 3, 80)[units]
    y[draw.random(len(y)) < 0.1] = 2
    seen, positions = set(), np.flatnonzero(draw.random(len(y)) < 0.8)
    for seed in range(5):
        first, second = grouping.halves(positions, np.random.default_rng(seed), y, units)
        assert np.array_equal(np.sort(np.r_[first, second]), positions) and not set(units[first]) & set(units[second])
        assert abs(len(first) - len(second)) <= 11
        assert (abs(np.bincount(y[first], minlength=3) - np.bincount(y[second], minlength=3)) <= 16).all()
        seen.add(tuple(first))
    assert len(seen) == 5


def test_copies_join_groups_unless_they_join_nearly_all():
    names = ["a", "a", "b", "b", None, "c", "c", np.nan] + [str(n) for n in range(20)]
    names = group_names.numbers(group_names.as_text(names))
    copies = np.arange(28)
    copies[[1, 2]] = 1
    units = grouping.joined(names, copies)
    assert len(set(units[:4])) == 1 and len(set(units)) == 24 and units[4] != units[7]
    assert np.array_equal(grouping.joined(names, np.zeros(28, dtype=int)), names)


def test_no_model_is_trained_on_a_group_that_it_predicts():
    """In INCV and the passes, whatever was selected before, with a group of several labels and rows without one."""
    x, y, _, patient = patients()
    y[:3] = 1 - y[:3]
    names = group_names.as_text([None if n % 7 == 0 else f"p{p}" for n, p in enumerate(patient)])
    split, units = grouping.how_to_split(y, last_pass.copies(x), names)
    calls = []

    def train(train_index, held_out, removed, keep_best, iteration, half):
        assert not set(units[train_index]) & set(units[held_out]) and len(train_index)
        calls.append((iteration, set(train_index)))
        return KNeighborsClassifier(3).fit(x[train_index], y[train_index]).predict_proba(x[np.r_[held_out, removed]])

    selection = INCV.incv(y, 2, "sym", train=train, iterations=3, split=split, groups=units)
    last_pass.out_of_fold(y, 2, selection.select, train, 0, 4, split)
    assert [iteration for iteration, _ in calls] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert len(calls[2][1]) > len(calls[0][1])  # selected samples of other groups join


def test_a_held_out_tenth_divides_no_group():
    x, y, _, patient = patients()
    names = group_names.as_text(patient)
    dataset = data.Dataset(x_train=x.astype(np.float32), num_classes=2, given=y, class_names=np.array(["a", "b"]),
                           names=np.arange(360), groups=names)
    for seed in range(3):
        rest, labels, _ = INCV_main.hold_out(dataset, y, None, seed)
        tested = {patient[(x.astype(np.float32) == row).all(axis=1)][0] for row in rest.x_test}
        assert 36 <= len(rest.x_test) <= 40 and len(rest.x_test) == 6 * len(tested)
        assert not tested & set(rest.groups.astype(int)) and len(labels) == 360 - len(rest.x_test)


# --- Python -----------------------------------------------------------------------------------------------------------

def test_wrong_labels_of_patients_are_found_by_groups():
    x, y, wrong, patient = patients(number=80)
    forest = RandomForestClassifier(30, random_state=0)
    by_rows, by_patient = (find_label_issues(x, y, forest, groups=each) for each in (None, patient))
    assert by_rows["issue"][wrong].mean() < 0.4 < 0.7 < by_patient["issue"][wrong].mean()
    assert average_precision_score(wrong, by_patient["group_margin"]) > 0.85
    assert (by_patient["group"] == patient).all() and "group" not in by_rows
    means = by_patient.groupby("group")["margin"].mean()
    assert np.allclose(by_patient["group_margin"], means[patient])
    judged = by_patient.attrs["verdict"]
    assert judged["unit"] == "group" and judged["groups"] == 80 and f"of {judged['groups']} groups" in judged["sentence"]
    assert judged["wrong_low"] <= wrong[::6].sum() <= judged["wrong_high"] < 40
    assert judged["issues"] == (means > last_pass.MARGIN).sum()


def test_the_samples_of_the_worst_group_come_first():
    """Four groups by hand, of which the list has three: not the worst sample decides, but the mean of its group."""
    p = np.array([[.9, .1], [.6, .4], [.1, .9], [.2, .8], [.01, .99], [.99, .01], [.3, .7], [.9, .1]])
    given, group = np.array([1, 1, 0, 0, 0, 0, 0, 0]), np.array(["a", "a", "b", "b", "c", "c", None, "d"], dtype=object)

    def listed(given):
        table = issue_table.by_last_passes(given, None, np.arange(8), "removed", p[None], p, groups=group)
        return table, issue_table.worst_first(table)["sample"].tolist()

    table, samples = listed(given)
    assert table["issue"].tolist() == [True, False, True, True, True, False, True, False]
    assert table["group_margin"][4] == pytest.approx(0, abs=1e-12)
    assert samples == [2, 3, 0, 6, 4]  # b; a, of which one sample is not listed; of no group; c
    # Labels that are not of groups: by the margin of each.
    _, samples = listed(np.array([1, 0, 0, 1, 0, 1, 0, 0]))
    assert samples == [4, 5, 0, 2, 6]


def test_groups_have_names_of_any_kind_or_none():
    x, y, _, patient = patients(number=20, rows=4)
    names = [f"p{p}" if n % 9 else None for n, p in enumerate(patient)]
    labels = y.astype(object)
    labels[5] = None
    for given in (names, pd.Series(names, index=np.arange(80)[::-1]), np.array(names, dtype=object)):
        with pytest.warns(UserWarning, match="9 of 79 samples have no group"):
            table = find_label_issues(x, labels, LogisticRegression(), groups=given)
        assert table["group"].isna().sum() == 9 and table["group"][5] == "p1" and table["status"][5] == "not checked"
    for bad, words in ((names[1:], "groups has shape"), (np.zeros((80, 2)), "groups has shape"), (["a"] * 80, "in one group")):
        with pytest.raises(data.DataError, match=words):
            find_label_issues(x, y, LogisticRegression(), groups=bad)
    with pytest.warns(UserWarning, match=r"fewer than 5 groups can hardly be checked: '2' \(1\)"):
        find_label_issues(x, np.where(patient == 3, 2, y), LogisticRegression(), groups=patient)


def test_groups_reach_the_classifier_as_scikit_learn_routes_metadata():
    x, y, _, patient = patients(number=40, rows=4)
    set_config(enable_metadata_routing=True)
    try:
        classifier = NoisyLabelClassifier(LogisticRegression()).set_fit_request(groups=True)
        found = cross_validate(classifier, x, y, cv=2, params={"groups": patient}, return_estimator=True)
    finally:
        set_config(enable_metadata_routing=False)
    assert all("group_margin" in each.label_issues_ for each in found["estimator"])
    fitted = NoisyLabelClassifier(LogisticRegression()).fit(x, y, groups=patient)
    assert fitted.verdict_["groups"] == 40 and "group" not in NoisyLabelClassifier(
        LogisticRegression()).fit(x, y).label_issues_


# --- the verdict ------------------------------------------------------------------------------------------------------

def test_nothing_follows_from_random_features_of_groups():
    """Rows of 30 groups look like hundreds of pieces of evidence, and are 30; also where groups have several labels."""
    for seed in range(6):
        draw = np.random.default_rng(seed)
        group = np.repeat(np.arange(30), 20)
        x = draw.normal(size=(30, 6))[group] + 0.1 * draw.normal(size=(600, 6))
        pure = draw.integers(0, 2, 30)[group]
        several = draw.integers(0, 3, (30, 5))[group, np.arange(600) % 5]
        for y in (pure, several):
            found = find_label_issues(x, y, KNeighborsClassifier(5), groups=group).attrs["verdict"]
            assert found["outcome"] == "nothing" and found["unit"] == ("group" if y is pure else "sample"), (seed, found)


def test_groups_of_several_labels_are_judged_by_samples_with_the_evidence_of_groups():
    draw = np.random.default_rng(0)
    group, true = np.repeat(np.arange(40), 20), draw.integers(0, 3, 800)
    wrong = draw.random(800) < 0.15
    given = np.where(wrong, (true + 1) % 3, true)
    p = np.full((800, 3), 0.03)
    p[np.arange(800), true] = 0.94
    issue = last_pass.issues(given, p, 1)
    rows = verdict.verdict(given, p, p[None], issue)
    found = verdict.verdict(given, p, p[None], issue, group)
    assert found["outcome"] == "use" and found["unit"] == "sample" and found["issues"] == issue.sum()
    assert found["wrong_low"] < rows["wrong_low"] <= wrong.sum() <= rows["wrong_high"] < found["wrong_high"]


# --- files ------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A folder with t.csv of 60 patients, their truth, and a run by patient."""
    folder = tmp_path_factory.mktemp("patients")
    x, y, wrong, patient = patients()
    names = np.array(["ill", "well"])
    written = pd.DataFrame(x.round(4)).add_prefix("v").assign(kind=names[y], patient=[f"p{p:03d}" for p in patient])
    written.loc[np.flatnonzero(~wrong)[0], "patient"] = None
    written.to_csv(folder / "t.csv", index=False)
    command = ["--dataset", "t.csv", "--label", "kind", "--group", "patient", "--epochs", 8, "--iterations", 1, "--quiet"]
    result = run(command, folder)
    assert result.code == 0 and result.err == "", result.err
    return folder, command, wrong, result


def test_a_person_decides_about_patients(table):
    folder, command, wrong, result = table
    base = folder / "results/t/given/INCV_seed0_epochs8_iterations1_group_patient"
    listed = pd.read_csv(f"{base}_groups.csv", dtype=str, keep_default_na=False)
    assert "_groups.csv" in result.out and "1 of 360 samples have no group" in result.out
    assert len(listed) == 60 and listed["group_margin"].astype(float).is_monotonic_decreasing
    every = pd.read_csv(f"{base}_out_of_fold.csv")
    worst = every[every["group"] == listed["group"][0]]
    assert int(listed["issues"][0]) == worst["issue"].sum() and int(listed["samples"][0]) == len(worst) == 6
    judged = json.loads(base.with_name(f"{base.name}.json").read_text())
    assert judged["settings"]["group"] == "patient" and judged["verdict"]["groups"] == 61
    page = base.with_name(f"{base.name}_report.html").read_text()
    assert page.index("Groups, worst first") < page.index("Label issues, worst first")
    assert f"<td>{listed['group'][0]}</td><td>{listed['issues'][0]} of 6</td>" in page

    first, second, third = listed["group"][:3]
    new = {"ill": "well", "well": "ill"}[listed["given"][1]]
    listed.loc[:2, "decision"] = ["drop", new, "keep"]
    listed.to_csv(folder / "mine.csv", index=False)
    source = Source(path=str(folder / "t.csv"), label="kind", group="patient", decisions=[str(folder / "mine.csv")])
    dataset, before = load.load_dataset(source), load.load_dataset(dataclasses.replace(source, decisions=None))
    assert len(dataset.given) == 354 == load.facts(source).size and first not in dataset.groups
    assert (dataset.class_names[dataset.given[dataset.groups == second]] == new).all()
    assert dataset.trusted.tolist() == np.isin(dataset.groups, [second, third]).tolist()
    others = ~np.isin(before.groups, [first, second])
    assert np.array_equal(before.given[others], dataset.given[~np.isin(dataset.groups, [second])])

    sample = int(np.flatnonzero(before.groups == second)[0])
    (folder / "row.csv").write_text(f"sample,given,decision\n{sample},{new},drop\n")
    chained = load.load_dataset(dataclasses.replace(source, decisions=[str(folder / "mine.csv"), str(folder / "row.csv")]))
    assert len(chained.given) == 353 and sample not in chained.names
    for change, options, words in (({"group": "p999"}, {}, "group 'p999' is not in the dataset"),
                                   ({"given": "dead"}, {}, "'dead' in the list"),
                                   ({}, {"group": None}, "give the --group of the run that wrote this list")):
        listed.loc[:0].assign(**change).to_csv(folder / "bad.csv", index=False)
        with pytest.raises(data.DataError, match=words):
            load.load_dataset(dataclasses.replace(source, decisions=[str(folder / "bad.csv")], **options))


def test_decided_patients_are_exported_and_kept(table, tmp_path):
    folder, command, _, _ = table
    base = folder / "results/t/given/INCV_seed0_epochs8_iterations1_group_patient"
    listed = pd.read_csv(f"{base}_groups.csv", dtype=str, keep_default_na=False)
    new = {"ill": "well", "well": "ill"}[listed["given"][0]]
    listed.loc[0, "decision"] = new
    listed.to_csv(folder / "one.csv", index=False)
    command = [*command[:6], "--epochs", 2, "--iterations", 1, "--quiet", "--decisions", "one.csv", "--export", "clean.csv"]
    result = run(command, folder)
    assert result.code == 0 and "6 labels changed, 0 confirmed, 0 samples not used" in result.out, result.err
    exported = pd.read_csv(folder / "clean.csv")
    assert (exported["kind"][exported["patient"] == listed["group"][0]] == new).sum() == 6
    digest = decisions.checksum([folder / "one.csv"])[:6]
    again = pd.read_csv(next(folder.glob(f"results/t/given/*decisions_{digest}_groups.csv")))
    assert listed["group"][0] not in set(again["group"])  # decided


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
        assert not load.load_dataset(tmp_path / "t.csv", "kind", drop=["patient"]).warnings
    result = run(["--dataset", "t.csv", "--label", "kind", "--inspect"], tmp_path)
    assert "warning: t.csv: column 'patient'" in result.out.replace(str(tmp_path) + "/", ""), result.out
    plain.to_csv(tmp_path / "t.csv", index=False)
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


@pytest.mark.slow
def test_robust_training_holds_out_whole_patients(table):
    folder, command, _, _ = table
    result = run([*command[:6], "--incv_epochs", 8, "--iterations", 1, "--epochs", 2, "--quiet"], folder, "INCV_main.py")
    assert result.code == 0, result.err
    assert "reusing results/t/given/INCV_seed0_epochs8_iterations1_group_patient.csv" in result.out
    found = json.loads(next(folder.glob("results/t/given/INCV_main*_group_patient.json")).read_text())
    assert found["tested_on"] == "the labels of 36 held-out samples" and found["settings"]["group"] == "patient"
    new = pd.read_csv(folder / "t.csv").drop(columns=["kind", "patient"]).head(5)
    new.to_csv(folder / "new.csv", index=False)
    predicted = run([*command[:6], "--incv_epochs", 8, "--iterations", 1, "--epochs", 2, "--predict", "new.csv"], folder,
                    "INCV_main.py")
    assert predicted.code == 0, predicted.err
