"""How people's own files become arrays, labels and groups.

load.py: what a path is, and the dataset in it. formats.py: a class per format. source.py: where it comes from (options).
Tables: table_file.py (file to DataFrame), columns.py (numbers, categories, dates or text?), dates.py, features.py (columns to
features). Images: image_folder.py, image_list.py, image_parquet.py, image_files.py (pixels). arrays.py: .npz and .npy.
labels.py: labels as people write them. group_names.py: samples that belong together. decisions.py: lists in which a person
decided.
"""
