"""Algorithm 1 on examples worked by hand, and against a literal version with Python sets."""
import math
import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import PROJECT

from incv import INCV, noise


def confident(labels, num_classes, p=0.9):
    """Probabilities [n, c] that predict these labels."""
    probabilities = np.full((len(labels), num_classes), (1 - p) / (num_classes - 1))
    probabilities[np.arange(len(labels)), labels] = p
    return probabilities


def by_hand(train_index, held_out, *_):
    """Ten classes, all observed labels 0, 20 held out. In order of position the samples' p[y_noisy] is as in `p`: the
    first six agree (their p is the largest of the row), the others do not (0.5 lies on class 1)."""
    p = [.101, .5, .5, .5, .5, .5, .01, .02, .03, .04] + [.05 + .01 * i for i in range(10)]
    rows = np.zeros((20, 10))
    for row, value in zip(rows, p, strict=True):
        if value in (.101, .5):
            row[:] = (1 - value) / 9
        else:
            row[:], row[1] = (.5 - value) / 8, .5
        row[0] = value
    return rows


@pytest.mark.parametrize("pattern", ("sym", "asym"))
def test_one_iteration_by_hand(pattern):
    """Share 6/20 = .3, so the estimate is .476 (tests/test_noise.py), r = .476/.524 = .908 and floor(.908 * 6) = 5 samples
    of each half are in R: the five smallest p[y_noisy], .01 .02 .03 .04 .05. The sixth, .06, stays, as does .101."""
    halves = []

    def train(train_index, held_out, *rest):
        halves.append((train_index, held_out))
        return by_hand(train_index, held_out, *rest)

    found = INCV.incv(np.zeros(40, int), 10, pattern, train=train, iterations=1)
    assert found.ratio == 0.476 and found.early is None
    (part1, held1), (part2, held2) = halves
    assert (part1 == held2).all() and (part2 == held1).all() and sorted([*held1, *held2]) == list(range(40))
    removed = range(6, 11) if pattern == "sym" else []
    for held_out in (held1, held2):
        assert np.flatnonzero(found.select[held_out]).tolist() == [0, 1, 2, 3, 4, 5]
        assert np.flatnonzero(~found.select[held_out] & ~found.candidate[held_out]).tolist() == list(removed)
    assert found.records == [{"iteration": 1, "selected": 12, "removed": 2 * len(removed), "selected_in_all": 12,
                              "left": 28 - 2 * len(removed), "estimated_noise_ratio": 0.476, "best_epoch": True}]


def test_a_sample_both_selected_and_to_be_removed_is_selected():
    """p[y_noisy] = .101 agrees with all other classes at .0999 and is the smallest of all: in T and in R."""
    def train(train_index, held_out, *_):
        rows = np.full((20, 10), (1 - .101) / 9)
        rows[:, 0] = .101
        rows[6:], rows[6:, 0], rows[6:, 1] = .3 / 8, .2, .5
        return rows

    found = INCV.incv(np.zeros(40, int), 10, "sym", train=train, iterations=1)
    assert found.ratio == 0.476 and found.records[0]["selected"] == 12 and found.records[0]["removed"] == 0
    assert found.candidate.sum() == 28


@pytest.mark.parametrize("pattern, ratio", [("sym", 0.2), ("sym", 0.5), ("sym", 0.9), ("asym", 0.4)])
def test_against_a_literal_version(pattern, ratio):
    """The steps of section 4 with sets and loops, on random predictions; the halves are those that incv trained on."""
    num_classes, n = 5, 300
    generator = np.random.default_rng(0)
    y = np.arange(n) % num_classes
    y_noisy = noise.flip_labels(y, noise.transition_matrix(pattern, ratio, num_classes), generator)
    calls = []

    def train(train_index, held_out, removed, keep_best, iteration, half):
        asked = np.concatenate([held_out, removed])
        guess = noise.flip_labels(y[asked], noise.transition_matrix(pattern, ratio, num_classes), generator)
        probabilities = 0.5 * confident(guess, num_classes) + 0.5 * generator.dirichlet(np.ones(num_classes), len(guess))
        calls.append((set(train_index.tolist()), held_out, removed, probabilities))
        return probabilities

    found = INCV.incv(y_noisy, num_classes, pattern, train=train, seed=3)
    S, C, e, latest = set(), set(range(n)), None, {}
    for record in found.records:
        T, R = [], []
        parts = [calls.pop(0), calls.pop(0)]
        for (trained_on, held_out, removed, probabilities), (_, other_half, *_) in zip(parts, reversed(parts), strict=True):
            assert trained_on == S | set(other_half.tolist()) and set(held_out.tolist()) == C - set(other_half.tolist())
            assert set(removed.tolist()) == set(range(n)) - S - C  # not trained on, so predicted by both
            latest |= dict(zip(held_out, probabilities, strict=False))  # those of removed follow
            T_half = [i for i, p in zip(held_out, probabilities, strict=False) if np.argmax(p) == y_noisy[i]]
            if e is None:
                share = len(T_half) / len(held_out)
                e = next((k / 1000 for k in range(1, 1001)
                          if (1 - k / 1000) ** 2 + (k / 1000) ** 2 / (num_classes - 1) <= share), 1)
            r = 2 if e == 1 else min(2, e / (1 - e))
            by_loss = sorted(zip(held_out, probabilities, strict=False), key=lambda pair: pair[1][y_noisy[pair[0]]])
            R += [i for i, _ in by_loss[:math.floor(r * len(T_half))]]
            T += T_half
        for position, sample in enumerate(parts[0][2]):
            latest[sample] = np.mean([part[3][len(part[1]) + position] for part in parts], axis=0)
        S |= set(T)
        C -= set(T)
        if pattern == "sym":
            C -= set(R)
        assert (record["selected_in_all"], record["left"]) == (len(S), len(C))
    assert set(np.flatnonzero(found.select)) == S and set(np.flatnonzero(found.candidate)) == C and found.ratio == e
    assert len(found.records) == 4 or found.early
    assert found.out_of_fold == pytest.approx(np.array([latest[i] for i in range(n)]))


def test_which_iterations_take_the_best_epoch():
    k = INCV.iterations_with_best_epoch
    assert [k("asym", r) for r in (.1, .5, .9)] == [1, 1, 1]
    assert [k("sym", r) for r in (.2, .3, .301, .6, .601, 1.0)] == [4, 4, 2, 2, 1, 1]
    asked = []

    def train(train_index, held_out, removed, keep_best, iteration, half):
        asked.append((iteration, half, keep_best))
        return by_hand(train_index, held_out)[:len(held_out)]

    INCV.incv(np.zeros(40, int), 10, "asym", train=train, iterations=2)
    assert asked == [(1, 1, True), (1, 2, True), (2, 1, False), (2, 2, False)]


def test_rounding_takes_no_sample_from_the_remove_set():
    # .6 / (1 - .6) is 1.4999999999999998 in floating point; 1.5 * 10 are 15.
    probabilities = confident(np.zeros(30, int), 2) - np.arange(30)[:, None] * 1e-3
    assert len(INCV.remove_set(probabilities, np.zeros(30, int), np.arange(30), 10, 0.6)) == 15
    assert len(INCV.remove_set(probabilities, np.zeros(30, int), np.arange(30), 0, 1.0)) == 0


def test_nothing_selected_ends_early():
    wrong = lambda train_index, held_out, *_: confident(np.ones(len(held_out), int), 3)  # noqa: E731
    found = INCV.incv(np.zeros(30, int), 3, "sym", train=wrong)
    assert not found.select.any() and found.candidate.all() and found.ratio == 1.0 and len(found.records) == 1
    assert found.early == "nothing was selected in iteration 1"


def test_no_candidate_left_ends_early():
    right = lambda train_index, held_out, *_: confident(np.zeros(len(held_out), int), 3)  # noqa: E731
    found = INCV.incv(np.zeros(30, int), 3, "sym", train=right)
    assert found.select.all() and not found.candidate.any() and found.ratio == 0.001 and len(found.records) == 1
    assert found.early.startswith("0 candidates left")


def test_a_half_that_would_be_empty_ends_early():
    # All but sample 7 agree, and nothing is removed for asym: one candidate is left, too few to split.
    def train(train_index, held_out, *_):
        return confident((held_out == 7).astype(int), 3)

    found = INCV.incv(np.zeros(30, int), 3, "asym", train=train)
    assert np.flatnonzero(found.candidate).tolist() == [7] and len(found.records) == 1
    assert found.early.startswith("1 candidate left")


def test_halves_are_even_random_and_seeded():
    from incv import utils

    candidate = np.ones(11, bool)
    candidate[4] = False
    first, second = utils.halves(np.flatnonzero(candidate), utils.rng(0, "split", 1))
    assert len(first) == len(second) == 5 and sorted([*first, *second]) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert (first == utils.halves(np.flatnonzero(candidate), utils.rng(0, "split", 1))[0]).all()
    assert (first != utils.halves(np.flatnonzero(candidate), utils.rng(0, "split", 2))[0]).any()


# --- any training function --------------------------------------------------------------------------------------------

def with_train(train, y=np.arange(20) % 10, pattern="sym"):
    return lambda: INCV.incv(y, 10, pattern, train=train, iterations=1)


def returning(change):
    return lambda train_index, held_out, removed, *rest: change(confident(np.zeros(len(held_out) + len(removed), int), 10))


@pytest.mark.parametrize("change, words", [
    (lambda p: p[:-1], "shape (9, 10): return (10, 10)"), (lambda p: p[:, :9], "shape (10, 9)"),
    (lambda p: p.argmax(axis=1), "shape (10,)"), (lambda p: p * np.nan, "NaN"), (np.log, "such as logits"),
    (lambda p: 3 * p, "such as logits"), (lambda p: [p, p[:0]], "returned a list: return one array"),
    (lambda p: (p, p[:0]), "returned a tuple"), (lambda p: None, "shape ()")])
def test_what_train_returns_is_checked(change, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        with_train(returning(change))()
    assert "\n" not in str(error.value)


def test_labels_and_pattern_are_checked():
    right = returning(lambda p: p)
    assert with_train(right, list(range(10)) * 2)().select.sum() == 2  # a list of integers will do
    for y, words in (([0.0, 1.0] * 9, "float64"), (["a", "b"] * 9, "numpy.unique"), ([[0], [1]], "shape (2, 1)"),
                     ([0, 10] * 9, "from 0 to 10: 10 classes"), ([-1, 1] * 9, "from -1 to 1")):
        with pytest.raises(ValueError, match=re.escape(words)):
            with_train(right, y)()
    with pytest.raises(ValueError, match="unknown noise pattern 'mine.npy'"):
        with_train(right, pattern="mine.npy")()


def test_the_example_of_the_docstring_runs_from_another_folder(tmp_path):
    """It is that of docs/own_network.md, of about twelve lines; all but a few of the wine labels are selected."""
    example = textwrap.dedent(INCV.incv.__doc__.split("With any classifier::")[1].split("    Parameters")[0]).strip()
    assert example in (PROJECT / "docs/own_network.md").read_text()
    assert len([line for line in example.splitlines() if line]) <= 12
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, text=True, capture_output=True,
                          env=os.environ | {"PYTHONPATH": str(PROJECT)})
    found = re.fullmatch(r"(\d+) of 178 labels selected, noise ratio 0\.\d+\n", done.stdout)
    assert done.returncode == 0 and done.stderr == "" and int(found[1]) > 165, done.stderr
