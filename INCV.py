"""Find the clean samples of a noisy dataset by iterative noisy cross-validation (INCV).

    python INCV.py --dataset digits --noise_pattern sym --noise_ratio 0.5
    python INCV.py --dataset cifar10 --noise_pattern sym --noise_ratio 0.5
    python INCV.py --dataset cifar10 --noise_pattern asym --noise_ratio 0.4
    KERAS_BACKEND=jax python INCV.py --dataset digits --noise_pattern sym --noise_ratio 0.5
    python INCV.py --dataset PATH                       # custom: an .npz, a folder of images, a table (--label COLUMN)

Algorithm 1 of Chen, Liao, Chen, Zhang, *Understanding and Utilizing Deep Neural Networks Trained with Noisy Labels*,
ICML 2019 (section 4). Writes the selection (CSV), provenance (JSON), label precision and recall (PNG), the label issues and
a report to results/(dataset)/(noise_pattern)/(noise_ratio)/, for custom datasets to results/(dataset)/given/. An interrupted
run resumes when the command is repeated.

Results on digits (mean of 5 seeds, a minute or more each on one CPU core): LP 0.988, LR 0.997 (sym 0.2); 0.966, 0.990
(sym 0.5); 0.872, 0.980 (asym 0.4). In a clone,
`python -m incv.benchmarks.selections results/reference` computes them.
"""
if __name__ == "__main__":
    import os
    import signal
    import sys
    if sys.flags.safe_path:  # as by PYTHONSAFEPATH: Python does not look for modules in a script's folder
        sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends quietly; run_command replaces this

import dataclasses
import functools
import json
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from incv import noise, utils
from incv.checking import check, export, grouping, last_pass, report
from incv.custom_data import decisions
from incv.runner import checkpoint, console, files, options, planning, pretrained, start, sweep

# Section 5 of the paper and the published code. The digits, which the paper does not use, get a small network without
# shortcuts, which selects better than resnet8 (docs/methods.md), and small batches. With batches of 128, an epoch on half of
# them has six steps, after which the network may predict a single class. On the few, mostly wrong labels left in iteration 2
# it can then score as well as a trained network, and be chosen as the best.
PUBLISHED = {"architecture": "resnet32", "epochs": 50, "iterations": 4, "batch_size": 128, "learning_rate": 1e-3,
             "subset": None, "precision": "float32", "label_issues": False, "patience": None}
SMALL = PUBLISHED | {"architecture": "plain14", "epochs": 12, "batch_size": 32}
TABLE = SMALL | {"architecture": "dense"}
# Custom datasets: images of 24 pixels a side or more, smaller images, tables and feature vectors. Images end early.
EPOCHS = {"images": utils.enough_epochs(steps=1000, epochs=50), "small": utils.enough_epochs(steps=400, epochs=12)}
CHECKED = {"iterations": 2, "label_issues": True}
FEATURES = SMALL | {"architecture": "linear", "epochs": EPOCHS["small"]}  # --features
DEFAULTS = {"cifar10": PUBLISHED, "cifar100": PUBLISHED, "digits": SMALL,
            "images": PUBLISHED | CHECKED | {"epochs": EPOCHS["images"], "batch_size": utils.batch_for,
                                             "patience": utils.patience_for},
            "small_images": SMALL | CHECKED | {"epochs": EPOCHS["small"], "patience": utils.patience_for},
            "table": TABLE | CHECKED | {"epochs": EPOCHS["small"]},
            "published_features": FEATURES, "features": FEATURES | CHECKED}
# The learning rate drops after epochs 20, 30, 40 of 50, counted from 0 (`utils.learning_rate`): 21 epochs have the first one.
SCHEDULE = {"published_epochs": 50, "initial": 1e-3, "drops": {20: 5e-4, 30: 2.5e-4, 40: 1e-4}}


# --- the algorithm ----------------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """What Algorithm 1 returns.

    select, candidate: bool [n]; ratio: the estimated noise ratio, None if no iteration was carried out; records: a dict of
    counts and fractions per iteration; early: why the algorithm ended before its last iteration, or None; first: float [n,
    num_classes], the probabilities of iteration 1, which do not depend on the sample's own label as later ones do, by way of
    what was selected (NaN for trusted samples); out_of_fold: float [n, num_classes], the latest probabilities of each sample
    by networks that were not trained on it.
    """

    select: np.ndarray
    candidate: np.ndarray
    ratio: float | None
    records: list
    early: str | None
    first: np.ndarray
    out_of_fold: np.ndarray


def incv(y_noisy: ArrayLike, num_classes: int, noise_pattern: str, *, train: Callable[..., np.ndarray], iterations: int = 4,
         seed: int = 0, after_iteration: Callable | None = None, split: Callable = utils.halves,
         trusted: np.ndarray | None = None, groups: np.ndarray | None = None, n_jobs: int | None = None) -> Selection:
    """Select the samples whose labels can be trusted (Algorithm 1).

    S is the set of selected samples, C the set of candidates, at first all samples. Each iteration

    1. splits C at random into two halves;
    2. trains a network on S and one half, predicts the other half, and puts its samples whose label is predicted into A;
    3. in iteration 1, estimates the noise ratio from the fraction of labels that are predicted;
    4. puts the floor(r |A|) samples of that other half with the largest cross-entropy into R (`noise.removal_ratio`);
    5. repeats steps 2 and 4 with the halves exchanged;
    6. moves both sets A from C to S, and removes both sets R from C, except samples that are also in A.

    With any classifier::

        import numpy as np
        from sklearn.datasets import load_wine
        from sklearn.linear_model import LogisticRegression
        from incv.INCV import incv

        x, y = load_wine(return_X_y=True)
        x = (x - x.mean(axis=0)) / x.std(axis=0)

        def train(train_index, held_out, removed, keep_best, iteration, half):
            model = LogisticRegression().fit(x[train_index], y[train_index])
            return model.predict_proba(x[np.concatenate([held_out, removed])])

        selection = incv(y, num_classes=3, noise_pattern="sym", train=train, iterations=2)
        print(selection.select.sum(), "of", len(y), "labels selected, noise ratio", selection.ratio)

    Parameters
    ----------
    y_noisy : int array [n]
        The observed labels, integers in [0, num_classes).
    num_classes : int
    noise_pattern : str
        One of `noise.PATTERNS`. Patterns that confuse pairs of classes ("asym") remove no candidates. For a custom
        transition matrix, give what `noise.nearest_pattern` returns.
    train : callable
        ``train(train_index, held_out, removed, keep_best, iteration, half)`` trains a fresh network on the samples
        `train_index` and returns its probabilities, float array [len(held_out) + len(removed), num_classes], for the samples
        `held_out`, then `removed`: at the epoch with the best accuracy on the noisy labels of `held_out` if `keep_best`, else
        at the last epoch. `iteration` counts from 1; `half` is 1 or 2.
    iterations : int
        N in the paper.
    seed : int
        Decides the splits.
    after_iteration : callable, optional
        Called with the record of each iteration and the selection so far.
    split : callable
        ``split(positions, generator)`` returns the two halves of the candidates; by default at random, as published.
    trusted : bool array [n], optional
        Samples whose labels are known to be right: selected from the start. By default none, as published.
    groups : int array [n], optional
        Samples with the same number belong together: no network is trained on a selected sample whose group it predicts.
        `split` must not divide them.
    n_jobs : int, optional
        How many of an iteration's two trainings run at the same time (`utils.in_parallel`).

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        For an unknown noise pattern, other labels, or if `train` returns anything else.
    """
    for name, value in (("num_classes", num_classes), ("iterations", iterations), ("seed", seed)):
        utils.check_whole(name, value, least=int(name == "num_classes"))
    removes = not noise.pattern(noise_pattern).pairwise
    y_noisy = checked_labels(y_noisy, num_classes)
    select = np.zeros(len(y_noisy), dtype=bool) if trusted is None else np.array(_one_each(
        trusted, "trusted", "b", "True or False", len(y_noisy)))
    groups = None if groups is None else _one_each(groups, "groups", "iuUS", "a number", len(y_noisy))
    try:
        first, out_of_fold = np.full((2, len(y_noisy), num_classes), np.nan)
    except MemoryError:
        raise ValueError(f"num_classes={num_classes}: the probabilities of {len(y_noisy)} samples do not fit into memory; "
                         f"give the number of classes") from None
    candidate = ~select
    ratio, records, early = None, [], None
    for iteration in range(1, iterations + 1):
        if candidate.sum() < 2:
            early = f"{utils.many(candidate.sum(), 'candidate')} left, too few to split, after iteration {iteration - 1}"
            break
        keep_best = iteration <= iterations_with_best_epoch(noise_pattern, ratio)
        one, other = split(np.flatnonzero(candidate), utils.rng(seed, "split", iteration))
        if not len(one) or not len(other):
            early = f"the candidates left belong together, and cannot be split, after iteration {iteration - 1}"
            break
        removed = np.flatnonzero(~select & ~candidate)  # no network is trained on these: both halves' networks predict them
        out_of_fold[removed] = 0
        agree, remove = np.zeros_like(select), np.zeros_like(select)
        trainings = []
        for half, (part, held_out) in enumerate([(one, other), (other, one)], start=1):
            joining = select if groups is None else select & ~np.isin(groups, groups[held_out])
            train_index = np.union1d(np.flatnonzero(joining), part)
            trainings.append((train_index, held_out, removed, keep_best, iteration, half))
        for (_, held_out, *_), returned in zip(trainings, utils.in_parallel(train, trainings, n_jobs), strict=True):
            probabilities, of_removed = np.split(
                checked_probabilities(returned, len(held_out) + len(removed), num_classes), [len(held_out)])
            out_of_fold[held_out] = probabilities
            if iteration == 1:
                first[held_out] = probabilities
            out_of_fold[removed] += of_removed / 2
            agreeing = probabilities.argmax(axis=1) == y_noisy[held_out]
            if ratio is None:
                ratio = noise.estimate_noise_ratio(agreeing.mean(), num_classes)
            agree[held_out[agreeing]] = True
            if removes:
                remove[remove_set(probabilities, y_noisy, held_out, agreeing.sum(), ratio)] = True
        remove &= ~agree
        select |= agree
        candidate &= ~(agree | remove)
        records.append({"iteration": iteration, "selected": int(agree.sum()), "removed": int(remove.sum()),
                        "selected_in_all": int(select.sum()), "left": int(candidate.sum()),
                        "estimated_noise_ratio": ratio, "best_epoch": keep_best})
        if after_iteration:
            after_iteration(records[-1], select)
        if not agree.any():
            early = f"nothing was selected in iteration {iteration}"
            break
    return Selection(select=select, candidate=candidate, ratio=ratio, records=records, early=early, first=first,
                     out_of_fold=out_of_fold)


def checked_labels(y_noisy, num_classes):
    """Return labels as an array; ValueError unless they are one integer in [0, num_classes) per sample."""
    if np.ma.is_masked(y_noisy):
        raise ValueError("y_noisy has masked values: leave these samples out")
    labels = np.array(y_noisy)  # a copy: `train` may change the array that it has
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"y_noisy is {labels.dtype} of shape {labels.shape}: give one integer per sample, for names the "
                         f"positions of numpy.unique(names, return_inverse=True)")
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"y_noisy runs from {labels.min()} to {labels.max()}: {num_classes} classes are numbered 0 to "
                         f"{num_classes - 1}")
    return labels


def _one_each(values, name, kinds, what, samples):
    """Return an argument as an array; ValueError unless it has one value of these kinds of dtype per sample."""
    try:
        found = np.asarray(values)
    except ValueError:  # rows of different lengths
        found = np.empty(0, dtype=object)
    if found.shape != (samples,) or found.dtype.kind not in kinds:
        raise ValueError(f"{name} is {found.dtype} of shape {found.shape}: give {what} for each of the {samples} samples")
    return found


def checked_probabilities(returned, samples, num_classes, what="train"):
    """Return what a `train` function of `incv` returned, as an array; ValueError unless it is what `incv` needs.

    what: the name of the function in the error.
    """
    if isinstance(returned, (list, tuple)):
        raise ValueError(f"{what} returned a {type(returned).__name__}: return one array, the probabilities of held_out, then "
                         f"those of removed (numpy.concatenate)")
    if np.ma.is_masked(returned):
        raise ValueError(f"{what} returned masked values: return a probability of each class for each sample")
    probabilities = np.asarray(returned)
    if probabilities.shape != (samples, num_classes):
        raise ValueError(f"{what} returned an array of shape {probabilities.shape}: return {(samples, num_classes)}, a row "
                         f"for each sample of held_out, then of removed, and a column per class")
    if probabilities.dtype.kind not in "fiub":
        raise ValueError(f"{what} returned an array of {probabilities.dtype}: return probabilities, numbers")
    if not np.isfinite(probabilities).all():
        raise ValueError(f"{what} returned NaN or infinite values: return probabilities")
    rounded = (probabilities < 0) & (probabilities > -1e-9)
    probabilities = np.where(rounded, 0, probabilities) if rounded.any() else probabilities
    if (probabilities < 0).any() or np.abs(probabilities.sum(axis=1) - 1).max(initial=0) > 0.02:
        raise ValueError(f"{what} returned rows that are negative or do not sum to 1, such as logits: return probabilities, "
                         f"as of a softmax")
    return probabilities


def remove_set(probabilities, y_noisy, held_out, num_selected, ratio):
    """Return R, the floor(r * num_selected) held-out samples whose labels have the largest cross-entropy (step 4)."""
    loss = -np.log(probabilities[np.arange(len(held_out)), y_noisy[held_out]] + 1e-8)
    count = math.floor(noise.removal_ratio(ratio) * int(num_selected) + 1e-9)  # a product of 14.999999999 is 15
    return held_out[np.argsort(-loss, kind="stable")[:count]]


def iterations_with_best_epoch(noise_pattern, ratio):
    """Return k: iterations 1 to k predict with the best epoch's network, later ones with the last epoch's.

    ratio: the estimated noise ratio, None if unknown.
    """
    if noise.pattern(noise_pattern).pairwise or ratio is None or ratio > 0.6:
        return 1
    return 2 if ratio > 0.3 else 4


# --- one training, resumable ------------------------------------------------------------------------------------------

class Train:
    """The `train` function of `incv` for Keras networks: each training starts from the same initial weights.

    A training that the checkpoint has finished is not repeated; the training under way resumes. The checkpoint holds
    finished000, finished001 ... (what each finished training returned), history (JSON) and, for the training under way, its
    number (training), the epochs done (epoch), the state of network and Adam (state), the best held-out accuracy so far (best)
    and the probabilities of the epoch chosen so far (chosen).

    Parameters
    ----------
    dataset : data.Dataset
    y_noisy : int array [n]
    settings : Settings
        The settings of the run.
    progress : console.Progress
    resumed : dict of arrays
        The checkpoint to resume from; empty for none.
    save_checkpoint : callable
        ``save_checkpoint(**arrays)`` is called after each epoch.
    network : keras.Model, optional
        Ends in logits; by default the network that the settings name.
    last_trainings : int
        How many trainings of last passes (checking/last_pass.py) follow the iterations.

    Attributes
    ----------
    history : list of dict
        One per epoch, the rows of the run's _history.csv. With last passes, the last epochs of iteration 1 have
        training_agreement, the fraction of the labels trained on that the network predicts, un-augmented.
    """

    def __init__(self, dataset, y_noisy, settings, progress, resumed, save_checkpoint, network=None, last_trainings=0):
        from incv import fast_path, training
        from incv.runner import networks

        # A network whose batch normalisation ignores padding needs no separate program for a short last batch.
        masked = fast_path.loops_on_device() and fast_path.fits(dataset.x_train)
        network = network or networks.build_for_run(settings, dataset, "weights", masked=masked)
        self.trainer, self.predictor = training.make_trainer(network, dataset.pixel_max)
        self.initial_state = training.get_state(self.trainer)
        self.dataset, self.y_noisy, self.settings, self.progress = dataset, y_noisy, settings, progress
        self.called, self.last_trainings = 0, last_trainings
        self.resumed, self.save_checkpoint = resumed, save_checkpoint
        self.finished = [resumed[name] for name in sorted(resumed) if name.startswith("finished")]
        self.history = json.loads(str(resumed.get("history", "[]")))
        self.encoded, self.encoded_rows = [], 0  # the first rows of the history as JSON: they change no more

    def __call__(self, train_index, held_out, removed, keep_best, iteration, half):
        from incv import training

        dataset, y_noisy, settings = self.dataset, self.y_noisy, self.settings
        x, number = dataset.x_train, self.called
        self.called += 1
        if number < len(self.finished):
            return self.finished[number]
        state, start, best, chosen, accuracy = self.initial_state, 0, -1.0, np.empty(0), math.nan
        if number == self.resumed.get("training"):
            state, start, chosen = self.resumed["state"], int(self.resumed["epoch"]), self.resumed["chosen"]
            best = accuracy = float(self.resumed["best"])
        rates, patience, usual = self._plan(iteration, half)
        agreements = [row["heldout_accuracy"] for row in self.history if (row["iteration"], row["half"]) == (iteration, half)]
        y_heldout = None if dataset.y_train is None else dataset.y_train[held_out]
        which, passed = f"iter {iteration}/{settings.iterations} half {half}/2", iteration - settings.iterations
        if passed > 0:
            which = f"last pass {passed}/{last_pass.PASSES + 1} " + (
                f"half {half}/2" if passed <= last_pass.PASSES else f"fold {half}/{last_pass.FOLDS}")

        def show(epoch, done, loss, end_of_epoch=False):
            trained = epoch + done / len(train_index)
            expected = max(usual, trained + utils.epochs_left(agreements, rates, patience))
            of = f"/{len(rates)}" if patience is None else ""
            fraction = (number + trained / expected) / (2 * settings.iterations + self.last_trainings)
            self.progress.show(fraction, f"{which} epoch {epoch + 1}{of} loss {loss:.3f} held-out acc {accuracy:.3f}",
                               end_of_epoch)

        def train_epoch(epoch, learning_rate):
            return training.train_epoch(
                self.trainer, x, y_noisy, train_index, utils.rng(settings.seed, "train", iteration, half, epoch),
                settings.batch_size, learning_rate, dataset.shift, dataset.flip, functools.partial(show, epoch))

        for epoch, learning_rate, means in training.fit(
                self.trainer, len(rates), utils.schedule(SCHEDULE, settings), train_epoch, start, state,
                where=f"{which}, ", rate=lambda epoch: utils.next_learning_rate(agreements, rates, patience)):
            probabilities = training.predict(self.predictor, x, held_out)
            found = noise.heldout_accuracies(probabilities.argmax(axis=1), y_noisy[held_out], y_heldout)
            accuracy = found["heldout_accuracy"]
            agreements.append(accuracy)
            at_end = utils.next_learning_rate(agreements, rates, patience) is None
            self.history.append({"iteration": iteration, "half": half, "epoch": epoch + 1, "learning_rate": learning_rate,
                                 **means, **found, "chosen": False})
            predicts = accuracy > best if keep_best else at_end
            best = max(best, accuracy)
            if predicts:
                chosen = np.concatenate([probabilities, training.predict(self.predictor, x, removed)])
                for row in self.history:
                    if (row["iteration"], row["half"]) == (iteration, half):
                        row["chosen"] = row is self.history[-1]
            if self.last_trainings and iteration == 1 and at_end:
                of_training = training.predict(self.predictor, x, train_index).argmax(axis=1)
                self.history[-1]["training_agreement"] = float((of_training == y_noisy[train_index]).mean())
            if not at_end:
                self._save(training=number, epoch=epoch + 1, state=training.get_state(self.trainer), best=best, chosen=chosen)
            show(epoch, len(train_index), means["loss"], end_of_epoch=True)
        if not np.isfinite(chosen).all():
            raise utils.UserError(f"the network predicts NaN in {which}: training diverged; try another seed (--seed), or "
                                  f"smaller numbers, such as standardised ones")
        self.finished.append(chosen)
        self._save()
        self.encoded.append(json.dumps(self.history[self.encoded_rows:])[1:-1])
        self.encoded_rows = len(self.history)
        return chosen

    def _plan(self, iteration, half):
        """Return ([the planned learning rate of each epoch], patience, the epochs expected) of a training.

        Later iterations of INCV repeat what the same half took in iteration 1: what they hold out are few samples, whose
        labels are mostly wrong.
        """
        patience = self.settings.patience
        rates = utils.learning_rates(self.settings.epochs, utils.schedule(SCHEDULE, self.settings))
        if not patience:
            return rates, None, len(rates)
        if 1 < iteration <= self.settings.iterations:
            rates = [row["learning_rate"] for row in self.history if (row["iteration"], row["half"]) == (1, half)]
            return rates, None, len(rates)
        if self.finished:
            so_far = sum((row["iteration"], row["half"]) != (iteration, half) for row in self.history)
            return rates, patience, so_far / len(self.finished)
        return rates, patience, utils.expected_epochs(rates, patience)

    def _save(self, **unfinished):
        finished = {f"finished{number:03d}": probabilities for number, probabilities in enumerate(self.finished)}
        rows = self.history[self.encoded_rows:]
        history = [*self.encoded, *([json.dumps(rows)[1:-1]] if rows else [])]
        self.save_checkpoint(**finished, **unfinished, history=f"[{', '.join(history)}]")


# --- the command ------------------------------------------------------------------------------------------------------

def main():
    parser = options.parser(__doc__, DEFAULTS, custom=True)
    parser.add_argument("--export", metavar="FILE", help="write the selected samples to a .csv (rows of a table, or a list of "
                        "images and labels) or an .npz (arrays)")
    args, planned = planning.plan("INCV", parser, DEFAULTS, SCHEDULE)
    if args.export:
        export.check(args.export, planned)
    sweep.carry_out("INCV", run, planned, **planning.how_to_sweep(args))
    if args.export and files.is_finished(planned[0].path, planned[0].settings):
        print(f"written: {export.write(args.export, planned[0])}{export.issues_among_selected(planned[0])}")


def run(plan, progress):
    """Carry out one run (planning.Plan): start, select, check, write."""
    started = start.start_run(plan, {"dataset": "cifar10", **PUBLISHED, "bn_momentum": 0.99}, progress, SCHEDULE)
    settings, dataset, y_noisy = started.settings, started.dataset, started.y_noisy
    last_trainings = last_pass.TRAININGS if settings.label_issues else 0
    tell_where_it_resumes(started.resumed, settings.iterations)
    few = few_epochs(plan.source.facts, settings) if settings.label_issues else ""
    if few:
        progress.say(f"warning: {few}")

    copies, split, units = None, utils.halves, None
    if settings.label_issues:
        copies = last_pass.copies(dataset.samples)
        split, units = grouping.how_to_split(y_noisy, copies, dataset.groups)
    train = Train(dataset, y_noisy, settings, progress, started.resumed, started.save_checkpoint,
                  last_trainings=last_trainings)
    selection = incv(
        y_noisy, dataset.num_classes, noise.treated_as(settings), train=train, iterations=settings.iterations,
        seed=settings.seed, after_iteration=functools.partial(tell_iteration, started, progress),
        split=split if plan.source.path is not None else utils.halves, trusted=dataset.trusted, groups=units)
    if not selection.records:
        raise utils.UserError(f"{settings.dataset}: {selection.early}: give samples that differ and are not decided on")
    if selection.early:
        print(f"ended early: {selection.early}")

    checked = check.check(started, selection, train, copies, split, bool(few))
    if checked.verdict:
        progress.say(f"verdict: {checked.verdict['sentence']}")
    progress.say(utils.many(int(checked.issues["issue"].sum()), "label issue"))

    write_results(plan, started, selection, checked, train.history)
    checkpoint.remove_checkpoint(plan.path)
    hint = pretrained.hint(plan.source, len(y_noisy), checked.verdict)
    if hint and console.first_time(("hint", plan.path.parent)):
        progress.say(hint)


def few_epochs(facts, settings):
    """Return the warning of a run with fewer epochs or less patience than by default (source.Facts), "" for others."""
    usual = DEFAULTS[facts.kind]["epochs"]
    usual = usual(settings.subset or facts.size, settings.batch_size) if callable(usual) else usual
    few = []
    if settings.epochs < usual:
        few.append(f"{utils.many(settings.epochs, 'epoch')} instead of {usual}, the default for these data")
    if settings.patience and settings.patience < utils.patience_for(settings.epochs):
        few.append(f"a patience of {utils.many(settings.patience, 'epoch')}, less than a twelfth of the epochs")
    return "" if not few else (f"{' and '.join(few)}: networks that have not learned enough take their own errors for wrong "
                               f"labels")


def tell_where_it_resumes(resumed, iterations):
    """Print where a run resumes. resumed: {name: array} of its checkpoint, {} for none."""
    if not resumed:
        return
    done = sum(name.startswith("finished") for name in resumed)
    passed, half = done // 2 - iterations, f"half {done % 2 + 1}"
    where = f"iteration {done // 2 + 1}" if passed < 0 else f"last pass {passed + 1}"
    if passed >= last_pass.PASSES:
        where, half = f"last pass {last_pass.PASSES + 1}", f"fold {done - 2 * (iterations + last_pass.PASSES) + 1}"
    print(f"resuming after {done} finished trainings" if "epoch" not in resumed else
          f"resuming at {where}, {half}, epoch {int(resumed['epoch']) + 1}", flush=True)


def tell_iteration(started, progress, record, select):
    """Print what an iteration did, and add LP and LR to its record, where true labels are known (start.Started)."""
    truth = ""
    if started.dataset.y_train is not None:
        record["LP"], record["LR"] = noise.precision_and_recall(started.dataset.y_train, started.y_noisy, select)
        truth = f", LP {noise.share(record['LP'])}, LR {noise.share(record['LR'])}"
    progress.say(f"iteration {record['iteration']} of {started.settings.iterations}: {record['selected']} selected, "
                 f"{record['removed']} removed, {record['left']} left, estimated noise ratio "
                 f"{record['estimated_noise_ratio']:.3f}{truth}")


def write_results(plan, started, selection, checked, history):
    """Write the files of a run (planning.Plan, start.Started, check.Checked), at last the JSON by which it is finished."""
    import pandas as pd

    from incv.reporting import figures

    path, dataset, provenance = plan.path, started.dataset, started.provenance()
    settings = provenance["settings"]
    named = (lambda labels: labels) if dataset.class_names is None else dataset.class_names.__getitem__
    y = "" if dataset.y_train is None else dataset.y_train
    if dataset.class_names is not None and dataset.y_train is not None:  # some may be unknown, or of a class not trained on
        y = np.array([*dataset.class_names.astype(str), "another class", ""])[dataset.y_train]
    columns = {"y": y, "y_noisy": named(started.y_noisy),
               "select": selection.select, "candidate": selection.candidate, "eval_ratio": selection.ratio}
    provenance |= {"iterations": selection.records, "ended_early": selection.early,
                   "label_issues": int(checked.issues["issue"].sum())}
    provenance |= {"verdict": checked.verdict} if checked.verdict else {}
    files.write_table(files.beside(path, ".csv"), decisions.for_spreadsheets(pd.DataFrame(columns), ("y", "y_noisy")))
    if settings.subset:
        files.write_table(files.beside(path, "_index.csv"), pd.DataFrame({"index": started.index}))
    draw = figures.counts if dataset.y_train is None else figures.precision_and_recall
    files.write_whole(files.beside(path, ".png"), lambda file: draw(provenance, file))
    history = pd.DataFrame(history)
    files.write_table(files.beside(path, "_history.csv"), history)
    files.write_whole(files.beside(path, "_history.png"), lambda file: figures.history(history, "iteration", settings, file))
    if dataset.left_out:
        left_out = pd.DataFrame({"file": dataset.left_out.keys(), "why": dataset.left_out.values()})
        files.write_table(files.beside(path, "_left_out.csv"), decisions.for_spreadsheets(left_out, ("file",)))
    report.write(plan, checked, started, provenance)
    files.write_json(path, provenance)
    listed = "_groups.csv, _label_issues.csv" if "group" in checked.issues else "_label_issues.csv"
    print(f"written: {path}.csv, .json, .png, _history.csv, _history.png, _out_of_fold.csv, {listed}, _classes.png\n"
          f"report: {path}_report.html")


if __name__ == "__main__":
    console.run_command("INCV.py", main)
