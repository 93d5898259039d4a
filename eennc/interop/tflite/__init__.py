"""TFLite: `builder` (the file), `emitter` (graphs of the IR as subgraphs), `forms` (one file per op), `session`
(LiteRT).

Written for one sample: the batch is 1. Feature maps are channels-last and of rank 4, as the pass `channels-last` leaves
them.
"""
