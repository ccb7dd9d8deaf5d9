"""`lowbit doctor`: what is here, what is used, and whether it computes right."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import lowbit
from lowbit.cli.console import Console, one_line, table
from lowbit.cli.exit_codes import FAILED_CHECK, OK
from lowbit.cli.selfcheck import Check, run_checks
from lowbit.files import find_bundled_model, open_model_folder

VARIABLES = ("LOWBIT_ISA", "LOWBIT_NUM_THREADS", "OMP_NUM_THREADS", "LOWBIT_VERBOSE")
# Nothing of these is needed; what each is good for.
OPTIONAL = {
    "matplotlib": "draws the curves of demo and finetune",
    "torch": "live comparisons in the tests",
    "transformers": "live comparisons in the tests",
    "peft": "loads the adapters that lowbit saves",
    "tokenizers": "live comparisons in the tests",
    "pytest": "runs the tests",
}


def run(args: argparse.Namespace, console: Console) -> int:
    """Print everything; 1 when a kernel computes wrong or a file is damaged."""
    report = {
        "command": "doctor",
        "lowbit": lowbit.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "threads": _threads(),
        "environment": {name: os.environ.get(name) for name in VARIABLES},
        "optional_libraries": {name: _version(name) for name in OPTIONAL},
        "bundled_model": _bundled_model(),
    }
    if args.model is not None:
        report["model"] = _model_folder(args.model)
    checks = run_checks()
    report["self_check"] = [vars(check) for check in checks]
    report["healthy"] = all(check.passed for check in checks) and (
        report["bundled_model"]["state"] != "damaged"
    )
    console.result(_text(report, checks))
    console.document(report)
    return OK if report["healthy"] else FAILED_CHECK


def _cpu() -> dict[str, Any]:
    info = lowbit.cpu_info()
    return {
        "model": info["model"],
        "features": [name for name, present in info["features"].items() if present],
        "compiled_isas": info["compiled_isas"],
        "available_isas": info["isas"],
        "active_isa": info["active_isa"],
        "kernels": info["kernels"],
    }


def _threads() -> dict[str, Any]:
    affinity = None
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        affinity = sorted(os.sched_getaffinity(0))
    return {
        "used": lowbit.get_num_threads(),
        "cpus": os.cpu_count(),
        "affinity": affinity,
        "cgroup_cpus": _cgroup_cpus(),
    }


def _cgroup_cpus() -> float | None:
    """CPUs' worth of time that a container may use, or None when there is no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        folder = Path("/sys/fs/cgroup/cpu")
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        except OSError:
            return None
    try:
        limit = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max": none
        return None
    return limit if limit > 0 else None


def _version(library: str) -> str | None:
    """Version of an installed library, which is not imported."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _bundled_model() -> dict[str, Any]:
    try:
        folder = find_bundled_model()
    except FileNotFoundError as error:
        return {"state": "missing", "detail": one_line(str(error)).rpartition("; ")[2]}
    except ValueError as error:
        return {"state": "damaged", "detail": one_line(str(error))}
    return {"state": "ok", "folder": str(folder), "detail": "digests as published"}


def _model_folder(path: str) -> dict[str, Any]:
    with open_model_folder(path) as folder:
        config = folder.config
        return {
            "folder": path,
            "layers": config.num_hidden_layers,
            "hidden_size": config.hidden_size,
            "vocab_size": config.vocab_size,
            "bytes": folder.nbytes(),
            "unused_tensors": list(folder.unused),
        }


def _text(report: dict[str, Any], checks: list[Check]) -> str:
    cpu, threads, model = report["cpu"], report["threads"], report["bundled_model"]
    affinity = "not known here" if threads["affinity"] is None else len(threads["affinity"])
    quota = threads["cgroup_cpus"]
    rows = [
        ("lowbit", f"{report['lowbit']}, Python {report['python']}, numpy {report['numpy']}"),
        ("system", report["system"]),
        ("processor", cpu["model"]),
        ("features", " ".join(cpu["features"]) or "none that lowbit uses"),
        ("kernels", f"active: {cpu['active_isa']}"),
        ("", f"run here: {' '.join(cpu['available_isas'])}"),
        ("", f"compiled: {' '.join(cpu['compiled_isas'])}"),
        ("threads", f"{threads['used']} of {threads['cpus']} CPUs"),
        ("", f"affinity mask: {affinity}"),
        ("", f"cgroup limit: {'none' if quota is None else f'{quota:g} CPUs'}"),
    ]
    given = {name: value for name, value in report["environment"].items() if value is not None}
    rows += _continued("environment", [f"{k}={v}" for k, v in given.items()] or ["nothing set"])
    rows += _continued(
        "optional",
        [
            f"{name} {report['optional_libraries'][name] or 'missing'} ({use})"
            for name, use in OPTIONAL.items()
        ],
    )
    rows += [("model", f"all-MiniLM-L6-v2 {model['state']}: {model['detail']}")]
    if "folder" in model:
        rows += [("", model["folder"])]
    if "model" in report:
        m = report["model"]
        rows += [("", f"{m['folder']}: {m['layers']} layers, {m['hidden_size']} wide, readable")]
    rows += _continued("self-check", _check_lines(checks))
    verdict = "all is well" if report["healthy"] else "something is wrong, see above"
    return f"{table(rows, indent=0)}\n{verdict}"


def _continued(name: str, values: list[str]) -> list[tuple[str, str]]:
    return [(name if index == 0 else "", value) for index, value in enumerate(values)]


def _check_lines(checks: list[Check]) -> list[str]:
    """One line per instruction set, and one per failure."""
    lines = []
    for isa in dict.fromkeys(check.isa for check in checks):
        own = [check for check in checks if check.isa == isa]
        passed = sum(check.passed for check in own)
        lines.append(f"{isa}: {passed} of {len(own)} operations right ({own[0].detail})")
        lines += [f"  FAILED {c.operation}: {c.detail}" for c in own if not c.passed]
    return lines
