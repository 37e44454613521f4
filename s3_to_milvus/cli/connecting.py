"""`connect`, `notion-setup`: what this service needs elsewhere."""

import click

from s3_to_milvus.cli.opening import load_settings
from s3_to_milvus.cli.output import json_option, note, print_json, shown

__all__ = ["connect", "notion_setup"]


@click.command()
@click.argument("source")
@click.option("--queue", help="Name of the queue; without it, one made of the bucket's name.")
@click.option("--apply", "is_applied", is_flag=True, help="Make it, with the credentials of the S3 store.")
@json_option
def connect(source: str, queue: str | None, is_applied: bool, as_json: bool) -> None:
    """Connect a bucket (SOURCE: s3://bucket/prefix) by a queue of SQS.

    Prints the policy of the queue and the notification of the bucket, or makes both. A notification is merged into
    those that the bucket has; doing it again changes nothing.
    """
    from s3_to_milvus import bootstrap

    settings = load_settings()
    if is_applied:
        found = bootstrap.connect(settings, source, queue)
    else:
        found = bootstrap.plan_of(source, queue, str(settings.store.options("s3").get("region", "")))
    if as_json:
        from dataclasses import asdict

        print_json(asdict(found))
        return
    if is_applied:
        note(f"The bucket {shown(found.bucket)} tells the queue {found.queue}. Let the service listen to it:")
        click.echo(f"S2M_EVENTS__KIND=watch,sqs\nS2M_EVENTS__SQS__QUEUE_URL={found.queue_url}")
        return
    note(f"Nothing was made; --apply does it. Queue {found.queue}, its policy and the notification of the bucket:")
    print_json(found.policy)
    print_json(found.notification)


@click.command("notion-setup")
@click.argument("page")
@json_option
def notion_setup(page: str, as_json: bool) -> None:
    """Make a database for the journal on PAGE of Notion (its address), which the integration must have been given."""
    from s3_to_milvus import bootstrap

    made = bootstrap.make_notion_database(load_settings(), page)
    if as_json:
        print_json({"database_id": made})
        return
    note("The database is made. Let the service write to it:")
    click.echo(f"S2M_JOURNAL__KIND=notion\nNOTION_DATABASE_ID={made}")
