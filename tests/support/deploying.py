"""The template of the Lambda, deployed into ministack as people deploy it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.application import until
from tests.support.forwarding import zipped_function

__all__ = ["Clients", "deployed", "packaged_template"]

TEMPLATE = Path(__file__).resolve().parents[2] / "deploy" / "sam" / "template.yaml"

Clients = Callable[[str], Any]
"""A client of AWS by the name of the service."""


def packaged_template(clients: Clients) -> str:
    """The template as ``aws cloudformation package`` leaves it; the code lies in the bucket ``code``."""
    clients("s3").create_bucket(Bucket="code")
    clients("s3").put_object(Bucket="code", Key="function.zip", Body=zipped_function())
    text = TEMPLATE.read_text(encoding="utf-8")
    code = "Code: ../lambda/"
    assert text.count(code) == 1
    return text.replace(code, "Code: {S3Bucket: code, S3Key: function.zip}")


def deployed(clients: Clients, template: str, name: str, **parameters: str) -> dict[str, str]:
    """Outputs of a new stack."""
    clouds = clients("cloudformation")
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    clouds.create_stack(StackName=name, TemplateBody=template, Parameters=given, Capabilities=["CAPABILITY_IAM"])

    def stack() -> Any:
        return clouds.describe_stacks(StackName=name)["Stacks"][0]

    until(lambda: not stack()["StackStatus"].endswith("_IN_PROGRESS"), 60)
    events = clouds.describe_stack_events(StackName=name)["StackEvents"]
    reasons = [event["ResourceStatusReason"] for event in events if event.get("ResourceStatusReason")]
    assert stack()["StackStatus"] == "CREATE_COMPLETE", reasons
    return {each["OutputKey"]: each["OutputValue"] for each in stack()["Outputs"]}
