"""The Python API: the last pass, arguments, classifiers that insist on something, scikit-learn's conventions."""
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from incv import data, noise
from incv.checking import grouping, last_pass
from incv.label_issues import NoisyLabelClassifier, find_label_issues


@pytest.fixture(scope="module")
def wine():
    """(x, true labels, labels a fifth of which are wrong)."""
    x, y = load_wine(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    return x, y, noise.flip_labels(y, noise.transition_matrix("sym", 0.2, 3), np.random.default_rng(0))


# --- the last pass ----------------------------------------------------------------------------------------------------

def test_halves_have_as_many_of_each_class_and_keep_copies_together():
    y = np.repeat([0, 1, 2], [40, 21, 3])
    groups = np.arange(64)
    groups[[0, 5, 9]] = 0  # three copies of one sample
    for seed in range(20):
        first, second = last_pass.stratified_halves(np.arange(64), np.random.default_rng(seed), y, groups)
        assert sorted([*first, *second]) == list(range(64))
        assert len({0 in half.tolist() for half in (first,)} | {5 in first.tolist()} | {9 in first.tolist()}) == 1
        counts = np.bincount(y[first], minlength=3) - np.bincount(y[second], minlength=3)
        assert abs(counts[0]) <= 4 and abs(counts[1]) <= 1 and abs(counts[2]) <= 1
    some = np.array([3, 7, 50, 55])
    first, second = last_pass.stratified_halves(some, np.random.default_rng(0), y, groups)
    assert sorted([*first, *second]) == some.tolist() and np.bincount(y[first])[[0, 1]].tolist() == [1, 1]


def test_copies_are_found_in_any_kind_of_samples():
    x = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0], [1.0, 1e-9]])
    for kind in (x, csr_array(x), pd.DataFrame(x), x.tolist()):
        assert last_pass.copies(kind).tolist() == [0, 1, 0, 2]


def test_the_last_pass_by_hand():
    """A model that gives each class as often as it is in its training samples: trusted ones of the other half."""
    y, selected, asked = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([1, 1, 0, 1, 1, 1, 0, 1], dtype=bool), []

    def train(train_index, held_out, removed, keep_best, iteration, half):
        asked.append((train_index, held_out, iteration, half))
        assert len(removed) == 0 and not keep_best
        return np.tile(np.bincount(y[train_index], minlength=2) / len(train_index), (len(held_out), 1))

    split, _ = grouping.how_to_split(y, np.arange(8))
    p = last_pass.out_of_fold(y, 2, selected, train, 1, 3, split, passes=2)
    for train_index, held_out, _, _ in asked:
        assert not set(train_index) & set(held_out)
    first = [each for each in asked if each[2] == 3]
    assert all(selected[train_index].all() for train_index, *_ in first)
    assert p.shape == (2, 8, 2) and p.sum(axis=2).ravel() == pytest.approx(np.ones(16))
    assert {each[2] for each in asked} <= {3, 4}


def test_label_issues_by_hand():
    y, p = np.array([0, 2, 0, 1]), np.array([[.2, .5, .3], [.1, .1, .8], [0, .6, .4], [.5, .3, .2]])
    assert last_pass.margins(y, p) == pytest.approx(np.log([.51 / .21, .11 / .81, .61 / .01, .51 / .31]))
    assert last_pass.issues(y, p, ratio=1).tolist() == [True, False, True, False]  # .5 / .3 is too little
    assert last_pass.issues(y, p, ratio=0.25).tolist() == [False, False, True, False]  # one in four, the worst
    # Two passes that differ on one of four samples: the first iteration has a weight of a quarter.
    other, first = p.copy(), np.tile([.2, .2, .6], (4, 1))
    other[3], first[0] = [.3, .5, .2], np.nan
    averaged = last_pass.averaged(np.array([p, other]), first)
    assert averaged[1] == pytest.approx(0.75 * p[1] + 0.25 * first[1]) and averaged[0] == pytest.approx(p[0])
    assert averaged[3] == pytest.approx(0.75 * np.array([.4, .4, .2]) + 0.25 * first[3])
    assert last_pass.averaged(p[None], first) == pytest.approx(p)


def test_every_sample_is_ranked_and_most_errors_are_on_top(wine):
    x, y, given = wine
    table = find_label_issues(x, given, LogisticRegression(max_iter=500))
    assert table[["p_given", "p_suggested", "margin"]].notna().all(axis=None)
    listed = table["margin"].nlargest(table["issue"].sum()).index
    assert set(listed) == set(table.index[table["issue"]]) and table["margin"][listed].min() > last_pass.MARGIN
    wrong = given != y
    top = table["margin"].to_numpy().argsort()[::-1][:wrong.sum()]
    assert wrong[top].mean() > 0.85 and wrong[table["issue"]].mean() > 0.8
    again = find_label_issues(x, given, LogisticRegression(max_iter=500))
    pd.testing.assert_frame_equal(table, again)


def test_probabilities_of_ones_own(wine):
    x, y, given = wine
    p = np.full((len(y), 3), 0.1)
    p[np.arange(len(y)), y] = 0.8
    table = find_label_issues(x, given, pred_probs=p)
    assert (table["issue"] == (given != y)).all() and set(table["status"]) == {""}
    for bad, words in ((p[:, :2], "shape"), (np.log(p), "not logits"), (p * 2, "not 1: give probabilities")):
        with pytest.raises(ValueError, match=words):
            find_label_issues(x, given, pred_probs=bad)


# --- arguments and models ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("argument, value", [("noise_pattern", "asymmetric"), ("noise_pattern", "human"), ("iterations", 0),
                                             ("epochs", 0), ("batch_size", -1), ("passes", 0), ("iterations", 1.5)])
def test_arguments_out_of_range(wine, argument, value):
    with pytest.raises(ValueError, match=f"{argument}={value!r}") as error:
        find_label_issues(wine[0], wine[2], LogisticRegression(), **{argument: value})
    assert "\n" not in str(error.value)


def test_models_that_do_not_fit(wine):
    x, _, given = wine
    for model in (None, LinearSVC(), LogisticRegression, "tree"):
        with pytest.raises(data.DataError, match="predict_proba, or a function"):
            find_label_issues(x, given, model)
    with pytest.raises(data.DataError, match="LogisticRegression cannot be trained: ValueError"):
        find_label_issues(np.array([[f"word {n}"] for n in range(40)]), np.arange(40) % 2, LogisticRegression())


class Insistent(ClassifierMixin, BaseEstimator):
    """Accepts the labels 0 ... k - 1 alone, as XGBoost does."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        if self.classes_.tolist() != list(range(len(self.classes_))):
            raise ValueError(f"expected {list(range(len(self.classes_)))}, got {self.classes_}")
        self.inner_ = LogisticRegression(max_iter=500).fit(X, y)
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)


@pytest.mark.parametrize("model", [Insistent(), HistGradientBoostingClassifier(early_stopping=True, max_iter=5),
                                   CalibratedClassifierCV(LogisticRegression(max_iter=500), cv=3)])
def test_rare_classes_end_in_no_traceback(wine, model):
    x, _, given = wine
    given = given.astype(object) * 10
    given[:3], given[3:5] = 77, -5
    table = find_label_issues(x, given.astype(int), model, iterations=1)
    assert len(table) == len(x) and table["p_given"].notna().all()


def test_a_class_that_one_half_lacks(wine):
    x, _, given = wine
    given = np.where(np.arange(len(given)) < 2, 9, given)
    table = find_label_issues(x, given, LogisticRegression(max_iter=500))
    assert set(table["given"]) == {0, 1, 2, 9}


# --- scikit-learn's conventions ---------------------------------------------------------------------------------------

def test_scikit_learn_s_own_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checks = check_estimator(NoisyLabelClassifier(), on_fail=None, on_skip=None)
    assert [check["check_name"] for check in checks if check["status"] == "failed"] == []
    # Skipped: input of array libraries other than NumPy, which needs SciPy's experimental SCIPY_ARRAY_API.
    assert {check["check_name"] for check in checks if check["status"] == "skipped"} <= {"check_array_api_input"}


def test_the_classifier_is_trained_without_the_issues(wine):
    x, y, given = wine
    classifier = NoisyLabelClassifier(LogisticRegression(C=100, max_iter=2000)).fit(x, given)
    plain = LogisticRegression(C=100, max_iter=2000).fit(x, given)
    assert classifier.score(x, y) > plain.score(x, y) + 0.02
    assert classifier.noise_ratio_ == classifier.label_issues_["issue"].mean() and classifier.classes_.tolist() == [0, 1, 2]
    keep = ~classifier.label_issues_["issue"].to_numpy()
    same = LogisticRegression(C=100, max_iter=2000).fit(x[keep], given[keep])
    assert np.allclose(same.predict_proba(x), classifier.predict_proba(x))


def test_in_pipelines_searches_and_with_data_frames():
    x, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), NoisyLabelClassifier(RandomForestClassifier(20, random_state=0)))
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    assert set(pipeline.fit(x, names).predict(x)) == set(names) and pipeline.score(x, names) > 0.9
    search = GridSearchCV(clone(pipeline), {"noisylabelclassifier__iterations": [1, 2]}, cv=2).fit(x, names)
    assert search.best_score_ > 0.85
    assert NoisyLabelClassifier().fit(x, names).predict(x.head(3)).tolist() == ["setosa"] * 3


def test_strings_into_a_keras_model():
    with pytest.raises(ValueError, match="x is <U1: a Keras model takes numbers"):
        find_label_issues(np.array([["a"], ["b"]] * 10), np.arange(20) % 2, lambda: None)
