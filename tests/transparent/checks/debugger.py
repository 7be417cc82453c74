"""A debugger at work."""

from __future__ import annotations

from typing import Any

from tests.transparent.stage import Stage, check
from tests.transparent.talk import Client


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
