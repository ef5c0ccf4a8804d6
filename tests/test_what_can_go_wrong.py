"""Nothing lost, nothing silent, nothing hangs: a test for each line of docs/what_can_go_wrong.md."""
import dataclasses
import errno
import gzip
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import FOLDER, PROJECT, SMALL_NETWORK, run
from PIL import Image
from test_ledger import accuracies, write_run

from incv import INCV, INCV_main, data, utils
from incv.checking import export
from incv.custom_data import decisions, load
from incv.custom_data.source import Source
from incv.reporting import tables
from incv.runner import checkpoint, console, files, options, planning, predict, start, sweep
from incv.runner.settings import Settings

QUICK = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 100, "--epochs", 1, "--iterations", 1, "--quiet"]
NAME = "INCV_seed0_networks_small_epochs1_iterations1_subset100"
MAIN = [*QUICK, "--incv_epochs", 1, "--noise_ratio", 0.2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run of INCV."""
    folder = tmp_path_factory.mktemp("finished")
    result = run(QUICK, folder)
    assert result.code == 0, result.err
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def planned(monkeypatch, arguments):
    """The planning.Plan of a command line of INCV.py."""
    monkeypatch.setattr(sys, "argv", ["INCV.py", *map(str, arguments)])
    return planning.plan("INCV", options.parser("", INCV.DEFAULTS, custom=True), INCV.DEFAULTS, INCV.SCHEDULE)[1]


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_line(result, *words):
    assert result.code == 2 and result.err.count("\n") == 1 and all(word in result.err for word in words), result.err


# --- files are lost ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("argument", [".", ""])
def test_the_ledger_replaces_no_page_of_somebody_else(tmp_path, argument):
    (tmp_path / "README.md").write_text("# Mine\n")
    result = run([argument], tmp_path, "incv.benchmarks.ledger", fresh=True)
    one_line(result, "README.md was not written" if argument else "no such folder")
    assert (tmp_path / "README.md").read_text() == "# Mine\n"


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


def test_overwrite_removes_nothing_before_the_run_can_start(copy, monkeypatch):
    before = content(copy)
    stopped = run([*QUICK, "--overwrite", "--time_limit", 0], copy)
    assert stopped.code == 0 and "stopped by --time_limit" in stopped.out and content(copy) == before
    (copy / "empty").mkdir()
    plans = planned(monkeypatch, ["--dataset", "cifar10", "--overwrite", "--data_dir", copy / "empty", "--results_dir", copy])
    plans[0].path.parent.mkdir(parents=True)
    for ending in (".json", ".csv"):
        files.beside(plans[0].path, ending).write_text("{}")
    before = content(copy)
    with pytest.raises(data.DataError, match="contains neither"):
        sweep.carry_out("INCV", INCV.run, plans)
    assert content(copy) == before


def test_an_unfinished_run_is_not_lost_to_another_dataset_of_the_same_name(tmp_path):
    settings = Settings.from_json({"dataset": "photos", "dataset_checksum": "1", "threads": 1})
    checkpoint.save_checkpoint(tmp_path / "run", settings, epoch=5)
    with pytest.raises(files.OtherSettings, match="dataset_checksum 1, not 2"):
        checkpoint.load_checkpoint(tmp_path / "run", settings.having(dataset_checksum="2"))
    with pytest.raises(files.OtherSettings, match="threads 1, not 2"):
        checkpoint.load_checkpoint(tmp_path / "run", settings.having(threads=2))


def test_export_replaces_neither_an_input_nor_a_result(copy, monkeypatch):
    monkeypatch.chdir(copy)
    [plan] = planned(monkeypatch, QUICK)
    for ending in (".csv", "_index.csv", "_label_issues.csv"):
        with pytest.raises(utils.UserError, match="a file of the run itself"):
            export.check(files.beside(plan.path, ending), [plan])
    labels = copy / "labels.npz"
    np.savez(labels, a=np.arange(3))
    with pytest.raises(utils.UserError, match="the command reads this file"):
        export.check(labels, [dataclasses.replace(plan, source=dataclasses.replace(plan.source, labels=str(labels)))])


def test_the_ledger_keeps_a_run_that_is_as_new(tmp_path):
    for name, value in (("mine", .5), ("theirs", .6)):
        folder = tmp_path / name / "cifar10" / "sym" / "0.5"
        write_run(folder, "INCV_main", 0, csv=accuracies(value))
        (folder / "INCV_main_seed0_network1.keras").write_text(name)
    before = content(tmp_path / "mine")
    result = run(["mine", "--add", "theirs"], tmp_path, "incv.benchmarks.ledger")
    assert result.code == 0 and "skipped" in result.out and "is not older" in result.out, result.err
    assert before.items() <= content(tmp_path / "mine").items()
    newer = next((tmp_path / "theirs").rglob("*.json"))
    newer.write_text(newer.read_text().replace("2026-01-02", "2026-01-03"))
    assert "added" in run(["mine", "--add", "theirs"], tmp_path, "incv.benchmarks.ledger").out
    assert pd.read_csv(next((tmp_path / "mine").rglob("*seed0.csv")))["accuracy_mean"].iloc[-1] == .6


# --- wrong without a word ---------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_data_that_change_after_planning_are_refused(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(40, 3)), y=np.arange(40) % 2)
    [plan] = planned(monkeypatch, ["--dataset", tmp_path / "d.npz", "--epochs", 1, "--results_dir", tmp_path])
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(30, 3)), y=np.arange(30) % 2)
    # The threads of the backend that other tests of this process have started.
    plan = dataclasses.replace(plan, settings=plan.settings.having(threads=2))
    with pytest.raises(utils.UserError, match="d.npz: changed since the command started"):
        start.start_run(plan, {}, console.Progress(quiet=True), INCV.SCHEDULE)


def test_a_selection_of_other_labels_is_not_used(copy):
    place = next(copy.rglob(f"{NAME}.csv"))
    table = pd.read_csv(place)
    table["y_noisy"] = (table["y_noisy"] + 1) % 10
    table.to_csv(place, index=False)
    file = place.with_suffix(".json")
    found = json.loads(file.read_text())
    found["checksums"][".csv"] = files.checksum(place)
    file.write_text(json.dumps(found))
    main = ["--incv_epochs" if word == "--epochs" else word for word in QUICK]
    one_line(run([*main, "--epochs", 1], copy, "INCV_main.py"), "not a selection from these labels")


def test_a_changed_result_is_not_reused(copy):
    place = next(copy.rglob(f"{NAME}.csv"))
    whole = place.read_text()
    place.write_text("".join(whole.splitlines(keepends=True)[:50]))
    main = ["--incv_epochs" if word == "--epochs" else word for word in QUICK]
    one_line(run([*main, "--epochs", 1], copy, "INCV_main.py"), f"{NAME}.csv: changed since the run wrote it")
    one_line(run([*QUICK, "--export", "kept.csv"], copy), f"{NAME}.csv: changed since the run wrote it")
    assert not (copy / "kept.csv").exists()
    # Without checksums, a JSON is not one that a run wrote.
    place.write_text(whole)
    file = place.with_suffix(".json")
    found = json.loads(file.read_text())
    del found["checksums"]
    file.write_text(json.dumps(found))
    one_line(run([*QUICK, "--export", "kept.csv"], copy), f"{NAME}.json: damaged")


def test_classes_whose_names_cannot_be_decoded_stay_apart(tmp_path):
    for number, name in enumerate((b"\xe9", b"\xe8", b"plain")):
        folder = os.fsencode(tmp_path) + b"/pictures/" + name
        os.makedirs(folder)
        for copy in range(2):
            Image.fromarray(np.full((8, 8), 40 * number + copy, np.uint8)).save(folder.decode(errors="surrogateescape") +
                                                                                f"/{copy}.png")
    assert load.facts(tmp_path / "pictures").num_classes == 3
    dataset = load.load_dataset(tmp_path / "pictures")
    assert dataset.class_names.tolist() == ["\\xe8", "\\xe9", "plain"] and len(set(dataset.names)) == 6


def test_predictions_of_two_files_of_the_same_name(tmp_path, monkeypatch):
    asked = ["--dataset", "digits", "--results_dir", tmp_path, "--predict", tmp_path / "new.npz"]
    monkeypatch.setattr(sys, "argv", ["INCV_main.py", *map(str, asked)])
    with monkeypatch.context() as only_the_plan:
        only_the_plan.setattr(INCV_main.predict, "write_predictions", lambda file, plan: plan)
        plan = INCV_main.main()
    path = plan.path
    path.parent.mkdir(parents=True)
    for ending in ("_network1.keras", "_network2.keras", ".csv"):
        files.beside(path, ending).touch()
    files.write_json(path, {"settings": plan.settings})
    files.beside(path, "_predictions_new.csv").touch()
    files.beside(path, "_predictions_new.csv.from").write_text("/elsewhere/new.npz")
    np.savez(tmp_path / "new.npz", x=np.zeros((2, 8, 8)))
    with pytest.raises(utils.UserError, match="holds the predictions of /elsewhere/new.npz"):
        predict.write_predictions(tmp_path / "new.npz", plan)


def test_numbers_too_large_are_refused_in_predictions(tmp_path):
    rng = np.random.default_rng(0)
    pd.DataFrame({"a": rng.normal(size=20), "kind": ["x", "y"] * 10}).to_csv(tmp_path / "t.csv", index=False)
    pd.DataFrame({"a": [1e300, -1e300]}).to_csv(tmp_path / "new.csv", index=False)
    source = Source(facts=load.facts(tmp_path / "t.csv", "kind"), path=str(tmp_path / "t.csv"), label="kind")
    with pytest.raises(data.DataError, match="too large"):
        load.samples_like(tmp_path / "new.csv", source)


# --- down, or for ever ------------------------------------------------------------------------------------------------

def test_images_for_which_the_disk_has_no_room(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(data.DataError, match="no room for 2.0 GB of decoded images .No space left"):
        data.in_a_file((2 ** 11, 2 ** 20), tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "endless device"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, kind):
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "pictures" / name / f"{number}.png")
    trap = tmp_path / "pictures" / "a" / "2.png"
    os.mkfifo(trap) if kind == "fifo" else trap.symlink_to("/dev/zero")
    dataset = load.load_dataset(tmp_path / "pictures")
    assert len(dataset.given) == 4 and dataset.left_out == {"a/2.png": "empty, too large, or not a regular file"}
    for reading in (lambda: data.read_arrays(trap), lambda: data.human_labels(f"{trap}.pt", "a")):
        trap.with_name("2.png.pt").unlink(missing_ok=True)
        os.mkfifo(f"{trap}.pt")
        with pytest.raises(data.DataError, match="not a regular file"):
            reading()


@pytest.mark.parametrize("ending", [".json", ".csv", "_out_of_fold.csv", ".checkpoint"])
def test_a_pipe_in_the_place_of_a_result_is_not_opened(copy, ending):
    file = next(copy.rglob(f"{NAME}.json")).with_name(f"{NAME}{ending}")
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    path = file.with_name(NAME)
    if ending == ".checkpoint":
        assert checkpoint.load_checkpoint(path, {})[0] == {}
        return
    with pytest.raises(utils.UserError, match=f"{ending}: not a regular file; remove it"):
        files.checked(path, ending if ending != ".json" else ".csv")
    if ending != "_out_of_fold.csv":
        result = run(QUICK, copy)
        assert result.code == 2 and f"{file.name}: not a regular file; remove it" in result.err and "Trace" not in result.err


def test_pipes_among_the_results_of_tables(tmp_path, capsys):
    folder = tmp_path / "digits" / "sym" / "0.5"
    write_theory(folder, 0)
    os.mkfifo(folder / "Verify_Theory_seed1.csv")
    with pytest.raises(utils.UserError, match="seed1.csv: not a regular file"):
        tables.read_theory(folder.parent, "")
    os.mkfifo(folder / "INCV_main_seed1.json")
    tables.write_accuracies(tmp_path)
    assert "INCV_main_seed1.json" in capsys.readouterr().out
    os.mkfifo(tmp_path / "README.md")
    one_line(run([tmp_path], tmp_path, "incv.benchmarks.ledger"), "README.md: not a regular file")


def test_a_lock_that_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "run.lock")
    with pytest.raises(utils.UserError, match="run.lock: not a regular file"), files.locked(tmp_path / "run"):
        pass


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock here")])
def test_a_file_system_without_locks_is_named_as_that(tmp_path, monkeypatch, error):
    def acquire(*_, **__):
        raise error

    monkeypatch.setattr(files.filelock.FileLock, "acquire", acquire)
    with pytest.raises(utils.UserError, match="cannot be locked .*as on some network file systems"):
        files.locked(tmp_path / "r").__enter__()


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


@pytest.mark.parametrize("change", [{"checksums": [1]}, {"checksums": None}, {"code_revision": [1, 2]}])
def test_an_edited_json_of_a_finished_run_is_one_line(copy, change):
    file = next(copy.rglob(f"{NAME}.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    result = run(QUICK, copy)
    assert result.code == 2 and "Traceback" not in result.err, result.err
    assert f"{NAME}.json: damaged; restore it, or repeat the command with --overwrite" in result.err


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


@pytest.mark.slow
def test_names_that_are_not_utf8_stop_no_run_at_its_end(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f},{b:.3f},{'xy'[n % 2]}" for n, (a, b) in enumerate(rng.normal(size=(60, 2)))]
    lines[3] = lines[3][:-1]  # a missing label: a warning, which names the file
    file = os.fsencode(tmp_path) + b"/caf\xe9.csv"
    with open(file, "w") as out:
        out.write("a,b,kind\n" + "\n".join(lines) + "\n")
    result = run(["--dataset", os.fsdecode(b"caf\xe9.csv"), "--label", "kind", "--epochs", 1, "--iterations", 1, "--quiet",
                  "--no-label_issues"], tmp_path)
    assert result.code == 0 and result.err == "" and "warning" in result.out, result.err
    assert list(tmp_path.rglob("*_report.html")) and list(tmp_path.rglob("INCV_seed0*.json"))


@pytest.mark.parametrize("script, option", [("INCV.py", "--epochs"), ("INCV.py", "--iterations"),
                                            ("INCV_main.py", "--incv_epochs"), ("Verify_Theory.py", "--epochs")])
def test_a_count_without_end_is_refused(tmp_path, script, option):
    result = run(["--dataset", "digits", option, "9" * 20, "--time_limit", .01], tmp_path, script)
    one_line(result, option, "from 1 to 1000000")


def test_damaged_networks_and_tables_are_one_line(tmp_path):
    settings = ["--dataset", "digits", "--method", "standard", "--predict", "new.npz"]
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    np.savez(tmp_path / "new.npz", x=np.zeros((2, 8, 8)))
    (folder / "INCV_main_seed0_standard_network1.keras").write_text("no network")
    for ending in ("csv", "json"):
        (folder / f"INCV_main_seed0_standard.{ending}").write_text('{"settings": {}, "checksums": {}}')
    one_line(run(settings, tmp_path, "INCV_main.py"), "other settings")
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    one_line(run(["--dataset", "t.parquet", "--label", "kind"], tmp_path), "t.parquet: cannot be read as a table")


def test_output_that_cannot_be_encoded_is_escaped():
    program = ("import sys; sys.path.insert(0, sys.argv[1]); from incv.runner import console;"
               "console.print_any_text(); print('1 ± 2, κ')")
    done = subprocess.run([sys.executable, "-c", program, str(PROJECT)], capture_output=True, text=True,
                          env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stdout == "1 \\xb1 2, \\u03ba\n" and done.stderr == ""


@pytest.mark.parametrize("option", ["--export", "--dataset", "--label", "--results_dir", "--data_dir"])
def test_an_empty_value_is_refused(tmp_path, option):
    one_line(run(["--dataset", "digits", option, ""], tmp_path), option, "empty")
    assert not list(tmp_path.iterdir())


def test_help_of_the_table(tmp_path):
    result = run(["--help"], tmp_path, "incv.reporting.tables", fresh=True)
    assert result.code == 0 and "python -m incv.reporting.tables" in result.out and not list(tmp_path.iterdir())


def test_thousands_of_runs_start_soon(tmp_path, monkeypatch):
    """CPU seconds from the command line to the first of 6,000 runs."""
    class Begun(Exception):
        pass

    def begin(plan, progress):
        raise Begun

    started = time.process_time()
    plans = planned(monkeypatch, ["--dataset", "digits", "--results_dir", tmp_path, "--seed", *range(6000)])
    with pytest.raises(Begun):
        sweep.carry_out("INCV", begin, plans)
    assert time.process_time() - started < 5


# --- security ---------------------------------------------------------------------------------------------------------

def test_only_documented_formats_are_opened_whatever_a_file_is_called(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was called"))
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / name / f"{number}.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / "a" / "trap.eps")
    (tmp_path / "pictures" / "a" / "trap.eps").rename(tmp_path / "pictures" / "a" / "trap.png")
    dataset = load.load_dataset(tmp_path / "pictures")
    assert len(dataset.given) == 4 and dataset.left_out == {"a/trap.png": "not a readable image"}


def test_a_results_folder_from_elsewhere_leads_nowhere_else(tmp_path, capsys):
    folder = tmp_path / "results" / "cifar10" / "sym" / "0.5"
    for seed, method in enumerate(("incv", "standard")):
        write_run(folder, "INCV_main", seed, csv=accuracies(.8), method=method)
    for file in folder.glob("*.json"):
        file.write_text(file.read_text().replace('"cifar10"', '"../../outside"'))
    tables.write_accuracies(tmp_path / "results")
    assert "ignored" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"results"} and not list((tmp_path / "results").rglob("*.png"))


def test_a_link_in_the_place_of_an_incomplete_file_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run.csv.part").symlink_to(tmp_path / "precious")
    files.write_text(tmp_path / "run.csv", "a,b\n")
    assert (tmp_path / "precious").read_text() == "mine" and (tmp_path / "run.csv").read_text() == "a,b\n"


def test_no_name_is_a_formula_of_a_spreadsheet(tmp_path):
    names = ["=1+1", "+x", "-x", "@x", "'quoted", "-5", "+1e3", "plain", "\t=1"]
    table = pd.DataFrame({"sample": names, "given": names, "suggested": names[::-1], "p_given": -.5, "p_suggested": .5,
                          "status": "removed"})
    safe = decisions.for_spreadsheets(table)
    assert safe["sample"].tolist() == ["'=1+1", "'+x", "'-x", "'@x", "''quoted", "-5", "+1e3", "plain", "'\t=1"]
    files.write_table(tmp_path / "issues.csv", safe)
    back = decisions.read_issues(tmp_path / "issues.csv")
    assert all(back[column].tolist() == table[column].tolist() for column in ("sample", "given", "suggested"))


def test_docs_have_a_line_for_each():
    page = (PROJECT / "docs" / "what_can_go_wrong.md").read_text()
    assert "Dask" in (PROJECT / "docs" / "sweeps.md").read_text() and page.count("\n| ") >= 20
