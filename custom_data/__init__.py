"""Read custom datasets: files become arrays, labels and groups.

load.py: finds the format of a path and loads the dataset. formats.py: a class per format. source.py: the dataset's options.
Tables: table_file.py (file to DataFrame), json_files.py (rows of JSON), columns.py (numbers, categories, dates or text?),
dates.py, features.py (columns to features), blocks.py (many columns at once). Images: image_folder.py, image_list.py,
image_parquet.py, image_files.py (pixels), foreign_paths.py (paths of another machine). arrays.py: .npz and .npy. labels.py:
parses labels. group_names.py: samples that belong together; repeats.py: what hints at them; alike.py: whether they are alike.
leaks.py: columns that give the labels away. coded.py: warnings that the verdict reads. decisions.py: the decisions that a
person has written into lists of label issues. row_ids.py: hashes of rows, by which decisions find them. feature_file.py:
feature vectors in a file; image_stream.py: the images that a network computes them from.
"""
