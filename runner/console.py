"""The output of a command: progress with the time left and one-line errors; and the handling of Ctrl-C."""
import contextlib
import math
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

from incv import utils
from incv.utils import tqdm


def print_any_text():
    """Make standard output and error escape characters that their encoding lacks, such as ±, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def run_command(prog, main, resumes=True):
    """Call main() and exit; print errors that the user can fix in one line on stderr, without a traceback.

    resumes: whether the command, repeated after an interruption, resumes where it stopped.
    """
    interrupt.pressed = False  # in another command of the same process
    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = _swallowed
    _told.clear()  # of another command of the same process, as in a notebook
    _open_closed_streams()
    print_any_text()
    try:
        main()
        return sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # nobody reads it
        sys.exit(141)
    except (utils.UserError, OSError) as error:
        code, message = 2, explanation(error)
        try:
            sys.stdout.flush()
        except OSError:
            _discard_output()  # otherwise Python would report the error again at exit
    except RecursionError:
        code, message = 2, "a file, or the folders in a folder, are nested too deeply to be read"
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt) and not (interrupt.pressed and isinstance(error, Exception)):
            raise
        # Ctrl-C, or what a library raised when it tidied up after it. With --overwrite the same command would repeat
        # finished runs.
        same = "the same command" + (" without --overwrite" if "--overwrite" in sys.argv else "")
        code, message = 130, f"interrupted; {same} resumes from the last finished epoch" if resumes else "interrupted"
    if code == 130:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C changes nothing any more
    if sys.stdout.isatty():
        print()  # keep the progress bar on the screen
    print(f"{prog}: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def _open_closed_streams():
    """Open the standard streams that the shell has closed, so that no file takes their place, into which libraries print."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    sys.stdout, sys.stderr = sys.stdout or open(os.devnull, "w"), sys.stderr or open(os.devnull, "w")


def _discard_output():
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_told = set()  # what `first_time` was asked since the command began


def first_time(key):
    """Return whether nobody has asked for this key since the command began: for warnings that several runs share."""
    known = key in _told
    _told.add(key)
    return not known


def explanation(error):
    """Return one line that says what is wrong and what to do."""
    text = f"{error.filename or 'output'}: {error.strerror or error}; fix this and rerun the same command" if isinstance(
        error, OSError) else str(error)
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE - 400]} … {line[-400:]}"


LONGEST_LINE = 4000  # letters of an error, which may contain a cell of a file

PATIENCE = 30  # seconds without a line, after which one is printed within a long epoch
tqdm.monitor_interval = 0  # no thread that redraws


class Progress:
    """One progress bar for all runs of a command, with the time left; a line per epoch if output is not a terminal.

    Parameters
    ----------
    quiet : bool
        Whether to hide progress.
    number : int
        The number of runs.
    reported : pathlib.Path, optional
        A file for the finished fraction of the run, which another process reads.

    Attributes
    ----------
    finished : int
        The number of finished runs; the caller increments it.
    where : str
        The last text, shown or not.
    """

    def __init__(self, quiet=False, number=1, reported=None):
        self.quiet, self.number, self.reported = quiet, number, reported
        self.live, self.finished, self.where, self.bar = sys.stdout.isatty(), 0, "", None
        self.printed = time.monotonic()  # the last line, if output is not a terminal

    def show(self, fraction, text, end_of_epoch):
        """Update the bar, after each batch. fraction: the finished part of the current run; text: its stage."""
        if interrupt.pressed:
            raise KeyboardInterrupt
        if self.reported and end_of_epoch:
            with contextlib.suppress(OSError):
                self.reported.write_text(str(fraction))
        self.where, done = text, self.finished + fraction
        if self.quiet:
            return
        if self.bar is None:  # time is measured from here, because the first batch includes the compilation
            self.bar = tqdm(desc=text, total=self.number, initial=done, smoothing=0, file=sys.stdout, dynamic_ncols=True,
                            mininterval=0.2, leave=False, delay=0 if self.live else math.inf, bar_format=(
                                "{percentage:3.0f}%|{bar:10}| {remaining} left, {desc}" if self.live else
                                "{desc}, {remaining} left"))
        self.bar.desc = text if self.number == 1 or "runs" in text else f"run {self.finished + 1}/{self.number} {text}"
        self.bar.update(done - self.bar.n)
        if not self.live and (end_of_epoch or time.monotonic() - self.printed > PATIENCE):
            print(self.bar, flush=True)
            self.printed = time.monotonic()

    def part(self, begin, end):
        """Return a view of this bar for a stage of the run, which begins and ends at these fractions of it."""
        def show(fraction, text, end_of_epoch):
            self.show(begin + (end - begin) * fraction, text, end_of_epoch)

        return SimpleNamespace(show=show, say=self.say, quiet=self.quiet)

    def say(self, line, file=None):
        """Print a line that stays on the screen, to standard output by default."""
        if self.bar and self.live:
            self.bar.clear()
        print(line, file=file or sys.stdout, flush=True)


def interrupt(signum, frame):
    """Handle Ctrl-C; a library's callback may swallow the exception, so `Progress.show` raises it again.

    Within a batch, `Progress.show` alone raises it, after the batch: a backend that an exception leaves in the middle may
    crash. A second Ctrl-C does not wait.
    """
    again, interrupt.pressed = interrupt.pressed, True
    if again or not _in_backend(frame):
        raise KeyboardInterrupt


interrupt.pressed = False


def _in_backend(frame):
    """Return whether Keras or its backend is computing, rather than being imported, in this frame or one that called it."""
    modules = set()
    while frame is not None:
        modules.add(frame.f_globals.get("__name__", "").split(".")[0])
        frame = frame.f_back
    return not modules.isdisjoint({"keras", "tensorflow", "jax"}) and "importlib" not in modules


def _swallowed(unraisable):
    """Raise a Ctrl-C again that came where Python cannot raise it, as in the destructor of an object; report other errors."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        return sys.__unraisablehook__(unraisable)
    again = threading.Timer(0.1, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    again.daemon = True
    again.start()
