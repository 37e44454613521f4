"""`doctor` looks at the journal of apprise: what is not installed is named, nothing is sent, no address is shown."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from s3_to_milvus.cli.main import main
from tests.support.receiver import receiver


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # of the library itself
@pytest.mark.parametrize("is_installed", [True, False])
def test_the_doctor_looks_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_installed: bool) -> None:
    monkeypatch.chdir(tmp_path)
    if not is_installed:
        monkeypatch.setitem(sys.modules, "apprise", None)
    with receiver() as server:
        for name, value in {
            "S2M_DATA_DIR": str(tmp_path / "data"),
            "S2M_EMBEDDER__KIND": "hash",
            "S2M_PARSER__KIND": "text",
            "S2M_JOURNAL__KIND": "apprise",
            "S2M_JOURNAL__APPRISE__URL_SECRETS": server.url.replace("http://", "json://"),
        }.items():
            monkeypatch.setenv(name, value)
        result = CliRunner().invoke(main, ["doctor", "--json"])
        assert server.asked == 0
    (found,) = [each for each in json.loads(result.stdout)["findings"] if each["name"] == "journal"]
    assert found["ok"] is is_installed
    assert ("JSON" in found["message"]) is is_installed
    assert ("s3-to-milvus[apprise]" in found["hint"]) is not is_installed
    assert "secret-path" not in result.output
