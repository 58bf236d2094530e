import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dashboards", "editors", "guards", "pipelines", "registry")
NOT_ON_A_GPU_NODE = ("duckdb", "fastapi", "great_expectations", "mlflow", "pandas", "prefect", "sqlalchemy")
HEAVY = (*NOT_ON_A_GPU_NODE, "torch", "transformers", "peft", "numpy", "pyarrow", "rich")

IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({blocked!r}))
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
    sys.stdout.write(module.name + " ")
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_no_init_file_under_tests() -> None:
    found = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("__init__.py")]
    assert not found, f"{found} would shadow the root packages of the same name"


def shadows(names: list[Path]) -> list[Path]:
    return [path for path in names if (path.parent.name if path.name == "__init__.py" else path.stem) in PACKAGES]


def test_no_module_is_named_like_a_root_package() -> None:
    modules = [
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.parent != ROOT / package or path.name != "__init__.py"
    ]
    assert len(modules) > 20
    assert not shadows(modules)


def test_such_a_name_would_be_found() -> None:
    assert shadows([Path("pipelines/registry.py"), Path("editors/guards/__init__.py"), Path("pipelines/loop.py")]) == [
        Path("pipelines/registry.py"),
        Path("editors/guards/__init__.py"),
    ]


def test_every_editor_imports_on_a_bare_gpu_node() -> None:
    done = python(IMPORT_ALL.format(package="editors", blocked=NOT_ON_A_GPU_NODE))
    assert done.returncode == 0, done.stderr
    assert {"editors.memit.editor", "editors.rag.editor", "editors.rome.editor"} <= set(done.stdout.split())


def test_the_block_works() -> None:
    done = python(IMPORT_ALL.format(package="pipelines", blocked=NOT_ON_A_GPU_NODE))
    assert done.returncode != 0
    assert "ModuleNotFoundError" in done.stderr


def test_the_command_line_starts_without_anything_heavy() -> None:
    code = (
        f"import sys; from pipelines.cli import run; run(['--help']); sys.exit(str(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = python(code)
    assert "Usage: dmmgov" in done.stdout
    assert done.stderr.strip() == "set()"


def test_packages_import_without_side_effects_on_the_working_folder(tmp_path: Path) -> None:
    code = "import dashboards, editors, guards, pipelines.cli, registry"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
