"""Columns that give the labels away together: which are found, and which real features are not taken for such."""
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression

from incv import data
from incv.custom_data import coded, leaks, load
from incv.label_issues import find_label_issues


def table(classes=2, n=400, seed=0):
    """-> (six real features, labels of which a tenth is wrong, a generator)."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, classes, n)
    x = draw.normal(0, 1.2, (classes, 6))[y] + draw.normal(0, 1, (n, 6))
    given = np.where(draw.random(n) < 0.1, (y + 1 + draw.integers(0, classes - 1, n)) % classes, y)
    return pd.DataFrame(x.round(3)).add_prefix("f"), given, draw


def one_hot():
    features, given, _ = table(3)
    return features.assign(kind_b=(given == 1) * 1, kind_c=(given == 2) * 1), (given == 0) * 1, ("kind_b", "kind_c")


def one_hot_of_other_names():
    features, given, _ = table(4)
    columns = {name: (given == label) * 1 for label, name in enumerate(("cat", "dog", "eel"))}
    return features.assign(**columns), (given == 3) * 1, tuple(columns)


def votes():
    """The label is what most of five people say; where two are as frequent, the first."""
    features, given, draw = table(3)
    said = np.where(draw.random((400, 5)) < 0.7, given[:, None], draw.integers(0, 3, (400, 5)))
    counts = (said[:, :, None] == np.arange(3)).sum(axis=1)
    columns = {f"votes_{name}": counts[:, label] for label, name in enumerate("abc")}
    return features.assign(**columns), counts.argmax(axis=1), tuple(columns)


def annotators():
    """The same, with columns of what each of them said, a quarter missing."""
    features, given, draw = table(3)
    said = np.where(draw.random((400, 5)) < 0.75, given[:, None], draw.integers(0, 3, (400, 5)))
    label = (said[:, :, None] == np.arange(3)).sum(axis=1).argmax(axis=1)
    columns = {f"ann{person}": np.where(draw.random(400) < 0.25, "", np.array(["x", "y", "z"])[said[:, person]])
               for person in range(5)}
    return features.assign(**columns), np.array(["x", "y", "z"])[label], tuple(columns)


def annotators_who_code_otherwise():
    """The classes as 0, 1 and 2, or other numbers of them, and a real feature of the same values."""
    features, labels, columns = annotators()
    names = {"x": "2", "y": "0", "z": "1", "": ""}
    features["kind"] = np.random.default_rng(3).integers(0, 3, len(features)).astype(str)
    return features.replace({column: names for column in columns}), np.array(["c0", "c1", "c2"])[
        np.unique(labels, return_inverse=True)[1]], columns


def one_hot_beside_a_rare_feature():
    features, labels, columns = one_hot()
    rare = np.zeros(len(labels), dtype=int)
    rare[np.flatnonzero(labels == 0)[:4]] = 1
    return features.assign(rare=rare), labels, columns


def probabilities():
    features, given, draw = table(4)
    p = draw.dirichlet(np.ones(4) / 2, 400)
    rows, largest = np.arange(400), p.argmax(axis=1)
    p[rows, largest], p[rows, given] = p[rows, given].copy(), p[rows, largest].copy()
    columns = {f"prob_{label}": p[:, label] for label in range(4)}
    return features.assign(**columns), given, tuple(columns)


def items_of_a_sum():
    features, _, draw = table()
    items = pd.DataFrame(draw.integers(0, 4, (400, 9))).add_prefix("q")
    return pd.concat([features, items], axis=1), (items.sum(axis=1) >= 14).to_numpy() * 1, tuple(items)


def points():
    """A grade by the sum of tasks, which has more values than a half of the rows has."""
    features, _, draw = table()
    tasks = pd.DataFrame(draw.integers(0, 11, (400, 6))).add_prefix("task_")
    return pd.concat([features, tasks], axis=1), np.digitize(tasks.sum(axis=1), [25, 36]), tuple(tasks)


def a_ratio():
    features, given, draw = table()
    weight = draw.normal(70, 10, 400)
    return features.assign(weight=weight, square=weight / np.where(given == 1, draw.uniform(25, 32, 400),
                                                                   draw.uniform(18, 25, 400))), given, ("weight", "square")


def either_or():
    features, given, draw = table()
    one = draw.integers(0, 2, 400)
    return features.assign(one=one, other=one ^ given), given, ("one", "other")


def two_thresholds():
    features, _, draw = table()
    age, chol = draw.normal(50, 10, 400), draw.normal(200, 30, 400)
    return features.assign(age=age, chol=chol), ((age > 50) & (chol > 200)) * 1, ("age", "chol")


def a_score():
    features, given, draw = table()
    return features.assign(score=np.where(given == 1, draw.uniform(0.5, 1, 400), draw.uniform(0, 0.5, 400))), given, ("score",)


def another_label():
    features, given, draw = table()
    return features.assign(before=np.where(draw.random(400) < 0.03, 1 - given, given)), given, ("before",)


KINDS = [one_hot, one_hot_of_other_names, votes, annotators, annotators_who_code_otherwise, one_hot_beside_a_rare_feature,
         probabilities, items_of_a_sum, points, a_ratio, either_or, two_thresholds, a_score, another_label]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_columns_that_give_the_labels_away_are_named(kind):
    columns, labels, culprits = kind()
    class_names, y = np.unique(labels, return_inverse=True)
    found = leaks.found(columns, y, class_names)
    assert [leak.columns for leak in found if leak.tells] == [culprits], found
    assert not leaks.found(columns.drop(columns=list(culprits)), y, class_names)


@pytest.mark.parametrize("sample", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_real_features_are_not_taken_for_leaks(sample):
    """Also where labels are right, and where one feature tells a class from the others."""
    columns, y = sample(return_X_y=True, as_frame=True)
    y = y.to_numpy()
    for wrong in (0, 0.05, 0.2):
        draw = np.random.default_rng(0)
        given = np.where(draw.random(len(y)) < wrong, (y + 1 + draw.integers(0, y.max(), len(y))) % (y.max() + 1), y)
        assert not leaks.found(columns, given, np.unique(given)), wrong
    assert not any(leak.tells for leak in leaks.found(columns, (y == 0) * 1, np.arange(2)))


def test_classes_with_a_gap_between_them_are_not_taken_for_thresholds_of_a_label():
    draw = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3], 100)
    x = pd.DataFrame(np.array([[0, 0], [9, 0], [0, 9], [9, 9]])[y] + draw.normal(size=(400, 2))).add_prefix("x")
    noise = pd.DataFrame(draw.normal(size=(400, 4))).add_prefix("n")
    assert not leaks.found(pd.concat([x, noise], axis=1), y, np.arange(4))


def test_tables_and_python_warn_of_them_with_a_code_and_nothing_follows(tmp_path):
    columns, labels, culprits = votes()
    names = np.array(["a", "b", "c"])[labels]
    columns.assign(label=names).to_csv(tmp_path / "t.csv", index=False)
    dataset = load.load_dataset(tmp_path / "t.csv", "label")
    [told] = dataset.warnings
    assert told.endswith("give --drop 'votes_a' 'votes_b' 'votes_c'") and "(the largest of them)" in told
    assert coded.codes(dataset.warnings) == {"tells_label"}
    assert not load.load_dataset(tmp_path / "t.csv", "label", drop=list(culprits)).warnings
    for x, named in ((columns, "'votes_a', 'votes_b', 'votes_c'"), (columns.to_numpy(), "6, 7, 8")):
        with pytest.warns(UserWarning, match=f"x: columns {named} together tell 100% of the labels"):
            judged = find_label_issues(x, names, LogisticRegression(max_iter=2000), permutations=0).attrs["verdict"]
        assert judged["outcome"] == "nothing" and judged["warned"] == ["tells_label"] and judged["wrong"] is None
        assert judged["sentence"].startswith("nothing follows from this list: columns may give the labels away")
    np.savez(tmp_path / "a.npz", x=columns.to_numpy(), y=names)
    assert "columns 6, 7, 8 together" in " ".join(load.load_dataset(tmp_path / "a.npz").warnings)


@pytest.mark.parametrize("texts", [
    ["[0.0, 0.2, 0.8]", "[0.6, 0.0, 0.4]"], ["[0.  0.2 0.8]", "[1. 0. 0.]"], ["0.3 0.7", "1.0 0.0"], ["0.3;0.7", "0.9;0.1"],
    ["['cat']", "['cat', 'dog']"], ["[cat, dog]", "[eel]"], ["{'cat': 0.2, 'dog': 0.8}", "{'cat': 1.0}"],
    ["(1, 0, 0)", "(0, 1, 0)"]])
def test_lists_as_labels_are_refused(tmp_path, texts):
    features, _, draw = table()
    written = np.array(texts)[draw.integers(0, 2, 400)]
    features.assign(label=written).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(data.DataError, match="are lists, such as .*: give each sample one class"):
        load.load_dataset(tmp_path / "t.csv", "label")
    with pytest.raises(data.DataError, match="are lists"):
        find_label_issues(features, written, LogisticRegression())


def test_lists_themselves_are_refused_and_ranges_are_classes(tmp_path):
    features, _, draw = table()
    lists = pd.Series([[0.2, 0.8], [0.5, 0.5]] * 200)
    with pytest.raises(data.DataError, match="labels are lists"):
        find_label_issues(features, lists, LogisticRegression())
    ranges = [["(0, 10]", "(10, 20]"], ["[20, 30)", "[30, 40)"], ["[20, 30]", "[31, 40]"]]
    for names in (*ranges, ["a, b", "c"], ["(old)", "(new)"]):
        features.assign(label=np.array(names)[draw.integers(0, 2, 400)]).to_csv(tmp_path / "t.csv", index=False)
        assert load.load_dataset(tmp_path / "t.csv", "label").class_names.tolist() == sorted(names)


def test_what_is_advised_names_the_leak_alone():
    """A threshold that a tree finds with features beside it: the columns that do without them, and the verb of one column."""
    features, _, draw = table(n=600)
    p = draw.random(600).round(3)
    columns, labels = features.assign(p_0=p), ((p > 0.3) & (p < 0.6) | (p > 0.9)) * 1
    found = [leak for leak in leaks.found(columns, labels, np.arange(2)) if leak.tells]
    assert [leak.columns for leak in found] == [("p_0",)], found
    one = leaks.told(leaks.Leak(("p_0",), "tell 100% of the labels (by thresholds)", True), "t.csv: column", "give --drop")
    assert "column 'p_0' alone tells 100%" in one and one.endswith("give --drop 'p_0'")


@pytest.mark.parametrize("seed", range(3))
def test_ratings_that_are_real_features_are_no_annotators(seed):
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 3, 400)
    ratings = {f"item{place}": np.where(draw.random(400) < 0.4, (y + place) % 3, draw.integers(0, 3, 400))
               for place in range(5)}
    assert not leaks.found(table(3)[0].assign(**ratings), y, np.array(["c0", "c1", "c2"]))
