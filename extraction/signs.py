"""Letters of the fonts that are pictures, in letters that say the same in any font."""

_WINGDINGS = {
    0x4A: "☺",
    0x4C: "☹",
    0x6C: "●",
    0x6E: "■",
    0x6F: "☐",
    0x71: "☐",
    0x72: "☐",
    0x76: "❖",
    0x78: "☒",
    0xA7: "▪",
    0xA8: "☐",
    0xD8: "➢",
    0xDF: "←",
    0xE0: "→",
    0xE8: "➔",
    0xFB: "✗",
    0xFC: "✓",
    0xFD: "☒",
    0xFE: "☑",
}
# Those of a formula's pieces that are tall brackets are left out.
_SYMBOL = dict(
    [
        *enumerate(" !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_", 0x20),
        *enumerate("αβχδεφγηιϕκλµνοπθρστυϖωξψζ{|}∼", 0x61),
        *enumerate("€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…", 0xA0),
        *enumerate("↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊⟨®©™∑", 0xBF),
        *enumerate("⟩∫", 0xF1),
    ]
)
FONTS = {"symbol": _SYMBOL, "wingdings": _WINGDINGS, "wingdings 2": {0x50: "✓", 0x52: "☑", 0xA3: "☐"}}


def sign(code: int, font: str) -> str:
    """Return the letter for a code in one of these fonts, which may count from U+F000; empty if unknown."""
    return FONTS.get(font.lower(), {}).get(code & 0xFF, "")
