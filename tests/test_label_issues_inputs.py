"""What people hand to the Python API: tables of other libraries, columns of any kind, probabilities with usual mistakes."""
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from incv import data
from incv.label_issues import NoisyLabelClassifier, find_label_issues

CLASSES = np.array(["setosa", "lily", "rose", "fern"])


@pytest.fixture(scope="module")
def flowers():
    """(x, labels of CLASSES an eighth of which are wrong, out-of-fold probabilities, which labels are wrong)."""
    generator = np.random.default_rng(131)
    y = generator.integers(0, 4, 400)
    x = generator.normal(0, 1.5, (4, 6))[y] + generator.normal(0, 1, (400, 6))
    wrong = generator.random(400) < 0.125
    labels = CLASSES[np.where(wrong, (y + 1 + generator.integers(0, 3, 400)) % 4, y)]
    p = cross_val_predict(LogisticRegression(max_iter=500), x, labels, cv=5, method="predict_proba")
    return x, labels, p, wrong


def test_columns_in_order_of_appearance_are_refused(flowers):
    _, labels, p, _ = flowers
    ascending = np.unique(labels).tolist()
    moved = p[:, [ascending.index(name) for name in CLASSES]]
    agreement = (p.argmax(axis=1) == np.unique(labels, return_inverse=True)[1]).mean()
    with pytest.raises(data.DataError, match="not in ascending order of the classes: .* in the order 'setosa', 'lily', 'rose'"
                                             f", 'fern' {agreement:.0%}"):
        find_label_issues(None, labels, pred_probs=moved)
    named = find_label_issues(None, labels, pred_probs=pd.DataFrame(moved, columns=CLASSES))
    assert named.equals(find_label_issues(None, labels, pred_probs=p))


@pytest.mark.parametrize("seed", range(5))
def test_probabilities_that_say_nothing_are_not_taken_for_another_order(seed):
    generator = np.random.default_rng(seed)
    for n, classes in ((60, 10), (300, 3), (1000, 10)):
        p, labels = generator.dirichlet(np.ones(classes), n), np.arange(n) % classes
        assert find_label_issues(None, labels, pred_probs=p).attrs["verdict"]["outcome"] == "nothing"


def test_probabilities_of_a_model_that_was_trained_on_the_rows_are_warned_of(flowers):
    _, labels, p, _ = flowers
    certain = np.eye(4)[np.unique(labels, return_inverse=True)[1]] * 0.9 + 0.025
    with pytest.warns(UserWarning, match="predict 100.0% of the labels: .* give out-of-fold"):
        find_label_issues(None, labels, pred_probs=certain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_label_issues(None, labels, pred_probs=p)


def test_each_mistake_in_probabilities_has_its_own_message(flowers):
    _, labels, p, _ = flowers
    for wrong, message in ((np.log(p), "negative values: give probabilities, not logits"),
                           (100 * p, "divide percentages by 100"), (p[:, 0], r"shape \(400,\); give \(400, 4\)"),
                           (np.where(np.arange(400)[:, None] == 3, np.nan, p), r"NaN or infinite values \(first: sample 3\)"),
                           (p / 2, "sum to between 0.5 and 0.5, not 1: give probabilities$"),
                           (np.full((400, 4), "high"), "are <U4: give numbers")):
        with pytest.raises(ValueError, match=message):
            find_label_issues(None, labels, pred_probs=wrong)


def test_rounded_probabilities_are_divided_by_their_sum(flowers):
    _, labels, p, _ = flowers
    with pytest.warns(UserWarning, match="each is divided by its sum"):
        rounded = find_label_issues(None, labels, pred_probs=p.round(2))
    expected = (p.round(2) / p.round(2).sum(axis=1, keepdims=True)).max(axis=1)
    assert np.allclose(rounded["p_suggested"], expected)
    tiny = np.c_[p, np.zeros(400)][:, :4] - np.where(p == p.min(), p.min() + 1e-17, 0)
    assert find_label_issues(None, labels, pred_probs=tiny)["p_given"].min() >= 0


def test_tables_of_other_libraries_are_the_same_rows(flowers):
    x, labels, _, _ = flowers
    frame, model = pd.DataFrame(x, columns=list("abcdef")), LogisticRegression(max_iter=500)
    expected = find_label_issues(frame, labels, model, permutations=0)
    for library, convert in (("pyarrow", "table"), ("polars", "from_pandas")):
        table = getattr(pytest.importorskip(library), convert)(frame)
        assert find_label_issues(table, labels, model, permutations=0).equals(expected), library
        fitted = NoisyLabelClassifier(model).fit(table, labels)
        assert (fitted.predict(table) == fitted.predict(frame)).all(), library


class Batches:
    """Like a tf.data.Dataset or a data loader: its length is the number of batches."""

    def __len__(self):
        return 8


@pytest.mark.parametrize("x, labels, message", [
    (Batches(), np.arange(400) % 2, "x is a Batches: give an array"), ({"a": [1, 2]}, [0, 1], "x is a dict: give an array"),
    (np.zeros((4, 2)), None, "labels is None: give one label per sample"),
    (np.zeros((4, 2)), "kind", "labels is 'kind': give"), (np.zeros((4, 2)), {"a": 1}, "labels is a dict: give"),
    (np.zeros((4, 2)), iter([0, 1]), "labels is a list_iterator: give")])
def test_what_is_no_array_is_refused_in_one_line(x, labels, message):
    with pytest.raises(data.DataError, match=message):
        find_label_issues(x, labels, LogisticRegression())


@pytest.mark.parametrize("others", [
    {"member": [True, False]}, {"when": pd.Timestamp("2024-01-01")}, {"member": pd.array([True, None], dtype="boolean")},
    {"count": pd.array([1, None], dtype="Int64")}, {"for": pd.Timedelta("1h")}], ids=lambda others: str(next(iter(others))))
def test_the_classifier_takes_the_columns_its_estimator_takes(flowers, others):
    """Of categories beside booleans, dates, missing values of extension types: only the pipeline can judge them."""
    x, labels, _, _ = flowers
    frame = pd.DataFrame(x, columns=list("abcdef")).assign(site=pd.Categorical(np.tile(["p", "q"], 200)))
    frame = frame.assign(**{name: value if not hasattr(value, "__len__") else
                            pd.concat([pd.Series(value)] * 200, ignore_index=True) for name, value in others.items()})
    model = make_pipeline(make_column_transformer((OneHotEncoder(), ["site"]), ("passthrough", list("abcdef"))),
                          LogisticRegression(max_iter=500))
    classifier = NoisyLabelClassifier(model).fit(frame, labels)
    assert classifier.score(frame, labels) > 0.75 and classifier.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        NoisyLabelClassifier(model).fit(frame, labels[:-1])
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(frame.drop(columns="a"))
