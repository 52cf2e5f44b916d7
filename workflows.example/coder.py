"""coder-agent: a model writes a Python function, a tool runs it on examples, and a report has the result.

Environment variables choose the model: CODER_MODEL_URL (an OpenAI-compatible endpoint, for example
http://localhost:11434/v1), CODER_MODEL and CODER_API_KEY. Without CODER_MODEL_URL a small offline stand-in
writes the code. It only knows the examples, and its answer says that it is a stand-in.

    infraweave run workflows.example/coder.py --input \
        '{"task": "double a number", "name": "double", "examples": [{"args": [2], "result": 4}]}'
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from typing import Any

from attrs import frozen

from infraweave import Context, NonRetryable, Retry, Workflow

STAND_IN = "offline stand-in (no model; set CODER_MODEL_URL for a real one)"
#: The assumed price of a token, of a real model and of the stand-in.
MICRO_USD_PER_TOKEN = float(os.environ.get("CODER_MICRO_USD_PER_TOKEN", "0.25"))


@frozen
class Example:
    args: list[Any]
    result: Any


@frozen
class Task:
    task: str
    name: str
    examples: list[Example]


@frozen
class Code:
    source: str
    model: str


@frozen
class Verdict:
    passed: int
    failed: list[str]


flow = Workflow("coder-agent", version="v1.0", input=Task)


@flow.node(kind="tool")
async def brief(input: Task) -> str:
    """Write the instructions for the model."""
    if not input.name.isidentifier():
        raise NonRetryable(f"{input.name!r} is not a valid function name")
    lines = [f"{input.name}({', '.join(map(repr, e.args))}) == {e.result!r}" for e in input.examples]
    return f"Write one Python function {input.name}. Task: {input.task}\nIt must satisfy:\n" + "\n".join(
        lines
    )


@flow.node(kind="agent", retry=Retry(max_attempts=4, initial=1.0), timeout="2m")
def coder(brief: str, input: Task, ctx: Context) -> Code:
    answer, tokens, model = (
        ask_model(brief, ctx) if os.environ.get("CODER_MODEL_URL") else stand_in(brief, input)
    )
    ctx.report(tokens=tokens, cost_micro_usd=round(tokens * MICRO_USD_PER_TOKEN), model=model)
    fenced = re.search(r"```(?:python)?\n(.*?)```", answer, re.DOTALL)
    return Code(fenced.group(1) if fenced else answer, model)


@flow.node(kind="tool", timeout="30s")
def tester(coder: Code, input: Task) -> Verdict:
    """Run the code on each example, in a separate process."""
    cases = json.dumps([[e.args, e.result] for e in input.examples])
    probe = (
        f"{coder.source}\nimport json\nfor args, wanted in json.loads({cases!r}):\n"
        f"    got = {input.name}(*args)\n    print(json.dumps(got == wanted))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", probe], capture_output=True, text=True, timeout=20, check=False
    )
    verdicts = ran.stdout.split()
    failed = [str(e.args) for e, verdict in zip(input.examples, verdicts, strict=False) if verdict != "true"]
    if ran.returncode != 0:
        failed.append(ran.stderr.strip().splitlines()[-1])
    return Verdict(verdicts.count("true"), failed)


@flow.node
async def report(coder: Code, tester: Verdict) -> dict[str, Any]:
    return {"code": coder.source, "written_by": coder.model, "passed": tester.passed, "failed": tester.failed}


def ask_model(prompt: str, ctx: Context) -> tuple[str, int, str]:
    """Ask an OpenAI-compatible endpoint, and send the trace headers."""
    model = os.environ.get("CODER_MODEL", "gpt-4o-mini")
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0}
    request = urllib.request.Request(
        os.environ["CODER_MODEL_URL"].rstrip("/") + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {os.environ.get('CODER_API_KEY', '')}",
            **ctx.trace_headers,
        },
    )
    with urllib.request.urlopen(request, timeout=90) as response:
        answer = json.load(response)
    return answer["choices"][0]["message"]["content"], answer["usage"]["total_tokens"], model


def stand_in(prompt: str, task: Task) -> tuple[str, int, str]:
    """Write a function that only knows the examples; each word counts as a token."""
    known = {json.dumps(e.args): e.result for e in task.examples}
    source = (
        f"```python\nimport json\n\nKNOWN = json.loads({json.dumps(known)!r})\n\n\n"
        f'def {task.name}(*args):\n    """Written by the {STAND_IN}."""\n'
        f"    return KNOWN[json.dumps(list(args))]\n```"
    )
    return source, len(prompt.split()) + len(source.split()), STAND_IN
