"""What cells do: values, errors, displays, streams, threads, processes, async code; and what they see."""

from __future__ import annotations

from tests.transparent.stage import Stage, check
from tests.transparent.talk import Client, idle, settle

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
