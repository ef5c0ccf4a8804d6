"""Noise: matrices, flips, closed forms against a simulation of the process, and the estimate of the noise ratio."""
import numpy as np
import pytest

from incv import INCV, INCV_main, noise
from incv.runner.settings import Settings


def test_transition_matrices_by_hand():
    assert np.allclose(noise.transition_matrix("sym", 0.3, 4), [[.7, .1, .1, .1], [.1, .7, .1, .1],
                                                                [.1, .1, .7, .1], [.1, .1, .1, .7]])
    assert np.allclose(noise.transition_matrix("asym", 0.3, 3), [[.7, .3, 0], [0, .7, .3], [.3, 0, .7]])


@pytest.mark.parametrize("pattern", noise.DRAWN)
@pytest.mark.parametrize("ratio", [0, 0.4, 1])
def test_flipped_labels_follow_the_matrix(pattern, ratio):
    transition = noise.transition_matrix(pattern, ratio, 5)
    y = np.repeat(np.arange(5), 40000)
    y_noisy = noise.flip_labels(y, transition, np.random.default_rng(0))
    observed = np.array([np.bincount(y_noisy[y == label], minlength=5) for label in range(5)]) / 40000
    # Four standard deviations of a share of 40,000 draws; what is impossible never happens.
    assert np.abs(observed - transition).max() <= 4 * np.sqrt(0.25 / 40000)
    assert (observed[transition == 0] == 0).all()


def test_flips_depend_on_the_generator_alone():
    y, transition = np.arange(1000) % 10, noise.transition_matrix("sym", 0.5, 10)
    first, again, other = (noise.flip_labels(y, transition, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    # A sample's noise does not depend on the labels of the others.
    y[500:] = 0
    assert (noise.flip_labels(y, transition, np.random.default_rng(1))[:500] == first[:500]).all()


def test_bad_labels_and_ratios_are_refused():
    transition = noise.transition_matrix("sym", 0.5, 3)
    for labels in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match="outside"):
            noise.flip_labels(labels, transition, np.random.default_rng(0))
    with pytest.raises(ValueError, match="sum to 1"):
        noise.flip_labels([0, 1], [[0.5, 0.6], [0, 1]], np.random.default_rng(0))
    for ratio in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="not in"):
            noise.transition_matrix("sym", ratio, 3)


def test_noise_ratio_estimate_inverts_the_accuracy():
    for num_classes in (2, 10, 100):
        # The accuracy falls as the ratio rises up to (c - 1) / c, where every label is as likely as another.
        for ratio in np.arange(0.01, (num_classes - 1) / num_classes, 0.05):
            share = noise.theory("sym", ratio, num_classes)[0]
            assert noise.estimate_noise_ratio(share, num_classes) == pytest.approx(ratio, abs=0.00101)


def test_noise_ratio_estimate_by_hand():
    # c = 10, share 0.3: (1 - e)^2 + e^2 / 9 = 0.3 at e = (2 - sqrt(4 - 28 / 9)) / (20 / 9) = 0.47574.
    assert noise.estimate_noise_ratio(0.3, 10) == 0.476
    assert noise.estimate_noise_ratio(1.0, 10) == 0.001
    assert noise.estimate_noise_ratio(0.099, 10) == 1.0  # below 1/c nothing explains it


def test_the_removal_ratio_by_hand():
    assert noise.removal_ratio(0.2) == pytest.approx(0.25)
    assert noise.removal_ratio(0.5) == 1
    assert noise.removal_ratio(0.9) == 2
    assert noise.removal_ratio(1.0) == 2


def test_noise_left_by_hand():
    assert noise.noise_left(0.5, "sym", 10) == pytest.approx(0.1) and noise.noise_left(0.5, "asym", 10) == 0.5
    assert noise.noise_left(0, "sym", 10) == 0 and noise.noise_left(1, "asym", 10) == 1
    assert 1 - noise.noise_left(0.3, "sym", 10) == pytest.approx(noise.theory("sym", 0.3, 10)[1])


def test_unknown_truth_counts_nowhere():
    """Five samples, two of unknown truth (-1): of the selected ones that are known, one of two is clean; of two clean, one."""
    y, y_noisy = np.array([0, 1, 2, -1, -1]), np.array([0, 1, 0, 1, 2])
    select = np.array([True, False, True, True, False])
    assert noise.precision_and_recall(y, y_noisy, select) == (1 / 2, 1 / 2)
    found = noise.heldout_accuracies(np.array([0, 0, 2, 1, 0]), y_noisy, y)
    assert found == {"heldout_accuracy": 2 / 5, "clean_accuracy": 1 / 2, "mislabelled_as_given": 0, "mislabelled_as_true": 1}


def test_precision_and_recall_by_hand():
    y, y_noisy = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 0, 0, 2, 2])  # clean: 0, 1, 3, 5
    select = np.array([True, False, True, True, False, False])
    assert noise.precision_and_recall(y, y_noisy, select) == (2 / 3, 2 / 4)
    assert noise.precision_and_recall(y, y_noisy, np.zeros(6, bool)) == (None, 0)
    assert noise.precision_and_recall(y, (y + 1) % 3, select) == (0, None)


@pytest.mark.parametrize("num_classes", [2, 10, 100])
@pytest.mark.parametrize("ratio", [0, 0.2, 0.5, 0.8, 1])
@pytest.mark.parametrize("pattern", noise.DRAWN)
def test_closed_forms_to_three_decimals(pattern, ratio, num_classes):
    """A billion samples of every class, of which only the counts are drawn: labels through T, predictions through T."""
    transition, generator = noise.transition_matrix(pattern, ratio, num_classes), np.random.default_rng(0)
    labels = generator.multinomial(10 ** 9, transition)  # [y, y_noisy]
    agree = np.array([np.diag(generator.multinomial(labels[y], transition[y])) for y in range(num_classes)])
    clean, clean_agree = np.trace(labels), np.trace(agree)
    accuracy, precision, recall = noise.theory(pattern, ratio, num_classes)
    assert agree.sum() / labels.sum() == pytest.approx(accuracy, abs=5e-4)
    assert clean_agree / agree.sum() == pytest.approx(precision, abs=5e-4)
    assert not clean or clean_agree / clean == pytest.approx(recall, abs=5e-4)  # at a ratio of 1 no label is right
    assert noise.theoretical_accuracy(transition) == pytest.approx(accuracy)


def test_confusion_matrix_by_hand():
    matrix = noise.confusion_matrix([0, 0, 0, 0, 2, 2], [0, 1, 1, 1, 2, 0], 3)
    assert np.array_equal(matrix, [[.25, .75, 0], [np.nan] * 3, [.5, 0, .5]], equal_nan=True)


def test_an_unknown_pattern_is_an_error_wherever_one_is_named():
    """It used to pass for sym in one function and for asym in the next."""
    for function, arguments in ((noise.transition_matrix, (0.5, 10)), (noise.theory, (0.5, 10))):
        for name in ("pair", "human", ""):
            with pytest.raises(ValueError, match="noise pattern"):
                function(name, *arguments)
    for call in (lambda: noise.noise_left(0.5, "pair", 10), lambda: INCV.iterations_with_best_epoch("pair", 0.5),
                 lambda: INCV_main.warm_up("pair", 0.5), lambda: INCV.incv(np.arange(9) % 3, 3, "pair", train=None)):
        with pytest.raises(ValueError, match="unknown noise pattern 'pair': use one of sym, asym"):
            call()


@pytest.mark.parametrize("call, words", [
    (lambda: noise.theory("sym", 1.5, 10), "noise ratio 1.5 is not in"), (lambda: noise.theory("asym", 0.5, 1), "1 class"),
    (lambda: noise.noise_left(1.2, "sym", 10), "noise ratio 1.2"), (lambda: noise.removal_ratio(50), "noise ratio 50"),
    (lambda: noise.estimate_noise_ratio(np.nan, 10), "share=nan"), (lambda: noise.estimate_noise_ratio(50, 10), "share=50"),
    (lambda: noise.theory_of(np.eye(3) * 0.9), "sum to 1"), (lambda: noise.theory_of(np.eye(3)[:2]), "a row and a column"),
    (lambda: noise.theory_of(np.eye(3), [1, 2]), "one for each of 3 classes"),
    (lambda: noise.theory_of(np.eye(3), [0, 0, 0]), "class sizes"), (lambda: noise.theory_of(np.eye(2), [-1, 2]), "negative"),
    (lambda: noise.flip_labels([0, 1], np.full((2, 2), np.nan), np.random.default_rng(0)), "non-negative and sum to 1"),
    (lambda: noise.flip_labels([0.5], np.eye(2), np.random.default_rng(0)), "one integer per sample"),
    (lambda: noise.confusion_matrix([0, 1], [0, 3], 3), "from 0 to 3, outside"),
    (lambda: noise.flip_labels(np.ma.array([0, 1], mask=[True, False]), np.eye(2), 0), "masked values"),
    (lambda: INCV.incv(np.ma.array([0, 1], mask=[True, False]), 2, "sym", train=None), "masked values"),
    (lambda: noise.expected_ratio(np.eye(3), [0, 0, 0]), "class sizes"),
    (lambda: noise.transition_matrix("sym", "0.5", 3), "give a number in"),
    (lambda: noise.heldout_accuracies([0, 1], [0], [0, 1]), "one for each sample"),
    (lambda: noise.precision_and_recall(["a"], ["a"], [True]), "give integers, -1 where unknown"),
    (lambda: noise.confusion_matrix([0, 1], [0], 3), "2 labels, but 1 prediction"),
    (lambda: noise.precision_and_recall(np.arange(3), np.arange(3), np.array([2, 0, 1])), "True or False for each sample"),
    (lambda: noise.precision_and_recall(np.arange(3), np.arange(2), np.ones(3, bool)), "True or False for each sample")])
def test_arguments_out_of_range_are_errors(call, words):
    with pytest.raises(ValueError, match=words) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_the_theory_of_a_matrix_has_the_closed_forms_as_special_cases():
    for num_classes in (2, 10, 100):
        sizes = np.random.default_rng(0).integers(1, 100, num_classes)
        for pattern in ("sym", "asym"):
            for ratio in (0, 0.2, 0.4, 0.5, 0.8, 1):
                transition = noise.transition_matrix(pattern, ratio, num_classes)
                expected = noise.theory(pattern, ratio, num_classes)
                for of_classes in (None, sizes):
                    assert noise.theory_of(transition, of_classes) == pytest.approx(expected, rel=1e-12, abs=1e-12)
                assert noise.expected_ratio(transition, sizes) == ratio


def test_theory_of_unequal_classes_agrees_with_a_simulation():
    transition = np.array([[.9, .1, 0], [.2, .5, .3], [0, 0, 1.]])
    y, generator = np.repeat(np.arange(3), (600_000, 300_000, 100_000)), np.random.default_rng(0)
    y_noisy, y_pred = (noise.flip_labels(y, transition, generator) for _ in range(2))
    agree, clean = y_pred == y_noisy, y == y_noisy
    assert noise.theory_of(transition, [6, 3, 1]) == pytest.approx(
        (agree.mean(), clean[agree].mean(), agree[clean].mean()), abs=0.003)
    assert noise.expected_ratio(transition, [6, 3, 1]) == 0.21


def test_as_which_pattern_a_matrix_is_treated():
    """Worked by hand: of 0.3 + 0.4 wrong labels 0.2 + 0.3 go to the most frequent wrong class of their row."""
    transition = np.array([[.7, .2, .1], [.3, .6, .1], [0, 0, 1]])
    assert noise.nearest_pattern(transition, [1, 1, 1]) == "asym"
    assert noise.nearest_pattern(noise.transition_matrix("sym", 0.4, 3), [5, 3, 9]) == "sym"  # exactly half
    assert noise.nearest_pattern(noise.transition_matrix("asym", 0.1, 10), [1] * 10) == "asym"
    assert noise.nearest_pattern(np.eye(3), [1, 1, 1]) == "sym"
    # Nine samples of a class whose labels spread, one of a class with pairs.
    mixed = np.array([[.7, .1, .1, .1], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]])
    assert noise.nearest_pattern(mixed, [9, 1, 0, 1]) == "sym"
    assert noise.nearest_pattern(mixed, [1, 1, 9, 1]) == "asym"
    assert noise.treated_as(Settings(noise_pattern="mine", treated_as="sym")) == "sym"
    assert noise.treated_as(Settings(noise_pattern="asym")) == "asym"
    assert INCV_main.warm_up("asym", 0.3) == 80
