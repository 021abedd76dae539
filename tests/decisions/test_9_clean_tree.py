"""Decision 9: a clean tree differs from its commit in dvc.lock and *.dvc at most; publishing commits those."""

from clones import Clone
from mlflow import MlflowClient


def tags(clone: Clone) -> dict[str, str]:
    return MlflowClient(f"sqlite:///{clone.path / 'mlflow.db'}").get_model_version("lldif-demo", "1").tags


def test_a_run_in_a_fresh_clone_is_clean_and_names_its_commit(finished):
    clone, _ = finished
    assert tags(clone)["git.dirty"] == "false"
    assert tags(clone)["git.commit"] == clone.git("rev-parse", "HEAD").strip()
    assert clone.git("status", "--porcelain").split() == ["??", "dvc.lock"]


def test_a_changed_file_makes_the_tree_dirty_and_the_lock_does_not(empty_clone: Clone):
    def git() -> str:
        findings = empty_clone.answer("lldif", "doctor", "--json", code=None)
        return next(finding["detail"] for finding in findings if finding["check"] == "git")

    (empty_clone.path / "dvc.lock").write_text("schema: '2.0'\n")
    assert git().endswith(", clean")
    (empty_clone.path / "README.md").write_text("changed\n")
    assert git().endswith(", with changes")


def test_publishing_commits_the_lock_and_nothing_else(clone: Clone):
    answer = clone.answer("lldif", "run", "demo", "--json", "--publish")
    assert answer["commit"] == clone.git("rev-parse", "HEAD").strip()
    assert clone.git("show", "--name-only", "--format=%s", "HEAD").split("\n\n") == [
        "Publish demo version 1",
        "dvc.lock\n",
    ]
    assert clone.git("status", "--porcelain") == ""
    clone.answer("lldif", "run", "demo", "--json", "--publish")
    assert clone.git("rev-list", "--count", "HEAD").strip() == "2"  # nothing new, no commit


def test_publishing_refuses_when_anything_else_has_changed(clone: Clone):
    (clone.path / "Makefile").write_text("changed\n")
    done = clone.run("lldif", "run", "demo", "--publish", code=2)
    assert done.stderr == "lldif: not published: Makefile has changed too; allowed are dvc.lock and *.dvc\n"
    assert clone.git("rev-list", "--count", "HEAD").strip() == "1"
