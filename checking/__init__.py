"""Find label issues, and judge whether the list can be used.

check.py: the steps after Algorithm 1. last_pass.py: predictions by networks trained on trusted labels; verdict.py: judges the
list; issue_table.py: the list; grouping.py: splits and lists by group; report.py, cards.py and issue_figures.py: the report, a
page in which a person decides (report.html.jinja, report.js); export.py: the selected samples.
"""
