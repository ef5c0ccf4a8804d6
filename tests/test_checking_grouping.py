"""Halves that divide no group."""
import numpy as np
from examples import patients
from sklearn.neighbors import KNeighborsClassifier

from incv import INCV
from incv.checking import grouping, last_pass
from incv.custom_data import group_names


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
    passes = last_pass.out_of_fold(y, 2, selection.select, train, 0, 4, split)
    last_pass.combined(y, passes, selection.first, train, 0, 6, split)
    assert [iteration for iteration, _ in calls] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 6]
    assert len(calls[2][1]) > len(calls[0][1])  # selected samples of other groups join
