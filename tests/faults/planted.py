"""The harness itself, tested: a build with planted defects, each of which must be caught by its instrument.

`planted/*.patch` are applied to a copy of the source, never to the product; `HOOKSLUICE_PLANTED` chooses one.
"""

import os
import re
import shutil
import subprocess

from processes import ROOT, RUN

#: Defect, the run that must catch it, and what its verdict must say.
DEFECTS = [
    ("ack-before-fsync", "journal-order", "before the proof"),
    ("synchronous-normal", "journal-order", "before the proof"),
    ("duplicate-before-durable", "journal-disk-full", "acknowledged and lost"),
    ("unroutable-ignored", "rabbitmq-unbound", "acknowledged and lost"),
    ("unknown-forgotten", "rabbitmq-frozen-killed", "acknowledged and lost"),
    ("queue-dropped-on-sigterm", "kafka-down-and-gateway-stopped", "acknowledged and lost"),
    ("newer-overtakes-spooled", "kafka-killed", "out of order"),
]


def build():
    """The binary with all defects, each asleep. Shares what is compiled of others with the usual target folder."""
    source, target = RUN / "planted" / "source", RUN / "planted" / "target"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    # What is tracked, as it is now, edits that are not committed included.
    for name in subprocess.check_output(["git", "ls-files", "Cargo.toml", "Cargo.lock", "build.rs", "src", "schemas"], cwd=ROOT, text=True).split("\n"):
        if name and (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    # Without the tests and benches that the manifest names and the copy lacks.
    manifest = (source / "Cargo.toml").read_text()
    (source / "Cargo.toml").write_text(re.sub(r"(?m)^\[\[(test|bench|example)\]\][^\[]*", "", manifest))
    for patch in sorted((ROOT / "tests/faults/planted").glob("*.patch")):
        done = subprocess.run(["patch", "-p1", "--no-backup-if-mismatch", "-i", patch], cwd=source, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{patch.name} no longer applies; mend it where the code has moved on:\n{done.stdout}{done.stderr}")
    usual = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    if not target.exists() and (usual / "debug/deps").exists():
        target.mkdir()
        # Hard links where they can be: the dependencies are many and large.
        if subprocess.run(["cp", "-al", usual / "debug", target]).returncode:
            shutil.rmtree(target)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    subprocess.run(["cargo", "build", "--quiet", "--bin", "hooksluice"], cwd=source, env=environment, check=True)
    return target / "debug" / "hooksluice"
