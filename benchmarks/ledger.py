"""Write the ledger: the results on all of CIFAR-10, beside the published numbers, from the files of the runs.

    python -m incv.benchmarks.ledger                  # updates tables and figures of results/reference, or of another folder
    python -m incv.benchmarks.ledger --add FOLDER     # first adds the full-scale runs of FOLDER, another --results_dir

A run is at full scale if it has the published data, network, length and learning rates (one of Verify_Theory.py, if it has
all the data; one of INCV.py with any number of iterations); runs with another precision, backend or assumption have separate
rows. --add copies JSON and CSVs of finished runs (large ones compressed).
"""
import argparse
import gzip
import io
import re
import shutil
from datetime import datetime
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from incv import registry, utils
from incv.reporting import figures, tables
from incv.runner import console, files, options, sweep

MARK = "<!-- written by benchmarks/ledger.py -->"  # how its page begins
PUBLISHED_RUNS = 5  # of which the published accuracies are means
LARGE = 2 ** 20  # bytes: CSVs of this size or more are compressed


# --- adding runs ------------------------------------------------------------------------------------------------------

def add(source, results_dir):
    """Copy the full-scale runs of the results folder `source` to this one, and print which."""
    for path in full_scale_runs(source)["path"]:
        place = Path(results_dir) / path.relative_to(source)
        reason = _why_not(path, place)
        if reason:
            print(f"skipped: {path}: {reason}")
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        csv = files.csv_of(path)
        content, compressed = csv.read_bytes(), csv.suffix == ".gz"
        if len(content) >= LARGE and not compressed:
            content, compressed = gzip.compress(content, mtime=0), True
        sweep.remove_result(place)
        target = files.beside(place, ".csv.gz" if compressed else ".csv")
        files.write_whole(target, lambda out, content=content: out.write(content))
        if files.beside(path, "_history.csv").is_file():
            shutil.copyfile(files.beside(path, "_history.csv"), files.beside(place, "_history.csv"))
        shutil.copyfile(files.beside(path, ".json"), files.beside(place, ".json"))
        print(f"added: {place}")


def _why_not(path, place):
    """Return why the finished run at `path` must not replace what is at `place`; "" if it may."""
    if not files.beside(place, ".json").exists():
        return ""
    new = files.read_json(path)
    try:
        old = files.read_json(place)
        if new["settings"] != old["settings"]:
            return f"{place} has other settings"
        return "" if new["finished"] > old["finished"] else f"{place} is not older"
    except (utils.UserError, ValueError, KeyError, TypeError):
        return f"{place}.json is damaged; remove it to have it replaced"


# --- the page: full-scale runs beside the published numbers -----------------------------------------------------------

def full_scale_runs(results_dir):
    """Return the rows of `read_runs` at full scale, without (and reporting) those whose JSON lacks what the ledger shows."""
    found = tables.read_runs(results_dir)
    return found.loc[[bool(run.full_scale) and _is_complete(run) for run in found.itertuples()]]


def _is_complete(run):
    provenance = run.provenance
    try:
        datetime.fromisoformat(provenance["finished"])
        float(provenance["wall_seconds"]), provenance["versions"][provenance["settings"].backend], provenance["device"]
        records = {"INCV": provenance.get("iterations"), "Verify_Theory": [provenance.get("measured")]}.get(run.script, [])
        [float(record[quantity] or 0) for record in records for quantity in ("LP", "LR")]
        [float(fraction) for fraction in provenance.get("accuracy_on_training_half", [])]
        return True
    except tables.DAMAGE as error:
        tables.ignore(f"{run.path}.json", f"is damaged or foreign ({utils.first_line(error)})")
        return False


def beside_published(values, published):
    """Return the cells "0.951±0.002" (no s.d. for one value, "" for none), published value, difference."""
    if not values:
        return ["", f"{published:.3f}", ""]
    spread = f"±{np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return [f"{np.mean(values):.3f}{spread}", f"{published:.3f}", f"{np.mean(values) - published:+.3f}"]


def variants(found, noise_name):
    """Yield (variant, its runs) of a noise setting, those as published first."""
    of_noise = found[found["noise"] == noise_name]
    for variant in sorted(set(of_noise["not_as_published"])):
        yield variant, of_noise[of_noise["not_as_published"] == variant]


def selections(found):
    """Return the runs of INCV.py, those that differ in the number of iterations alone once: the one with the most.

    They begin alike. not_as_published leaves out the number.
    """
    incv = found[found["script"] == "INCV"]
    differs = [", ".join(part for part in of_run.split(", ") if not part.startswith("iterations "))
               for of_run in incv["not_as_published"]]
    incv = incv.assign(not_as_published=differs, length=[len(provenance["iterations"]) for provenance in incv["provenance"]])
    longest = incv.groupby(["noise", "seed", "not_as_published"], dropna=False)["length"].transform("idxmax")
    return incv.loc[incv.index == longest]


def selection_table(found):
    """Return LP and LR by iteration of INCV (section 4 of the paper); a run counts in the iterations it has."""
    rows, incv = [], selections(found)
    for noise_name, published in figures.PUBLISHED["INCV"].items():
        for variant, of_variant in variants(incv, noise_name):
            for iteration in range(1, 5):
                records = [record for provenance in of_variant["provenance"] for record in provenance["iterations"]
                           if record["iteration"] == iteration]
                if not records:
                    continue
                cells = []
                for quantity, expected in published.items():
                    values = [record[quantity] for record in records if record[quantity] is not None]
                    cells += beside_published(values, expected[iteration - 1])
                rows.append([noise_name, iteration, *cells, len(records), variant])
    return _table(["noise", "iteration", "LP", "published", "difference", "LR", "published", "difference", "runs",
                   "not as published"], rows, figures.PUBLISHED["INCV"])


def _table(head, rows, settings):
    """Return a table whose rows begin with a noise setting, and a line that says for which of `settings` there is no run."""
    missing = [name for name in settings if name not in {row[0] for row in rows}]
    return (tables.markdown(head, rows) + "\n" if rows else "") + (f"No run: {', '.join(missing)}.\n" if missing else "")


def accuracy_table(found):
    """Return the test accuracy of all methods (section 5 of the paper), in per cent."""
    table, rows = tables.accuracies(found), []
    for noise_name in ("sym 0.2", "sym 0.5", "sym 0.8", "asym 0.4"):
        for method in registry.METHODS:
            published = tables.published_accuracy(method, noise_name)
            here = table[(table["noise"] == noise_name) & (table["method"] == method)] if len(table) else table
            for row in sorted(here.itertuples(), key=lambda row: row.not_as_published):
                difference = ["", ""]
                if published:
                    mean, sd = map(float, published.split("±"))
                    off = row.accuracy - mean
                    in_sd = off / (sd * np.sqrt(1 / PUBLISHED_RUNS + 1 / row.runs))  # the s.d. of a difference of two means
                    difference = [f"{off:+.2f}", f"**{in_sd:+.1f}**" if abs(in_sd) > 2 else f"{in_sd:+.1f}"]
                rows.append([noise_name, method, tables.with_sd(row.accuracy, row.sd), published, *difference, row.runs,
                             row.not_as_published])
    text = _table(["noise", "method", "test accuracy, %", "published", "difference", "in s.d.", "runs",
                   "not as published"], rows, ("sym 0.2", "sym 0.5", "sym 0.8", "asym 0.4"))
    without = [method for method in registry.METHODS if method not in {row[1] for row in rows}]
    return text + (f"No run of any setting: {', '.join(without)}.\n" if without else "")


def theory_table(found):
    """Return the accuracy against noisy labels, LP and LR of networks that have memorised them (section 3 of the paper)."""
    rows = []
    for pattern, published in figures.PUBLISHED["theory"].items():
        for number in range(11):
            for variant, of_variant in variants(found[found["script"] == "Verify_Theory"], f"{pattern} {number / 10}"):
                measured, cells = [provenance["measured"] for provenance in of_variant["provenance"]], []
                for quantity, expected in published.items():
                    values = [run[quantity] for run in measured if run[quantity] is not None]
                    cells += beside_published(values, expected[number])
                of_training = [fraction for provenance in of_variant["provenance"]
                               for fraction in provenance.get("accuracy_on_training_half", [])]
                rows.append([f"{pattern} {number / 10}", *cells, f"{min(of_training):.3f}" if of_training else "",
                             len(measured), variant])
    return _table(["noise", "accuracy", "published", "difference", "LP", "published", "difference", "LR", "published",
                   "difference", "memorised", "runs", "not as published"], rows,
                  [f"{pattern} {number / 10}" for pattern in figures.PUBLISHED["theory"] for number in range(11)])


def run_table(found, results_dir):
    """Return where each finished run ran and how long."""
    rows = []
    for run in _by_script(found):
        name, of_run = run.path.relative_to(results_dir).as_posix(), run.provenance
        backend = of_run["settings"].backend
        rows.append([f"[{name}]({name}.json)", f"{backend} {of_run['versions'][backend]}", of_run["device"],
                     f"{of_run['wall_seconds'] / 3600:.2f}", of_run["finished"][:10],
                     re.sub(r"^(\w{10})\w*", r"\1", of_run.get("code_revision") or "")])
    return tables.markdown(["run", "backend", "device", "hours", "finished", "code"], rows) if rows else "None.\n"


def _by_script(found):
    """Return the runs in the order of the ledger: by script, then by path."""
    order = {"INCV": 0, "INCV_main": 1, "Verify_Theory": 2}
    return sorted(found.itertuples(), key=lambda run: (order[run.script], run.path))


def ledger_page(results_dir):
    """Return the ledger as Markdown: all full-scale runs of a results folder beside the published numbers."""
    found = full_scale_runs(results_dir)
    pictures = [path.relative_to(results_dir).as_posix() for path in sorted(Path(results_dir).glob("cifar10/*.png"))
                if path.name in ("INCV_main_methods.png", "INCV_main_methods_jax.png")]
    pictures += [run.path.relative_to(results_dir).as_posix() + ending for run in _by_script(found)
                 for ending in (".png", "_history.png") if files.beside(run.path, ending).exists()]
    pictures += [(folder / f"Verify_Theory_{kind}{name}.png").relative_to(results_dir).as_posix()
                 for folder, name in _theory_figures(found) for kind in ("curves", "confusion")
                 if (folder / f"Verify_Theory_{kind}{name}.png").exists()]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent))
    return environment.get_template("ledger.md.jinja").render(
        selections=selection_table(found), accuracies=accuracy_table(found), theory=theory_table(found),
        runs=run_table(found, results_dir), pictures=pictures)


# --- the figures ------------------------------------------------------------------------------------------------------

def draw(results_dir):
    """Redraw the figures of all full-scale runs from their files."""
    found = full_scale_runs(results_dir)
    for run in found.itertuples():
        settings, history = run.provenance["settings"], files.beside(run.path, "_history.csv")
        if run.script == "INCV":
            _draw(run.path, ".json", ".png", lambda _, out, run=run: figures.precision_and_recall(run.provenance, out))
        if run.script == "INCV_main":
            _draw(run.path, ".csv", ".png", lambda file, out, settings=settings: figures.test_accuracy(
                pd.read_csv(file), settings, "test accuracy", out))
        if history.exists():
            by = "iteration" if run.script == "INCV" else "half"
            _draw(run.path, "_history.csv", "_history.png", lambda file, out, by=by, settings=settings: figures.history(
                pd.read_csv(file), by, settings, out))
    for folder, name in _theory_figures(found):
        tables.draw_theory(folder, name)


def _theory_figures(found):
    """Return the arguments of `tables.draw_theory` for the runs of Verify_Theory.py, a sorted list."""
    theory = found.loc[found["script"] == "Verify_Theory", "path"]
    return sorted({(path.parent.parent, files.name_of_settings(path)) for path in theory})


def _draw(path, source, ending, draw):
    """Draw a figure of a run by draw(file with the ending `source`, open file); a file that cannot be drawn is reported."""
    file = files.csv_of(path) if source == ".csv" else files.beside(path, source)
    content = io.BytesIO()
    try:
        draw(files.regular(file), content)
    except tables.DAMAGE as error:
        return tables.ignore(file, f"is damaged or foreign ({utils.first_line(error)})")
    return files.write_whole(files.beside(path, ending), lambda out: out.write(content.getbuffer()))


# --- the command ------------------------------------------------------------------------------------------------------

def main():
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results_dir", nargs="?", default="results/reference", help="default: results/reference")
    parser.add_argument("--add", metavar="FOLDER", help="add the full-scale runs of this results folder")
    args = parser.parse_args()
    for folder in (args.results_dir, args.add):
        if folder is not None and not (folder and Path(folder).is_dir()):
            parser.error(f"{folder!r}: no such folder")
    if args.add and Path(args.add).resolve() == Path(args.results_dir).resolve():
        parser.error(f"--add {args.add}: that is the ledger itself; give another folder")
    page = Path(args.results_dir) / "README.md"
    if files.regular(page).exists() and not page.read_text(errors="replace").startswith(MARK):
        raise utils.UserError(f"{page} was not written by this command, and is kept; give another results folder")
    if args.add:
        add(args.add, args.results_dir)
    draw(args.results_dir)
    files.write_text(page, ledger_page(args.results_dir))
    tables.write_accuracies(args.results_dir)
    print(f"written: {page}{', table.md, table.csv and the figures' if Path(args.results_dir, 'table.md').exists() else ''}")


if __name__ == "__main__":
    console.run_command("ledger.py", main, resumes=False)
