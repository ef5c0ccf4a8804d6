"""The last pass by hand: halves, copies, out-of-fold predictions, margins, issues."""
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import OneHotEncoder

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
    assert table.attrs["verdict"]["outcome"] == "use" and (table["issue"] == wrong).all()
    groups = last_pass.copies(np.array([[0.0]] * 11 + [[1.0]] * 10 + [[2.0]]))
    assert len(set(groups[:11])) == 11 and len(set(groups[11:21])) == 1 and len(set(groups)) == 13


def test_the_last_pass_trains_on_trusted_samples_of_the_other_half():
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


def test_margins_issues_and_averages_by_hand():
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
