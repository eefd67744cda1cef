"""xformers: its operators only."""

__version__ = "0.0.33"
