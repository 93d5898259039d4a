"""The ONNX form of each op: one file with its reading and writing functions, found by its being here."""
