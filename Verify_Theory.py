"""Check by experiment what theory says of a network that has memorised noisy labels.

    python Verify_Theory.py --noise_pattern sym --noise_ratio 0.5
    python Verify_Theory.py --noise_pattern asym --noise_ratio 0.4
    python Verify_Theory.py --dataset digits --noise_pattern sym --noise_ratio 0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.0
    python Verify_Theory.py --dataset digits --noise_pattern asym --noise_ratio 0.2 0.4 --seed 0 1 2 --n_jobs 2 --threads 1

Section 3 of Chen, Liao, Chen, Zhang, *Understanding and Utilizing Deep Neural Networks Trained with Noisy Labels*, ICML
2019: the noisy training set is split in two, a network is trained on one half until it has memorised it, and asked for the
labels of the other. Its confusion matrix M there should be the noise's transition matrix T, from which follow its accuracy
against the noisy labels, and the precision and recall of trusting the labels that it predicts (`noise.theory`).
Writes a CSV of the held-out predictions and a JSON of provenance to results/(dataset)/(noise_pattern)/(noise_ratio)/ and,
from the CSVs of all runs found there, two figures to results/(dataset)/(noise_pattern)/.

Attains on the digits, over seeds 0 to 2, both halves, eleven ratios (half a minute a run on one CPU core): points on average
.028, .017, .054 (accuracy, LP, LR) off theory for sym, .018, .024, .047 for asym; benchmarks/theory.py computes this from
results/reference/.
"""
if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends quietly; run_command takes over

import functools
import json
import math
import time

import numpy as np

import command
import noise
import runs
import sweep
import utils

# Section 5 of the paper and the published code. The digits take a small network, and no augmentation: 750 digits, shifted
# anew in every epoch, are more than it can memorise in that many epochs (README), and then theory does not apply.
PUBLISHED = {"architecture": "resnet110", "epochs": 200, "batch_size": 128, "subset": None, "precision": "float32",
             "augmentation": True, "both_halves": False}
DEFAULTS = {"cifar10": PUBLISHED, "cifar100": PUBLISHED,
            "digits": PUBLISHED | {"architecture": "resnet8", "epochs": 100, "batch_size": 32, "augmentation": False}}
SCHEDULE = {"published_epochs": 200, "initial": 1e-3, "drops": {80: 1e-4, 120: 1e-5, 160: 1e-6, 180: 5e-7}}
MEMORISED = 0.95  # of the noisy labels a network was trained on it must give, un-augmented, before theory applies


# --- the experiment ---------------------------------------------------------------------------------------------------

def compare_with_theory(y, y_noisy, y_pred, noise_pattern, noise_ratio, num_classes):
    """Return what was measured on held-out samples beside what theory says of it (section 3), as a dict for JSON.

    y, y_noisy, y_pred: integers [n], the true, observed and predicted labels. Shares of nothing are None.
    """
    agree = y_pred == y_noisy
    precision, recall = noise.precision_and_recall(y, y_noisy, agree)
    expected = noise.theory(noise_pattern, noise_ratio, num_classes)
    transition = noise.transition_matrix(noise_pattern, noise_ratio, num_classes)
    difference = np.abs(noise.confusion_matrix(y, y_pred, num_classes) - transition)
    return {"measured": {"accuracy": float(agree.mean()), "LP": precision, "LR": recall},
            "theory": dict(zip(("accuracy", "LP", "LR"), expected)),
            "M_minus_T": {"largest": float(np.nanmax(difference)), "mean": float(np.nanmean(difference))}}


class Memorise:
    """Train a network on noisy labels until it has memorised them, and predict the samples it has not seen; resumable.

    dataset: data.Dataset; y_noisy: integers [n]; settings: this run's; progress: command.Progress; resumed: the arrays of
    the checkpoint to go on from, {} for none; save_checkpoint(**arrays) writes one after every epoch.
    A checkpoint holds what each finished half has returned (predicted0, memorised0, test_accuracy0, test_loss0 ...), the
    history as JSON, and of the half under way its number (training), how many epochs are done (epoch) and the state of
    network and Adam (state). history: a dict for every epoch, the rows of the run's _history.csv.
    """

    def __init__(self, dataset, y_noisy, settings, progress, resumed, save_checkpoint):
        import models
        import training

        network = models.build_for_run(settings, dataset, "weights")
        self.trainer, self.predictor = training.make_trainer(network, dataset.pixel_max, accuracy=True)
        self.initial_state = training.get_state(self.trainer)
        self.dataset, self.y_noisy, self.settings, self.progress = dataset, y_noisy, settings, progress
        self.resumed, self.save_checkpoint = resumed, save_checkpoint
        self.finished = {name: resumed[name] for name in resumed if name.startswith(("predicted", "memorised", "test"))}
        self.history = json.loads(str(resumed.get("history", "[]")))  # a checkpoint of version 0.1.0 has none

    def __call__(self, number, train_index, held_out):
        """Train the network of half `number`, 0 or 1, which decides the batches; both start from the same weights.

        Returns the predicted labels int64 [len(held_out)], the fraction of the labels of train_index that it predicts,
        un-augmented, its accuracy and its cross-entropy on the true test set (NaN for a half that version 0.1.0 finished).
        """
        import training

        dataset, y_noisy, settings, finished = self.dataset, self.y_noisy, self.settings, self.finished
        x, epochs, trainings = dataset.x_train, settings["epochs"], 1 + settings["both_halves"]
        shift, flip = (dataset.shift, dataset.flip) if settings["augmentation"] else (0, False)
        resumes = self.resumed.get("training") == number

        def show(epoch, done, loss, end_of_epoch=False):
            self.progress.show((number + (epoch + done / len(train_index)) / epochs) / trainings,
                               f"half {number + 1}/{trainings} epoch {epoch + 1}/{epochs} loss {loss:.3f}", end_of_epoch)

        def train_epoch(epoch, learning_rate):
            return training.train_epoch(
                self.trainer, x, y_noisy, train_index, utils.rng(settings["seed"], "memorise", number, epoch),
                settings["batch_size"], learning_rate, shift, flip, functools.partial(show, epoch))

        for epoch, learning_rate, means in () if f"predicted{number}" in finished else training.fit(
                self.trainer, epochs, SCHEDULE, train_epoch, int(self.resumed["epoch"]) if resumes else 0,
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
            float(finished.get(f"{name}{number}", math.nan)) for name in ("memorised", "test_accuracy", "test_loss"))

    def _results(self, number, predicted, train_index):
        """What a checkpoint holds of a finished half."""
        import training

        dataset, every = self.dataset, np.arange(len(self.dataset.y_test))
        of_training = training.predict(self.predictor, dataset.x_train, train_index).argmax(axis=1)
        of_test = training.predict(self.predictor, dataset.x_test, every)
        return {f"predicted{number}": predicted, f"memorised{number}": (of_training == self.y_noisy[train_index]).mean(),
                f"test_accuracy{number}": (of_test.argmax(axis=1) == dataset.y_test).mean(),
                f"test_loss{number}": -np.log(of_test[every, dataset.y_test].astype(float) + 1e-8).mean()}


# --- the command ------------------------------------------------------------------------------------------------------

def main():
    parser = command.parser(__doc__, DEFAULTS)
    parser.add_argument("--both_halves", action="store_true", default=None,
                        help="train a second network with the halves exchanged: every sample is held out once")
    augmentation = parser.add_mutually_exclusive_group()
    augmentation.add_argument("--augmentation", action="store_true", default=None,
                              help="train on shifted and, if photographs, mirrored images (default, but not for digits)")
    augmentation.add_argument("--no_augmentation", action="store_false", dest="augmentation", default=None,
                              help="train on the images as they are: few of them are memorised sooner")
    args, planned = command.plan("Verify_Theory", parser, DEFAULTS)
    drawn = [-math.inf]

    def draw(at_end):
        """The figures take seconds: not after every run of a sweep of small ones."""
        import tables

        if at_end or time.monotonic() - drawn[0] >= 60:
            tables.draw_theory(planned[0].path.parent.parent, runs.name_of_settings(planned[0].path))
            drawn[0] = time.monotonic()

    sweep.carry_out("Verify_Theory", run, planned, **command.how_to_sweep(args), draw=draw)


def run(plan, progress):
    """Carry out one run of the experiment (runs.Plan), from the noisy labels to the files."""
    settings, path = plan.settings, plan.path
    dataset, index, y_noisy, resumed, save_checkpoint, provenance = runs.begin(
        plan, {"dataset": "cifar10", **PUBLISHED, "bn_momentum": 0.99}, progress)
    if "epoch" in resumed:
        print(f"resuming at half {int(resumed['training']) + 1}, epoch {int(resumed['epoch']) + 1}", flush=True)
    memorise = Memorise(dataset, y_noisy, settings, progress, resumed, save_checkpoint)
    first, second = utils.halves(np.arange(len(y_noisy)), utils.rng(settings["seed"], "halves"))
    y_pred, memorised, shares, tested = np.full(len(y_noisy), -1), np.zeros(len(y_noisy), dtype=bool), [], []
    for number, (train_index, held_out) in enumerate([(first, second), (second, first)][:1 + settings["both_halves"]]):
        y_pred[held_out], share, *on_test = memorise(number, train_index, held_out)
        memorised[held_out] = share >= MEMORISED
        shares.append(share)
        # A half that version 0.1.0 had finished was not tested.
        tested.append(dict(zip(("accuracy", "loss"), on_test)) if math.isfinite(on_test[0]) else None)

    rows = y_pred >= 0
    table = {"index": index, "y": dataset.y_train, "y_noisy": y_noisy, "y_pred": y_pred, "memorised": memorised}
    table = {column: values[rows] for column, values in table.items()}
    comparison = compare_with_theory(table["y"], table["y_noisy"], table["y_pred"], settings["noise_pattern"],
                                     settings["noise_ratio"], dataset.num_classes)
    report(comparison, shares, tested, progress)
    write_results(path, table, memorise.history, provenance() | {
        "accuracy_on_training_half": shares, "memorised": bool(table["memorised"].all()), "test": tested, **comparison})
    runs.remove_checkpoint(path)
    print(f"written: {path}.csv, .json, _history.csv, _history.png")


def report(comparison, shares, tested, progress):
    """Say what was measured and what theory says, and whether theory applies."""
    names = {"accuracy": "test accuracy", "LP": "label precision", "LR": "label recall"}
    shown = [f"{name} {noise.share(comparison['measured'][key])} ({comparison['theory'][key]:.3f})"
             for key, name in names.items()]
    largest, mean = comparison["M_minus_T"]["largest"], comparison["M_minus_T"]["mean"]
    progress.say(f"measured (theory): {', '.join(shown)}; |M - T| at most {largest:.3f}, mean {mean:.3f}")
    for number, on_test in enumerate(tested, start=1):
        if on_test:
            progress.say(f"on the true labels of the test set, half {number}: accuracy {on_test['accuracy']:.3f}, loss "
                         f"{on_test['loss']:.3f}")
    if min(shares) < MEMORISED:
        progress.say(f"not memorised: the network gives back {min(shares):.3f} of the labels it was trained on, below "
                     f"{MEMORISED}: theory does not apply yet; give more --epochs or --no_augmentation")


def write_results(path, table, history, provenance):
    """Write the run's files; its JSON comes last, so that a run is finished when it is there."""
    import pandas as pd

    import figures

    history = pd.DataFrame(history)
    runs.write_table(runs.beside(path, ".csv"), pd.DataFrame(table))
    runs.write_table(runs.beside(path, "_history.csv"), history)
    runs.write_whole(runs.beside(path, "_history.png"), lambda file: figures.history(
        history, "half", provenance["settings"], file))
    runs.write_text(runs.beside(path, ".json"), json.dumps(provenance, indent=2) + "\n")


if __name__ == "__main__":
    command.run_command("Verify_Theory.py", main)
