"""What a command prints, on a terminal, to a closed pipe and in any encoding."""
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

import pytest
from conftest import PROJECT, SMALL

from incv import utils
from incv.runner import console


def test_the_progress_line_fits_a_terminal(tmp_path):
    """On a terminal of 80 columns the line is redrawn in place, says the time left, and is left standing by Ctrl-C."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen([sys.executable, str(PROJECT / "INCV.py"), *SMALL, "--epochs", "200"], cwd=tmp_path,
                               stdout=slave, stderr=subprocess.PIPE, text=True,
                               env={k: v for k, v in os.environ.items() if k != "COLUMNS"})
    os.close(slave)
    seen = ""
    while seen.count("\r") < 8:
        seen += os.read(master, 10000).decode()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    os.close(master)
    drawn = [line for line in seen.split("\r") if " left, iter " in line][:-1]
    assert drawn and all("%|" in line and len(line) < 80 and "\n" not in line for line in drawn)
    assert process.returncode == 130 and err.count("\n") == 1


def test_closed_output_gives_no_traceback(small_run):
    closed = subprocess.run(f"'{sys.executable}' '{PROJECT / 'INCV.py'}' {' '.join(SMALL)} >&-", cwd=small_run[0],
                            shell=True, text=True, capture_output=True)
    assert closed.returncode == 0 and closed.stderr == ""


@pytest.mark.slow
def test_a_reader_that_stops_reading_gives_no_traceback(tmp_path):
    done = subprocess.run(f"'{sys.executable}' '{PROJECT / 'INCV.py'}' {' '.join(SMALL)} | head -n 1", cwd=tmp_path,
                          shell=True, text=True, capture_output=True)
    assert done.stdout.startswith("INCV on 200 samples") and done.stderr == ""


def test_output_that_cannot_be_encoded_is_escaped():
    program = ("import sys; sys.path.insert(0, sys.argv[1]); from incv.runner import console;"
               "console.print_any_text(); print('1 ± 2, κ')")
    done = subprocess.run([sys.executable, "-c", program, str(PROJECT)], capture_output=True, text=True,
                          env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stdout == "1 \\xb1 2, \\u03ba\n" and done.stderr == ""


def test_a_second_command_of_a_process_repeats_its_warnings(capsys):
    """As in a notebook, where modules stay imported."""
    def main():
        for _ in range(2):
            if console.first_time(("warnings", "results/flowers")):
                print("warning: one")

    for _ in range(2):
        console.run_command("INCV.py", main)
    assert capsys.readouterr().out == "warning: one\nwarning: one\n"


def test_a_long_epoch_has_lines_of_its_own(monkeypatch, capsys):
    """An epoch of minutes prints where it is every half minute; a short one at its end alone."""
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    progress = console.Progress()
    for batch, seconds in enumerate((1, 1, 40, 1), start=1):
        now[0] += seconds
        progress.show(batch / 10, f"batch {batch}", False)
    progress.show(0.5, "end", True)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["batch 3", "end"]


def test_a_long_cell_makes_no_long_line():
    line = console.explanation(utils.UserError(f"t.csv: {'x' * 10 ** 7}: fix it"))
    assert len(line) < 2 * console.LONGEST_LINE and line.startswith("t.csv: xxx") and line.endswith("xxx: fix it")


def test_closed_standard_streams_take_no_files_place(tmp_path):
    """Otherwise the first file that is opened gets the number of a stream, into which libraries print."""
    code = ("import os, sys; from incv.runner import console\n"
            "console.run_command('x', lambda: open('a', 'w').write(str([os.fstat(n).st_rdev for n in range(3)])) and None)")
    subprocess.run(["sh", "-c", f'{sys.executable} -c "$0" 0>&- 1>&- 2>&-', code], cwd=tmp_path, check=True,
                   env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert (tmp_path / "a").read_text() == str([os.stat(os.devnull).st_rdev] * 3)


def interrupted(main):
    """The process of a command whose main() is this code, in which press() is Ctrl-C."""
    code = ("import os, signal, sys, time; from incv.runner import console\n"
            "press = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
            f"{main}\n"
            "console.run_command('x', main)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert done.returncode == 130 and done.stderr.count("\n") == 1 and "interrupted" in done.stderr, done
    return done


@pytest.mark.parametrize("presses, reached", [(1, "batch finished\n"), (2, "")])
def test_ctrl_c_within_a_batch_waits_for_its_end_the_second_one_does_not(presses, reached):
    done = interrupted("from incv import utils\nwith utils.native_stderr_silenced():\n    import keras\n"
                       "def batch(_):\n"
                       f"    for _ in range({presses}):\n        press()\n"
                       "    print('batch finished')\n"
                       "def main():\n"
                       "    keras.tree.map_structure(batch, [1])\n"
                       "    console.Progress(quiet=True).show(0.5, 'epoch', False)\n"
                       "    print('never')")
    assert done.stdout == reached


@pytest.mark.slow
def test_ctrl_c_ends_a_prediction():
    interrupted("import numpy as np\nfrom incv import utils\nfrom incv.runner import predict\n"
                "with utils.native_stderr_silenced():\n    import keras\n"
                "def main():\n"
                "    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])\n"
                "    keras.tree.map_structure(lambda _: press(), [1])\n"
                "    predict.averaged([network], np.zeros((5, 2)))\n"
                "    print('never')")


def test_what_a_library_raises_after_ctrl_c_is_no_traceback():
    """As zipfile does, which cannot close a file that is half written."""
    interrupted("def main():\n"
                "    try:\n        press()\n"
                "    finally:\n        raise ValueError('open writing handle')")


def test_ctrl_c_that_a_destructor_swallows_is_raised_again():
    """Python prints "Exception ignored" where a signal comes while it tidies up an object, and goes on."""
    interrupted("class Tidied:\n    def __del__(self):\n        press()\n"
                "def main():\n    Tidied()\n    time.sleep(600)")


def test_ctrl_c_after_the_last_line_changes_nothing():
    interrupted("def main():\n"
                "    import atexit\n    atexit.register(press)\n    press()")


def test_an_earlier_ctrl_c_of_the_process_does_not_interrupt_the_next_command(monkeypatch):
    """As in a notebook: neither at its first batch, nor as the reason for an error."""
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(console.interrupt, "pressed", True)

    def main():
        console.Progress(quiet=True).show(0.5, "epoch", False)
        raise ValueError("of the next command")

    try:
        with pytest.raises(ValueError, match="of the next command"):
            console.run_command("INCV.py", main)
    finally:
        signal.signal(signal.SIGINT, before)
