"""The socket that `serve` listens on."""

import socket

from s3_to_milvus.cli.serving import _listen


def test_answers_do_not_wait_for_the_other_side_to_acknowledge():
    with _listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
