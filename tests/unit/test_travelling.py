"""What travels to a job and back: all kinds of objects, in one run of the payload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_payload_harness import run_cell

from ganga_kernel.payload import pickling, unpickling

IMPORTS = """
import abc, asyncio, collections, contextlib, contextvars, dataclasses, enum, functools, inspect, io
import itertools, logging, mmap, os, queue, re, socket, sqlite3, sys, tempfile, threading, types, typing
import weakref
import numpy as np, pandas as pd, awkward as ak
from IPython.display import HTML
"""

#: What it is, the notebook's code, and an expression whose value is the same in a job.
_SAME = """
# lru_cache
@functools.lru_cache(maxsize=9)
def cached(x):
    'doc'
    return [x]
cached(1)
>>> cached(3)[0], cached(1) is cached(1), cached.cache_info().maxsize, cached.__doc__, cached.__wrapped__(2)

# cache, recursive
@functools.cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
>>> fib(30)

# cache in a class
class Cached:
    @functools.lru_cache
    def m(self, x): return 2 * x
    @functools.cached_property
    def p(self): return object()
cached_in = Cached()
cached_in.m(1)
>>> cached_in.m(4), cached_in.p is cached_in.p

# dataclass
@dataclasses.dataclass
class Data:
    a: int
    b: list = dataclasses.field(default_factory=list)
@dataclasses.dataclass
class DataToo(Data):
    c: int = 4
data = DataToo(1)
>>> data, DataToo(2), data == DataToo(1),
[f.default is dataclasses.MISSING for f in dataclasses.fields(data)], dataclasses.make_dataclass('More',
['d', ('e', int, 5)], bases=(Data,), kw_only=True)(a=1, d=2)

# frozen dataclass with slots
@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Frozen:
    a: int
frozen = {Frozen(1): 'one'}
>>> frozen, frozen[Frozen(1)], Frozen(1) < Frozen(2), hasattr(Frozen(1), '__dict__')

# a sentinel of a library
missing = dataclasses.MISSING
empty = inspect.Parameter.empty
def is_missing(x=dataclasses.MISSING): return x is dataclasses.MISSING
>>> missing is dataclasses.MISSING, is_missing(), empty is inspect.Parameter.empty

# a sentinel of the notebook
NOTHING = object()
class Nothing:
    def __reduce__(self): return 'NOBODY'
    def __repr__(self): return 'NOBODY'
NOBODY = Nothing()
def nothing(x=NOTHING, y=NOBODY): return x is NOTHING, y is NOBODY
>>> nothing(), nothing(1, 1), NOBODY

# singledispatch
@functools.singledispatch
def one(x): return 'any'
@one.register
def _(x: int): return 'int'
class Many:
    @functools.singledispatchmethod
    def f(self, x): return 'any'
    @f.register
    def _(self, x: str): return 'str'
many = Many()
one(1)
many.f('')
>>> one(1), one(True), one(''), one.register(float, lambda x: 'float')(0.0), one(0.0), many.f(''), many.f(1)

# a weak set
class Held: pass
held = Held()
weak = weakref.WeakSet([held])
>>> list(weak) == [held]

# methods
class Counter:
    step = 2
    def __init__(self): self.n = 1
    def up(self): self.n += self.step; return self.n
    @classmethod
    def its(cls): return cls.step
    @staticmethod
    def own(): return Counter.step
    half = functools.partialmethod(up)
counter = Counter()
bound, of_class = counter.up, Counter.its
partial = functools.partial(Counter.up, counter)
>>> bound(), partial(), counter.n, bound.__self__ is counter, of_class(), Counter.own(), counter.half()

# named tuples
Named = collections.namedtuple('Named', 'a b', defaults=[2])
class Typed(typing.NamedTuple):
    a: int
    def more(self): return self.a + 1
named = Named(1), Typed(3)
>>> named, named[0]._replace(b=5), named[1].more(), isinstance(named[0], Named)

# enums
class Colour(enum.Enum):
    RED = 1
    BLUE = 2
    def low(self): return self.name.lower()
class Flag(enum.Flag):
    A = enum.auto()
    B = enum.auto()
class Text(str, enum.Enum):
    S = 's'
colours = {Colour.RED: Flag.A | Flag.B}
>>> colours, colours[Colour.RED] == Flag.A | Flag.B, Colour(2) is Colour['BLUE'], Colour.RED.low(),
Text.S == 's'

# typing
T = typing.TypeVar('T')
P = typing.ParamSpec('P')
Number = typing.NewType('Number', int)
class Boxed(typing.Generic[T]):
    def __init__(self, x: T): self.x = x
class Dict(typing.TypedDict, total=False):
    a: Number
@typing.runtime_checkable
class Ups(typing.Protocol):
    def up(self): ...
boxed = Boxed[int](3)
>>> boxed.x, Boxed[int], Dict(a=Number(1)), Dict.__optional_keys__, isinstance(counter, Ups), P.__name__,
int | None

# abstract classes
class Abstract(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class Concrete(Abstract):
    def f(self): return 1
Abstract.register(Counter)
concrete = Concrete()
>>> concrete.f(), isinstance(concrete, Abstract), isinstance(counter, Abstract),
inspect.isabstract(Abstract)

# metaclass
class Meta(type):
    def __len__(cls): return 42
class WithMeta(metaclass=Meta):
    x = 1
class Tagged:
    def __init_subclass__(cls, tag=None, **k): cls.tag = tag
class Sub(Tagged, tag='t'): pass
>>> len(WithMeta), WithMeta().x, type(WithMeta) is Meta, Sub.tag

# slots
class Slots:
    __slots__ = ('a', '__b', '__weakref__')
    def __init__(self): self.a, self.__b = 1, 2
    def b(self): return self.__b
class SlotsToo(Slots):
    __slots__ = 'c'
slots = SlotsToo()
>>> slots.a, slots.b(), hasattr(slots, 'c'), hasattr(slots, '__dict__'), SlotsToo().b()

# super and properties
class Base:
    def f(self): return 1
class Derived(Base):
    def f(self): return super().f() + 1
    def me(self): return __class__
    @property
    def x(self): 'doc'; return self._x
    @x.setter
    def x(self, value): self._x = value
derived = Derived()
derived.x = 5
>>> derived.f(), derived.me() is Derived, derived.x, setattr(derived, 'x', 6), derived.x, Derived.x.__doc__

# closures that share a variable
def make():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    def now(): return n
    def again(k): return again(k - 1) if k else n
    return up, now, again
up, now, again = make()
up()
>>> up(), up(), now(), again(3)

# functions
lambdas = [lambda x, i=i: x + i for i in range(3)]
def deco(f):
    @functools.wraps(f)
    def inner(*a): return f(*a) + 1
    return inner
@deco
def decorated(x): 'doc'; return x
@contextlib.contextmanager
def manager(x):
    yield x + 1
def generate():
    yield 1
async def coroutine(): return 5
>>> [f(1) for f in lambdas], decorated(1), decorated.__doc__, decorated.__wrapped__(1),
manager(1).__enter__(), list(generate()), inspect.iscoroutinefunction(coroutine)

# exceptions
class Own(Exception):
    def __init__(self, a, *, b):
        super().__init__(f'{a} and {b}')
        self.b = b
class OwnOS(OSError):
    pass
owns = [Own(1, b=2), OwnOS(2, 'no', 'f'), KeyError('k')]
>>> owns, owns[0].b, owns[1].filename

# objects that hold themselves
class Node:
    def __init__(self): self.me = self
node, ring = Node(), []
ring.append(ring)
>>> node.me is node, ring[0] is ring

# containers
default = collections.defaultdict(lambda: [7])
count = collections.Counter('aab')
deque = collections.deque([1, 2, 3], maxlen=2)
chain = collections.ChainMap({'a': 1})
proxy = types.MappingProxyType({'a': 1})
space = types.SimpleNamespace(a=1)
class Dict2(dict):
    def __init__(self, x): self.x = x
own_dict = Dict2(5)
own_dict['k'] = 1
class Str(str): pass
own_str = Str('s')
own_str.e = 3
views = {'a': 1}.keys(), {'a': 1}.items()
iterators = [iter([1]), map(str, [2]), itertools.chain([3]), itertools.count(4)]
>>> default['x'], count, deque, chain['a'], proxy['a'], space, own_dict, own_dict.x, own_str, own_str.e,
list(views[0]), list(views[1]), [next(one) for one in iterators]

# bytes
view = memoryview(b'abc')
pattern = re.compile('a+', re.I)
text = io.StringIO('abc')
text.read(1)
opened = tempfile.NamedTemporaryFile('w+')
opened.write('in a file')
opened.flush()
reading = open(opened.name)
del opened
>>> bytes(view), pattern.findall('xAay'), text.read(), reading.read()

# what each process has one of
log = logging.getLogger('of.mine')
adapter = logging.LoggerAdapter(log, {})
environ = os.environ
out = sys.stdout
html = HTML('<b>')
this = np.ufunc, len, int, os, os.path
>>> log is logging.getLogger('of.mine'), adapter.logger is log, environ is os.environ, html.data,
this[3] is os

# arrays and frames
array = np.arange(6).reshape(2, 3)
row = array[0]
rng = np.random.default_rng(3)
frame = pd.DataFrame({'a': [1, 2], 'c': pd.Categorical(['x', 'y'])})
groups = frame.groupby('c', observed=True)
jagged = ak.Array([[1, 2], [], [3]])
vectorised = np.vectorize(lambda x: 2 * x)
>>> array, np.shares_memory(array, row), rng.random(), frame.to_dict(), groups['a'].sum().to_list(),
ak.sum(jagged, axis=1).to_list(), vectorised([1, 2])

# what reduces itself, as ROOT's objects
class Histogram:
    def __init__(self, bins): self.bins = list(bins)
    def fill(self, x): self.bins.append(x); return self.bins
    def __reduce__(self): return rebuild, (bytes(self.bins),)
def rebuild(data): return Histogram(data)
histogram = Histogram([1, 2])
>>> histogram.fill(3)

# a module of a class of its own, as ROOT
class Facade(types.ModuleType):
    pass
facade = sys.modules['json']
kind, facade.__class__ = 0, Facade
>>> facade.dumps([1])
"""

#: A name, the notebook's code for what can't travel, and what its error says.
_UNAVAILABLE = """
# generator
generator = (i for i in [1])
>>> type generator can't be pickled

# a_coroutine
a_coroutine = coroutine()
>>> type coroutine can't be pickled

# writing
writing = open(os.devnull, 'wb')
>>> type BufferedWriter can't be pickled

# lock
lock = threading.Lock()
>>> type lock can't be pickled

# event
event = threading.Event()
>>> type Event can't be pickled

# thread
thread = threading.Thread()
>>> type Thread can't be pickled

# local
local = threading.local()
>>> type _local can't be pickled

# of_context
of_context = contextvars.ContextVar('c')
>>> type ContextVar can't be pickled

# reference
reference = weakref.ref(held)
>>> type ReferenceType can't be pickled

# by_object
by_object = weakref.WeakKeyDictionary({held: 1})
>>> type WeakKeyDictionary can't be pickled

# connection
connection = socket.socket()
>>> type socket can't be pickled

# waiting
waiting = queue.Queue()
>>> type Queue can't be pickled

# mapped
mapped = mmap.mmap(-1, 1)
>>> type mmap can't be pickled

# database
database = sqlite3.connect(':memory:')
>>> type Connection can't be pickled

# loop
loop = asyncio.new_event_loop()
>>> type _UnixSelectorEventLoop can't be pickled

# match
match = re.match('a', 'a')
>>> type Match can't be pickled

# stack
stack = sys._getframe()
>>> type frame can't be pickled

# handler
handler = logging.StreamHandler()
>>> type StreamHandler can't be pickled

# tensor
class Tensor:
    def __reduce__(self): raise RuntimeError('no copy from the device')
tensor = Tensor()
>>> type Tensor can't be pickled: RuntimeError: no copy from the device
"""

#: What is made in a job, and what is then seen of it in the notebook, where it is called `made`.
BACK = {
    "slots": ("SlotsToo()", "made.b() == 2 and type(made) is SlotsToo and not hasattr(made, '__dict__')"),
    "dataclass": ("DataToo(3)", "made == DataToo(3) and type(made) is DataToo"),
    "enum": ("[Colour.RED]", "made[0] is Colour.RED"),
    "sentinel": ("[NOBODY, NOTHING]", "made[0] is NOBODY and made[1] is NOTHING"),
    "lru_cache": ("functools.lru_cache(lambda x: fib(x))", "made(10) == 55"),
    "singledispatch": ("functools.singledispatch(lambda x: x)", "made(1) == 1"),
    "closures": ("make()", "made[0]() == made[1]() == 1"),
    "exception": ("Own(1, b=2)", "made.b == 2 and type(made) is Own"),
    "generator": (
        "(i for i in [1])",
        "repr(made).startswith('<made_generator is unavailable: a value of type gen')",
    ),
    "environment": ("os.environ", "made is os.environ"),
}


def _parse(text: str) -> dict[str, tuple[str, str]]:
    """What each block of a text is called, its code, and what follows the prompt."""
    blocks = (block.partition("\n>>> ") for block in text.strip().split("\n\n"))
    return {code.partition("\n")[0][2:]: (code, " ".join(after.split("\n"))) for code, _, after in blocks}


SAME, UNAVAILABLE = _parse(_SAME), _parse(_UNAVAILABLE)


class Travelled:
    """A notebook, and what a job of it saw."""

    def __init__(self, folder: Path) -> None:
        self.here: dict[str, Any] = {"__name__": "__main__"}
        exec(IMPORTS, self.here)
        for code, _ in (*SAME.values(), *UNAVAILABLE.values()):
            exec(code, self.here)
        expressions = {what: expression for what, (_, expression) in SAME.items()}
        expressions.update({name: f"{name}.x" for name in UNAVAILABLE})
        names = [name for name in self.here if not name.startswith("__")]
        file = folder / "sent.pkl"
        with file.open("w+b") as opened:
            self.dumped = pickling.dump_namespace(self.here, names, opened)
        cell = (
            "seen, back = {}, {}\n"
            f"for what, made in {[(what, one[0]) for what, one in BACK.items()]!r}:\n"
            "    back[what] = eval(made)\n"
            "    globals()['made_' + what] = back[what]\n"
            f"for what, expression in {expressions!r}.items():\n"
            "    try:\n        seen[what] = repr(eval(expression))\n"
            "    except Exception as error:\n        seen[what] = f'{type(error).__name__}: {error}'\n"
            "del back, made\n"
        )
        self.result = run_cell(folder, cell, {}, namespace=str(file))
        assert self.result.code == 0, self.result.end["error"]
        with (folder / "0.result").open("rb") as opened:
            referred = {name: self.here[name] for name in names}
            self.back = dict(unpickling.load_pairs(opened, self.here, referred))
        self.seen = self.back["seen"]


@pytest.fixture(scope="module")
def travelled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    module = json.__class__
    yield Travelled(tmp_path_factory.mktemp("travelled"))
    json.__class__ = module  # type: ignore[assignment]


@pytest.mark.parametrize("what", SAME)
def test_what_is_the_same_in_a_job(travelled: Travelled, what: str) -> None:
    assert travelled.seen[what] == repr(eval(SAME[what][1], travelled.here))


@pytest.mark.parametrize("name", UNAVAILABLE)
def test_what_can_t_travel_says_so_when_it_is_used(travelled: Travelled, name: str) -> None:
    assert travelled.seen[name].startswith(f"UnavailableError: {name} is unavailable here: ")
    assert UNAVAILABLE[name][1] in travelled.seen[name]


@pytest.mark.parametrize("what", BACK)
def test_what_comes_back(travelled: Travelled, what: str) -> None:
    travelled.here["made"] = travelled.back["made_" + what]
    assert eval(BACK[what][1], travelled.here)
