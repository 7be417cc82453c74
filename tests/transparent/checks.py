"""What front ends and cells do. Each is played against plain ipykernel and against ours; see `stage`."""

from __future__ import annotations

from typing import Any

import zmq

from tests.transparent.stage import Stage, check
from tests.transparent.talk import Client, Request


def idle(a: Client, request: Request) -> None:
    """Wait for the idle of a request that isn't answered."""
    a.until(lambda: request.idle)


def settle(a: Client) -> None:
    """Wait until the kernel is done with what was sent before, if it does anything with it."""
    a.ask("is_complete_request", {"code": "1"})


def complete(a: Client, code: str, at: int) -> None:
    """Ask for completions; ipykernel 6 doesn't answer where the cursor is outside of the code."""
    idle(a, a.send("complete_request", {"code": code, "cursor_pos": at}))
    settle(a)


# ---------------------------------------------------------------------- execute_request and its flags


@check()
def values(stage: Stage, a: Client) -> None:
    for code in ("1 + 1", "x = 3", "x; 'semicolon';", "None", "", "  \n", "# nothing", "_, __, _1, In, Out", "...",
                 "'é ∑ 🐍'", "float('nan')", "b'\\x00\\xff'", "[0] * 2000"):  # fmt: skip
        a.run(code)


@check()
def flags(stage: Stage, a: Client) -> None:
    for silent in (False, True):
        for store in (False, True):
            for code in ("7 * 6", "print('out')", "1 / 0", "display(5)"):
                a.run(code, silent=silent, store_history=store)
    a.run("In, Out, get_ipython().execution_count")


@check()
def defaults_of_what_is_left_out(stage: Stage, a: Client) -> None:
    a.ask("execute_request", {"code": "1"})
    a.ask("execute_request", {"code": "input()"})
    a.ask("execute_request", {"code": "2", "silent": True})
    a.ask("execute_request", {"code": "3", "unknown": 1}, metadata={"tags": ["mine"], "deep": {"x": [1]}})
    a.run("get_ipython().kernel.get_parent()['metadata'], get_ipython().kernel.get_parent()['content']")


@check()
def as_vs_code_starts(stage: Stage, a: Client) -> None:
    """Cells that are not silent, but not stored either, without metadata."""
    for code in (
        "import os; os.getcwd()",
        "print('set up')",
        "%config InlineBackend.figure_formats",
        "nowhere",
        "1",
    ):
        content = {
            "code": code, "silent": False, "store_history": False, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": False,
        }  # fmt: skip
        a.ask("execute_request", content)
    metadata = {"vscode": {"languageId": "python"}, "cellId": "vscode-notebook-cell:/n.ipynb#W0"}
    a.run("In, Out", metadata=metadata, stop_on_error=False)


@check()
def user_expressions(stage: Stage, a: Client) -> None:
    expressions = {
        "right": "x + 1",
        "wrong": "nowhere",
        "syntax": "1 +",
        "rich": "R()",
        "": "2",
        "odd name!": "3",
    }
    a.run("class R:\n    def _repr_html_(self): return '<b>'\nx = 1", user_expressions=expressions)
    a.run("", user_expressions=expressions, silent=True)
    a.run("1 / 0", user_expressions=expressions)


@check()
def stop_on_error_aborts_the_queue(stage: Stage, a: Client) -> None:
    cells = [a.execute(code) for code in (stage.gate, "1 / 0", "print('never')", "2 + 2")]
    stage.open_gate()
    for one in cells:
        a.finish(one)
    a.run("'after'")


@check()
def other_requests_in_an_aborted_queue_are_answered(stage: Stage, a: Client) -> None:
    first = a.execute(f"{stage.gate}; 1 / 0")
    others = [
        a.send("is_complete_request", {"code": "1"}),
        a.execute("'never'"),
        a.send("kernel_info_request", {}),
        a.execute("'never either'", silent=True),
        a.execute("", user_expressions={"x": "1"}, store_history=False),
    ]
    stage.open_gate()
    for one in (first, *others):
        a.finish(one)
    a.run("'after'")


@check()
def without_stop_on_error_the_queue_goes_on(stage: Stage, a: Client) -> None:
    cells = [
        a.execute(code, stop_on_error=False) for code in (stage.gate, "1 / 0", "print('goes on')", "2 + 2")
    ]
    stage.open_gate()
    for one in cells:
        a.finish(one)


@check()
def a_silent_error_aborts_nothing(stage: Stage, a: Client) -> None:
    cells = [a.execute(f"{stage.gate}; 1 / 0", silent=True), a.execute("'goes on'")]
    stage.open_gate()
    for one in cells:
        a.finish(one)


@check()
def aborts_hit_the_cells_of_other_clients_too(stage: Stage, a: Client) -> None:
    b = stage.client()
    first = a.execute(f"print('begun', flush=True); {stage.gate}; 1 / 0")
    a.until(lambda: "begun" in first.text)
    second = b.execute("'never'")
    stage.open_gate()
    b.finish(second)
    b.run("'after'")


@check()
def many_cells_at_once_keep_their_order(stage: Stage, a: Client) -> None:
    cells = [a.execute(f"print({number}); {number}") for number in range(60)]
    for one in cells:
        a.finish(one)


@check()
def cells_that_look_like_ours_but_are_not(stage: Stage, a: Client) -> None:
    for code in ("batch = 1; batch", "%precision batch", "x = '''\n%%batch\n'''\nx", "print(1)\n%%batch\n2", "%batchy", "%%jobsx\n1",
                 "# %%batch\n1", "!echo %batch", "'%jobs'", " # tags: [batch]\n1", "%%capture out\nprint('%jobs')", "out.stdout"):  # fmt: skip
        a.run(code)
    for tags in (["batching"], ["Batch"], "batch", [["batch"]], [1], {"batch": 1}, None):
        a.run("'ordinary'", metadata={"tags": tags})
    a.run("'ordinary'", metadata={"batch": {"memory": "1GB"}})


# ---------------------------------------------------------------------- errors


@check()
def errors(stage: Stage, a: Client) -> None:
    for code in ("1 / 0", "x = (", "def f():\nreturn", "raise KeyError('k')", "nowhere", "import nowhere", "assert False, 'no'",
                 "raise SystemError", "eval('1 +')", "await nothing", "%nomagic", "%%nomagic\n1", "!false", "raise KeyboardInterrupt",
                 "raise KeyboardInterrupt('text')", "raise BaseException('b')",
                 # With fewer frames than usual: formatting thousands of them takes half a minute.
                 "import sys\nusual = sys.getrecursionlimit()\nsys.setrecursionlimit(300)\ndef f(n): return f(n + 1)\nf(0)", "sys.setrecursionlimit(usual)",
                 "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])"):  # fmt: skip
        a.run(code, stop_on_error=False)
    idle(a, a.execute("x = 1\n\0"))  # older ones of IPython don't answer
    settle(a)


@check()
def nested_tracebacks(stage: Stage, a: Client) -> None:
    a.run(
        "def inner(x):\n    return 1 / x\n\ndef outer(x):\n    try:\n        return inner(x)\n    except ZeroDivisionError as e:\n        raise ValueError('outer') from e"
    )
    a.run("outer(0)")
    a.run("%xmode Minimal")
    a.run("outer(0)")
    a.run("%xmode Context")
    a.run("%tb")
    a.run("import sys; sys.exc_info(), sys.last_value")
    a.run("try:\n    1/0\nexcept Exception:\n    import traceback; traceback.print_exc()")
    a.run("class Odd(Exception):\n    def __str__(self): raise RuntimeError('in str')\nraise Odd")
    a.run(
        "class Shown(Exception):\n    def _render_traceback_(self): return ['line 1', 'line 2']\nraise Shown('s')"
    )


@check()
def custom_exception_handlers_and_hooks(stage: Stage, a: Client) -> None:
    a.run(
        "ip = get_ipython(); seen = []\nip.events.register('pre_run_cell', lambda info: seen.append(info.raw_cell))"
    )
    a.run("2")
    a.run("3", silent=True)
    a.ask("complete_request", {"code": "see", "cursor_pos": 3})
    a.run("seen")
    a.run(
        "for f in list(ip.events.callbacks['pre_run_cell']): ip.events.unregister('pre_run_cell', f) if f.__module__ == '__main__' else None"
    )
    a.run("ip.set_custom_exc((ValueError,), lambda self, t, v, tb, tb_offset=None: print('handled', v))")
    a.run("raise ValueError(3)")
    a.run("ip.set_custom_exc((), None)")


# ---------------------------------------------------------------------- payloads and displays


@check()
def payloads(stage: Stage, a: Client) -> None:
    a.run("import textwrap, os")
    for code in ("len?", "len??", "%page 5", "nowhere?", "*.dedent?", "get_ipython().set_next_input('new cell')",
                 "get_ipython().set_next_input('same', replace=True)"):  # fmt: skip
        a.run(code)
    a.run("open('loaded.py', 'w').write('a = 1\\n'); None")
    a.run("%load loaded.py")
    a.run("%pycat loaded.py")
    a.run("%recall 1")
    a.run("os.remove('loaded.py')")


@check()
def displays(stage: Stage, a: Client) -> None:
    a.run("from IPython.display import *")
    a.run(
        "handle = display('first', display_id=True)\nhandle.update('second')\nupdate_display('third', display_id=handle.display_id)"
    )
    a.run("display('named', display_id='mine'); display('again', display_id='mine')")
    a.run("handle.update('from a later cell')")
    a.run("print('one'); clear_output(wait=True); print('two'); clear_output(); print('three')")
    a.run(
        "display({'text/plain': 'p', 'text/html': '<i>h</i>', 'application/x': {'k': [1]}}, raw=True, metadata={'m': 1})"
    )
    a.run(
        "display(HTML('<b>'), Markdown('*m*'), Latex('$x$'), JSON({'a': 1}), SVG('<svg></svg>'), Javascript('1'))"
    )
    a.run("Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(20), format='png')")
    a.run(
        "class Many:\n    def _repr_mimebundle_(self, include=None, exclude=None): return {'text/plain': 't', 'x/y': 1}, {'x/y': {'w': 2}}\nMany()"
    )
    a.run("class Broken:\n    def _repr_html_(self):\n        raise ValueError('broken repr')\nBroken()")
    a.run(
        "from IPython.core.displaypub import *\npublish_display_data({'text/plain': 'published'}, {'meta': 1}, transient={'display_id': 'd', 'more': 1})"
    )
    a.run("display()\ndisplay(None)\ndisplay(exclude=['text/html'], *[HTML('<b>')])")


@check()
def a_large_display_and_much_output(stage: Stage, a: Client) -> None:
    a.run("display({'text/plain': 'x' * 5_000_000}, raw=True)")
    a.run("for i in range(20000): print(f'line_{i}_')")


@check()
def figures(stage: Stage, a: Client) -> None:
    a.run("import matplotlib; matplotlib.get_backend()")
    a.run("import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1)); plt.plot([1, 2]); plt.title('t')")
    a.run("plt.figure(figsize=(1, 1)); plt.plot([1]); plt.show(); print('after')")


# ---------------------------------------------------------------------- streams, threads, processes


@check()
def streams(stage: Stage, a: Client) -> None:
    a.run(
        "import sys\nfor i in range(5):\n    print('out', i, flush=True); print('err', i, file=sys.stderr, flush=True); display(i)"
    )
    a.run("sys.stdout.write('no newline'); sys.stdout.writelines(['a', 'b'])")
    a.run("print('a', end='\\r'); print('\\x1b[31mred\\x1b[0m'); print('\\x00\\x08 é 🐍')")
    a.run("sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.name, sys.stdin.__class__.__name__")
    a.run("import logging, warnings; logging.warning('logged'); warnings.warn('warned')")
    for number in (1, 2):
        one = a.execute(f"import os; _ = os.write({number}, b'to the file\\n'); {stage.gate}")
        a.until(lambda one=one: one.text)
        stage.open_gate()
        a.finish(one)
    one = a.execute(f"_ = sys.__stdout__.write('to __stdout__\\n'); sys.__stdout__.flush(); {stage.gate}")
    a.until(lambda: one.text)
    stage.open_gate()
    a.finish(one)


@check()
def threads(stage: Stage, a: Client) -> None:
    a.run(
        "import threading\ndef say():\n    print('from a thread'); display('shown')\nt = threading.Thread(target=say); t.start(); t.join()"
    )
    a.run(
        "import time\ndef late():\n    while not go: time.sleep(0.01)\n    print('late'); display('late')\ngo = []; t = threading.Thread(target=late); t.start()"
    )
    a.run("go.append(1); t.join(); print('joined')")
    a.run("def wrong(): 1 / 0\nt = threading.Thread(target=wrong); t.start(); t.join()")
    a.run(
        "import concurrent.futures as c\nlist(c.ThreadPoolExecutor(1).map(lambda i: print(i, flush=True) or i, range(3)))"
    )


@check()
def a_thread_prints_between_cells(stage: Stage, a: Client) -> None:
    first = a.run(
        f"import threading\ndef late():\n    {stage.gate}; print('late', flush=True)\nt = threading.Thread(target=late); t.start()"
    )
    second = a.run("'quick'")
    stage.open_gate()
    a.until(lambda: "late" in first.text + second.text)
    a.run("t.join()")


@check()
def processes(stage: Stage, a: Client) -> None:
    for code in ("!echo shell", "x = !echo captured\nx", "!echo to-err >&2", "%%bash\necho bash; echo err >&2", "%%sh\nexit 3", "!exit 4\n_exit_code",
                 "%sx echo sx", "!!echo bang", "import subprocess; subprocess.run(['echo', 'run'], capture_output=True).stdout",
                 "%%python\nprint('sub')", "%%script sh --out got\necho s", "got"):  # fmt: skip
        a.run(code, stop_on_error=False)
    for code in ("_ = subprocess.run(['echo', 'inherited'])", "_ = subprocess.run('echo inherited >&2', shell=True)", "_ = os.system('echo system')"):  # fmt: skip
        one = a.execute(f"import os; {code}; {stage.gate}")
        a.until(lambda one=one: one.text)
        stage.open_gate()
        a.finish(one)
    a.run(
        "import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, -2]))"
    )
    a.run("pid = os.fork()\nif pid == 0:\n    print('child', flush=True); os._exit(0)\nos.waitpid(pid, 0)[1]")


@check()
def magics(stage: Stage, a: Client) -> None:
    for code in ("%pwd", "%cd /tmp", "%cd -", "x = 1", "%timeit -n1 -r1 -q pass", "%%capture c\nprint(1)", "c.stdout",
                 "%env GANGA_TEST=1", "%env GANGA_TEST", "%set_env A=2", "%alias", "%precision 3", "3.14159", "%precision %r", "%history -n",
                 "%%writefile f.txt\ntext", "%run f.txt", "!rm f.txt", "%load_ext autoreload", "%autoreload 2", "%config InlineBackend.close_figures",
                 "%prun -q pass", "%pinfo len", "%pdb on", "%pdb off", "%colors", "%%html\n<b>", "%%javascript\n1", "%%latex\n$x$", "%%svg\n<svg/>",
                 "%store", "%macro m 4", "%automagic", "%automagic", "%reset_selective -f x", "%notebook x.ipynb", "!rm x.ipynb", "%autoawait", "%rerun 4"):  # fmt: skip
        a.run(code, stop_on_error=False)


@check()
def help_that_lists_all_magics(stage: Stage, a: Client) -> None:
    for code in ("%quickref", "%lsmagic", "%magic"):
        a.run(code)


@check()
def lists_of_the_names(stage: Stage, a: Client) -> None:
    for code in ("%who", "x = 1", "%who_ls", "%whos", "dir()"):
        a.run(code)


@check()
def connect_info_in_a_cell(stage: Stage, a: Client) -> None:
    a.run("%connect_info")


# ---------------------------------------------------------------------- async


@check()
def awaiting(stage: Stage, a: Client) -> None:
    a.run("import asyncio")
    a.run("await asyncio.sleep(0.05); 'slept'")
    a.run(
        "async def f(x):\n    await asyncio.sleep(0.01); print('in f'); return x\nawait asyncio.gather(f(1), f(2))"
    )
    a.run("async with asyncio.timeout(0.01):\n    await asyncio.sleep(5)")
    a.run("async for x in 3: pass")
    a.run("go = asyncio.Event(); task = asyncio.create_task(go.wait())")
    a.run("go.set(); await task")
    a.run("def gen():\n    yield 1\n[x async for x in gen()]")
    a.run("asyncio.get_running_loop().__class__.__name__, asyncio.current_task() is not None")
    a.run("asyncio.run(f(1))")


@check()
def a_background_task_prints_in_a_later_cell(stage: Stage, a: Client) -> None:
    a.run(
        "import asyncio\ngo = asyncio.Event()\nasync def tick():\n    await go.wait()\n    for i in range(3):\n        await asyncio.sleep(0.01); print('tick', i, flush=True)\ntask = asyncio.create_task(tick())"
    )
    a.run("go.set(); await task; 'ended'")


@check()
def async_cells_do_not_overtake(stage: Stage, a: Client) -> None:
    first = f"import asyncio\ndef wait():\n    {stage.gate}\nawait asyncio.to_thread(wait); print('first')"
    cells = [a.execute(first), a.execute("print('second')")]
    stage.open_gate()
    for one in cells:
        a.finish(one)


# ---------------------------------------------------------------------- other requests


@check()
def completions(stage: Stage, a: Client) -> None:
    a.run("wavelength = {'key': 1}; import os")
    for code, at in (("wavel", 5), ("wavelength['", 12), ("os.pat", 6), ("%ti", 3), ("%%ti", 4), ("import js", 9), ("é.x", 1), ("wavel + 1", 5), ("print(wavel", 11), ("open('/et", 9), ("!l", 2)):  # fmt: skip
        complete(a, code, at)


@check()
def completion_of_our_magics(stage: Stage, a: Client) -> None:
    complete(a, "x", 99)
    for code in ("%", "%%", "%ba", ""):
        complete(a, code, len(code))


@check()
def inspections(stage: Stage, a: Client) -> None:
    a.run("def described(x: int) -> str:\n    'Its docstring.'\n    return str(x)\nvalue = 3")
    for code, at in (("described", 4), ("described(", 10), ("value", 5), ("nowhere", 3), ("len", 3), ("%timeit", 4), ("", 0), ("described(1, 2)", 12)):  # fmt: skip
        for level in (0, 1):
            a.ask("inspect_request", {"code": code, "cursor_pos": at, "detail_level": level})


@check()
def completeness(stage: Stage, a: Client) -> None:
    for code in ("1", "for x in y:", "def f():\n    return 1\n", "x = (", "1 +", "'''", "raise =", "%%time\n", "%time 1", "", "if 1:\n    x", "!ls", "a?", "await x"):  # fmt: skip
        a.ask("is_complete_request", {"code": code})


@check()
def history(stage: Stage, a: Client) -> None:
    for code in ("first = 1", "first + 1", "1 / 0", "%precision 3", "not stored"):
        a.run(code, store_history=code != "not stored", stop_on_error=False)
    for asked in (
        {"hist_access_type": "range", "session": 0, "start": 1, "stop": 4},
        {"hist_access_type": "range", "session": 0, "start": 0, "stop": 100},
        {"hist_access_type": "range", "session": 0, "start": 2, "stop": 3, "output": True},
        {"hist_access_type": "tail", "n": 3},
        {"hist_access_type": "tail", "n": 0},
        {"hist_access_type": "search", "pattern": "first*", "n": 2},
        {"hist_access_type": "search", "pattern": "*", "n": 4, "unique": True},
        {"hist_access_type": "search", "pattern": "no such text"},
    ):
        for raw in (True, False):
            a.ask("history_request", {"output": False, **asked, "raw": raw})


@check(ordered=False)
def kernel_info(stage: Stage, a: Client) -> None:
    a.ask("kernel_info_request", {})
    a.ask("kernel_info_request", {}, channel="control")
    # As jupyter_server does: on both at once.
    both = [a.send("kernel_info_request", {}), a.send("kernel_info_request", {}, channel="control")]
    a.until(lambda: all(one.done for one in both))
    a.run("get_ipython().kernel.banner.split()[0]")


@check()
def connect(stage: Stage, a: Client) -> None:
    a.ask("connect_request", {})
    a.ask("connect_request", {}, channel="control")


@check(without=("usage_reply",))
def usage(stage: Stage, a: Client) -> None:
    reply = a.ask("usage_request", {}, channel="control").reply
    stage.note(sorted({*reply} - {"host_cpu_percent"}))  # which is left out when it is 0
    said = a.run("import os; print('pid:', os.getpid())").text
    stage.note(said == f"pid: {reply.get('pid')}\n")


@check()
def shell_requests_on_control(stage: Stage, a: Client) -> None:
    a.run("wavelength = 1")
    a.ask("complete_request", {"code": "wavel", "cursor_pos": 5}, channel="control")
    a.ask("is_complete_request", {"code": "1"}, channel="control")
    a.ask("inspect_request", {"code": "wavelength", "cursor_pos": 5}, channel="control")
    a.ask("comm_info_request", {}, channel="control")
    a.run("wavelength + 1", channel="control")
    a.run("1 / 0", channel="control")
    a.run("'after'")


@check(ordered=False)
def control_while_a_cell_runs(stage: Stage, a: Client) -> None:
    busy = a.execute(f"print('begun', flush=True); {stage.gate}")
    a.until(lambda: "begun" in busy.text)
    a.ask("kernel_info_request", {}, channel="control")
    stage.note(busy.idle)
    stage.open_gate()
    a.finish(busy)


@check()
def requests_while_a_cell_runs_wait(stage: Stage, a: Client) -> None:
    busy = a.execute(f"print('begun', flush=True); {stage.gate}")
    a.until(lambda: "begun" in busy.text)
    others = [
        a.send("kernel_info_request", {}),
        a.send("complete_request", {"code": "tim", "cursor_pos": 3}),
        a.send("comm_info_request", {}),
        a.execute("3"),
        a.send("is_complete_request", {"code": "1"}),
    ]
    stage.open_gate()
    for one in (busy, *others):
        a.finish(one)


# ---------------------------------------------------------------------- comms


COMM = """
from comm import create_comm
heard = []
def opened(comm, message):
    heard.append((message['content'], message['metadata'], [bytes(b) for b in message['buffers']]))
    @comm.on_msg
    def _(message):
        heard.append((message['content'], message['metadata'], [bytes(b) for b in message['buffers']]))
        comm.send({'echo': message['content']['data']}, {'meta': 1}, [bytes(b)[::-1] for b in message['buffers']])
    comm.on_close(lambda message: heard.append(('closed', message['content'])))
    comm.send({'welcome': 1}, buffers=[b'w', memoryview(b'view')])
get_ipython().kernel.comm_manager.register_target('echo', opened)
"""


@check()
def comms_opened_by_the_front_end(stage: Stage, a: Client) -> None:
    a.run(COMM)
    idle(
        a,
        a.send(
            "comm_open",
            {"comm_id": "c1", "target_name": "echo", "data": {"x": 1}},
            metadata={"m": 1},
            buffers=[b"open"],
        ),
    )
    idle(
        a,
        a.send(
            "comm_msg", {"comm_id": "c1", "data": {"n": [1, None, "é"]}}, buffers=[b"", b"\x00\x01" * 1000]
        ),
    )
    a.ask("comm_info_request", {})
    a.ask("comm_info_request", {"target_name": "echo"})
    a.ask("comm_info_request", {"target_name": "other"})
    idle(a, a.send("comm_close", {"comm_id": "c1", "data": {"bye": 1}}))
    a.ask("comm_info_request", {})
    idle(a, a.send("comm_msg", {"comm_id": "c1", "data": {}}))
    idle(a, a.send("comm_open", {"comm_id": "c2", "target_name": "nobody's", "data": {}}))
    idle(a, a.send("comm_msg", {"comm_id": "never opened", "data": {}}))
    idle(a, a.send("comm_close", {"comm_id": "never opened", "data": {}}))
    a.run("heard")


@check()
def comms_opened_by_the_kernel(stage: Stage, a: Client) -> None:
    a.run(COMM)
    a.run(
        "comm = create_comm('front', {'d': 1}, {'m': 2}, [b'one', bytes(3)], 'k1'); comm.on_msg(lambda m: print('got', m['content']['data'], len(m['buffers'])))"
    )
    a.run("comm.send({'x': float('inf') > 1}, buffers=[b'b'])")
    idle(a, a.send("comm_msg", {"comm_id": "k1", "data": {"y": 2}}, buffers=[b"12", b"3"]))
    a.ask("comm_info_request", {})
    a.run("comm.close({'end': 1})")
    a.ask("comm_info_request", {})


@check()
def widgets(stage: Stage, a: Client) -> None:
    a.run(
        "try:\n    import ipywidgets\nexcept ImportError:\n    print('none')\nelse:\n    w = ipywidgets.IntSlider(); display(w)"
    )


@check()
def comm_messages_while_a_cell_runs(stage: Stage, a: Client) -> None:
    a.run(COMM)
    idle(a, a.send("comm_open", {"comm_id": "c1", "target_name": "echo", "data": {}}))
    busy = a.execute(f"print('begun', flush=True); {stage.gate}; print(len(heard))")
    a.until(lambda: "begun" in busy.text)
    message = a.send("comm_msg", {"comm_id": "c1", "data": {"late": 1}})
    stage.open_gate()
    a.finish(busy)
    idle(a, message)


@check(ordered=False)
def comm_messages_while_an_async_cell_waits_for_them(stage: Stage, a: Client) -> None:
    a.run(
        "import asyncio\ngot = asyncio.Event()\ndef opened(comm, m): comm.on_msg(lambda m: got.set())\nget_ipython().kernel.comm_manager.register_target('wake', opened)"
    )
    idle(a, a.send("comm_open", {"comm_id": "c1", "target_name": "wake", "data": {}}))
    busy = a.execute("print('begun', flush=True); await asyncio.wait_for(got.wait(), 10); 'woken'")
    a.until(lambda: "begun" in busy.text)
    a.send("comm_msg", {"comm_id": "c1", "data": {}})
    a.finish(busy)


# ---------------------------------------------------------------------- subshells


def new_subshell(a: Client) -> str:
    return str(a.ask("create_subshell_request", {}, channel="control").reply["subshell_id"])


@check()
def subshells_are_made_listed_and_deleted(stage: Stage, a: Client) -> None:
    a.ask("list_subshell_request", {}, channel="control")
    one, two = new_subshell(a), new_subshell(a)
    stage.note(len(a.ask("list_subshell_request", {}, channel="control").reply["subshell_id"]))
    for subshell in (one, two, one, "no such"):
        a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")
    a.ask("list_subshell_request", {}, channel="control")


@check(ordered=False)
def a_subshell_works_while_the_main_shell_is_busy(stage: Stage, a: Client) -> None:
    subshell = new_subshell(a)
    busy = a.execute(f"print('begun', flush=True); {stage.gate}")
    a.until(lambda: "begun" in busy.text)
    a.run("x = 5; print('in the subshell'); x + 1", subshell=subshell)
    a.run("1 / 0", subshell=subshell)
    a.ask("complete_request", {"code": "tim", "cursor_pos": 3}, header={"subshell_id": subshell})
    a.ask("kernel_info_request", {}, header={"subshell_id": subshell})
    a.run("%subshell", subshell=subshell)
    stage.note(busy.idle)
    stage.open_gate()
    a.finish(busy)
    a.run("x")
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


@check(ordered=False)
def an_aborted_queue_of_a_subshell(stage: Stage, a: Client) -> None:
    subshell = new_subshell(a)
    cells = [
        a.execute(f"print('begun', flush=True); {stage.gate}; 1 / 0", subshell=subshell),
        a.execute("'never'", subshell=subshell),
    ]
    a.until(lambda: "begun" in cells[0].text)
    cells.append(a.execute("'in the main shell'"))
    stage.open_gate()
    for one in cells:
        a.finish(one)
    a.run("'after'", subshell=subshell)
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


@check()
def comm_messages_in_a_subshell(stage: Stage, a: Client) -> None:
    a.run(COMM)
    subshell = new_subshell(a)
    header = {"subshell_id": subshell}
    idle(a, a.send("comm_open", {"comm_id": "c1", "target_name": "echo", "data": {}}, header=header))
    idle(a, a.send("comm_msg", {"comm_id": "c1", "data": {"x": 1}}, header=header, buffers=[b"abc"]))
    idle(a, a.send("comm_close", {"comm_id": "c1", "data": {}}, header=header))
    a.run("heard")
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


@check()
def an_unknown_subshell(stage: Stage, a: Client) -> None:
    header = {"subshell_id": "no such"}
    a.run("1", subshell="no such")
    a.ask("kernel_info_request", {}, header=header)
    a.send("comm_msg", {"comm_id": "c1", "data": {}}, header=header)
    settle(a)
    a.run("'after'")
    a.ask("kernel_info_request", {}, header={"subshell_id": None})
    a.finish(a.send("execute_request", {"code": "5"}, header={"subshell_id": None}))


@check(ordered=False)
def input_in_a_subshell(stage: Stage, a: Client) -> None:
    subshell = new_subshell(a)
    asking = a.execute("input('sub? ')", subshell=subshell, allow_stdin=True)
    a.answer(a.prompt(), "yes")
    a.finish(asking)
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


# ---------------------------------------------------------------------- stdin


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


# ---------------------------------------------------------------------- interrupts

_BEGUN = "print('begun', flush=True)"
_LONG = {
    "a busy loop": f"{_BEGUN}\nwhile True: pass",
    "time.sleep": f"import time; {_BEGUN}; time.sleep(60)",
    "asyncio.sleep": f"import asyncio; {_BEGUN}; await asyncio.sleep(60)",
    "a process": "import subprocess; subprocess.run(['sh', '-c', 'echo begun; exec sleep 60'])",
    "a shell line": "!echo begun; exec sleep 60",
    "a pipe": "import subprocess; subprocess.run(['sh', '-c', 'echo begun >&2; sleep 60 | cat'], stdout=-1)",
    "a lock": f"import threading; {_BEGUN}; threading.Event().wait(60)",
    "compiled code without the GIL": f"import hashlib; {_BEGUN}\nx = [hashlib.pbkdf2_hmac('sha256', b'a', b'b', 300_000) for _ in range(200)]",
    "ctypes": f"import ctypes, time; {_BEGUN}; ctypes.CDLL(None).poll(0, 0, 60_000); time.sleep(60)",
    "a process pool": f"import multiprocessing, time\ndef work(): {_BEGUN}; time.sleep(60)\np = multiprocessing.get_context('fork').Pool(1)\ntry:\n    p.apply(work)\nfinally:\n    p.terminate()",
}


def interrupted(name: str, by: str) -> None:
    """Register the check that this code is interrupted."""

    def play(stage: Stage, a: Client) -> None:
        one = a.execute(_LONG[name])
        queued = a.execute("'queued'")
        stage.interrupt(one, by)
        if name == "asyncio.sleep":
            # ipykernel 7 notices the interrupt only when something else wakes its event loop.
            a.listen(0.3)
            a.send("kernel_info_request", {})
        a.finish(one)
        a.finish(queued)
        a.run("'after'")

    play.__name__ = f"interrupt_of_{name}_by_{by}".replace(" ", "_").replace(".", "_")
    # Whether a worker process still says that it was interrupted is a matter of timing.
    check(ordered=False, without=("stream",) if "pool" in name else ())(play)


for _name in _LONG:
    interrupted(_name, "signal")
    interrupted(_name, "message")


@check()
def interrupt_of_an_idle_kernel(stage: Stage, a: Client) -> None:
    stage.interrupt()
    a.listen(0.1)
    a.run("'after a signal'")
    a.ask("interrupt_request", {}, channel="control")
    a.run("'after a message'")


def interrupted_prompts(stage: Stage, a: Client, by: str) -> None:
    for count, code in enumerate(
        ("input('wait? ')", "import getpass; getpass.getpass('w? ')", "import pdb; pdb.set_trace(); 1"), 1
    ):
        one = a.execute(code, allow_stdin=True)
        a.prompt(count)
        a.listen(0.1)
        stage.interrupt(by=by)
        a.listen(0.5)
        if "pdb" in code and not one.idle:
            prompts = [heard for heard in a.log if heard.type == "input_request"]
            stage.note(len(prompts))
            a.answer(prompts[-1], "q")
        a.finish(one)
    a.run("'after'")


@check(ordered=False)
def interrupt_of_prompts_by_signal(stage: Stage, a: Client) -> None:
    interrupted_prompts(stage, a, "signal")


@check(ordered=False)
def interrupt_of_prompts_by_message(stage: Stage, a: Client) -> None:
    interrupted_prompts(stage, a, "message")


@check()
def an_interrupt_between_a_cell_and_its_reply(stage: Stage, a: Client) -> None:
    """Then ipykernel sends no reply, only its idle: a matter of luck with a real cell, so here it takes its time."""
    a.run("get_ipython().kernel._execute_sleep = 0.6", silent=True)
    one = a.execute("print('begun', flush=True)")
    stage.interrupt(one)
    idle(a, one)
    stage.note(len(one.replies))
    a.finish(a.execute("get_ipython().kernel._execute_sleep = 0.0005", silent=True))
    a.run("'after'")


@check()
def a_cell_may_catch_an_interrupt(stage: Stage, a: Client) -> None:
    one = a.execute(
        "import time\ntry:\n    print('begun', flush=True); time.sleep(30)\nexcept KeyboardInterrupt:\n    print('caught')\nprint('second', flush=True)\ntime.sleep(30)"
    )
    stage.interrupt(one)
    a.until(lambda: "second" in one.text)
    a.listen(0.1)
    stage.interrupt()
    a.finish(one)
    a.run("'after'")


@check()
def a_cell_may_have_a_signal_handler(stage: Stage, a: Client) -> None:
    one = a.execute(
        "import signal, time\nhandled = []\nold = signal.signal(signal.SIGINT, lambda *_: handled.append(1))\nprint('begun', flush=True)\nwhile not handled: time.sleep(0.1)\nprint('handled')\n_ = signal.signal(signal.SIGINT, old)"
    )
    stage.interrupt(one)
    a.finish(one)
    a.run("signal.getsignal(signal.SIGINT).__name__, signal.getsignal(signal.SIGTERM)")


@check(ordered=False)
def a_subshell_s_cell_and_an_interrupt(stage: Stage, a: Client) -> None:
    subshell = new_subshell(a)
    one = a.execute(f"print('begun', flush=True); {stage.gate}; 'went on'", subshell=subshell)
    stage.interrupt(one)
    stage.open_gate()
    a.finish(one)
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


# ---------------------------------------------------------------------- the debugger


class Debugger:
    """A debug adapter's client on the control channel."""

    def __init__(self, a: Client) -> None:
        self.a, self.count = a, 0

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.count += 1
        content = {"type": "request", "seq": self.count, "command": command, "arguments": arguments}
        request = self.a.finish(self.a.send("debug_request", content, channel="control"))
        return dict(request.reply)

    def quietly(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The same, and what was heard is no part of what is compared."""
        reply = self.ask(command, **arguments)
        heard = self.a.requests.popitem()[1].heard
        self.a.log = [one for one in self.a.log if one not in heard]
        return reply

    def events(self, name: str) -> list[dict[str, Any]]:
        found = [heard.content for heard in self.a.log if heard.type == "debug_event"]
        return [content for content in found if content.get("event") == name]


@check(ordered=False, without=("debug_event",))
def debugging(stage: Stage, a: Client) -> None:
    d = Debugger(a)
    d.ask("debugInfo")
    d.ask("initialize", clientID="test", adapterID="", pathFormat="path", linesStartAt1=True, columnsStartAt1=True,
          supportsVariableType=True, supportsVariablePaging=True, supportsRunInTerminalRequest=True, locale="en")  # fmt: skip
    d.ask("attach")
    code = (
        "def g(n):\n    deep = n + 1\n    return deep\ndef f(n):\n    local = n\n    return g(local)\nf(41)"
    )
    path = d.ask("dumpCell", code=code)["body"]["sourcePath"]
    d.ask("setBreakpoints", breakpoints=[{"line": 6}], source={"path": path}, sourceModified=False)
    d.ask("setExceptionBreakpoints", filters=[])
    d.ask("source", source={"path": path})
    d.ask("configurationDone")
    one = a.execute(code)
    a.until(lambda: d.events("stopped"))
    thread = d.events("stopped")[0]["body"]["threadId"]
    d.ask("debugInfo")
    frames = d.ask("stackTrace", threadId=thread)["body"]["stackFrames"]
    stage.note([(frame["name"], frame["line"]) for frame in frames])
    scopes = d.ask("scopes", frameId=frames[0]["id"])["body"]["scopes"]
    variables = d.ask("variables", variablesReference=scopes[0]["variablesReference"])["body"]["variables"]
    stage.note([(found["name"], found["value"]) for found in variables])
    d.ask("evaluate", expression="local * 2", frameId=frames[0]["id"], context="watch")
    d.ask("richInspectVariables", variableName="local", frameId=frames[0]["id"])
    d.ask("copyToGlobals", srcVariableName="local", dstVariableName="copied", srcFrameId=frames[0]["id"])
    for stops, step in enumerate(("stepIn", "next", "stepOut"), 2):
        d.ask(step, threadId=thread)
        a.until(lambda stops=stops: len(d.events("stopped")) == stops)
        frames = d.ask("stackTrace", threadId=thread)["body"]["stackFrames"]
        stage.note([(frame["name"], frame["line"]) for frame in frames])
    d.ask("continue", threadId=thread)
    a.finish(one)
    a.run("copied")
    found = d.quietly("inspectVariables")["body"]["variables"]
    stage.note([one["name"] for one in found if one["name"] != "held_back"])
    d.ask("disconnect", restart=False, terminateDebuggee=False)
    d.ask("debugInfo")
    a.run("f(1)")
    a.until(lambda: d.events("terminated"))
    names = ("initialized", "stopped", "terminated")
    stage.note(
        [
            [event["body"] for event in d.events(name)] if name == "stopped" else len(d.events(name))
            for name in names
        ]
    )


# ---------------------------------------------------------------------- the wire


@check()
def unknown_messages(stage: Stage, a: Client) -> None:
    for channel in ("shell", "control"):
        idle(a, a.send("no_such_request", {"x": 1}, channel=channel))
    idle(a, a.send("debug_request", {"x": 1}))
    idle(a, a.send("input_reply", {"value": 1}))
    a.run("'after'")


@check()
def requests_that_lack_something(stage: Stage, a: Client) -> None:
    idle(a, a.send("execute_request", {}))
    idle(a, a.send("execute_request", {"silent": True}))
    for kind in (
        "complete_request",
        "inspect_request",
        "history_request",
        "is_complete_request",
        "comm_open",
        "comm_msg",
        "comm_close",
    ):
        idle(a, a.send(kind, {}))
    idle(a, a.send("shutdown_request", {}, channel="control"))
    for kind in ("interrupt_request", "delete_subshell_request", "debug_request"):
        idle(a, a.send(kind, {}, channel="control"))
    for code in (None, 3, ["1"], {"a": 1}):
        one = a.send("execute_request", {"code": code, "silent": False})
        idle(a, one)
        settle(a)
    a.run("'after'")


@check()
def contents_of_the_wrong_kind(stage: Stage, a: Client) -> None:
    for kind in ("execute_request", "kernel_info_request"):
        for content in (b"[]", b'"text"', b"1", b"null"):
            header = a.session.pack(a.session.msg_header(kind))
            a.sockets["shell"].send_multipart(a.signed(header, b"{}", b"{}", content))
            settle(a)
    for metadata in ({"tags": None}, {"tags": 3}):
        a.run("1", metadata=metadata)
    for odd in (b"[]", b"null", b'"x"', b"{"):
        header = a.session.pack(a.session.msg_header("execute_request"))
        a.sockets["shell"].send_multipart(a.signed(header, b"{}", odd, b'{"code": "print(1)"}'))
        settle(a)
    a.run("'after'")


@check(without=("stream",))  # ipykernel may print what it thinks of them
def malformed_messages_are_ignored(stage: Stage, a: Client) -> None:
    for channel in ("shell", "control", "stdin"):
        socket = a.sockets[channel]
        good = a.session.serialize(a.session.msg("execute_request", {"code": "print('never')"}))
        bad = [good[0], b"0" * 64, *good[2:]]
        for frames in (
            [b""], [b"hello"], [b"<IDS|MSG>"], [b"<IDS|MSG>", b""], good[:4], [b"<IDS|MSG>", *[b"{}"] * 5], bad, bad[:-1],
            [good[0], b"", *good[2:]], [b"<IDS|MSG>", b"x", b"not json", b"{", b"[]", b"\xff"], good[1:],
        ):  # fmt: skip
            socket.send_multipart(frames)
    for header in (
        b"not json",
        b"[]",
        b"{}",
        b"null",
        b'{"msg_type": 3}',
        b'{"msg_type": "execute_request"}',
    ):
        a.sockets["shell"].send_multipart(a.signed(header, b"{}", b"{}", b'{"code": "print(1)"}'))
        settle(a)
    a.run("'after'")
    a.ask("kernel_info_request", {}, channel="control")


@check()
def a_repeated_message_is_ignored(stage: Stage, a: Client) -> None:
    for kind, content in (("execute_request", {"code": "print('once')"}), ("kernel_info_request", {})):
        message = a.session.msg(kind, content)
        frames = a.session.serialize(message)
        for _ in range(2):
            a.sockets["shell"].send_multipart(frames)
            settle(a)
    a.run("'after'")


@check()
def messages_with_buffers_and_extras(stage: Stage, a: Client) -> None:
    one = a.send(
        "execute_request",
        {"code": "len(get_ipython().kernel.get_parent()['buffers'])"},
        buffers=[b"x", b"y" * 100000],
    )
    a.finish(one)
    two = a.send(
        "execute_request",
        {"code": "get_ipython().kernel.get_parent()['header']['extra']"},
        header={"extra": {"deep": [1]}},
    )
    a.finish(two)


@check()
def welcome(stage: Stage, a: Client) -> None:
    b = stage.client(topic=b"stream")
    c = stage.client(topic=b"kernel.")
    one = a.run("print('to the stream'); 5")
    for client in (b, c):
        client.listen(0.1)
    stage.note(one.text)


@check()
def heartbeat(stage: Stage, a: Client) -> None:
    context = zmq.Context()
    address = f"tcp://{stage.connection['ip']}:{stage.connection['hb_port']}"
    for kind in (zmq.REQ, zmq.DEALER):
        socket = context.socket(kind)
        socket.linger = 0
        socket.connect(address)
        busy = a.execute("import time; time.sleep(0.3)")
        for frames in ([b"ping"], [b""], [b"x" * 1_000_000], [b"a", b"b", b""]):
            socket.send_multipart(frames)
            stage.note(socket.recv_multipart() == frames if socket.poll(5000) else "no answer")
        a.finish(busy)
    context.destroy(linger=0)


@check()
def a_client_that_comes_back_with_its_identity(stage: Stage, a: Client) -> None:
    """As a server does when the browser's page is loaded again."""
    b = stage.client(identity=b"the-same")
    b.run("1")
    stage.note([one.type for one in b.log if one.channel == "shell"])
    b.close()
    stage.clients.remove(b)
    c = stage.client(identity=b"the-same")
    asking = c.execute("input('still there? ')", allow_stdin=True)
    c.answer(c.prompt(), "yes")
    c.finish(asking)


@check()
def a_client_that_leaves_is_not_missed(stage: Stage, a: Client) -> None:
    b = stage.client()
    one = b.execute(f"{stage.gate}; print('nobody listens')")
    two = b.execute("input('nobody? ')", allow_stdin=False, stop_on_error=False)
    b.until(lambda: "busy" in one.states)
    stage.clients.remove(b)
    b.close()
    stage.open_gate()
    a.until(lambda: {one.id, two.id} <= {heard.parent for heard in a.log if "idle" in heard.content.values()})
    a.run("'after'")


@check()
def one_session_for_all(stage: Stage, a: Client) -> None:
    a.run("print(1); 2")
    a.ask("kernel_info_request", {}, channel="control")
    a.ask("interrupt_request", {}, channel="control")
    stage.note(len({heard.message["header"]["session"] for heard in a.log}))
    topics = {part.split(b".")[1] for heard in a.log for part in heard.topic if part.startswith(b"kernel.")}
    stage.note(f"kernels in topics: {len(topics)}")


@check()
def odd_messages_that_a_cell_publishes(stage: Stage, a: Client) -> None:
    a.run(
        "kernel = get_ipython().kernel\ndef publish(*args): kernel.session.send(kernel.iopub_socket, *args, parent=kernel.get_parent())"
    )
    for kind, content in (
        ("execute_input", {"execution_count": None}), ("status", {}), ("status", {"execution_state": ["x"]}), ("stream", {}),
        ("comm_msg", {"comm_id": ["x"]}), ("comm_close", {}), ("iopub_welcome", {}), ("own_type", {"a": [1]}), ("execute_reply", {"status": None}),
        ("kernel_info_reply", {}),
    ):  # fmt: skip
        a.run(f"publish({kind!r}, {content!r})")
    a.run(
        "kernel.session.send(kernel.iopub_socket, 'own_type', {}, parent={}, ident=b'topic', metadata={'m': 1}, buffers=[b'b'])\nimport time; time.sleep(0.1)"
    )
    a.run("kernel.iopub_socket.send_multipart([b'no', b'message']); time.sleep(0.1)")


@check(without=("stream",))
def odd_comm_messages(stage: Stage, a: Client) -> None:
    odds: list[dict[str, Any]] = [{}, {"comm_id": None}, {"comm_id": 3}, {"comm_id": ["x"]}, {"comm_id": {}}]
    for odd in odds:
        for kind in ("comm_open", "comm_msg", "comm_close"):
            a.send(kind, odd)
            settle(a)
    a.ask("comm_info_request", {"target_name": ["x"]})
    a.run("'after'")


# ---------------------------------------------------------------------- what a cell can see

_SURROUNDINGS = {
    "arguments": "__import__('sys').argv[0]",
    "flags": "__import__('sys').flags",
    "path": "__import__('sys').path",
    "executable": "__import__('sys').executable",
    "warnings": "[str(w) for w in __import__('warnings').filters]",
    "encoding": "__import__('sys').getfilesystemencoding(), __import__('locale').getlocale()",
    "folder": "__import__('os').getcwd()",
    "umask": "(lambda os, m: (os.umask(m), m)[1])(__import__('os'), __import__('os').umask(0))",
    "nice": "__import__('os').nice(0)",
    "group": "__import__('os').getpgrp() == __import__('os').getpid() == __import__('os').getsid(0)",
    "limits": "[__import__('resource').getrlimit(i) for i in range(10)]",
    "signals": "[(s, str(__import__('signal').getsignal(s)).split(' at ')[0]) for s in range(1, 32) if s not in (9, 19)]",
    "blocked signals": "__import__('signal').pthread_sigmask(0, [])",
    "switch interval": "__import__('sys').getswitchinterval()",
    "recursion limit": "__import__('sys').getrecursionlimit()",
    "threads": "sorted(t.name.split('_')[0] for t in __import__('threading').enumerate() if 'Thread-' not in t.name)",
    "environment": "sorted(__import__('os').environ)",
    "environment values": "{k: v for k, v in __import__('os').environ.items() if k not in ('JPY_PARENT_PID', 'IPYTHONDIR')}",
    "names": "sorted(n for n in get_ipython().user_ns if not n.startswith('held_'))",
    "hidden names": "sorted(n for n in get_ipython().user_ns_hidden if not n.startswith('held_'))",
    "our modules": "sorted(m for m in __import__('sys').modules if 'ganga' in m)",
    "extensions": "sorted(get_ipython().extension_manager.loaded)",
    "magics": "sorted(get_ipython().magics_manager.magics['line'])",
    "hooks": "{k: len(v) for k, v in get_ipython().events.callbacks.items()}",
    "transformers": "len(get_ipython().input_transformers_cleanup), len(get_ipython().ast_transformers)",
    "shell": "type(get_ipython()).__module__, type(get_ipython().kernel).__module__",
    "configuration": "{k: v for k, v in get_ipython().config.items() if k != 'IPKernelApp'}",
    "application": "sorted(get_ipython().config.get('IPKernelApp', {}))",
    "standard files": "[__import__('os').readlink(f'/proc/self/fd/{n}').split(':')[0] for n in range(3)]",
    "open files": "sorted({__import__('re').sub(r'[0-9]+|ipython-.', '', t) for t in [__import__('os').readlink(f'/proc/self/fd/{n}') if __import__('os').path.islink(f'/proc/self/fd/{n}') else '' for n in range(3, 80)] if t.startswith('/')})",
    "parent": "'ganga_kernel' in open(f'/proc/{__import__(\"os\").getppid()}/cmdline').read().split(chr(0))",
    "death signal": "(lambda c, v: (c.CDLL(None).prctl(2, c.byref(v)), v.value)[1])(__import__('ctypes'), __import__('ctypes').c_int(0))",
    "parent idents": "len(get_ipython().kernel._parent_ident['shell'])",
    "transport": "get_ipython().kernel.parent.transport",
    "connection file": "__import__('os').path.basename(get_ipython().kernel.parent.connection_file)[:3]",
    "JPY_PARENT_PID": "'JPY_PARENT_PID' in __import__('os').environ",
}


@check(without=("execute_reply",))
def what_a_cell_sees(stage: Stage, a: Client) -> None:
    found = a.run("", silent=True, user_expressions=_SURROUNDINGS).reply["user_expressions"]
    stage.note({name: one["data"]["text/plain"] for name, one in found.items()})


# ---------------------------------------------------------------------- the end


def ends(stage: Stage, a: Client) -> None:
    """Note how the kernel's process ended."""
    provisioner: Any = stage.kernel.manager.provisioner
    a.until(lambda: provisioner.process.poll() is not None)
    a.listen(0.1)
    stage.note(provisioner.process.returncode)


def shutdown(restart: bool, channel: str) -> None:
    def play(stage: Stage, a: Client) -> None:
        a.run("x = 1")
        one = a.send("shutdown_request", {"restart": restart}, channel=channel)
        a.until(lambda: one.replies or channel == "shell")
        ends(stage, a)

    play.__name__ = f"shutdown_on_{channel}{'_to_restart' if restart else ''}"
    # On the shell channel, ipykernel may end before it has said so.
    without = ("shutdown_reply", "status") if channel == "shell" else ()
    check(own=True, ordered=False, without=without)(play)


shutdown(False, "control")
shutdown(True, "control")
shutdown(False, "shell")


@check(own=True, ordered=False)
def shutdown_while_a_cell_runs(stage: Stage, a: Client) -> None:
    one = a.execute("import time; print('begun', flush=True); time.sleep(1)")
    a.until(lambda: "begun" in one.text)
    two = a.send("shutdown_request", {"restart": False}, channel="control")
    a.until(lambda: two.replies)
    ends(stage, a)


@check(own=True, ordered=False)
def exit_in_a_cell(stage: Stage, a: Client) -> None:
    one = a.execute("import atexit; atexit.register(open, 'ended', 'w'); print('going'); exit()")
    a.until(lambda: one.replies)
    ends(stage, a)
