"""Post-training quantisation to int8, by TensorFlow Lite's published specification."""
