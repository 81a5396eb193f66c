"""Plans batches with a component under Python's wasmtime.

    python plan.py COMPONENT < batches.json > plans.json

What goes in and out has the shape of `weir replay --json`: a list of batches with their settings, and for each of
them `{"Ok": plan}` or `{"Err": error}`. The component itself tells its types, so nothing here knows more of the
contract than two names.
"""

import json
import re
import sys

from wasmtime import Engine, Store, component as wasm

INTERFACE = "weir:aggregator/logic@0.2.0"


def pascal_case(name):
    return name.title().replace("-", "")


def kebab_case(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def is_bytes(kind):
    return isinstance(kind, wasm.ListType) and isinstance(kind.element, wasm.U8)


def to_wasm(kind, value):
    """A value from JSON, as wasmtime takes one of that type."""
    if is_bytes(kind):
        return value.encode()
    if isinstance(kind, wasm.ListType):
        return [to_wasm(kind.element, element) for element in value]
    if isinstance(kind, wasm.OptionType):
        return None if value is None else to_wasm(kind.payload, value)
    if isinstance(kind, wasm.RecordType):
        record = wasm.Record()
        for name, field in kind.fields:
            setattr(record, name, to_wasm(field, value[name.replace("-", "_")]))
        return record
    if isinstance(kind, wasm.VariantType):
        ((name, payload),) = value.items()
        case = kebab_case(name)
        return wasm.Variant(case, to_wasm(dict(kind.cases)[case], payload))
    if isinstance(kind, wasm.EnumType):
        return kebab_case(value)
    if isinstance(kind, wasm.FlagsType):
        return set(value)
    return value


def to_json(kind, value):
    """A value of that type, as JSON has it."""
    if is_bytes(kind):
        return value.decode()
    if isinstance(kind, wasm.ListType):
        return [to_json(kind.element, element) for element in value]
    if isinstance(kind, wasm.TupleType):
        return [to_json(*pair) for pair in zip(kind.elements, value)]
    if isinstance(kind, wasm.OptionType):
        return None if value is None else to_json(kind.payload, value)
    if isinstance(kind, wasm.RecordType):
        return {name.replace("-", "_"): to_json(field, getattr(value, name)) for name, field in kind.fields}
    if isinstance(kind, wasm.ResultType):
        # wasmtime gives the one or the other as it is where their Python types tell them apart.
        case = ("Err", kind.err) if isinstance(value, wasm.Variant) else ("Ok", kind.ok)
        return {case[0]: to_json(case[1], value)}
    if isinstance(kind, wasm.VariantType):
        case, payload = pascal_case(value.tag), dict(kind.cases)[value.tag]
        return case if payload is None else {case: to_json(payload, value.payload)}
    if isinstance(kind, wasm.EnumType):
        return pascal_case(value)
    return value


class Logic:
    """A component, compiled once. Every plan runs in a fresh instance."""

    def __init__(self, path):
        self.engine = Engine()
        self.component = wasm.Component.from_file(self.engine, path)
        self.linker = wasm.Linker(self.engine)

    def plan(self, arguments):
        store = Store(self.engine)
        instance = self.linker.instantiate(store, self.component)
        interface = instance.get_export_index(store, INTERFACE)
        function = instance.get_func(store, instance.get_export_index(store, "plan", interface))
        kind = function.type(store)
        values = [to_wasm(parameter, arguments[name]) for name, parameter in kind.params]
        return to_json(kind.result, function(store, *values))


logic = Logic(sys.argv[1])
json.dump([logic.plan(batch) for batch in json.load(sys.stdin)], sys.stdout)
