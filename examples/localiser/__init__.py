"""Scenes and measures for 05_how_good_is_the_localiser.py."""
