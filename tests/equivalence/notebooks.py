"""Small notebooks, as lists of cells; each is deterministic, so that it leaves the same wherever it runs."""

from __future__ import annotations

NOTEBOOKS: dict[str, list[str]] = {
    "names": [
        "a = 1\nb = a + 1",
        "c = [a, b]\nd = {'c': c}",
        "a = 10\nfor i in range(3): b += i\nprint(a, b, i)",
        "c.append(b)\nd['n'] = len(c)\nd",
        "del a\nsum(c)",
    ],
    "functions": [
        "import math\nscale = 2\ndef area(r):\n    return round(math.pi * r ** 2 * scale, 6)",
        "areas = [area(r) for r in range(4)]\nareas",
        "scale = 3\ndef twice(f):\n    return lambda x: 2 * f(x)\ndouble = twice(area)",
        "double(1), area(1)",
        "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nfibs = list(map(fib, range(10)))",
        "print(fibs)",
    ],
    "closures": [
        "def counter():\n    n = 0\n    def step():\n        nonlocal n\n        n += 1\n        return n\n    return step\nstep = counter()",
        "first = step(), step()",
        "second = step()\nfirst, second",
    ],
    "classes": [
        "class Track:\n    def __init__(self, p): self.p, self.hits = p, []\n    def add(self, x):\n        self.hits.append(x)\n        return self",
        "track = Track(3)\ntrack.add(1).add(2)\nother = track",
        "other.add(5)\nlen(track.hits)",
        "class Vertex(Track):\n    def total(self): return sum(self.hits) + self.p\nvertex = Vertex(1)\nvertex.hits = track.hits",
        "vertex.add(7).total(), track.hits is vertex.hits",
    ],
    "aliases": [
        "base = [1, 2]\nsame = base\nholder = {'base': base}",
        "same += [3]\nbase",
        "holder['base'].append(4)\nmore = [base, base]",
        "more[0].append(5)\nmore[0] is more[1], base is same, holder['base'] is base",
    ],
    "errors": [
        "x = 1",
        "print('before')\ny = x / 0",
        "class Odd(Exception): pass\ndef check(v):\n    if v: raise Odd('v is', v)",
        "check(x)",
        "try:\n    check(2)\nexcept Odd as e:\n    caught = str(e)\ncaught",
        "x += 1\nx",
    ],
    "outputs": [
        "import sys\nprint('out'); print('err', file=sys.stderr); print('out again')\n'value'",
        "from IPython.display import display, HTML, clear_output\ndisplay(HTML('<b>bold</b>'))\n[1, 2, 3]",
        "for i in range(3):\n    print('tick', i)\nclear_output()\nprint('left')",
        "import warnings\nwarnings.warn('careful')\n{'k': (1, 2)}",
        "1;",
        "_ = 5\nNone",
    ],
    "syntax": [
        "n = 4\nif (m := n * 2) > 5:\n    big = True\nelse:\n    small = True",
        "first, *rest = [k ** 2 for k in range(m)]\nwith open('/dev/null') as sink:\n    empty = sink.read()\ndel sink",
        "async def later(v):\n    return v + 1\ngot = await later(n)",
        "match rest:\n    case [one, *others]:\n        head = one\nf'{head=} {n:>3} {got}'",
        "squares = {k: v for k, v in enumerate(rest) if v % 2}\nglobal_sum = 0\ndef add(v):\n    global global_sum\n    global_sum += v\nfor v in rest: add(v)",
        "z = n + 1\nw = !echo hello\nw[0], z",
    ],
    "numpy": [
        "import numpy as np\nrng = np.random.default_rng(7)\ndata = rng.normal(size=8).round(3)",
        "view = data[2:5]\nview *= 10\ndata",
        "more = rng.integers(0, 9, 4)\nmatrix = np.arange(6).reshape(2, 3)",
        "column = matrix[:, 1]\nmatrix[0, 1] = 99\ncolumn.tolist(), data.mean().round(3)",
        "data.sort()\ndata[0], more.dtype",
    ],
    "pandas": [
        "import pandas as pd\ndf = pd.DataFrame({'run': [1, 1, 2], 'e': [0.5, 1.5, 2.5]})",
        "df['e2'] = df['e'] ** 2",
        "means = df.groupby('run').mean()\nmeans",
        "df.loc[0, 'e'] = 9\ns = df['e']\ns.sum()",
    ],
    "awkward": [
        "import awkward as ak\nevents = ak.Array([{'pt': [1.5, 2.5]}, {'pt': []}, {'pt': [9.0]}])",
        "pt = events.pt\nsums = ak.sum(pt, axis=1)\nsums.to_list()",
        "same = events\nevents['n'] = ak.num(pt)\nevents.n.to_list()",
        "best = float(ak.max(pt))\nbest, same is events, same.fields",
    ],
    "matplotlib": [
        "import matplotlib.pyplot as plt\nxs = [1, 2, 3]",
        "fig, ax = plt.subplots(figsize=(2, 1))\n_ = ax.plot(xs)\nplt.show()\ndel fig, ax",
        "len(xs)",
    ],
    "modules": [
        "import collections, json as j, os.path\ncounts = collections.Counter('hello')",
        "counts.update('world')\ncounts.most_common(2)",
        "from functools import partial, reduce\ntotal = reduce(lambda a, b: a + b, counts.values())",
        "text = j.dumps(dict(sorted(counts.items())))\nos.path.basename('/a/b'), text",
        "import dataclasses, enum\n@dataclasses.dataclass\nclass P:\n    x: int\n    tags: list\nclass C(enum.Enum):\n    A = 1\np = P(1, ['t']); c = C.A",
        "p.tags.append(c.name)\nq = dataclasses.replace(p, x=5)\nq.tags is p.tags, C(1) is c",
    ],
}

#: Notebooks in which a cell maps, as pairs of what an ordinary cell writes and what a batch cell does.
MAPS: dict[str, list[str | tuple[str, str]]] = {
    "items": [
        "xs = [3, 1, 2]\noffset = 10\nx = 'kept'\ndef shifted(v): return v + offset",
        ("ys = [shifted(v) for v in xs]", "%%batch --map v=xs\nys = shifted(v)"),
        ("pairs = [(v, w) for v, w in zip(xs, 'abc')]", "%%batch --map v,w=zip(xs,'abc')\npairs = (v, w)"),
        "offset = 0\nys, pairs, x, sum(ys)",
    ],
    "chunks and merging": [
        "import math",
        ("total = 0\nfor n in range(20): total += math.factorial(n)\ndel n",
         "%%batch --map n=range(20) --chunk 3 --merge total=+\ntotal = math.factorial(n)"),
        ("largest = max(n % 7 for n in range(20))",
         "%%batch --map n=range(20) --merge largest=max\nlargest = n % 7"),
        "total + largest",
    ],
}  # fmt: skip
