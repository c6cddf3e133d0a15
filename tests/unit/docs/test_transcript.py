"""How pages are read by the test that types what they say."""

from __future__ import annotations

from tests.e2e.transcript import missing, steps


def test_a_command_goes_on_over_open_quotes_and_here_documents() -> None:
    page = "```console\n$ a 'b\nc'\nout\n$ cat <<'END'\n$ no command\nEND\n```\n```sh\nnot run\n```\n"
    assert [(step.command, step.expected) for step in steps(page)] == [
        ("a 'b\nc'", ["out"]),
        ("cat <<'END'\n$ no command\nEND", []),
    ]


def test_dots_stand_for_anything_and_order_counts() -> None:
    assert missing(["a … c", "d"], "x\na   b c\nd\n") is None
    assert missing(["d", "a … c"], "a b c\nd\n") == "a … c"
