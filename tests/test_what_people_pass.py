"""What people pass from Python and back from a spreadsheet: means what they meant, or is refused in one line."""
import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from incv import data
from incv.checking import export, last_pass, report
from incv.custom_data import dates, decisions, load
from incv.custom_data.source import Source
from incv.label_issues import NoisyLabelClassifier, find_label_issues
from incv.runner.settings import Settings

NAMES = np.array(["ant", "bee", "cat"])


@pytest.fixture(scope="module")
def three():
    """(x [150, 4], labels 0 to 2, of which 15 are wrong, which these are)."""
    generator, true = np.random.default_rng(0), np.arange(150) % 3
    x = generator.normal(size=(150, 4)) + 4 * np.eye(3, 4)[true]
    wrong = np.isin(np.arange(150), generator.choice(150, 15, replace=False))
    return x, np.where(wrong, (true + 1) % 3, true), wrong


def refused(words, *arguments, error=data.DataError, **named):
    with pytest.raises(error, match=words) as raised:
        find_label_issues(*arguments, **named)
    assert "\n" not in str(raised.value)


# --- labels, rows and columns -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("missing", ["string", "object", "boolean", "masked"])
def test_missing_labels_of_any_kind_are_not_checked(three, missing):
    x, y, _ = three
    labels = {"string": lambda: pd.Series(NAMES[y], dtype="string").where(np.arange(150) != 7),
              "object": lambda: np.where(np.arange(150) == 7, pd.NA, NAMES[y].astype(object)),
              "boolean": lambda: pd.Series(y == 0, dtype="boolean").where(np.arange(150) != 7),
              "masked": lambda: np.ma.array(y, mask=np.arange(150) == 7)}[missing]()
    with pytest.warns(UserWarning, match="1 of 150 samples have no label .first: sample 7"):
        table = find_label_issues(x, labels, LogisticRegression())
    assert (table["status"] == "not checked").to_numpy().nonzero()[0].tolist() == [7]


def test_rows_in_another_order_are_refused(three):
    x, y, _ = three
    x, labels = pd.DataFrame(x), pd.Series(y)
    shuffled = labels.sample(frac=1, random_state=0)
    refused(r"labels has the index of x in another order, .* give labels.loc\[x.index\]", x, shuffled, LogisticRegression())
    refused("groups has the index", x, labels, LogisticRegression(), groups=shuffled)
    with pytest.raises(data.DataError, match="y has the index of x in another order"):
        NoisyLabelClassifier().fit(x, shuffled)
    as_it_is = find_label_issues(x, labels, LogisticRegression())["margin"]
    for same in (shuffled.loc[x.index], labels.set_axis(np.arange(1000, 1150)), labels.to_numpy()):
        assert (find_label_issues(x, same, LogisticRegression())["margin"] == as_it_is).all()


def test_columns_of_probabilities_are_found_by_their_names(three):
    _, y, _ = three
    p = np.full((150, 3), 0.1) + 0.7 * np.eye(3)[np.arange(150) % 3]
    by_position = find_label_issues(None, NAMES[y], pred_probs=p)
    by_name = find_label_issues(None, NAMES[y], pred_probs=pd.DataFrame(p, columns=NAMES)[["cat", "ant", "bee"]])
    assert by_position["issue"].sum() == 15 and by_name.equals(by_position)


def test_a_class_of_few_samples_is_named(three):
    x, y, _ = three
    with pytest.warns(UserWarning, match=r"1 of 4 classes have fewer than 5 samples; their labels can hardly be checked: '9'"):
        find_label_issues(x, np.where(np.arange(150) < 4, 9, y), LogisticRegression())


# --- models -----------------------------------------------------------------------------------------------------------

def test_class_weights_go_to_the_classes_that_they_name(three):
    x, y, _ = three
    by_number, by_name, shifted = (find_label_issues(x / 3, labels, model)["suggested"] for labels, model in (
        (y, LogisticRegression(class_weight={0: 1, 1: 1, 2: 50})),
        (NAMES[y], LogisticRegression(class_weight={"cat": 50})),
        (y + 1, make_pipeline(LogisticRegression(class_weight={1: 1.0, 2: 1.0, 3: 50.0})))))
    assert (by_number == 2).mean() > 0.45 and (by_name == NAMES[by_number]).all() and (shifted == by_number + 1).all()


def test_what_is_no_classifier_is_refused(three):
    x, y, _ = three
    for model in (GaussianMixture(3, random_state=0), GaussianMixture(5, random_state=0), make_pipeline(
            SimpleImputer(), GaussianMixture(3, random_state=0))):
        refused(f"{type(model).__name__} predicts no probability of each class", x, y, model)
    refused("seed=-1: give a whole number", x, y, LogisticRegression(), seed=-1, error=ValueError)


class Insisting(ClassifierMixin, BaseEstimator):
    """A classifier that takes labels 0 ... k - 1 only, as XGBoost does."""

    def fit(self, X, y):
        if not np.array_equal(np.unique(y), np.arange(len(np.unique(y)))):
            raise ValueError(f"Expected: {np.arange(len(np.unique(y)))}, got {np.unique(y)}")
        self.forest_ = RandomForestClassifier(20, random_state=0).fit(X, y)
        self.classes_ = self.forest_.classes_
        return self

    def predict_proba(self, X):
        return self.forest_.predict_proba(X)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_the_classifier_takes_what_its_estimator_takes(three):
    x, y, wrong = three
    fitted = NoisyLabelClassifier(Insisting()).fit(x, NAMES[y])
    assert (fitted.predict(x) == NAMES[np.arange(150) % 3]).mean() > 0.9 and fitted.classes_.tolist() == NAMES.tolist()
    gaps = np.where(np.random.default_rng(1).random(x.shape) < 0.05, np.nan, x)
    for given in (gaps, pd.DataFrame(gaps)):
        fitted = NoisyLabelClassifier(make_pipeline(SimpleImputer(), LogisticRegression())).fit(given, y)
        assert fitted.label_issues_["issue"][wrong].mean() > 0.8
        assert (fitted.predict(given) == np.arange(150) % 3).mean() > 0.9
    with pytest.raises(ValueError, match="NaN"):
        NoisyLabelClassifier().fit(gaps, y)
    for strange in ("", "ant "):
        with pytest.raises(ValueError, match="y has labels that are empty or have spaces around them"):
            NoisyLabelClassifier().fit(x, np.where(np.arange(150) < 9, strange, NAMES[y]))


def test_rows_of_few_categories_are_no_copies_of_each_other():
    """240 rows of nine combinations decide the class together: halves without any of them would know nothing of it."""
    generator = np.random.default_rng(0)
    x = generator.integers(3, size=(240, 2))
    true = (x[:, 0] + x[:, 1]) % 3
    wrong = np.isin(np.arange(240), generator.choice(240, 20, replace=False))
    given = NAMES[np.where(wrong, (true + 1) % 3, true)]
    table = find_label_issues(OneHotEncoder(sparse_output=False).fit_transform(x), given, RandomForestClassifier(
        50, random_state=0))
    assert table.attrs["verdict"]["outcome"] == "use" and (table["issue"] == wrong).all()
    groups = last_pass.copies(np.array([[0.0]] * 11 + [[1.0]] * 10 + [[2.0]]))
    assert len(set(groups[:11])) == 11 and len(set(groups[11:21])) == 1 and len(set(groups)) == 13


# --- lists that come back ---------------------------------------------------------------------------------------------

def test_decisions_as_pandas_and_people_write_them(tmp_path):
    """Integers beside empty cells become floats; KEEP is keep."""
    file, given = tmp_path / "mine.csv", np.arange(12) % 3
    listed = pd.DataFrame({"sample": np.arange(6.0), "given": given[:6].astype(float), "decision": np.nan})
    listed.loc[0, "decision"] = 2
    listed.to_csv(file, index=False)
    assert "0.0,0.0,2.0" in file.read_text()
    changed, used, trusted = decisions.decide([file], np.arange(12), given, np.arange(3))
    assert changed.tolist() == [2, *given[1:]] and used.all() and trusted.nonzero()[0].tolist() == [0]
    pd.DataFrame({"sample": [1, 2], "given": [1, 2], "decision": ["KEEP", "Drop"]}).to_csv(file, index=False)
    _, used, trusted = decisions.decide([file], np.arange(12), given, np.arange(3))
    assert trusted.nonzero()[0].tolist() == [1] and (~used).nonzero()[0].tolist() == [2]
    pd.DataFrame({"sample": [1], "given": ["1,00E+00"], "decision": ["keep"]}).to_csv(file, index=False)
    with pytest.raises(data.DataError, match="has the label '1', but '1,00E\\+00' in the list: the data have changed"):
        decisions.decide([file], np.arange(12), given, np.arange(3))


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_corrected_label_of_true_is_exported_as_false(tmp_path, ending):
    rows = pd.DataFrame({"name": list("abcd"), "ok": [True, False, True, False]})
    file = tmp_path / f"list{ending}"
    rows.to_json(file, orient="records", lines=True) if ending == ".jsonl" else rows.to_parquet(file)
    target = tmp_path / f"clean{ending}"
    export._write_rows(target, SimpleNamespace(path=file), "ok", np.array([0, 1, 3]), {0: "False", 3: "True"})
    found = pd.read_json(target, lines=True) if ending == ".jsonl" else pd.read_parquet(target)
    assert found["ok"].tolist() == [False, False, True] and found["name"].tolist() == ["a", "b", "d"]


# --- other tables -----------------------------------------------------------------------------------------------------

def test_dates_of_another_table_may_have_another_order():
    """All cells of a column are read alike, as the clear ones say."""
    for written, days in ((["07/09/2020", "25/12/2020"], 109), (["09/07/2020", "12/25/2020"], 109),
                          (["07.09.2020", "11.09.2020"], 4), (["2020-09-07", "2020-12-25"], 109)):
        found = dates.parts(pd.Series(written), "due", False, ["days"])["days"]
        assert found[0] == 18512 and found[1] - found[0] == days, written
    assert dates.parts(pd.Series(["07/09/2020"]), "due", True, ["days"])["days"] == 18512
    with pytest.raises(data.DataError, match="'due' has dates with the day before the month and others with the month"):
        dates.parts(pd.Series(["25/12/2020", "12/25/2020"]), "due", False, ["days"])


def test_cells_of_another_table_that_say_nothing_are_told(tmp_path, capsys):
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"w": generator.choice(["red", "blue"], 60), "n": generator.normal(size=60),
                          "kind": generator.choice(["a", "b"], 60)})
    table.to_csv(tmp_path / "t.csv", index=False)
    source = Source(path=str(tmp_path / "t.csv"), label="kind")
    source = dataclasses.replace(source, facts=load.facts(source))
    table[:5].drop(columns="kind").to_csv(tmp_path / "same.csv", index=False)
    load.samples_like(str(tmp_path / "same.csv"), source)
    assert capsys.readouterr().out == ""
    pd.DataFrame({"w": ["violet", "red", "RED"], "n": ["", "", ""]}).to_csv(tmp_path / "new.csv", index=False)
    load.samples_like(str(tmp_path / "new.csv"), source)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and "column 'w': 2 values such as 'violet', a category that the training data do not" in told[0]
    assert told[1].endswith("column 'n' is empty")
    pd.DataFrame({"w": ["red"], "n": ["1,234"]}).to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(data.DataError, match=r"odd.csv: cannot be read like \S+t.csv: column 'n'"):
        load.samples_like(str(tmp_path / "odd.csv"), source)


def test_the_report_says_of_how_many_samples_the_truth_is_known():
    worst = pd.DataFrame({"given": [], "status": [], "margin": []})
    record = {"selected_in_all": 5, "left": 1, "estimated_noise_ratio": 0.2, "LP": 0.9, "LR": 0.8}
    provenance = {"settings": Settings(architecture="dense", epochs=3), "samples": 9, "iterations": [record],
                  "ended_early": None}
    texts = [report.page("t", provenance | known, worst, {}, {}) for known in ({}, {"true_labels_known": 6})]
    assert "The true labels are known here: 90.0 %" in texts[0]
    assert "The true labels of 6 samples are known. Among these, 90.0 %" in texts[1]
