"""Which labels are wrong, and whether the list can be believed.

check.py: what follows Algorithm 1. last_pass.py: predictions by networks that were trained on trusted labels; verdict.py;
issue_table.py: the list; grouping.py: the same by groups; report.py and issue_figures.py: the page; export.py: the selected
samples.
"""
