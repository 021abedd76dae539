"""What git is told of the project and what it says. Seconds: 1."""

from pathlib import Path

import pytest

from flows import project
from flows.project import Failed


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three files, committed."""
    monkeypatch.setattr(project, "ROOT", tmp_path)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    for name in ("dvc.lock", "data/own.dvc", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name}, of some length\n")
    project.git("init", "-q", "-b", "main")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "first")
    return tmp_path


def published() -> list[str]:
    """The files of the commit that publishing makes, and how they changed."""
    project.publish("Publish")
    assert project.git("status", "--porcelain") == ""
    return project.git("show", "--name-status", "--no-renames", "--format=", "HEAD").splitlines()


def test_a_dvc_file_is_published_wherever_it_lies(repository: Path):
    (repository / "more").mkdir()
    (repository / "more" / "faces.dvc").write_text("new\n")
    assert published() == ["A\tmore/faces.dvc"]


@pytest.mark.parametrize("staged", [False, True])
def test_a_dvc_file_that_is_gone_is_published_as_gone(repository: Path, staged: bool):
    (repository / "data" / "own.dvc").unlink()
    if staged:
        project.git("add", "-A")
    assert published() == ["D\tdata/own.dvc"]


def test_a_dvc_file_that_was_moved_is_no_other_change(repository: Path):
    project.git("mv", "data/own.dvc", "own.dvc")
    assert project.changed() == []
    assert published() == ["D\tdata/own.dvc", "A\town.dvc"]


def test_a_file_that_was_moved_is_named_whole(repository: Path):
    project.git("mv", "README.md", "READ.md")
    assert project.changed() == ["READ.md", "README.md"]
    with pytest.raises(Failed, match=r"^not published: READ.md has changed too; allowed are dvc.lock and \*.dvc$"):
        project.publish("Publish")


def test_what_git_says_on_standard_output_or_not_at_all_is_one_line_too(repository: Path):
    with pytest.raises(Failed, match=r"^git commit: nothing to commit, working tree clean$"):
        project.git("commit", "-m", "again")
    with pytest.raises(Failed, match=r"^git diff: ended with 1$"):
        project.git("diff", "--quiet", "--no-index", "README.md", "dvc.lock")
