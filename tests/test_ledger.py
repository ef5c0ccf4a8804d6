"""The ledger: its table and page follow from the files of the runs, and from nothing else."""
import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import data
import ledger
import noise
import quote
import runs
import tables
import utils
from conftest import PROJECT, run


def write_run(folder, script, seed, differs=(), engine="tensorflow", csv="", **provenance):
    """The files of a run that ended: JSON and CSV."""
    pattern, ratio = folder.parts[-2:]
    settings = {"dataset": "cifar10", "noise_pattern": pattern, "noise_ratio": float(ratio), "seed": seed, "engine": engine,
                "method": provenance.pop("method", "incv"), "schedule": runs.SCHEDULE} | dict(differs)
    name = "_".join([f"{script}_seed{seed}", *([settings["method"]] if settings["method"] != "incv" else []),
                     *("".join(map(str, change)) for change in differs), *(["jax"] if engine == "jax" else [])])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({
        "settings": settings, "differs_from_published": {key: {"here": here, "published": None} for key, here in differs},
        "versions": {engine: "9.9"}, "device": "a machine", "code_revision": "0123456789abcdef", "wall_seconds": 5400.0,
        "finished": "2026-01-02T03:04:05+00:00", **provenance}))
    (folder / f"{name}.csv").write_text(csv)


def selected(*pairs):
    return [{"iteration": number, "LP": precision, "LR": recall} for number, (precision, recall) in enumerate(pairs, 1)]


def accuracies(value, epochs=200):
    history = pd.DataFrame({"epoch": np.arange(epochs), "learning_rate": 1e-3, "accuracy_1": value, "accuracy_2": value,
                            "accuracy_mean": value, "accuracy_pair": value})
    return history.to_csv(index=False)


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
    write_run(five, "INCV", 0, [("subset", 5000)], iterations=selected((.1, .1)))  # no run at full scale
    for seed, accuracy in enumerate((.84, .85)):
        write_run(five, "INCV_main", seed, csv=accuracies(accuracy))
    write_run(five, "INCV_main", 0, method="d2l", csv=accuracies(.20), engine="jax")
    write_run(five, "INCV_main", 0, method="standard", csv=accuracies(.3))
    write_run(five, "INCV_main", 0, [("epochs", 30)], csv=accuracies(.5))
    write_run(five, "INCV_main", 0, [("selection", "INCV_seed0_jax")], csv=accuracies(.83))
    write_run(five, "INCV_main", 0, [("selection", "INCV_seed0"), ("selection_differs", "architecture")],
              csv=accuracies(.6))
    theory = "index,y,y_noisy,y_pred,memorised\n" + "1,0,0,0,True\n" * 3 + "2,0,1,0,True\n"
    write_run(results / "cifar10" / "asym" / "0.4", "Verify_Theory", 0, csv=theory,
              measured={"accuracy": .5, "LP": .70, "LR": None})

    answer = run(["results"], tmp_path, "ledger.py")
    assert answer.code == 0, answer.err
    page = (results / "README.md").read_text()
    incv = {tuple(cells[:2]) + (cells[-1],): cells[2:-1] for cells in rows(page, "INCV")}
    assert incv["sym 0.5", "1", ""] == ["0.955±0.007", "0.953", "+0.002", "0.690±0.014", "0.700", "-0.010", "2"]
    assert incv["sym 0.5", "4", ""] == ["0.929±0.000", "0.929", "+0.000", "0.899±0.000", "0.899", "+0.000", "2"]
    assert incv["sym 0.5", "1", "precision bfloat16"] == ["0.900", "0.953", "-0.053", "0.600", "0.700", "-0.100", "1"]
    assert incv["sym 0.2", "3", ""] == ["", "0.990", "", "", "0.925", "", ""]
    assert len(incv) == 20  # four settings, four iterations, and those of bfloat16

    robust = {(cells[0], cells[1], cells[-1]): cells[2:-1] for cells in rows(page, "Robust training")}
    assert robust["sym 0.5", "incv", ""] == ["84.50±0.71", "84.78±0.33", "-0.28", "-0.8", "2"]
    assert robust["sym 0.5", "d2l", "on jax"] == ["20.00", "67.39±13.62", "-47.39", "**-3.5**", "1"]
    assert robust["sym 0.5", "standard", ""] == ["30.00", "", "", "", "1"]
    assert robust["sym 0.5", "incv", "selection INCV_seed0_jax"][0] == "83.00"
    assert robust["sym 0.2", "d2l", ""] == ["", "86.12±0.43", "", "", ""]
    assert len(robust) == 4 * 7 + 1  # a second row for INCV from another selection; d2l has its one of JAX
    for heading in ("INCV", "Robust training"):
        assert [cells[-1] for cells in rows(page, heading) if "sym 0.5" in cells][0] == "", "published first"
    quoted = rows(f"## README\n{quote.full_scale(tables.read_runs(results))}", "README")
    assert [[cells[2], cells[4]] for cells in quoted] == [
        ["0.929", "0.837"], ["0.929", "not finished"], ["0.899", "0.932"], ["0.899", "not finished"],
        ["84.78±0.33", "86.04±0.54"], ["84.50±0.71", "not finished"], ["30.00", "not finished"]]
    theory = {cells[0]: cells[1:] for cells in rows(page, "Theory")}
    assert theory["asym 0.4"] == ["0.500", "0.460", "+0.040", "0.700", "0.720", "-0.020", "", "0.550", "", "", "1", ""]
    assert theory["sym 0.4"] == ["", "0.360", "", "", "0.950", "", "", "0.570", "", "", "", ""]
    finished = rows(page, "The runs")
    assert len(finished) == 9 and finished[0][1:] == ["tensorflow 9.9", "a machine", "1.50", "2026-01-02", "0123456789"]
    assert all((results / cells[0].split("](")[1].rstrip(")")).exists() for cells in finished)
    drawn = {path.relative_to(results).as_posix() for path in results.rglob("*.png")}
    assert {"cifar10/sym/0.5/INCV_seed0.png", "cifar10/sym/0.5/INCV_main_seed1.png", "cifar10/INCV_main_methods.png",
            "cifar10/asym/Verify_Theory_curves.png"} <= drawn
    assert "cifar10/sym/0.5/INCV_seed0_subset5000.png" not in drawn and "84.50±0.71" in (results / "table.md").read_text()
    for path in results.rglob("*.*"):
        if path.suffix in (".json", ".csv") and path.name != "table.csv":
            path.unlink()
    assert run(["results"], tmp_path, "ledger.py").code == 0
    page = (results / "README.md").read_text()
    assert {cells[2] for cells in rows(page, "INCV") + rows(page, "Robust training")} == {""}


def test_runs_are_taken_up_from_elsewhere(tmp_path):
    elsewhere, results = tmp_path / "elsewhere", tmp_path / "results"
    results.mkdir()
    five = elsewhere / "cifar10" / "sym" / "0.5"
    large = "y,y_noisy,select,candidate,eval_ratio\n" + "1,2,True,False,0.5\n" * 70000
    write_run(five, "INCV", 0, iterations=selected((.9, .7)), csv=large)
    (five / "INCV_seed0_history.csv").write_text(
        "iteration,half,epoch,learning_rate,loss,heldout_accuracy,chosen\n1,1,1,0.001,2.0,0.5,True\n")
    write_run(five, "INCV", 1, [("epochs", 3)], iterations=selected((.9, .7)), csv=large)
    answer = run(["results", "--add", "elsewhere"], tmp_path, "ledger.py")
    assert answer.code == 0, answer.err
    taken = results / "cifar10" / "sym" / "0.5"
    assert sorted(path.name for path in taken.iterdir()) == [
        f"INCV_seed0{ending}" for ending in (".csv.gz", ".json", ".png", "_history.csv", "_history.png")]
    assert gzip.decompress((taken / "INCV_seed0.csv.gz").read_bytes()).decode() == large
    settings = json.loads((taken / "INCV_seed0.json").read_text())["settings"]
    assert runs.is_finished(taken / "INCV_seed0", settings)
    assert ["sym 0.5", "1", "0.900"] in [cells[:3] for cells in rows((results / "README.md").read_text(), "INCV")]
    complaint = run(["results", "--add", "nowhere"], tmp_path, "ledger.py")
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
    answer = run(["results", "--add", "elsewhere"], tmp_path, "ledger.py")
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


def test_other_scripts_checkpoints_are_taken_up_too(tmp_path):
    five = tmp_path / "elsewhere" / "cifar10" / "sym" / "0.5"
    five.mkdir(parents=True)
    (tmp_path / "results").mkdir()
    settings = {"dataset": "cifar10", "noise_pattern": "sym", "noise_ratio": 0.5, "seed": 0, "method": "f_correction",
                "precision": "float32", "engine": "jax"}
    for name, precision, arrays in (("", "float32", {"estimating": 1}), ("_epochs30", "float32", {"epoch": 3}),
                                    ("_bfloat16", "bfloat16", {"epoch": 30, "estimating": 200})):
        runs.save_checkpoint(five / f"INCV_main_seed0_f_correction{name}_jax", settings | {"precision": precision},
                             sessions="[]", wall_seconds=36.0, **arrays)
    answer = run(["results", "--add", "elsewhere"], tmp_path, "ledger.py")
    assert answer.code == 0, answer.err
    assert rows((tmp_path / "results" / "README.md").read_text(), "Unfinished runs") == [
        ["INCV_main, sym 0.5, seed 0, f_correction, bfloat16, jax", "30 epochs", "under 0.1"],
        ["INCV_main, sym 0.5, seed 0, f_correction, jax", "1 epoch of estimating T", "under 0.1"]]
    # What lies there is no finished run to the table of that folder.
    assert len(tables.read_runs(tmp_path / "results" / "unfinished")) == 0


def test_later_iterations_of_an_unfinished_run_are_of_all_selected_so_far(tmp_path):
    folder = tmp_path / "unfinished" / "cifar10" / "sym" / "0.5"
    folder.mkdir(parents=True)
    halves = [(1, 100, .9, .5), (1, 100, .8, .4), (2, 60, .5, .3), (2, 0, None, 0.0)]  # 90 of 180, 80 of 200, 30 and 0 clean
    (folder / "so_far_INCV_seed0.json").write_text(json.dumps({
        "settings": {"dataset": "cifar10", "noise_pattern": "sym", "noise_ratio": 0.5, "seed": 0, "precision": "float32",
                     "engine": "tensorflow"},
        "wall_seconds": 3600.0, "trainings": 8, "epochs_of_the_next": 0, "finished_trainings": [
            {"iteration": iteration, "half": number % 2 + 1, "held_out": {1: 25000, 2: 400}[iteration],
             "selected": selected, "LP": precision, "LR": recall}
            for number, (iteration, selected, precision, recall) in enumerate(halves)]}))
    found = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in ledger.unfinished_table(tmp_path).splitlines() if ", all" in line]
    assert [row[1:5] + row[7:8] for row in found] == [
        ["1, all", "50000", "200", f"{170 / 200:.3f}", f"{170 / 380:.3f}"],
        ["2, all", "50000", "260", f"{200 / 260:.3f}", f"{200 / 380:.3f}"]]
    assert [row[5] for row in found] == ["0.953", "0.943"]


def test_an_unfinished_run_is_taken_up_with_what_it_has_found(cifar10, tmp_path):
    """A checkpoint of INCV with two finished trainings: LP and LR of its halves and of the iteration, counted by hand."""
    dataset = data.load("cifar10", cifar10)
    y_noisy = noise.flip_labels(dataset.y_train, noise.transition_matrix("sym", 0.5, 10), utils.rng(3, "noise"))
    second, first = utils.halves(np.arange(50000), utils.rng(3, "split", 1))  # held out in the other order
    clean, right = dataset.y_train == y_noisy, np.zeros(50000, bool)
    right[first], right[second] = np.arange(25000) % 4 > 0, np.arange(25000) % 5 > 2  # of each label it is given it believes
    probabilities = np.eye(10, dtype=np.float32)[(y_noisy + ~right) % 10]             # three in four, two in five
    settings = {"dataset": "cifar10", "noise_pattern": "sym", "noise_ratio": 0.5, "seed": 3, "iterations": 4, "subset": None,
                "precision": "float32", "engine": "tensorflow", "threads": 2}
    path = tmp_path / "elsewhere" / "cifar10" / "sym" / "0.5" / "INCV_seed3"
    path.parent.mkdir(parents=True)
    runs.save_checkpoint(path, settings, finished000=probabilities[first], finished001=probabilities[second], training=2,
                         epoch=7, sessions="[]", wall_seconds=7200.0)
    (tmp_path / "results").mkdir()
    answer = run(["results", "--add", "elsewhere", "--data_dir", cifar10], tmp_path, "ledger.py")
    assert answer.code == 0, answer.err
    expected = []
    for which, samples, number in [("1, half 1", first, 18750), ("1, half 2", second, 10000),
                                   ("1, all", np.arange(50000), 28750)]:
        both = (clean & right)[samples].sum()
        precision, recall = both / number, both / clean[samples].sum()
        expected.append(["INCV, sym 0.5, seed 3", which, str(len(samples)), str(number), f"{precision:.3f}", "0.953",
                         f"{precision - .953:+.3f}", f"{recall:.3f}", "0.700", f"{recall - .7:+.3f}"])
    page = (tmp_path / "results" / "README.md").read_text()
    assert rows(page, "Unfinished runs") == [
        ["INCV, sym 0.5, seed 3", "2 of 8 trainings, 7 epochs of the next", "2.0"],
        ["run", "iteration", "held out", "selected", "LP", "published", "difference", "LR", "published", "difference"],
        *expected]
    copy = tmp_path / "results" / "unfinished" / "cifar10" / "sym" / "0.5"
    assert (copy / "INCV_seed3.checkpoint").read_bytes() == path.with_name("INCV_seed3.checkpoint").read_bytes()
    # One that is behind does not take its place.
    runs.save_checkpoint(path, settings, training=0, epoch=6, sessions="[]", wall_seconds=100.0)
    path.with_name("INCV_seed4.checkpoint").write_bytes(b"damaged")
    answer = run(["results", "--add", "elsewhere", "--data_dir", cifar10], tmp_path, "ledger.py")
    assert answer.code == 0 and "is ahead of it" in answer.out and "is damaged" in answer.out, answer.err
    assert "2 of 8 trainings, 7 epochs" in (tmp_path / "results" / "README.md").read_text()
    # Finished there, it is moved, with all its files.
    write_run(copy, "INCV", 3, iterations=selected((.9, .7)))
    (copy / "INCV_seed3_report.html").write_text("a page")
    assert run(["results", "--add", "results/unfinished"], tmp_path, "ledger.py").code == 0
    assert not any(copy.iterdir()) and "seed 3" not in (tmp_path / "results" / "README.md").read_text()
    assert sorted(file.name for file in (tmp_path / "results" / "cifar10" / "sym" / "0.5").iterdir()) == [
        f"INCV_seed3{ending}" for ending in (".csv", ".json", ".png", "_report.html")]


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
        answer = run(["mine", "--add", "theirs"], tmp_path, "ledger.py")
        assert answer.code == 0 and answer.err == "", answer.err
        assert f"INCV_main_seed0.json {'or its CSV ' * (harm == 'a list')}is damaged or foreign" in answer.out
        assert file.read_bytes() == before
        if name == "mine" and harm != "a list":
            assert "mine/cifar10/sym/0.5/INCV_main_seed0.json is damaged; remove it" in answer.out


def test_damaged_files_beside_a_run_are_named(tmp_path):
    folder = tmp_path / "results" / "cifar10" / "sym" / "0.5"
    write_run(folder, "INCV", 0, iterations=selected((.9, .7)))
    (folder / "INCV_seed0_history.csv").write_text("a,b\n1,2\n")
    unfinished = tmp_path / "results" / "unfinished" / "cifar10" / "sym" / "0.5"
    unfinished.mkdir(parents=True)
    for seed, text in enumerate(("[]", "{", "[" * 200000)):
        (unfinished / f"so_far_INCV_seed{seed}.json").write_text(text)
    answer = run(["results"], tmp_path, "ledger.py")
    assert answer.code == 0 and answer.err == "", answer.err
    for name in ("INCV_seed0_history.csv", *(f"so_far_INCV_seed{seed}.json" for seed in range(3))):
        assert f"{name} is damaged or foreign" in answer.out
    assert ["sym 0.5", "1", "0.900"] in [cells[:3] for cells in rows((tmp_path / "results/README.md").read_text(), "INCV")]


@pytest.mark.parametrize("buffered", [{}, {"PYTHONUNBUFFERED": ""}])
def test_a_full_disk_for_its_output_is_one_line(tmp_path, buffered):
    (tmp_path / "results").mkdir()
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, str(PROJECT / "ledger.py"), "results"], cwd=tmp_path, stdout=full, text=True,
                              stderr=subprocess.PIPE, env=os.environ | buffered)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "No space left" in done.stderr, done.stderr
