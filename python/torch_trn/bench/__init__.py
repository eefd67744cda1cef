"""Measurements of ``trn`` against PyTorch's CPU: ``torch-trn bench``."""
