"""``system_profiler SPHardwareDataType``, as JSON or as text."""

from __future__ import annotations

import json
import sys

from tests.lab.standins.here import complain, mac


def hardware() -> dict[str, object]:
    """The hardware overview with the keys of a real Mac."""
    spec = mac()
    apple = spec.arch == "arm64"
    half = spec.cores // 2
    values: dict[str, object] = {
        "_name": "hardware_overview",
        "activation_lock_status": "activation_lock_disabled",
        "boot_rom_version": "11881.140.96",
        "chip_type" if apple else "cpu_type": spec.chip,
        "machine_model": spec.model,
        "machine_name": "Mac mini",
        "model_number": "Z16T0004TJ/A",
        "number_processors": f"proc {spec.cores}:{spec.cores - half}:{half}"
        if apple
        else spec.cores,
        "os_loader_version": "11881.140.96",
        "physical_memory": f"{spec.memory >> 30} GB",
        "platform_UUID": "D26E7BC6-0000-0000-0000-000000000000",
        "serial_number": "XXXXXXXXXX",
    }
    return values


def spaced(text: str) -> str:
    """macOS prints a blank before the colon too."""
    return text.replace('": ', '" : ')


def main(argv: list[str]) -> int:
    """Exit code 0; other data types are empty."""
    types = [word for word in argv if word.startswith("SP")] or ["SPHardwareDataType"]
    if types != ["SPHardwareDataType"]:
        complain(f"system_profiler: {types[0]} is not known to this simulated Mac")
        return 1
    if "-json" in argv:
        shown = json.dumps({"SPHardwareDataType": [hardware()]}, indent=2)
        sys.stdout.write(spaced(shown) + "\n")
        return 0
    spec = mac()
    sys.stdout.write(
        "Hardware:\n\n    Hardware Overview:\n\n      Model Name: Mac mini\n"
        f"      Model Identifier: {spec.model}\n      Chip: {spec.chip}\n"
        f"      Total Number of Cores: {spec.cores}\n      Memory: {spec.memory >> 30} GB\n\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
