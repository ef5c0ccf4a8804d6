"""The table of test accuracies, from the files of all finished runs of INCV_main.py.

    python table.py            # or the results folder of --results_dir

Writes results/table.csv and results/table.md: a row for every setting and method with the mean and the standard deviation
over its runs, their number, and the published value beside it. Where there are several methods,
results/(dataset)/INCV_main_methods.png shows them by epoch.
"""
import sys
from pathlib import Path

import tables

if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else "results"
    if not Path(folder).is_dir():
        sys.exit(f"table.py: {folder}: no such folder; give the results folder of --results_dir")
    tables.write_accuracies(folder)
