"""Makes the table that the journal writes best."""

from typing import Any

from s3_to_milvus.adapters.journals.notion.client import NotionClient, id_in
from s3_to_milvus.adapters.journals.notion.values import text_parts
from s3_to_milvus.errors import ConfigError

__all__ = ["PROPERTIES", "create_database"]


def _options(*names_and_colours: str) -> dict[str, Any]:
    pairs = zip(names_and_colours[::2], names_and_colours[1::2], strict=True)
    return {"select": {"options": [{"name": name, "color": colour} for name, colour in pairs]}}


PROPERTIES: dict[str, Any] = {
    "File": {"title": {}},
    "Status": _options("indexed", "green", "removed", "gray", "empty", "yellow", "failed", "red"),
    "Action": _options("replace", "blue", "remove", "gray", "bury", "red", "summary", "purple"),
    "Bucket": {"rich_text": {}},
    "Elapsed Time (s)": {"number": {"format": "number"}},
    "Timestamp": {"date": {}},
    "Message": {"rich_text": {}},
    "Job ID": {"rich_text": {}},
}


def create_database(client: NotionClient, page: str, title: str = "s3-to-milvus") -> str:
    """Make the database on a page (its id or address, shared with the integration) and give its id.

    Made at each call. After `Unsure` look at the page first: it may be there.
    Raises `ConfigError` for a page that is not there, not shared, or no page.
    """
    try:
        page_id = id_in(page)
    except ValueError as exc:
        raise ConfigError(f"The page is named wrongly: {exc}.", hint="Copy the link of the page in Notion.") from exc
    return client.create_database(page_id, text_parts(title), PROPERTIES)
