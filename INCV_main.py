"""Clean a noisy dataset with INCV, then train networks that are robust to the noise that is left.

    python INCV_main.py --noise_pattern sym --noise_ratio 0.5 --dataset cifar10
    python INCV_main.py --noise_pattern asym --noise_ratio 0.4 --dataset cifar10
    python INCV_main.py --noise_pattern sym --noise_ratio 0.5 --dataset digits
    python INCV_main.py --noise_pattern sym --noise_ratio 0.5 --dataset digits --method standard coteaching
    python INCV_main.py --dataset PATH

Section 4 of Chen, Liao, Chen, Zhang, *Understanding and Utilizing Deep Neural Networks Trained with Noisy Labels*,
ICML 2019: Algorithm 1 (INCV.py) selects samples; Algorithm 2, a modified Co-teaching, trains two networks on them and, after
a warm-up, on the remaining candidates too. A finished INCV result of the same settings is reused, one of other settings with
--selection. --method runs the compared methods (methods.py) instead; standard trains one network on all noisy labels. Writes a
row per epoch (CSV), provenance (JSON), test accuracy (PNG) and the networks to
results/(dataset)/(noise_pattern)/(noise_ratio)/.

Results on digits (test accuracy, mean ± s.d. of 5 seeds, three minutes or more each on one CPU core): 98.28±0.93 % for sym
0.5, where standard training has 73.33±4.35; 92.59±3.63 for asym 0.4 (80.94±2.84). `python -m incv.reporting.tables
results/reference` computes them.
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
import re
import sys
from pathlib import Path

import numpy as np

from incv import INCV, data, noise, registry, utils
from incv.checking import grouping, last_pass
from incv.custom_data import decisions, group_names, load
from incv.runner import checkpoint, console, custom_network, files, options, planning, predict, start, sweep

# Section 5 of the paper and the published code. incv_epochs and iterations are INCV's.
PUBLISHED = {"method": "incv", "architecture": "resnet32", "epochs": 200, "batch_size": 128, "learning_rate": 1e-3,
             "incv_epochs": 50, "iterations": 4, "subset": None, "precision": "float32", "assumed_ratio": None,
             "score_in_inference": None, "transition": "estimated", "label_issues": False, "patience": None}
SMALL = PUBLISHED | {"architecture": "plain14", "epochs": 100, "batch_size": 32, "incv_epochs": 12}
TABLE = SMALL | {"architecture": "dense"}
FEATURES = SMALL | {"architecture": "linear", "incv_epochs": INCV.FEATURES["epochs"]}
DEFAULTS = {"cifar10": PUBLISHED, "cifar100": PUBLISHED, "digits": SMALL,  # those of custom datasets as in INCV.py
            "images": PUBLISHED | INCV.CHECKED | {"incv_epochs": INCV.EPOCHS["images"], "batch_size": utils.batch_for,
                                                  "patience": utils.patience_for},
            "small_images": SMALL | INCV.CHECKED | {"incv_epochs": INCV.EPOCHS["small"], "patience": utils.patience_for},
            "table": TABLE | INCV.CHECKED | {"incv_epochs": INCV.EPOCHS["small"]},
            "published_features": FEATURES, "features": FEATURES | INCV.CHECKED}
# The published loop drops the learning rate, and restarts Adam, in epochs 80, 120, 160 and 180, counted from 0. The callbacks
# of INCV and of the theory drop it one epoch later, in epoch 81 for 80.
SCHEDULE = {"published_epochs": 200, "initial": 1e-3, "drops": {80: 1e-4, 120: 1e-5, 160: 1e-6, 180: 5e-7},
            "inclusive": True}
LAST_EPOCHS = 10  # of which other papers report the mean
TEST_DATA = "test data"  # what a run is tested on, if its dataset has a test set


# --- Algorithm 2 ------------------------------------------------------------------------------------------------------

def warm_up(noise_pattern, ratio):
    """Return E_w, the last epoch (of 200) in which batches hold selected samples only. ratio: as estimated by INCV."""
    return 80 if noise.pattern(noise_pattern).pairwise or ratio > 0.6 else 40


def make_coteaching(dataset, y_noisy, selection, settings, make_network):
    """Return modified Co-teaching (Algorithm 2) as a methods.Method. For each batch of selected samples S (coteaching.py):

    1. after the warm-up (`warm_up`), B_C candidates join it (`coteaching.candidates_per_batch`);
    2. each network scores all samples of the batch by their cross-entropy, in inference mode;
    3. each network trains on the n(e) samples with the smallest loss under the *other* network
       (`coteaching.make_coteacher`; n(e): `coteaching.samples_to_keep`, by ε_S, `noise.noise_left`).

    Adam starts afresh where the learning rate drops (`SCHEDULE`).

    selection: (select bool [n], candidate bool [n], estimated noise ratio) of INCV; make_network: of methods.Stage.
    """
    from incv import coteaching, fast_path, methods

    select, candidate, ratio = selection
    advice = ("try another --seed or a larger --incv_epochs" if settings.selection is None else
              "give the --selection of an INCV.py run of another --seed or more --epochs")
    if not select.any():
        raise utils.UserError(f"INCV selected no samples to train on; {advice}")
    pattern = noise.treated_as(settings)
    noise_left = noise.noise_left(ratio, pattern, dataset.num_classes)
    epochs, batch_size = settings.epochs, settings.batch_size
    kept_at_last = coteaching.samples_to_keep(min(batch_size, int(select.sum())), noise_left, epochs - 1, epochs)
    if kept_at_last == 0:
        raise utils.UserError(f"INCV estimates a noise ratio of {ratio:.3f}, so that none of the {select.sum()} selected "
                              f"labels is expected to be clean; {advice}")
    networks = [make_network(number, masked=fast_path.compiles_for_one_shape()) for number in (1, 2)]
    coteacher = coteaching.make_coteacher(networks, dataset.pixel_max)
    last_of_warm_up = utils.scaled_epoch(warm_up(pattern, ratio), epochs, 200)
    num_selected, num_candidates = int(select.sum()), int(candidate.sum())
    derived = {"noise_left": noise_left, "selected": num_selected, "candidates": num_candidates,
               "candidates_per_batch": coteaching.candidates_per_batch(num_selected, num_candidates, batch_size),
               "keep_in_last_epoch": kept_at_last, "last_epoch_of_warm_up": last_of_warm_up}

    def train_epoch(epoch, generator, learning_rate, after_batch):
        def keep(size):
            return coteaching.samples_to_keep(size, noise_left, epoch, epochs)

        joined = np.flatnonzero(candidate) if epoch > last_of_warm_up else np.array([], dtype=int)
        found = coteaching.coteach_epoch(coteacher, dataset, y_noisy, np.flatnonzero(select), joined, generator, batch_size,
                                         learning_rate, keep, after_batch)
        return {"keep": keep(batch_size), **found}

    return methods.Method(coteacher, networks, train_epoch, num_selected, derived=derived)


# --- training and testing, for all methods ----------------------------------------------------------------------------

def train(method, predictors, started, path, progress):
    """Train a methods.Method to the last epoch, or resume it; return the rows of the CSV, a dict per epoch.

    predictors: of `training.make_predictor`, one for each network, which is tested after each epoch; started: start.Started.

    A checkpoint holds the epochs done (epoch), the state of networks and Adam (state), the rows of the CSV as JSON (history)
    and what else the method remembers.
    """
    import pandas as pd

    from incv import training

    settings, dataset, resumed = started.settings, started.dataset, started.resumed
    epochs, history = settings.epochs, json.loads(str(resumed.get("history", "[]")))

    def show(epoch, done, end_of_epoch=False):
        accuracy = history[-1]["accuracy_mean"] if history else math.nan
        progress.show((epoch + done / method.samples) / epochs,
                      f"{settings.method} epoch {epoch + 1}/{epochs} test acc {accuracy:.3f}", end_of_epoch)

    def train_epoch(epoch, learning_rate):
        generator = utils.rng(settings.seed, settings.method, epoch)
        return method.train_epoch(epoch, generator, learning_rate, functools.partial(show, epoch))

    for epoch, learning_rate, found in training.fit(
            method.trainer, epochs, utils.schedule(SCHEDULE, settings), train_epoch, len(history), resumed.get("state"),
            restart_at_drops=True):
        history.append({"epoch": epoch + 1, "learning_rate": learning_rate, **found,
                        **accuracies(predictors, dataset.x_test, dataset.y_test)})
        files.write_table(files.beside(path, ".csv"), pd.DataFrame(history))
        if epoch + 1 < epochs:
            started.save_checkpoint(epoch=epoch + 1, state=training.get_state(method.trainer), history=json.dumps(history),
                                    **method.remembered())
        show(epoch, method.samples, end_of_epoch=True)
    return history


def accuracies(predictors, x, y):
    """Return the accuracy of each network on samples and labels, their mean, and that of a pair's averaged probabilities."""
    from incv import training

    probabilities = [training.predict(predictor, x, np.arange(len(y))) for predictor in predictors]

    def accuracy(predicted):
        return float((predicted.argmax(axis=1) == y).mean())

    each = {f"accuracy_{number}": accuracy(predicted) for number, predicted in enumerate(probabilities, start=1)}
    pair = {"accuracy_pair": accuracy(np.mean(probabilities, axis=0))} if len(probabilities) == 2 else {}
    return {**each, "accuracy_mean": float(np.mean(list(each.values()))), **pair}


def what_others_report(history, tested_on):
    """Return the accuracies that other papers report beside those of the last epoch, for a run's JSON.

    history: of `train`; tested_on: what its accuracies are on. best_epoch is chosen by them, which no user without true labels
    can do; mean_of_last_epochs is of the last ten, or all if there are fewer.
    """
    names = [name for name in history[-1] if name.startswith("accuracy_")]
    best = max(history, key=lambda row: row["accuracy_mean"])  # the first of several
    last = history[-LAST_EPOCHS:]
    return {"best_epoch": {"chosen_on": tested_on, "epoch": best["epoch"], **{name: best[name] for name in names}},
            "mean_of_last_epochs": {"epochs": len(last), **{
                name: float(np.mean([row[name] for row in last])) for name in names}}}


def hold_out(dataset, y_noisy, selection, seed):
    """Hold out a tenth of the samples, whatever their labels, to test on, where the dataset has no test set.

    Groups are not divided. Returns (data.Dataset, y_noisy, selection) of the other samples; the test labels are noisy ones.
    selection: INCV's, or None.
    """
    generator = utils.rng(seed, "held out for testing")
    if dataset.groups is None:
        held_out, rest = np.split(generator.permutation(len(y_noisy)), [-(-len(y_noisy) // 10)])
    else:
        held_out = grouping.tenth(generator, group_names.numbers(dataset.groups))
        rest = np.setdiff1d(np.arange(len(y_noisy)), held_out)
    rest = np.sort(rest)
    tested = dataclasses.replace(dataset, x_test=np.asarray(dataset.x_train[held_out]), y_test=y_noisy[held_out])
    if selection:
        selected, candidate, ratio = selection
        selection = selected[rest], candidate[rest], ratio
    return data.part(tested, rest), y_noisy[rest], selection


def name_of_test(tested_on):
    """Return the display name of a run's accuracy. tested_on: as in its JSON."""
    return "test accuracy" if tested_on == TEST_DATA else "agreement with held-out labels"


# --- the selection that robust training starts from --------------------------------------------------------------------

def with_selection(plan, file):
    """Return the planning.Plan of a run that trains on the selection in a CSV of INCV.py; UserError if the file is none."""
    path = Path(re.sub(r"\.csv(\.gz)?$", "", file)).absolute()
    try:
        provenance = files.read_json(path)
        of_incv = provenance["settings"]
        if of_incv.method:  # of INCV_main.py
            raise ValueError
        # The file may have been renamed: what else differs from the published INCV is recorded here.
        differs = sorted(set(provenance["differs_from_published"]) - {"dataset", "precision", "epochs", "iterations"})
        settings = plan.settings.having(
            incv_epochs=of_incv.epochs, iterations=of_incv.iterations, patience=of_incv.patience, selection=path.name,
            selection_differs=" ".join(differs), selection_checksum=files.checksum(files.checked(path)))
    except (OSError, ValueError, KeyError, TypeError):
        raise utils.UserError(f"--selection {file}: not the .csv of a finished run of INCV.py, with its .json beside "
                              f"it") from None
    of_labels = ["dataset", "noise_pattern", "noise_ratio", "label_set", "subset"]
    of_labels += ["seed"] * (settings.noise_ratio is not None)  # labels as given are the same for all seeds
    for name in of_labels:
        if getattr(of_incv, name) != getattr(settings, name):
            raise utils.UserError(f"--selection {file}: from other labels, of {name} {getattr(of_incv, name)} instead of "
                                  f"{getattr(settings, name)}; give the same --{name} as to INCV.py")
    name = re.sub(r"[^\w.-]+", "-", path.name.removeprefix("INCV_"))
    path_of_run = files.beside(plan.path, f"_selection_{name}")
    files.check_names(path_of_run)
    return dataclasses.replace(plan, settings=settings, path=path_of_run, selection=path)


def plan_of_incv(plan):
    """Return the planning.Plan of the INCV.py run whose selection a run of robust training uses."""
    settings = plan.settings
    chosen = {option: getattr(settings, "incv_epochs" if option == "epochs" else option) for option in INCV.PUBLISHED}
    noisy = {name: getattr(settings, name) for name in planning.DETAILS if name in settings.names}
    source = dataclasses.replace(plan.source, test_list=None, test_images=None)
    settings, path = planning.one_run("INCV", source, noisy, settings.seed, settings.threads, chosen, INCV.DEFAULTS,
                                      INCV.SCHEDULE, plan.results_dir)
    return dataclasses.replace(plan, settings=settings, path=path, source=source)


def select(plan, progress):
    """Return INCV's (select, candidate, estimated noise ratio), of a finished result or a new run, and its labels as text."""
    if plan.selection is None:
        path = _path_of_finished(plan, progress)
    else:
        path = plan.selection
        print(f"reusing {path}.csv{files.how_written(path)}", flush=True)
    table = files.read_csv(path, {"y_noisy": str, "select": bool, "candidate": bool, "eval_ratio": files.Fraction})
    if plan.selection is not None and files.checksum(files.csv_of(path)) != plan.settings.selection_checksum:
        raise utils.UserError(f"{path}.csv: changed since the command started; rerun the same command")
    select, candidate = (table[column].to_numpy() for column in ("select", "candidate"))
    return (select, candidate, float(table["eval_ratio"][0])), table["y_noisy"].to_numpy(dtype=str)


def check_labels(plan, labels, expected):
    """Raise UserError if the labels of a selection, as text, are not those expected, of the run that is to use it."""
    if np.array_equal(labels, expected) or np.array_equal(labels, [decisions.harmless(label) for label in expected.tolist()]):
        return
    if plan.selection is not None:
        raise utils.UserError(f"--selection {plan.selection}.csv: not a selection from the labels of this run; run INCV.py on "
                              f"these labels")
    raise utils.UserError(f"{plan_of_incv(plan).path}.csv: not a selection from these labels; repeat with --overwrite")


def _path_of_finished(plan, progress):
    """Return the path of the finished INCV run of `plan_of_incv`, carried out if need be."""
    of_incv = plan_of_incv(plan)
    path = of_incv.path
    with files.locked(path):
        try:
            finished = files.is_finished(path, of_incv.settings)
        except files.OtherSettings:  # after the labels were corrected, for example
            if not plan.overwrite:
                raise
            sweep.remove_result(path)
            finished = False
        if finished:
            print(f"reusing {path}.csv{files.how_written(path)}", flush=True)
        else:
            files.say_replaced(path)
            with checkpoint.reporting_damage(path):
                INCV.run(of_incv, progress)
    return path


# --- the command ------------------------------------------------------------------------------------------------------

def main():
    parser = options.parser(__doc__, DEFAULTS, custom=True)
    parser.add_argument("--method", nargs="+", choices=[*registry.METHODS, "all"], metavar="METHOD",
                        help=f"{', '.join(registry.METHODS)} or all; standard: one network on all noisy labels (default: "
                        "incv)")
    parser.add_argument("--assumed_ratio", type=options.number(float, 0, 1), metavar="RATIO", help="noise ratio that "
                        "coteaching and mentornet assume (default: the true one)")
    parser.add_argument("--score_in_inference", action="store_true", default=None, help="coteaching and mentornet select "
                        "samples as Algorithm 2 does: by losses in inference mode, with batch statistics of the kept samples "
                        "alone (default: in the training pass)")
    parser.add_argument("--transition", choices=("estimated", "true"), help="transition matrix of f_correction (default: "
                        "estimated)")
    parser.add_argument("--incv_epochs", type=options.number(int, 1), metavar="N",
                        help="epochs of each training of INCV (default: 50; for digits 12; "
                        "for custom datasets as many as make enough steps)")
    parser.add_argument("--selection", metavar="FILE", help="the .csv of a finished INCV run with the same labels, such as "
                        "one with another backend or precision: train on what it selected")
    parser.add_argument("--test_list", metavar="FILE", help="for lists of pictures: another list of the same columns, whose "
                        "pictures the networks are tested on (default: a tenth of the samples is held out)")
    parser.add_argument("--test_images", metavar="DIR", help="the folder that the names in --test_list begin in (default: "
                        "--images, else that of the list)")
    parser.add_argument("--predict", metavar="FILE.npz", help="do not train: write what the saved networks of the run predict "
                        "for the samples x in FILE.npz or in an .npy (raw pixels, like the dataset's), for another table, "
                        "folder, image or list of pictures")
    args, planned = planning.plan("INCV_main", parser, DEFAULTS, SCHEDULE, registry.METHODS)
    needing = [method for method in args.method if registry.METHODS[method]["needs_ratio"]]
    ratio_known = planned[0].settings.noise_ratio is not None
    if needing and not ratio_known and args.assumed_ratio is None:
        parser.error(f"--method {' '.join(needing)} needs the noise ratio, which is unknown here: give --assumed_ratio")
    if not ratio_known and args.transition == "true":
        parser.error("--transition true: the true transition matrix is unknown here; remove the option")
    if args.selection is not None:
        if len(planned) > 1 or args.method != ["incv"]:
            parser.error("--selection is for one run of --method incv: give one --noise_ratio and one --seed")
        for option in ("incv_epochs", "iterations", "patience"):
            if getattr(args, option) is not None:
                parser.error(f"--{option} cannot be combined with --selection, whose INCV run has its own: remove it")
        planned = [with_selection(planned[0], args.selection)]
    if args.predict is not None:
        if len(planned) > 1:
            parser.error("--predict uses the networks of one run: give one --noise_ratio, --seed and --method")
        return predict.write_predictions(args.predict, planned[0])
    for plan in planned:  # a run that was interrupted while INCV selected keeps the number of threads it has there
        if args.threads is None and plan.settings.method == "incv" and plan.selection is None:
            args.threads = checkpoint.threads_of_checkpoint(plan_of_incv(plan).path)
    sweep.carry_out("INCV_main", run, planned, **planning.how_to_sweep(args),
                    draw=lambda at_end: summarize(planned) if at_end else None)


def summarize(planned):
    """Update the table of all finished runs; print mean and s.d. of this command's runs of each setting."""
    from incv.reporting import tables

    try:
        tables.write_accuracies(planned[0].results_dir)
    except utils.UserError as error:  # a table of the user's own; the runs are finished
        print(f"INCV_main.py: {error}", file=sys.stderr, flush=True)
    found = {}
    for plan in planned:
        try:
            tested_on, accuracy = files.read_json(plan.path)["tested_on"], tables.accuracies_of_run(plan.path)[0]
        except tables.DAMAGE:  # or not finished
            continue
        settings = plan.settings
        name = f"{settings.dataset}, {files.name_of_noise(settings)}, {settings.method}"
        found.setdefault((name, name_of_test(tested_on)), []).append(accuracy)
    for (name, tested), last in found.items():
        if len(last) > 1:
            print(f"{name}, {len(last)} runs: {tested} {np.mean(last):.2f} ± {np.std(last, ddof=1):.2f} %")


def run(plan, progress):
    """Carry out one run (planning.Plan): select, start, train, write."""
    load.check_test(plan.source)
    selection, labels, before = None, None, fraction_before(plan)
    if plan.settings.method == "incv":
        selection, labels = select(plan, progress.part(0, before))
    published = {"dataset": "cifar10", **PUBLISHED, "bn_momentum": 0.99, "selection": None, "selection_differs": ""}
    started = start.start_run(plan, published, progress, SCHEDULE)
    if labels is not None:
        check_labels(plan, labels, start.as_written(started.dataset, started.y_noisy))
    started, selection, tested_on = with_test_data(started, selection)
    tell_where_it_resumes(started)

    from incv import training

    method = make_method(plan, started, selection, progress.part(0, before))
    predictors = [training.make_predictor(network, started.dataset.pixel_max) for network in method.networks]
    history = train(method, predictors, started, plan.path, progress.part(before, 1))

    found = what_others_report(history, tested_on)
    tell_accuracies(history[-1], found, tested_on, progress)
    found |= {"accuracy_on_noisy_training_labels": accuracies(predictors, started.dataset.x_train, started.y_noisy)}
    last = {key: value if math.isfinite(value) else None for key, value in history[-1].items()}
    derived = {"derived": method.derived} if method.derived else {}
    write_results(plan.path, method.networks, started, started.provenance() | {
        "tested_on": tested_on, **derived, "last_epoch": last, **found})
    checkpoint.remove_checkpoint(plan.path)


def fraction_before(plan):
    """Return the fraction of a run that precedes the last training; an epoch of Co-teaching counts as 1.5 of INCV."""
    settings = plan.settings
    if settings.method == "incv":
        if plan.selection is not None:
            return 0
        rates = utils.learning_rates(settings.incv_epochs, utils.schedule(INCV.SCHEDULE, settings))
        passes = last_pass.PASSES + last_pass.FOLDS - 1 if settings.label_issues else 0  # in trainings on all samples
        of_incv = utils.expected_epochs(rates, settings.patience) * (settings.iterations + passes)
        return of_incv / (of_incv + 1.5 * settings.epochs)
    return 0.5 if settings.transition == "estimated" else 0


def with_test_data(started, selection):
    """Return (start.Started, selection, what is tested on), where need be with samples held out for testing (`hold_out`)."""
    if started.dataset.x_test is not None:
        return started, selection, TEST_DATA
    dataset, y_noisy, selection = hold_out(started.dataset, started.y_noisy, selection, started.settings.seed)
    started = dataclasses.replace(started, dataset=dataset, y_noisy=y_noisy)
    return started, selection, f"the labels of {len(dataset.y_test)} held-out samples"


def tell_where_it_resumes(started):
    """Print where a run (start.Started) resumes, if it does."""
    resumed = started.resumed
    if not resumed:
        return
    estimating = "estimating" in resumed
    done = int(resumed["estimating" if estimating else "epoch"])
    print("resuming after the estimate of T" if estimating and done == started.settings.epochs else
          f"resuming at epoch {done + 1}" + (" of the estimate of T" if estimating else ""), flush=True)


def make_method(plan, started, selection, progress):
    """Return the methods.Method of a run, ready to train, and print what Algorithm 2 derives from a selection."""
    from incv import methods
    from incv.runner import networks

    settings, dataset, y_noisy = started.settings, started.dataset, started.y_noisy
    stage = methods.Stage(
        resumed=started.resumed, save_checkpoint=started.save_checkpoint, progress=progress,
        schedule=utils.schedule(SCHEDULE, settings),
        make_network=functools.partial(networks.build_for_run, settings, dataset, "weights of network"),
        transition=noise.true_transition(settings, dataset.num_classes, plan.transition))
    if not selection:
        return getattr(methods, settings.method)(dataset, y_noisy, settings, stage)
    method = make_coteaching(dataset, y_noisy, selection, settings, stage.make_network)
    progress.say("expected noise among the selected ε_S {noise_left:.3f}, selected |S| {selected}, candidates |C| "
                 "{candidates}, candidates per batch B_C {candidates_per_batch}, kept per batch in the last epoch n(e) "
                 "{keep_in_last_epoch}, last epoch of the warm-up E_w {last_epoch_of_warm_up}".format(**method.derived))
    return method


def tell_accuracies(last, found, tested_on, progress):
    """Print the accuracies of the last epoch and those `what_others_report`."""
    names = {"accuracy_1": "network 1", "accuracy_2": "network 2", "accuracy_mean": "mean", "accuracy_pair": "averaged pair"}
    names = names if "accuracy_2" in last else {"accuracy_1": "network 1"}
    progress.say(f"{name_of_test(tested_on)} of the last epoch: " + ", ".join(
        f"{name} {last[key]:.4f}" for key, name in names.items()))
    best, mean = found["best_epoch"], found["mean_of_last_epochs"]
    progress.say(f"as others report it: best epoch, chosen on these labels, {best['accuracy_mean']:.4f} (epoch "
                 f"{best['epoch']}); mean of the last {utils.many(mean['epochs'], 'epoch')} {mean['accuracy_mean']:.4f}")


def write_results(path, networks, started, provenance):
    """Write the figure and the networks and, last, the JSON, by which a run counts as finished."""
    import pandas as pd

    from incv import models
    from incv.reporting import figures

    history, settings, pixel_max = pd.read_csv(files.beside(path, ".csv")), started.settings, started.dataset.pixel_max
    architecture = None if custom_network.is_file(settings.architecture) else settings.architecture
    files.write_whole(files.beside(path, ".png"), lambda file: figures.test_accuracy(
        history, settings, name_of_test(provenance["tested_on"]), file))
    for number, network in enumerate(networks, start=1):
        with utils.native_stderr_silenced():  # on JAX too, Keras imports TensorFlow to write a file, if it is installed
            models.save_network(files.beside(path, f"_network{number}.keras"), network, pixel_max, architecture)
    files.write_json(path, provenance)
    print(f"written: {path}.csv, .json, .png, "
          f"{', '.join(f'_network{number}.keras' for number in range(1, len(networks) + 1))}")


if __name__ == "__main__":
    console.run_command("INCV_main.py", main)
