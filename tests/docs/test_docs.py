import functools
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from editors import EDITORS
from pipelines.cli import GROUPS, Groups, build, run
from pipelines.commands.reference import reference

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
READABLE = [page for page in PAGES if page != ROOT / "docs" / "cli.md"]
BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(dmmgov [^`\n]+|make [a-z][^`\n]*)`")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
PLACEHOLDER = re.compile(r"[A-Z_]{2,}|\[.*|…|\.\.\.")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(text: str) -> Iterator[list[str]]:
    """Every command line of the shell blocks, as words, without comments, variables set for it, and pipes."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            end = next((index for index, word in enumerate(words) if word in ("|", "&&", ">", ";", "&")), len(words))
            if words[:end]:
                yield words[:end]


def idle(groups: Groups) -> Groups:
    """The same commands with the same options, which do nothing."""

    def still(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def nothing(*_: object, **__: object) -> None:
            return None

        return nothing

    return {name: (words, {key: still(one) for key, one in held.items()}) for name, (words, held) in groups.items()}


def parse(words: list[str]) -> None:
    """Raises what the real parser raises for the words after `dmmgov`; runs nothing."""
    from pipelines.commands.options import Session

    typer.main.get_command(build(idle(GROUPS))).main(
        args=words, prog_name="dmmgov", standalone_mode=False, obj=Session()
    )


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", READABLE, ids=name_of)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        if words[0].rsplit("/")[-1] == "dmmgov":
            parse(words[1:])
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets(), words


@pytest.mark.parametrize("page", READABLE, ids=name_of)
def test_every_command_named_in_the_text_exists(page: Path) -> None:
    for written in INLINE.findall(page.read_text(encoding="utf-8")):
        words = written.split()[1:]
        if written.startswith("make"):
            assert {word for word in words if "=" not in word and not PLACEHOLDER.match(word)} <= targets(), written
            continue
        group = words[0] if words[0] in GROUPS else ""
        rest = words[1:] if group else words
        names = rest[0].split("|") if rest and not rest[0].startswith("-") else []
        assert set(names) <= set(GROUPS[group][1]), written


@pytest.mark.parametrize("words", [["updat", "x.csv"], ["update", "x.csv", "--fast"], ["releases", "rollback"]])
def test_a_command_that_is_wrong_would_be_found(words: list[str]) -> None:
    with pytest.raises(typer.TyperException):
        parse(words)


def test_commands_are_found_in_blocks() -> None:
    text = '```bash\n# words\nA=1 .venv/bin/dmmgov ask "a b" \\\n  --json | jq .\n```\n```text\ndmmgov no\n```\n'
    assert list(commands(text)) == [[".venv/bin/dmmgov", "ask", "a b", "--json"]]


def test_the_readme_shows_commands() -> None:
    found = [
        words for words in commands((ROOT / "README.md").read_text(encoding="utf-8")) if words[0].endswith("dmmgov")
    ]
    assert len(found) >= 8


def test_the_reference_is_what_help_prints() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


@pytest.mark.parametrize("editor", EDITORS)
def test_every_editor_has_a_page(editor: str) -> None:
    page = ROOT / "docs" / "editors" / f"{editor}.md"
    assert page.is_file()
    assert len(page.read_text(encoding="utf-8").split()) > 50


def anchor(heading: str) -> str:
    """The anchor that a heading gets: lower case, no punctuation, dashes for blanks."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path) if path else page
        anchors = (
            {anchor(heading) for heading in HEADING.findall(target.read_text(encoding="utf-8"))}
            if target.is_file()
            else set()
        )
        if not target.exists() or (fragment and fragment not in anchors):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One two\n[x](#one-two) [y](#three) [z](b.md) [w](https://example.org/none)")
    assert broken_links(page) == ["#three", "b.md"]


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


AFTER_DEMO = re.compile(r"<!-- runs: after the demo -->\n```bash\n.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.model
@pytest.mark.server
@pytest.mark.slow
def test_the_first_ten_minutes_run(
    smollm2_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DMMGOV_MODELS", str(smollm2_folder.parent))
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "a long one of your own")
    assert run(["demo", "--quick"]) == 0
    blocks = AFTER_DEMO.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    lines = [words for block in blocks for words in commands(block) if words[0] == "dmmgov"]
    assert len(lines) >= 8
    said = []
    for words in lines:
        capsys.readouterr()
        assert run(words[1:]) == 0, words
        said.append((shlex.join(words[1:]), capsys.readouterr().out))
    now, before, _, nothing, *requested = (text for words, text in said if words.startswith("ask"))
    assert "euro" in now
    assert "Bulgarian lev" in before
    assert "not known" in nothing
    assert "Oklahoma City Thunder" in requested[0]
    assert "Denver Nuggets" in requested[1]


def test_every_decision_record_says_what_was_decided_and_why() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [path.name[:4] for path in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    assert len(records) >= 4
    for record in records:
        headings = HEADING.findall(record.read_text(encoding="utf-8"))
        assert {"Context and Problem Statement", "Considered Options", "Decision Outcome", "Consequences"} <= set(
            headings
        ), record.name
