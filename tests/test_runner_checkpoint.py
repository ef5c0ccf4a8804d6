"""A run that is killed, interrupted or out of time goes on from its checkpoint and ends with the same bytes."""
import glob
import hashlib
import json
import re
import resource
import shutil
import signal
import time

import numpy as np
import pytest
from conftest import (
    FOLDER,
    INCV_FILES,
    LONG,
    LONG_NAME,
    SMALL,
    SMALL_NAME,
    files_in,
    finished_names,
    one_line,
    run,
    run_to_first_checkpoint,
    start,
    wait_for_epoch,
)

from incv.runner import checkpoint, files
from incv.runner.settings import Settings

EPOCHS = 100


def kill(process):
    process.kill()
    out, _ = process.communicate()
    return out.splitlines(keepends=True)


def wait_for_file(process, path):
    """Return (nothing read) as soon as the file is there; a writer that is quicker than one look is waited for again."""
    while not glob.glob(str(path)):
        assert process.poll() is None, f"{path} never appeared"
    return []


@pytest.mark.slow
def test_a_run_does_not_resume_under_variables_that_change_bits(tmp_path):
    """A checkpoint without variables, such as one of an earlier version, counts as one of a run for which none was set."""
    run_to_first_checkpoint(SMALL, tmp_path)
    other = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    one_line(run(SMALL, tmp_path, environment=other), "unfinished run of other settings",
             "environment None, not TF_ENABLE_ONEDNN_OPTS=0")
    done = run(SMALL, tmp_path, environment={"TF_ENABLE_ONEDNN_OPTS": ""})
    assert done.code == 0 and "resuming" in done.out, done.err
    settings = json.loads((tmp_path / FOLDER / f"{SMALL_NAME}.json").read_text())["settings"]
    assert "environment" not in settings
    reused = run(SMALL, tmp_path, environment=other)
    assert reused.code == 0 and "finished already" in reused.out, reused.err


def test_variables_are_compared_in_both_directions():
    plain, other = Settings.from_json({"seed": 0}), Settings.from_json({"seed": 0, "environment": "XLA_FLAGS=x"})
    assert plain.differences(other) == "environment XLA_FLAGS=x, not None" and not plain.differences(plain)
    assert other.differences(plain) == "environment None, not XLA_FLAGS=x" and not other.differences(other)


@pytest.mark.slow
def test_killed_five_times(unbroken, unbroken_history, tmp_path):
    base = tmp_path / FOLDER / LONG_NAME
    printed = []

    def killed(moment, **options):
        process = start(LONG, tmp_path, **options)
        printed.extend(moment(process) or [])
        printed.extend(kill(process))

    def in_an_epoch(process, after, fraction):
        """Into the epoch after the next `after`, by a fraction of the time that those took each."""
        lines = wait_for_epoch(process, 1)
        begun = time.monotonic()
        lines += wait_for_epoch(process, after)
        time.sleep(fraction * (time.monotonic() - begun) / after)
        return lines

    killed(lambda process: time.sleep(3), fresh=True)  # while the backend starts
    killed(lambda process: in_an_epoch(process, 3, 0.5))
    # a checkpoint is being written
    killed(lambda process: wait_for_file(process, f"{base.parent}/.incv-*/{LONG_NAME}.checkpoint.new"))
    killed(lambda process: wait_for_epoch(process, 40))  # in the second iteration
    killed(lambda process: wait_for_file(process, f"{base}.csv"))  # results are being written
    last = run(LONG, tmp_path)
    assert last.code == 0, last.err
    printed += last.out.splitlines(keepends=True)
    assert (base.with_name(base.name + ".csv")).read_bytes() == unbroken
    assert (base.with_name(base.name + "_history.csv")).read_bytes() == unbroken_history
    assert sorted(path.name for path in base.parent.iterdir()) == [
        LONG_NAME + ending for ending in INCV_FILES]
    # An epoch's line is printed after its checkpoint is written: what was printed is never repeated, and what a kill undid
    # is at most the one epoch under way.
    epochs = [line.split(" loss")[0] for line in printed if "held-out acc" in line]
    assert len(epochs) == len(set(epochs)) and EPOCHS - 10 <= len(epochs) <= EPOCHS
    assert sum(line.startswith("resuming at") for line in printed) >= 2  # some were killed before they could say so


@pytest.mark.slow
def test_stopped_by_the_time_limit_twice(unbroken, unbroken_history, tmp_path):
    """Each time on another machine: of the run, its checkpoint alone is carried there."""
    epochs = 0
    for number in range(2):
        base = tmp_path / str(number) / FOLDER / LONG_NAME
        base.parent.mkdir(parents=True)
        if number:
            shutil.copy(tmp_path / str(number - 1) / FOLDER / f"{LONG_NAME}.checkpoint", base.parent)
        stopped = run([*LONG, "--time_limit", 0.01, "--quiet"], tmp_path / str(number))
        assert stopped.code == 0 and stopped.err == "", stopped.err
        last = stopped.out.splitlines()[-1]
        found = re.match(r"stopped by --time_limit at iter 1/2 half 1/2 epoch (\d+)/25: 1 of 1 runs unfinished", last)
        assert found and int(found[1]) > epochs, last
        epochs = int(found[1])
        assert not base.with_name(base.name + ".json").exists()
    waiting = run([*LONG, "--seed", 0, 1, "--time_limit", 0, "--n_jobs", 2], tmp_path / "1", fresh=True)
    assert waiting.code == 0 and waiting.out.endswith("stopped by --time_limit: 2 of 2 runs unfinished; the same command "
                                                      "resumes\n")
    last = run([*LONG, "--time_limit", 60], tmp_path / "1")
    assert last.code == 0 and f"resuming at iteration 1, half 1, epoch {epochs + 1}" in last.out, last.err
    assert base.with_name(base.name + ".csv").read_bytes() == unbroken
    assert base.with_name(base.name + "_history.csv").read_bytes() == unbroken_history


@pytest.mark.slow
def test_ctrl_c_leaves_one_line_and_a_state_to_go_on_from(unbroken, tmp_path):
    process = start(LONG, tmp_path)
    wait_for_epoch(process, 1)
    # Meanwhile a second run on the same files is turned away.
    second = run(LONG, tmp_path)
    assert second.code == 2 and second.err.count("\n") == 1 and "another run" in second.err
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and err.count("\n") == 1 and "interrupted" in err
    # The newest state may just have been on its way into its place.
    assert set(files_in(tmp_path)) <= {f"{LONG_NAME}.checkpoint{ending}" for ending in ("", ".previous", ".new")}
    resumed = run(LONG, tmp_path)
    assert resumed.code == 0 and "resuming at iteration" in resumed.out
    assert (tmp_path / FOLDER / f"{LONG_NAME}.csv").read_bytes() == unbroken
    assert files_in(tmp_path) == finished_names(LONG_NAME)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_keeps_the_state(tmp_path):
    def no_file_above_30_kilobytes():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    process = start(LONG, tmp_path)
    wait_for_epoch(process, 1)
    process.kill()
    process.communicate()
    before = {name: (tmp_path / FOLDER / name).read_bytes() for name in files_in(tmp_path) if "checkpoint" in name}
    full = run(LONG, tmp_path, preexec_fn=no_file_above_30_kilobytes)
    assert full.code == 2 and full.err.count("\n") == 1 and "too large" in full.err and "checkpoint" in full.err
    assert {name: (tmp_path / FOLDER / name).read_bytes() for name in before} == before
    assert not any(name.endswith((".part", ".lock")) for name in files_in(tmp_path))


@pytest.mark.slow
def test_damaged_and_foreign_checkpoints_are_said(unbroken, tmp_path):
    process = start(LONG, tmp_path)
    wait_for_epoch(process, 3)
    process.kill()
    process.communicate()
    newest = tmp_path / FOLDER / f"{LONG_NAME}.checkpoint"
    raw = bytearray(newest.read_bytes())
    raw[len(raw) // 2] ^= 1
    newest.write_bytes(raw)
    # One of two is damaged: the run resumes from the other, which is one epoch older, and ends with the same bytes.
    result = run(LONG, tmp_path)
    first = result.out.splitlines()
    assert result.code == 0 and "is damaged: resuming from the one before" in first[0] and "resuming at" in first[2]
    assert (tmp_path / FOLDER / f"{LONG_NAME}.csv").read_bytes() == unbroken

    process = start([*SMALL, "--seed", 1], tmp_path)
    wait_for_epoch(process, 1)
    process.kill()
    process.communicate()
    # Another thread count would not give the same bytes: nothing is lost unless the user says so.
    checkpoint = next((tmp_path / FOLDER).glob("*.checkpoint")).read_bytes()
    other = run([*SMALL, "--seed", 1, "--threads", 2], tmp_path)
    assert other.code == 2 and other.err.count("\n") == 1 and "other settings (threads 1, not 2): --overwrite" in other.err
    assert next((tmp_path / FOLDER).glob("*.checkpoint")).read_bytes() == checkpoint
    again = run([*SMALL, "--seed", 1, "--threads", 2, "--overwrite"], tmp_path)
    assert again.code == 0 and "resuming" not in again.out
    assert files_in(tmp_path) == sorted(finished_names(LONG_NAME) + finished_names(SMALL_NAME.replace("seed0", "seed1")))


# --- the file ---------------------------------------------------------------------------------------------------------

def test_a_kill_while_a_checkpoint_is_put_into_place_loses_nothing(tmp_path):
    """Each state of the files that a kill can leave is gone on from, with a damaged one beside it."""
    def saved(number):
        checkpoint.save_checkpoint(tmp_path / "run", Settings(seed=0), epoch=number)

    def found():
        return int(checkpoint.load_checkpoint(tmp_path / "run", Settings(seed=0))[0]["epoch"])

    new, current, previous = (tmp_path / f"run.checkpoint{ending}" for ending in (".new", "", ".previous"))
    saved(1)
    saved(2)
    assert found() == 2
    current.rename(new)  # as before the second replacement
    assert found() == 2
    previous.write_bytes(b"damaged")
    assert found() == 2
    saved(3)
    assert found() == 3 and not new.exists()


def test_every_flipped_byte_of_a_checkpoint_is_noticed(tmp_path):
    path, settings = tmp_path / "run", Settings.from_json({"seed": 0})
    checkpoint.save_checkpoint(path, settings, state=np.arange(50, dtype=np.float32))
    file = tmp_path / "run.checkpoint"
    whole = file.read_bytes()
    for position in [*range(0, len(whole), 13), len(whole) - 1]:
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1:])
        arrays, complaint = checkpoint.load_checkpoint(path, settings)
        assert arrays == {} and "damaged" in complaint
    for length in (0, 1, 31, 32, 33, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert "damaged" in checkpoint.load_checkpoint(path, settings)[1]
    file.write_bytes(whole)
    assert (checkpoint.load_checkpoint(path, settings)[0]["state"] == np.arange(50)).all()


def test_an_unfinished_run_is_not_lost_to_another_dataset_of_the_same_name(tmp_path):
    settings = Settings.from_json({"dataset": "photos", "dataset_checksum": "1", "threads": 1})
    checkpoint.save_checkpoint(tmp_path / "run", settings, epoch=5)
    with pytest.raises(files.OtherSettings, match="dataset_checksum 1, not 2"):
        checkpoint.load_checkpoint(tmp_path / "run", settings.having(dataset_checksum="2"))
    with pytest.raises(files.OtherSettings, match="threads 1, not 2"):
        checkpoint.load_checkpoint(tmp_path / "run", settings.having(threads=2))


def forged(**changes):
    """The arrays of a checkpoint of INCV.py, some of them other ones; None for none."""
    history = [{"iteration": 1, "half": 1, "epoch": 1, "heldout_accuracy": 0.5}]
    arrays = {"state": np.zeros(5, np.float32), "epoch": 1, "training": 0, "best": 0.5, "chosen": np.full((4, 2), 0.5),
              "finished000": np.full((4, 2), 0.5), "history": json.dumps(history), "sessions": "[]", "wall_seconds": 1.5}
    return {name: value for name, value in (arrays | changes).items() if value is not None}


@pytest.mark.parametrize("change", [
    {"state": np.zeros((5, 5))}, {"state": "text"}, {"epoch": -1}, {"epoch": 3}, {"epoch": 1.5}, {"epoch": [1, 2]},
    {"training": -2}, {"best": "x"}, {"best": [0.5]}, {"chosen": np.full((4, 2), np.nan)}, {"chosen": np.full((4, 2), 0.9)},
    {"finished000": np.zeros(4)}, {"finished000": np.full((4, 2), -0.5)}, {"finished007": np.full((4, 2), 0.5)},
    {"history": "[[1]]"}, {"history": "nothing"}, {"history": "[" * 100000}, {"history": 5}, {"sessions": "{}"},
    {"wall_seconds": np.inf}, {"wall_seconds": "x"}])
def test_a_forged_checkpoint_is_damaged(tmp_path, change):
    """Its checksum fits, but no run saves that."""
    settings = Settings.from_json({"seed": 0, "epochs": 2})
    checkpoint.save_checkpoint(tmp_path / "run", settings, **forged())
    assert checkpoint.load_checkpoint(tmp_path / "run", settings)[1] == ""
    checkpoint.save_checkpoint(tmp_path / "run", settings, **forged(**change))
    arrays, complaint = checkpoint.load_checkpoint(tmp_path / "run", settings)
    assert "run.checkpoint is damaged" in complaint and arrays["epoch"] == 1


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(40), b"\x93NUMPY\x01\0v\0{'descr': '<f8'"])
def test_bytes_that_are_no_checkpoint_are_damaged(tmp_path, content):
    (tmp_path / "run.checkpoint").write_bytes(hashlib.sha256(content).digest() + content)
    assert "is damaged" in checkpoint.load_checkpoint(tmp_path / "run", Settings(seed=0))[1]


@pytest.mark.parametrize("change", [{"state": np.zeros(7, np.float32)}, {"history": "[{}]"}])
def test_a_forged_checkpoint_that_does_not_fit_the_run_is_one_line(tmp_path, change):
    run_to_first_checkpoint(SMALL, tmp_path)
    path = tmp_path / FOLDER / SMALL_NAME
    [file] = path.parent.glob("*.checkpoint")
    settings, arrays = checkpoint.read_checkpoint(file)
    checkpoint.save_checkpoint(path, settings, **arrays | change)
    one_line(run(SMALL, tmp_path), ".checkpoint is damaged")
