"""Write the table of test accuracies of all finished runs of INCV_main.py.

    python table.py            # or python table.py FOLDER, another --results_dir

Writes results/table.csv and results/table.md: mean and standard deviation over the runs of each setting and method, their
number, and the published value; and, for settings with several methods, results/(dataset)/INCV_main_methods.png, the test
accuracy by epoch.
"""
import sys
from pathlib import Path

import tables

if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else "results"
    if not Path(folder).is_dir():
        sys.exit(f"table.py: {folder}: no such folder; give the results folder of --results_dir")
    tables.write_accuracies(folder)
