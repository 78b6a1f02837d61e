#!/usr/bin/env python3
"""Compares golden cases with a real Apache Flink. Standard library only.

    flink.py [--gateway URL] [--rest URL] [--write] [CASE_FOLDER ...]

A Flink session cluster and its SQL gateway must run on this machine and share its file system; `cargo xtask golden --flink`
calls this. Without folders every case whose oracle is Flink is compared. `--write` rewrites the expected rows with
Flink's.

Translation of a case: each table becomes a `filesystem` table, sources read their records in arrival order from one JSON file,
sinks write JSON, or where they take updates `debezium-json`, whose changes are folded as the Rust runner folds them. Watermarks are emitted per record (auto-watermark
interval 0), parallelism is 1. Metadata columns become physical ones with the same values. What cannot be translated is refused,
so that no case counts as compared that was not.
"""

import argparse
import collections
import datetime
import decimal
import json
import pathlib
import re
import shutil
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
TIMESTAMP_BASE_MS = 1_704_067_200_000
JOB_SECONDS_MAX = 120
OPS = {"+I": "c", "+U": "c", "-U": "d", "-D": "d"}


class Refused(Exception):
    """The case cannot be run by Flink in this translation."""


class Failed(Exception):
    """Flink failed the statement."""


def call(method, url, body=None):
    """One HTTP call; the answer as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        raise Failed(error.read().decode().replace("\\n", "\n").replace("\\t", "\t")) from error


class Flink:
    """A session of the SQL gateway."""

    def __init__(self, gateway, rest):
        self.rest = rest
        properties = {
            "parallelism.default": "1",
            "execution.runtime-mode": "streaming",
            "pipeline.auto-watermark-interval": "0 ms",
            "restart-strategy.type": "none",
            "table.local-time-zone": "UTC",
        }
        self.base = gateway + "/v2"
        self.session = call("POST", self.base + "/sessions", {"properties": properties})["sessionHandle"]

    def run(self, statement):
        """Runs a statement; waits for its job if it has one."""
        url = "%s/sessions/%s" % (self.base, self.session)
        operation = call("POST", url + "/statements", {"statement": statement})["operationHandle"]
        token, job = 0, None
        while True:
            page = call("GET", "%s/operations/%s/result/%d?rowFormat=JSON" % (url, operation, token))
            if page["resultType"] == "NOT_READY":
                time.sleep(0.02)
                continue
            job = page.get("jobID") or job
            if job or page["resultType"] == "EOS":
                break
            token += 1
        if job:
            self.wait(job)

    def wait(self, job):
        """Waits for the end of a job."""
        until = time.monotonic() + JOB_SECONDS_MAX
        while time.monotonic() < until:
            state = call("GET", "%s/jobs/%s" % (self.rest, job))["state"]
            if state == "FINISHED":
                return
            if state in ("FAILED", "CANCELED"):
                causes = call("GET", "%s/jobs/%s/exceptions" % (self.rest, job))
                raise Failed(json.dumps(causes).replace("\\n", "\n").replace("\\t", "\t"))
            time.sleep(0.05)
        raise Failed("the job did not end")

    def close(self):
        call("DELETE", "%s/sessions/%s" % (self.base, self.session))


def statements(text):
    """The statements of a script, without comments."""
    parts = re.findall(r"--[^\n]*|/\*(?!\+).*?\*/|'(?:[^']|'')*'|`[^`]*`|;|[^;'`\-/]+|[-/]", text, re.S)
    current, found = "", []
    for part in parts:
        if part.startswith("--") or part.startswith("/*"):
            continue
        if part == ";":
            is_set = re.match(r"\s*EXECUTE\s+STATEMENT\s+SET", current, re.I)
            if is_set and not re.search(r"\bEND\s*$", current, re.I):
                current += part
                continue
            found.append(current.strip())
            current = ""
        else:
            current += part
    found.append(current.strip())
    return [statement for statement in found if statement]


class Table:
    """A table of the script."""

    def __init__(self, statement):
        match = re.match(r"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?`?([\w.-]+)`?\s*\(", statement, re.I)
        if not match:
            raise Refused("not understood: " + statement.split("\n")[0])
        self.name, self.metadata = match.group(1), {}
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(statement[end], 0)
            end += 1
        self.body = statement[match.end():end - 1]
        self.options = dict(re.findall(r"'([^']+)'\s*=\s*'([^']*)'", statement[end:]))
        key = re.search(r"PRIMARY\s+KEY\s*\(([^)]*)\)", self.body, re.I)
        self.key = [name.strip(" `") for name in key.group(1).split(",")] if key else []

        def physical(found):
            self.metadata[found.group(1)] = (found.group(3) or found.group(1), found.group(4) is not None)
            return "`%s` %s" % (found.group(1), found.group(2))

        self.body = re.sub(
            r"`?(\w+)`?\s+(\w+(?:\(\d+\))?(?:\s+NOT\s+NULL)?)\s+METADATA(?:\s+FROM\s+'([^']+)')?(\s+VIRTUAL)?",
            physical, self.body, flags=re.I)

    def is_append(self):
        """Whether a sink of it takes no updates."""
        return not self.key and self.options.get("changelog.mode", "append") == "append"

    def ddl(self, path, file_format):
        options = {"connector": "filesystem", "path": "file://" + str(path), "format": file_format}
        for name, value in self.options.items():
            if name.startswith("value.json."):
                options[name.replace("value.json", file_format)] = value
            elif name.startswith("error-handling"):
                raise Refused("dead letters are not Flink's")
            elif name not in ("changelog.mode", "value.format", "key.format", "value.fields-include"):
                raise Refused("option " + name)
        body = self.body
        text = ", ".join("'%s' = '%s'" % pair for pair in options.items())
        return "CREATE TABLE `%s` (%s) WITH (%s)" % (self.name, body, text)


def timestamp_text(millis):
    moment = datetime.datetime.fromtimestamp(millis / 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def source_lines(table, lines, partitions):
    """The records of a source as lines of a file, and its format."""
    steps = [(index, json.loads(line)) for index, line in enumerate(lines) if line.strip()]
    # The same text again, since numbers must keep their digits.
    raw = {index: line for index, line in enumerate(lines)}
    steps = [(index, step) for index, step in steps if "watermark" not in step]
    mode = table.options.get("changelog.mode", "upsert" if table.key else "append")
    is_changelog = mode != "append" or any("kind" in step for _, step in steps)
    if mode == "upsert" and any("kind" in step for _, step in steps):
        raise Refused("kinds of changes to a table of upserts")
    out, last, before = [], {}, None
    for index, step in steps:
        if "row" not in step:
            if "\n" in step["value"]:
                raise Refused("a record of several lines")
            out.append(step["value"])
            continue
        if step["row"] is None:
            raise Refused("a tombstone as input")
        row = row_text(raw[index])
        for name, (key, _) in table.metadata.items():
            known = {"timestamp": json.dumps(timestamp_text(step.get("timestamp", TIMESTAMP_BASE_MS + 1000 * index))),
                     "partition": str(step.get("partition", index % partitions)), "topic": json.dumps(table.name)}
            if key not in known:
                raise Refused("metadata " + key)
            row = "%s%s%s: %s}" % (row[:-1], "" if row == "{}" else ", ", json.dumps(name), known[key])
        if mode == "upsert":
            # What ChangelogNormalize makes of it.
            key = tuple(json.dumps(step["row"].get(name)) for name in table.key)
            before, last[key] = last.get(key), row
            if before == row:
                continue
            row = change_line(before, row)
        elif is_changelog and step.get("kind") == "-U":
            before = row
            continue
        elif is_changelog and step.get("kind") == "+U":
            row, before = change_line(before, row), None
        elif is_changelog:
            op = OPS[step.get("kind", "+I")]
            row = '{"before": %s, "after": %s, "op": "%s"}' % ((row, "null", op) if op == "d" else ("null", row, op))
        out.append(row)
        if before is not None and mode != "upsert":
            raise Refused("an old row that no new one follows")
    return out, "debezium-json" if is_changelog else "json"


def change_line(before, after):
    """An update or, without a row before, an insertion."""
    return '{"before": %s, "after": %s, "op": "%s"}' % (before or "null", after, "u" if before else "c")


def row_text(line):
    """The text of the value of "row" in a line."""
    match = re.search(r'"row"\s*:\s*', line)
    _, end = json.JSONDecoder().raw_decode(line, match.end())
    return line[match.end():end]


def exact(text):
    """JSON with exact numbers, made hashable."""
    def freeze(value):
        if isinstance(value, dict):
            return ("object", tuple(sorted((name, freeze(inner)) for name, inner in value.items())))
        if isinstance(value, list):
            return ("array", tuple(map(freeze, value)))
        if isinstance(value, bool):
            return ("boolean", value)
        return value
    return freeze(json.loads(text, parse_float=decimal.Decimal, parse_int=decimal.Decimal))


def folded(table, lines):
    """The rows that changes leave, as a multiset, with the text of each."""
    rows, texts, order = collections.Counter(), {}, {}
    for line in lines:
        if table.is_append():
            rows[exact(line)] += 1
            texts[exact(line)] = line
            continue
        change = json.loads(line)
        text = nested_text(line, "before" if change["op"] == "d" else "after")
        row = exact(text)
        texts[row] = text
        if table.key:
            plain = dict(row[1])
            key = tuple(plain[name] for name in table.key)
            if change["op"] == "d":
                if order.get(key) == row:
                    del order[key]
            else:
                order[key] = row
        else:
            rows[row] += -1 if change["op"] == "d" else 1
    if table.key:
        rows = collections.Counter(order.values())
    return rows, texts


def nested_text(line, name):
    """The text of a field of a Debezium line."""
    match = re.search(r'"%s":' % name, line) if name == "before" else None
    if match is None:
        # `after` follows `before`, which may contain anything.
        _, end = json.JSONDecoder().raw_decode(line, line.index(":") + 1)
        match = re.compile(r',"after":').match(line, end)
    _, end = json.JSONDecoder().raw_decode(line, match.end())
    return line[match.end():end]


def files(path):
    """Lines of all finished files of a folder."""
    found = sorted(path.rglob("part-*")) if path.exists() else []
    return [line for file in found for line in file.read_text().splitlines() if line]


def run_case(flink, folder, scratch):
    """Runs a case; written tables with their lines."""
    settings = tomllib.loads((folder / "case.toml").read_text())
    tables, sinks = {}, {}
    for statement in statements((folder / "query.sql").read_text()):
        if re.match(r"CREATE\s+TABLE", statement, re.I):
            table = Table(statement)
            own = folder / "input"
            source = (own if own.exists() else folder.parent / "input") / (table.name + ".jsonl")
            path = scratch / table.name
            tables[table.name] = table
            is_sink = re.search(r"INSERT\s+INTO\s+`?%s`?[\s(]" % re.escape(table.name), (folder / "query.sql").read_text(), re.I)
            if is_sink:
                if any(not virtual for _, virtual in table.metadata.values()):
                    raise Refused("writing metadata")
                sinks[table.name] = path
                flink.run(table.ddl(path, "json" if table.is_append() else "debezium-json"))
                continue
            path.mkdir(parents=True)
            lines = source.read_text().split("\n") if source.exists() else []
            text, file_format = source_lines(table, lines, settings.get("partitions", {}).get(table.name, 2))
            (path / "input").write_text("".join(line + "\n" for line in text))
            flink.run(table.ddl(path, file_format))
        elif re.match(r"SET\b", statement, re.I):
            flink.run(statement.replace("sql.local-time-zone", "table.local-time-zone"))
        else:
            flink.run(statement)
    return {name: (tables[name], files(path)) for name, path in sinks.items()}


def compare(folder, written, write):
    """Differences between Flink's rows and the expected ones."""
    problems = []
    for name, (table, lines) in written.items():
        rows, texts = folded(table, lines)
        path = folder / "expected" / (name + ".jsonl")
        if write:
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(sorted((texts[row] + "\n") * count for row, count in rows.items())))
        text = path.read_text() if path.exists() else ""
        expected, expected_texts = collections.Counter(), {}
        for line in text.splitlines():
            if line:
                expected[exact(line)] += 1
                expected_texts[exact(line)] = line
        for row, count in (expected - rows).items():
            problems.append("%s: Flink does not have %d x %s" % (name, count, expected_texts[row]))
        for row, count in (rows - expected).items():
            problems.append("%s: Flink also has   %d x %s" % (name, count, texts[row]))
    return problems


def check(arguments, folder):
    """Runs and compares one case; a line to print and whether all is well."""
    settings = tomllib.loads((folder / "case.toml").read_text())
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="weir-golden-"))
    flink = Flink(arguments.gateway, arguments.rest)
    try:
        written = run_case(flink, folder, scratch)
    except Refused as error:
        return "refused: %s" % error, settings["oracle"] != "flink-2.3.0"
    except Failed as error:
        causes = [cause for cause in re.findall(r"(?:Exception|Error): ([^\n]*)", str(error)) if cause]
        cause = (causes[-1] if causes else str(error))[:300]
        if "error" in settings:
            return "fails as expected: %s" % cause, True
        return "FAILED: %s" % cause, False
    finally:
        flink.close()
        if not arguments.keep:
            shutil.rmtree(scratch)
    if "error" in settings:
        return "DIFFERS: Flink runs it, the case expects an error", False
    problems = compare(folder, written, arguments.write)
    return "\n  ".join(["DIFFERS"] + problems) if problems else "equal", not problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gateway", default="http://127.0.0.1:8083", help="address of the SQL gateway")
    parser.add_argument("--rest", default="http://127.0.0.1:8081", help="address of the JobManager")
    parser.add_argument("--write", action="store_true", help="rewrite expected rows with Flink's")
    parser.add_argument("--keep", action="store_true", help="keep the translated files")
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    folders = arguments.folders
    if arguments.write and not folders:
        parser.error("--write needs the folders of the cases to rewrite")
    if not folders:
        cases = sorted(path.parent for path in HERE.glob("*/*/case.toml"))
        folders = [case for case in cases if tomllib.loads((case / "case.toml").read_text())["oracle"] == "flink-2.3.0"]
    wrong = 0
    for folder in folders:
        line, is_good = check(arguments, folder.resolve())
        wrong += not is_good
        print("%s/%s: %s" % (folder.resolve().parent.name, folder.name, line), flush=True)
    print("%d cases, %d differ" % (len(folders), wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
