"""English text as the words that are spoken: numbers, money, units, dates, times, addresses, abbreviations, symbols.

The words come from damga, whose grammars are weighted finite-state transducers. Of 82 short texts it read 65 as
a person would, nemo_text_processing 61, wetext 57, brighto-norm4tts 28, english-text-normalization 18, and the
normaliser inside hibari-tts 12 (it leaves plain numbers to the lexicon). damga needs no other package, has wheels for
Python 3.9 to 3.13 (18.8 MB; Linux, Windows, macOS on arm64) and leaves plain words as they are. The compiler behind
nemo_text_processing, pynini, is a wheel of 165 MB, and its grammars took minutes to compile. With the rules below all
82 are read well, and of 56 texts that were written afterwards 55 (tests/support/hard_texts.py).
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

_TOP = "com|org|net|edu|gov|int|info|io|ai|dev|app|eu|uk|us|de|fr|ch|ca|au|tv|me"
# A text without any of these is spoken as it is: digits, symbols, dotted abbreviations, Roman numerals, fractions.
_TO_READ = re.compile(
    r"[\d½⅓⅔¼¾⅛⅜⅝⅞²³]|[$£€¥₹¢%‰&@#+=×÷<>±≤≥√°§©~^|\\/_*−→]"
    r"|\b(?:[Ee]\.g|[Ii]\.e|etc|[Vv]s|cf|approx|[Nn]os?|[Pp]p|[Vv]ol|[Ff]igs?|Mrs?|Ms|Dr|Prof|St|Mt|Gen|Sen|Rep|Gov|Capt"
    r"|Lt|Col|Sgt|Rev|Hon|Jr|Sr|Inc|Ltd|Corp|Co|Dept|Ave|Blvd|Rd|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\."
    rf"|\b[IVXLC]{{2,}}\b|\bwww\.|\w\.(?:{_TOP})\b"
)
_DOMAIN = rf"(?:[a-z0-9-]+\.)+(?:{_TOP})\b"
_LINK = re.compile(
    r"(?<![\w@.])(?:https?://(?:www\.)?(?P<any>[^\s<>\"”’)]+)"
    rf"|(?:www\.)?(?P<plain>{_DOMAIN}(?:/[^\s<>\"”’)]*)?))",
    re.IGNORECASE,
)
_MARKS = {".": " dot ", "/": " slash ", "-": " dash ", "_": " underscore ", "?": " question mark ", "=": " equals ",
          "&": " and ", "#": " hash ", "%": " percent ", "+": " plus ", ":": " colon ", "~": " tilde "}  # fmt: skip
_UNITS = {
    "kWh": "kilowatt hours", "MWh": "megawatt hours", "mAh": "milliampere hours", "m/s": "meters per second",
    "m/s²": "meters per second squared", "km/s": "kilometers per second", "dB": "decibels", "µm": "micrometers",
    "nm": "nanometers", "W": "watts", "A": "amperes", "Ω": "ohms", "kΩ": "kilohms", "kPa": "kilopascals",
    "hPa": "hectopascals", "rpm": "revolutions per minute", "ppm": "parts per million", "fps": "frames per second",
    "kcal": "kilocalories", "tbsp": "tablespoons", "tsp": "teaspoons", "sq ft": "square feet",
    "°C": "degrees Celsius", "¢": "cents", "‰": "per mille", "KB": "kilobytes", "kB": "kilobytes",
}  # fmt: skip
_WORDS = {
    "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Gen": "General", "Sen": "Senator", "Rep": "Representative",
    "Gov": "Governor", "Capt": "Captain", "Lt": "Lieutenant", "Col": "Colonel", "Sgt": "Sergeant", "Rev": "Reverend",
    "Hon": "Honorable", "Inc": "Incorporated", "Ltd": "Limited", "Corp": "Corporation", "Co": "Company",
    "Dept": "Department", "cf": "compare", "Jr": "Junior", "Sr": "Senior", "Ms": "Miz",
}  # fmt: skip
_BEFORE_NUMBER = {"p": "page", "pp": "pages", "vol": "volume", "fig": "figure", "figs": "figures", "nos": "numbers"}
_MONEY = {
    "USD": "dollars", "EUR": "euros", "GBP": "pounds", "CHF": "Swiss francs", "JPY": "yen", "INR": "rupees",
    "CAD": "Canadian dollars", "AUD": "Australian dollars", "C$": "Canadian dollars", "A$": "Australian dollars",
}  # fmt: skip
_SYMBOLS = {
    "&": "and", "+": "plus", "=": "equals", "×": "times", "÷": "divided by", "±": "plus or minus", "≤": "at most",
    "≥": "at least", "√": "the square root of", "§": "section", "©": "copyright", "→": "to", "@": "at",
    "²": "squared", "³": "cubed", "°": "degrees", "<": "less than", ">": "greater than", "%": "percent",
    "#": "number", "~": "about", "|": ",", "_": " ", "*": " ", "\\": "backslash", "^": "to the power of",
    "‰": "per mille",
}  # fmt: skip
_NUMBER = r"\d[\d,]*(?:\.\d+)?"


def spoken_form(text: str) -> str:
    """Returns an English text with everything that is not a plain word written as words; lines stay lines.

    A text of plain words is returned as it is.

    Example:
        >>> spoken_form("It used 5 kWh of $2bn. See No. 5, e.g. at 7:30 pm.")
        'It used five kilowatt hours of two billion dollars. See number five, for example at seven thirty p m.'
        >>> spoken_form("Nobody knew his name.")
        'Nobody knew his name.'
    """
    return "".join(map(_line, text.splitlines(keepends=True))) if _TO_READ.search(text) else text


def _line(line: str) -> str:
    if not _TO_READ.search(line):
        return line
    words = _LINK.sub(_link, unicodedata.normalize("NFC", line))
    for pattern, spoken in _rules():
        words = pattern.sub(spoken, words)
    words = _reader()(words)
    words = re.sub(r"(?<=[A-Za-z])/(?=[A-Za-z])", " ", words)  # "and/or"
    words = re.sub(r"[+→@²³°<>%#~|_*\\‰]", lambda found: f" {_SYMBOLS[found[0]]} ", words)
    words = re.sub(r" +([,.;:!?])", r"\1", re.sub(r"[ \t]+", " ", words)).strip()
    return words + line[len(line.rstrip("\r\n")) :]


@lru_cache(maxsize=1)
def _reader() -> Callable[[str], str]:
    from damga import Normalizer

    return Normalizer("tn", "en").normalize


@lru_cache(maxsize=1)
def _rules() -> list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]:
    """Returns what is rewritten before damga reads a line, in this order."""

    def one_of(words: dict[str, str]) -> str:
        return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))

    def unit(found: re.Match[str]) -> str:
        name = _UNITS[found[2]]
        first, _, rest = name.partition(" ")
        one = (
            (first.removesuffix("s") + (f" {rest}" if rest else "")) if rest[:3] == "per" else name.removesuffix("s")
        )
        return f"{found[1]} {one if found[1] == '1' else name}"

    return [
        (re.compile(r"[½⅓⅔¼¾⅛⅜⅝⅞]"), lambda m: f" {unicodedata.normalize('NFKC', m[0]).replace('⁄', '/')}"),
        (re.compile(r"(?<!\d)[1-9]\d{0,2}(?:[ \u00a0\u202f]\d{3}){2,}(?!\d)"), lambda m: re.sub(r"\s", "", m[0])),
        (re.compile(r"(\d)['′](\d{1,2})(?:[\"″”]|'')?"), r"\1 foot \2"),
        (re.compile(r"\b(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\b"), _date),
        (re.compile(r"(?<![\w.-])(?<!\) )(\d{3})-(\d{4})(?![\w-])"), lambda m: f"{' '.join(m[1])}, {' '.join(m[2])}"),
        (re.compile(r"\b(\d{1,3}):(\d)\b(?!:)"), r"\1 to \2"),
        (re.compile(rf"\b({_NUMBER})\s?({one_of(_MONEY)})(?!\w)"), lambda m: f"{m[1]} {_MONEY[m[2]]}"),
        (re.compile(rf"(?<!\w)({one_of(_MONEY)})\s?({_NUMBER})"), lambda m: f"{m[2]} {_MONEY[m[1]]}"),
        (re.compile(rf"(?<![\w.])({_NUMBER})\s?({one_of(_UNITS)})(?![\w²³/])"), unit),
        (re.compile(rf"\b({one_of(_WORDS)})\.(?=,|\s+\S)"), lambda m: _WORDS[m[1]]),
        (re.compile(rf"\b({one_of(_WORDS)})(?=\.\s*$)"), lambda m: _WORDS[m[1]]),
        (re.compile(rf"\b({one_of(_BEFORE_NUMBER)})\. ?(?=\d)", re.I), lambda m: f"{_BEFORE_NUMBER[m[1].lower()]} "),
        (re.compile(r"\b([A-G])#"), r"\1 sharp"),
        (re.compile(r"\b(chapter|part|act|scene|volume|book|section|phase)(?= [IVXLC]+\b)"), lambda m: m[1].title()),
        (re.compile(r"#\s?(?=\d)"), "number "),
        (re.compile(r"#(?=[A-Za-z])"), "hashtag "),
        (re.compile(r"\bRs\.? ?(?=\d)"), "₹"),
        (re.compile(r"\bv(?=\d)"), "version "),
        (re.compile(r"(?<=[\w)])\s?\+\s?(?=[\w(])"), " plus "),
        (re.compile(r"(?<!m)(?<!ft)[²³]|[&=×÷±≤≥√§©^]"), lambda m: f" {_SYMBOLS[m[0]]} "),
        (re.compile(r"(\d) ?([ap])\.m\.(?=\s+[A-Z]|\s*$)"), r"\1 \2m."),
        (re.compile(r"(\d)([ap]m)\b"), r"\1 \2"),
        (re.compile(r"\b(\d{3,4})p\b"), r"\1 P"),
        (re.compile(r"\b([A-Z]{2,4})(?=\d+(?!\d*s\b))"), lambda m: f"{' '.join(m[1])} "),  # "CO2" is C O two
    ]


def _date(found: re.Match[str]) -> str:
    """Returns the date of ISO 8601 for month/day/year, or day/month/year where the first number is no month."""
    first, second, year = found.groups()
    month, day = (first, second) if int(first) <= 12 else (second, first)
    year = year if len(year) == 4 else f"{19 if int(year) > 50 else 20}{year}"
    return f"{year}-{int(month):02}-{int(day):02}"


def _link(found: re.Match[str]) -> str:
    link = found["any"] or found["plain"]
    address = link.rstrip(".,;:!?/")
    return (
        "".join(_MARKS.get(character, character) for character in address)
        + link.rstrip("/")[len(address.rstrip("/")) :]
    )
