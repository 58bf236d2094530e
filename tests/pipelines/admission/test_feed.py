import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.admission.feed import COLUMNS, Feed, read_feed
from pipelines.admission.records import cells_of, csv_records, split_lines
from registry.digests import digest_bytes
from registry.errors import FeedError

HEADER = "subject,relation,object,source\n"


def feed(tmp_path: Path, content: str | bytes, name: str = "feed.csv") -> Feed:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_feed(path)


def rows(found: Feed) -> list[dict[str, str]]:
    table: list[dict[str, str]] = found.table.to_pylist()
    return table


def test_a_csv_feed_is_read_as_text_with_its_digest_and_raw_rows(tmp_path: Path) -> None:
    text = "Subject, relation ,object,confidence,note\nFrance,capital,007,0.90,x\n\nItaly,capital,,,\r\n"
    found = feed(tmp_path, text)
    assert found.digest == digest_bytes(text.encode())
    assert found.table.column_names == [*COLUMNS, "note"]
    assert [row["object"] for row in rows(found)] == ["007", ""]
    assert rows(found)[0]["confidence"] == "0.90"
    assert found.raw == ("France,capital,007,0.90,x", "Italy,capital,,,")
    assert found.notes == ("columns that are kept but not used: note",)


def test_quotes_commas_and_line_ends_inside_cells_are_kept(tmp_path: Path) -> None:
    found = feed(tmp_path, HEADER + '"Côte ""d\'Ivoire""",capital,"Yamous,\nsoukro",S\nItaly,capital,Rome,S\n')
    assert rows(found)[0]["subject"] == 'Côte "d\'Ivoire"'
    assert rows(found)[0]["object"] == "Yamous,\nsoukro"
    assert found.raw[0].count("\n") == 1
    assert not found.broken


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("France,capital", "too few cells"),
        ("France,capital,Paris,S,x", "too many cells"),
        ('Fr"ance,capital,Paris,S', "quote"),
        ('"France,capital,Paris,S', "quote"),
        ('"France"x,capital,Paris,S', "quote"),
        ('France,capital,Paris,"S', "quote"),
    ],
)
def test_a_row_of_bad_shape_stays_alone(tmp_path: Path, bad: str, words: str) -> None:
    good = 'Italy,capital,"Ro,me",S'
    found = feed(tmp_path, f"{HEADER}{good}\n{bad}\n{good}\nSpain,capital,Madrid,S\n")
    assert [row["subject"] for row in rows(found)] == ["Italy", "", "Italy", "Spain"]
    assert found.raw[1] == bad
    assert list(found.broken) == [2]
    assert words in found.broken[2]
    assert "line 3" in found.broken[2]


def test_old_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    assert rows(feed(tmp_path, "\ufeff" + HEADER.replace("\n", "\r") + "France,capital,Paris,S\r"))[0]["source"] == "S"


def test_a_carriage_return_inside_a_cell_ends_no_row(tmp_path: Path) -> None:
    found = feed(tmp_path, HEADER + 'a\rb,"c\nd",e\r,S\nItaly,capital,Rome,S\n')
    assert [rows(found)[0][name] for name in ("subject", "relation", "object")] == ["a\rb", "c\nd", "e\r"]
    assert (len(found.raw), found.broken) == (2, {})


def test_jsonl_keeps_lines_and_takes_the_keys_of_all(tmp_path: Path) -> None:
    lines = ['{"subject": "France", "relation": "capital", "object": "Paris", "confidence": 0.5}']
    lines += ["", '{"Subject": "Italy", "object": null, "prompt": "The capital of Italy is", "n/~\'": [1]}']
    found = feed(tmp_path, "\n".join(lines), "feed.jsonl")
    assert found.raw == (lines[0], lines[2])
    assert rows(found)[0]["confidence"] == "0.5"
    assert (rows(found)[1]["subject"], rows(found)[1]["object"], rows(found)[1]["n/~'"]) == ("Italy", "", "[1]")


def test_parquet_is_cast_to_text(tmp_path: Path) -> None:
    table = pa.table({"subject": ["France"], "relation": ["capital"], "object": [7], "confidence": [0.5]})
    pq.write_table(table, tmp_path / "feed.parquet")
    found = read_feed(tmp_path / "feed.parquet")
    assert (rows(found)[0]["object"], rows(found)[0]["confidence"]) == ("7", "0.5")
    assert json.loads(found.raw[0])["subject"] == "France"


def test_a_prompt_stands_for_the_relation(tmp_path: Path) -> None:
    assert rows(feed(tmp_path, "subject,object,prompt\nFrance,Paris,The capital of France is\n"))[0]["relation"] == ""


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("feed.csv", b"", "empty"),
        ("feed.csv", b" \n\n", "empty"),
        ("feed.csv", b"\xff\xfe\x00bad", "UTF-16"),
        ("feed.csv", b"subject\x00", "binary"),
        ("feed.csv", b"subject,relation,object\nC\xf4te,b,c\n", r"byte 0xf4 at byte 25 \(line 2\)"),
        ("feed.csv", b"a,b\n1,2\n", "add subject, relation, object"),
        ("feed.csv", b"subjekt,relation,object\n1,2,3\n", "is 'subjekt' meant"),
        ("feed.csv", b"subject;relation;object\n1;2;3\n", "separate the cells by ','"),
        ("feed.csv", b"subject,relation,object,Object\n1,2,3,4\n", "object more than once"),
        ("feed.csv", b"subject,relation,object\n\n", "header only"),
        ("feed.parquet", b"PAR1nonsense", "sound parquet file"),
        ("feed.jsonl", b'{"subject": "x"\n', "line 1"),
        ("feed.jsonl", b'{"subject":"a","relation":"b","object":"c"}\n[1]\n', "line 2 of feed.jsonl: list"),
        ("feed.jsonl", b'{"subject":"a","relation":"b","object":NaN}\n', "NaN"),
        ("feed.jsonl", b'{"subject":"\\ud800","relation":"b","object":"c"}\n', "line 1"),
        ("feed.jsonl", b'{"subject":"x"}\n', "add relation, object"),
        ("feed.xlsx", b"x", "file ending in"),
    ],
)
def test_an_unusable_file_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    with pytest.raises(FeedError, match=words) as caught:
        feed(tmp_path, content, name)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="folder"):
        read_feed(tmp_path)
    with pytest.raises(FeedError, match="not there"):
        read_feed(tmp_path / "none.csv")


def test_truncated_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "feed.parquet"
    pq.write_table(pa.table({"subject": ["a"] * 1000, "relation": ["b"] * 1000, "object": ["c"] * 1000}), path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FeedError, match="write the file anew"):
        read_feed(path)


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(table=st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=6))
def test_what_a_csv_writer_wrote_is_read_back(tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(table)
    found = feed(tmp_path, HEADER + text.getvalue())
    assert not found.broken
    # A carriage return before a line end belongs to the line end, also inside a cell.
    expected = [tuple(cell.replace("\r\n", "\n") for cell in row) for row in table]
    assert [tuple(row[name] for name in ("subject", "relation", "object", "source")) for row in rows(found)] == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(text=st.text(st.sampled_from('a",\n\r;é'), max_size=60))
def test_arbitrary_rows_are_read_or_noted_and_never_raise(tmp_path: Path, text: str) -> None:
    found = feed(tmp_path, f"{HEADER}France,capital,Paris,S\n{text}")
    assert rows(found)[0]["object"] == "Paris"
    assert found.table.num_rows == len(found.raw)


@given(st.text(st.sampled_from('a",\n'), max_size=60))
def test_no_text_is_lost_between_records(text: str) -> None:
    lines = split_lines(text)
    kept = "\n".join(record.text for record in csv_records(lines, 2))
    assert [line for line in kept.split("\n") if line.strip()] == [line for line in lines if line.strip()]


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"), max_size=10), min_size=1, max_size=5))
def test_cells_of_a_record_are_those_that_were_written(cells: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    assert cells_of(text.getvalue()) == cells or cells == [""]
