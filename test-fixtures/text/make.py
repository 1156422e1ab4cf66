"""Renders conversations with Python's own Jinja, set up as Hugging Face does: python3 make.py > agent.json"""

import json
import pathlib

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


def refuse(message):
    raise jinja2.TemplateError(message)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
environment.globals["raise_exception"] = refuse
template = environment.from_string((pathlib.Path(__file__).parent / "agent.jinja").read_text())

weather = {"type": "function", "function": {"name": "weather", "description": 'Says "sun" or <rain> & wörse.',
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


def said(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, **arguments):
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


user = said("user", " Hi there \n")
conversations = [
    dict(messages=[user]),
    dict(messages=[said("system", " Be brief. "), user], enable_thinking=False),
    dict(messages=[said("system", "Be brief."), user], tools=[weather, weather]),
    dict(messages=[user, said("assistant", "    indented\n"), said("user", "go on")]),
    dict(messages=[user, said("assistant", "<think>\n  why \n\n</think>\n\n\n   code"), said("user", "and?")]),
    dict(messages=[user, said("assistant", "\n\nx", reasoning_content="\n  old \n")], add_generation_prompt=False),
    dict(messages=[user, said("assistant", "Looking.", reasoning_content="\n t \n\n",
         tool_calls=[call("weather", city="Zürich"), call("f", a=True, b=None, c=1.5, d=[1, None, "é"], e={"k": False}, f="", g=-3)]),
         said("tool", " sun "), said("tool", "rain"), said("assistant", "", tool_calls=[call("none")]), said("tool", "ok")],
         tools=[weather]),
    dict(messages=[user, said("user", [{"type": "text", "text": "see "}, {"type": "image"}, {"type": "text", "text": "!"}])]),
    dict(messages=[user, said("user", "<tool_response>\nx\n</tool_response>"), said("assistant", "y", reasoning_content="z")]),
    dict(messages=[]),
    dict(messages=[said("system", "alone")]),
    dict(messages=[said("critic", "bad"), user]),
]

cases = []
for conversation in conversations:
    variables = {"add_generation_prompt": True, **conversation}
    try:
        cases.append({**conversation, "rendered": template.render(**variables)})
    except jinja2.TemplateError as error:
        cases.append({**conversation, "refused": str(error)})
print(json.dumps(cases, ensure_ascii=False, indent=1))
