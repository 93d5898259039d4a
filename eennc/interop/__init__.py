"""The foreign graph formats, both directions. Loading, feature extraction, training and backends all go through here."""
