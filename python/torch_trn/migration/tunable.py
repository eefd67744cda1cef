"""torch.cuda.tunable's settings: kept and given back; kernels are chosen by the processor."""

from __future__ import annotations

from typing import Any

_settings: dict[str, Any] = {
    "enable": False, "tuning_enable": True, "record_untuned_enable": False,
    "max_tuning_duration": 30, "max_tuning_iterations": 100, "filename": "tunableop_results.csv",
    "rotating_buffer_size": -1, "numerical_check_tolerances": (False, 1e-5, 1e-5),
}


def _setter(key: str, default: Any = None):
    def put(*values: Any, **named: Any) -> None:
        values = (*values, *named.values()) or (default,)
        _settings[key] = values[0] if key != "numerical_check_tolerances" else values

    return put


def _getter(key: str):
    return lambda: _settings[key]


FUNCTIONS: dict[str, Any] = {"get_results": lambda: (), "get_validators": lambda: (),
                             "read_file": lambda filename=None: False}
for _key in ("enable", "tuning_enable", "record_untuned_enable"):
    FUNCTIONS[_key] = _setter(_key, True)
    FUNCTIONS[_key.replace("enable", "is_enabled")] = _getter(_key)
for _key in ("max_tuning_duration", "max_tuning_iterations", "filename", "rotating_buffer_size"):
    FUNCTIONS[f"set_{_key}"] = _setter(_key)
    FUNCTIONS[f"get_{_key}"] = _getter(_key)
FUNCTIONS["set_numerical_check_tolerances"] = _setter("numerical_check_tolerances")
