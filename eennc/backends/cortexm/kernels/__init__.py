"""The C kernels, and beside them which op each computes: this folder is the list of supported operators."""
