"""Which commands have entries in the audit log."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer

import patron

ROOT = Path(__file__).parents[2]
AUDITED = {
    "init": {"attached a database", "created a shop"},
    "backup": {"made a backup"},
    "restore": {"restored a backup"},
    "up": {"simulated a shop", "trained a model"},
    "simulate": {"simulated a shop"},
    "import": {"imported events", "imported products"},
    "train": {"trained a model"},
    "tune": {"trained a model"},
    "promote": {"promoted a version"},
    "rollback": {"rolled back a model"},
    "challenge": {"began a challenge", "ended a challenge"},
    "dataset": {"exported features"},
    "snapshot": {"exported features"},
    "audiences": {"listed customers"},
    "holdout": {"rotated the holdout"},
    "outcomes": {"imported outcomes"},
    "score": {"exported scores"},
    "recommend": {"exported recommendations", "undid a release"},
    "plan": {"made a plan", "released a plan"},
    "deliver": {"delivered recommendations"},
    "products": {"exported a ranking", "looked at a customer"},
    "categories": {"exported a ranking", "looked at a customer"},
    "keys create": {"created a key"},
    "keys rotate": {"rotated a key"},
    "keys revoke": {"revoked a key"},
    "accounts create": {"created an account"},
    "accounts role": {"changed a role"},
    "accounts password": {"changed a password"},
    "accounts close": {"closed an account"},
    "quarantine show": {"looked at a rejected event"},
    "quarantine replay": {"replayed rejected events"},
    "quarantine drop": {"dropped rejected events"},
    "identity show": {"looked at a customer"},
    "identity split": {"split a customer"},
}
NOT_AUDITED = {
    "definitions, totals and measures": "features traits models compare report kpis cohorts actions segments"
    " results settings doctor monitor",
    "what the events say, computed": "build compact refresh",
    "counts of rows of a warehouse that are wrong": "lake-check",
    "a file that the user names, with texts and no customers of the shop": "feedback",
    "processes, whose requests have entries": "serve console",
    "lists of accounts, keys, reasons and entries": "keys-list accounts-list quarantine-list audit-list"
    " audit-verify",
}


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its words, with its function."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, inspect.unwrap(command.callback)


@cache
def functions(module: str) -> tuple[dict[str, ast.FunctionDef], dict[str, tuple[str, str]]]:
    """The functions of a module of commands, and what it imports from others: module and name."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    own = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("commands.")
        for alias in node.names
    }
    return own, imported


def entries(module: str, name: str, visited: set[tuple[str, str]]) -> set[str]:
    """The words of the entries that a function adds, itself or by others that it names."""
    own, imported = functions(module)
    if (module, name) in visited or name not in own:
        return set()
    visited.add((module, name))
    words: set[str] = set()
    nodes = [*ast.walk(own[name])]
    variables = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        match node:
            case ast.Call(func=ast.Name(id="audited"), args=[_, ast.Constant(value=str(what)), *_]):
                words.add(what)
            case ast.Name(id=other) if other in imported:
                words |= entries(*imported[other], visited)
            case ast.Name(id=other) if other not in variables:
                words |= entries(module, other, visited)
    return words


def test_every_command_is_listed_with_its_entries_in_the_audit_log() -> None:
    declared = {
        name: entries(function.__module__, function.__name__, set())
        for name, function in commands(typer.main.get_command(patron.app))
    }
    without = {name.replace("-", " ") for names in NOT_AUDITED.values() for name in names.split()}
    assert declared == AUDITED | {name: set() for name in without}
