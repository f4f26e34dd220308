#!/usr/bin/env python3
"""Writes systemd.tsv and croniter.tsv beside this file: what others say of the same expressions.

Needs systemd-analyze and, from PyPI, croniter. A line is ZONE, EXPRESSION, AFTER and the next times,
all in seconds since 1970; the first line names the program that was asked.
"""

import datetime
import importlib.metadata
import os
import pathlib
import random
import re
import subprocess
import zoneinfo

import croniter

ZONES = ["UTC", "Europe/Oslo", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
TIMES = 6
EACH = 220
HERE = pathlib.Path(__file__).parent
DICE = random.Random(20261124)
UTC = datetime.timezone.utc


def changes(zone):
    """When the clock of a zone is changed, to the hour."""
    info = zoneinfo.ZoneInfo(zone)
    begin = datetime.datetime(2024, 1, 1, tzinfo=UTC)
    hours = [begin + datetime.timedelta(hours=n) for n in range(5 * 366 * 24)]
    offsets = [at.astimezone(info).utcoffset() for at in hours]
    return [at for at, old, new in zip(hours[1:], offsets, offsets[1:]) if old != new]


def instant(near):
    """Some second of 2024 to 2029, often shortly before a change of the clock."""
    if near and DICE.random() < 0.4:
        return DICE.choice(near) - datetime.timedelta(seconds=DICE.randint(0, 5 * 3600))
    begin = datetime.datetime(2024, 1, 1, tzinfo=UTC)
    return begin + datetime.timedelta(seconds=DICE.randint(0, 6 * 365 * 86400))


def hour(span):
    """Often one of those that are skipped or repeated."""
    return str(DICE.randint(0, 4)) if DICE.random() < 0.4 else field(0, 23, span, "*")


def field(low, high, span, star):
    kind = DICE.randint(0, 9)
    value = lambda: DICE.randint(low, high)
    if kind < 4:
        return star
    if kind < 7:
        return str(value())
    if kind == 7:
        # Of two values: croniter takes a range of one for all values there are.
        first, last = sorted(DICE.sample(range(low, high + 1), 2))
        return f"{first}{span}{last}"
    if kind == 8:
        return ",".join(str(n) for n in sorted({value(), value(), value()}))
    return f"{value()}/{DICE.randint(1, max(2, (high - low) // 3))}"


def calendar():
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    words = []
    if DICE.random() < 0.3:
        first, last = sorted([DICE.randint(0, 6), DICE.randint(0, 6)])
        words.append(DICE.choice([days[first], f"{days[first]}..{days[last]}"]))
    if DICE.random() < 0.7:
        month = field(1, 12, "..", "*")
        mark = "~" if DICE.random() < 0.15 else "-"
        day = field(1, 28, "..", "*") if mark == "-" else f"{DICE.randint(1, 7):02}"
        words.append(f"*-{month}{mark}{day}")
    if DICE.random() < 0.9 or not words:
        minute = field(0, 59, "..", "*")
        second = ":" + field(0, 59, "..", "*") if DICE.random() < 0.2 else ""
        words.append(f"{hour('..')}:{minute}{second}")
    return " ".join(words)


def systemd(zone, expressions):
    """Each with its base time; one call for each, because the base time is one for all."""
    for text, after in expressions:
        base = after.strftime("%Y-%m-%d %H:%M:%S UTC")
        words = ["systemd-analyze", "calendar", f"--iterations={TIMES}", f"--base-time={base}"]
        told = subprocess.run(
            [*words, f"{text} {zone}"],
            env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
            capture_output=True,
            text=True,
        )
        # Refused: a step that leads to nothing. Read here as the one value.
        if told.returncode != 0:
            continue
        told = told.stdout
        found = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", told)
        times = [datetime.datetime.fromisoformat(t).replace(tzinfo=UTC) for t in found]
        yield text, after, times


def cron():
    weekday = "*" if DICE.random() < 0.7 else field(0, 6, "-", "*")
    day = "*" if DICE.random() < 0.6 else field(1, 28, "-", "*")
    parts = [field(0, 59, "-", "*"), hour("-"), day, field(1, 12, "-", "*"), weekday]
    if DICE.random() < 0.15:
        parts[0] = f"*/{DICE.randint(2, 30)}"
    return " ".join(parts)


def asked_croniter(zone, expressions):
    for text, after in expressions:
        iterator = croniter.croniter(text, after.astimezone(zoneinfo.ZoneInfo(zone)))
        yield text, after, [iterator.get_next(datetime.datetime) for _ in range(TIMES)]


def write(name, head, make, ask):
    with open(HERE / name, "w", encoding="utf-8") as out:
        print(f"# {head}", file=out)
        for zone in ZONES:
            near = changes(zone)
            expressions = [(make(), instant(near)) for _ in range(EACH)]
            for text, after, times in ask(zone, expressions):
                listed = " ".join(str(int(t.timestamp())) for t in times)
                print(zone, text, int(after.timestamp()), listed, sep="\t", file=out)


if __name__ == "__main__":
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True)
    write("systemd.tsv", version.stdout.splitlines()[0], calendar, systemd)
    version = importlib.metadata.version("croniter")
    write("croniter.tsv", f"croniter {version}", cron, asked_croniter)
