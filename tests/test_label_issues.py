"""The Python API: any samples, labels, models and groups; scikit-learn's conventions; one line where it cannot be."""
import enum
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pyarrow
import pytest
from conftest import PROJECT
from examples import patients
from scipy.sparse import csr_array
from sklearn import config_context, set_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris, load_wine  # noqa: F401  one of them in another process
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from incv import data, models, noise, utils
from incv.checking import last_pass
from incv.custom_data import coded
from incv.label_issues import NoisyLabelClassifier, find_label_issues


@pytest.fixture(scope="module")
def wine():
    """(x, true labels, labels a fifth of which are wrong)."""
    x, y = load_wine(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    return x, y, noise.flip_labels(y, noise.transition_matrix("sym", 0.2, 3), np.random.default_rng(0))


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


def noisy(load):
    """(DataFrame, true labels, labels a fifth of which are wrong), as strings, of one of scikit-learn's datasets."""
    known = load(as_frame=True)
    transition = noise.transition_matrix("sym", 0.2, len(known.target_names))
    given = noise.flip_labels(known.target, transition, np.random.default_rng(0))
    return known.data, known.target_names[known.target], known.target_names[given]


@pytest.fixture(scope="module")
def iris():
    return noisy(load_iris)


def check(table, y, given):
    assert list(table) == ["sample", "given", "suggested", "p_given", "p_suggested", "status", "issue", "margin"]
    assert (table["given"] == given).all() and (table["sample"] == np.arange(len(y))).all()
    wrong, issue = y != given, table["issue"].to_numpy()
    assert wrong[issue].mean() >= 0.6 and issue[wrong].mean() >= 0.8


@pytest.mark.parametrize("classifier", [LogisticRegression(max_iter=500), RandomForestClassifier(random_state=0)])
def test_any_classifier(iris, classifier):
    x, y, given = iris
    table = find_label_issues(x, given, classifier)
    check(table, y, given)
    for same in (x.to_numpy(), csr_array(x.to_numpy())):  # by the same seed
        assert find_label_issues(same, given.astype(object), classifier)["issue"].equals(table["issue"])


def test_a_function_that_builds_a_keras_model():
    """In a process of its own, as a user has it: nothing of ours has prepared the backend."""
    code = """
import sys; sys.path.insert(0, %r); sys.path.insert(0, %r)
import keras, numpy as np, test_label_issues
from incv import find_label_issues
x, y, given = test_label_issues.noisy(test_label_issues.load_breast_cancer)
x = x.to_numpy()
def model(*last):
    layers = [keras.layers.Normalization(mean=x.mean(0), variance=x.var(0)), keras.layers.Dense(64, "relu"), *last]
    return lambda: keras.Sequential([keras.Input((30,)), *[layer.from_config(layer.get_config()) for layer in layers]])
by_softmax = find_label_issues(x, given, model(keras.layers.Dense(2, "softmax")))
by_logits = find_label_issues(x, given, model(keras.layers.Dense(2)), epochs=3)
layered = find_label_issues(x, given, model(keras.layers.Dense(2), keras.layers.Softmax()), epochs=3)
test_label_issues.check(by_softmax, y, given)
by_softmax = find_label_issues(x, given, model(keras.layers.Dense(2, "softmax")), epochs=3)
assert np.allclose(by_softmax["p_given"], by_logits["p_given"], atol=1e-4)
assert np.allclose(layered["p_given"], by_logits["p_given"], atol=1e-4)
def without_input():
    return keras.Sequential([keras.layers.Dense(8), keras.layers.Dense(2, "softmax")])
assert len(find_label_issues(x, given, without_input, epochs=1, iterations=1)) == len(x)
try:
    find_label_issues(x, given, model(keras.layers.Dense(3)))
except test_label_issues.data.DataError as error:
    print("refused:", error)
try:
    find_label_issues(x, given, model(keras.layers.Dense(2, "sigmoid")))
except ValueError as error:
    print("also:", error)
""" % (str(PROJECT), str(PROJECT / "tests"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=os.environ | {"KERAS_BACKEND": "tensorflow"})
    assert done.returncode == 0 and "refused: the model takes samples of shape (30,) and has 3 classes" in done.stdout, (
        done.stdout + done.stderr)
    assert "also: the model ends in sigmoid; it must end in logits" in done.stdout


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


def test_trainings_at_the_same_time_find_the_same(wine):
    x, _, given = wine
    for model in (LogisticRegression(max_iter=500), RandomForestClassifier(10, random_state=0)):
        one, two = (find_label_issues(x, given, model, permutations=0, n_jobs=n_jobs) for n_jobs in (None, 2))
        pd.testing.assert_frame_equal(one, two)
        assert one.attrs["verdict"] == two.attrs["verdict"]


def test_probabilities_of_ones_own(wine):
    x, y, given = wine
    sure = np.random.default_rng(0).uniform(0.6, 1, len(y))
    p = np.repeat((1 - sure[:, None]) / 2, 3, axis=1)
    p[np.arange(len(y)), y] = sure
    table = find_label_issues(x, given, pred_probs=p)
    assert (table["issue"] == (given != y)).all() and set(table["status"]) == {""}
    assert np.allclose(table["p_given"], last_pass.level(given, p)[np.arange(len(y)), given])
    assert table.attrs["verdict"]["least_margin"] == last_pass.MARGIN
    for bad, words in ((p[:, :2], "shape"), (np.log(p), "not logits"), (p * 2, "not 1: give probabilities")):
        with pytest.raises(ValueError, match=words):
            find_label_issues(x, given, pred_probs=bad)


# --- labels, rows and columns -----------------------------------------------------------------------------------------

NAMES = np.array(["ant", "bee", "cat"])


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


def test_nan_in_a_list_of_names_is_no_class(three):
    """numpy makes it the text "nan"."""
    x, y, _ = three
    labels = [float("nan") if i in (7, 9) else name for i, name in enumerate(NAMES[y].tolist())]
    with pytest.warns(UserWarning, match="2 of 150 samples have no label .first: sample 7"):
        table = find_label_issues(x, labels, LogisticRegression())
    assert (table["status"] == "not checked").to_numpy().nonzero()[0].tolist() == [7, 9]
    assert table.equals(find_label_issues(x, np.array(labels, dtype=object), LogisticRegression()))


@pytest.mark.parametrize("y", [
    ["a", float("nan")] * 30, ["a", "b", None] * 20, ("a", "b", pd.NA) * 20, pd.Series(["a", "b", None] * 20, dtype="string"),
    pd.Series([1, 2, None] * 20, dtype="Int64"), pyarrow.array(["a", "b", None] * 20),
    np.ma.array([0, 1] * 30, mask=[1] + [0] * 59), pd.Series(["a", "b", None] * 20, dtype="category")],
    ids=["nan", "None", "NA", "string", "Int64", "pyarrow", "masked", "category"])
@pytest.mark.parametrize("as_table", [True, False])
def test_the_classifier_refuses_missing_labels_as_scikit_learn_does(y, as_table):
    x = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(ValueError, match="Input y contains NaN") as error:
        NoisyLabelClassifier(LogisticRegression()).fit(pd.DataFrame(x) if as_table else x, y)
    assert "\n" not in str(error.value)


def test_labels_that_cannot_be_checked_in_python():
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"] * 30, dtype=object)
    x = rng.normal(size=(60, 2)) + 4 * (y == "a")[:, None]
    y[5], y[7], y[9] = None, np.nan, "single"
    with pytest.warns(UserWarning) as said:
        table = find_label_issues(x, y, LogisticRegression())
    assert "2 of 60 samples have no label" in str(said[0].message) and "'single'" in str(said[1].message)
    assert len(table) == 60 and table["sample"].tolist() == list(range(60))
    assert table.loc[[5, 7, 9], "status"].tolist() == ["not checked"] * 3 and not table.loc[[5, 7, 9], "issue"].any()
    assert table["status"].value_counts()["not checked"] == 3


def test_rows_in_another_order_are_refused(three):
    x, y, _ = three
    x, labels = pd.DataFrame(x), pd.Series(y)
    shuffled = labels.sample(frac=1, random_state=0)
    refused(r"labels has the index of x in another order, .* give labels.loc\[x.index\]", x, shuffled, LogisticRegression())
    refused("groups has the index", x, labels, LogisticRegression(), groups=shuffled)
    with pytest.raises(data.DataError, match="y has the index of X in another order"):
        NoisyLabelClassifier().fit(x, shuffled)
    with pytest.raises(data.DataError, match=r"groups has the index of y in another order, .* give groups.loc\[y.index\]"):
        NoisyLabelClassifier().fit(x.to_numpy(), labels, groups=shuffled)
    p, model = pd.DataFrame(np.full((150, 3), 1 / 3)), LogisticRegression()
    for first in (x.to_numpy(), None):
        refused("pred_probs has the index of labels", first, labels, pred_probs=p.loc[shuffled.index])
        refused("pred_probs has the index of groups", first, y, pred_probs=p, groups=shuffled)
    refused(r"groups has the index of labels .* give groups.loc\[labels.index\]", x.to_numpy(), labels, model, groups=shuffled)
    as_it_is = find_label_issues(x, labels, LogisticRegression())["margin"]
    for same in (shuffled.loc[x.index], labels.set_axis(np.arange(1000, 1150)), labels.to_numpy()):
        assert (find_label_issues(x, same, LogisticRegression())["margin"] == as_it_is).all()


def test_columns_of_probabilities_are_found_by_their_names(three):
    _, y, _ = three
    p = np.full((150, 3), 0.1) + 0.7 * np.eye(3)[np.arange(150) % 3]
    by_position = find_label_issues(None, NAMES[y], pred_probs=p)
    by_name = find_label_issues(None, NAMES[y], pred_probs=pd.DataFrame(p, columns=NAMES)[["cat", "ant", "bee"]])
    assert by_position["issue"].sum() == 15 and by_name.equals(by_position)
    as_arrow = pyarrow.table({name: p[:, number] for number, name in reversed([*enumerate(NAMES.tolist())])})
    assert find_label_issues(None, NAMES[y], pred_probs=as_arrow).equals(by_position)
    for order in ([2.0, 0.0, 1.0], ["2.0", "0.0", "1.0"]):
        by_number = find_label_issues(None, y, pred_probs=pd.DataFrame(p[:, [2, 0, 1]], columns=order))
        assert (by_number["margin"] == by_position["margin"]).all()


def test_a_class_of_few_samples_is_named(three):
    x, y, _ = three
    with pytest.warns(UserWarning, match=r"1 of 4 classes have fewer than 5 samples; their labels can hardly be checked: '9'"):
        find_label_issues(x, np.where(np.arange(150) < 4, 9, y), LogisticRegression())


# --- arguments and models ---------------------------------------------------------------------------------------------

def test_what_cannot_be_checked_is_refused(iris):
    x, _, given = iris
    with pytest.raises(data.DataError, match="x has 150 samples and labels 149"):
        find_label_issues(x, given[:-1], LogisticRegression())
    with pytest.raises(data.DataError, match="one class"):
        find_label_issues(x, np.zeros(150, int), LogisticRegression())


@pytest.mark.parametrize("argument, value", [("noise_pattern", "asymmetric"), ("noise_pattern", "human"), ("iterations", 0),
                                             ("epochs", 0), ("batch_size", -1), ("iterations", 1.5), ("n_jobs", 0),
                                             ("iterations", True), ("seed", True), ("permutations", True)])
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


class Odd(ClassifierMixin, BaseEstimator):
    """A classifier with a fault of its author's, or something that cannot be sent to another process."""

    def __init__(self, fault="", lock=None):
        if fault != "forgets":
            self.fault = fault
        self.lock = lock

    def fit(self, X, y):
        self.fitted_ = LogisticRegression().fit(X, y)
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, X):
        return self.fitted_.predict_proba(X) * {"nan": np.nan, "percent": 100}.get(self.fault, 1)


def test_faults_of_a_classifier_are_told_by_its_name(three):
    x, y, _ = three
    refused("Odd.predict_proba returned NaN or infinite values", x, y, Odd("nan"), error=ValueError)
    refused("Odd.predict_proba returned rows that are negative or do not sum to 1", x, y, Odd("percent"), error=ValueError)
    refused("^Odd cannot be copied by sklearn.base.clone: .*'fault'", x, y, Odd("forgets"))
    find_label_issues(x, y, Odd(lock=None), permutations=0)
    with pytest.raises(ValueError, match="^n_jobs=2: what is to run cannot be sent to another process .*: remove n_jobs$"):
        utils.in_parallel(Odd(lock=threading.Lock()).fit, [(x, y)] * 2, 2)


def test_sparse_arrays_where_none_can_be_are_told_so(three):
    x, y, _ = three
    refused("x is a sparse array: a Keras model takes dense ones, x.toarray()", csr_array(x), y,
            lambda: models.linear((4,), 3))
    refused("pred_probs is a sparse array: give pred_probs.toarray()", None, y, pred_probs=csr_array(np.eye(3)[y]),
            error=ValueError)


def test_large_integers_beside_a_missing_label_stay_different(three):
    x, y, _ = three
    labels = [None, *(2 ** 53 + y[1:]).tolist()]
    for given in (labels, pd.Series(labels, dtype="Int64")):
        table = find_label_issues(x, given, LogisticRegression(), permutations=0)
        assert table["given"].isna().tolist() == [True] + [False] * 149 and table["given"][1:].tolist() == labels[1:]


def test_what_a_model_raises_for_a_row_is_one_line_that_names_it(three):
    x, y, _ = three
    for seed in range(4):  # in which the row is predicted first, or trained on
        for wrong, words in ((np.nan, "LogisticRegression cannot (be trained|predict): ValueError: Input X contains NaN"),):
            refused(words, np.where(np.arange(150)[:, None] == 3, wrong, x), y, LogisticRegression(), seed=seed)
    texts = pd.Series(["one two", "three four", None, *["five six", "two", "one"] * 49], dtype=object)
    refused("Pipeline cannot .*: AttributeError", texts, y, make_pipeline(TfidfVectorizer(), LogisticRegression()))


def test_labels_of_other_types_are_refused_by_name(three):
    x, y, _ = three
    Kind = enum.Enum("Kind", "A B C")
    refused("one integer or string per sample; they are of type Kind", x, [Kind(each + 1) for each in y], LogisticRegression())


@pytest.mark.slow
def test_networks_that_cannot_be_checked_are_refused_and_softmax_is_known_by_any_name(three):
    import keras
    from keras import layers

    x, y, _ = three

    class Own(keras.Model):
        def call(self, samples):
            return samples

    def ends(*last):
        return lambda: keras.Sequential([keras.Input((4,)), *last])

    refused("model\\(\\) returned a Own, a subclass of keras.Model", x, y, lambda: Own())
    refused("has outputs of shape \\(3, 1\\)", x, y, ends(layers.Dense(3), layers.Reshape((3, 1))))
    for last in (layers.Reshape((3,)), keras.Sequential([layers.Dense(3, activation="softmax")])):
        refused("the model ends in probabilities, of a layer that cannot be taken off", x, y,
                ends(layers.Dense(3, activation="softmax"), last), error=ValueError)
    for last in (layers.ReLU(), keras.Sequential([layers.Dense(3, activation="relu")])):
        refused("the model ends in relu", x, y, ends(layers.Dense(3), last), error=ValueError)
    tables = [find_label_issues(x, y, ends(layers.Dense(3, activation=each)), epochs=1, iterations=1)
              for each in ("softmax", keras.ops.softmax, "log_softmax")]
    assert tables[0].equals(tables[1])
    assert np.allclose(tables[0]["p_given"], tables[2]["p_given"], atol=1e-4)  # log-probabilities are logits
    refused("smaller numbers", (x * 1e30).astype(np.float32), y, ends(layers.Dense(3)), epochs=2, error=utils.UserError)
    keras.config.set_floatx("float64")
    try:
        refused("keras.config.floatx\\(\\) is float64", None, y, features=x)
    finally:
        keras.config.set_floatx("float32")


def test_the_output_that_scikit_learn_is_set_to_changes_nothing(three):
    x, y, _ = three
    with config_context(transform_output="pandas"):
        table = find_label_issues(x, y, LogisticRegression(), permutations=0)
    assert table.equals(find_label_issues(x, y, LogisticRegression(), permutations=0))


def test_columns_of_integers_that_no_float_tells_apart():
    """The middle of two neighbouring floats is one of them."""
    ids, y = 2 ** 53 + np.arange(200)[:, None], np.arange(200) // 100
    assert len(find_label_issues(ids, y, GaussianNB(), permutations=0)) == 200


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


class Backwards(ClassifierMixin, BaseEstimator):
    """A classifier whose classes_, and the columns of its probabilities, a list, descend."""

    def fit(self, X, y):
        self.fitted_ = LogisticRegression().fit(X, y)
        self.classes_ = self.fitted_.classes_[::-1]
        return self

    def predict_proba(self, X):
        return self.fitted_.predict_proba(X)[:, ::-1].tolist()


class Renaming(Backwards):
    def fit(self, X, y):
        super().fit(X, y).classes_ = ["some", "other", "names"]
        return self


def test_classes_in_any_order(three):
    x, labels, wrong = three
    for given in (labels, NAMES[labels], labels.astype(float)):
        expected = find_label_issues(x, given, LogisticRegression(), permutations=0)
        assert find_label_issues(x, given, Backwards(), permutations=0).equals(expected)
        both = [NoisyLabelClassifier(model).fit(x, given) for model in (Backwards(), LogisticRegression())]
        assert np.array_equal(*(each.predict_proba(x) for each in both)) and both[0].predict(x).tolist() == (
            both[1].predict(x).tolist())
    refused("its classes_ some, other, names are not the labels", x, labels, Renaming(), permutations=0)


@pytest.mark.parametrize("model", [Insisting(), HistGradientBoostingClassifier(early_stopping=True, max_iter=5),
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


def test_strings_into_a_keras_model():
    with pytest.raises(ValueError, match="x is <U1: a Keras model takes numbers"):
        find_label_issues(np.array([["a"], ["b"]] * 10), np.arange(20) % 2, lambda: None)


# --- scikit-learn's conventions ---------------------------------------------------------------------------------------

@pytest.mark.slow
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


def test_the_classifier_leaves_out_only_what_can_be_used():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(300, 10)), generator.integers(3, size=300)
    classifier = NoisyLabelClassifier(LogisticRegression()).fit(x, y)
    assert classifier.verdict_["outcome"] == "nothing" and classifier.label_issues_["issue"].any()
    assert np.allclose(classifier.predict_proba(x), LogisticRegression().fit(x, y).predict_proba(x))


def test_in_pipelines_searches_and_with_data_frames():
    x, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), NoisyLabelClassifier(RandomForestClassifier(20, random_state=0)))
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    assert set(pipeline.fit(x, names).predict(x)) == set(names) and pipeline.score(x, names) > 0.9
    search = GridSearchCV(clone(pipeline), {"noisylabelclassifier__iterations": [1, 2]}, cv=2).fit(x, names)
    assert search.best_score_ > 0.85
    assert NoisyLabelClassifier().fit(x, names).predict(x.head(3)).tolist() == ["setosa"] * 3


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


def test_the_classifier_hides_no_warning_but_of_samples_that_are_not_checked(three):
    x, y, _ = three
    labels = NAMES[y].astype(object)
    labels[3] = "single"
    with pytest.warns(UserWarning) as said:
        NoisyLabelClassifier(LogisticRegression()).fit(pd.DataFrame({"v": x[:, 0], "tells": y}), labels)
    told = [warning.message.args[0] for warning in said]
    assert coded.codes(told) == {coded.TELLS_LABEL} and not any("single" in line for line in told), told
    with pytest.warns(UserWarning, match="groups: "):
        NoisyLabelClassifier(LogisticRegression()).fit(x, y, groups=np.arange(150))


# --- groups -----------------------------------------------------------------------------------------------------------

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
    assert judged["issues"] == (means > judged["least_margin"]).sum()


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


# --- tables of other libraries, columns of any kind, probabilities with the usual mistakes ----------------------------------

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
        found = find_label_issues(None, labels, pred_probs=certain).attrs["verdict"]
    assert found["outcome"] == "nothing" and "trained on the same samples" in found["sentence"], found
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


def test_rows_of_other_lengths_masked_values_and_text_are_refused_in_one_line(wine):
    x, _, labels = wine
    ragged = [[0.5, 0.5, 0.0], [1.0]] * 89
    refused("groups has rows of different lengths", x, labels, LogisticRegression(), groups=ragged)
    refused("features has rows of different lengths", x, labels, LogisticRegression(), features=ragged)
    refused("pred_probs has rows of different lengths", None, labels, pred_probs=ragged)
    p = np.full((178, 3), 1 / 3)
    for other in (p.astype(str), p + 0j, np.array([[{}] * 3] * 178)):
        refused("pred_probs are .*: give numbers", None, labels, pred_probs=other, error=ValueError)
    refused("pred_probs has NaN", None, labels, pred_probs=np.ma.masked_array(p, p.cumsum(axis=0) < 1), error=ValueError)
    refused("x has rows of different lengths", ragged, labels, LogisticRegression())
    refused("x has masked values", np.ma.masked_greater(x, 1), labels, LogisticRegression())


def test_arguments_that_do_not_fit_together_are_refused_in_one_line(wine):
    x, _, labels = wine
    p = pd.DataFrame(np.full((178, 3), 1 / 3), columns=[*np.unique(labels)[:2], "other"])
    refused("the columns of pred_probs are .*: name each column after a class, or none", x, labels, pred_probs=p,
            error=ValueError)
    for named in ({"model": LogisticRegression()}, {"features": x}):
        refused(f"nothing is trained: remove {[*named][0]}", x, labels, pred_probs=p.to_numpy(), error=ValueError, **named)
    refused("noise_pattern=ndarray: use one of", x, labels, LogisticRegression(), noise_pattern=np.eye(3), error=ValueError)
    refused("returned a NoneType: it must return a keras.Model", x, labels, lambda: None)


def test_rounded_probabilities_are_divided_by_their_sum(flowers):
    _, labels, p, _ = flowers
    with pytest.warns(UserWarning, match="each is divided by its sum"):
        rounded = find_label_issues(None, labels, pred_probs=p.round(2))
    expected = last_pass.level(np.unique(labels, return_inverse=True)[1], p.round(2) / p.round(2).sum(axis=1, keepdims=True))
    assert np.allclose(rounded["p_suggested"], expected.max(axis=1))
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
    (np.zeros((4, 2)), np.array(3), "labels is an array of a single value, 3: give"),
    (np.array(3), [0, 1], "x is an array of a single value: give an array"),
    (pd.DataFrame({"v": range(4), "w": [[1], [2], [3], [4]]}), [0, 1, 0, 1], "x: column 'w' contains values such as a list"),
    (pd.DataFrame({"v": range(4), "w": [(1, [2])] * 4}), [0, 1, 0, 1], "x: column 'w' contains values such as a tuple"),
    (np.zeros((4, 2)), "kind", "labels is 'kind': give"), (np.zeros((4, 2)), {"a": 1}, "labels is a dict: give"),
    (np.zeros((4, 2)), iter([0, 1]), "labels is a list_iterator: give")])
def test_what_is_no_array_is_refused_in_one_line(x, labels, message):
    with pytest.raises(data.DataError, match=message):
        find_label_issues(x, labels, LogisticRegression())


@pytest.mark.parametrize("others", [
    {"member": [True, False]}, {"when": pd.Timestamp("2024-01-01")}, {"member": pd.array([True, None], dtype="boolean")},
    {"count": pd.array([1, None], dtype="Int64")}, {"for": pd.Timedelta("1h")}], ids=lambda others: str(next(iter(others))))
def test_the_classifier_takes_the_columns_its_estimator_takes(flowers, others):
    """Categories beside booleans, dates, missing values of extension types: only the pipeline can judge them."""
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


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("epochs", [2, 4])
def test_a_table_on_which_networks_were_hardly_trained_has_no_list_to_use(epochs, seed):
    x, y = load_wine(return_X_y=True)
    x = StandardScaler().fit_transform(x).astype(np.float32)
    generator = np.random.default_rng(seed)
    given = np.where(generator.random(len(y)) < 0.12, (y + generator.integers(1, 3, len(y))) % 3, y)
    with pytest.warns(UserWarning, match=f"epochs={epochs} instead of 134, the default for 178 samples"):
        table = find_label_issues(x, given, lambda: models.dense(x.shape[1:], 3, momentum=0.9), epochs=epochs, seed=seed)
    assert table.attrs["verdict"]["outcome"] != "use", table.attrs["verdict"]["sentence"]


@pytest.mark.parametrize("seed", range(2))
def test_in_sample_probabilities_of_a_small_forest_are_not_believed(seed):
    """A forest of ten trees predicts 98 % of the labels it was trained on, and knows of no wrong one."""
    x, y = load_wine(return_X_y=True)
    generator = np.random.default_rng(seed)
    given = np.where(generator.random(len(y)) < 0.1, (y + 1) % 3, y)
    p = RandomForestClassifier(10, random_state=seed).fit(x, given).predict_proba(x)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        found = find_label_issues(None, given, pred_probs=p).attrs["verdict"]
    assert found["outcome"] != "use" or found["wrong_low"] > 0, found["sentence"]


def test_single_wrong_labels_in_groups_are_judged_as_samples():
    """Groups of three with a tenth of all labels wrong are not labelled as groups: the verdict counts samples."""
    x, y = load_wine(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    wrong = np.random.default_rng(0).permutation(len(y))[:18]
    given = y.copy()
    given[wrong] = (y[wrong] + 1) % 3
    found = find_label_issues(x, given, LogisticRegression(max_iter=500), groups=np.arange(len(y)) // 3).attrs["verdict"]
    assert found["unit"] == "sample" and found["wrong"] >= 10, found["sentence"]
