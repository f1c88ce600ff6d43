"""Cells in Redis: one string per customer, so that a thousand customers are read by one ``MGET``.

A row is a sequence of cells, each preceded by a tag (the digest of its view's name) and its size. Scripts
on the server insert and remove cells atomically. One database is used by one home, whose id is in the entry
``patron:online``; every read fetches that entry with the rows.
"""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from core.errors import NothingThere, PatronError, StoreUnavailable
from features.online.cells import Cells, Owner, check_owner, nobody
from features.online.packed import FORMAT, CellLayout

TIMEOUT_SECONDS = 5.0
BATCH = 500  # rows per call, so that other clients do not wait long
READ_BATCH = 5_000
_ROW, _META = b"patron:online:%d", b"patron:online"
_HEAD = struct.Struct("<4sI")
# The common part of both scripts: parse a row, and serialise it.
_ROWS = """
local function cells_of(key)
  local row, held, at = redis.call('GET', key) or '', {}, 1
  while at <= #row do
    local size = struct.unpack('<I4', string.sub(row, at + 4, at + 7))
    held[string.sub(row, at, at + 3)] = string.sub(row, at + 8, at + 7 + size)
    at = at + 8 + size
  end
  return held
end
local function store(key, held)
  local parts = {}
  for tag, cell in pairs(held) do
    parts[#parts + 1] = tag .. struct.pack('<I4', #cell) .. cell
  end
  if #parts > 0 then redis.call('SET', key, table.concat(parts)) else redis.call('DEL', key) end
end
"""
# ARGV: the present, the number of views, their tags, then the cells customer by customer.
_WRITE = (
    _ROWS
    + """
local now, count = struct.unpack('>i8', ARGV[1]), tonumber(ARGV[2])
local function stays(old, new)
  if not old or string.sub(old, 1, 8) ~= string.sub(new, 1, 8) then return false end
  local moment = struct.unpack('>i8', string.sub(old, 9, 16))
  return moment > struct.unpack('>i8', string.sub(new, 9, 16)) and moment <= now
end
for i, key in ipairs(KEYS) do
  local held = cells_of(key)
  for j = 1, count do
    local tag, cell = ARGV[2 + j], ARGV[2 + i * count + j]
    if not stays(held[tag], cell) then held[tag] = cell end
  end
  store(key, held)
end
"""
)
# ARGV: the tags of the views to remove.
_DROP = (
    _ROWS
    + """
for _, key in ipairs(KEYS) do
  local held = cells_of(key)
  for _, tag in ipairs(ARGV) do held[tag] = nil end
  store(key, held)
end
"""
)


class RedisCells:
    """A :class:`features.online.cells.CellStore` in a Redis database."""

    def __init__(self, address: str, patience_s: float = TIMEOUT_SECONDS, *, owner: Owner = nobody) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        at = urlsplit(address)
        self.name = f"the online store {at.scheme}://{at.hostname}:{at.port or 6379}{at.path}"
        self._errors, self._lost = redis.RedisError, redis.ConnectionError
        self._owner = owner
        self._checked: bytes | None = None
        try:
            self._client: Any = redis.Redis.from_url(
                address, socket_timeout=patience_s, socket_connect_timeout=patience_s,
                # One retry, since a restarted server has closed the old connections.
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            )  # fmt: skip
        except ValueError as error:
            raise PatronError(f"{self.name} has no such address ({error}): redis://host:port/db") from error
        self._connect = self._client.connection_pool.make_connection
        self._idle: deque[Any] = deque()
        self._write, self._drop = (self._client.register_script(script) for script in (_WRITE, _DROP))

    @property
    def version(self) -> str:
        """The storage engine and its version."""
        with self._readable_errors():
            return f"Redis {self._client.info('server')['redis_version']}"

    def prepare(self, layouts: Sequence[CellLayout]) -> None:
        """Prepare the views; cells written by other definitions are cleared."""
        with self._readable_errors():
            layouts_before = self._take_over()
            wanted = {layout.view: layout.digest.hex() for layout in layouts}
            self._take_out(
                [view for view in wanted if layouts_before.get(view, wanted[view]) != wanted[view]]
            )
            self._write_layouts(layouts_before | wanted)

    def drop(self, views: Sequence[str]) -> None:
        """Remove views and all their cells."""
        with self._readable_errors():
            self._check(self._client.get(_META))
            layouts = self._read_layouts()
            self._take_out([view for view in views if view in layouts])
            self._write_layouts({view: digest for view, digest in layouts.items() if view not in views})

    def write(self, keys: Sequence[int], cells: Mapping[str, Sequence[bytes]], now_us: int) -> None:
        """Write cells of one or more views into the rows of customers; newer cells are preserved."""
        tags, rows = [_tag(view) for view in cells], list(zip(*cells.values(), strict=True))
        head = [now_us.to_bytes(8, "big"), len(tags), *tags]
        with self._readable_errors():
            self._check(self._client.get(_META))
            for start in range(0, len(keys), BATCH):
                names = [_ROW % key for key in keys[start : start + BATCH]]
                part = [cell for row in rows[start : start + BATCH] for cell in row]
                self._write(keys=names, args=[*head, *part])

    def read(self, keys: Sequence[int], views: Sequence[str]) -> list[Cells]:
        """The cells of customers per view, in a single command for few customers."""
        rows: list[bytes | None] = []
        for start in range(0, max(1, len(keys)), READ_BATCH):
            names = [_ROW % key for key in keys[start : start + READ_BATCH]]
            meta, *some = self._mget([_META, *names])
            if meta is None or meta != self._checked:
                self._check(meta)
            rows += some
        tags = {_tag(view): i for i, view in enumerate(views)}
        by_view: list[Cells] = [[None] * len(keys) for _ in views]
        for i, row in enumerate(rows):
            at, pending = 0, len(tags)
            while row and pending and at < len(row):
                tag, size = _HEAD.unpack_from(row, at)
                at += _HEAD.size
                if (place := tags.get(tag)) is not None:
                    by_view[place][i] = row[at : at + size]
                    pending -= 1
                at += size
        return by_view

    def _mget(self, names: Sequence[bytes]) -> list[bytes | None]:
        """Values by name, without the client's parser, which takes as long as the server."""
        try:
            while True:
                fresh = not self._idle
                connection = self._connect() if fresh else self._idle.pop()
                try:
                    connection.send_command("MGET", *names)
                    values: list[bytes | None] = connection.read_response()
                except self._lost:
                    connection.disconnect()
                    if fresh:
                        raise
                    continue  # the server was restarted
                except BaseException:
                    connection.disconnect()  # otherwise the next command would read this response
                    raise
                self._idle.append(connection)
                return values
        except self._errors as error:
            raise self._error(error) from error

    def keys(self) -> list[int]:
        """All customers with a row."""
        with self._readable_errors():
            self._check(self._client.get(_META))
            return [int(name.rsplit(b":", 1)[1]) for name in self._names()]

    def delete(self, keys: Sequence[int]) -> None:
        """Delete the rows of customers; missing ones are ignored."""
        with self._readable_errors():
            self._check(self._client.get(_META))
            for start in range(0, len(keys), BATCH):
                self._client.delete(*(_ROW % key for key in keys[start : start + BATCH]))

    def owner(self) -> str | None:
        """The id of the home to which the store belongs, see :class:`features.online.cells.CellStore`."""
        with self._readable_errors():
            return _owner_in(json.loads(self._client.get(_META) or "{}"))[0]

    def clear(self) -> None:
        """Erase everything."""
        with self._readable_errors():
            meta = json.loads(self._client.get(_META) or "{}")
            with suppress(NothingThere):  # filled before a restore
                check_owner(self.name, self._owner(), *_owner_in(meta)) if meta else None
            self._clear()

    def _clear(self) -> None:
        for names in _batches(self._names()):
            self._client.delete(*names)
        self._client.delete(_META)

    def _take_over(self) -> dict[str, str]:
        """Claim an empty store for the home; return the digest of each view's layout."""
        own = self._owner()
        if next(self._client.scan_iter(match=_META + b":*", count=1000), None) is None:
            self._client.set(_META, self._meta({}), nx=True)  # two homes that begin at once: one is refused
        stored = self._client.get(_META)
        meta = json.loads(stored or "{}")
        try:
            check_owner(self.name, own, *_owner_in(meta))
        except NothingThere:
            meta = {"format": None}
        if meta.get("format", FORMAT) != FORMAT:
            self._clear()
            return {}
        layouts: dict[str, str] = meta.get("layouts", {})
        return layouts

    def _meta(self, layouts: Mapping[str, str]) -> str:
        own = self._owner()
        whose = {} if own is None else {"home": own.id, "restored": own.restored}
        return json.dumps({"format": FORMAT, "layouts": layouts} | whose)

    def _names(self) -> Iterator[bytes]:
        return iter(set(self._client.scan_iter(match=_META + b":*", count=1000)))

    def _take_out(self, views: Sequence[str]) -> None:
        if views:
            for names in _batches(self._names()):
                self._drop(keys=names, args=[_tag(view) for view in views])

    def _read_layouts(self) -> dict[str, str]:
        """The digest of each view's layout."""
        layouts: dict[str, str] = json.loads(self._client.get(_META) or "{}").get("layouts", {})
        return layouts

    def _write_layouts(self, layouts: Mapping[str, str]) -> None:
        self._client.set(_META, self._meta(layouts))

    def _check(self, meta: bytes | None) -> None:
        """Refuse an empty store, and one of another home or format; an entry is checked once."""
        if meta is not None and meta == self._checked:
            return
        if meta is None:
            raise NothingThere(f"{self.name} is empty; run `patron build`")
        entry = json.loads(meta)
        check_owner(self.name, self._owner(), *_owner_in(entry))
        if entry["format"] != FORMAT:
            raise PatronError(f"{self.name} is of another format; run `patron build`")
        self._checked = meta

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        """Translate the client's errors into readable ones."""
        try:
            yield
        except self._errors as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> PatronError:
        return StoreUnavailable(
            f"{self.name} cannot be read ({type(error).__name__}: {error}); see that Redis runs there,"
            " then run `patron build`"
        )


def _owner_in(meta: Mapping[str, Any]) -> tuple[str | None, str]:
    """The id of the home in the entry ``patron:online``, and the token of its restore."""
    return meta.get("home"), meta.get("restored", "")


def _tag(view: str) -> bytes:
    """The four bytes that identify a view before each of its cells."""
    return sha256(view.encode()).digest()[:4]


def _batches(names: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Names in batches of ``BATCH``."""
    batch: list[bytes] = []
    for name in names:
        batch.append(name)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
