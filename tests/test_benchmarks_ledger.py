"""The ledger: its table and page follow from the files of the runs, and from nothing else."""
import gzip
import json
import os
import subprocess

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, command_of, one_line, run
from examples import accuracies, contents, write_run

from incv import utils
from incv.benchmarks import quote
from incv.reporting import tables
from incv.runner import files
from incv.runner.settings import Settings


def selected(*pairs):
    return [{"iteration": number, "LP": precision, "LR": recall} for number, (precision, recall) in enumerate(pairs, 1)]


def rows(page, heading):
    """The cells of the table under a heading."""
    lines = page.split(f"## {heading}")[1].split("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in cells[1:] if set("".join(row)) != set(":-")]


def test_every_number_stands_beside_the_published_one(tmp_path):
    results = tmp_path / "results"
    five = results / "cifar10" / "sym" / "0.5"
    points = [(.953, .70), (.943, .836), (.935, .879), (.929, .899)]
    write_run(five, "INCV", 0, iterations=selected((.96, .68), *points[1:]))
    write_run(five, "INCV", 1, iterations=selected((.95, .70), *points[1:]))
    write_run(five, "INCV", 0, [("precision", "bfloat16")], iterations=selected((.9, .6), *points[1:3], (.8, .7)))
    write_run(five, "INCV", 3, [("iterations", 1), ("precision", "bfloat16")], iterations=selected((.8, .5)))
    write_run(five, "INCV", 0, [("iterations", 1), ("precision", "bfloat16")], iterations=selected((.9, .6)))  # counts once
    write_run(five, "INCV", 4, [("iterations", 1)], backend="jax", iterations=selected((.7, .4)))
    write_run(five, "INCV", 0, [("subset", 5000)], iterations=selected((.1, .1)))  # no run at full scale
    for seed, accuracy in enumerate((.84, .85)):
        write_run(five, "INCV_main", seed, csv=accuracies(accuracy))
    write_run(five, "INCV_main", 0, method="d2l", csv=accuracies(.20), backend="jax")
    write_run(five, "INCV_main", 0, method="standard", csv=accuracies(.3))
    write_run(five, "INCV_main", 0, [("epochs", 30)], csv=accuracies(.5))
    write_run(five, "INCV_main", 0, [("selection", "INCV_seed0_jax")], csv=accuracies(.83))
    write_run(five, "INCV_main", 0, [("selection", "INCV_seed0"), ("selection_differs", "architecture")],
              csv=accuracies(.6))
    theory = "index,y,y_noisy,y_pred,memorised\n" + "1,0,0,0,True\n" * 3 + "2,0,1,0,True\n"
    write_run(results / "cifar10" / "asym" / "0.4", "Verify_Theory", 0, csv=theory,
              measured={"accuracy": .5, "LP": .70, "LR": None})

    answer = run(["results"], tmp_path, "incv.benchmarks.ledger")
    assert answer.code == 0, answer.err
    page = (results / "README.md").read_text()
    incv = {tuple(cells[:2]) + (cells[-1],): cells[2:-1] for cells in rows(page, "INCV")}
    assert incv["sym 0.5", "1", ""] == ["0.955±0.007", "0.953", "+0.002", "0.690±0.014", "0.700", "-0.010", "2"]
    assert incv["sym 0.5", "4", ""] == ["0.929±0.000", "0.929", "+0.000", "0.899±0.000", "0.899", "+0.000", "2"]
    assert incv["sym 0.5", "1", "precision bfloat16"] == [
        "0.850±0.071", "0.953", "-0.103", "0.550±0.071", "0.700", "-0.150", "2"]
    assert incv["sym 0.5", "2", "precision bfloat16"][0] == "0.943" and incv["sym 0.5", "1", "on jax"][0] == "0.700"
    assert len(incv) == 9  # four iterations as published, those of bfloat16, and one on jax
    assert "No run: sym 0.2, sym 0.8, asym 0.4." in page

    robust = {(cells[0], cells[1], cells[-1]): cells[2:-1] for cells in rows(page, "Robust training")}
    assert robust["sym 0.5", "incv", ""] == ["84.50±0.71", "84.78±0.33", "-0.28", "-1.0", "2"]  # .33 √(1/5 + 1/2)
    assert robust["sym 0.5", "d2l", "on jax"] == ["20.00", "67.39±13.62", "-47.39", "**-3.2**", "1"]  # 13.62 √1.2
    assert robust["sym 0.5", "standard", ""] == ["30.00", "", "", "", "1"]
    assert robust["sym 0.5", "incv", "selection INCV_seed0_jax"][0] == "83.00"
    assert len(robust) == 4  # one for each method and way
    assert "No run of any setting: f_correction, decoupling, coteaching, mentornet, gce, elr." in page
    for heading in ("INCV", "Robust training"):
        of_incv = [cells[-1] for cells in rows(page, heading) if heading == "INCV" or "incv" in cells]
        assert of_incv[0] == "" and len(of_incv) > 1, "published first"
    quoted = rows(f"## README\n{quote.full_scale(tables.read_runs(results))}", "README")
    assert [cells[1:] for cells in quoted] == [
        ["0.929"], ["0.929"], ["0.899"], ["0.899"], ["84.78±0.33"], ["84.50±0.71"], ["30.00"]]
    theory = {cells[0]: cells[1:] for cells in rows(page, "Theory")}
    assert theory["asym 0.4"] == ["0.500", "0.460", "+0.040", "0.700", "0.720", "-0.020", "", "0.550", "", "", "1", ""]
    assert list(theory) == ["asym 0.4"]
    finished = rows(page, "The runs")
    assert len(finished) == 12 and finished[0][1:] == ["tensorflow 9.9", "a machine", "1.50", "2026-01-02", "0123456789"]
    assert all((results / cells[0].split("](")[1].rstrip(")")).exists() for cells in finished)
    drawn = {path.relative_to(results).as_posix() for path in results.rglob("*.png")}
    assert {"cifar10/sym/0.5/INCV_seed0.png", "cifar10/sym/0.5/INCV_main_seed1.png", "cifar10/INCV_main_methods.png",
            "cifar10/asym/Verify_Theory_curves.png"} <= drawn
    assert "cifar10/sym/0.5/INCV_seed0_subset5000.png" not in drawn and "84.50±0.71" in (results / "table.md").read_text()
    for path in list(results.rglob("*.*")):
        if path.suffix in (".json", ".csv") and path.name != "table.csv":
            path.unlink()
    assert run(["results"], tmp_path, "incv.benchmarks.ledger").code == 0
    page = (results / "README.md").read_text()
    assert not rows(page, "INCV") + rows(page, "Robust training") + rows(page, "Theory")


def test_runs_are_taken_up_from_elsewhere(tmp_path):
    elsewhere, results = tmp_path / "elsewhere", tmp_path / "results"
    results.mkdir()
    five = elsewhere / "cifar10" / "sym" / "0.5"
    large = "y,y_noisy,select,candidate,eval_ratio\n" + "1,2,True,False,0.5\n" * 70000
    write_run(five, "INCV", 0, iterations=selected((.9, .7)), csv=large)
    (five / "INCV_seed0_history.csv").write_text(
        "iteration,half,epoch,learning_rate,loss,heldout_accuracy,chosen\n1,1,1,0.001,2.0,0.5,True\n")
    write_run(five, "INCV", 1, [("epochs", 3)], iterations=selected((.9, .7)), csv=large)
    answer = run(["results", "--add", "elsewhere"], tmp_path, "incv.benchmarks.ledger")
    assert answer.code == 0, answer.err
    taken = results / "cifar10" / "sym" / "0.5"
    assert sorted(path.name for path in taken.iterdir()) == [
        f"INCV_seed0{ending}" for ending in (".csv.gz", ".json", ".png", "_history.csv", "_history.png")]
    assert gzip.decompress((taken / "INCV_seed0.csv.gz").read_bytes()).decode() == large
    settings = json.loads((taken / "INCV_seed0.json").read_text())["settings"]
    assert files.is_finished(taken / "INCV_seed0", Settings.from_json(settings))
    assert ["sym 0.5", "1", "0.900"] in [cells[:3] for cells in rows((results / "README.md").read_text(), "INCV")]
    complaint = run(["results", "--add", "nowhere"], tmp_path, "incv.benchmarks.ledger")
    assert complaint.code == 2 and "nowhere" in complaint.err.splitlines()[-1] and "Traceback" not in complaint.err


def test_theory_on_all_images_is_taken_up_whatever_the_network(tmp_path):
    """The run on all images with its row and figures, not that on 5,000; its two networks by the one that memorised less."""
    elsewhere, results = tmp_path / "elsewhere", tmp_path / "results"
    results.mkdir()
    csv = "index,y,y_noisy,y_pred,memorised\n" + "1,0,0,0,True\n" * 3 + "2,0,1,0,True\n"
    measured = {"measured": {"accuracy": .75, "LP": .90, "LR": .50}, "accuracy_on_training_half": [.998, .97]}
    other = [("architecture", "resnet32"), ("epochs", 80), ("augmentation", False)]
    for differs in (other, [*other, ("subset", 5000)]):
        write_run(elsewhere / "cifar10" / "sym" / "0.8", "Verify_Theory", 0, differs, csv=csv, **measured)
    answer = run(["results", "--add", "elsewhere"], tmp_path, "incv.benchmarks.ledger")
    assert answer.code == 0, answer.err
    name = "architectureresnet32_epochs80_augmentationFalse"
    taken = results / "cifar10" / "sym"
    assert sorted(file.name for file in (taken / "0.8").iterdir()) == [f"Verify_Theory_seed0_{name}{ending}"
                                                                       for ending in (".csv", ".json")]
    page = (results / "README.md").read_text()
    assert [cells[1:] for cells in rows(page, "Theory") if cells[0] == "sym 0.8"] == [
        ["0.750", "0.110", "+0.640", "0.900", "0.360", "+0.540", "0.500", "0.190", "+0.310", "0.970", "1",
         "architecture resnet32, epochs 80, augmentation False"]]
    figures = [f"Verify_Theory_{kind}_{name}.png" for kind in ("confusion", "curves")]
    assert sorted(file.name for file in taken.glob("*.png")) == figures
    assert all(f"(cifar10/sym/{figure})" in page for figure in figures)


@pytest.mark.parametrize("harm", ["no finished", "finished is a number", "finished is not a number", "a list"])
def test_a_damaged_run_is_neither_added_nor_replaced(tmp_path, harm):
    for name in ("mine", "theirs"):
        write_run(tmp_path / name / "cifar10" / "sym" / "0.5", "INCV_main", 0, csv=accuracies(.5))
    for name in ("mine", "theirs"):
        file = tmp_path / name / "cifar10" / "sym" / "0.5" / "INCV_main_seed0.json"
        found = json.loads(file.read_text())
        finished = {"finished is a number": {"finished": 3}, "finished is not a number": {"finished": float("nan")}}.get(harm)
        if harm == "no finished":
            del found["finished"]
        if harm != "a list" or name == "mine":
            file.write_text("[]" if harm == "a list" else json.dumps(found | (finished or {})))
        before = file.read_bytes()
        answer = run(["mine", "--add", "theirs"], tmp_path, "incv.benchmarks.ledger")
        assert answer.code == 0 and answer.err == "", answer.err
        assert f"INCV_main_seed0.json {'or its CSV ' * (harm == 'a list')}is damaged or foreign" in answer.out
        assert file.read_bytes() == before
        if name == "mine" and harm != "a list":
            assert "mine/cifar10/sym/0.5/INCV_main_seed0.json is damaged; remove it" in answer.out


def test_the_ledger_keeps_a_run_that_is_as_new(tmp_path):
    for name, value in (("mine", .5), ("theirs", .6)):
        folder = tmp_path / name / "cifar10" / "sym" / "0.5"
        write_run(folder, "INCV_main", 0, csv=accuracies(value))
        (folder / "INCV_main_seed0_network1.keras").write_text(name)
    before = contents(tmp_path / "mine")
    result = run(["mine", "--add", "theirs"], tmp_path, "incv.benchmarks.ledger")
    assert result.code == 0 and "skipped" in result.out and "is not older" in result.out, result.err
    assert before.items() <= contents(tmp_path / "mine").items()
    newer = next((tmp_path / "theirs").rglob("*.json"))
    newer.write_text(newer.read_text().replace("2026-01-02", "2026-01-03"))
    assert "added" in run(["mine", "--add", "theirs"], tmp_path, "incv.benchmarks.ledger").out
    assert pd.read_csv(next((tmp_path / "mine").rglob("*seed0.csv")))["accuracy_mean"].iloc[-1] == .6


def test_damaged_files_beside_a_run_are_named(tmp_path):
    folder = tmp_path / "results" / "cifar10" / "sym" / "0.5"
    write_run(folder, "INCV", 0, iterations=selected((.9, .7)))
    (folder / "INCV_seed0_history.csv").write_text("a,b\n1,2\n")
    for seed, text in enumerate(("[]", "{", "[" * 200000), start=1):
        (folder / f"INCV_seed{seed}.json").write_text(text)
    answer = run(["results"], tmp_path, "incv.benchmarks.ledger")
    assert answer.code == 0 and answer.err == "", answer.err
    assert "INCV_seed0_history.csv is damaged or foreign" in answer.out
    for seed in (1, 2, 3):
        assert f"INCV_seed{seed}.json or its CSV is damaged or foreign" in answer.out
    assert ["sym 0.5", "1", "0.900"] in [cells[:3] for cells in rows((tmp_path / "results/README.md").read_text(), "INCV")]


@pytest.mark.parametrize("argument", [".", ""])
def test_the_ledger_replaces_no_page_of_somebody_else(tmp_path, argument):
    (tmp_path / "README.md").write_text("# Mine\n")
    result = run([argument], tmp_path, "incv.benchmarks.ledger", fresh=True)
    one_line(result, "README.md was not written" if argument else "no such folder")
    assert (tmp_path / "README.md").read_text() == "# Mine\n"


def test_a_pipe_in_the_place_of_the_page_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "README.md")
    one_line(run([tmp_path], tmp_path, "incv.benchmarks.ledger"), "README.md: not a regular file")


@pytest.mark.parametrize("buffered", [{}, {"PYTHONUNBUFFERED": ""}])
def test_a_full_disk_for_its_output_is_one_line(tmp_path, buffered):
    (tmp_path / "results").mkdir()
    with open("/dev/full", "w") as full:
        done = subprocess.run([*command_of("incv.benchmarks.ledger"), "results"], cwd=tmp_path, stdout=full, text=True,
                              stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(PROJECT)} | buffered)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "No space left" in done.stderr, done.stderr


def test_an_epochs_precision_follows_from_its_accuracies(tmp_path):
    """A fifth of the held-out labels wrong: an epoch right on .5 of the clean ones that agrees with .5 has LP .8 * .5 / .5."""
    wrong = np.zeros(10, dtype=int)
    parts = utils.halves(np.arange(10), utils.rng(0, "split", 1))
    wrong[[parts[1][0], parts[0][0], parts[0][1]]] = 1  # 1 of 5 of the second half, 2 of 5 of the first
    csv = "y,y_noisy,select,candidate,eval_ratio\n" + "".join(f"0,{each},False,True,0.1\n" for each in wrong)
    folder = tmp_path / "cifar10" / "asym" / "0.4"
    write_run(folder, "INCV", 0, [("iterations", 1)], csv=csv, iterations=selected((.9, .7)))
    (folder / "INCV_seed0_iterations1_history.csv").write_text(
        "iteration,half,epoch,heldout_accuracy,clean_accuracy,chosen\n"
        "1,1,1,0.495,0.6,False\n1,1,2,0.5,0.5,True\n1,1,3,0.491,0.3,False\n1,1,4,0.4,0.4,False\n"
        "1,2,1,0.6,0.8,True\n2,1,1,0.9,0.9,True\n")
    (folder / "INCV_seed0_history.csv").write_bytes((folder / "INCV_seed0_iterations1_history.csv").read_bytes())
    write_run(folder, "INCV", 0, csv=csv, iterations=selected((.9, .7), (.8, .8)))  # begins alike, and is listed once
    [first, second] = rows(f"## Choices\n{quote.choices(tables.read_runs(tmp_path))}", "Choices")
    assert first == ["asym 0.4, seed 0, float32", "0.900", "0.700", "1", "0.200", "0.800 (2)", "0.800 to 0.970 (2)",
                     "0.489 to 0.970 (3)"]
    assert second[3:] == ["2", "0.400", "0.800 (1)", "0.800 to 0.800 (1)", "0.800 to 0.800 (1)"]


def test_the_forms_of_co_teaching_are_averaged_over_five_epochs():
    """Epoch e of the first form: accuracy e/100, 2e % and 4e % true labels; of the second, .5 and .25."""
    epochs = np.arange(1, 11)
    forms = [pd.DataFrame({"scoring": "training pass", "epoch": epochs, "accuracy_mean": epochs / 100, "clean_1": epochs / 50,
                           "clean_2": epochs / 25}),
             pd.DataFrame({"scoring": "inference mode", "epoch": epochs, "accuracy_mean": .5, "clean_1": .25, "clean_2": .25})]
    written = rows(f"## Scoring\n{quote.scoring(pd.concat(forms))}", "Scoring")
    assert written == [["1 to 5", "0.03 (0.01 to 0.05)", "0.09", "0.50 (0.50 to 0.50)", "0.25"],
                       ["6 to 10", "0.08 (0.06 to 0.10)", "0.24", "0.50 (0.50 to 0.50)", "0.25"]]
