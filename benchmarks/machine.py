"""The machine that figures are measured on, in words."""

import platform
from pathlib import Path


def processor() -> str:
    """The CPU's model, where the system tells it."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
