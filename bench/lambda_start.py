"""What the Lambda costs before it does anything: CPU of its import and of its first call, and how much is uploaded.

Each is run twenty times as a process of its own, with nothing but the standard library to import from; bare Python is
subtracted. The median counts. The first call forwards one message, signed, to an address on this machine.
"""

import http.server
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping

from bench.tools import ROOT, cpu_s, head, line, percentile

__all__ = ["main"]

_TIMES = 20
_FILE = ROOT / "deploy" / "lambda" / "ai_s3_to_fastapi.py"
_IMPORT = f"import sys; sys.path.insert(0, {str(_FILE.parent)!r}); import ai_s3_to_fastapi"
_EVENT = {"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": json.dumps({"Records": []})}]}
_CALL = f"{_IMPORT}; assert not ai_s3_to_fastapi.lambda_handler({_EVENT!r}, None)['batchItemFailures']"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take what comes."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _child_cpu_ms(code: str, environment: Mapping[str, str]) -> float:
    """CPU of a process that runs ``code``, the median; this process only waits meanwhile."""
    found = []
    for _ in range(_TIMES):
        began = cpu_s()
        subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], env=environment, check=True, capture_output=True)
        found.append((cpu_s() - began) * 1e3)
    return percentile(found, 0.5)


def _zipped_bytes() -> int:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(_FILE, _FILE.name)
    return len(made.getvalue())


def main() -> None:
    """Print a table."""
    head()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    given = {"S2M_URL": f"http://127.0.0.1:{server.server_port}", "S2M_SECRET": "secret"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("S2M_")} | given
    bare = _child_cpu_ms("pass", environment)
    line("bare Python: CPU", bare, "ms")
    line("import: CPU beside bare Python", _child_cpu_ms(_IMPORT, environment) - bare, "ms", 100)
    line("import and first call: CPU beside bare Python", _child_cpu_ms(_CALL, environment) - bare, "ms", 120)
    line("zipped", _zipped_bytes() / 1024, "KiB", 20)
    server.shutdown()


if __name__ == "__main__":
    main()
