"""Datasets of pictures and captions: image folders, COCO captions, the hub's datasets and WHOOPS."""
