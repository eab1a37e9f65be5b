"""The report on a run: its pictures and figures as JSON and one HTML page. The metrics themselves are in `evaluation`."""
