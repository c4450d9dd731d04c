"""The nightly jobs of docs/ci: checked by schemas and shellcheck, and their commands run as the CI system would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.configs import ROOT, make_config

CI = ROOT / "docs" / "ci"
BIN = Path(sys.executable).parent
ACTIONLINT = shutil.which("actionlint", path=os.pathsep.join((str(BIN), os.environ.get("PATH", ""))))
FUNCTIONS = {
    "always", "success", "failure", "cancelled", "contains", "startsWith", "endsWith", "format", "join", "toJSON",
    "fromJSON", "hashFiles",
}  # fmt: skip
CONTEXTS = {
    "github",
    "env",
    "vars",
    "job",
    "steps",
    "outputs",
    "runner",
    "secrets",
    "strategy",
    "matrix",
    "needs",
    "inputs",
}
SETTING_UP = ("venv", "pip install", "export PATH")
STUB = """#!/bin/sh
[ -n "$NO_RUN" ] || for word in "$@"; do case "$word" in *=*) echo said > "${word#*=}" ;; esac; done
exit "$STUB_CODE"
"""
BENCH = '#!/bin/sh\nexec "{python}" -m bench.cli "$@"\n'
SRUN = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'


def yaml(name: str) -> Any:
    return pytest.importorskip("ruamel.yaml").YAML(typ="safe").load((CI / name).read_text(encoding="utf-8"))


def github_steps() -> dict[str, str]:
    (job,) = yaml("github-nightly.yml")["jobs"].values()
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step and step["name"] != "Set up"}


def gitlab_script() -> str:
    job = yaml("gitlab-nightly.yml")["nightly-benchmark"]
    lines = [*job["before_script"], *job["script"]]
    return "\n".join(line for line in lines if not any(word in line for word in SETTING_UP))


@pytest.mark.parametrize(
    ("schema", "name"), [("github-workflows", "github-nightly.yml"), ("gitlab-ci", "gitlab-nightly.yml")]
)
def test_a_pipeline_is_what_its_schema_says(schema: str, name: str) -> None:
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", CI / name], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def mistakes(workflow: Any) -> list[str]:
    """What a schema does not see in a workflow's expressions: functions, steps and outputs that are not there."""
    found: list[str] = []
    for job in workflow["jobs"].values():
        outputs: dict[str, set[str]] = {}
        for step in job["steps"]:
            texts = [*re.findall(r"\$\{\{(.*?)\}\}", json.dumps(step)), str(step.get("if", ""))]
            for text in texts:
                found += [f"function {name}" for name in re.findall(r"(\w+)\s*\(", text) if name not in FUNCTIONS]
                found += [f"context {name}" for name in re.findall(r"(?<![\w.])(\w+)\.", text) if name not in CONTEXTS]
                for name, output in re.findall(r"\bsteps\.(\w+)\.outputs\.(\w+)", text):
                    if output not in outputs.get(name, ()):
                        found.append(f"output {output} of step {name}")
            if "id" in step:
                outputs[step["id"]] = set(re.findall(r'echo "(\w+)=.*>> "\$GITHUB_OUTPUT"', step.get("run", "")))
    return found


def test_expressions_of_the_workflow_name_what_there_is() -> None:
    text = (CI / "github-nightly.yml").read_text(encoding="utf-8")
    parse = pytest.importorskip("ruamel.yaml").YAML(typ="safe").load
    assert mistakes(parse(text)) == []
    for good, bad in (
        ("always()", "alway()"), ("github.run_id", "git.run_id"), ("id: measure", "id: measured"), ("code=$", "cod=$"),
    ):  # fmt: skip
        assert good in text and mistakes(parse(text.replace(good, bad))), bad


@pytest.mark.skipif(
    ACTIONLINT is None, reason="actionlint is not installed; its package on PyPI fetches it from GitHub"
)
def test_the_workflow_passes_actionlint() -> None:
    """The runner's own label is one that it cannot know; the scripts are for shellcheck, below."""
    command = [str(ACTIONLINT), "-no-color", "-shellcheck=", "-ignore", 'label "gpu" is unknown']
    done = subprocess.run([*command, CI / "github-nightly.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_scripts_pass_shellcheck(tmp_path: Path) -> None:
    scripts = [CI / "cron-nightly.sh", CI / "slurm-nightly.sbatch"]
    for name, text in {**github_steps(), "gitlab": gitlab_script()}.items():
        scripts.append(tmp_path / f"{name}.sh")
        scripts[-1].write_text(text, encoding="utf-8")
    done = subprocess.run([BIN / "shellcheck", "--shell=bash", *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_slurm_reads_all_directives() -> None:
    """It stops at the first line that is no comment."""
    lines = (CI / "slurm-nightly.sbatch").read_text(encoding="utf-8").splitlines()
    commands = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert directives and max(directives) < commands


class Place:
    """A folder in which jobs run, with a `bench` that is real or only ends with a code."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / ".venv" / "bin"
        self.bin.mkdir(parents=True)
        self.variables = {
            "PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(folder), "PYTHONPATH": str(ROOT),
            "CONFIG": str(folder / "nightly.json"), "RESULTS": str(folder / "results"), "OUT": str(folder / "nightly"),
            "GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "step.md"),
            "BENCH_HOME": str(folder), "SLURM_JOB_ID": "7",
        }  # fmt: skip
        config = make_config({"name": "nightly", "benchmark_config.telemetry": False})
        (folder / "nightly.json").write_text(json.dumps(config), encoding="utf-8")
        self.program("srun", SRUN)
        self.program("bench", BENCH.format(python=sys.executable))

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def stub(self, code: int, wrote: bool = True) -> None:
        self.program("bench", STUB)
        self.variables |= {"STUB_CODE": str(code), "NO_RUN": "" if wrote else "1"}

    def bash(self, text: str) -> subprocess.CompletedProcess[str]:
        """As GitHub and GitLab run a step."""
        return self.command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text)

    def command(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*words], cwd=self.folder, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def github(self) -> subprocess.CompletedProcess[str]:
        """All steps, as `if: always()` has them; the last one's end is the job's."""
        steps = github_steps()
        (self.folder / "output").unlink(missing_ok=True)
        for name in ("Measure", "Summary"):
            assert self.bash(steps[name]).returncode == 0
        self.variables["CODE"] = (self.folder / "output").read_text(encoding="utf-8").strip().removeprefix("code=")
        return self.bash(steps["Verdict"])

    def run(self, system: str) -> subprocess.CompletedProcess[str]:
        if system == "github":
            return self.github()
        if system == "gitlab":
            return self.bash(gitlab_script())
        return self.command("bash", CI / {"cron": "cron-nightly.sh", "slurm": "slurm-nightly.sbatch"}[system])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("system", ["github", "gitlab", "cron", "slurm"])
def test_a_night_is_measured_kept_and_told(place: Place, system: str) -> None:
    """The first night has no history: inconclusive, which is no red night on GitHub, and allowed to fail on GitLab."""
    done = place.run(system)
    assert done.returncode == (0 if system == "github" else 3), done.stdout
    (run,) = (place.folder / "results" / "nightly").iterdir()
    assert json.loads((run / "suite.json").read_text(encoding="utf-8"))["verdict"] == "inconclusive"
    assert ElementTree.parse(place.folder / "nightly" / "junit.xml").getroot().get("errors") == "0"
    assert (place.folder / "nightly" / "summary.md").read_text(encoding="utf-8").startswith("## ? inconclusive")
    assert (place.folder / "nightly" / "run.csv").stat().st_size
    if system == "github":
        assert (place.folder / "step.md").read_text(encoding="utf-8").startswith("## ? inconclusive")
        assert "::warning::" in done.stdout
    if system == "gitlab":
        assert yaml("gitlab-nightly.yml")["nightly-benchmark"]["allow_failure"] == {"exit_codes": 3}


@pytest.mark.parametrize("system", ["github", "gitlab", "cron", "slurm"])
@pytest.mark.parametrize("code", range(6))
def test_exit_codes_are_those_of_the_command(place: Place, system: str, code: int) -> None:
    place.stub(code)
    done = place.run(system)
    assert done.returncode == (0 if (system, code) == ("github", 3) else code), done.stdout
    if system == "github" and code:
        assert ("::warning::" if code == 3 else "::error::") in done.stdout


def test_cron_says_nothing_after_a_good_night(place: Place) -> None:
    place.stub(0)
    assert place.run("cron").stdout == ""
    place.stub(3)
    assert len(place.run("cron").stdout.splitlines()) == 1
    place.stub(1)
    assert "said" in place.run("cron").stdout


@pytest.mark.parametrize("system", ["github", "gitlab", "cron", "slurm"])
def test_a_night_without_a_run_is_not_told_as_the_one_before(place: Place, system: str) -> None:
    """The config cannot be read: there is no summary, and none of the last night's is shown."""
    place.stub(2, wrote=False)
    if system in ("github", "gitlab"):  # the others have a folder a night
        (place.folder / "nightly").mkdir()
        (place.folder / "nightly" / "summary.md").write_text("of the night before", encoding="utf-8")
    done = place.run(system)
    told = place.folder / "step.md"
    assert done.returncode == 2 and "of the night before" not in done.stdout
    assert not told.exists() or "No run" in told.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_cron_measures_nothing_while_the_night_before_still_runs(place: Place) -> None:
    place.stub(0)
    (place.folder / "results").mkdir()
    lock = place.folder / "results" / ".nightly.lock"
    held = place.command("flock", lock, "bash", CI / "cron-nightly.sh")
    assert held.returncode == 4 and "nothing was measured" in held.stdout


def test_every_job_is_told_of(place: Place) -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert all(f"ci/{file.name}" in page for file in CI.iterdir())
