"""Measure label issues where samples belong together: halves by rows, halves by groups, cross-validation of both kinds.

    python -m incv.benchmarks.groups                        # rows of patients: seeds 0 to 7, five split seeds each
    python -m incv.benchmarks.groups --sets pictures        # digits, each drawn eight times: seeds 0 to 2, one split seed each
    python -m incv.benchmarks.groups --sets "600 pictures"  # the same with four times as many

Patients: 120 of 10 rows of 20 features, in 2 and 4 classes; every patient has one given label, wrong for 15 % of them, and its
rows lie close together. Pictures: 150 digits of scikit-learn, or 600, each drawn eight times with shifts of at most a pixel,
15 % of the originals mislabelled, and the project's network. Every method ranks rows by margin, and groups by the mean margin
of their rows; F1 is of rows. Finished settings, the rows of (--results_dir)/groups.csv, are not repeated; the tables are
written to groups.md beside it.
"""
import argparse
import functools
import os
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incv import utils
from incv.benchmarks.label_issues import differences
from incv.checking import grouping
from incv.label_issues import find_label_issues
from incv.runner import files, options

FOLDS, WRONG = 5, 0.15
CLASSIFIERS = {"logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
               "forest of 100": RandomForestClassifier(100, random_state=0)}


# --- samples that belong together -------------------------------------------------------------------------------------

def patients(seed, classes, number=120, rows=10, features=20):
    """Return x float [n, features], given labels int [n], which are wrong bool [n], the patient of each row int [n]."""
    generator = np.random.default_rng(seed)
    true = generator.integers(0, classes, number)
    means = generator.normal(size=(classes, features))
    means *= 2.2 / np.linalg.norm(means, axis=1, keepdims=True)
    centres = means[true] + 0.72 * generator.normal(size=(number, features))
    wrong = generator.random(number) < WRONG
    patient = np.repeat(np.arange(number), rows)
    x = centres[patient] + 0.3 * generator.normal(size=(number * rows, features))
    return x, np.where(wrong, (true + 1) % classes, true)[patient], wrong[patient], patient


def pictures(seed, classes=10, number=150, times=8):
    """Return images float32 [n, 8, 8, 1], and the others as `patients`: a group is one digit, drawn several times."""
    generator, digits = np.random.default_rng(seed), load_digits()
    chosen = generator.choice(len(digits.target), number, replace=False)
    true, wrong, original = digits.target[chosen], generator.random(number) < WRONG, np.repeat(np.arange(number), times)
    given = np.where(wrong, (true + generator.integers(1, classes, number)) % classes, true)
    x = np.array([np.roll(digits.images[chosen[each]], generator.integers(-1, 2, 2), axis=(0, 1)) for each in original])
    return (x[..., None] / 16).astype(np.float32), given[original], wrong[original], original


# {set: (function of seed and number of classes, numbers of classes, models, seeds, number of split seeds)}
SETS = {"patients": (patients, (2, 4), list(CLASSIFIERS), range(8), 5),
        "pictures": (pictures, (10,), ["plain14"], range(3), 1),
        "600 pictures": (functools.partial(pictures, number=600), (10,), ["plain14"], range(3), 1)}


# --- methods ----------------------------------------------------------------------------------------------------------

def by_ours(x, given, model, seed, groups):
    table = find_label_issues(x, given, model, seed=seed, groups=groups)
    return table["issue"].to_numpy(), table["margin"].to_numpy(), table.attrs["verdict"]


def by_cross_validation(x, given, model, seed, groups):
    """Return (argmax differs, margin, no verdict) of five folds, by rows or by groups."""
    folds = (StratifiedKFold if groups is None else StratifiedGroupKFold)(FOLDS, shuffle=True, random_state=seed)
    p = cross_val_predict(model, x, given, cv=folds, method="predict_proba", groups=groups)
    return p.argmax(axis=1) != given, differences(given, p), {}


def compare(of_set, classes, model_name, seed, split_seed):
    """Return the rows of one setting, one per method."""
    warnings.simplefilter("ignore")
    x, given, wrong, groups = SETS[of_set][0](seed, classes)
    model, methods = CLASSIFIERS.get(model_name), {"ours": by_ours}
    if model is None:
        utils.start_backend(1)
        from incv import models

        model = lambda: models.build(model_name, x.shape[1:], classes, momentum=0.9)  # noqa: E731
    else:
        methods["five folds, argmax"] = by_cross_validation
    rows = []
    for method, find in methods.items():
        for by, given_groups in (("rows", None), ("groups", groups)):
            issues, margins, verdict = find(x, given, model, split_seed, given_groups)
            mean, hits = grouping.mean(groups, margins)[groups], (issues & wrong).sum()
            rows.append({
                "set": of_set, "classes": classes, "model": model_name, "seed": seed, "split_seed": split_seed,
                "method": method, "by": by, "recall": hits / wrong.sum(), "f1": 2 * hits / (issues.sum() + wrong.sum()),
                "average_precision": average_precision_score(wrong, margins),
                "average_precision_of_groups": average_precision_score(wrong, mean), "wrong_groups": len(set(groups[wrong])),
                **{name: verdict.get(name) for name in ("outcome", "wrong", "wrong_low", "wrong_high")}})
    return rows


def tables(found):
    """Return the Markdown of all tables. found: DataFrame of `compare`'s rows."""
    numbers, text = ["recall", "f1", "average_precision", "average_precision_of_groups"], []
    for of_set, rows in found.groupby("set", sort=False):
        seeds = ", ".join(map(str, sorted(rows["seed"].unique())))
        means = rows.groupby(["model", "method", "by"], sort=False)[numbers].mean().reset_index()
        text += [f"**{of_set}**: {' and '.join(map(str, rows['classes'].unique()))} classes, seeds {seeds}, "
                 f"{rows['split_seed'].nunique()} split seeds each", "", means.to_markdown(index=False, floatfmt=".3f"), ""]
    ours = found[(found["method"] == "ours") & (found["by"] == "groups")]
    low, high = ours["wrong_low"].astype(float), ours["wrong_high"].astype(float)  # None where nothing follows
    covered = ((low <= ours["wrong_groups"]) & (ours["wrong_groups"] <= high)).sum()
    counts = ", ".join(f"{outcome} {number}" for outcome, number in ours["outcome"].value_counts().items())
    text += [f"Verdicts by groups: {counts}; the interval holds the number of wrong groups in {covered} of {len(ours)}.", ""]
    return "\n".join(text)


def main():
    seed, count = options.number(int, 0), options.number(int, 1)
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["patients"], choices=SETS, help="default: patients")
    parser.add_argument("--seeds", nargs="+", type=seed, metavar="N", help="default: those of the set, 0 to 7 and 0 to 2")
    parser.add_argument("--split_seeds", type=count, metavar="N", help="how many (default: those of the set, 5 and 1)")
    parser.add_argument("--n_jobs", type=count, default=os.cpu_count(), metavar="N", help="default: all cores")
    parser.add_argument("--results_dir", default="results", metavar="DIR", help="default: results")
    args = parser.parse_args()
    file, keys = Path(args.results_dir) / "groups.csv", ["set", "classes", "model", "seed", "split_seed"]
    file.parent.mkdir(parents=True, exist_ok=True)
    found = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=keys)
    done = set(found[keys].itertuples(index=False, name=None))
    tasks = [(name, classes, model, seed, split_seed) for name in args.sets for classes in SETS[name][1]
             for model in SETS[name][2] for seed in args.seeds or SETS[name][3]
             for split_seed in range(args.split_seeds or SETS[name][4])]
    tasks = [task for task in tasks if task not in done]
    finished = joblib.Parallel(n_jobs=args.n_jobs, batch_size=1, return_as="generator")(
        joblib.delayed(compare)(*task) for task in tasks)
    for number, rows in enumerate(finished, start=1):
        found = pd.concat([found, pd.DataFrame(rows)], ignore_index=True)
        files.write_table(file, found)
        print(f"{number}/{len(tasks)} {rows[0]['model']}, {rows[0]['classes']} classes, seed {rows[0]['seed']}: F1 by rows "
              f"{rows[0]['f1']:.3f}, by groups {rows[1]['f1']:.3f}", file=sys.stderr, flush=True)
    files.write_text(file.with_suffix(".md"), tables(found))
    print(f"written: {file}")


if __name__ == "__main__":
    main()
