"""Calls the function of one Leoflow task, and writes down what it returns.

Started by the agent, in the task's working directory, as

    python -u THIS_FILE CALL_FILE MODULE:FUNCTION

CALL_FILE is JSON: {"args": {name: value}, "inputs": {name: path or null}}. The
function gets keyword arguments alone: those of args, and each input from its file,
as JSON or else as text; an input that is null has no value and is not passed.

Needs Python 3.8 and nothing but its standard library. The syntax is such that an
older Python can read it too, and so gets as far as saying that it is too old.
"""

import sys

if sys.version_info < (3, 8):
    sys.exit("python tasks need Python 3.8 or newer, and %s is %s: set LEOFLOW_PYTHON to a newer one"
             % (sys.executable, sys.version.split()[0]))

import inspect
import json
import os
import traceback


class Refused(Exception):
    """The function cannot be called, or its value not passed on; the text says why."""


class NotJSON(ValueError):
    """A constant that Python's reader takes and JSON does not have."""


def no_constant(name):
    raise NotJSON(name)


def read_input(name, path):
    with open(path, "rb") as f:
        raw = f.read()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
    try:
        return json.loads(text, parse_constant=no_constant)
    except (json.JSONDecodeError, NotJSON):
        return text
    except (ValueError, RecursionError) as e:  # a number too long, a nesting too deep
        raise Refused("the input %r cannot be read: %s" % (name, e))


def read_call(path):
    """Returns the keyword arguments, and the names of the inputs without a value."""
    with open(path, encoding="utf-8") as f:
        try:
            call = json.load(f)
        except (ValueError, RecursionError) as e:
            raise Refused("the call arguments cannot be read: %s" % e)
    kwargs = dict(call["args"])
    absent = []
    for name, file in sorted(call["inputs"].items()):
        if file is None:
            absent.append(name)
        else:
            kwargs[name] = read_input(name, file)
    return kwargs, absent


def load(entrypoint):
    """Imports the module and returns the function."""
    module, _, attributes = entrypoint.partition(":")
    try:
        __import__(module)  # not importlib: its frames would stay in tracebacks
    except ModuleNotFoundError as e:
        # One that the module itself imports is its own affair, and gets a traceback.
        if e.name is None or not (module + ".").startswith(e.name + "."):
            raise
        detail = "" if e.name == module and "not a package" not in str(e) else " (%s)" % e
        raise Refused("there is no module %r in %s or on PYTHONPATH%s" % (module, os.getcwd(), detail))
    found, name = sys.modules[module], "the module %r" % module
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise Refused("%s has no %r%s" % (name, attribute, hint(attribute, found)))
        name = repr(attribute)
    if not callable(found):
        raise Refused("%s is no function, but of type %s" % (entrypoint, type(found).__name__))
    return found


def hint(word, owner):
    import difflib

    close = difflib.get_close_matches(word, dir(owner), 1)
    return "; did you mean %r?" % close[0] if close else ""


def check_signature(entrypoint, function, kwargs, absent):
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some builtins tell none
    try:
        signature.bind(**kwargs)
    except TypeError as e:
        takes = ", ".join(str(p.replace(annotation=p.empty, default=p.empty)) for p in signature.parameters.values())
        text = "%s(%s) cannot be called: %s" % (entrypoint, takes, e)
        if absent:
            text += " (without a value, and so not passed: %s)" % ", ".join(absent)
        raise Refused(text)


def run(function, kwargs):
    value = function(**kwargs)
    if inspect.iscoroutine(value):
        import asyncio

        value = asyncio.run(value)
    return value


def write_value(path, entrypoint, value):
    if value is None:
        return
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        try:
            raw = text.encode("utf-8")
        except UnicodeEncodeError:  # half of a surrogate pair: JSON can escape it
            raw = json.dumps(value, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as e:
        raise Refused("%s returned a value of type %s that cannot be passed on as JSON: %s"
                      % (entrypoint, type(value).__name__, e))
    with open(path, "wb") as f:
        f.write(raw)


def is_own(frame):
    """Whether a frame is of this file, or of the loop that it started."""
    return frame.f_globals.get("__name__", "").split(".")[0] == "asyncio" or frame.f_globals is globals()


def tell(error):
    """Prints the traceback from the task's own code on. The last line is the error."""
    tb = error.__traceback__
    while tb is not None and is_own(tb.tb_frame):
        tb = tb.tb_next
    text = "".join(traceback.format_exception(type(error), error, tb)).rstrip("\n")
    named = (part for part in traceback.format_exception_only(type(error), error) if not part.startswith(" "))
    summary = next(named, type(error).__name__).split("\n")[0].rstrip()
    if text.rsplit("\n", 1)[-1].strip() != summary:  # a message of several lines, a group
        text += "\n" + summary
    say(text)


def say(text):
    sys.__stderr__.write(text + "\n")  # also where the task put another in its place


def main(call_file, entrypoint):
    for stream in (sys.stdout, sys.stderr):  # whatever the locale is, lines are UTF-8
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    here = os.path.realpath(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [os.getcwd()] + [p for p in sys.path if os.path.realpath(p) != here]
    sys.argv[:] = [entrypoint]
    value_file = os.path.abspath(os.environ["LEOFLOW_RETURN_VALUE_PATH"])  # the task may move, and clear these
    try:
        kwargs, absent = read_call(call_file)
        function = load(entrypoint)
        check_signature(entrypoint, function, kwargs, absent)
        write_value(value_file, entrypoint, run(function, kwargs))
    except Refused as e:
        say(" ".join(str(e).split()))
        sys.exit(1)
    except SystemExit:
        raise
    except BaseException as e:
        tell(e)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
