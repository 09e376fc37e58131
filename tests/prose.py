"""Plain text to bring and to answer with: every word of it is another one, so that no mix-up goes unseen."""

from pathlib import Path

LICENSES = Path("/usr/share/common-licenses")


def answer(paragraphs=6, words=25):
    """Return plain paragraphs, about a token per word."""
    return "\n\n".join(
        f"Paragraph {i} [¶{i + 1}] " + " ".join(f"says{i * words + j}" for j in range(words - 3)) + "."
        for i in range(paragraphs)
    )


def long_document():
    """Return the GPL's text where the system has it, else one as long."""
    licence = LICENSES / "GPL-3"
    return licence.read_text() if licence.exists() else f"A licence of its own\n\n{answer(120, 45)}"
