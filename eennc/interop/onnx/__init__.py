"""ONNX: `reader` (in, through onnx-graphsurgeon), `writer` (out), `forms` (one file per op), `session` and `execute`
(onnxruntime).
"""

INTERNAL_OPSET = 20
"""The opset of the default domain that the IR's ops and opaque payloads are in."""
OLDEST_OPSET = 7
"""Older models are refused: the version converter has no adapters for them."""
IR_VERSION = 10
"""The `ir_version` of all models inside and written; onnx's own default is newer than onnxruntime reads."""
