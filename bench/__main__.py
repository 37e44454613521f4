"""Run every benchmark, each in a process of its own, and write what they print into docs/benchmarks.md.

``python -m bench`` runs all, ``python -m bench ledger listing`` only these; the sections of the others stay.
A benchmark is a module of this folder that can be run; it prints a Markdown table or plain lines, and fails by raising.
"""

import ast
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["main"]

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Made by `make bench`. Absolute figures belong to one machine; where a section gives a ratio, both sides ran in the same
run on the same machine.
"""


def main(wanted: list[str]) -> int:
    """Run the wanted benchmarks (all, if none is named); 1 where one of them failed."""
    known = sorted(file.stem for file in HERE.glob("*.py") if _is_benchmark(file))
    if unknown := set(wanted) - set(known):
        print(f"no such benchmark: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return 2
    sections = _sections(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else {}
    sections = {name: text for name, text in sections.items() if name in known}
    failed = []
    for name in wanted or known:
        print(f"== {name}", flush=True)
        text, is_well = _measured(name)
        if is_well:
            sections[name] = text
        else:
            failed.append(name)
    body = [f"<!-- {name} -->\n{sections[name]}" for name in known if name in sections]
    PAGE.write_text("\n".join([HEAD, *body]), encoding="utf-8")
    print(f"{len(wanted or known) - len(failed)} measured, {len(failed)} failed {' '.join(failed)}".rstrip())
    return 1 if failed else 0


def _is_benchmark(file: Path) -> bool:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    can_run = any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in tree.body)
    return can_run and not file.name.startswith("_")


def _measured(name: str) -> tuple[str, bool]:
    """The section of one benchmark, and whether it ended well. Its lines are shown as they come."""
    began = time.monotonic()
    command = [sys.executable, "-m", f"bench.{name}"]
    lines = []
    with subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    printed = "".join(lines).strip()
    body = printed if printed.startswith("|") else f"```text\n{printed}\n```"
    about = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or name
    text = f"## {name}\n\n{about}\n\n{body}\n\n{_machine()}; took {time.monotonic() - began:.0f} s.\n"
    return text, process.returncode == 0


def _machine() -> str:
    today = time.strftime("%Y-%m-%d")
    return f"{today}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def _sections(page: str) -> dict[str, str]:
    parts = re.split(r"^<!-- (\w+) -->\n", page, flags=re.MULTILINE)
    return {name: text.rstrip() + "\n" for name, text in zip(parts[1::2], parts[2::2], strict=True)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
