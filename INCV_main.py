"""Clean a noisy dataset by INCV, then train networks that its noise cannot fool.

    python INCV_main.py --noise_pattern sym --noise_ratio 0.5 --dataset cifar10
    python INCV_main.py --noise_pattern asym --noise_ratio 0.4 --dataset cifar10
    python INCV_main.py --noise_pattern sym --noise_ratio 0.5 --dataset digits
    python INCV_main.py --noise_pattern sym --noise_ratio 0.5 --dataset digits --method standard

Section 4 of Chen, Liao, Chen, Zhang, *Understanding and Utilizing Deep Neural Networks Trained with Noisy Labels*, ICML
2019: Algorithm 1 (INCV.py) selects samples, Algorithm 2, a modified Co-teaching, trains two networks on them, and after a
warm-up on the remaining candidates too. A finished INCV result of the same settings is taken up. --method standard trains
one network on all the noisy labels, for comparison. Writes a CSV of every epoch, a JSON of provenance and the networks to
results/(dataset)/(noise_pattern)/(noise_ratio)/.
"""
if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends quietly; run_command takes over

import json
import math
import zipfile
from pathlib import Path

import numpy as np

import command
import data
import INCV
import noise
import runs
import sweep
import utils

# Section 5 of the paper and the published code. incv_epochs and iterations are INCV's.
PUBLISHED = {"method": "incv", "architecture": "resnet32", "epochs": 200, "batch_size": 128, "incv_epochs": 50,
             "iterations": 4, "subset": None, "precision": "float32"}
DEFAULTS = {"cifar10": PUBLISHED, "cifar100": PUBLISHED,
            "digits": PUBLISHED | {"architecture": "plain14", "epochs": 100, "batch_size": 32, "incv_epochs": 12}}
SCHEDULE = {"published_epochs": 200, "initial": 1e-3, "drops": {80: 1e-4, 120: 1e-5, 160: 1e-6, 180: 5e-7}}
METHODS = ("incv", "standard")
ONLY_FOR = {"incv_epochs": ["incv"], "iterations": ["incv"]}  # settings that the other methods do not have


# --- the two ways to train --------------------------------------------------------------------------------------------

def warm_up(noise_pattern, ratio):
    """E_w: up to this epoch of 200 batches hold selected samples alone. ratio: as estimated by INCV."""
    return 80 if noise_pattern == "asym" or ratio > 0.6 else 40


def make_coteaching(dataset, y_noisy, selection, settings):
    """Return (trainer, networks, train_epoch, samples an epoch passes over) of modified Co-teaching (Algorithm 2).

    selection: (select bool [n], candidate bool [n], estimated noise ratio) of INCV.
    train_epoch(epoch, generator, rate, after_batch) returns {column: value} for the CSV.
    """
    select, candidate, ratio = selection
    if not select.any():
        raise runs.RunError("INCV has selected nothing to train on; try another --seed, or more --incv_epochs")
    noise_left = noise.noise_left(ratio, settings["noise_pattern"], dataset.num_classes)
    epochs, batch_size = settings["epochs"], settings["batch_size"]
    if utils.samples_to_keep(min(batch_size, select.sum()), noise_left, epochs - 1, epochs) == 0:
        raise runs.RunError(f"INCV estimates a noise ratio of {ratio:.3f}, by which none of the {select.sum()} labels it "
                            f"has selected is right: nothing is left to train on; try another --seed, or more --incv_epochs")
    networks = [make_network(dataset, settings, number) for number in (1, 2)]
    coteacher = utils.make_coteacher(networks, dataset.pixel_max)
    last_of_warm_up = utils.scaled_epoch(warm_up(settings["noise_pattern"], ratio), epochs, 200)

    def train_epoch(epoch, generator, rate, after_batch):
        def keep(size):
            return utils.samples_to_keep(size, noise_left, epoch, epochs)

        joined = np.flatnonzero(candidate) if epoch > last_of_warm_up else np.array([], dtype=int)
        found = utils.coteach_epoch(
            coteacher, dataset.x_train, y_noisy, y_noisy == dataset.y_train, np.flatnonzero(select), joined, generator,
            batch_size, rate, keep, dataset.shift, dataset.flip, after_batch)
        return {"keep": keep(batch_size), **found}

    return coteacher, networks, train_epoch, int(select.sum())


def make_standard(dataset, y_noisy, settings):
    """Return (trainer, networks, train_epoch) of plain training on all the noisy labels, as `make_coteaching`."""
    network = make_network(dataset, settings, 1)
    trainer, _ = utils.make_trainer(network, dataset.pixel_max)

    def train_epoch(epoch, generator, rate, after_batch):
        loss = utils.train_epoch(trainer, dataset.x_train, y_noisy, np.arange(len(y_noisy)), generator,
                                 settings["batch_size"], rate, dataset.shift, dataset.flip,
                                 lambda done, _: after_batch(done))
        return {"keep": settings["batch_size"], "loss_1": loss}

    return trainer, [network], train_epoch, len(y_noisy)


def make_network(dataset, settings, number):
    """Network 1 or 2, each with initial weights of its own."""
    import models

    coteaching = settings["method"] == "incv"
    return models.ARCHITECTURES[settings["architecture"]](
        dataset.x_train.shape[1:], dataset.num_classes, momentum=settings["bn_momentum"],
        seed=utils.rng(settings["seed"], "weights of network", number).integers(2 ** 32),
        dtype="mixed_bfloat16" if settings["precision"] == "bfloat16" else "float32",
        masked=coteaching and settings["engine"] == "jax")


# --- the command ------------------------------------------------------------------------------------------------------

def main():
    parser = command.parser(__doc__, DEFAULTS)
    parser.add_argument("--method", choices=METHODS, help="incv, or standard: plain training on all the noisy labels "
                        "(default: incv)")
    parser.add_argument("--incv_epochs", type=command.number(int, 1), metavar="N",
                        help="of each training of INCV (default: 50; for digits 12)")
    parser.add_argument("--predict", metavar="FILE.npz", help="train nothing: write what the saved networks of this run say "
                        "of the images x in FILE.npz (raw pixels, as the dataset's)")
    args, planned = command.plan("INCV_main", parser, DEFAULTS, lambda args: [
        option for option, methods in ONLY_FOR.items() if (args.method or "incv") not in methods])
    if args.predict is not None:
        if len(planned) > 1:
            parser.error("--predict is for the networks of one run: give one --noise_ratio and one --seed")
        return predict(args, *planned[0])
    sweep.carry_out("INCV_main", args, planned, lambda at_end: summary(args, planned) if at_end else None)


def summary(args, planned):
    """Bring the table of all finished runs up to date, and print this command's part of it where it has several runs."""
    import table

    table.write(args.results_dir)
    done = [runs.beside(path, ".csv") for _, path in planned if runs.beside(path, ".json").exists()]
    for ratio in dict.fromkeys(args.noise_ratio):
        last = [table.last_accuracies(file) for file in done if file.parent.name == str(ratio)]
        if len(last) > 1:
            print(f"{args.dataset}, {args.noise_pattern} {ratio}, {len(last)} runs: test accuracy "
                  f"{np.mean(last, axis=0)[0]:.2f} ± {np.std(last, axis=0, ddof=1)[0]:.2f} %")


def run(args, settings, path, progress):
    """One run of the experiment, from the noisy labels to the trained networks."""
    selection, training = None, progress
    if settings["method"] == "incv":
        # By the number of passes over the samples, two networks scored and trained against one.
        share = settings["incv_epochs"] * settings["iterations"] / (
            settings["incv_epochs"] * settings["iterations"] + 1.5 * settings["epochs"])
        selection = select(args, settings, progress.part(0, share))
        training = progress.part(share, 1)
    dataset, index, y_noisy, resumed, save_checkpoint, provenance = runs.begin(
        args, settings, path, {"dataset": "cifar10", **PUBLISHED, "bn_momentum": 0.99})
    if resumed:
        print(f"resuming at epoch {int(resumed['epoch']) + 1}", flush=True)
    trainer, networks, train_epoch, samples = (
        make_coteaching(dataset, y_noisy, selection, settings) if selection else make_standard(dataset, y_noisy, settings))
    predictors = [utils.make_predictor(network, dataset.pixel_max) for network in networks]
    history = train(dataset, settings, path, trainer, predictors, train_epoch, samples, training, resumed, save_checkpoint)
    last = history[-1]
    progress.say("test accuracy of the last epoch: " + ", ".join(
        f"{name} {last[key]:.4f}" for key, name in (("accuracy_1", "network 1"), ("accuracy_2", "network 2"),
                                                    ("accuracy_mean", "their mean"), ("accuracy_pair", "averaged pair"))
        if key in last))
    save(path, networks, settings, dataset, provenance() | {"last_epoch": last})
    runs.remove_checkpoint(path)
    print(f"written: {path}.csv, .json, .png, {' '.join(f'_network{n}.keras' for n in range(1, len(networks) + 1))}")


def select(args, settings, progress):
    """INCV's (select, candidate, estimated noise ratio) for this run: a finished result, or one that is made now."""
    import pandas as pd

    chosen = {option: settings["incv_epochs"] if option == "epochs" else settings[option] for option in INCV.PUBLISHED}
    wanted, path = command.one_run("INCV", args, settings["noise_ratio"], settings["seed"], chosen, INCV.DEFAULTS)
    wanted["threads"] = settings["threads"]
    with runs.locked(path):
        if runs.finished(path, wanted):
            print(f"taking up {path}.csv", flush=True)
        else:
            INCV.run(args, wanted, path, progress)
    table = pd.read_csv(runs.beside(path, ".csv"))
    return table["select"].to_numpy(), table["candidate"].to_numpy(), float(table["eval_ratio"].iloc[0])


def train(dataset, settings, path, trainer, predictors, train_epoch, samples, progress, resumed, save_checkpoint):
    """Train to the last epoch, from the checkpoint if there is one; return the CSV's rows, one dict an epoch.

    samples: how many samples an epoch passes over.
    """
    import pandas as pd

    epochs, history = settings["epochs"], json.loads(str(resumed.get("history", "[]")))
    if resumed:
        utils.set_state(trainer, resumed["state"])
    for epoch in range(len(history), epochs):
        rate = utils.learning_rate(epoch, epochs, **SCHEDULE)
        if epoch and rate != utils.learning_rate(epoch - 1, epochs, **SCHEDULE):
            utils.restart_optimizer(trainer)
        accuracy = history[-1]["accuracy_mean"] if history else math.nan

        def after_batch(done, end_of_epoch=False):
            progress.show((epoch + done / samples) / epochs,
                          f"{settings['method']} epoch {epoch + 1}/{epochs} test acc {accuracy:.3f}", end_of_epoch)

        found = train_epoch(epoch, utils.rng(settings["seed"], settings["method"], epoch), rate, after_batch)
        if not all(math.isfinite(value) for value in found.values()):
            raise runs.RunError(f"the loss is not finite in epoch {epoch + 1}: training diverged; try another --seed or "
                                f"--precision float32")
        history.append({"epoch": epoch + 1, "learning_rate": rate, **found, **test_accuracies(dataset, predictors)})
        runs.write_table(runs.beside(path, ".csv"), pd.DataFrame(history))
        if epoch + 1 < epochs:
            save_checkpoint(epoch=epoch + 1, state=utils.get_state(trainer), history=json.dumps(history))
        accuracy = history[-1]["accuracy_mean"]
        after_batch(samples, end_of_epoch=True)
    return history


def test_accuracies(dataset, predictors):
    """Of each network, their mean, and of the two averaged, on the true test labels."""
    every = np.arange(len(dataset.y_test))
    probabilities = [utils.predict(predictor, dataset.x_test, every) for predictor in predictors]

    def accuracy(predicted):
        return float((predicted.argmax(axis=1) == dataset.y_test).mean())

    each = {f"accuracy_{number}": accuracy(predicted) for number, predicted in enumerate(probabilities, start=1)}
    pair = {"accuracy_pair": accuracy(np.mean(probabilities, axis=0))} if len(probabilities) == 2 else {}
    return {**each, "accuracy_mean": float(np.mean(list(each.values()))), **pair}


def predict(args, settings, path):
    """Write the labels and probabilities that a finished run's networks, averaged, give to the images of a file."""
    import pandas as pd

    x = read_images(args.predict, data.SHAPES[settings["dataset"]])
    files = [runs.beside(path, f"_network{number}.keras") for number in range(1, 3 if settings["method"] == "incv" else 2)]
    missing = [file for file in files if not file.exists()]
    if missing or not runs.finished(path, settings):
        raise runs.RunError(f"{missing[0] if missing else path}: no finished networks; give the same command first "
                            f"without --predict (where a result is there without its networks, with --overwrite)")
    utils.start_engine(args.threads or utils.default_threads(settings["dataset"]), args.gpu_id)
    import keras

    probabilities = np.mean([keras.models.load_model(file).predict(x, batch_size=500, verbose=0) for file in files], axis=0)
    table = pd.DataFrame(probabilities, columns=[f"p{label}" for label in range(probabilities.shape[1])])
    table.insert(0, "label", probabilities.argmax(axis=1))
    target = runs.beside(path, f"_predictions_{Path(args.predict).stem}.csv")
    runs.write_table(target, table)
    print(f"written: {target}")


def read_images(file, shape):
    """The array x of an .npz file as float32 [n, *shape]. Raises RunError for anything else; no object is unpickled."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            x = np.asarray(arrays["x"])
            x = x.reshape(len(x), *shape) if x.shape[1:] in (shape, shape[:2] if shape[2] == 1 else shape) else x
            x = x.astype(np.float32)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise runs.RunError(f"{file}: no .npz file with an array x ({type(error).__name__}: {error})") from None
    if x.shape[1:] != shape or not len(x) or not np.isfinite(x).all():
        raise runs.RunError(f"{file}: x has shape {x.shape}; needed are finite numbers of shape (n, "
                            f"{', '.join(map(str, shape))})")
    return x


def save(path, networks, settings, dataset, provenance):
    """Write the networks and, last, the JSON: a run is finished when it is there."""
    import pandas as pd

    import figures
    import models

    history = pd.read_csv(runs.beside(path, ".csv"))
    runs.write_whole(runs.beside(path, ".png"), lambda file: figures.test_accuracy(history, settings, file))
    for number, network in enumerate(networks, start=1):
        models.save_network(runs.beside(path, f"_network{number}.keras"), network, settings["architecture"],
                            dataset.pixel_max)
    runs.write_text(runs.beside(path, ".json"), json.dumps(provenance, indent=2) + "\n")


if __name__ == "__main__":
    command.run_command("INCV_main.py", main)
