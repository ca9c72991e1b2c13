"""`python -m tests.openapi`: write the descriptions of the API and of the second system's routes anew."""

from tests.openapi import document, second

if __name__ == "__main__":
    document.FILE.write_text(document.text(), encoding="utf-8")
    second.FILE.write_text(second.text(), encoding="utf-8")
