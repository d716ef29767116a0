"""What the figures were taken on, for the head of every report."""

import os
import pathlib
import platform
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent


def machine() -> dict:
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load before": os.getloadavg()[0],
        "commit": commit,
        "time": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }
