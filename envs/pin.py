"""Pin every dependency: write the hashed requirements in this folder and the group `pins` of `pyproject.toml`.

Run `uv run --no-sync python envs/pin.py` after a change of dependencies. Commit the results, but not `uv.lock`.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "envs" / "requirements.txt"
DOCS_REQUIREMENTS = ROOT / "envs" / "docs_requirements.txt"
PYPROJECT = ROOT / "pyproject.toml"
BLOCK = re.compile(r"(# pins: begin\n).*?(# pins: end\n)", re.DOTALL)
# Held back: vLLM is released for these builds, although newer ones exist.
HELD = ["torch==2.13.0", "torchvision==0.28.0"]


def write_pins(pins: list[str]) -> None:
    quoted = "".join(f'    "{pin}",\n' for pin in pins)
    text = PYPROJECT.read_text()
    block = f"pins = [\n{quoted}]\n"
    PYPROJECT.write_text(BLOCK.sub(lambda m: m.group(1) + block + m.group(2), text))


def exported(*options: str) -> str:
    command = ["uv", "export", "--quiet", "--no-header", "--no-annotate", "--no-emit-project", *options]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def pins() -> list[str]:
    return sorted({line.strip() for line in exported("--no-hashes").splitlines() if "==" in line})


def lock() -> None:
    """Write `uv.lock` from scratch. An updated lock file would keep other hashes than the lock of a clean clone."""
    (ROOT / "uv.lock").unlink(missing_ok=True)
    subprocess.run(["uv", "lock", "--quiet"], cwd=ROOT, check=True)


def compile_docs(*options: str) -> str:
    """The pins of the documentation. Not exported from the lock: its other groups would restrict the versions."""
    shape = ["--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--no-annotate"]
    command = ["uv", "pip", "compile", "--quiet", "--group=docs", "--no-emit-index-url", *shape, *options]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def check() -> None:
    """Print which requirement files are out of date; print nothing if all are current."""
    if exported() != REQUIREMENTS.read_text():
        print(f"{REQUIREMENTS.relative_to(ROOT)} is not what pyproject.toml asks for: run envs/pin.py")
    if compile_docs(f"--constraints={DOCS_REQUIREMENTS}") != DOCS_REQUIREMENTS.read_text():
        print(f"{DOCS_REQUIREMENTS.relative_to(ROOT)} is not what pyproject.toml asks for: run envs/pin.py")


def main() -> None:
    if "--check" in sys.argv:
        return check()
    write_pins(HELD)
    lock()
    write_pins(pins())
    lock()
    REQUIREMENTS.write_text(exported())
    DOCS_REQUIREMENTS.write_text(compile_docs())
    return check()


if __name__ == "__main__":
    main()
