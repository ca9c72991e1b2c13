"""What a person reads whose machine lacks something: one line that names it, before anything is made."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Stand-ins for interpreters: each answers the two questions of .ci/venv as a machine of that kind would.
SHIM_OF_NOTHING = "#!/bin/sh\necho 'command not found' >&2\nexit 127\n"
TOO_OLD = '#!/bin/sh\ncase "$2" in *version_info*) exit 1;; esac\nexit 0\n'
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexit 0\n'

ADVICE = "(Debian and Ubuntu: apt install python3 python3-venv)"


def make_environment(tmp_path: Path, interpreters: dict[str, str], **variables: str) -> tuple[int, str, bool]:
    """Run .ci/venv on a machine that has these interpreters only; its code, what it said, whether it made anything."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in interpreters.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    target = tmp_path / "venv"
    done = subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "venv"), str(target), str(target / "stamp-0")],
        cwd=ROOT,
        env={"PATH": str(programs), **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr, target.exists()


def test_no_python_at_all(tmp_path: Path) -> None:
    assert make_environment(tmp_path, {}) == (
        1,
        f"rustqueue: Python 3.11 or newer is needed and none was found {ADVICE}\n",
        False,
    )


def test_shims_and_old_interpreters_do_not_count(tmp_path: Path) -> None:
    assert make_environment(tmp_path, {"python3.13": SHIM_OF_NOTHING, "python3": TOO_OLD}) == (
        1,
        f"rustqueue: Python 3.11 or newer is needed and none was found {ADVICE}\n",
        False,
    )


def test_python_without_its_venv_package(tmp_path: Path) -> None:
    assert make_environment(tmp_path, {"python3.12": SHIM_OF_NOTHING, "python3": WITHOUT_VENV}) == (
        1,
        "rustqueue: python3 has no venv module: install its package (Debian and Ubuntu: apt install python3-venv)\n",
        False,
    )


def test_a_named_interpreter_is_the_only_candidate(tmp_path: Path) -> None:
    interpreters = {"python3.13": WITHOUT_VENV, "old": TOO_OLD}
    assert make_environment(tmp_path, interpreters, PYTHON="old") == (
        1,
        f"rustqueue: Python 3.11 or newer is needed and none was found at PYTHON=old {ADVICE}\n",
        False,
    )
