"""The ledger: what was measured on all of CIFAR-10, each number beside the published one, from the files of the runs.

    python ledger.py                        # results/reference, or another folder: redraws its table, figures and README.md
    python ledger.py --add FOLDER           # first takes up the full-scale runs of FOLDER, another --results_dir

A run is at full scale that has the published data, network and length; where its precision, engine or assumptions are
others, it has rows of its own that say so. --add copies a finished run's JSON and CSV (compressed if it is large), and the
checkpoint of an unfinished one to the subfolder unfinished/, with a JSON of what it has found so far; with that subfolder as
its --results_dir the run resumes, and `--add results/reference/unfinished` moves it here once it is finished. Numbers are
empty where there is no run.
"""
import argparse
import gzip
import json
import re
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

import data
import figures
import INCV
import noise
import runs
import table

LARGE = 2 ** 20  # bytes of a CSV from which on it is compressed
# What may differ from the published experiment at full scale; each makes rows of its own.
VARIANTS = {"precision", "assumed_ratio", "transition"}


# --- the runs ---------------------------------------------------------------------------------------------------------

def full_scale(provenance):
    """Whether a run (its JSON) has the data, network, length and learning rates of the published one."""
    settings, differs = provenance["settings"], set(provenance["differs_from_published"]) - VARIANTS - {"method"}
    return settings["dataset"] == "cifar10" and not differs and (
        "method" not in settings or runs.is_of_this_schedule(settings))


def variant(provenance):
    """What of a full-scale run is not as published, "" where all is."""
    return ", ".join(table.what_differs(provenance))


def finished(results_dir, script):
    """[(provenance, path)] of the finished full-scale runs of a script, path as of `runs.result_path`."""
    found = []
    for file in sorted(Path(results_dir).glob(f"cifar10/*/*/{script}_seed*.json")):
        provenance = json.loads(file.read_text())
        if "finished" in provenance and full_scale(provenance):
            found.append((provenance, file.with_name(file.name.removesuffix(".json"))))
    return found


# --- taking up runs ---------------------------------------------------------------------------------------------------

def add(source, results_dir, data_dir):
    """Copy the full-scale runs of the results folder `source` into this one; say which.

    Those finished in its subfolder unfinished/, where they were resumed, are moved with all their files.
    """
    for script in ("INCV", "INCV_main", "Verify_Theory"):
        for _, path in finished(source, script):
            place = Path(results_dir) / path.relative_to(source)
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
            print(f"taken up: {place}")
    for checkpoint in sorted(Path(source).glob("cifar10/*/*/*.checkpoint")):
        take_up_unfinished(checkpoint, source, results_dir, data_dir)


def take_up_unfinished(checkpoint, source, results_dir, data_dir):
    """Copy a checkpoint, unless it is damaged, not of the paper's experiments, or behind what is there already."""
    try:
        settings, arrays = runs.read_checkpoint(checkpoint)
    except runs.RunError as error:
        return print(f"passed over: {error}")
    path = checkpoint.with_name(checkpoint.name.removesuffix(".checkpoint"))
    if not published_but_for_engine(path, settings):
        return None
    relative = path.relative_to(source)
    copy, so_far = unfinished_files(results_dir, relative)
    if runs.beside(Path(results_dir) / relative, ".json").exists():
        return print(f"passed over: {checkpoint}: {Path(results_dir) / relative} is finished")
    if copy.exists() and float(runs.read_checkpoint(copy)[1]["wall_seconds"]) > float(arrays["wall_seconds"]):
        return print(f"passed over: {checkpoint}: {copy} is ahead of it")
    copy.parent.mkdir(parents=True, exist_ok=True)
    if copy.resolve() != checkpoint.resolve():
        shutil.copyfile(checkpoint, copy)
    runs.write_text(so_far, json.dumps(state_of(copy, data_dir), indent=2) + "\n")
    return print(f"taken up, unfinished: {copy}")


def published_but_for_engine(path, settings):
    """Whether an unfinished run is one of the paper's: by its noise, with no options but of precision and engine."""
    changed = runs.name_of_settings(path).removeprefix(f"_{settings.get('method')}")
    return ((settings["noise_pattern"], settings["noise_ratio"]) in figures.PUBLISHED_INCV
            and not set(changed.split("_")) - {"", "bfloat16", "jax"})


def unfinished_files(results_dir, relative):
    """Where an unfinished run's checkpoint is, and the JSON of what it has found (no name of a finished run's)."""
    path = Path(results_dir) / "unfinished" / relative
    return runs.beside(path, ".checkpoint"), path.with_name(f"so_far_{path.name}.json")


def state_of(checkpoint, data_dir):
    """How far an unfinished run is, from its checkpoint, and of INCV how good the finished trainings' selections are."""
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
    """LP and LR of what each finished training of INCV selects of its held-out half, as dicts for JSON.

    trainings: the probabilities that each has returned. The algorithm is replayed over them; LP and LR are those of the
    half: the clean share of the selected, and the selected share of the clean.
    """
    dataset = data.load("cifar10", data_dir)
    _, _, y_noisy = runs.noisy_labels(None, settings, dataset)
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


# --- the page ---------------------------------------------------------------------------------------------------------

def beside_published(values, published):
    """Cells: "0.951±0.002" of several values (without the s.d. of one, "" of none), the published value, the difference."""
    if not values:
        return ["", f"{published:.3f}", ""]
    spread = f"±{np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return [f"{np.mean(values):.3f}{spread}", f"{published:.3f}", f"{np.mean(values) - published:+.3f}"]


def markdown(head, rows):
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def selection_table(results_dir):
    """LP and LR by iteration of INCV (section 4 of the paper)."""
    found = defaultdict(lambda: defaultdict(list))
    for provenance, _ in finished(results_dir, "INCV"):
        settings = provenance["settings"]
        for record in provenance["iterations"]:
            setting = settings["noise_pattern"], settings["noise_ratio"], variant(provenance)
            found[setting][record["iteration"]].append(record)
    rows = []
    for (pattern, ratio), published in figures.PUBLISHED_INCV.items():
        variants = [""] + sorted(key[2] for key in found if key[:2] == (pattern, ratio) and key[2])
        for of_variant in variants:
            for iteration in range(1, 5):
                records = found[pattern, ratio, of_variant][iteration]
                cells = []
                for quantity, expected in zip(("LP", "LR"), published):
                    values = [record[quantity] for record in records if record[quantity] is not None]
                    cells += beside_published(values, expected[iteration - 1])
                rows.append([f"{pattern} {ratio}", iteration, *cells, len(records) or "", of_variant])
    return markdown(["noise", "iteration", "LP", "published", "difference", "LR", "published", "difference", "runs",
                     "not as published"], rows)


def unfinished_table(results_dir):
    """The halves that unfinished runs of INCV have selected from, and how far other runs are."""
    halves, others = [], []
    for file in sorted(Path(results_dir).glob("unfinished/cifar10/*/*/so_far_*.json")):
        state = json.loads(file.read_text())
        settings, hours = state["settings"], f"{state['wall_seconds'] / 3600:.1f}"
        script = file.name.removeprefix("so_far_").split("_seed")[0]
        name = f"{script}, {runs.name_of_noise(settings)}, seed {settings['seed']}"
        name += "".join(f", {value}" for value in (settings.get("method"), settings["precision"], settings["engine"])
                        if value not in (None, "float32", "tensorflow"))
        published = figures.PUBLISHED_INCV[settings["noise_pattern"], settings["noise_ratio"]]
        for done in state.get("finished_trainings", []):
            cells = []
            for quantity, expected in zip(("LP", "LR"), published):
                # Later iterations' LP and LR are of all that is selected by then: a half is not to be compared with them.
                cells += beside_published([] if done[quantity] is None else [done[quantity]], expected[0])
                if done["iteration"] > 1:
                    cells[-2:] = "", ""
            halves.append([name, f"{done['iteration']}, half {done['half']}", done["held_out"], done["selected"], *cells])
        if "trainings" not in state:
            done = f"{state['epochs']} epochs"
            if state["epochs_of_estimating_T"] and not state["epochs"]:
                done = f"{state['epochs_of_estimating_T']} epochs of estimating T"
        else:
            done = (f"{len(state['finished_trainings'])} of {state['trainings']} trainings, "
                    f"{state['epochs_of_the_next']} epochs of the next")
        others.append([name, done, hours])
    text = markdown(["run", "done", "hours"], others) if others else "None.\n"
    if halves:
        text += "\n" + markdown(["run", "iteration", "held out", "selected", "LP", "published", "difference", "LR",
                                 "published", "difference"], halves)
    return text


def accuracy_table(results_dir):
    """Test accuracy of all methods (section 5 of the paper), in per cent."""
    found = {}
    for row in table.rows(results_dir, full_scale).to_dict("records"):
        found[row["noise"], row["method"], row["not_as_published"]] = row
    rows = []
    for noise_name in ("sym 0.2", "sym 0.5", "sym 0.8", "asym 0.4"):
        for method in table.METHODS:
            published = table.published(method, noise_name)
            for of_variant in [""] + sorted(key[2] for key in found if key[:2] == (noise_name, method) and key[2]):
                row, cells = found.get((noise_name, method, of_variant)), ["", "", "", ""]
                if row:
                    spread = "" if np.isnan(row["sd"]) else f"±{row['sd']:.2f}"
                    cells = [f"{row['accuracy']:.2f}{spread}", "", "", row["runs"]]
                    if published:
                        mean, sd = map(float, published.split("±"))
                        off = row["accuracy"] - mean
                        cells[1:3] = [f"{off:+.2f}", f"**{off / sd:+.1f}**" if abs(off) > 2 * sd else f"{off / sd:+.1f}"]
                rows.append([noise_name, method, cells[0], published, *cells[1:], of_variant])
    return markdown(["noise", "method", "test accuracy, %", "published", "difference", "in published s.d.", "runs",
                     "not as published"], rows)


def theory_table(results_dir):
    """Accuracy against noisy labels, LP and LR of a network that has memorised them (section 3 of the paper)."""
    found = defaultdict(list)
    for provenance, _ in finished(results_dir, "Verify_Theory"):
        settings = provenance["settings"]
        found[settings["noise_pattern"], settings["noise_ratio"], variant(provenance)].append(provenance["measured"])
    rows = []
    for pattern, published in figures.PUBLISHED_THEORY.items():
        for number in range(11):
            ratio, none = number / 10, []
            for of_variant in [""] + sorted(key[2] for key in found if key[:2] == (pattern, ratio) and key[2]):
                measured, cells = found.get((pattern, ratio, of_variant), none), []
                for quantity, expected in published.items():
                    values = [run[quantity] for run in measured if run[quantity] is not None]
                    cells += beside_published(values, expected[number])
                rows.append([f"{pattern} {ratio}", *cells, len(measured) or "", of_variant])
    return markdown(["noise", "accuracy", "published", "difference", "LP", "published", "difference", "LR", "published",
                     "difference", "runs", "not as published"], rows)


def run_table(results_dir):
    """Every finished run: where it ran and how long."""
    rows = []
    for script in ("INCV", "INCV_main", "Verify_Theory"):
        for provenance, path in finished(results_dir, script):
            name = path.relative_to(results_dir).as_posix()
            versions = provenance["versions"]
            engine = provenance["settings"]["engine"]
            rows.append([f"[{name}]({name}.json)", f"{engine} {versions[engine]}", provenance["device"],
                         f"{provenance['wall_seconds'] / 3600:.2f}", provenance["finished"][:10],
                         re.sub(r"^(\w{10})\w*", r"\1", provenance["code_revision"] or "")])
    return markdown(["run", "engine", "device", "hours", "finished", "code"], rows) if rows else "None.\n"


def page(results_dir):
    """The ledger as Markdown."""
    pictures = [path.relative_to(results_dir).as_posix() for path in sorted(Path(results_dir).glob("cifar10/*.png"))
                if path.name in ("INCV_main_methods.png", "INCV_main_methods_jax.png")]
    pictures += [path.relative_to(results_dir).as_posix() + ending for script in ("INCV", "INCV_main", "Verify_Theory")
                 for _, path in finished(results_dir, script) for ending in (".png", "_history.png")
                 if runs.beside(path, ending).exists()]
    parts = [
        "# At full scale\n",
        "All of CIFAR-10, the published networks and lengths, beside the numbers of Chen et al. 2019. Written by "
        "`python ledger.py` from the files in this folder: no number here is typed, and one is empty where there is no run. "
        "Results of parts of CIFAR-10 and of the digits are in [table.md](table.md) and the folders beside it.\n",
        "## INCV: label precision and recall\n", selection_table(results_dir),
        "The published values are read off a figure, to about .005.\n",
        "## Unfinished runs\n",
        "Each resumes from its checkpoint with `--results_dir results/reference/unfinished`. LP and LR are those of the "
        "held-out half, to be compared with the published first iteration.\n", unfinished_table(results_dir),
        "## Robust training: test accuracy of the last epoch\n", accuracy_table(results_dir),
        "The mean of the two networks where there are two. Off by more than two published s.d. is in bold: that wants a "
        "reason.\n",
        "## Theory: a network that has memorised the noisy labels\n", theory_table(results_dir),
        "The published values are read off a figure, to about .01.\n",
        "## The runs\n", run_table(results_dir),
        *(f"![{picture}]({picture})\n" for picture in pictures)]
    return "\n".join(parts)


def draw(results_dir):
    """Draw the figures of all full-scale runs again, from their files."""
    for provenance, path in finished(results_dir, "INCV"):
        runs.write_whole(runs.beside(path, ".png"), lambda out: figures.precision_and_recall(provenance, out))
    for script, by in (("INCV", "iteration"), ("Verify_Theory", "half")):
        for provenance, path in finished(results_dir, script):
            if runs.beside(path, "_history.csv").exists():
                history = pd.read_csv(runs.beside(path, "_history.csv"))
                runs.write_whole(runs.beside(path, "_history.png"), lambda out: figures.history(
                    history, by, provenance["settings"], out))
    for provenance, path in finished(results_dir, "INCV_main"):
        history = pd.read_csv(runs.csv_of(path))
        runs.write_whole(runs.beside(path, ".png"), lambda out: figures.test_accuracy(
            history, provenance["settings"], "test accuracy", out))
    for folder, name in {(path.parent.parent, runs.name_of_settings(path))
                         for _, path in finished(results_dir, "Verify_Theory")}:
        figures.theory(folder, name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results_dir", nargs="?", default="results/reference", help="default: results/reference")
    parser.add_argument("--add", metavar="FOLDER", help="take up the full-scale runs of this results folder")
    parser.add_argument("--data_dir", default="data", help="where CIFAR-10 is, for --add (default: data)")
    args = parser.parse_args()
    for folder in filter(None, (args.results_dir, args.add)):
        if not Path(folder).is_dir():
            parser.error(f"{folder}: no such folder")
    if args.add and Path(args.add).resolve() == Path(args.results_dir).resolve():
        parser.error(f"--add {args.add}: that is the ledger itself; give another folder")
    try:
        if args.add:
            add(args.add, args.results_dir, args.data_dir)
        draw(args.results_dir)
        table.write(args.results_dir)
        runs.write_text(Path(args.results_dir) / "README.md", page(args.results_dir))
    except (runs.RunError, data.DataError, OSError, json.JSONDecodeError) as error:
        parser.exit(2, f"ledger.py: {error}\n")
    print(f"written: {Path(args.results_dir) / 'README.md'}, table.md, table.csv and the figures")


if __name__ == "__main__":
    main()
