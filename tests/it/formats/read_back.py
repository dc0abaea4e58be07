"""Reads rendered files with other people's parsers and holds them against the answers that they were made of.

Called with folders that hold results.jsonl and a tree for each format. Says how many files it has read.
"""

import csv
import json
import re
import sys
from pathlib import Path

import srt
import webvtt


def bare(text):
    """Without white space, marks of direction and labels of speakers."""
    return re.sub(r"[\s\u200f]|SPEAKER_\d+:", "", text)


def plain(text):
    """The words of an answer: tags become words."""
    text = re.sub(r"<(?:pii|phi):([^>]+)></[^>]*>", lambda m: f"[{m[1].upper()}]", text)
    return re.sub(r"</?(?:pii|phi)[^>]*>", "", text)


def seconds(clock):
    hours, minutes, rest = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def hold(path, cues, said, duration, together=False):
    starts = [start for start, _, _ in cues]
    assert all(a < b or (together and a == b) for a, b in zip(starts, starts[1:])), (path, starts)
    assert all(start < end <= duration + 0.0005 for start, end, _ in cues), (path, cues)
    shown = sorted(bare("".join(text for _, _, text in cues)))
    assert shown == sorted(bare(said)), (path, cues, said)


def hold_recording(folder, record):
    path, duration = record["path"], record["duration_ms"] / 1000
    answer = record["response"]
    spoken = answer.get("utterances") or answer.get("clips") or []
    said = plain(" ".join(u["text"] for u in spoken) or answer.get("text", ""))

    def place(word):
        return folder / word / f"{path}.{word}"

    assert json.loads(place("json").read_text("utf-8")) == answer
    cues = list(srt.parse(place("srt").read_text("utf-8"), ignore_errors=False))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    text = said.replace("-->", "->")
    hold(path, [(c.start.total_seconds(), c.end.total_seconds(), c.content) for c in cues], text, duration)
    captions = webvtt.read(str(place("vtt"))).captions
    unescaped = [(c, c.text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")) for c in captions]
    hold(path, [(seconds(c.start), seconds(c.end), text) for c, text in unescaped], said, duration)
    with place("tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    # Two people can begin at once; only cues are moved apart.
    columns = [(int(row["start"]) / 1000, int(row["end"]) / 1000, row["text"]) for row in rows]
    hold(path, columns, said, duration, together=True)
    rttm = place("rttm")
    if rttm.exists():
        fields = [line.split() for line in rttm.read_text("utf-8").splitlines()]
        assert all(len(f) == 10 and f[0] == "SPEAKER" and float(f[4]) > 0 for f in fields), (path, fields)
        assert len(fields) == len(rows)
    assert sorted(bare(place("txt").read_text("utf-8"))) == sorted(bare(said)), path
    return len(rows)


read = 0
for folder in map(Path, sys.argv[1:]):
    records = [json.loads(line) for line in (folder / "results.jsonl").open(encoding="utf-8")]
    stretches = sum(hold_recording(folder, record) for record in records)
    manifest = folder / "nemo.jsonl"
    if manifest.exists():
        lines = [json.loads(line) for line in manifest.open(encoding="utf-8")]
        assert len(lines) == stretches
        assert all(line["duration"] > 0 and line["text"] and line["audio_filepath"] for line in lines)
    read += len(records)
print(read)
