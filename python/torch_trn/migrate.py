"""Importing this redirects CUDA to trn for the rest of the process; see torch_trn.migration."""

from .migration import activate, deactivate, is_active, redirections, scope

__all__ = ["activate", "deactivate", "is_active", "redirections", "scope"]

activate()
