"""`python -m tests.openapi`: write the description of the API anew."""

from tests.openapi.document import FILE, text

if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
