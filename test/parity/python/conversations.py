"""Conversations that chat templates are judged on, as JSON texts: how a number is written matters."""
import json

SYSTEMS = [None, "You are helpful.", "  Indented.\n", ""]
USERS = [
    "Hi", "  leading and trailing  ", "\n\nlines\n\n", "tabs\tand \r\n CRLF\r\n", "naïve café 日本語 🦊👩‍👩‍👧", "<|im_start|>user</s>[INST]",
    "quotes ' \" \\ `", "{{ messages }} {% raw %}", "", "<tool_call>{\"a\": 1}</tool_call>", "a & b < c > d", "x" * 300,
]
ASSISTANTS = [
    "Hello!", "    return x + 1\n", "\n<think>\nhmm\n</think>\n\nAnswer", "<think>a</think>b", "…\u2028line\u00a0space", "", "Sure:\n```py\nprint(1)\n```\n",
    "[TOOL_CALLS] no", "  \n", "</think>only end",
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather at a \"place\" <now> & then.",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "City, e.g. \"Zürich\""},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
                "items": {"type": "array", "items": {"type": "number"}, "nullable": True},
                "where": {"type": ["object", "null"], "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
            },
            "required": ["location"],
        },
        "return": {"type": "string"},
    },
}
PLAIN = {"type": "function", "function": {"name": "ping", "description": "Ping.", "parameters": {"type": "object", "properties": {}}}}
BARE = {"name": "bare", "description": "No wrapper.", "parameters": {"type": "object", "properties": {"x": {"type": "boolean"}}, "required": []}}
NUMBERS = ["1234567890123456789", "1.0", "1e-07", "-0.0", "1e16", "1e22", "0.1", "123456789012345680.0", "5e-324", "-12", "1E5", "2.50", "1.7976931348623157e308"]


def raw(value):
    """A place for a text that goes into the JSON as it is."""
    return f"\x00{value}\x00"


def dumps(value):
    text = json.dumps(value, ensure_ascii=False)
    for number in NUMBERS + ['{"9": 1, "10": 2, "b": 3, "a": 4, "2": {"1": 0}}']:
        text = text.replace(json.dumps(raw(number)), number)
        text = text.replace(json.dumps(raw(number), ensure_ascii=False), number)
    return text


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, index=0, **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, "id": f"call{index:05d}", **more}


def conversations():
    found = []

    def add(messages, **more):
        for prompt in (False, True):
            found.append({"messages": messages, "add_generation_prompt": prompt, **more})

    for system in SYSTEMS:
        head = [] if system is None else [turn("system", system)]
        for i in range(0, len(USERS), 2):
            a, b = USERS[i], USERS[i + 1]
            add([*head, turn("user", a)])
            if system in (None, "You are helpful."):
                c, d = ASSISTANTS[i % len(ASSISTANTS)], ASSISTANTS[(i + 1) % len(ASSISTANTS)]
                add([*head, turn("user", a), turn("assistant", c)])
                add([*head, turn("user", a), turn("assistant", c), turn("user", b), turn("assistant", d)])
    for kwargs in ({"enable_thinking": True}, {"enable_thinking": False}, {"thinking": True}, {"reasoning_effort": "high"}, {"builtin_tools": ["browser"]},
                   {"date_string": "26 Jul 2024"}, {"custom": [1, True, None, "x"]}, {"bos_token": "<B>"}):
        add([turn("user", "Hi"), turn("assistant", "<think>x</think>y"), turn("user", "More")], kwargs=kwargs)
    for reasoning in ("reasoning_content", "thinking", "reasoning"):
        add([turn("user", "q"), turn("assistant", "a", **{reasoning: "because\n"}), turn("user", "q2"), turn("assistant", "a2", **{reasoning: "then"})])
    add([turn("user", "q"), turn("assistant", "a", reasoning_content=None), turn("user", "r")])

    for tools in ([WEATHER], [WEATHER, PLAIN], [BARE], [PLAIN]):
        add([turn("user", "Weather?")], tools=tools)
        add([turn("system", "Use tools."), turn("user", "Weather?"), turn("assistant", "Calling.")], tools=tools)
    for arguments in ({"location": "Zürich", "days": 3}, '{"location": "Zürich"}', {}, {"deep": {"list": [1, "2", None, True, {"k": []}], "empty": {}, "s": "a\"b\n"}}):
        for content in (None, "", "Let me see."):
            add([turn("user", "Weather?"), turn("assistant", content, tool_calls=[call("get_weather", arguments)]),
                 turn("tool", "sunny", name="get_weather", tool_call_id="call00000"), turn("assistant", "Sunny.")], tools=[WEATHER])
    two = [call("get_weather", {"location": "A"}, 1), call("ping", {}, 2)]
    add([turn("user", "both"), turn("assistant", "", tool_calls=two), turn("tool", '{"t": 1}', tool_call_id="call00001"),
         turn("tool", [{"type": "text", "text": "pong"}], tool_call_id="call00002")], tools=[WEATHER, PLAIN])
    add([turn("user", "x"), {"role": "assistant", "tool_calls": two}], tools=[WEATHER, PLAIN])
    add([turn("user", "x"), turn("assistant", "", tool_calls=[]), turn("user", "y")])
    add([turn("user", "x"), turn("assistant", "t", tool_calls=[{"name": "flat", "arguments": {"a": 1}}])])
    for number in NUMBERS:
        found.append({"messages": [turn("user", "n"), turn("assistant", "", tool_calls=[call("f", {"n": raw(number), "l": [raw(number)]})]),
                                   turn("tool", "ok", name="f", tool_call_id="call00000")], "add_generation_prompt": True, "tools": [PLAIN]})
    order = raw('{"9": 1, "10": 2, "b": 3, "a": 4, "2": {"1": 0}}')
    add([turn("user", "n"), turn("assistant", "", tool_calls=[call("f", order)])])
    add([turn("user", [{"type": "text", "text": "part one"}, {"type": "text", "text": " two"}])])
    add([turn("system", [{"type": "text", "text": "sys"}]), turn("user", [{"type": "image"}, {"type": "text", "text": "see"}]), turn("assistant", [{"type": "text", "text": "ok"}])])
    add([turn("user", [])])
    add([turn("user", None), turn("assistant", None)])
    add([turn("user", 5), turn("assistant", True)])
    add([turn("assistant", "first"), turn("user", "then")])
    add([turn("user", "a"), turn("user", "b")])
    add([turn("user", "a"), turn("assistant", "b"), turn("system", "late"), turn("user", "c")])
    add([turn("developer", "dev"), turn("user", "a")])
    add([turn("ipython", "out"), turn("unknown", "?")])
    add([turn("system", "only")])
    add([{"role": "user"}])
    add([{"content": "no role"}])
    documents = [{"title": "Doc \"1\"", "text": "First.\n"}, {"title": "D2", "text": "Second", "doc_id": raw("1.0")}]
    add([turn("user", "Ask"), turn("assistant", "b"), turn("user", "c")], documents=documents)
    return [dumps(one) for one in found]


if __name__ == "__main__":
    print(len(conversations()))
