"""What the documents say about the code is so: made from it, or held against it."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping

import pytest
from django.core.management import CommandError

from tests.house import documents, tree
from tests.house.contract import CONTRACT, SILENT

PLACE = re.compile(r"`([\w/]+\.py):([\w.]+)`")
READ = re.compile(r"(?:environ(?:\.get)?[\[(]|read_(?:switch|choice)\()\s*\"([A-Z][A-Z_]+)\"")
ROW = re.compile(r"^\| `([A-Z][A-Z_]+)` \|", re.MULTILINE)
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`manage\.py ([a-z_]+)([^`\n]*)`")
QUOTE = re.compile(r"“([^”]+)”")
TOLD = ("README.md", "docs/runbook.md", "docs/security.md", "docs/verify.md")


def places(text: str) -> list[tuple[str, str]]:
    """Return each `path.py:function` that `text` names."""
    return PLACE.findall(text)


def defined(source: str) -> set[str]:
    """Return what a module defines: functions, classes, constants, and `Class.method`."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        if isinstance(node, ast.ClassDef):
            within = (
                n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            found |= {f"{node.name}.{method.name}" for method in within}
    return found


def lost(text: str, files: Mapping[str, str]) -> list[str]:
    """Return the places that `text` names and `files` do not have."""
    return [
        f"{path}:{name}"
        for path, name in places(text)
        if path not in files or name not in defined(files[path])
    ]


def lines(text: str) -> Iterator[str]:
    """Yield the command lines of manage.py that stand in the code blocks of `text`."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            _, found, rest = line.partition("manage.py ")
            if found and not rest.startswith("COMMAND"):
                yield rest


def wrong(line: str) -> str:
    """Return why `line` is no command line of ours, empty if it is one."""
    name, *words = shlex.split(line, comments=True)
    command = documents.ours().get(name)
    if command is None:
        return "" if name == "migrate" else f"there is no command {name}"
    parser = command.create_parser("manage.py", name)
    try:
        parser.parse_args([word for word in words if word != "|"])
    except CommandError as error:
        return str(error)
    return ""


def strings(files: Mapping[str, str]) -> str:
    """Return all that the product can say: its templates, and the texts in its code."""
    said = []
    for path, text in files.items():
        if path.startswith("templates/") or path.endswith(".js"):
            said.append(text)
        elif path.endswith(".py") and path.split("/")[0] in tree.PRODUCT:
            nodes = ast.walk(ast.parse(text))
            constants = (n.value for n in nodes if isinstance(n, ast.Constant))
            said += [value for value in constants if isinstance(value, str)]
    return "\n".join(said)


def unsaid(text: str, said: str) -> list[str]:
    """Return the quotes of `text` that the product never says; `…` stands for what varies."""
    quotes = (" ".join(quote.split()) for quote in QUOTE.findall(text))
    return [q for q in quotes if not all(part.strip() in said for part in q.split("…"))]


@pytest.mark.parametrize("path", documents.DOCUMENTS)
def test_generated_document_is_fresh(path: str) -> None:
    assert tree.texts().get(path) == documents.DOCUMENTS[path](), "Run `make docs`."


def test_every_command_says_what_it_prints() -> None:
    assert set(documents.ours()) == set(CONTRACT) | SILENT, "Add it to tests/house/contract.py."


@pytest.mark.parametrize("path", TOLD)
def test_named_places_exist(path: str) -> None:
    assert lost(tree.texts()[path], tree.texts()) == []


def test_readme_walks_through_the_code() -> None:
    assert len(places(tree.texts()["README.md"])) > 10


def test_a_place_that_is_not_there_is_found() -> None:
    files = {"routing/a.py": "class A:\n    def b(self): ...\nasync def c(): ...\n"}
    text = "`routing/a.py:A.b` `routing/a.py:c` `routing/a.py:gone` `routing/b.py:c`"
    assert lost(text, files) == ["routing/a.py:gone", "routing/b.py:c"]


def test_readme_names_the_variables_that_the_settings_read() -> None:
    read = set(READ.findall(tree.texts()["hybridops/settings.py"]))
    assert len(read) > 5
    assert set(ROW.findall(tree.texts()["README.md"])) == read


def test_a_variable_that_is_read_is_seen() -> None:
    source = 'os.environ.get("ONE") os.environ["TWO"] read_switch("THREE", x)'
    assert READ.findall(source) == ["ONE", "TWO", "THREE"]


@pytest.mark.parametrize("path", TOLD)
def test_command_lines_parse(path: str) -> None:
    found = {line: wrong(line) for line in lines(tree.texts()[path])}
    assert {line: why for line, why in found.items() if why} == {}


@pytest.mark.parametrize("path", TOLD)
def test_commands_in_sentences_exist(path: str) -> None:
    known = {*documents.ours(), "migrate", "help"}
    named = {name for name, _ in SPAN.findall(tree.texts()[path])}
    assert named - known == set()


@pytest.mark.parametrize(
    "line",
    ["set_flags --on", "set_flag --flag x --on", "support stop --environment staging"],
)
def test_a_wrong_command_line_is_found(line: str) -> None:
    assert wrong(line)
    assert list(lines(f"```sh\n.venv/bin/python manage.py {line}\n```\n")) == [line]


@pytest.mark.parametrize("path", TOLD)
def test_quoted_words_are_the_product_s(path: str) -> None:
    assert unsaid(tree.texts()[path], strings(tree.texts())) == []


def test_a_quote_of_nobody_is_found() -> None:
    said = strings({"routing/a.py": 'x = f"The disk is {full}."', "templates/a.html": "<p>Hi"})
    assert unsaid("“The disk is ….” “Hi” “The disk was full”", said) == ["The disk was full"]
