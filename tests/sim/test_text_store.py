"""Texts on disk: made once, and not too many of them."""

from sim.text_store import TextStore


def test_text_is_made_once(tmp_path):
    store = TextStore(tmp_path / "new", ".txt")
    assert [store.text("a", lambda made=made: made) for made in ("one", "two")] == ["one", "one"]
    assert store.text("b", lambda: "three") == "three"


def test_store_is_bounded(tmp_path):
    store = TextStore(tmp_path, ".txt", kept=2)
    for number in range(4):
        (tmp_path / f"old-{number}.txt").write_text("")
    (tmp_path / "other.v").write_text("")
    store.text("new", lambda: "new")
    assert len(list(tmp_path.glob("*.txt"))) == 2
    assert (tmp_path / "new.txt").read_text() == "new"
    assert (tmp_path / "other.v").exists()
