"""Writes texts in their charsets, markup, data, mails, RTF and notebooks."""

import base64
import json
from collections.abc import Mapping

from tests.support.compound import compound_file, outlook_message

__all__ = ["eml", "html", "ipynb", "msg", "rtf"]


def html(heading: str, text: str, charset: str = "utf-8") -> bytes:
    """A page with a heading, a paragraph and a table."""
    table = "<table><tr><th>이름<th>일수</tr><tr><td>홍길동<td>15</tr></table>"
    page = f'<!DOCTYPE html><html lang="ko"><head><meta charset="{charset}"><title>안내</title></head>'
    return f"{page}<body><h1>{heading}</h1><p>{text}</p>{table}</body></html>".encode(charset)


def eml(subject: str, text: str, attached: Mapping[str, bytes], charset: str = "cp949") -> bytes:
    """A mail with files."""
    words = base64.b64encode(subject.encode(charset)).decode()
    lines = [
        "From: hong@example.com",
        "To: kim@example.com",
        f"Subject: =?{charset}?B?{words}?=",
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="b"',
        "",
        "--b",
        f"Content-Type: text/plain; charset={charset}",
        "Content-Transfer-Encoding: base64",
        "",
        base64.b64encode(text.encode(charset)).decode(),
    ]
    for name, data in attached.items():
        lines += ["--b", f'Content-Type: application/octet-stream; name="{name}"']
        lines += [f'Content-Disposition: attachment; filename="{name}"', "Content-Transfer-Encoding: base64"]
        lines += ["", base64.b64encode(data).decode()]
    return "\r\n".join([*lines, "--b--", ""]).encode()


def msg(subject: str, text: str, attached: Mapping[str, bytes]) -> bytes:
    """An Outlook message with files, in Korean's code page."""
    properties: dict[int, str | bytes | int] = {
        0x0037: subject.encode("cp949"),
        0x0C1A: "홍길동".encode("cp949"),
        0x3FFD: 949,
        0x1000: text.encode("cp949"),
    }
    return compound_file(outlook_message(properties, [{0x3707: name, 0x3701: data} for name, data in attached.items()]))


def rtf(heading: str, text: str) -> bytes:
    """A heading and a paragraph."""
    head = rb"{\rtf1\ansi\ansicpg949\deff0{\fonttbl{\f0\fnil\fcharset129 Batang;}}"
    head += rb"{\stylesheet{\s1\outlinelevel0 heading 1;}}"
    return head + rb"\pard\s1 " + _hex(heading) + rb"\par\pard " + _hex(text) + rb"\par}"


def _hex(text: str) -> bytes:
    return b"".join(b"\\'%02x" % byte for byte in text.encode("cp949"))


def ipynb(heading: str, code: str, output: str) -> bytes:
    """A notebook: a cell of Markdown, one of code with what it printed."""
    printed = [{"output_type": "stream", "name": "stdout", "text": [output]}]
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": [f"# {heading}"]},
        {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": [code], "outputs": printed},
    ]
    return json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}, ensure_ascii=False).encode()
