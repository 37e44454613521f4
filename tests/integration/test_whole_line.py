"""The original's whole line as a company has it in production, and every service of it failing in turn.

S3 tells SQS, SQS feeds the Lambda of our template, the Lambda signs what it posts, the service asks for that, Upstage
reads, OpenAI embeds, Milvus holds, Notion is told. On Milvus Lite, and (marked ``soak``) on a real Milvus server.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import notion_server as notion
from tests.support import openai_server as openai
from tests.support import upstage_server as upstage
from tests.support.application import until
from tests.support.company import BUCKET, Company
from tests.support.deploying import deployed, packaged_template
from tests.support.milvus_server import milvus_or_skip
from tests.support.pdfs import make_pdf

SECRET = "하나의 비밀-0123456789"
RULES = "Milvus/rules/휴가 규정 (최종).pdf"
ARRIVES_S = 200.0
FROZEN_S = 4.0


class Production(Company):
    """With a key for people, a secret for the Lambda, and the stack deployed."""

    def __init__(self, folder: Path, stack: ExitStack, milvus: str) -> None:
        secrets = {"S2M_AUTH__MODE": "required", "S2M_AUTH__EVENT_SECRETS": json.dumps([SECRET])}
        super().__init__(folder, stack, milvus, **secrets)
        key = json.loads(self.run("keys", "add", "people", "--role", "operator", "--json").stdout)["key"]
        self.headers["Authorization"] = f"Bearer {key}"
        clients = {name: self.client(name) for name in ("cloudformation", "secretsmanager")} | {"s3": self.s3}
        arn = clients["secretsmanager"].create_secret(Name="events", SecretString=SECRET)["ARN"]
        # A message that is not taken comes again after a second, not after three minutes.
        template = packaged_template(clients.__getitem__).replace("VisibilityTimeout: 190", "VisibilityTimeout: 1")
        template = template.replace("InSeconds: 5", "InSeconds: 0")
        made = deployed(
            clients.__getitem__, template, "s3-to-milvus", BucketName=BUCKET, ServiceUrl=self.url, SecretArn=arn
        )
        rules = [{"QueueArn": made["QueueArn"], "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
        self.s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": rules}
        )

    def put(self, key: str, *lines: str) -> None:
        """Upload a PDF of one page."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=make_pdf([list(lines)]))

    def expect(self, key: str, text: str) -> None:
        """The event arrives, and search finds this and nothing older."""
        until(lambda: text in self.texts(key), ARRIVES_S)


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.soak)])
def company(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Production]:
    with ExitStack() as stack:
        uri = stack.enter_context(milvus_or_skip(tmp_path)) if request.param == "server" else ""
        yield Production(tmp_path, stack, uri)


def test_from_the_upload_to_the_row_in_notion_whatever_fails(company: Production) -> None:
    company.start()
    company.put(RULES, "Leave", "Fifteen days.")
    company.expect(RULES, "Fifteen days.")
    assert company.found("rules") == {RULES}
    assert [fields["model"] for _, fields, _ in company.upstage.posts] == ["document-parse"]

    company.put(RULES, "Leave", "Twenty days.")
    company.expect(RULES, "Twenty days.")
    assert "Fifteen" not in company.texts(RULES)
    company.s3.delete_object(Bucket=BUCKET, Key=RULES)
    until(lambda: not company.found(), ARRIVES_S)
    until(lambda: len(company.jobs(RULES)) == 3, ARRIVES_S)
    assert {status for _, status in company.jobs(RULES)} == {"Passed"}

    failures = _failures(company)
    for number, (name, fail) in enumerate(failures.items()):
        key = f"Milvus/rules/{name} 고장.pdf"
        mend = fail()
        company.put(key, f"Document {number}", f"Written while {name} failed.")
        time.sleep(FROZEN_S / 2)
        mend()
        company.expect(key, f"Written while {name} failed.")
    keys = {f"Milvus/rules/{name} 고장.pdf" for name in failures}
    assert company.found() == keys
    _expect_one_row_for_each(company, keys)
    company.expect_silence(SECRET, "Fifteen", "Written while")
    assert json.loads(company.run("check", "--json").stdout)["ok"]


def _expect_one_row_for_each(company: Production, keys: set[str]) -> None:
    until(company.is_idle, ARRIVES_S)
    until(lambda: all(company.jobs(key) for key in keys), ARRIVES_S)
    time.sleep(1)  # a second row would be written by now
    assert {key: company.jobs(key) for key in keys} == {key: [("add", "Passed")] for key in keys}


def _failures(company: Production) -> dict[str, Callable[[], Callable[[], None]]]:
    """By name, what makes a service fail and gives back what mends it."""

    def frozen(pids: Callable[[], list[int]]) -> Callable[[], Callable[[], None]]:
        def fail() -> Callable[[], None]:
            found = pids()
            assert found
            company.s3.list_buckets()  # the connection is there before it is frozen
            return lambda: _freeze(found)

        return fail

    def killed() -> Callable[[], None]:
        company.kill()
        return company.start

    found = _scripted(company) | {"S3": frozen(lambda: [company.server.pid]), "service": killed}
    if company.milvus.startswith("unix:"):
        found["Milvus"] = frozen(_milvus)
    return found


def _scripted(company: Production) -> dict[str, Callable[[], Callable[[], None]]]:
    """Those whose stand-ins fail as they are told. Notion first: it is left alone for half a minute after that."""

    def scripted(queue: Any, *faults: object) -> Callable[[], Callable[[], None]]:
        def fail() -> Callable[[], None]:
            queue.extend(faults)
            return lambda: None

        return fail

    upstage_faults = (upstage.Fault(500), upstage.Fault(429, {"Retry-After": "1"}), upstage.Fault(is_cut=True))
    openai_faults = (openai.Fault(status=500), openai.Fault(status=429), openai.Fault("cut"), openai.Fault("drop"))
    notion_faults = (notion.Fault(503), notion.Fault(is_after=True), notion.Fault(0, is_after=True))
    return {
        "Notion": scripted(company.notion.faults, *notion_faults),
        "Upstage": scripted(company.upstage.faults, *upstage_faults),
        "OpenAI": scripted(company.openai.faults, *openai_faults),
    }


def _milvus() -> list[int]:
    return [each.pid for each in psutil.Process().children(recursive=True) if each.name() == "milvus"]


def _freeze(pids: list[int]) -> None:
    """Nothing is answered for some seconds, and no connection ends."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(FROZEN_S)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
