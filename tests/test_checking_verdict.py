"""Whether a list can be believed: nothing from random features, the number of wrong labels, only the top."""
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from incv import noise
from incv.checking import estimates, last_pass, verdict
from incv.label_issues import find_label_issues


def judge(y, first, p, issue, **named):
    """Return the verdict on labels, by probabilities of INCV's first iteration and of all models."""
    return verdict.verdict(last_pass.Predicted(y=y, p=p, last=p, first=first), issue, **named)


def surely(true, classes):
    """Return probabilities of models that predict the true class, more or less surely."""
    top = 1 - np.random.default_rng(0).uniform(0, 0.7, len(true)) ** 3
    return np.where(np.eye(classes)[true] == 1, top[:, None], (1 - top[:, None]) / (classes - 1))


@pytest.mark.parametrize("model", [LogisticRegression(max_iter=500), RandomForestClassifier(30, random_state=0)])
def test_nothing_follows_from_random_features(model):
    for seed, (n, classes) in enumerate([(800, 5), (300, 2), (200, 3)]):
        generator = np.random.default_rng(seed)
        found = find_label_issues(generator.normal(size=(n, 20)), generator.integers(classes, size=n), model).attrs["verdict"]
        assert found["outcome"] == "nothing" and found["top"] == 0 and found["wrong"] is None
        assert found["sentence"].startswith("nothing follows") and abs(found["agreement"] - found["permuted"]) < 0.15


def test_in_doubt_all_is_repeated_with_permuted_labels():
    """A run in which the passes are as sure of permuted labels as of the given ones ends it."""
    y, issue = np.arange(20) % 2, np.zeros(20, dtype=bool)
    chance, slightly = np.full((20, 2), 0.5), 0.5 + np.outer(np.where(y == 0, 0.01, -0.01), [1, -1])
    slightly[:8] = slightly[:8, ::-1]
    sure = np.where(np.eye(2)[y] == 1, 0.9, 0.1)

    def tested(first, *of_runs, runs=3):
        called = iter(of_runs)
        return judge(y, first, sure, issue, test=lambda: verdict.permutation_test(
            y, sure[None], lambda number: (y, next(called)[None]), runs))

    unsure, found = np.where(sure > 0.5, 0.6, 0.4), tested(slightly, *[np.where(sure > 0.5, 0.6, 0.4)] * 3)
    assert (found["outcome"], found["runs"]) == ("use", 3) and "in all 3 runs with permuted labels" in found["sentence"]
    assert tested(slightly, unsure, sure)["runs"] == 2 and tested(slightly, unsure, sure)["outcome"] == "nothing"
    assert tested(slightly, runs=0)["outcome"] == tested(1 - slightly)["outcome"] == "nothing"  # worse than chance: not asked
    assert tested(chance)["runs"] == tested(sure)["runs"] == 0


def test_few_samples_with_many_wrong_labels_can_be_checked():
    generator = np.random.default_rng(3)
    true = generator.integers(2, size=150)
    x = generator.normal(size=(150, 5)) + 1.2 * true[:, None]
    given = np.where(generator.random(150) < 0.38, 1 - true, true)
    once, found = (find_label_issues(x, given, GaussianNB(), permutations=number) for number in (0, None))
    assert once.attrs["verdict"]["outcome"] == "nothing" and once.equals(found)
    issue, judged = found["issue"].to_numpy(), found.attrs["verdict"]
    assert judged["outcome"] == "use" and judged["runs"] == 99 and (given != true)[issue].mean() > 0.8
    with pytest.raises(ValueError, match="permutations=-1"):
        find_label_issues(x, given, GaussianNB(), permutations=-1)


def test_the_list_of_sure_models_can_be_used():
    """Labels drawn from known probabilities, a quarter of them then made wrong."""
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.full(5, 0.1), 2000)
    true = (p.cumsum(axis=1) > generator.random((2000, 1))).argmax(axis=1)
    given = noise.flip_labels(true, noise.transition_matrix("sym", 0.25, 5), generator)
    issue = last_pass.issues(given, p, 0.3)
    found = judge(given, p, p, issue)
    assert found["outcome"] == "use" and found["expected_precision"] <= (given != true)[issue].mean() + 0.05
    assert found["wrong_low"] <= (given != true).sum() <= found["wrong_high"]


def test_an_empty_list_is_no_proof_that_labels_are_right():
    """If models are sure, about no label is wrong; if they are right too seldom, the sentence says so."""
    y, none = np.arange(1000) % 4, np.zeros(1000, dtype=bool)
    found = judge(y, surely(y, 4), surely(y, 4), none)
    assert (found["outcome"], found["issues"]) == ("use", 0)
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.full(4, 0.5), 1000)
    found = judge((p.cumsum(axis=1) > generator.random((1000, 1))).argmax(axis=1), p, p, none)
    assert found["outcome"] == "nothing" and found["right"] < estimates.RIGHT
    assert found["sentence"].startswith("no label issues were found, but wrong labels may be left: networks are right about")


def test_only_the_top_can_be_used():
    """A model that is right for three of five samples: its list begins with wrong labels, errors of its own follow."""
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.full(4, 0.5), 3000)
    true = (p.cumsum(axis=1) > generator.random((3000, 1))).argmax(axis=1)
    given = noise.flip_labels(true, noise.transition_matrix("sym", 0.2, 4), generator)
    issue = last_pass.issues(given, p, 1)
    found = judge(given, p, p, issue)
    listed = np.argsort(-last_pass.margins(given, p), kind="stable")
    assert found["outcome"] == "top" and 0 < found["top"] < issue.sum()
    assert (given != true)[listed[:found["top"]]].mean() > 0.5 and f"first {found['top']} of" in found["sentence"]
    assert f"right about at most {found['right']:.0%} of all" in found["sentence"]
    assert (given != true)[issue].mean() < 0.5 and found["wrong_low"] < (given != true).sum() < found["wrong_high"]


def test_what_a_model_cannot_learn_is_not_taken_for_wrong_labels():
    """Logistic regression on classes that lines hardly separate: most disagreement is its own error."""
    x, true = make_classification(2000, 20, n_informative=12, n_redundant=0, n_classes=5, n_clusters_per_class=2,
                                  class_sep=0.7, flip_y=0, random_state=7)
    given = noise.flip_labels(true, noise.transition_matrix("sym", 0.1, 5), np.random.default_rng(0))
    table = find_label_issues(x, given, LogisticRegression(max_iter=500))
    found, issue = table.attrs["verdict"], table["issue"].to_numpy()
    assert (given != true)[issue].mean() < 0.3 and found["agreement"] > found["permuted"] + 0.1
    assert issue.sum() < 0.95 * (table["margin"] > last_pass.MARGIN).sum()  # no more than labels that can be wrong
    assert found["outcome"] != "use" and found["top"] < 0.5 * issue.sum() and found["right"] < 0.75


# --- groups -----------------------------------------------------------------------------------------------------------

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
    p = surely(true, 3)
    issue = last_pass.issues(given, p, 1)
    rows = judge(given, p, p, issue)
    found = judge(given, p, p, issue, groups=group)
    assert found["outcome"] == "use" and found["unit"] == "sample" and found["issues"] == issue.sum()
    assert found["wrong_low"] < rows["wrong_low"] <= wrong.sum() <= rows["wrong_high"] < found["wrong_high"]


@pytest.fixture(scope="module")
def checked():
    """(given labels, of 400 the first 40 wrong; probabilities of networks that are right about the true ones)."""
    y = np.arange(400) % 4
    given = np.where(np.arange(400) < 40, (y + 1) % 4, y)
    return given, surely(y, 4)


@pytest.mark.parametrize("agreement, few_epochs, outcome, words", [
    (0.99, False, "use", "the list can be used: about 39"),  # the networks memorise
    (0.91, True, "use", "the list can be used: about 39"),  # all but the wrong labels
    (0.88, False, "use", "the list can be used: about 39"),  # within two standard errors, 0.03
    (0.88, True, "top", "check each of the 40 label issues .* only 88.0% of the labels they were trained on: train for more"),
    (0.84, False, "nothing", "nothing follows from this list yet: networks predict only 84.0% of the labels they were")])
def test_networks_that_do_not_fit_their_training_labels_are_not_believed(checked, agreement, few_epochs, outcome, words):
    """10 % of the labels are wrong: networks that have learned predict 90 % of those they were trained on, or more."""
    given, p = checked
    issue = p.argmax(axis=1) != given
    found = judge(given, p, p, issue, trained=verdict.Trained(
        agreement=agreement, few_epochs=few_epochs))
    assert found["outcome"] == outcome and found["training_agreement"] == agreement, found["sentence"]
    assert pd.Series(found["sentence"]).str.contains(words).all(), found["sentence"]
    assert (found["wrong"] is None) == (outcome != "use")


def test_a_softmax_regression_is_judged_by_its_training_labels_only_after_few_epochs():
    history = [{"epoch": 1}, {"epoch": 2, "training_agreement": 0.7}, {"epoch": 2, "training_agreement": 0.8}]
    of = verdict.Trained.of_history
    assert of(history, False) == verdict.Trained(agreement=0.75, few_epochs=False) and of(history[:1], True) is None
    assert of(history, False, linear=True) is None
    assert of(history, True, linear=True) == verdict.Trained(agreement=0.75, few_epochs=True)


def test_no_more_labels_are_wrong_than_predictions_disagree_with(checked):
    """Passes that predict one class alone would make three quarters of the labels wrong; the first iteration knows better."""
    given, p = checked
    one_class = np.tile([0.97, 0.01, 0.01, 0.01], (400, 1))
    found = judge(given, p, one_class, given != 0,
                            trained=verdict.Trained(agreement=0.9, few_epochs=False))
    assert found["outcome"] == "nothing"


@pytest.mark.parametrize("groups, number", [(None, "12 samples"), (np.repeat(np.arange(4), 3), "4 groups")])
def test_few_samples_are_too_few_whatever_their_features(groups, number):
    y = np.repeat([0, 1, 0, 1], 3)
    p = np.where(np.eye(2)[y] == 1, 0.95, 0.05)
    found = judge(y, p, p, np.zeros(12, dtype=bool), groups=groups)
    assert found["outcome"] == "nothing" and found["sentence"].endswith(
        f"{number} are too few to tell this from chance: give more"), found["sentence"]


def test_probabilities_of_zero_and_one_alone_are_not_believed():
    """A tree or the nearest neighbour is certain of each of its errors, which then look like wrong labels."""
    generator = np.random.default_rng(0)
    y = np.arange(300) % 3
    predicted = np.where(generator.random(300) < 0.1, (y + 1) % 3, y)
    p = np.eye(3)[predicted]
    found = judge(y, p, p, predicted != y)
    assert found["outcome"] != "use" and "all probabilities are 0 or 1" in found["sentence"] and found["wrong"] is None


def test_estimates_of_networks_with_few_epochs_are_not_given(checked):
    given, p = checked
    issue = p.argmax(axis=1) != given
    found = judge(given, p, p, issue, trained=verdict.Trained(agreement=0.88, few_epochs=True))
    assert (found["outcome"], found["wrong"]) == ("top", None) and "labels are wrong" not in found["sentence"]


def test_networks_that_fit_their_training_labels_are_not_told_to_train_longer():
    """Few groups, all predicted: more cannot be wrong than disagree, but not because they were trained too little."""
    y = np.repeat(np.arange(2), 20)
    p = np.where(np.eye(2)[y] == 1, 0.99, 0.01)
    found = judge(y, p, p, np.zeros(40, dtype=bool), trained=verdict.Trained(
        agreement=1.0, few_epochs=False))
    assert "train for more epochs" not in found["sentence"], found["sentence"]
