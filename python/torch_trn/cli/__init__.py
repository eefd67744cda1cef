"""The command line ``torch-trn``."""
