"""Simulate how often the interval of the number of wrong labels holds it, by model, kind of noise and number of samples.

    python -m incv.benchmarks.coverage                    # 300 and 1,000 samples: 100 simulations each
    python -m incv.benchmarks.coverage --samples 10000    # logistic regression and naive Bayes: 20 each
    python -m incv.benchmarks.coverage --samples 100000   # the same: 5 each

Five classes of Gaussians, further apart in every second simulation. logistic regression: one Gaussian each, of equal
covariance, so that the model is the true one. naive Bayes: each feature is measured four times, so that its assumption of
independence is wrong and it is overconfident. random forest and network (scikit-learn's, of 32 hidden units): two Gaussians
each. A tenth, a fifth or three tenths of the labels are wrong, in turn: sym (any other class), asym (the next class) or sample
(each sample's own flip rate and class, `flipped_by_sample` of benchmarks/label_issues.py). Without runs with permuted labels.
Finished simulations, the rows of (--results_dir)/coverage.csv, are not repeated; the table is written to coverage.md beside
it. The estimates were chosen on seeds from 1,000 on, which are not reported.
"""
import argparse
import os
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

from incv import noise
from incv.benchmarks.label_issues import flipped_by_sample
from incv.label_issues import find_label_issues
from incv.runner import files, options

CLASSES, FEATURES, RATIOS, SPREADS, NOISES = 5, 10, (0.1, 0.2, 0.3), (0.7, 1), ("sym", "asym", "sample")
# {name: (classifier, Gaussians per class, how often each feature is measured)}
MODELS = {"logistic regression": (LogisticRegression(max_iter=1000), 1, 1), "naive Bayes": (GaussianNB(), 1, 4),
          "random forest": (RandomForestClassifier(50, random_state=0), 2, 1),
          "network": (MLPClassifier(32, max_iter=150, random_state=0), 2, 1)}
SIMULATIONS = {300: (100, list(MODELS)), 1000: (100, list(MODELS)), 10000: (20, list(MODELS)[:2]),
               100000: (5, list(MODELS)[:2])}


def simulated(model_name, kind, samples, seed):
    """Return (samples float [n, d], true labels int [n], given labels int [n])."""
    generator, (_, modes, times) = np.random.default_rng(seed), MODELS[model_name]
    y = generator.integers(CLASSES, size=samples)
    centres = SPREADS[seed % len(SPREADS)] * generator.normal(size=(CLASSES, modes, FEATURES))
    x = centres[y, generator.integers(modes, size=samples)] + generator.normal(size=(samples, FEATURES))
    x = np.tile(x, (1, times)) + (times > 1) * 0.3 * generator.normal(size=(samples, times * FEATURES))
    ratio = RATIOS[seed % len(RATIOS)]
    given = flipped_by_sample(x, y, ratio, generator) if kind == "sample" else noise.flip_labels(
        y, noise.transition_matrix(kind, ratio, CLASSES), generator)
    return x, y, given


def simulate(model_name, kind, samples, seed):
    """Return the row of one simulation."""
    warnings.simplefilter("ignore")
    x, y, given = simulated(model_name, kind, samples, seed)
    table = find_label_issues(None, given, MODELS[model_name][0], noise_pattern="asym" if kind == "asym" else "sym", seed=seed,
                              features=x, permutations=0)
    found = table.attrs["verdict"]
    return {"model": model_name, "noise": kind, "samples": samples, "seed": seed, "actually_wrong": int((given != y).sum()),
            **{name: found[name] for name in ("wrong", "wrong_low", "wrong_high", "right")}}


def table(found):
    """Return a DataFrame with a row per model, noise and number of samples, of a DataFrame of `simulate`'s rows.

    intervals: how many verdicts have one; covered: the fraction of these that hold the number of wrong labels; bias (of the
    estimate) and width: means in percent of the samples.
    """
    given = found[found["wrong"].notna()].astype({name: float for name in ("wrong", "wrong_low", "wrong_high")})
    given = given.assign(
        covered=(given["wrong_low"] <= given["actually_wrong"]) & (given["actually_wrong"] <= given["wrong_high"]),
        bias=100 * (given["wrong"] - given["actually_wrong"]) / given["samples"],
        width=100 * (given["wrong_high"] - given["wrong_low"]) / given["samples"])
    keys = ["model", "noise", "samples"]
    cells = given.groupby(keys, sort=False).agg(intervals=("covered", "size"), covered=("covered", "mean"),
                                                bias=("bias", "mean"), width=("width", "mean"))
    simulations = found.groupby(keys, sort=False).agg(simulations=("seed", "size"))
    return simulations.join(cells).reset_index().sort_values("samples", kind="stable")


def main():
    seed, count = options.number(int, 0), options.number(int, 1)
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", nargs="+", type=int, default=[300, 1000], choices=SIMULATIONS, metavar="N",
                        help="300, 1000, 10000 or 100000 (default: 300 1000)")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS, help="default: all")
    parser.add_argument("--seeds", nargs="+", type=seed, metavar="N", help="default: from 0 on")
    parser.add_argument("--n_jobs", type=count, default=os.cpu_count(), metavar="N", help="default: all cores")
    parser.add_argument("--results_dir", default="results", metavar="DIR", help="default: results")
    args = parser.parse_args()
    file, keys = Path(args.results_dir) / "coverage.csv", ["model", "noise", "samples", "seed"]
    file.parent.mkdir(parents=True, exist_ok=True)
    found = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=keys)
    done = set(found[keys].itertuples(index=False, name=None))
    tasks = [(model, kind, samples, seed) for samples in args.samples for model in SIMULATIONS[samples][1]
             for kind in NOISES for seed in args.seeds or range(SIMULATIONS[samples][0]) if model in args.models]
    tasks = [task for task in tasks if task not in done]
    finished = joblib.Parallel(n_jobs=args.n_jobs, batch_size=1, return_as="generator")(
        joblib.delayed(simulate)(*task) for task in tasks)
    for number, row in enumerate(finished, start=1):
        found = pd.concat([found, pd.DataFrame([row])], ignore_index=True)
        files.write_table(file, found)
        print(f"{number}/{len(tasks)} {row['model']}, {row['noise']}, {row['samples']} samples, seed {row['seed']}: "
              f"{row['actually_wrong']} wrong, {row['wrong']} ({row['wrong_low']} to {row['wrong_high']})", file=sys.stderr,
              flush=True)
    files.write_text(file.with_suffix(".md"), table(found).to_markdown(index=False, floatfmt=".2f") + "\n")
    print(f"written: {file}")


if __name__ == "__main__":
    main()
