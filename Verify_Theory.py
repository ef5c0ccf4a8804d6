"""Check by experiment what the theory says about a network that has memorised noisy labels.

    python Verify_Theory.py --noise_pattern sym --noise_ratio 0.5
    python Verify_Theory.py --noise_pattern asym --noise_ratio 0.4
    python Verify_Theory.py --dataset digits --noise_pattern sym --noise_ratio 0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.0
    python Verify_Theory.py --dataset digits --noise_pattern asym --noise_ratio 0.2 0.4 --seed 0 1 2 --n_jobs 2 --threads 1

Section 3 of Chen, Liao, Chen, Zhang, *Understanding and Utilizing Deep Neural Networks Trained with Noisy Labels*,
ICML 2019: split the noisy training set into two halves, train a network on one half until it has memorised it, and predict
the other half. There its confusion matrix M should equal the transition matrix T of the noise, which determines its accuracy
against the noisy labels, and the label precision and recall of selecting the samples whose label it predicts
(`noise.theory`). Writes the held-out predictions (CSV) and provenance (JSON) to
results/(dataset)/(noise_pattern)/(noise_ratio)/ and draws two figures of all runs found there to
results/(dataset)/(noise_pattern)/.

Results on digits (3 seeds, both halves, 11 ratios, half a minute a run on one CPU core): mean distance from theory
0.028 (accuracy), 0.017 (LP), 0.054 (LR) for sym; 0.018, 0.024, 0.047 for asym (in a clone,
`python -m incv.benchmarks.theory results/reference`).
"""
if __name__ == "__main__":
    import os
    import signal
    import sys
    if sys.flags.safe_path:  # as by PYTHONSAFEPATH: Python does not look for modules in a script's folder
        sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends quietly; run_command replaces this

import functools
import json
import time

import numpy as np

from incv import noise, utils
from incv.runner import checkpoint, console, files, options, planning, start, sweep

# Section 5 of the paper and the published code. The digits use a small network and no augmentation: 750 digits, shifted anew
# in each epoch, are more than it can memorise in 100 epochs (docs/theory.md), and then the theory does not apply.
PUBLISHED = {"architecture": "resnet110", "epochs": 200, "batch_size": 128, "learning_rate": 1e-3, "subset": None,
             "precision": "float32", "augmentation": True, "both_halves": False}
DEFAULTS = {"cifar10": PUBLISHED, "cifar100": PUBLISHED,
            "digits": PUBLISHED | {"architecture": "resnet8", "epochs": 100, "batch_size": 32, "augmentation": False}}
# The learning rate drops after these epochs, counted from 0 (`utils.learning_rate`): 81 epochs have the first one.
SCHEDULE = {"published_epochs": 200, "initial": 1e-3, "drops": {80: 1e-4, 120: 1e-5, 160: 1e-6, 180: 5e-7}}
MEMORISED = 0.95  # the fraction of its noisy training labels, un-augmented, that a network must predict for theory to apply


# --- the experiment ---------------------------------------------------------------------------------------------------

def compare_with_theory(y, y_noisy, y_pred, noise_pattern, noise_ratio, num_classes, transition=None):
    """Return what was measured on held-out samples, and what theory predicts for it (section 3), as a dict for JSON.

    y, y_noisy, y_pred: integers [n], the true, observed and predicted labels; transition: float [c, c], of a noise pattern in
    a file. None where a denominator is zero.
    """
    agree = y_pred == y_noisy
    precision, recall = noise.precision_and_recall(y, y_noisy, agree)
    if transition is None:
        expected = noise.theory(noise_pattern, noise_ratio, num_classes)
        transition = noise.transition_matrix(noise_pattern, noise_ratio, num_classes)
    else:
        expected = noise.theory_of(transition, np.bincount(y, minlength=num_classes))
    difference = np.abs(noise.confusion_matrix(y, y_pred, num_classes) - transition)
    return {"measured": {"accuracy": float(agree.mean()), "LP": precision, "LR": recall},
            "theory": dict(zip(("accuracy", "LP", "LR"), expected, strict=True)),
            "M_minus_T": {"largest": float(np.nanmax(difference)), "mean": float(np.nanmean(difference))}}


class Memorise:
    """Train a network on noisy labels until it has memorised them, and predict held-out samples; resumable.

    The checkpoint holds what each finished half returned (predicted0, memorised0, test_accuracy0, test_loss0 ...), history
    (JSON) and, for the half under way, its number (training), the epochs done (epoch) and the state of network and Adam
    (state).

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

    Attributes
    ----------
    history : list of dict
        One per epoch, the rows of the run's _history.csv.
    """

    def __init__(self, dataset, y_noisy, settings, progress, resumed, save_checkpoint):
        from incv import training
        from incv.runner import networks

        network = networks.build_for_run(settings, dataset, "weights")
        self.trainer, self.predictor = training.make_trainer(network, dataset.pixel_max, accuracy=True)
        self.initial_state = training.get_state(self.trainer)
        self.dataset, self.y_noisy, self.settings, self.progress = dataset, y_noisy, settings, progress
        self.resumed, self.save_checkpoint = resumed, save_checkpoint
        self.finished = {name: resumed[name] for name in resumed if name.startswith(("predicted", "memorised", "test"))}
        self.history = json.loads(str(resumed.get("history", "[]")))

    def __call__(self, number, train_index, held_out):
        """Train the network of half `number` (0 or 1, which also seeds the batches); both start from the same weights.

        Returns the predicted labels int64 [len(held_out)], the fraction of the labels of train_index that the network
        predicts, un-augmented, and its accuracy and cross-entropy on the test set.
        """
        from incv import training

        dataset, y_noisy, settings, finished = self.dataset, self.y_noisy, self.settings, self.finished
        x, epochs, trainings = dataset.x_train, settings.epochs, 1 + settings.both_halves
        shift, flip = (dataset.shift, dataset.flip) if settings.augmentation else (0, False)
        resumes = self.resumed.get("training") == number

        def show(epoch, done, loss, end_of_epoch=False):
            self.progress.show((number + (epoch + done / len(train_index)) / epochs) / trainings,
                               f"half {number + 1}/{trainings} epoch {epoch + 1}/{epochs} loss {loss:.3f}", end_of_epoch)

        def train_epoch(epoch, learning_rate):
            return training.train_epoch(
                self.trainer, x, y_noisy, train_index, utils.rng(settings.seed, "memorise", number, epoch),
                settings.batch_size, learning_rate, shift, flip, functools.partial(show, epoch))

        schedule = utils.schedule(SCHEDULE, settings)
        for epoch, learning_rate, means in () if f"predicted{number}" in finished else training.fit(
                self.trainer, epochs, schedule, train_epoch, int(self.resumed["epoch"]) if resumes else 0,
                self.resumed["state"] if resumes else self.initial_state, where=f"half {number + 1}, "):
            predicted = training.predict(self.predictor, x, held_out).argmax(axis=1)
            self.history.append({
                "half": number + 1, "epoch": epoch + 1, "learning_rate": learning_rate, "loss": means["loss"],
                "training_accuracy": means["accuracy"],
                **noise.heldout_accuracies(predicted, y_noisy[held_out], dataset.y_train[held_out])})
            if epoch + 1 < epochs:
                self.save_checkpoint(**finished, training=number, epoch=epoch + 1, state=training.get_state(self.trainer),
                                     history=json.dumps(self.history))
            else:
                finished |= self._results(number, predicted, train_index)
                self.save_checkpoint(**finished, history=json.dumps(self.history))
            show(epoch, len(train_index), means["loss"], end_of_epoch=True)
        return finished[f"predicted{number}"], *(
            float(finished[f"{name}{number}"]) for name in ("memorised", "test_accuracy", "test_loss"))

    def _results(self, number, predicted, train_index):
        """Return what a checkpoint holds of a finished half."""
        from incv import training

        dataset, every = self.dataset, np.arange(len(self.dataset.y_test))
        of_training = training.predict(self.predictor, dataset.x_train, train_index).argmax(axis=1)
        of_test = training.predict(self.predictor, dataset.x_test, every)
        return {f"predicted{number}": predicted, f"memorised{number}": (of_training == self.y_noisy[train_index]).mean(),
                f"test_accuracy{number}": (of_test.argmax(axis=1) == dataset.y_test).mean(),
                f"test_loss{number}": -np.log(of_test[every, dataset.y_test].astype(float) + 1e-8).mean()}


# --- the command ------------------------------------------------------------------------------------------------------

def main():
    parser = options.parser(__doc__, DEFAULTS)
    parser.add_argument("--both_halves", action="store_true", default=None,
                        help="train a second network with the halves exchanged: every sample is held out once")
    augmentation = parser.add_mutually_exclusive_group()
    augmentation.add_argument("--augmentation", action="store_true", default=None,
                              help="train on shifted and, for photographs, mirrored images (default, except for digits)")
    augmentation.add_argument("--no_augmentation", action="store_false", dest="augmentation", default=None,
                              help="train on unchanged images: small sets are memorised sooner")
    args, planned = planning.plan("Verify_Theory", parser, DEFAULTS, SCHEDULE)
    drawn = [time.monotonic()]

    def draw(at_end):
        """Redraw the figures, which takes seconds: at most once a minute during a sweep of small runs."""
        from incv.reporting import tables

        if at_end or time.monotonic() - drawn[0] >= 60:
            tables.draw_theory(planned[0].path.parent.parent, files.name_of_settings(planned[0].path))
            drawn[0] = time.monotonic()

    sweep.carry_out("Verify_Theory", run, planned, **planning.how_to_sweep(args), draw=draw)


def run(plan, progress):
    """Carry out one run (planning.Plan), from the noisy labels to the files."""
    started = start.start_run(plan, {"dataset": "cifar10", **PUBLISHED, "bn_momentum": 0.99}, progress, SCHEDULE)
    settings, path, dataset, y_noisy, resumed = started.settings, plan.path, started.dataset, started.y_noisy, started.resumed
    if "epoch" in resumed:
        print(f"resuming at half {int(resumed['training']) + 1}, epoch {int(resumed['epoch']) + 1}", flush=True)
    memorise = Memorise(dataset, y_noisy, settings, progress, resumed, started.save_checkpoint)
    first, second = utils.halves(np.arange(len(y_noisy)), utils.rng(settings.seed, "halves"))
    y_pred, memorised, fractions, tested = np.full(len(y_noisy), -1), np.zeros(len(y_noisy), dtype=bool), [], []
    for number, (train_index, held_out) in enumerate([(first, second), (second, first)][:1 + settings.both_halves]):
        y_pred[held_out], fraction, *on_test = memorise(number, train_index, held_out)
        memorised[held_out] = fraction >= MEMORISED
        fractions.append(fraction)
        tested.append(dict(zip(("accuracy", "loss"), on_test, strict=True)))

    rows = y_pred >= 0
    table = {"index": started.index, "y": dataset.y_train, "y_noisy": y_noisy, "y_pred": y_pred, "memorised": memorised}
    table = {column: values[rows] for column, values in table.items()}
    comparison = compare_with_theory(table["y"], table["y_noisy"], table["y_pred"], settings.noise_pattern,
                                     settings.noise_ratio, dataset.num_classes, plan.transition)
    report(comparison, fractions, tested, progress, settings.augmentation)
    write_results(path, table, memorise.history, started.provenance() | {
        "accuracy_on_training_half": fractions, "memorised": bool(table["memorised"].all()), "test": tested, **comparison})
    checkpoint.remove_checkpoint(path)
    print(f"written: {path}.csv, .json, _history.csv, _history.png")


def report(comparison, fractions, tested, progress, augmentation):
    """Print what was measured beside theory, and whether theory applies."""
    names = {"accuracy": "agreement with held-out noisy labels", "LP": "label precision", "LR": "label recall"}
    shown = [f"{name} {noise.share(comparison['measured'][key])} ({comparison['theory'][key]:.3f})"
             for key, name in names.items()]
    largest, mean = comparison["M_minus_T"]["largest"], comparison["M_minus_T"]["mean"]
    progress.say(f"measured (theory): {', '.join(shown)}; |M - T| at most {largest:.3f}, mean {mean:.3f}")
    for number, on_test in enumerate(tested, start=1):
        progress.say(f"on the true labels of the test set, half {number}: accuracy {on_test['accuracy']:.3f}, loss "
                     f"{on_test['loss']:.3f}")
    if min(fractions) < MEMORISED:
        progress.say(f"not memorised: the network predicts {min(fractions):.3f} of its training labels, below {MEMORISED}, so "
                     f"theory does not apply yet; give more --epochs{' or --no_augmentation' if augmentation else ''}")


def write_results(path, table, history, provenance):
    """Write the files of a run; the JSON, by which it counts as finished, comes last."""
    import pandas as pd

    from incv.reporting import figures

    history, settings = pd.DataFrame(history), provenance["settings"]
    files.write_table(files.beside(path, ".csv"), pd.DataFrame(table))
    files.write_table(files.beside(path, "_history.csv"), history)
    files.write_whole(files.beside(path, "_history.png"), lambda file: figures.history(history, "half", settings, file))
    files.write_json(path, provenance)


if __name__ == "__main__":
    console.run_command("Verify_Theory.py", main)
