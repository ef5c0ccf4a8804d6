"""Write the ledger: what was measured on all of CIFAR-10, beside the published numbers, from the files of the runs.

    python ledger.py                        # updates table, figures and README.md of results/reference, or another folder
    python ledger.py --add FOLDER           # first adds the full-scale runs of FOLDER, another --results_dir

A run is at full scale if it has the published data, network, length and learning rates; runs with another precision, backend
or assumption have separate rows. --add copies JSON and CSVs of finished runs (large ones compressed), and the checkpoints of
unfinished runs to the subfolder unfinished/, with a JSON of their results so far. With that subfolder as --results_dir the
run resumes, and `--add results/reference/unfinished` moves it here when it is finished. Numbers without a run stay empty.
"""
import argparse
import gzip
import json
import shutil
from pathlib import Path

import pandas as pd

import command
import data
import figures
import INCV
import noise
import noisy_labels
import runs
import tables
import utils

MARKS = ("<!-- written by ledger.py -->", "# At full scale\n")  # how its page begins, in this version and the one before
LARGE = 2 ** 20  # bytes: CSVs of this size or more are compressed


def add(source, results_dir, data_dir):
    """Copy the full-scale runs of the results folder `source` to this one, and print which.

    Runs that were resumed and finished in the subfolder unfinished/ are moved with all their files.
    """
    found = tables.read_runs(source)
    for path in found.loc[found["full_scale"].astype(bool), "path"]:
        place = Path(results_dir) / path.relative_to(source)
        reason = _why_not(path, place)
        if reason:
            print(f"skipped: {path}: {reason}")
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        csv = runs.csv_of(path)
        content, compressed = csv.read_bytes(), csv.suffix == ".gz"
        if len(content) >= LARGE and not compressed:
            content, compressed = gzip.compress(content, mtime=0), True
        runs.remove_results(place)
        runs.write_whole(runs.beside(place, ".csv.gz" if compressed else ".csv"), lambda out: out.write(content))
        if runs.beside(path, "_history.csv").exists():
            shutil.copyfile(runs.beside(path, "_history.csv"), runs.beside(place, "_history.csv"))
        shutil.copyfile(runs.beside(path, ".json"), runs.beside(place, ".json"))
        if Path(source).resolve() == (Path(results_dir) / "unfinished").resolve():
            for file in runs.files_of(path):
                if file.exists() and file not in (csv, runs.beside(path, ".json")):
                    shutil.move(file, place.with_name(file.name))
            runs.remove_results(path)
        for left in unfinished_files(results_dir, path.relative_to(source)):
            left.unlink(missing_ok=True)
        print(f"added: {place}")
    for checkpoint in sorted(Path(source).glob("cifar10/*/*/*.checkpoint")):
        add_unfinished(checkpoint, source, results_dir, data_dir)


def _why_not(path, place):
    """Return why the finished run at `path` must not replace what is at `place`; "" if it may."""
    if not runs.beside(place, ".json").exists():
        return ""
    new, old = (json.loads(runs.beside(each, ".json").read_text()) for each in (path, place))
    if new["settings"] != old["settings"]:
        return f"{place} has other settings"
    return "" if new["finished"] > old["finished"] else f"{place} is as new"


def add_unfinished(checkpoint, source, results_dir, data_dir):
    """Copy a checkpoint, unless it is damaged, not of the paper's experiments, or older than the one that is there."""
    try:
        settings, arrays = runs.read_checkpoint(checkpoint)
    except runs.RunError as error:
        return print(f"skipped: {error}")
    path = checkpoint.with_name(checkpoint.name.removesuffix(".checkpoint"))
    if not is_of_the_paper(path, settings):
        return None
    relative = path.relative_to(source)
    copy, so_far = unfinished_files(results_dir, relative)
    if runs.beside(Path(results_dir) / relative, ".json").exists():
        return print(f"skipped: {checkpoint}: {Path(results_dir) / relative} is finished")
    if copy.exists() and float(runs.read_checkpoint(copy)[1]["wall_seconds"]) > float(arrays["wall_seconds"]):
        return print(f"skipped: {checkpoint}: {copy} is ahead of it")
    copy.parent.mkdir(parents=True, exist_ok=True)
    if copy.resolve() != checkpoint.resolve():
        shutil.copyfile(checkpoint, copy)
    runs.write_text(so_far, json.dumps(state_of(copy, data_dir), indent=2) + "\n")
    return print(f"added, unfinished: {copy}")


def is_of_the_paper(path, settings):
    """Return whether an unfinished run is one of the paper's: by its noise, with no options except precision and backend."""
    changed = runs.name_of_settings(path).removeprefix(f"_{settings.get('method')}")
    return (runs.name_of_noise(settings) in figures.PUBLISHED["INCV"]
            and not set(changed.split("_")) - {"", "bfloat16", "jax"})


def unfinished_files(results_dir, relative):
    """Return the paths of an unfinished run's checkpoint and of the JSON of its results so far."""
    path = Path(results_dir) / "unfinished" / relative
    return runs.beside(path, ".checkpoint"), path.with_name(f"so_far_{path.name}.json")


def state_of(checkpoint, data_dir):
    """Return how far an unfinished run is, by its checkpoint, and for INCV LP and LR of its finished trainings."""
    settings, arrays = runs.read_checkpoint(checkpoint)
    state = {"settings": settings, "sessions": json.loads(str(arrays["sessions"])),
             "wall_seconds": round(float(arrays["wall_seconds"]), 1)}
    if checkpoint.name.startswith("INCV_seed"):
        trainings = [arrays[name] for name in sorted(arrays) if name.startswith("finished")]
        state |= {"trainings": 2 * settings["iterations"], "epochs_of_the_next": int(arrays.get("epoch", 0)),
                  "finished_trainings": selections(settings, trainings, data_dir)}
    else:
        state |= {"epochs": int(arrays.get("epoch", 0)), "epochs_of_estimating_T": int(arrays.get("estimating", 0))}
    return state


def selections(settings, trainings, data_dir):
    """Return LP and LR of what each finished training of INCV selects from its held-out half, dicts for JSON.

    trainings: the probabilities that each returned; the algorithm is replayed with them.
    """
    dataset = data.load("cifar10", data_dir)
    _, _, y_noisy = noisy_labels.load(settings, dataset)
    found = []

    def train(train_index, held_out, removed, keep_best, iteration, half):
        if len(found) == len(trainings):
            raise StopIteration
        probabilities = trainings[len(found)]
        agree = probabilities[:len(held_out)].argmax(axis=1) == y_noisy[held_out]
        precision, recall = noise.precision_and_recall(dataset.y_train[held_out], y_noisy[held_out], agree)
        found.append({"iteration": iteration, "half": half, "trained_on": len(train_index), "held_out": len(held_out),
                      "selected": int(agree.sum()), "LP": precision, "LR": recall})
        return probabilities

    try:
        INCV.incv(y_noisy, dataset.num_classes, settings["noise_pattern"], train, settings["iterations"], settings["seed"])
    except StopIteration:
        pass
    return found


def draw(results_dir):
    """Redraw the figures of all full-scale runs from their files."""
    found = tables.read_runs(results_dir)
    found = found[found["full_scale"].astype(bool)]
    for run in found.itertuples():
        settings, history = run.provenance["settings"], runs.beside(run.path, "_history.csv")
        if run.script == "INCV":
            runs.write_whole(runs.beside(run.path, ".png"), lambda out: figures.precision_and_recall(run.provenance, out))
        if run.script == "INCV_main":
            runs.write_whole(runs.beside(run.path, ".png"), lambda out: figures.test_accuracy(
                pd.read_csv(runs.csv_of(run.path)), settings, "test accuracy", out))
        if history.exists():
            runs.write_whole(runs.beside(run.path, "_history.png"), lambda out: figures.history(
                pd.read_csv(history), "iteration" if run.script == "INCV" else "half", settings, out))
    theory = found.loc[found["script"] == "Verify_Theory", "path"]
    for folder, name in {(path.parent.parent, runs.name_of_settings(path)) for path in theory}:
        tables.draw_theory(folder, name)


def main():
    parser = command.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results_dir", nargs="?", default="results/reference", help="default: results/reference")
    parser.add_argument("--add", metavar="FOLDER", help="add the full-scale runs of this results folder")
    parser.add_argument("--data_dir", default="data", help="where CIFAR-10 is, for --add (default: data)")
    args = parser.parse_args()
    utils.print_any_text()
    for folder in (args.results_dir, args.add):
        if folder is not None and not (folder and Path(folder).is_dir()):
            parser.error(f"{folder!r}: no such folder")
    if args.add and Path(args.add).resolve() == Path(args.results_dir).resolve():
        parser.error(f"--add {args.add}: that is the ledger itself; give another folder")
    try:
        page = Path(args.results_dir) / "README.md"
        if page.exists() and not page.read_text(errors="replace").startswith(MARKS):
            raise runs.RunError(f"{page} was not written by this command, and is kept; give another results folder")
        if args.add:
            add(args.add, args.results_dir, args.data_dir)
        draw(args.results_dir)
        tables.write_accuracies(args.results_dir)
        runs.write_text(page, tables.ledger_page(args.results_dir))
    except (runs.RunError, data.DataError, OSError, json.JSONDecodeError) as error:
        parser.exit(2, f"ledger.py: {error}\n")
    print(f"written: {page}, table.md, table.csv and the figures")


if __name__ == "__main__":
    main()
