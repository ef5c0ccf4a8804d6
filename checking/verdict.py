"""Judge whether a list of label issues can be used, by comparing out-of-fold predictions with the given labels.

    found = verdict(predicted, issue)              # last_pass.Predicted, last_pass.issues
    print(found["sentence"])
"""
import dataclasses
import math

import numpy as np

from incv import utils
from incv.checking import estimates, grouping, last_pass
from incv.custom_data import coded, group_names

USE, TOP, NOTHING = "use", "top", "nothing"  # the list can be used; its first entries only; nothing follows from it
ADVICE = "give more samples, or features that tell the classes apart"
CERTAIN = 0.95  # the fraction of samples whose probabilities are 0 and 1 alone, above which these are no probabilities
UNFITTED = 0.05  # networks that miss more of their training labels than are wrong, plus this, were trained too little
FEWER = 0.8  # neighbours' wrong labels, over the lower end of the interval, below which they contradict the models
FAR = 0.2  # an agreement that exceeds that with permuted labels by more does not lack features
# Why the labels of a list may be confirmed although they are wrong, and what to do, by the code of a warning of the data.
WHY = {coded.TELLS_LABEL: "columns may give the labels away, the wrong ones too, so that networks only repeat them: --drop "
                          "these columns (see the warning)",
       coded.HARD: "all probabilities are 0 or 1, so that errors of the model look like wrong labels: use a model that gives "
                   "probabilities between",
       coded.CONTRADICTED: "the votes of nearest neighbours find far fewer wrong labels, so that errors of which the model is "
                           "sure look like them: use another model, or features that tell the classes apart",
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


def verdict(predicted, issue, groups=None, test=None, trained=None, codes=(), advice=None, neighbours=None):
    """Judge a list of label issues.

    Labels can be checked only if models predict labels that they were not trained on: the mean probability of the given
    labels must exceed that of the same labels permuted by four standard deviations. If it exceeds it by less, as with few
    samples and many wrong labels, everything is repeated with permuted labels (`permutation_test`). The number of wrong
    labels, and with it the probability of each entry of the list to be a wrong label, is estimated (`estimates.estimate`).

    Parameters
    ----------
    predicted : last_pass.Predicted
    issue : bool array [n]
        The label issues.
    groups : array [n], optional
        The names of groups of samples that belong together: each group is one piece of evidence. If labels are labels of
        groups (`grouping.are_labelled`), the verdict judges groups: the list consists of those with a mean margin above
        `last_pass.least_margin`, sorted by that mean, and a group has the mean probabilities of its samples. Otherwise it
        judges samples, each weighted by one over the size of its group.
    test : callable, optional
        Without arguments, returns what `permutation_test` does.
    trained : Trained, optional
        How far the networks of the first iteration were trained. Nothing follows if they do not fit the labels that they were
        trained on, or if more labels would be wrong than predictions disagree with: their errors look like wrong
        labels then. If they fit these labels less well than the estimate demands, the outcome is not "use".
    codes : iterable of str
        The codes of the data's warnings (`coded.codes`): while one stands, the outcome is "top" at most, since the list may
        miss wrong labels that others confirm, and "nothing" if it is empty or columns tell the labels. How many labels are
        wrong is not estimated then.
    neighbours : callable, optional
        Without arguments, returns what `neighbours.most_wrong` does; not asked with groups, whose samples confirm each other.
        If that is clearly below the interval of the estimate (`FEWER`), or below half of the estimate, the model may be sure
        where it is wrong, which looks like wrong labels: the outcome is "top" at most, and how many labels are wrong is not
        estimated.
    advice : str, optional
        What to do if trained networks cannot tell the classes apart; by default to give more samples or other features.

    Returns
    -------
    dict
        outcome: "use", "top" or "nothing"; sentence: the same in words; agreement: the fraction of labels that `first`
        predicts, beside largest_class, the fraction of the largest class, and permuted, the agreement with permuted labels;
        runs: how many runs with permuted labels were made; right: an upper limit on the fraction of samples that the
        networks predict correctly; margin: the median margin of the label issues; least_margin: the smallest one that is
        listed; wrong, wrong_low, wrong_high: the estimated number of wrong labels and its 95 % interval; issues: the length of
        the list; expected_precision: of the list, None if it is empty; top: the largest number of entries, from the worst on,
        of which more than half are expected to be wrong labels; advice: the `advice`, if the sentence gives it; warned: the
        codes, if there are any. The outcome can be "use" only if networks are right often enough. wrong, wrong_low and
        wrong_high are None if the outcome is "nothing", if a code stands and, after fewer epochs than by default, unless the
        outcome is "use"; expected_precision is None if the outcome is "nothing".
    """
    y, p, estimate, pieces, about = predicted.y, predicted.p, None, np.arange(len(predicted.y)), {}
    margins = last_pass.margins(y, p)
    if groups is not None:
        members = group_names.numbers(group_names.as_text(groups))
        about = {"unit": "sample", "groups": int(members.max() + 1)}
        if grouping.are_labelled(members, y):
            margins, y = grouping.mean(members, margins), group_names.majority(members, y)
            predicted = last_pass.Predicted(y=y, consistency=predicted.consistency, **{
                name: grouping.mean(members, getattr(predicted, name)) for name in ("p", "last", "first")})
            p = predicted.p
            issue = (grouping.mean(members, issue.astype(float)) > 0) & (
                margins > last_pass.least_margin(predicted.consistency))
            about["unit"], pieces = "group", np.arange(len(y))
        else:
            estimate = predicted.weighted_estimate(1 / np.bincount(members)[members])
            pieces = np.unique(members * p.shape[1] + y, return_inverse=True)[1]  # a group's samples of one label
    listed = np.flatnonzero(issue)[np.argsort(-margins[issue], kind="stable")]
    agreement, permuted, learned, doubtful = _learned(group_names.majority(pieces, y), grouping.mean(pieces, predicted.first))
    surer, made = (False, 0) if learned or not doubtful or test is None else test()
    learned = learned or surer
    estimate = estimate or predicted.estimate
    precision = np.cumsum(estimate.wrong[listed]) / np.arange(1, len(listed) + 1)
    fits, finished = (True, True) if trained is None else _trained(
        trained, estimate, len(listed) / len(y), min(1 - agreement, (p.argmax(axis=1) != y).mean()), len(y))
    top = int(np.max(np.flatnonzero(precision > 0.5), initial=-1)) + 1 if learned and fits else 0
    use = learned and fits and finished and top == len(listed) and estimate.right >= estimates.RIGHT
    known = predicted.first[~np.isnan(predicted.first).any(axis=1)]
    hard = [coded.HARD] if len(known) and np.isin(known, (0, 1)).all(axis=1).mean() > CERTAIN else []
    contradicted = [coded.CONTRADICTED] if top and estimate.right >= estimates.RIGHT and groups is None and (
        neighbours is not None and neighbours() < max(FEWER * estimate.low, estimate.ratio / 2)) else []
    warned = [code for code in WHY if code in {*codes, *hard, *contradicted}]
    if warned:
        about["warned"], use, top = warned, False, 0 if coded.TELLS_LABEL in warned else top
    found = {"outcome": USE if use else TOP if top else NOTHING, "agreement": agreement,
             "largest_class": float(np.bincount(y).max() / len(y)), "permuted": permuted, "runs": made,
             "right": estimate.right, "margin": float(np.median(margins[listed])) if len(listed) else None, "wrong": None,
             "wrong_low": None, "wrong_high": None, "issues": len(listed), "expected_precision": None, "top": top,
             "least_margin": last_pass.least_margin(predicted.consistency), **about}
    found |= {} if trained is None else {"training_agreement": trained.agreement}
    if found["outcome"] != NOTHING:
        if not warned and (use or trained is None or not trained.few_epochs):
            found |= {"wrong": round(estimate.ratio * len(y)), "wrong_low": math.floor(estimate.low * len(y)),
                      "wrong_high": math.ceil(estimate.high * len(y))}
        found |= {"expected_precision": float(precision[-1]) if len(listed) else None}
    custom, advice = advice, "train for more epochs" if trained is not None and trained.few_epochs else advice or ADVICE
    if doubtful and agreement - found["permuted"] > FAR:
        number = utils.many(len(np.unique(pieces)), "sample" if groups is None else "group")
        advice = f"{number} are too few to tell this from chance: give more"
    found |= {"advice": custom} if custom == advice and found["outcome"] == NOTHING and not learned else {}
    return {"outcome": found["outcome"], "sentence": _sentence(
        found, learned, fits, finished, advice, trained is not None and trained.few_epochs), **found}


def _learned(y, first):
    """Return (fraction of labels that `first` predicts, that of permuted labels, whether it predicts labels, or may do so).

    The expectation and variance of the mean probability of permuted labels are exact (Hoeffding 1951).
    """
    asked = ~np.isnan(first).any(axis=1)
    labels, p, n = y[asked], first[asked], max(1, int(asked.sum()))
    of_class = np.bincount(labels, minlength=p.shape[1])
    predicted = np.bincount(p.argmax(axis=1), minlength=p.shape[1])
    apart = p - p.mean(axis=0) if len(p) else p
    apart = apart - (apart @ of_class / n)[:, None]
    deviation = math.sqrt((apart ** 2).sum(axis=0) @ of_class / max(1, n - 1)) / n
    gained = (p[np.arange(len(p)), labels].sum() - p.sum(axis=0) @ of_class / n) / n
    return (float((p.argmax(axis=1) == labels).sum() / n), float(predicted @ of_class / n ** 2),
            bool(gained > 4 * deviation), bool(gained > 0))


def _trained(trained, estimate, listed, disagreement, n):
    """Return (whether networks fit the labels they were trained on, whether they do so as well as the estimate demands).

    trained: Trained; estimate: estimates.Estimate; listed: the length of the list, as a fraction of all samples; disagreement:
    the fraction of labels that are not predicted, of which wrong labels are a part; n: the number of samples.
    """
    error = 2 * math.sqrt(estimate.ratio * (1 - estimate.ratio) / n)
    missed, slack = 1 - trained.agreement - estimate.ratio, 0 if trained.few_epochs else error
    fits = missed <= max(UNFITTED, error) and (
        trained.agreement > 1 - UNFITTED or estimate.ratio <= disagreement + slack)
    return fits, missed <= slack and not (trained.few_epochs and listed < estimate.low)


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
        if learned and not found["issues"]:
            seldom = f"networks are right about at most {found['right']:.0%} of all"
            why = seldom if fits and finished else "train for more epochs"
            return f"no label issues were found, but wrong labels may be left: {why}; {agreement}"
        if learned:
            return f"nothing follows from this list: no label is more likely to be wrong than right; {agreement}"
        return f"nothing follows from this list: {agreement}; {advice}"
    labels = f"of {found['groups']} groups have a wrong label" if by_group else "labels are wrong"
    about = f"about {found['wrong']} {labels} ({found['wrong_low']} to {found['wrong_high']})"
    if found["outcome"] == TOP:
        seldom = f"; they are right about at most {found['right']:.0%} of all" if found["right"] < estimates.RIGHT else ""
        only_first = found["top"] < found["issues"] and not why
        how = (f"use the first {found['top']} of the {found['issues']} {entries} only" if only_first else
               f"check each of the {found['issues']} {entries} before acting on it")
        estimated = "" if found["wrong"] is None else about
        return f"{how}: " + "; ".join(filter(None, [why or estimated, agreement + seldom, unfinished]))
    if not found["issues"]:
        return f"no label issues were found: {about}; {agreement}"
    expected = found["expected_precision"]
    precise = "" if expected is None else f"; {expected:.0%} of the {found['issues']} {entries} are expected to be wrong"
    return f"the list can be used: {about}{precise}; {agreement}"


def permutation_test(y, passes, again, runs):
    """Return (whether the passes are more confident in labels y than in permuted ones, number of runs with permuted labels).

    A sequential permutation test (Besag and Clifford 1991): if labels are not learned, it ends after a few runs. It repeats
    the whole procedure, because the passes depend on a sample's own label through the selection.

    y : int array [n]; passes : float array [PASSES, n, num_classes]
        The given labels and the probabilities of `last_pass.out_of_fold`.
    again : callable
        ``again(number)`` returns permuted labels, int [n], and the probabilities of the passes for them.
    runs : int
        The maximum number of calls; the first run in which the passes are as confident ends the test.
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
