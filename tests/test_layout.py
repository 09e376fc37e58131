"""What holds the house together: the arrows between the parts, and the few things said in one place only."""

import ast
import re
from hashlib import sha256
from pathlib import Path

import pytest

from logs import OURS

ROOT = Path(__file__).resolve().parent.parent
# What each part may import of ours: app, server -> views -> analyzer -> models, providers; models -> records,
# storage; records -> storage.
ARROWS = {
    "app": OURS - {"records"},
    "check": OURS - {"app", "doctor", "records", "views"},
    "doctor": {"findings", "views"},
    "findings": set(),
    "hub": set(),
    "server": {"analyzer", "config", "hub", "logs", "metrics", "storage"},
    "config": set(),
    "logs": set(),
    "metrics": set(),
    "storage": {"hub", "storage"},
    "models": {"records", "storage"},
    "records": {"records", "storage"},
    "providers": {"providers"},
    "extraction": {"extraction"},
    "analyzer": {"analyzer", "extraction", "hub", "metrics", "models", "providers", "storage"},
    "views": {"views", "analyzer", "extraction", "hub", "logs", "metrics", "models", "storage"},
}
SOURCES = sorted(
    file
    for part in OURS
    for file in ([ROOT / f"{part}.py"] if (ROOT / f"{part}.py").exists() else (ROOT / part).rglob("*.py"))
)
TEMPLATES = sorted((ROOT / "templates").rglob("*.*"))
VENDOR = ROOT / "static" / "vendor"


def part_of(file):
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def name_of(file):
    return str(file.relative_to(ROOT))


def imports(file):
    """Return the first words of all that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are written out"
            yield node.module.split(".")[0]


def test_there_is_something_to_look_at():
    assert {part_of(file) for file in SOURCES} == OURS
    assert len(TEMPLATES) > 15


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_the_arrows_point_one_way(file):
    assert set(imports(file)) & OURS <= ARROWS[part_of(file)]


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_only_what_speaks_http_knows_flask(file):
    if part_of(file) not in ("app", "server", "views"):
        assert not set(imports(file)) & {"flask", "flask_limiter", "werkzeug", "jinja2"}


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_only_the_settings_read_the_environment(file):
    reads = {"environ", "environb", "getenv", "getenvb"}
    found = {"pydantic_settings"} & set(imports(file))
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            found |= {node.attr} & reads
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            found |= {alias.name for alias in node.names} & reads
    assert found == ({"pydantic_settings", "environ"} if part_of(file) == "config" else set())


def public(node):
    """Return the public definitions of a module, and of its public classes."""
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


# What is promised where it is first named: by a base class, or by the library that calls it.
PROMISED_ELSEWHERE = {
    *("Meta", "load_config", "to_python", "reply", "price", "window", "warm", "close", "position"),
}


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_what_is_public_says_what_it_does(file):
    module = ast.parse(file.read_text())
    assert ast.get_docstring(module) or not module.body
    silent = {node.name for node in public(module) if not ast.get_docstring(node)}
    assert silent <= PROMISED_ELSEWHERE


def test_html_is_called_safe_in_one_function_only():
    calls, imports = [], []
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and "Markup" in (
                ast.unparse(node.func),
                getattr(node.func, "attr", ""),
            ):
                calls.append(name_of(file))
            # By whatever name it is called there.
            if isinstance(node, ast.Import | ast.ImportFrom) and re.search(
                r"\bmarkupsafe\b|\bMarkup\b", ast.unparse(node)
            ):
                imports.append((name_of(file), ast.unparse(node)))
            names = {getattr(node, name, "") for name in ("id", "name", "attr")}
            # By these a text becomes HTML, or a template, without it.
            assert not names & {"__html__", "do_mark_safe", "render_template_string", "from_string"}, file
    assert calls == ["views/helpers/markdown.py"]
    assert imports == [("views/helpers/markdown.py", "from markupsafe import Markup")]
    for file in TEMPLATES:
        assert not re.search(r"\|\s*safe\b|autoescape", file.read_text()), file


@pytest.mark.parametrize("file", TEMPLATES, ids=name_of)
def test_a_template_holds_no_script_and_no_style(file):
    html = re.sub(r"\{#.*?#\}", "", file.read_text(), flags=re.DOTALL)
    for attributes, body in re.findall(r"<script\b([^>]*)>(.*?)</script>", html, re.DOTALL | re.IGNORECASE):
        assert "src=" in attributes
        assert not body.strip()
    assert not re.search(r"<style\b|\sstyle\s*=|\son[a-z]+\s*=|hx-on|javascript:", html, re.IGNORECASE)


def test_the_only_scripts_are_the_vendors():
    scripts = {
        name_of(file) for file in (ROOT / "static").rglob("*") if file.suffix in (".js", ".mjs", ".wasm")
    }
    assert scripts == {"static/vendor/htmx.min.js", "static/vendor/hx-sse.min.js"}


def test_what_is_vendored_is_what_its_makers_published():
    sums = dict(reversed(line.split()) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {"htmx.min.js", "hx-sse.min.js"}
    for name, checksum in sums.items():
        assert sha256((VENDOR / name).read_bytes()).hexdigest() == checksum
    assert re.search(r'version["\s:=]{1,4}"4\.0\.1"', (VENDOR / "htmx.min.js").read_text())
    assert "Permission to use, copy, modify" in (VENDOR / "LICENSE-htmx.txt").read_text()


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-scale.txt", "requirements-oidc.txt", "requirements-dev.txt"]
)
def test_a_lock_names_each_package_by_its_hash_and_no_address(name):
    lock = (ROOT / name).read_text()
    packages = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE | re.IGNORECASE)[1:]
    assert len(packages) > 20
    for package in packages:
        assert re.match(r"[A-Za-z0-9._\[\],-]+==[^\s\\]+", package), package
        assert "--hash=sha256:" in package, package
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", lock)
