"""Estimate how many labels are wrong, and which, from out-of-fold probabilities.

A model's errors become rarer as it becomes surer; wrong labels do not. So the probability that a prediction is right is a
logistic function of its log-odds (Platt's calibration), and a fraction ε of all predictions, however sure they are, is
compared with a wrong label. The three parameters are fitted by maximum likelihood to whether each prediction agrees with the
given label. Intercept and slope have a weak prior, which only matters for few samples: models are roughly calibrated.
"""
import dataclasses

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import expit, logit

BINS, GRID, STEPS = 300, 101, 25  # of samples that are about as sure; of noise ratios, between which the likelihood is
# interpolated; of Fisher scoring. A fit takes some 20 milliseconds whatever the number of samples.
PRIOR = np.array([1, 1])  # the inverse variance of the intercept and of the logarithm of the slope, around 0
INTERVAL = 1.92  # the drop in log-likelihood at the ends of a 95 % interval: half the quantile of chi-squared
LEAST = -9  # the logit of the smallest noise ratio
RIGHT = 0.75  # models that are right less often make too many errors for the whole list to be used


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """How many labels are wrong.

    ratio, low, high: the noise ratio ε and its 95 % interval; right: an upper limit on the fraction of samples that models
    predict correctly; wrong: each label's probability of being wrong, float [n].
    """

    ratio: float
    low: float
    high: float
    right: float
    wrong: np.ndarray

    @property
    def limit(self):
        """The largest fraction of label issues: half-way from the estimate to the upper end of its interval."""
        return (self.ratio + self.high) / 2


def estimate(y, p, predictions=(), weights=None):
    """Estimate the noise ratio and which labels are wrong.

    Models that are right too seldom (`RIGHT`) may err however sure they are, and so may people where samples are hard to tell
    apart. Then the noise ratio may be anything up to the fraction of labels that are not predicted: the estimate is half of
    that, and labels are judged as if a quarter of what the models' own errors leave were wrong.

    Parameters
    ----------
    y : int array [n]
        The given labels.
    p : float array [n, num_classes]
        Out-of-fold probabilities, by which labels are judged.
    predictions : sequence of float arrays [n, num_classes]
        The out-of-fold probabilities of models that were trained in different ways; NaN where there are none. Each kind has
        its own errors, which a larger sample does not reduce: the interval covers those of all. The ratio is that of the first
        kind. By default p alone.
    weights : float array [n], optional
        The weight of each sample as evidence; by default 1.

    Returns
    -------
    Estimate
    """
    ratios, lows, highs = np.transpose([Agreement(y, each, weights).interval() for each in predictions or [p]
                                        if not np.isnan(each).all()])
    ratio, low, high = ratios[0], lows.min(), highs.max()
    agreement = Agreement(y, p, weights)
    right = float(np.average(agreement.right(high), weights=weights))
    careful = ratio
    if right < RIGHT:
        careful = high / 4
        missed = np.average(p.argmax(axis=1) != y, weights=weights)
        low, high = expit(LEAST), max(high, min(missed, expit(agreement.most)))
        ratio = high / 2
    wrong = _wrong(y, p, careful, agreement.right(careful))
    return Estimate(ratio=float(ratio), low=float(low), high=float(high), right=right, wrong=wrong)


class Agreement:
    """The model of whether predictions agree with labels. Parameters are those of `estimate`."""

    def __init__(self, y, p, weights=None):
        known = ~np.isnan(p[:, 0])
        y, p, weights = y[known], p[known], np.ones(known.sum()) if weights is None else weights[known]
        rows, predicted = np.arange(len(y)), p.argmax(axis=1)
        others = p.copy()
        others[rows, predicted] = 0
        others = others.sum(axis=1)  # 1 - the largest, to the last bit
        least = others[others > 0].min(initial=1) / 2  # of predictions that leave nothing to others: less than any other
        self.sure = np.log(p[rows, predicted]) - np.log(np.maximum(others, least))
        order = np.argsort(self.sure, kind="stable")
        starts = np.unique(np.linspace(0, len(order), min(BINS, len(order)), endpoint=False).astype(int))
        agree = predicted == y
        self.counts, self.agreed, at = (np.add.reduceat(each[order], starts) for each in (
            weights, weights * agree, weights * self.sure))
        self.at, self.others = at / self.counts, max(1, p.shape[1] - 1)
        self.most = logit(self.others / (self.others + 1)) - 0.01  # labels that say nothing

    def fitted(self, logits):
        """Return (intercept, logarithm of slope, loss) for each logit of ε, float [len(logits)] each, by Fisher scoring."""
        ratio = expit(np.asarray(logits))[:, None]
        least, kept = ratio / self.others, 1 - ratio - ratio / self.others
        found = np.zeros((len(ratio), 2))

        def agree(found):
            right = expit(np.clip(found[:, :1] + np.exp(found[:, 1:]) * self.at, -30, 30))
            return right, np.clip(least + kept * right, 1e-9, 1 - 1e-9)

        for _ in range(STEPS):
            right, q = agree(found)
            by_linear = kept * right * (1 - right)
            by_slope = by_linear * np.exp(found[:, 1:]) * self.at
            residual, variance = self.agreed - self.counts * q, q * (1 - q)
            both = np.stack([by_linear, by_slope], axis=2)
            score = np.einsum("gb,gbi->gi", residual / variance, both) - PRIOR * found
            information = np.einsum("gb,gbi,gbj->gij", self.counts / variance, both, both) + np.diag(PRIOR)
            found += np.clip(np.linalg.solve(information, score[..., None])[..., 0], -1, 1)
        _, q = agree(found)
        return *found.T, -(np.log(q) @ self.agreed + np.log1p(-q) @ (self.counts - self.agreed)) + found ** 2 @ PRIOR / 2

    def interval(self):
        """Return (ε, low, high): the ends of its 95 % profile-likelihood interval, and the mean over it.

        The mean weights ratios by their likelihood. Where few samples hardly tell errors of the model from wrong labels, the
        most likely ratio itself may be 0.
        """
        grid = np.linspace(LEAST, self.most, GRID)
        loss = self.fitted(grid)[2]
        profile = CubicSpline(grid, loss - loss.min())
        places = np.r_[profile.derivative().roots(extrapolate=False), grid[[0, -1]]]
        best = places[profile(places).argmin()]
        ends = profile.solve(profile(best) + INTERVAL, extrapolate=False)
        inside = np.linspace(ends[ends < best].min() if (ends < best).any() else LEAST,
                             ends[ends > best].max() if (ends > best).any() else self.most, 2 * GRID)
        ratios = expit(inside)
        return np.average(ratios, weights=np.exp(-profile(inside)) * ratios * (1 - ratios)), ratios[0], ratios[-1]

    def right(self, ratio):
        """Return the probability that the predicted class of each sample is the true one, for a noise ratio, float [n]."""
        (intercept,), (slope,), _ = self.fitted([min(logit(ratio), self.most)])
        return expit(intercept + np.exp(slope) * self.sure)


def _wrong(y, p, ratio, right):
    """Return each label's probability of being wrong, float [n]; right: the probability of each predicted class.

    Other classes are as probable as by p, in proportion. Which class a wrong label names depends on the true one, as counted
    where p predicts another class than the given one, with a pseudo-count each.
    """
    rows, predicted, num_classes = np.arange(len(y)), p.argmax(axis=1), p.shape[1]
    flow = 1 + np.bincount(predicted * num_classes + y, minlength=num_classes ** 2).reshape(num_classes, num_classes)
    np.fill_diagonal(flow, 0)
    true = p + 1e-12
    true[rows, predicted] = 0
    true *= ((1 - right) / true.sum(axis=1))[:, None]
    true[rows, predicted] = right
    by_noise = ratio * (true @ (flow / np.maximum(flow.sum(axis=1, keepdims=True), 1)))[rows, y]
    return by_noise / np.maximum(by_noise + (1 - ratio) * true[rows, y], 1e-300)
