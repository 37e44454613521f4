"""The original system's whole line, under the names it had: its settings, its event, its collections, its deletes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import notion_server as notion
from tests.support.application import until
from tests.support.company import BUCKET, Company
from tests.support.pdfs import make_pdf


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    with ExitStack() as stack:
        yield Company(tmp_path, stack)


def test_uploaded_changed_and_deleted_under_the_names_it_had(company: Company) -> None:
    company.start()
    rules, faq, elsewhere = "Milvus/rules/휴가 규정.pdf", "Milvus/faq/질문.txt", "private/급여.txt"
    company.s3.put_object(Bucket=BUCKET, Key=rules, Body=make_pdf([["Leave", "Fifteen days."]]))
    company.s3.put_object(Bucket=BUCKET, Key=faq, Body="자주 묻는 질문".encode())
    company.s3.put_object(Bucket=BUCKET, Key=elsewhere, Body="비밀".encode())
    for key in (rules, faq, elsewhere):
        company.tell(key, "upload")

    # A collection for each folder below Milvus/; what lies elsewhere is not read, nor paid for.
    until(lambda: company.found() == {rules, faq})
    assert (company.found("rules"), company.found("faq")) == ({rules}, {faq})
    assert len(company.upstage.posts) == 1
    assert {request["model"] for request in company.openai.requests} == {"text-embedding-3-large"}

    # Events that come twice are looked into, and cost nothing.
    embedded = company.embedded()
    company.tell(rules, "upload")  # marked as due before it is answered
    until(company.is_idle)
    assert (len(company.upstage.posts), company.embedded()) == (1, embedded)

    # A changed file takes the place of the old one.
    company.s3.put_object(Bucket=BUCKET, Key=faq, Body="아주 다른 대답".encode())
    company.tell(faq, "upload")
    until(lambda: "아주 다른 대답" in company.texts(faq))
    assert "자주 묻는 질문" not in company.texts(faq)
    assert company.embedded() == embedded + 1

    # A delete removes it; the word of a delete for what is still there does not.
    company.s3.delete_object(Bucket=BUCKET, Key=rules)
    company.tell(rules, "delete")
    company.tell(faq, "delete")
    until(lambda: company.found() == {faq})

    # A row for each job, in the database that the original wrote.
    until(lambda: len(company.jobs(rules)) == 2)
    assert {notion.plain(row, "Status") for row in company.notion.rows()} == {"Passed"}
    company.expect_silence("대답", "Fifteen")
