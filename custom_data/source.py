"""Where a dataset comes from, and what is known before it is read."""
from collections import namedtuple

# What is known before a dataset is read. kind: decides the defaults (the name of a published dataset; "images",
# "small_images" or "table" for custom ones); size: training samples; shape: of a sample. For custom datasets: checksum;
# class_names.
Facts = namedtuple("Facts", "name kind size num_classes shape checksum class_names", defaults=[None] * 2)

# Where samples and labels come from. facts: Facts; data_dir: the folder of the CIFAR batches, None for the default; path,
# label, image_size, drop, decimal, decisions (a list of files), group, images, true_label, classes, test_list, test_images: of
# a custom dataset (load.py), None for a published one; labels: a file of human labels, or of the labels of an .npy.
Source = namedtuple("Source", "facts data_dir path label image_size labels drop decimal decisions group images "
                    "true_label classes test_list test_images", defaults=[None] * 14)
