"""How each op is written as TFLite operators, one file per kind of op."""
