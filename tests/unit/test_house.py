"""The rules of the house that no tool checks by itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
# "file::function": "why it may be longer". Keep it empty.
LONG_FUNCTIONS: dict[str, str] = {}
# Words that show where a file was made: a developer's home or workplace, a machine, a private registry.
FOREIGN_PATH = re.compile(r"(?<![\w.])/(?:work|workspace|Users|home|root)/[\w.]+")
LOCK_HOSTS = {"pypi.org", "files.pythonhosted.org"}
STANDARD_ONLY = ("s3_to_milvus/errors.py", "s3_to_milvus/ports.py", "s3_to_milvus/domain/")
HEAVY_FOR_CLI = ("boto3", "fastapi", "lxml", "numpy", "onnxruntime", "pydantic", "pymilvus", "rich", "uvicorn")


def _tracked() -> list[str]:
    """Every file that git knows or would add, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    names = run.stdout.decode().split("\0")
    return sorted(name for name in names if name and (ROOT / name).is_file())


def _python_files() -> list[str]:
    return [name for name in _tracked() if name.endswith(".py")]


@cache
def _tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), filename=name)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _imports(tree: ast.AST) -> Iterator[str]:
    """Absolute names that a module imports at run time (not those for the type checker alone)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        else:
            yield from _imports(node)


def test_files_are_short() -> None:
    long = {
        name: lines
        for name in _python_files()
        if (lines := len((ROOT / name).read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert not long, f"longer than {MAX_FILE_LINES} lines, split by meaning: {long}"


def test_functions_are_short() -> None:
    long = {
        f"{name}::{function.name}": length
        for name in _python_files()
        for function in _functions(_tree(name))
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert set(long) == set(LONG_FUNCTIONS), f"longer than {MAX_FUNCTION_LINES} lines, split by meaning: {long}"


def test_every_module_says_what_it_is() -> None:
    silent = [name for name in _python_files() if not ast.get_docstring(_tree(name))]
    assert not silent


def test_public_names_are_listed() -> None:
    modules = [name for name in _python_files() if name.startswith("s3_to_milvus/")]
    assert not [name for name in modules if _has_public(_tree(name)) and not _has_all(_tree(name))]


def _has_public(tree: ast.Module) -> bool:
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in tree.body)


def _has_all(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in tree.body)


def test_no_mocks() -> None:
    found = [name for name in _python_files() for used in _imports(_tree(name)) if used.split(".")[-1] == "mock"]
    assert not found


def test_facts_and_needs_use_the_standard_library_only() -> None:
    allowed = {*sys.stdlib_module_names, "s3_to_milvus"}
    foreign = {
        f"{name}: {used}"
        for name in _python_files()
        if name.startswith(STANDARD_ONLY)
        for used in _imports(_tree(name))
        if used.split(".")[0] not in allowed
    }
    assert not foreign


def test_no_file_names_the_machine_it_was_made_on() -> None:
    found = {}
    for name in _tracked():
        data = (ROOT / name).read_bytes()
        if name == "tests/unit/test_house.py" or b"\0" in data[:8192]:
            continue
        if hits := FOREIGN_PATH.findall(data.decode("utf-8", "replace")):
            found[name] = sorted(set(hits))
    assert not found


def test_lock_names_public_hosts_only() -> None:
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text(encoding="utf-8")))
    assert hosts <= LOCK_HOSTS


def test_no_other_file_names_a_registry() -> None:
    pattern = re.compile(r"index[-_]url\s*=\s*[\"']?https?://", re.IGNORECASE)
    texts = {name: (ROOT / name).read_bytes().decode("utf-8", "replace") for name in _tracked() if name != "uv.lock"}
    assert not [name for name, text in texts.items() if pattern.search(text)]


def test_command_line_starts_light() -> None:
    if not (ROOT / "s3_to_milvus/cli/main.py").exists():
        pytest.skip("the command line is not there yet")
    code = "import sys, s3_to_milvus.cli.main; print(*sys.modules, sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    assert not set(run.stdout.split()) & set(HEAVY_FOR_CLI)
