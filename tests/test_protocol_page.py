"""The page of the TCP protocol says what the structs say."""

from tests.protocol_page import PAGE, page_with


def test_the_verbs_on_the_page_are_those_of_the_vocabulary() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert text == page_with(text)
