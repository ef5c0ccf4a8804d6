"""The files of a run: locked, whole, with checksums; what is damaged, changed or of other settings is not used."""
import errno
import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from conftest import FOLDER, ONE_EPOCH, QUICK, QUICK_NAME, SMALL, SMALL_NAME, files_in, one_line, run
from examples import contents, mixed_table

from incv import utils
from incv.runner import checkpoint, files
from incv.runner.settings import Settings


def test_a_result_of_other_settings_under_the_same_name_is_left_alone(small_run, tmp_path):
    """As after another version, whose defaults were others."""
    shutil.copytree(small_run[0], tmp_path, dirs_exist_ok=True)
    file = tmp_path / FOLDER / f"{SMALL_NAME}.json"
    file.write_text(file.read_text().replace('"batch_size": 32', '"batch_size": 16'))
    before = {name: (tmp_path / FOLDER / name).read_bytes() for name in files_in(tmp_path)}
    result = run(SMALL, tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and "batch_size 16, not 32" in result.err
    assert {name: (tmp_path / FOLDER / name).read_bytes() for name in files_in(tmp_path)} == before


@pytest.mark.slow
def test_another_dataset_of_the_same_name_is_not_taken_for_finished(tmp_path):
    table, y = mixed_table(60)
    table.assign(kind=y).to_csv(tmp_path / "mixed.csv", index=False)
    options = ["--dataset", "mixed.csv", "--label", "kind", *ONE_EPOCH]
    assert run(options, tmp_path).code == 0
    assert "finished already" in run(options, tmp_path).out
    table.assign(kind=np.roll(y, 1)).to_csv(tmp_path / "mixed.csv", index=False)
    changed = run(options, tmp_path)
    assert changed.code == 2 and changed.err.count("\n") == 1 and "dataset_checksum" in changed.err
    assert "--overwrite" in changed.err and run([*options, "--overwrite"], tmp_path).code == 0


def test_names_that_are_too_long_are_refused_before_training(tmp_path):
    """What a run writes at its end has longer names than what it writes while it trains."""
    table, y = mixed_table(60)
    long = table.columns[0] + "é" * 110
    table.assign(kind=y).rename(columns={table.columns[0]: long}).to_csv(tmp_path / "mixed.csv", index=False)
    options = ["--dataset", "mixed.csv", "--label", "kind", *ONE_EPOCH]
    for command, script in (([*options, "--drop", long], "INCV.py"), ([*options, "--drop", long], "INCV_main.py"),
                            ([*options, "--export", "e" * 252 + ".csv"], "INCV.py")):
        result = run(command, tmp_path, script)
        one_line(result, "too long")
        assert not (tmp_path / "results").exists()
    edge = 255 - len("_label_issues.csv")
    files.check_names(tmp_path / ("a" * edge))
    with pytest.raises(utils.UserError, match="by 1 byte:"):
        files.check_names(tmp_path / ("a" * (edge + 1)))


@pytest.mark.parametrize("content", ["", "[]", "null", '{"settings": null}', '{"settings": "x"}'])
def test_a_damaged_json_is_no_finished_run(tmp_path, content):
    (tmp_path / "run.csv").touch()
    (tmp_path / "run.json").write_text(content)
    assert not files.is_finished(tmp_path / "run", Settings(seed=0))


def test_a_damaged_json_that_a_run_replaces_is_told(tmp_path):
    table, y = mixed_table(60)
    table.assign(kind=y).to_csv(tmp_path / "mixed.csv", index=False)
    options = ["--dataset", "mixed.csv", "--label", "kind", *ONE_EPOCH]
    assert "replaces it" not in run(options, tmp_path).out
    file, = (tmp_path / "results").rglob("INCV_seed0*.json")
    file.write_text("[]")
    result = run(options, tmp_path)
    assert result.code == 0 and f"{file.name}: damaged, of no run" in result.out and json.loads(file.read_text())["settings"]
    report = file.with_name(file.stem + "_report.html")
    assert "missing" not in run(options, tmp_path).out
    report.unlink()
    assert "its _report.html is missing" in run(options, tmp_path).out


def test_what_a_kill_at_the_very_end_leaves_is_removed(small_run, tmp_path):
    shutil.copytree(small_run[0], tmp_path, dirs_exist_ok=True)
    for ending in (".checkpoint", ".checkpoint.previous", ".lock"):
        (tmp_path / FOLDER / f"{SMALL_NAME}{ending}").touch()
    assert "finished already" in run(SMALL, tmp_path).out
    assert files_in(tmp_path) == files_in(small_run[0])


def test_a_changed_result_is_not_reused(quick_copy):
    place = next(quick_copy.rglob(f"{QUICK_NAME}.csv"))
    whole = place.read_text()
    place.write_text("".join(whole.splitlines(keepends=True)[:50]))
    main = ["--incv_epochs" if word == "--epochs" else word for word in QUICK]
    one_line(run([*main, "--epochs", 1], quick_copy, "INCV_main.py"), f"{QUICK_NAME}.csv: changed since the run wrote it")
    one_line(run([*QUICK, "--export", "kept.csv"], quick_copy), f"{QUICK_NAME}.csv: changed since the run wrote it")
    assert not (quick_copy / "kept.csv").exists()
    # Without checksums, a JSON is not one that a run wrote.
    place.write_text(whole)
    file = place.with_suffix(".json")
    found = json.loads(file.read_text())
    del found["checksums"]
    file.write_text(json.dumps(found))
    one_line(run([*QUICK, "--export", "kept.csv"], quick_copy), f"{QUICK_NAME}.json: damaged")


@pytest.mark.parametrize("change", [{"checksums": [1]}, {"checksums": None}, {"code_revision": [1, 2]}])
def test_an_edited_json_of_a_finished_run_is_one_line(quick_copy, change):
    file = next(quick_copy.rglob(f"{QUICK_NAME}.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    result = run(QUICK, quick_copy)
    assert result.code == 2 and "Traceback" not in result.err, result.err
    assert f"{QUICK_NAME}.json: damaged; restore it, or repeat the command with --overwrite" in result.err


# --- what is no file --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("ending", [".json", ".csv", "_out_of_fold.csv", ".checkpoint"])
def test_a_pipe_in_the_place_of_a_result_is_not_opened(quick_copy, ending):
    file = next(quick_copy.rglob(f"{QUICK_NAME}.json")).with_name(f"{QUICK_NAME}{ending}")
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    path = file.with_name(QUICK_NAME)
    if ending == ".checkpoint":
        assert checkpoint.load_checkpoint(path, {})[0] == {}
        return
    with pytest.raises(utils.UserError, match=f"{ending}: not a regular file; remove it"):
        files.checked(path, ending if ending != ".json" else ".csv")
    if ending != "_out_of_fold.csv":
        result = run(QUICK, quick_copy)
        assert result.code == 2 and f"{file.name}: not a regular file; remove it" in result.err and "Trace" not in result.err


HEAD = "y,y_noisy,select,candidate,eval_ratio\n"
FOREIGN = {"eval_ratio 7": HEAD + 100 * "1,1,True,False,7\n", "eval_ratio −1": HEAD + 100 * "1,1,True,False,-1\n",
           "no eval_ratio": HEAD + 100 * "1,1,True,False,\n", "another word": HEAD + 100 * "1,1,yes,False,0.3\n", "empty": "",
           "a head": HEAD, "other columns": "a,b\n" + 100 * "1,2\n", "cut rows": HEAD + 100 * "1,1\n",
           "both": HEAD + 100 * "1,1,True,True,0.3\n", "fewer rows": HEAD + 99 * "1,1,True,False,0.3\n",
           "binary": bytes(range(256)), "UTF-16": HEAD.encode("utf-16")}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_result_that_no_run_wrote_is_refused_in_one_line(quick_copy, case):
    """Although the JSON, made elsewhere, has the CSV's checksum."""
    [place] = quick_copy.rglob(f"{QUICK_NAME}.json")
    path, content = place.with_name(QUICK_NAME), FOREIGN[case]
    files.beside(path, ".csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    provenance = json.loads(place.read_text())
    provenance["checksums"][".csv"] = files.checksum(files.beside(path, ".csv"))
    place.write_text(json.dumps(provenance))
    words = f"{QUICK_NAME}.csv: (not as a run writes it|has 99 rows|100 rows selected and)"
    with pytest.raises(utils.UserError, match=words) as error:
        files.read_csv(path, {"y_noisy": str, "select": bool, "candidate": bool, "eval_ratio": files.Fraction})
    assert "\n" not in str(error.value)
    if case == "eval_ratio 7":
        place_of = QUICK.index("--iterations")
        options = [*QUICK[:place_of], *QUICK[place_of + 2:]]
        one_line(run([*options, "--selection", place.with_suffix(".csv")], quick_copy, "INCV_main.py"), "eval_ratio from 7.0")


def test_writing_touches_no_other_file(tmp_path):
    """Neither what is called like an incomplete file, nor what a link leads to; the file has the usual permissions."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run.csv").symlink_to(tmp_path / "precious")
    (tmp_path / "run.csv.part").write_text("mine too")
    files.write_text(tmp_path / "run.csv", "a,b\n")
    assert (tmp_path / "precious").read_text() == "mine" and (tmp_path / "run.csv.part").read_text() == "mine too"
    assert (tmp_path / "run.csv").read_text() == "a,b\n" and not (tmp_path / "run.csv").is_symlink()
    assert (tmp_path / "run.csv").stat().st_mode == (tmp_path / "precious").stat().st_mode
    with pytest.raises(OSError) as error:
        files.write_text(tmp_path / "none" / "run.csv", "a,b\n")
    assert error.value.filename == str(tmp_path / "none" / "run.csv")
    assert len(os.listdir(tmp_path)) == 3


def test_what_a_killed_process_was_writing_is_removed_with_the_next_lock(tmp_path):
    for name in ("run.csv", "run.checkpoint.new", "run_epochs2.csv"):  # the last one is another run's
        before, after = utils.parts_of(name).split("*")
        for number in range(2):
            (tmp_path / f"{before}{number}{after}").mkdir()
        (tmp_path / f"{before}0{after}" / name).write_text("half")  # the other one: killed before the file was there
    with files.locked(tmp_path / "run"):
        pass
    assert set(tmp_path.iterdir()) == set(tmp_path.glob(utils.parts_of("run_epochs2.csv"))) and len(os.listdir(tmp_path)) == 2


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


def test_a_file_that_cannot_be_removed_keeps_the_result(quick_copy):
    place = next(quick_copy.rglob(f"{QUICK_NAME}.json"))
    drawn = place.with_suffix(".png")
    drawn.unlink()
    (drawn / "of somebody").mkdir(parents=True)
    before = {file: file.read_bytes() for file in place.parent.iterdir() if file.is_file()}
    one_line(run([*QUICK, "--overwrite"], quick_copy), f"{drawn.name}: Is a directory")
    assert {file: file.read_bytes() for file in place.parent.iterdir() if file.is_file()} == before


def test_a_file_that_cannot_be_moved_keeps_the_result(quick_copy):
    """Such as one that only its owner may change, or that is immutable: nothing is removed before all can be."""
    place = next(quick_copy.rglob(f"{QUICK_NAME}.json"))
    fixed = place.with_name(f"{QUICK_NAME}_history.csv")
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", fixed], capture_output=True).returncode:
        pytest.skip("no file can be made immutable here")
    before = contents(place.parent)
    try:
        one_line(run([*QUICK, "--overwrite"], quick_copy), f"{fixed.name}: Operation not permitted")
        assert contents(place.parent) == before
    finally:
        subprocess.run(["chattr", "-i", fixed], check=True)


@pytest.mark.parametrize("ending", ["_history.csv", ".checkpoint", "_report.html"])
def test_a_folder_where_a_file_of_a_run_will_be_is_told_before_training(tmp_path, ending):
    place = files.beside(tmp_path / "results" / "digits" / "sym" / "0.5" / QUICK_NAME, ending)
    place.mkdir(parents=True)
    result = run(QUICK, tmp_path)
    one_line(result, f"{place.name}: Is a directory; fix this and rerun the same command")
    assert "INCV on" not in result.out and place.is_dir()


def test_a_link_to_nothing_is_told_as_that(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for place in ("gone", "gone/below"):
        with pytest.raises(utils.UserError, match=f"{place}: .*gone is a link to nothing; give another --results_dir"):
            files.check_writable(tmp_path / place)
    (tmp_path / "nowhere").mkdir()
    files.check_writable(tmp_path / "gone/below")
