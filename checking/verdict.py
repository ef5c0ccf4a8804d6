"""Judge whether a list of label issues can be used, by comparing out-of-fold predictions with the given labels.

    found = verdict(y, first, passes, issue)
    print(found["sentence"])
"""
import dataclasses
import math

import numpy as np

from incv import utils
from incv.checking import grouping, last_pass
from incv.custom_data import coded, group_names

USE, TOP, NOTHING = "use", "top", "nothing"  # the list can be used; its first entries only; nothing follows from it
ADVICE = "give more samples, or features that tell the classes apart"
PERMUTATIONS = 200
NOISE = np.r_[0, np.geomspace(0.001, 0.05, 15), np.arange(0.06, 0.96, 0.01)]  # the noise ratios that are tried
EXPONENTS = np.geomspace(1 / 64, 8, 37)  # of probabilities that are overconfident (below 1) or underconfident
INTERVAL = 1.92  # the drop in log-likelihood at the ends of a 95 % interval: half the quantile of chi-squared
CERTAIN = 0.95  # the fraction of samples whose probabilities are 0 and 1 alone, above which these are no probabilities
RIGHT = 0.8  # networks that are right less often make too many errors for the whole list to be used
UNFITTED = 0.05  # networks that miss more of their training labels than are wrong, plus this, were trained too little
FAR = 0.2  # an agreement that exceeds that with permuted labels by more does not lack features
SUREST = 0.2  # the fraction of most confident predictions, among which errors of the networks are assumed to be rare
# Why the labels of a list may be confirmed although they are wrong, and what to do, by the code of a warning of the data.
WHY = {coded.TELLS_LABEL: "columns may give the labels away, the wrong ones too, so that networks only repeat them: --drop "
                          "these columns (see the warning)",
       coded.HARD: "all probabilities are 0 or 1, so that errors of the model look like wrong labels: use a model that gives "
                   "probabilities between",
       coded.IN_SAMPLE: "the probabilities predict nearly all labels, as those of a model trained on the same samples do, "
                        "which repeats wrong labels: give out-of-fold ones",
       coded.MAY_BE_GROUPS: "samples may repeat each other, and then those of one group confirm each other's wrong labels: "
                            "give --group (from Python, groups=; see the warning)"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """How far the networks of iteration 1 were trained.

    agreement: the fraction of the labels they were trained on that they predict; few_epochs: whether they were trained for
    fewer epochs than by default.
    """

    agreement: float
    few_epochs: bool

    @classmethod
    def of_history(cls, history, few_epochs, linear=False):
        """Return it of the history of an INCV.Train, or None if that has no `training_agreement`.

        linear: whether the network is a softmax regression. It cannot predict all labels, however long it is trained: what it
        misses counts only after fewer epochs than by default.
        """
        found = [row["training_agreement"] for row in history if "training_agreement" in row]
        found = [] if linear and not few_epochs else found
        return cls(agreement=float(np.mean(found)), few_epochs=few_epochs) if found else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """How many labels are wrong.

    ratio, low, high: the noise ratio ε and its 95 % profile-likelihood interval; wrong: each label's probability of being
    wrong, float [n].
    """

    ratio: float
    low: float
    high: float
    wrong: np.ndarray


def verdict(y, first, passes, issue, groups=None, again=None, runs=0, trained=None, codes=(), advice=None):
    """Judge a list of label issues.

    Labels can be checked only if models predict labels that they were not trained on: the mean probability of the given
    labels must exceed that of the same labels permuted by four standard deviations. If it exceeds it by less, as with few
    samples and many wrong labels, everything is repeated with permuted labels, at most `runs` times: labels can also be
    checked if the passes were more confident in the given labels than in any of these runs. The number of wrong labels, and
    with it the probability of each entry of the list to be a wrong label, is fitted by maximum likelihood (`fit`). If networks
    are right too rarely, as on data that they cannot learn, `fit` mistakes their errors for wrong labels, and the mean of
    `fit` and `fit_agreement` replaces it.

    Parameters
    ----------
    y : int array [n]
        The given labels.
    first : float array [n, num_classes]
        Probabilities from INCV's first iteration, which do not depend on the sample's own label; NaN where there are none.
    passes : float array [passes, n, num_classes]
        The probabilities of each pass (`last_pass.out_of_fold`), from which the list follows; NaN for a label that a person
        confirmed and no network predicted.
    issue : bool array [n]
        The label issues.
    groups : array [n], optional
        The names of groups of samples that belong together: each group is one piece of evidence. If labels are labels of
        groups (`grouping.are_labelled`), the verdict judges groups: the list consists of those with a mean margin above
        `last_pass.MARGIN`, sorted by that mean, and a group has the mean probabilities of its samples. Otherwise it judges
        samples, each weighted by one over the size of its group.
    again : callable, optional
        ``again(number)`` returns permuted labels, int [n], and the probabilities of the passes for them.
    runs : int
        The maximum number of calls; the first run in which the passes are as confident ends the test.
    trained : Trained, optional
        How far the networks of the first iteration were trained. Nothing follows if they do not fit the labels that they were
        trained on, or if more labels would be wrong than predictions disagree with: `fit` mistakes their errors for wrong
        labels then. If they fit these labels less well than the estimate demands, the outcome is not "use".
    codes : iterable of str
        The codes of the data's warnings (`coded.codes`): while one stands, the outcome is "top" at most, since the list may
        miss wrong labels that others confirm, and "nothing" if it is empty or columns tell the labels. How many labels are
        wrong is not estimated then.
    advice : str, optional
        What to do if trained networks cannot tell the classes apart; by default to give more samples or other features.

    Returns
    -------
    dict
        outcome: "use", "top" or "nothing"; sentence: the same in words; agreement: the fraction of labels that `first`
        predicts, beside largest_class, the fraction of the largest class, and permuted, the agreement with permuted labels;
        runs: how many runs with permuted labels were made; right: an upper limit on the fraction of samples that the
        networks predict correctly (`fit_agreement`); margin: the median margin of the label issues; wrong, wrong_low,
        wrong_high: the estimated number of wrong labels and its 95 % interval; issues: the length of the list;
        expected_precision: of the list, None if it is empty; top: the largest number of entries, from the worst on, of which
        more than half are expected to be wrong labels; advice: the `advice`, if the sentence gives it; warned: the codes, if
        there are any. The outcome can be "use" only if networks are right often enough. wrong, wrong_low
        and wrong_high are None if the outcome is "nothing", if a code stands and, after fewer epochs than by default, unless
        the outcome is "use"; expected_precision is None if the outcome is "nothing".
    """
    weights, pieces, about = None, np.arange(len(y)), {}
    passes = np.where(np.isnan(passes), np.eye(passes.shape[2])[y], passes)
    margins = last_pass.margins(y, last_pass.averaged(passes, first))
    if groups is not None:
        members = group_names.numbers(group_names.as_text(groups))
        about = {"unit": "sample", "groups": int(members.max() + 1)}
        if grouping.are_labelled(members, y):
            margins, y = grouping.mean(members, margins), group_names.majority(members, y)
            first, passes = grouping.mean(members, first), np.array([grouping.mean(members, p) for p in passes])
            issue = (grouping.mean(members, issue.astype(float)) > 0) & (margins > last_pass.MARGIN)
            about["unit"], pieces = "group", np.arange(len(y))
        else:
            weights = 1 / np.bincount(members)[members]
            pieces = np.unique(members * passes.shape[2] + y, return_inverse=True)[1]  # a group's samples of one label
    p, listed = last_pass.averaged(passes, first), np.flatnonzero(issue)[np.argsort(-margins[issue], kind="stable")]
    agreement, permuted, learned, doubtful = _learned(group_names.majority(pieces, y), grouping.mean(pieces, first))
    surer, made = (False, 0) if learned or not doubtful or again is None else _surer(y, passes, again, runs)
    learned = learned or surer
    by_agreement, right = fit_agreement(y, p, weights)
    estimate = fit(y, p, last_pass.consistency(passes), weights, most=right)
    if right < RIGHT:
        estimate = Fit(ratio=(estimate.ratio + by_agreement.ratio) / 2, low=min(estimate.low, by_agreement.low),
                       high=max(estimate.high, by_agreement.high), wrong=(estimate.wrong + by_agreement.wrong) / 2)
    precision = np.cumsum(estimate.wrong[listed]) / np.arange(1, len(listed) + 1)
    fits, finished = (True, True) if trained is None else _trained(
        trained, estimate, len(listed) / len(y), min(1 - agreement, (p.argmax(axis=1) != y).mean()), len(y))
    top = int(np.max(np.flatnonzero(precision > 0.5), initial=-1)) + 1 if learned and fits else 0
    use = learned and fits and finished and top == len(listed) and right >= RIGHT
    known = first[~np.isnan(first).any(axis=1)]
    hard = [coded.HARD] if len(known) and np.isin(known, (0, 1)).all(axis=1).mean() > CERTAIN else []
    warned = [code for code in WHY if code in {*codes, *hard}]
    if warned:
        about["warned"], use, top = warned, False, 0 if coded.TELLS_LABEL in warned else top
    found = {"outcome": USE if use else TOP if top else NOTHING, "agreement": agreement,
             "largest_class": float(np.bincount(y).max() / len(y)), "permuted": permuted, "runs": made, "right": right,
             "margin": float(np.median(margins[listed])) if len(listed) else None, "wrong": None, "wrong_low": None,
             "wrong_high": None, "issues": len(listed), "expected_precision": None, "top": top, **about}
    found |= {} if trained is None else {"training_agreement": trained.agreement}
    if found["outcome"] != NOTHING:
        if not warned and (use or trained is None or not trained.few_epochs):
            found |= {"wrong": round(estimate.ratio * len(y)), "wrong_low": round(estimate.low * len(y)),
                      "wrong_high": round(estimate.high * len(y))}
        found |= {"expected_precision": float(precision[-1]) if len(listed) else None}
    custom, advice = advice, "train for more epochs" if trained is not None and trained.few_epochs else advice or ADVICE
    if doubtful and agreement - found["permuted"] > FAR:
        number = utils.many(len(np.unique(pieces)), "sample" if groups is None else "group")
        advice = f"{number} are too few to tell this from chance: give more"
    found |= {"advice": custom} if custom == advice and found["outcome"] == NOTHING and not learned else {}
    return {"outcome": found["outcome"], "sentence": _sentence(
        found, learned, fits, finished, advice, trained is not None and trained.few_epochs), **found}


def _learned(y, first):
    """Return (fraction of labels that `first` predicts, that of permuted labels, whether it predicts labels, or may do so)."""
    asked, generator = ~np.isnan(first).any(axis=1), np.random.default_rng(0)
    labels, first, rows = y[asked], first[asked], np.arange(asked.sum())

    def fitting(labels):
        """Return the fraction of labels that are predicted, and their mean probability."""
        return [(first.argmax(axis=1) == labels).mean(), first[rows, labels].mean()] if len(rows) else [0.0, 0.0]

    (agreement, mean), permuted = fitting(labels), np.array([fitting(generator.permutation(labels))
                                                             for _ in range(PERMUTATIONS)])
    by_chance, deviation = permuted[:, 1].mean(), permuted[:, 1].std()
    return float(agreement), float(permuted[:, 0].mean()), bool(mean > by_chance + 4 * deviation), bool(mean > by_chance)


def _trained(trained, estimate, listed, disagreement, n):
    """Return (whether networks fit the labels they were trained on, whether they do so as well as the estimate demands).

    trained: Trained; estimate: Fit; listed: the length of the list, as a fraction of all samples; disagreement: the fraction
    of labels that are not predicted, of which wrong labels are a part; n: the number of samples.
    """
    error = 2 * math.sqrt(estimate.ratio * (1 - estimate.ratio) / n)
    missed, slack = 1 - trained.agreement - estimate.ratio, 0 if trained.few_epochs else error
    fits = missed <= max(UNFITTED, error) and (
        trained.agreement > 1 - UNFITTED or estimate.ratio <= disagreement + slack)
    return fits, missed <= slack and not (trained.few_epochs and listed < estimate.low)


def _surer(y, passes, again, runs):
    """Return (whether the passes are more confident in labels y than in permuted ones, number of runs with permuted labels).

    A sequential permutation test (Besag and Clifford 1991): if labels are not learned, it ends after a few runs. It repeats
    the whole procedure, because the passes depend on a sample's own label through the selection.
    """
    def sure(y, passes):
        """Return twice the mean probability of the given labels minus the mean entropy: the most sensitive of those tried."""
        p = passes.mean(axis=0)
        return 2 * p[np.arange(len(y)), y].mean() + (p * np.log(np.clip(p, 1e-12, None))).sum(axis=1).mean()

    of_given = sure(y, passes)
    for number in range(1, runs + 1):
        if sure(*again(number)) >= of_given:
            return False, number
    return runs > 0, runs


def largest_noise_ratio(y, p, consistency=None):
    """Return the largest fraction of labels that can be wrong, which limits the length of a list of label issues.

    The larger of two estimates: that of `fit`, and the fraction of labels that networks do not predict where they are most
    confident (`SUREST`), plus its standard error. The second one holds even if the wrong labels are the most easily mistaken
    ones. y, p, consistency: as for `fit`.
    """
    surest = np.argsort(-p.max(axis=1), kind="stable")[:math.ceil(SUREST * len(y))]
    missed = max((p[surest].argmax(axis=1) != y[surest]).mean(), 0.5 / len(surest))
    return max(fit(y, p, consistency).ratio, float(missed + math.sqrt(missed * (1 - missed) / len(surest))))


def fit(y, p, consistency=None, weights=None, most=1):
    """Fit the noise ratio ε to given labels and out-of-fold probabilities p, by maximum likelihood.

    The model: a sample's true label has the probabilities p ** exponent, normalised; with probability ε its given label is
    another one. Which one depends on the true class, as counted where p predicts another label than the given one. Errors of
    the model and of the labels can look alike. Where two passes agree (consistency: on which fraction of samples), the model
    is assumed to be right: the mean of the largest normalised probabilities is at least 1 - 2 (1 - consistency). weights:
    float [n], of each sample as evidence, by default 1. most: an upper limit on the mean of the largest probabilities, which
    takes precedence over the consistency.

    Returns
    -------
    Fit
    """
    flow, candidates = _flow(y, p), []
    least = -np.inf if consistency is None else 1 - 2 * (1 - consistency)
    for exponent in EXPONENTS[::-1]:
        true = _raised(p, exponent)
        sure = np.average(true.max(axis=1), weights=weights)
        if sure > most and exponent > EXPONENTS[0]:
            continue
        if candidates and sure < least:
            break
        # The probability of each given label if labels are right, and if they are wrong.
        candidates.append((true[np.arange(len(y)), y], (true * flow[:, y].T).sum(axis=1)))
    likelihood = np.array([_log_likelihood(right, wrong, weights, 1e-300) for right, wrong in candidates])
    exponent, best = np.unravel_index(likelihood.argmax(), likelihood.shape)
    within, (right, wrong) = np.flatnonzero(likelihood.max(axis=0) >= likelihood.max() - INTERVAL), candidates[exponent]
    return Fit(ratio=NOISE[best], low=NOISE[within[0]], high=NOISE[within[-1]],
               wrong=_probability(NOISE[best], right, wrong))


def fit_agreement(y, p, weights=None):
    """Fit the noise ratio ε and the accuracy of the networks, using only whether each given label is the predicted class.

    By maximum likelihood: with c the largest of a sample's probabilities, raised to an exponent and normalised, the given
    label is the predicted class with probability (1 - ε) c + ε (1 - c) / (num_classes - 1). The errors of a network
    become rarer as its confidence grows; wrong labels do not. This is less informative than `fit` (with few samples, hardly at
    all), but does not mistake what a network cannot learn for wrong labels.

    Parameters are those of `fit`.

    Returns
    -------
    Fit
    right : float
        The fraction of samples that networks predict correctly: the upper limit of its 95 % profile-likelihood interval.
    """
    agree, chance = p.argmax(axis=1) == y, 1 / max(1, p.shape[1] - 1)
    likelihood, sure = np.empty((len(EXPONENTS), len(NOISE))), np.empty(len(EXPONENTS))
    for row, exponent in enumerate(EXPONENTS):
        c = _raised(p, exponent).max(axis=1)
        sure[row] = np.average(c, weights=weights)
        by_chance = (1 - c) * chance
        likelihood[row] = _log_likelihood(np.where(agree, c, 1 - c), np.where(agree, by_chance, 1 - by_chance), weights, 1e-6)
    row, best = np.unravel_index(likelihood.argmax(), likelihood.shape)
    true, within = _raised(p, EXPONENTS[row]), likelihood >= likelihood.max() - INTERVAL
    ratios = NOISE[within.any(axis=0)]
    wrong = _probability(NOISE[best], true[np.arange(len(y)), y], (true * _flow(y, p)[:, y].T).sum(axis=1))
    return Fit(ratio=NOISE[best], low=ratios[0], high=ratios[-1], wrong=wrong), float(sure[within.any(axis=1)].max())


def _log_likelihood(right, wrong, weights, least):
    """Return the log-likelihood of each ratio in `NOISE`, from the labels' probabilities if they are right and if wrong."""
    found, parts = [], min(len(NOISE), math.ceil(len(NOISE) * len(right) / 2e6))  # some 2 million numbers in memory at once
    for ratios in np.array_split(NOISE[:, None], max(1, parts)):
        logs = np.log(np.maximum((1 - ratios) * right + ratios * wrong, least))
        found.append(logs.sum(axis=1) if weights is None else logs @ weights)
    return np.concatenate(found)


def _flow(y, p):
    """Return [true class, given label]: the probabilities of a wrong label, from predictions, with one pseudo-count each."""
    flow = np.ones((p.shape[1], p.shape[1]))
    np.add.at(flow, (p.argmax(axis=1), y), 1)
    np.fill_diagonal(flow, 0)
    return flow / np.maximum(flow.sum(axis=1, keepdims=True), 1e-300)


def _raised(p, exponent):
    """Return the probabilities p raised to an exponent, normalised."""
    logs = np.log(np.clip(p, 1e-9, None))
    raised = np.exp(exponent * (logs - logs.max(axis=1, keepdims=True)))
    return raised / raised.sum(axis=1, keepdims=True)


def _probability(ratio, right, wrong):
    """Return each label's probability of being wrong, float [n]. right, wrong: its probability if it is right and if wrong."""
    return ratio * wrong / np.maximum(ratio * wrong + (1 - ratio) * right, 1e-300)


def _sentence(found, learned, fits, finished, advice, few_epochs):
    by_group = found.get("unit") == "group"
    entries = "listed groups" if by_group else "label issues"
    labels = "labels of groups" if by_group else "labels"
    agreement = (f"networks predict {found['agreement']:.1%} of {labels} they were not trained on, {found['permuted']:.1%} if "
                 f"the labels are permuted")
    if found["runs"] and learned:
        agreement += f"; they were less confident in all {found['runs']} runs with permuted labels"
    unfinished = "train for more epochs" if few_epochs or not finished else ""
    if not finished:
        unfinished = (f"they predict only {found['training_agreement']:.1%} of the labels they were trained on: train for "
                      f"more epochs")
    why = "; ".join(WHY[code] for code in found.get("warned", ()))
    if found["outcome"] == NOTHING:
        if learned and found.get("warned"):
            return f"nothing follows from this list: {why}; {agreement}"
        if learned and not fits:
            return (f"nothing follows from this list yet: networks predict only {found['training_agreement']:.1%} of the "
                    f"labels they were trained on and {found['agreement']:.1%} of others: train for more epochs")
        if learned:
            return f"nothing follows from this list: no label is more likely to be wrong than right; {agreement}"
        return f"nothing follows from this list: {agreement}; {advice}"
    labels = f"of {found['groups']} groups have a wrong label" if by_group else "labels are wrong"
    about = f"about {found['wrong']} {labels} ({found['wrong_low']} to {found['wrong_high']})"
    if found["outcome"] == TOP:
        seldom = f"; they are right about at most {found['right']:.0%} of all" if found["right"] < RIGHT else ""
        how = (f"use the first {found['top']} of the {found['issues']} {entries} only" if found["top"] < found["issues"] else
               f"check each of the {found['issues']} {entries} before acting on it")
        estimated = "" if found["wrong"] is None else about
        return f"{how}: " + "; ".join(filter(None, [why or estimated, agreement + seldom, unfinished]))
    expected = found["expected_precision"]
    precise = "" if expected is None else f"; {expected:.0%} of the {found['issues']} {entries} are expected to be wrong"
    return f"the list can be used: {about}{precise}; {agreement}"
