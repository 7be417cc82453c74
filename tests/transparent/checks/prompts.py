"""Cells that ask the user."""

from __future__ import annotations

from tests.transparent.stage import Stage, check
from tests.transparent.talk import Client


@check()
def prompts(stage: Stage, a: Client) -> None:
    for number, (code, answer) in enumerate([("input('name? ')", "é 🐍"), ("input()", ""), ("import getpass; getpass.getpass('secret: ')", "s"),
                                             ("getpass.getpass()", "t"), ("import sys; sys.stdin.readline()", "u"), ("input('end? ')", "\x04")]):  # fmt: skip
        one = a.execute(f"print('before')\n{code}", allow_stdin=True)
        if "readline" not in code:
            count = number + 1 if number < 4 else number
            a.answer(a.prompt(count), answer)
        a.finish(one)
    for code in ("input()", "getpass.getpass()"):
        a.run(code, allow_stdin=False)
    a.run("try:\n    input()\nexcept Exception as e:\n    print(type(e).__name__)", allow_stdin=False)


@check()
def two_clients_asked_in_turn(stage: Stage, a: Client) -> None:
    b = stage.client()
    first = a.execute("one = input('a? '); one", allow_stdin=True)
    prompt = a.prompt()
    second = b.execute("two = input('b? '); two", allow_stdin=True)
    b.listen(0.2)
    stage.note(len([heard for heard in b.log if heard.type == "input_request"]))
    a.answer(prompt, "from a")
    b.answer(b.prompt(), "from b")
    a.finish(first)
    b.finish(second)
    a.run("one, two")


@check()
def an_answer_that_nobody_asked_for_is_dropped(stage: Stage, a: Client) -> None:
    stray = a.session.msg("input_reply", {"value": "stray"})
    a.sockets["stdin"].send_multipart(a.session.serialize(stray))
    a.listen(0.2)
    one = a.execute("input('real? ')", allow_stdin=True)
    a.answer(a.prompt(), "wanted")
    a.finish(one)


@check()
def bad_answers(stage: Stage, a: Client) -> None:
    one = a.execute("input('1? ')", allow_stdin=True)
    a.prompt()
    a.sockets["stdin"].send_multipart([b"<IDS|MSG>", b"wrong", b"{}", b"{}", b"{}", b"{}"])
    a.listen(0.1)
    a.answer(a.prompt(), "right")
    a.finish(one)
    two = a.execute("input('2? ')", allow_stdin=True)
    a.prompt(2)
    empty = a.session.msg("input_reply", {})
    a.sockets["stdin"].send_multipart(a.session.serialize(empty))
    a.finish(two)


@check()
def the_debugger_s_prompt(stage: Stage, a: Client) -> None:
    a.run("def f(x):\n    y = x + 1\n    return 1 / 0")
    a.run("f(1)")
    one = a.execute("%debug", allow_stdin=True)
    for count, command in enumerate(("p x, y", "up", "q"), 1):
        a.answer(a.prompt(count), command)
    a.finish(one)
    two = a.execute("import pdb\npdb.set_trace()\nz = 3\nz", allow_stdin=True)
    a.answer(a.prompt(4), "n")
    a.answer(a.prompt(5), "c")
    a.finish(two)
