"""The tasks of ../timezones_python.yaml: an ETL over zone1970.tab.

Plain functions: arguments in, JSON out. Python's standard library is all they need.
"""

import collections
import hashlib
import hmac
import os
import re
import sys


def extract(table, asked):
    """The rows of the table, with the coordinates in degrees. Forgets that publish was asked."""
    if os.path.exists(asked):
        os.remove(asked)
    rows = []
    with open(table, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            codes, coordinates, zone = line.rstrip("\n").split("\t")[:3]
            latitude, longitude = degrees(coordinates)
            rows.append({"zone": zone, "countries": codes.split(","), "latitude": latitude, "longitude": longitude})
    print(f"{len(rows)} zones in {table}")
    return rows


def degrees(coordinates):
    """Latitude and longitude of ISO 6709 text: ±DDMM±DDDMM or ±DDMMSS±DDDMMSS."""
    match = re.fullmatch(r"([+-])(\d\d)(\d\d)(\d\d)?([+-])(\d{3})(\d\d)(\d\d)?", coordinates)
    if match is None:
        raise ValueError(f"{coordinates!r} are no coordinates")

    def degree(sign, whole, minutes, seconds):
        size = int(whole) + int(minutes) / 60 + int(seconds or 0) / 3600
        return round(-size if sign == "-" else size, 4)

    return degree(*match.groups()[:4]), degree(*match.groups()[4:])


def counted(title, column, counts):
    """One part of the report: names and how often they came, most often first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    print(f"{title}: {len(ranked)} rows")
    return {"title": title, "columns": [column, "zones"], "rows": [list(item) for item in ranked]}


def by_continent(rows):
    return counted("By continent or ocean", "region", collections.Counter(row["zone"].split("/")[0] for row in rows))


def by_hemisphere(rows):
    def quarter(row):
        north = "north" if row["latitude"] >= 0 else "south"
        east = "east" if row["longitude"] >= 0 else "west"
        return f"{north}-{east}"

    return counted("By hemisphere", "quarter", collections.Counter(map(quarter, rows)))


def by_country(rows, top=10):
    """The countries with the most zones; a zone may serve several."""
    part = counted("By country", "country", collections.Counter(code for row in rows for code in row["countries"]))
    part["title"] += f", the first {top}"
    part["rows"] = part["rows"][:top]
    return part


def reduce(rows, parts):
    """The parts, and what only the whole tells."""
    widest = max(rows, key=lambda row: len(row["countries"]))  # the first in the table, if several are
    return {
        "zones": len(rows),
        "countries": len({code for row in rows for code in row["countries"]}),
        "widest": widest["zone"],
        "widest_countries": len(widest["countries"]),
        "northernmost": max(rows, key=lambda row: row["latitude"])["zone"],
        "southernmost": min(rows, key=lambda row: row["latitude"])["zone"],
        "parts": [part for part in parts if part is not None],
    }


def report(summary, path):
    """Writes the report as Markdown, and hands on where it is."""
    lines = [
        "# The world's time zones, by Python",
        "",
        f"The table tells {summary['zones']} zones apart, in {summary['countries']} countries.",
        f"{summary['widest']} serves the most of them: {summary['widest_countries']}.",
        f"The zones reach from {summary['northernmost']} in the north to {summary['southernmost']} in the south.",
    ]
    for part in summary["parts"]:
        lines += ["", f"## {part['title']}", "", "| {} | {} |".format(*part["columns"]), "|---|---:|"]
        lines += ["| {} | {} |".format(*row) for row in part["rows"]]
    lines += ["", "Source: the IANA time zone database (zone1970.tab), in the public domain."]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
    print("\n".join(lines))
    return {"path": path, "lines": len(lines)}


def publish(written, asked):
    """Signs the report; fails when it is asked for the first time, as a service may that is busy."""
    if not os.path.exists(asked):
        open(asked, "w", encoding="utf-8").close()
        raise RuntimeError("busy, try again later")
    os.remove(asked)
    key = os.environ.get("AIRFLOW_VAR_SIGNING_KEY")
    if key is None:
        print("the variable signing_key is not given: the report is not signed", file=sys.stderr)
        return None
    with open(written["path"], "rb") as report_file:
        signature = hmac.new(key.encode(), report_file.read(), hashlib.sha256).hexdigest()
    print(f"published {written['path']}, signed {signature}")
    return signature


def alarm(written=None):
    """Says what was not published; written is absent where there is no report."""
    print(f"not published: {written['path'] if written else 'the report, which was not written'}", file=sys.stderr)
