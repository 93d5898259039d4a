"""TFLite: graphs written as .tflite (`builder`, and `forms` by op), and run by LiteRT (`session`).

Written for one sample: the batch is 1. Feature maps are channels-last, with two spatial axes.
"""
