"""The listing of a folder's names."""

import os

import pytest

from tfvision.data.files.tree import is_image, is_visible, list_tree


@pytest.fixture
def root(tmp_path):
    for path in ("b/2.png", "b/1.PNG", "b/deep/3.jpg", "a/notes.txt", ".hidden/x.png", "top.csv"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "b/Thumbs.db").touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_files_stand_by_folder_without_hidden_and_system_files(root):
    assert list_tree(root).files == {
        "": ("top.csv",),
        "a": ("notes.txt",),
        "b": ("1.PNG", "2.png"),
        "b/deep": ("3.jpg",),
        "empty": (),
    }


def test_folders_know_their_children_and_all_below(root):
    tree = list_tree(root)
    assert tree.children("") == ("a", "b", "empty")
    assert tree.children("b") == ("deep",)
    assert sorted(tree.below("b")) == ["1.PNG", "2.png", "deep/3.jpg"]
    assert sorted(tree.images("")) == ["b/1.PNG", "b/2.png", "b/deep/3.jpg"]


def test_links_in_a_circle_end(root):
    (root / "a/again").symlink_to(root)
    assert "a/again" not in list_tree(root).files


def test_what_is_an_image_and_what_is_seen():
    assert is_image("x.tIfF")
    assert not is_image("x.csv")
    assert not is_image("png")
    assert is_visible("x")
    assert not is_visible(".x")
    assert not is_visible("desktop.INI")


def test_a_folder_that_cannot_be_read_is_there_without_files(root, monkeypatch):
    scandir = os.scandir

    def refuses(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    tree = list_tree(root)
    assert (tree.files["b/deep"], tree.closed) == ((), ("b/deep",))
    monkeypatch.setattr(os, "scandir", lambda path: refuses("deep"))
    with pytest.raises(PermissionError):
        list_tree(root)


def test_a_folder_that_a_link_has_entered_before_has_no_children(tmp_path):
    (tmp_path / "z/deep").mkdir(parents=True)
    (tmp_path / "a").symlink_to(tmp_path / "z")
    tree = list_tree(tmp_path)
    assert tree.children("a") == ("deep",)
    assert tree.children("z") == ()
