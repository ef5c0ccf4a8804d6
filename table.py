"""Write the table of test accuracies of all finished runs of INCV_main.py.

    python table.py            # or python table.py FOLDER, another --results_dir

Writes results/table.csv and results/table.md: mean and standard deviation over the runs of each setting and method, their
number, and the published value; and, for settings with several methods, results/(dataset)/INCV_main_methods.png, the test
accuracy by epoch.
"""
import argparse
from pathlib import Path

import command
import tables


def main():
    parser = command.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results_dir", nargs="?", default="results", help="default: results")
    folder = parser.parse_args().results_dir
    if not (folder and Path(folder).is_dir()):
        parser.error(f"{folder!r}: no such folder; give the results folder of --results_dir")
    tables.write_accuracies(folder)


if __name__ == "__main__":
    command.run_command("table.py", main, resumes=False)
