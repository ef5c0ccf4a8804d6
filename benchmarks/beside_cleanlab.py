"""Compare the label issues of INCV and cleanlab, on the same noisy data with the same network and epochs.

    python benchmarks/beside_cleanlab.py                                  # digits: sym 0.2, sym 0.5, asym 0.4; five seeds
    python benchmarks/beside_cleanlab.py --dataset cifar10 --subset 5000 --epochs 20 --iterations 2 --seeds 1 --n_jobs 1

cleanlab (pip install cleanlab; Northcutt et al. 2021, arXiv 1911.00068) uses out-of-fold probabilities of a five-fold
cross-validation of INCV's network, with its augmentation, learning rate and batches, after the last epoch, and its
default rule. Prints precision, recall and F1 of the flipped labels found, and the seconds on --threads cores, mean and
standard deviation over the seeds; writes the table to (--results_dir)/(dataset)/beside_cleanlab.md.
"""
import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import command  # noqa: E402
import data  # noqa: E402
import INCV  # noqa: E402
import noise  # noqa: E402
import report  # noqa: E402
import utils  # noqa: E402

SETTINGS = [("sym", 0.2), ("sym", 0.5), ("asym", 0.4)]
FOLDS = 5


def noisy(args, pattern, ratio, seed):
    """Return (data.Dataset, noisy labels, settings) of the run of INCV.py with these options."""
    dataset = data.load(args.dataset, args.data_dir)
    settings = INCV.DEFAULTS[args.dataset] | {"seed": seed, "subset": args.subset} | {
        option: getattr(args, option) for option in ("epochs", "iterations") if getattr(args, option)}
    if args.subset:
        dataset = data.part(dataset, data.class_balanced_subset(dataset.y_train, args.subset, utils.rng(seed, "subset")))
    settings["bn_momentum"] = utils.momentum_for(len(dataset.y_train))
    transition = noise.transition_matrix(pattern, ratio, dataset.num_classes)
    return dataset, noise.flip_labels(dataset.y_train, transition, utils.rng(seed, "noise")), settings


def errors_by_incv(dataset, y_noisy, settings, pattern):
    """Return the label issues of INCV, bool [n]."""
    train = INCV.Train(dataset, y_noisy, settings, command.Progress(quiet=True), {}, lambda **_: None)
    selection = INCV.incv(y_noisy, dataset.num_classes, pattern, train, settings["iterations"], settings["seed"])
    return report.label_issues(selection, y_noisy, None, np.arange(len(y_noisy)))["suspect"].to_numpy()


def errors_by_cleanlab(dataset, y_noisy, settings):
    """Return the label issues of cleanlab, bool [n]."""
    from cleanlab.filter import find_label_issues
    from sklearn.model_selection import StratifiedKFold

    train = INCV.Train(dataset, y_noisy, settings, command.Progress(quiet=True), {}, lambda **_: None)
    probabilities = np.empty((len(y_noisy), dataset.num_classes))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=settings["seed"]).split(y_noisy, y_noisy)
    for number, (train_index, held_out) in enumerate(folds):
        iteration, half = number // 2 + 1, number % 2 + 1  # what decides the batches' order
        probabilities[held_out] = train(train_index, held_out, np.empty(0, int), False, iteration, half)
    return find_label_issues(y_noisy, probabilities, n_jobs=1)


def compare(args, pattern, ratio, seed):
    """Return {method: (precision, recall, F1, seconds)} of one noisy dataset."""
    utils.start_backend(args.threads)
    dataset, y_noisy, settings = noisy(args, pattern, ratio, seed)
    wrong, found = y_noisy != dataset.y_train, {}
    for method, find in (("INCV", lambda: errors_by_incv(dataset, y_noisy, settings, pattern)),
                         ("cleanlab", lambda: errors_by_cleanlab(dataset, y_noisy, settings))):
        begun = time.monotonic()
        errors = find()
        seconds, hit = time.monotonic() - begun, (wrong & errors).sum()
        found[method] = hit / max(1, errors.sum()), hit / wrong.sum(), 2 * hit / (errors.sum() + wrong.sum()), seconds
    print(f"{pattern} {ratio}, seed {seed}: " + "; ".join(
        f"{method} precision {p:.3f} recall {r:.3f} F1 {f:.3f}, {s:.0f} s" for method, (p, r, f, s) in found.items()),
        file=sys.stderr, flush=True)
    return found


def markdown(args, outcomes):
    """Return the table. outcomes: {(pattern, ratio): [{method: numbers}, one per seed]}."""
    import cleanlab

    def cell(values, digits):
        spread = f"±{np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{np.mean(values):.{digits}f}{spread}"

    name = args.dataset + (f", {args.subset} images" if args.subset else "")
    lines = [f"| {name} | method | precision | recall | F1 | seconds |", "|---|---|---|---|---|---|"]
    for (pattern, ratio), found in outcomes.items():
        for method in found[0]:
            shown = f"cleanlab {cleanlab.__version__}" if method == "cleanlab" else method
            numbers = np.array([each[method] for each in found]).T
            lines.append(f"| {pattern} {ratio} | {shown} | " + " | ".join(
                cell(values, 0 if place == 3 else 3) for place, values in enumerate(numbers)) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", choices=sorted(data.SIZES))
    parser.add_argument("--data_dir")
    parser.add_argument("--subset", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--n_jobs", type=int, default=os.cpu_count(), help=f"default: all cores, here {os.cpu_count()}")
    parser.add_argument("--threads", type=int, default=1, help="of each (default: 1)")
    parser.add_argument("--results_dir", default="results", help="default: results")
    args = parser.parse_args()
    import joblib

    tasks = [(pattern, ratio, seed) for pattern, ratio in SETTINGS for seed in range(args.seeds)]
    results = joblib.Parallel(n_jobs=args.n_jobs, batch_size=1)(joblib.delayed(compare)(args, *task) for task in tasks)
    outcomes = {}
    for (pattern, ratio, _), found in zip(tasks, results):
        outcomes.setdefault((pattern, ratio), []).append(found)
    table = markdown(args, outcomes)
    folder = Path(args.results_dir) / args.dataset
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "beside_cleanlab.md").write_text(table)
    print(table, end="")


if __name__ == "__main__":
    main()
