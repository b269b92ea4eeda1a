"""Small faults in a source text: where they can be put, and what it then reads."""

import ast
import random
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPERATORS = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}
COMPARISONS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
}  # fmt: skip
CALLS = {"minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "argmin": "argmax", "argmax": "argmin"}


@dataclass(frozen=True)
class Mutant:
    """One change of one place: characters `start` to `stop` of a file become `new`."""

    file: str
    line: int
    last_line: int
    kind: str
    start: int
    stop: int
    old: str
    new: str


class Places(ast.NodeVisitor):
    """All mutants of a source text. Messages of errors, annotations and defaults of types are left alone."""

    def __init__(self, file: str, text: str):
        self.file, self.text, self.found, self.statement = file, text, [], None
        lengths = [len(line.encode()) for line in text.splitlines(keepends=True)]
        self.offset = [sum(lengths[:k]) for k in range(len(lengths) + 1)]
        self.raw = text.encode()
        self.visit(ast.parse(text))

    def span(self, node) -> tuple[int, int]:
        return (
            self.offset[node.lineno - 1] + node.col_offset,
            self.offset[node.end_lineno - 1] + node.end_col_offset,
        )

    def source(self, node) -> str:
        start, stop = self.span(node)
        return self.raw[start:stop].decode()

    def add(self, kind: str, start: int, stop: int, new: str) -> None:
        statement = self.statement
        body = getattr(statement, "body", None)
        last = body[0].lineno - 1 if isinstance(body, list) and body else statement.end_lineno
        old = self.raw[start:stop].decode()
        if old != new:
            line = max(statement.lineno, 1)
            self.found.append(Mutant(self.file, line, max(line, last), kind, start, stop, old, new))

    def visit(self, node):
        if isinstance(node, ast.stmt):
            self.statement = node
        return super().visit(node)

    def generic_visit(self, node):
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    before = self.statement
                    self.visit(child)
                    self.statement = before

    def visit_Raise(self, node):
        pass

    def visit_JoinedStr(self, node):
        pass

    def visit_If(self, node):
        only_refuses = len(node.body) == 1 and isinstance(node.body[0], ast.Raise) and not node.orelse
        if only_refuses:
            self.add("guard", *self.span(node.test), "False")
        if self.source(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def between(self, left, right) -> tuple[int, int]:
        return self.span(left)[1], self.span(right)[0]

    def visit_BinOp(self, node):
        new = OPERATORS.get(type(node.op))
        texts = any(isinstance(s, ast.JoinedStr | ast.List | ast.Tuple) or isinstance(getattr(s, "value", 0), str)
                    for s in (node.left, node.right))  # fmt: skip
        if new and not texts:
            start, stop = self.between(node.left, node.right)
            gap = self.raw[start:stop].decode()
            old = {"-": "+", "+": "-", "/": "*", "*": "/"}[new]
            self.add("operator", start, stop, gap.replace(old, new, 1))
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        start, _ = self.span(node)
        inner = self.span(node.operand)[0]
        if isinstance(node.op, ast.USub):
            self.add("sign", start, inner, "+")
        elif isinstance(node.op, ast.Not):
            self.add("condition", start, inner, "True and ")
        self.generic_visit(node)

    def visit_Compare(self, node):
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if type(operator) in COMPARISONS:
                start, stop = self.between(left, right)
                old, new = COMPARISONS[type(operator)]
                self.add("comparison", start, stop, self.raw[start:stop].decode().replace(old, new, 1))
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        start, stop = self.between(node.values[0], node.values[1])
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        if len(node.values) == 2:
            self.add("condition", start, stop, self.raw[start:stop].decode().replace(old, new, 1))
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, float) and abs(node.value) < 1e300:
            self.add("constant", *self.span(node), repr(node.value * 1.01 or 0.01))

    def visit_Call(self, node):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in CALLS:
            stop = self.span(node.func)[1]
            self.add("minimum", stop - len(name), stop, CALLS[name])
        if len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args[:2]):
            self.exchange("arguments", *node.args[:2])
        self.generic_visit(node)

    def visit_Return(self, node):
        if isinstance(node.value, ast.Tuple) and len(node.value.elts) >= 2:
            self.exchange("returns", *node.value.elts[:2])
        self.generic_visit(node)

    def exchange(self, kind, first, second):
        start, stop = self.span(first)[0], self.span(second)[1]
        gap = self.raw[slice(*self.between(first, second))].decode()
        self.add(kind, start, stop, self.source(second) + gap + self.source(first))


def draw(count: int, seed: int, packages) -> list[Mutant]:
    """Mutants drawn without replacement from all places; those that do not compile are left out."""
    found: list[Mutant] = []
    for package in packages:
        at = ROOT / "perfsim" / package
        for path in sorted(at.rglob("*.py")) if at.is_dir() else [at.with_suffix(".py")]:
            if path.name != "__init__.py":
                found += Places(str(path.relative_to(ROOT)), path.read_text()).found
    chosen = []
    for mutant in random.Random(seed).sample(found, len(found)):
        try:
            compile(changed(mutant), mutant.file, "exec")
        except SyntaxError:
            continue
        chosen.append(mutant)
        if len(chosen) == count:
            break
    return chosen


def changed(mutant: Mutant) -> str:
    raw = (ROOT / mutant.file).read_bytes()
    return (raw[: mutant.start] + mutant.new.encode() + raw[mutant.stop :]).decode()
