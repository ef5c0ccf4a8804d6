"""Tables and figures of a results folder: they follow from its runs, and from nothing damaged, copied or foreign."""
import gzip
import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from conftest import PROJECT, SMALL_NETWORK, blocks, one_line, planned, run
from examples import accuracies, write_run

from incv import INCV_main, utils
from incv.reporting import figures, tables
from incv.runner import files
from incv.runner.settings import Settings


def markdown_rows(file):
    """The cells of a table in Markdown, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in file.read_text().splitlines()[2:]]


def test_the_table_follows_from_the_runs(tmp_path):
    """Two runs of one method, one of the other, worked out by hand; what is not finished is not in it.

    Standard is best before its last epoch: 60, and (10 + 60 + 50) / 3 on average over its last epochs.
    """
    folder = tmp_path / "cifar10" / "sym" / "0.5"
    folder.mkdir(parents=True)
    for name, method, accuracy in (("seed0", "incv", 0.80), ("seed1", "incv", 0.90), ("seed0_standard", "standard", 0.5)):
        (folder / f"INCV_main_{name}.csv").write_text(
            "epoch,accuracy_mean,accuracy_pair\n1,0.1,0.2\n" + "2,0.6,0.6\n" * (method == "standard")
            + f"3,{accuracy},{accuracy + 0.01}\n")
        settings = {"dataset": "cifar10", "noise_pattern": "sym", "noise_ratio": 0.5, "seed": 0, "method": method,
                    "backend": "tensorflow"}
        settings["seed"] = int(name[4])
        files.write_json(folder / f"INCV_main_{name}", {"settings": Settings.from_json(settings), "tested_on": "test data",
                                                        "differs_from_published": {"epochs": {"here": 30, "published": 200}}})
    (folder / "INCV_main_seed2.csv").write_text("epoch,accuracy_mean\n1,0.9\n")
    for content in ("", "[]", '{"settings": null}'):  # damaged ones are no finished runs, and stop no table
        (folder / f"INCV_seed{len(content)}.json").write_text(content)
    tables.write_accuracies(tmp_path)
    assert markdown_rows(tmp_path / "table.md") == [
        ["cifar10", "sym 0.5", "incv", "85.00±7.07", "86.00±7.07", "85.00±7.07", "47.50±3.54", "2", "84.78±0.33", "epochs 30"],
        ["cifar10", "sym 0.5", "standard", "50.00", "51.00", "60.00", "40.00", "1", "", "epochs 30"]]
    assert pd.read_csv(tmp_path / "table.csv")["accuracy"].tolist() == [85, 50]
    # Somebody else's method and noise pattern come last.
    for name, pattern, method in (("seed0_mixup", "sym", "mixup"), ("seed0_bootstrap", "pair", "bootstrap")):
        place = folder.parent.parent / pattern / "0.5"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"INCV_main_{name}.csv").write_text("epoch,accuracy_mean\n1,0.25\n")
        files.write_json(place / f"INCV_main_{name}", {"differs_from_published": {}, "tested_on": "test data",
                                                       "settings": Settings.from_json(settings).having(
                                                           noise_pattern=pattern, method=method)})
    tables.write_accuracies(tmp_path)
    assert [cells[1:3] for cells in markdown_rows(tmp_path / "table.md")] == [
        ["sym 0.5", "incv"], ["sym 0.5", "standard"], ["sym 0.5", "mixup"], ["pair 0.5", "bootstrap"]]
    assert (tmp_path / "cifar10" / "INCV_main_methods.png").exists()


def test_the_figures_of_the_methods_hold_runs_of_like_settings(tmp_path, monkeypatch):
    """INCV with settings of its own is drawn beside the others, in a figure of its own; another length apart from all.

    Runs without noise are not drawn.
    """
    folder = tmp_path / "digits" / "sym" / "0.5"
    folder.mkdir(parents=True)
    names = ("seed0", "seed1", "seed0_iterations2", "seed0_incv_epochs20", "seed0_standard", "seed0_standard_epochs20",
             "seed0_d2l")
    for name in names:
        method = name.split("_")[1] if "standard" in name or "d2l" in name else "incv"
        (folder / f"INCV_main_{name}.csv").write_text("epoch,accuracy_mean\n1,0.5\n2,0.75\n")
        settings = {"dataset": "digits", "noise_pattern": "sym", "noise_ratio": 0.5, "seed": int(name[4]), "method": method,
                    "backend": "tensorflow", "schedule": name[5:]}
        files.write_json(folder / f"INCV_main_{name}", {"settings": Settings.from_json(settings), "differs_from_published": {},
                                                        "tested_on": "test data"})
    without_noise = folder.parent / "0.0"
    without_noise.mkdir()
    (without_noise / "INCV_main_seed0_d2l.csv").write_bytes((folder / "INCV_main_seed0_d2l.csv").read_bytes())
    (without_noise / "INCV_main_seed0_d2l.json").write_text(
        (folder / "INCV_main_seed0_d2l.json").read_text().replace("0.5", "0.0"))
    drawn = {}
    monkeypatch.setattr(figures, "compared_methods", lambda runs_of, title, file: drawn.update({title: {
        method: len(histories) for [by_method] in [runs_of.values()] for method, histories in by_method.items()}}))
    tables.draw_methods(tables.read_runs(tmp_path), tmp_path)
    both = {"standard": 1, "d2l": 1}
    assert drawn == {"digits": {"incv": 2, **both}, "digits iterations2": {"incv": 1, **both},
                     "digits incv epochs20": {"incv": 1, **both}}
    monkeypatch.undo()
    tables.draw_methods(tables.read_runs(tmp_path), tmp_path)
    assert {path.name for path in (tmp_path / "digits").glob("*.png")} == {
        f"INCV_main_methods{own}.png" for own in ("", "_iterations2", "_incv_epochs20")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "digits").glob("*.png"))


@pytest.mark.slow
def test_labels_of_ones_own_for_a_dataset_with_known_truth_are_in_the_table(tmp_path, monkeypatch):
    """The page's block makes the .npz, here of the digits; scored by the truth, tested on the true test labels."""
    monkeypatch.chdir(tmp_path)
    code = next(block for block in blocks("docs/own_noise.md") if "y_true=" in block)
    exec(code.replace('"cifar10"', '"digits"'), {})
    done = run(["--dataset", "my_labels.npz", "--architecture", SMALL_NETWORK, "--epochs", 2, "--incv_epochs", 2,
                "--iterations", 1, "--quiet", "--method", "incv", "standard"], tmp_path, "INCV_main.py")
    assert done.code == 0 and done.err == "", done.err
    # As if standard had been run with --noise_pattern asym too, and on a dataset without test data.
    path = next((tmp_path / "results/my_labels/given").glob("INCV_main_seed0_standard*.json"))
    provenance, csv = json.loads(path.read_text()), path.with_suffix(".csv").read_text()
    for name, settings, tested_on in (("my_labels", {"noise_pattern": "asym"}, "test data"),
                                      ("no_test", {"dataset": "no_test"}, "the labels of 150 held-out samples")):
        place = tmp_path / "results" / name / "given"
        place.mkdir(parents=True, exist_ok=True)
        (place / "INCV_main_seed0_standard_asym.csv").write_text(csv)
        (place / "INCV_main_seed0_standard_asym.json").write_text(json.dumps(provenance | {
            "settings": provenance["settings"] | settings, "tested_on": tested_on}))
    tables.write_accuracies(tmp_path / "results")
    table = pd.read_csv(tmp_path / "results/table.csv")
    assert table[["dataset", "noise", "method"]].values.tolist() == [
        ["my_labels", "labels as given", "incv"], ["my_labels", "labels as given", "standard"],
        ["my_labels", "labels as given, asym", "standard"]]
    assert list((tmp_path / "results/my_labels").glob("INCV_main_methods*.png"))
    [row] = tables.selections(tables.read_runs(tmp_path / "results"))
    iterations = json.loads(next((tmp_path / "results/my_labels/given").glob("INCV_seed0*.json")).read_text())["iterations"]
    assert row[3:5] == [f"{iterations[-1]['LP']:.3f}", f"{iterations[-1]['LR']:.3f}"]


def test_help_writes_no_table(tmp_path):
    result = run(["--help"], tmp_path, "incv.reporting.tables", fresh=True)
    assert result.code == 0 and "python -m incv.reporting.tables" in result.out and not list(tmp_path.iterdir())


# --- runs that are none -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("harm", ["json is a list", "settings are text", "csv is empty", "csv has no accuracies", "csv is cut",
                                  "ratio is text", "no csv", "deep json", "checksums are a list", "checksums are null",
                                  "revision is a list", "method is a list", "method is a dict", "method is null"])
def test_a_damaged_run_among_the_results_ends_no_table(tmp_path, capsys, harm):
    folder = tmp_path / "cifar10" / "sym" / "0.5"
    for seed in (0, 1):
        write_run(folder, "INCV_main", seed, csv=accuracies(.8))
    file, csv = folder / "INCV_main_seed1.json", folder / "INCV_main_seed1.csv"
    found = json.loads(file.read_text())
    if harm == "csv is cut":
        file.write_text(json.dumps(found | {"checksums": {".csv": "0" * 64}}))
    elif harm == "ratio is text":
        file.write_text(json.dumps(found | {"settings": found["settings"] | {"noise_ratio": "0.5"}}))
    elif harm.startswith("method"):
        method = {"list": ["incv"], "dict": {}, "null": None}[harm.split()[-1]]
        file.write_text(json.dumps(found | {"settings": found["settings"] | {"method": method}}))
    elif harm.startswith(("checksums", "revision")):
        file.write_text(json.dumps(found | {"checksums are a list": {"checksums": [1]}, "checksums are null": {
            "checksums": None}, "revision is a list": {"code_revision": [1, 2]}}[harm]))
    elif harm == "no csv":
        csv.unlink()
    else:
        broken, text = {"json is a list": (file, "[]"), "settings are text": (file, '{"settings": "x"}'),
                        "deep json": (file, "[" * 200000),
                        "csv is empty": (csv, ""), "csv has no accuracies": (csv, "a,b\n1,2\n")}[harm]
        broken.write_text(text)
    tables.write_accuracies(tmp_path)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"ignored: {file} or its CSV is damaged or foreign" in said
    assert pd.read_csv(tmp_path / "table.csv")["runs"].tolist() == [1]
    result = run([tmp_path], tmp_path, "incv.reporting.tables", fresh=True)
    assert result.code == 0 and result.err == "" and "ignored" in result.out


def test_copies_of_runs_are_no_runs(tmp_path, capsys):
    folder = tmp_path / "cifar10" / "sym" / "0.5"
    write_run(folder, "INCV_main", 0, csv=accuracies(.8))
    for name in ("0.5.bak", "0.2"):
        shutil.copytree(folder, folder.with_name(name))
    for name in ("INCV_main_seed0_old", "INCV_main_seed1"):
        for ending in (".json", ".csv"):
            shutil.copy(folder / f"INCV_main_seed0{ending}", folder / f"{name}{ending}")
    found = tables.read_runs(tmp_path)
    assert found["path"].tolist() == [folder / "INCV_main_seed0"]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4 and all(line.startswith("ignored: ") for line in said)


def test_pipes_among_the_results_of_tables(tmp_path, capsys):
    folder = tmp_path / "digits" / "sym" / "0.5"
    write_theory(folder, 0)
    os.mkfifo(folder / "Verify_Theory_seed1.csv")
    with pytest.raises(utils.UserError, match="seed1.csv: not a regular file"):
        tables.read_theory(folder.parent, "")
    os.mkfifo(folder / "INCV_main_seed1.json")
    tables.write_accuracies(tmp_path)
    assert "INCV_main_seed1.json" in capsys.readouterr().out


def test_a_results_folder_from_elsewhere_leads_nowhere_else(tmp_path, capsys):
    folder = tmp_path / "results" / "cifar10" / "sym" / "0.5"
    for seed, method in enumerate(("incv", "standard")):
        write_run(folder, "INCV_main", seed, csv=accuracies(.8), method=method)
    for file in folder.glob("*.json"):
        file.write_text(file.read_text().replace('"cifar10"', '"../../outside"'))
    tables.write_accuracies(tmp_path / "results")
    assert "ignored" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"results"} and not list((tmp_path / "results").rglob("*.png"))


@pytest.mark.slow
def test_a_table_of_ones_own_is_kept(tmp_path, monkeypatch, capsys):
    for seed in (0, 1):
        write_run(tmp_path / "cifar10" / "sym" / "0.5", "INCV_main", seed, csv=accuracies(.8))
    (tmp_path / "table.csv").write_text("zip,size,kind\n1,2,a\n")
    (tmp_path / "table.md").mkdir()
    result = run([tmp_path], tmp_path, "incv.reporting.tables")
    one_line(result, "table.csv and ", "table.md: not written by this project, and therefore kept")
    assert (tmp_path / "table.csv").read_text() == "zip,size,kind\n1,2,a\n"
    # Training is done: INCV_main.py says it, and goes on.
    [plan] = planned(monkeypatch, ["--dataset", "digits", "--results_dir", tmp_path])
    INCV_main.summarize([plan])
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "therefore kept" in said and (tmp_path / "table.csv").read_text().startswith("zip")
    (tmp_path / "table.md").rmdir()
    (tmp_path / "table.csv").unlink()
    for _ in range(2):
        assert run([tmp_path], tmp_path, "incv.reporting.tables").code == 0
        assert pd.read_csv(tmp_path / "table.csv")["runs"].tolist() == [2]


# --- runs of Verify_Theory.py -----------------------------------------------------------------------------------------

def write_theory(folder, seed, rows="0,0,0,0,True\n1,1,2,1,True\n", **settings):
    """A finished run of Verify_Theory.py on the digits."""
    write_run(folder, "Verify_Theory", seed, csv=f"index,y,y_noisy,y_pred,memorised\n{rows}", measured={"accuracy": .5})
    file = folder / f"Verify_Theory_seed{seed}.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {"settings": found["settings"] | {"dataset": "digits"} | settings, "checksums": {
        ".csv": files.checksum(file.with_suffix(".csv"))}}))


def test_figures_of_the_theory_are_of_what_the_runs_wrote(tmp_path, capsys):
    folder = tmp_path / "digits" / "sym" / "0.5"
    write_theory(folder, 0)
    csv = folder / "Verify_Theory_seed0.csv"
    whole = csv.read_text()
    (folder / "Verify_Theory_seed0.csv.gz").write_bytes(gzip.compress(whole.encode()))
    assert [run.seed for run in tables.read_theory(folder.parent, "")[.5]] == [0]  # once, compressed or not
    # Copies under another seed and another ratio are no runs.
    for place in (folder / "Verify_Theory_seed1", folder.parent / "0.2" / "Verify_Theory_seed0"):
        place.parent.mkdir(exist_ok=True)
        for ending in (".csv", ".json"):
            shutil.copy(csv.with_suffix(ending), f"{place}{ending}")
    capsys.readouterr()
    assert {ratio: len(found) for ratio, found in tables.read_theory(folder.parent, "").items()} == {.5: 1}
    assert capsys.readouterr().out.count("ignored: ") == 2
    csv.write_text(whole.replace("2,1", "2,2"))
    with pytest.raises(utils.UserError, match="seed0.csv: changed since the run wrote it"):
        tables.read_theory(folder.parent, "")
    csv.unlink()
    (folder / "Verify_Theory_seed0.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(utils.UserError, match="seed0.csv.gz: changed since the run wrote it"):
        tables.read_theory(folder.parent, "")
    csv.with_suffix(".json").unlink()
    with pytest.raises(utils.UserError, match="seed0.csv.gz: not a CSV of Verify_Theory.py"):
        tables.read_theory(folder.parent, "")


@pytest.mark.parametrize("rows", ["", "0,0,10,0,True\n", "0,-1,0,0,True\n"])
def test_a_theory_without_samples_or_with_other_classes(tmp_path, rows):
    folder = tmp_path / "digits" / "sym" / "0.5"
    write_theory(folder, 0, rows)
    with pytest.raises(utils.UserError, match="seed0.csv: not a CSV of Verify_Theory.py"):
        tables.read_theory(folder.parent, "")


def test_runs_of_other_settings_are_not_mixed(tmp_path):
    rows = "index,y,y_noisy,y_pred,memorised\n0,0,0,0,True\n1,1,2,1,True\n"
    for ratio, name in (("0.5", "seed0"), ("0.5", "seed12"), ("0.5", "seed0_epochs5"), ("1.0", "seed3"), ("0", "seed1_jax")):
        (tmp_path / ratio).mkdir(exist_ok=True)
        (tmp_path / ratio / f"Verify_Theory_{name}.csv").write_text(rows)
    found = tables.read_theory(tmp_path, "")
    assert {ratio: [r.seed for r in of_ratio] for ratio, of_ratio in found.items()} == {0.5: [0, 12], 1.0: [3]}
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "Verify_Theory_seed5.csv").write_text(rows)  # a user's copy
    assert list(tables.read_theory(tmp_path, "")) == [0.5, 1.0]
    first = found[0.5][0]
    assert (first.accuracy, first.LP, first.LR, first.memorised) == (0.5, 1.0, 1.0, True)
    assert list(tables.read_theory(tmp_path, "_epochs5")) == [0.5] and list(tables.read_theory(tmp_path, "_jax")) == [0]


THEORY = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 200, "--epochs", 1]
THEORY_NAME = "Verify_Theory_seed0_networks_small_epochs1_subset200"


def foreign_csv(pattern, content):
    """A CSV that bears the name of one of Verify_Theory.py's."""
    file = pattern / "0.1" / f"{THEORY_NAME}.csv"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    return file


FOREIGN = "not a CSV of Verify_Theory.py; remove it and repeat the command that wrote it"


@pytest.mark.parametrize("content", ["", "index,y\n0,0\n", "index,y,y_noisy,y_pred,memorised\n0,0,,1,True\n"])
@pytest.mark.slow
def test_a_foreign_csv_is_named(tmp_path, content):
    file = foreign_csv(tmp_path, content)
    with pytest.raises(utils.UserError) as error:
        tables.read_theory(tmp_path, THEORY_NAME.removeprefix("Verify_Theory_seed0"))
    assert str(error.value) == f"{file}: {FOREIGN}"


def test_a_foreign_csv_stops_no_sweep(tmp_path):
    file = foreign_csv(tmp_path / "results/digits/sym", "index,y\n0,0\n")
    result = run([*THEORY, "--noise_ratio", 0.2, 0.3, "--quiet"], tmp_path, "Verify_Theory.py")
    assert result.code == 2 and "Traceback" not in result.err
    assert f"Verify_Theory.py: {file.relative_to(tmp_path)}: {FOREIGN}" in result.err.splitlines()
    assert all((tmp_path / "results/digits/sym" / ratio / f"{THEORY_NAME}.json").exists() for ratio in ("0.2", "0.3"))


def test_two_sweeps_may_draw_at_the_same_time(tmp_path):
    folder = tmp_path / "digits" / "sym"
    (folder / "0.5").mkdir(parents=True)
    (folder / "0.5" / "Verify_Theory_seed0.csv").write_text(
        "index,y,y_noisy,y_pred,memorised\n" + "".join(f"{i},{i % 10},{i % 7},{i % 10},True\n" for i in range(50)))
    drawing = ("import sys; sys.path.insert(0, sys.argv[1]); import pathlib; from incv.reporting import tables\n"
               "for _ in range(3): tables.draw_theory(pathlib.Path(sys.argv[2]), '')")
    both = [subprocess.Popen([sys.executable, "-c", drawing, str(PROJECT), str(folder)], stderr=subprocess.PIPE)
            for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert sorted(path.name for path in folder.glob("*.*")) == [
        "0.5", "Verify_Theory_confusion.png", "Verify_Theory_curves.png"]
