"""The document example's function, called as the service calls it: tables of events in, results or rejections out."""

import base64
import importlib.util
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "documents"
FOLDER = EXAMPLE / "functions" / "extract-background"
CONTENT_TYPES = {
    ".pdf": "application/pdf",
    ".html": "text/html",
    ".md": "text/markdown",
    ".txt": "text/plain",
    ".csv": "text/csv",
}
BROKEN = {"broken/angebot-entwurf.docx", "broken/scan-interrupted.pdf"}
LANGUAGES = {
    "letters/bewerbung-baeckerei-latin1.txt": "de",
    "letters/carta-a-la-biblioteca.txt": "es",
    "letters/carta-condominio-obras.pdf": "pt",
    "letters/lettera-al-falegname.txt": "it",
    "letters/opzegging-huurcontract.pdf": "nl",
    "letters/postcard.txt": None,
    "reports/harbour-noise-survey.pdf": "en",
    "reports/rapport-qualite-eau-lac.pdf": "fr",
    "tables/greenhouse-temperatures.csv": None,
    "tables/lieferzeiten.csv": "de",
}

Extract = Callable[..., dict[str, Any]]


class RejectedError(Exception):
    """What `context.reject` raises here."""


class Context:
    """As much of a context as the function uses."""

    def reject(self, message: str) -> None:
        """Raise, as the service's context does."""
        raise RejectedError(message)


@pytest.fixture(scope="module")
def extract() -> Iterator[Extract]:
    """The function, imported by its path with its folder first on `sys.path`, and called with a body of bytes."""
    known = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("extract_background", FOLDER / "extract-background.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))

    def call(content: bytes, content_type: str | None = "text/plain", name: str | None = None) -> dict[str, Any]:
        result: dict[str, Any] = module.handler(event_of(content, content_type, name), Context())
        return result

    yield call
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(FOLDER) in str(sys.modules[name].__file__):
            del sys.modules[name]


def event_of(content: bytes, content_type: str | None, name: str | None) -> dict[str, Any]:
    """Make the event that the service makes of such a request."""
    headers = {} if content_type is None else {"content-type": content_type}
    query = {} if name is None else {"name": name}
    event: dict[str, Any] = {"headers": headers, "queryStringParameters": query, "isBase64Encoded": False}
    if not content:
        return event | {"body": None}
    try:
        if (content_type or "").startswith("text/"):
            return event | {"body": content.decode()}
    except UnicodeDecodeError:
        pass
    return event | {"body": base64.b64encode(content).decode(), "isBase64Encoded": True}


def documents() -> list[str]:
    """The names of the example's documents."""
    folder = EXAMPLE / "documents"
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [path.relative_to(folder).as_posix() for path in paths]


def extract_document(extract: Extract, name: str) -> dict[str, Any]:
    """Give one of the example's documents to the function."""
    path = EXAMPLE / "documents" / name
    content_type = CONTENT_TYPES.get(path.suffix, "application/octet-stream")
    return extract(path.read_bytes(), content_type, name)


@pytest.mark.parametrize("name", [name for name in documents() if name not in BROKEN])
def test_every_document_of_the_example_is_described(extract: Extract, name: str) -> None:
    result = extract_document(extract, name)
    assert list(result) == [
        "name", "format", "title", "language", "pages", "words", "characters", "terms", "excerpt"
    ]  # fmt: skip
    assert result["name"] == name
    assert result["title"]
    assert 1 <= len(result["excerpt"]) <= 241
    assert "\n" not in result["excerpt"]
    assert 0 < result["words"] < result["characters"] < 10_000
    assert (result["pages"] is not None) == (result["format"] == "pdf")
    assert 1 <= len(result["terms"]) <= 8
    assert result == extract_document(extract, name)


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_every_broken_document_of_the_example_is_rejected(extract: Extract, name: str) -> None:
    with pytest.raises(RejectedError):
        extract_document(extract, name)


@pytest.mark.parametrize(("name", "language"), LANGUAGES.items())
def test_the_language_is_told_or_null(extract: Extract, name: str, language: str | None) -> None:
    assert extract_document(extract, name)["language"] == language


REJECTIONS: list[tuple[bytes, str | None, str | None, str]] = [
    (b"", "text/plain", None, "The document is empty."),
    (b" \r\n\t ", "text/plain", None, "The document is empty."),
    (b"PK\x03\x04", "application/zip", "a.zip", "Documents of type application/zip are not supported"),
    (b"PK\x03\x04", "application/octet-stream", "a.docx", "Documents of type .docx are not supported"),
    (b"\x00\x01\x02", None, None, "Documents without a type are not supported"),
    (b"plain\x00text", "text/plain", None, "it holds binary data"),
    (b"not a PDF", "application/pdf", "a.pdf", "does not begin with %PDF-"),
    (b"%PDF-1.4\n", "application/pdf", "a.pdf", "The PDF is broken"),
    (b"%PDF-1.4\n" + bytes(range(256)) * 8, "application/pdf", "a.pdf", "The PDF is broken"),
    (b"<html><script>only()</script></html>", "text/html", None, "The html document has no text in it."),
    (b"---\n---\n<!-- nothing -->", "text/markdown", None, "The markdown document has no text in it."),
    (b'a,b\n"never closed,1\n', "text/csv", None, "The CSV table is broken: unexpected end of data."),
    (b",,\n,,\n", "text/csv", None, "The csv document has no text in it."),
]


@pytest.mark.parametrize(("content", "content_type", "name", "sentence"), REJECTIONS)
def test_what_cannot_be_read_is_rejected_with_a_sentence(
    extract: Extract, content: bytes, content_type: str | None, name: str | None, sentence: str
) -> None:
    with pytest.raises(RejectedError) as rejection:
        extract(content, content_type, name)
    assert sentence in str(rejection.value)
    assert str(rejection.value).endswith(".")


FORMATS: list[tuple[bytes, str | None, str | None, str]] = [
    (b"# A", "text/markdown; charset=utf-8", "a.txt", "markdown"),
    (b"a b", "text/plain", "a.md", "text"),
    (b"a b", "application/octet-stream", "folder/a.CSV", "csv"),
    (b"<p>a b", "application/x-www-form-urlencoded", "a.htm", "html"),
    (b"a b", None, "a.markdown", "markdown"),
]


@pytest.mark.parametrize(("content", "content_type", "name", "expected"), FORMATS)
def test_the_type_decides_on_the_format_and_the_name_where_the_type_is_vague(
    extract: Extract, content: bytes, content_type: str | None, name: str | None, expected: str
) -> None:
    assert extract(content, content_type, name)["format"] == expected


TITLES: list[tuple[bytes, str, str, str | None]] = [
    (b"<title>Salt &amp;\n pepper</title><h1>Heading</h1>", "text/html", "a", "Salt & pepper"),
    (b"<h1>The <em>first</em>\n heading</h1><h1>Second</h1>", "text/html", "a", "The first heading"),
    (b"---\ntitle: 'From the front'\n---\n# Heading", "text/markdown", "a", "From the front"),
    (b"Some text\n\n## The **bold** heading ##\n", "text/markdown", "a", "The bold heading"),
    (b"Underlined\n----------\ntext", "text/markdown", "a", "Underlined"),
    (b"A letter\n\nDear all, here is the letter.", "text/plain", "a", "A letter"),
    (b"A sentence. Another one.", "text/plain", "my-letters/old_one.txt", "old one"),
    (b"a,b\n1,2\n", "text/csv", "stock-list.csv", "stock list"),
    (b"x" * 300 + b"\nshort", "text/plain", "", None),
]


@pytest.mark.parametrize(("content", "content_type", "name", "title"), TITLES)
def test_the_title_is_what_the_document_calls_itself(
    extract: Extract, content: bytes, content_type: str, name: str, title: str | None
) -> None:
    assert extract(content, content_type, name)["title"] == title


TEXTS: list[tuple[bytes, str, str]] = [
    (b"one\ttwo  three.\r\n\r\n\r\nfour", "text/plain", "one two three. four"),
    ("\ufeffGrüße".encode(), "text/plain", "Grüße"),
    ("Grüße".encode("latin-1"), "text/plain", "Grüße"),
    ("Grüße".encode("utf-16"), "text/plain", "Grüße"),
    ("цвет".encode("koi8-r"), "text/plain; charset=koi8-r", "цвет"),
    ("Grüße".encode("latin-1"), "text/plain; charset=no-such-charset", "Grüße"),
    (b"<p>One<b>Two</b>.</p><p>Three &amp; four<br>five</p>", "text/html", "OneTwo. Three & four five"),
    (b"<head><style>p{}</style></head><body>a.<script>b</script><td>c</td><td>d", "text/html", "a. c d"),
    (b"- [x] [a link](http://x/) and ![an image](y.png).\n> `code` *em* snake_case", "text/markdown",
     "a link and an image. code em snake_case"),
    (b"|a|b.|\n|---|:--:|\n|1|2|\n\n```sh\nrun\n```\n<!-- gone -->", "text/markdown", "a b. 1 2 run"),
    (b'a;b\n"one; two";"three\nfour"\n', "text/csv", "a, b one; two, three four"),
    (b"a\tb\n1\t\n", "text/csv", "a, b 1"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "content_type", "text"), TEXTS)
def test_the_text_is_decoded_and_freed_of_its_format(
    extract: Extract, content: bytes, content_type: str, text: str
) -> None:
    assert extract(content, content_type)["excerpt"] == text


def test_terms_leave_out_stop_words_and_stand_by_frequency_then_by_place(extract: Extract) -> None:
    result = extract(b"The pump and the well: a pump, 2 wells, the well, and another pump for the garden in spring.")
    assert result["language"] == "en"
    assert [(term["term"], term["count"]) for term in result["terms"]] == [
        ("pump", 3), ("well", 2), ("wells", 1), ("garden", 1), ("spring", 1)
    ]  # fmt: skip


def test_elided_articles_are_no_part_of_a_term(extract: Extract) -> None:
    result = extract("L’eau de l'étang est à l'ombre, et l’eau du puits n'est pas dans le pré.".encode())
    assert result["language"] == "fr"
    assert [term["term"] for term in result["terms"]] == ["eau", "étang", "ombre", "puits", "pré"]


def test_numbers_and_hyphenated_words_count_as_one_word_each(extract: Extract) -> None:
    assert extract(b"At 12:30 about 1,200.50 euros don't matter to a mother-in-law.")["words"] == 10


def test_a_long_text_has_an_excerpt_cut_between_words(extract: Extract) -> None:
    excerpt = extract(b"some words, " * 100)["excerpt"]
    assert excerpt.endswith(("some…", "words…"))
    assert len(excerpt) <= 241


def test_words_broken_at_the_end_of_a_pdf_line_are_joined(extract: Extract) -> None:
    excerpt = extract_document(extract, "products/solar-pump-sp40.pdf")["excerpt"]
    assert "which of the two has happened." in excerpt


def test_page_numbers_at_the_foot_of_a_pdf_are_left_out(extract: Extract) -> None:
    result = extract_document(extract, "reports/harbour-noise-survey.pdf")
    assert result["pages"] == 3
    assert result["title"] == "Harbour noise survey"
    assert result["words"] == 366


def test_a_pdf_without_text_is_a_document_without_words(extract: Extract) -> None:
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>"
    content = pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>", page)
    result = extract(content, "application/pdf", "scans/page-one.pdf")
    assert result["title"] == "page one"
    assert (result["pages"], result["words"], result["excerpt"], result["terms"]) == (1, 0, "", [])


def test_a_pdf_without_pages_is_rejected(extract: Extract) -> None:
    content = pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 0 /Kids [] >>")
    with pytest.raises(RejectedError, match="The PDF has no pages"):
        extract(content, "application/pdf", "none.pdf")


def pdf(*objects: bytes) -> bytes:
    """Make a PDF of these objects, the first one its root."""
    content, offsets = b"%PDF-1.4\n", []
    for number, obj in enumerate(objects, start=1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, obj)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    content += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    start = content.rindex(b"xref")
    return content + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start)


def test_a_password_protected_pdf_is_rejected(extract: Extract) -> None:
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter(EXAMPLE / "documents" / "products" / "solar-pump-sp40.pdf")
    writer.encrypt("secret", algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)
    with pytest.raises(RejectedError, match="protected by a password"):
        extract(target.getvalue(), "application/pdf", "locked.pdf")
