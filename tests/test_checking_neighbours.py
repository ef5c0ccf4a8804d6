"""Votes of nearest neighbours: an upper limit of how many labels are wrong, beside models that are surely wrong."""
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from incv import noise
from incv.checking import neighbours
from incv.label_issues import find_label_issues


def blobs(samples=2000, classes=3):
    generator = np.random.default_rng(0)
    y = np.arange(samples) % classes
    return 4 * np.eye(classes)[y] + generator.normal(size=(samples, classes)), y


@pytest.mark.parametrize("ratio", [0, 0.1, 0.3])
def test_the_limit_is_above_the_noise_ratio_and_near_it(ratio):
    x, y = blobs()
    given = noise.flip_labels(y, noise.transition_matrix("sym", ratio, 3), np.random.default_rng(1))
    wrong = (given != y).mean()
    for samples in (x, x.astype(np.float32), pd.DataFrame(x).assign(text=[str(number) for number in range(len(x))])):
        assert wrong <= neighbours.most_wrong(samples, given) <= wrong + 0.05


def test_of_many_samples_some_are_asked():
    x, y = blobs(2 * neighbours.AMONG)
    given = noise.flip_labels(y, noise.transition_matrix("asym", 0.2, 3), np.random.default_rng(1))
    assert 0.18 <= neighbours.most_wrong(x, given) <= 0.25


def test_what_is_not_known_limits_nothing():
    x, y = blobs(20)
    assert neighbours.most_wrong(x, y) == 1 and neighbours.most_wrong(pd.DataFrame({"text": list(map(str, range(99)))}),
                                                                      np.arange(99) % 2) == 1
    assert neighbours.most_wrong(np.full((100, 2), np.nan), np.arange(100) % 2) > 0.3
    assert neighbours.most_wrong(np.zeros((100, 2)), np.arange(100) % 2) > 0.3  # copies of each other


@pytest.mark.parametrize("x, y, model", [
    (*(each[:500] for each in load_digits(return_X_y=True)), GaussianNB()),
    (*make_classification(600, 10, n_informative=6, n_redundant=0, n_classes=3, n_clusters_per_class=1, class_sep=0.8,
                          flip_y=0, random_state=5), LogisticRegression())])
def test_models_that_are_sure_where_they_are_wrong_are_contradicted(x, y, model):
    """No label is wrong. Without neighbours the list of 60 or 112 samples could be used."""
    for samples in (x, pd.DataFrame(x)):
        found = find_label_issues(samples, y, model, permutations=0).attrs["verdict"]
        assert found["outcome"] == "top" and found["warned"] == ["contradicted"] and found["wrong"] is None
        assert found["sentence"].startswith(f"check each of the {found['issues']} label issues before acting on it: the votes")
