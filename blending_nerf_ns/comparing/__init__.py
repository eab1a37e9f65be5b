"""Scenes x edits x methods x seeds: what is compared, run one after the other, resumed, and put in a table."""
