"""JSON texts that cost most to read, as large as is read at all; none of them is a network's header."""

import itertools

from fastmlp._files import MAX_BYTES, MAX_VALUES

TIE = "1.00000000000000011102230246251565404236316680908203125"  # between two doubles: more digits decide


def headers(max_bytes=MAX_BYTES, max_values=MAX_VALUES):
    """name -> text of so many bytes, or of so many values, or of both."""
    each = max_bytes // max_values - 1  # characters, where as many values as can be fill as many bytes as can be

    def items(item):
        """As many as fit of an item, or of what it is for their number."""
        size, marks = 2, 1
        for number in itertools.count():
            text = item(number) if callable(item) else item
            size, marks = size + len(text.encode()) + 1, marks + 1 + sum(map(text.count, ",[{"))
            if size > max_bytes or marks > max_values + 1:
                return
            yield text

    def array(item):
        return f"[{','.join(items(item))}]"

    def object_(item):
        return f"{{{','.join(items(item))}}}"

    def text_of(piece):
        return f'"{piece * ((max_bytes - 2) // len(piece.encode()))}"'

    texts = {
        "short ints": array("0"),
        "ints": array("9" * each),
        "long ints": array("9" * 4300),  # Python refuses longer ones
        "longest int": "9" * max_bytes,
        "short floats": array("0.0"),
        "floats": array("1." + "2" * (each - 2)),
        "subnormal floats": array("2.4703282292062327208299436567236e-324"),
        "large floats": array("1.7976931348623158e308"),
        "long floats": array(TIE + "0" * 700 + "1"),
        "longest float": TIE + "0" * (max_bytes - len(TIE) - 1) + "1",
        "lists": array("[]"),
        "objects": array("{}"),
        "objects of one": array('{"":0.0}'),
        "keys": object_(lambda number: f'"{number:x}":0.0'),
        "long keys": object_(lambda number: f'"{number:0{each - 6}}":0.0'),
        "deep lists": "[" * max_values,
        "deep objects": '{"":' * max_values,
        "lists as deep as Python reads": array("[" * 400 + "]" * 400),
        "objects as deep as Python reads": array('{"":' * 400 + "0.0" + "}" * 400),
        "texts": array(lambda number: f'"{number:x}"'),
        "texts of escapes": array('"' + "\\n" * ((each - 2) // 2) + '"'),
        "wide texts": array('"é\\n\U0001f600\\u1234"'),
        "escapes": text_of("\\n"),
        "numbered escapes": text_of("\\u0041"),
        "surrogate pairs": text_of("\\ud83d\\ude00"),
        "half pairs": text_of("\\ud800"),
        "UTF-8": text_of("é\U0001f600"),
        "quotes": text_of('\\"'),
        "spaces": "[0" + " " * (max_bytes - 3) + "]",
    }
    return {name: text.encode() for name, text in texts.items()}
