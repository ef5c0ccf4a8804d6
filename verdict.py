"""Whether a list of label issues can be believed: what out-of-fold predictions say about the given labels.

    found = verdict(y, first, passes, suspect)
    print(found["sentence"])
"""
import numpy as np

import groups as of_groups
import last_pass

USE, TOP, NOTHING = "use", "top", "nothing"  # the list can be used; its first entries only; nothing follows from it
PERMUTATIONS = 200
NOISE = np.r_[0, np.geomspace(0.001, 0.05, 15), np.arange(0.06, 0.96, 0.01)]  # the noise ratios that are tried
EXPONENTS = np.geomspace(1 / 64, 8, 37)  # of probabilities that are too sure (below 1) or not sure enough
INTERVAL = 1.92  # the log-likelihood that a 95 % interval may lose: half the quantile of chi-squared


def verdict(y, first, passes, suspect, groups=None, again=None, runs=0):
    """Judge a list of label issues.

    Labels can be checked only where models predict labels that they were not trained on: the mean probability of the given
    labels exceeds that of the same labels permuted by four standard deviations. Where it only exceeds it, as with few samples
    and many wrong labels, all is done again with permuted labels, `runs` times: labels can also be checked if the passes were
    surer of the given labels than in any of these runs. How many labels are wrong is fitted by maximum likelihood (`fit`), and
    with it the probability of each entry of the list to be a wrong label.

    Parameters
    ----------
    y : int array [n]
        The given labels.
    first : float array [n, num_classes]
        Probabilities that do not depend on the sample's own label, of INCV's first iteration; NaN where there are none.
    passes : float array [passes, n, num_classes]
        The probabilities of each pass (`last_pass.out_of_fold`); the list follows from their mean.
    suspect : bool array [n]
        The label issues.
    groups : array [n], optional
        The names of groups of samples that belong together (groups.py): each group is one piece of evidence. Where labels are
        of groups (`groups.are_labelled`), all that is said is about groups: the list are those with a mean margin above
        `last_pass.MARGIN`, by that mean, and a group is as probable as the mean of its samples. Otherwise it is about samples,
        each of which counts as its part of a group.
    again : callable, optional
        ``again(number)`` returns permuted labels, int [n], and the probabilities of the passes that follow from them.
    runs : int
        How often it is called, at most: the first run that is as sure ends it.

    Returns
    -------
    dict
        outcome: "use", "top" or "nothing"; sentence: the same in words; agreement: the fraction of labels that `first`
        predicts, beside largest_class, the fraction of the largest class, and permuted, the agreement with permuted labels;
        runs: how many runs with permuted labels were made; margin: the median margin of the label issues; wrong, wrong_low,
        wrong_high: the estimated number of wrong labels and its 95 % interval; issues: the length of the list;
        expected_precision: of the list, None if it is empty; top: the number of its entries, from the worst on, of which more
        than half are expected to be wrong labels. The estimates are None where nothing follows.
    """
    weights, pieces, about = None, np.arange(len(y)), {}
    margins = last_pass.margins(y, passes.mean(axis=0))
    if groups is not None:
        members = of_groups.numbers(of_groups.as_text(groups))
        about = {"unit": "sample", "groups": int(members.max() + 1)}
        if of_groups.are_labelled(members, y):
            margins, y = of_groups.mean(members, margins), of_groups.majority(members, y)
            first, passes = of_groups.mean(members, first), np.array([of_groups.mean(members, p) for p in passes])
            suspect = (of_groups.mean(members, suspect.astype(float)) > 0) & (margins > last_pass.MARGIN)
            about["unit"], pieces = "group", np.arange(len(y))
        else:
            weights = 1 / np.bincount(members)[members]
            pieces = np.unique(members * passes.shape[2] + y, return_inverse=True)[1]  # a group's samples of one label
    p, listed = passes.mean(axis=0), np.flatnonzero(suspect)[np.argsort(-margins[suspect], kind="stable")]
    agreement, permuted, learned, doubtful = _learned(of_groups.majority(pieces, y), of_groups.mean(pieces, first))
    surer, made = (False, 0) if learned or not doubtful or again is None else _surer(y, passes, again, runs)
    learned = learned or surer
    first_two = passes[:2].argmax(axis=2)
    ratio, low, high, wrong = fit(y, p, (first_two[0] == first_two[-1]).mean() if len(passes) > 1 else None, weights)
    precision = np.cumsum(wrong[listed]) / np.arange(1, len(listed) + 1)
    top = (int(np.argmin(precision > 0.5)) if (precision <= 0.5).any() else len(listed)) if learned else 0
    found = {"outcome": USE if learned and top == len(listed) else TOP if top else NOTHING, "agreement": agreement,
             "largest_class": float(np.bincount(y).max() / len(y)), "permuted": permuted, "runs": made,
             "margin": float(np.median(margins[listed])) if len(listed) else None, "wrong": None, "wrong_low": None,
             "wrong_high": None, "issues": len(listed), "expected_precision": None, "top": top, **about}
    if found["outcome"] != NOTHING:
        found |= {"wrong": round(ratio * len(y)), "wrong_low": round(low * len(y)), "wrong_high": round(high * len(y)),
                  "expected_precision": float(precision[-1]) if len(listed) else None}
    return {"outcome": found["outcome"], "sentence": _sentence(found, learned), **found}


def _learned(y, first):
    """Return (the fraction of labels that `first` predicts, that of permuted labels, whether it predicts labels, or may)."""
    asked, generator = ~np.isnan(first).any(axis=1), np.random.default_rng(0)
    labels, first, rows = y[asked], first[asked], np.arange(asked.sum())

    def fitting(labels):
        """Return the fraction of labels that are predicted, and their mean probability."""
        return [(first.argmax(axis=1) == labels).mean(), first[rows, labels].mean()] if len(rows) else [0.0, 0.0]

    (agreement, mean), permuted = fitting(labels), np.array([fitting(generator.permutation(labels))
                                                             for _ in range(PERMUTATIONS)])
    by_chance, deviation = permuted[:, 1].mean(), permuted[:, 1].std()
    return float(agreement), float(permuted[:, 0].mean()), bool(mean > by_chance + 4 * deviation), bool(mean > by_chance)


def _surer(y, passes, again, runs):
    """Return (whether the passes are surer of labels y than of permuted ones, how many runs with permuted labels were made).

    A sequential permutation test (Besag and Clifford 1991): where labels are not learned, it ends after a few runs. It is of
    the whole procedure, since the passes depend on a sample's label by way of the selection.
    """
    def sure(y, passes):
        """Return twice the mean probability of the given labels minus the mean entropy, of those tried the most telling."""
        p = passes.mean(axis=0)
        return 2 * p[np.arange(len(y)), y].mean() + (p * np.log(np.clip(p, 1e-12, None))).sum(axis=1).mean()

    of_given = sure(y, passes)
    for number in range(1, runs + 1):
        if sure(*again(number)) >= of_given:
            return False, number
    return runs > 0, runs


def fit(y, p, consistency=None, weights=None):
    """Fit the noise ratio ε to given labels and out-of-fold probabilities p, by maximum likelihood.

    The model: a sample's true label has the probabilities p ** exponent, normalised; with probability ε its given label is
    another one. Which one depends on the true class, as counted where p predicts another label than the given one. Errors of
    the model and of the labels can look alike. Where two passes agree (consistency: the fraction of samples), the model is
    taken to be right: the normalised probabilities are at least as sure, on average, as 1 - 2 (1 - consistency). weights,
    float [n]: the pieces of evidence that a sample is, by default 1.

    Returns
    -------
    ratio, low, high : float
        ε and its 95 % profile-likelihood interval.
    wrong : float array [n]
        Each label's probability of being wrong.
    """
    num_classes, predicted, logs = p.shape[1], p.argmax(axis=1), np.log(np.clip(p, 1e-9, None))
    flow = np.ones((num_classes, num_classes))  # from the true class to the given one, with one pseudo-count each
    np.add.at(flow, (predicted, y), 1)
    np.fill_diagonal(flow, 0)
    flow /= flow.sum(axis=1, keepdims=True)

    candidates, least = [], -np.inf if consistency is None else 1 - 2 * (1 - consistency)
    for exponent in EXPONENTS[::-1]:
        true = np.exp(exponent * (logs - logs.max(axis=1, keepdims=True)))
        true /= true.sum(axis=1, keepdims=True)
        if candidates and true.max(axis=1).mean() < least:
            break
        # The probability of each given label if labels are right, and if they are wrong.
        candidates.append((true[np.arange(len(y)), y], (true * flow[:, y].T).sum(axis=1)))
    weights = np.ones(len(y)) if weights is None else weights
    likelihood = np.array([[(weights * np.log((1 - ratio) * right + ratio * wrong + 1e-300)).sum() for ratio in NOISE]
                           for right, wrong in candidates])
    exponent, best = np.unravel_index(likelihood.argmax(), likelihood.shape)
    within, (right, wrong) = np.flatnonzero(likelihood.max(axis=0) >= likelihood.max() - INTERVAL), candidates[exponent]
    ratio = NOISE[best]
    wrong = ratio * wrong / np.maximum(ratio * wrong + (1 - ratio) * right, 1e-300)
    return ratio, NOISE[within[0]], NOISE[within[-1]], wrong


def _sentence(found, learned):
    by_group = found.get("unit") == "group"
    entries = "groups of the list of groups" if by_group else "label issues"
    labels = "labels of groups" if by_group else "labels"
    agreement = (f"networks predict {found['agreement']:.1%} of {labels} they were not trained on, {found['permuted']:.1%} if "
                 f"the labels are permuted")
    if found["runs"] and learned:
        agreement += f"; in none of {found['runs']} runs with permuted labels were they as sure"
    if found["outcome"] == NOTHING:
        none = "; no label is more likely to be wrong than right" if learned else ""
        return f"nothing follows from this list: {agreement}{none}; give more samples, or features that tell the classes apart"
    labels = f"of {found['groups']} groups have a wrong label" if by_group else "labels are wrong"
    about = f"about {found['wrong']} {labels} ({found['wrong_low']} to {found['wrong_high']})"
    if found["outcome"] == TOP:
        return f"use the first {found['top']} of the {found['issues']} {entries} only: {about}; {agreement}"
    expected = found["expected_precision"]
    precise = "" if expected is None else f"; {expected:.0%} of the {found['issues']} {entries} are expected to be wrong"
    return f"the list can be used: {about}{precise}; {agreement}"
