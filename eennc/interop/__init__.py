"""The foreign graph formats, both directions. Loading, running, training and backends all go through here."""
