"""The last passes by hand: halves, copies, folds, levels, margins, issues."""
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import OneHotEncoder

from incv import label_issues
from incv.checking import grouping, last_pass
from incv.label_issues import find_label_issues


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


NAMES = np.array(["ant", "bee", "cat"])


def test_rows_of_few_categories_are_no_copies_of_each_other():
    """240 rows of nine combinations decide the class together: halves without any of them would know nothing of it."""
    generator = np.random.default_rng(0)
    x = generator.integers(3, size=(240, 2))
    true = (x[:, 0] + x[:, 1]) % 3
    wrong = np.isin(np.arange(240), generator.choice(240, 20, replace=False))
    given = NAMES[np.where(wrong, (true + 1) % 3, true)]
    table = find_label_issues(OneHotEncoder(sparse_output=False).fit_transform(x), given, RandomForestClassifier(
        50, random_state=0))
    assert table.attrs["verdict"]["outcome"] == "use" and not table["issue"][~wrong].any()
    assert table["issue"][wrong].mean() >= 0.9
    groups = last_pass.copies(np.array([[0.0]] * 11 + [[1.0]] * 10 + [[2.0]]))
    assert len(set(groups[:11])) == 11 and len(set(groups[11:21])) == 1 and len(set(groups)) == 13


def frequencies(y, classes, asked):
    """Return a `train` that predicts each class as often as it is in its training samples, and remembers its calls."""
    def train(train_index, held_out, removed, keep_best, iteration, half):
        asked.append((train_index, held_out, iteration, half))
        assert len(removed) == 0 and not keep_best and not set(train_index) & set(held_out)
        return np.tile(np.bincount(y[train_index], minlength=classes) / len(train_index), (len(held_out), 1))
    return train


def test_the_passes_train_on_trusted_samples_of_the_other_half():
    y, selected, asked = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([1, 1, 0, 1, 1, 1, 0, 1], dtype=bool), []
    split, _ = grouping.how_to_split(y, np.arange(8))
    p = last_pass.out_of_fold(y, 2, selected, frequencies(y, 2, asked), 1, 3, split)
    first = [each for each in asked if each[2] == 3]
    assert all(selected[train_index].all() for train_index, *_ in first)
    assert p.shape == (2, 8, 2) and p.sum(axis=2).ravel() == pytest.approx(np.ones(16))
    assert {each[2] for each in asked} <= {3, 4}


def test_the_last_pass_trains_on_three_folds_and_predicts_the_fourth():
    """Copies stay in one fold, samples that a person confirmed are trusted, those that are probably wrong are not."""
    y, groups, asked = np.repeat([0, 1], 20), np.arange(40) - np.arange(40) % 2, []
    wrong, confirmed = np.isin(np.arange(40), (0, 21, 30)), np.arange(40) == 30
    passes = np.tile(np.where(np.eye(2)[np.where(wrong, 1 - y, y)] == 1, 0.99, 0.01), (2, 1, 1))
    split, _ = grouping.how_to_split(y, groups)
    predicted = last_pass.combined(y, passes, passes[0], frequencies(y, 2, asked), 0, 5, split, confirmed)
    assert [(iteration, half) for *_, iteration, half in asked] == [(5, 1), (5, 2), (5, 3), (5, 4)]
    assert sorted(np.concatenate([held_out for _, held_out, *_ in asked])) == list(range(40))
    for train_index, held_out, *_ in asked:
        assert len(held_out) in (8, 10, 12) and not set(groups[train_index]) & set(groups[held_out])
        assert set(train_index) == set(range(40)) - set(held_out) - {0, 21}
    assert predicted.p.sum(axis=1) == pytest.approx(np.ones(40)) and 0 <= predicted.consistency <= 1


def test_a_class_that_three_folds_lack_has_no_probability_in_the_fourth():
    y = np.r_[np.repeat([0, 1], 20), 2]
    x = np.c_[y, np.random.default_rng(0).normal(size=41)]
    train = label_issues._classifier_train(GaussianNB(), x, y, np.arange(3))
    passes = np.tile(np.where(np.eye(3)[y] == 1, 0.98, 0.01), (2, 1, 1))
    split, _ = grouping.how_to_split(y, np.arange(41))
    predicted = last_pass.combined(y, passes, passes[0], train, 0, 5, split)
    assert predicted.last[40, 2] == 0 and predicted.last.sum(axis=1) == pytest.approx(np.ones(41))
    assert np.isfinite(predicted.p).all()


def test_levels_weights_and_margins_by_hand():
    y, p = np.array([0, 0, 1, 1]), np.array([[.8, .2], [.4, .6], [.5, .5], [.9, .1]])
    of_0, of_1 = (.8 ** 2 + .4 ** 2) / (.8 + .4), (.5 ** 2 + .1 ** 2) / (.5 + .1)
    expected = p / [of_0, of_1]
    assert last_pass.level(y, p) == pytest.approx(expected / expected.sum(axis=1, keepdims=True))
    missing = last_pass.level(y, np.c_[p, np.zeros(4)])  # a class that no sample is labelled with
    assert missing[:, :2] == pytest.approx(last_pass.level(y, p)) and not missing[:, 2].any()

    y, p = np.array([0, 2, 0, 1]), np.array([[.2, .5, .3], [.1, .1, .8], [0, .6, .4], [.5, .3, .2]])
    assert last_pass.margins(y, p) == pytest.approx(np.log([.501 / .201, .101 / .801, .601 / .001, .501 / .301]))
    assert last_pass.issues(y, p, ratio=1).tolist() == [True, False, True, True]
    assert last_pass.issues(y, p, ratio=0.25).tolist() == [False, False, True, False]  # one in four, the worst
    p[3] = [.4, .3, .3]  # too little, unless the passes and the folds differ on a fifth of the samples
    assert last_pass.issues(y, p, ratio=1).tolist() == [True, False, True, False]
    assert last_pass.issues(y, p, ratio=1, consistency=0.75).tolist() == [True, False, True, True]
    assert [last_pass.least_margin(each) for each in (None, 1, 0.75, 0.3)] == [0.5, 0.5, 0.25, 0]


def test_the_passes_the_first_iteration_and_the_folds_are_mixed_by_how_much_they_differ():
    """Two passes that differ on one of ten samples, and folds that differ from their mean on one of ten."""
    y = np.arange(10) % 2
    one, first = np.where(np.eye(2)[y] == 1, 0.9, 0.1), np.full((10, 2), 0.5)
    other, folds = one.copy(), one.copy()
    other[0], folds[1], first[9] = [.2, .8], [.7, .3], np.nan
    split, _ = grouping.how_to_split(y, np.arange(10))
    found = last_pass.combined(y, np.array([one, other]), first, lambda _, part, *__: folds[part], 0, 5, split)
    mean = (one + other) / 2
    mixed = np.where(np.isnan(first), mean, 0.8 * mean + 0.2 * first)
    assert found.consistency == 0.9 and found.p == pytest.approx(last_pass.level(y, folds / 2 + mixed / 2))
    assert (found.last == folds).all() and found.first is first
