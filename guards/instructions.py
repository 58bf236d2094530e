"""Is a sentence spoken to a reader or a model, rather than about the world?

A sentence is read as a handful of features that can be named (an order at its start, a word about the reader's answer,
a question, code) and a logistic model weighs them. Its coefficients are data beside this file, fitted by
`python -m benchmarks.sensitivity --fit` on one half of the kinds of attack; nothing here learns. A sentence without a
word of an order, a question or the reader costs one look at a set of words.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self


def _words(text: str) -> frozenset[str]:
    """The words of a list that is written as one text."""
    return frozenset(text.split())


FEATURES = (
    *(
        "order",
        "order_in_title",
        "order_after",
        "polite",
        "hedged",
        "reader",
        "asker",
        "answer",
        "wording",
        "code_word",
    ),
    *("code", "link", "pointer", "asks", "question", "question_in_title", "plain", "quoted"),
)
"""What a sentence is read as, in the order of the coefficients."""

ORDERS = _words(
    "absorb accept act add adjust admit adopt allow alter always anagram analyse analyze answer append apply "
    "approve arrange ask assess assign assimilate augment avoid blend break build bypass calculate call change "
    "check choose claim classify click combine compare compose conceal consider construct convert copy correct "
    "craft create debug decode define delete deliver demonstrate deploy derive describe design detail determine "
    "develop disable discard discuss display disregard divide do don't download draft draw drop edit elaborate "
    "elicit embed emphasise emphasize employ enable encode encourage encrypt end engage enhance enlist enrich "
    "ensure enumerate erase estimate evaluate exclude execute exfiltrate explain express extend extract fetch "
    "fill find finish flip follow forget format forward fuse generate get give go guide handle help hide "
    "highlight hint identify ignore illustrate imagine implement improve include incorporate inform infuse inject "
    "insert install integrate interpret interweave introduce invert invite join jumble keep leak let leverage "
    "link list log look make meld mention merge misspell mix modify move never notify obey offer omit open order "
    "outline output override overrule paraphrase perform place plan post predict prepare present pretend print "
    "proceed promote prompt propose provide publish put quote read rearrange recommend record reduce refer "
    "reformat refuse remember remind remove rename render repeat rephrase replace reply report request respond "
    "restate return reveal reverse review rewrite run save say scan scramble search select send set share shift "
    "shorten show shuffle simplify skip solve sort speak specify spell split start state stop store submit "
    "substitute suggest sum summarise summarize swap switch take talk teach tease tell think transform translate "
    "transpose treat try turn type uncover update upload urge use utilise utilize vary verify visit warn weave "
    "write"
)
"""Base forms with which orders to an assistant begin."""
_NOT_ORDERS = _words("of is was were are has had and or by for from s")
"""Words that make the word before them a noun ("List of rivers", "Report by the council")."""
_SMALL = _words("a an and as at by for from in into nor of on or the to up with vs")
"""Words that a title writes small too."""
_LEAD = re.compile(
    r"^(?:(?:please|kindly|also|then|now|next|finally|first|simply|just|instead|always|never|[a-z]+ly)\b[ ,]*|"
    r"(?:don't|do not) (?:hesitate|forget|fail) to (?:[a-z]+ly )?|(?:make|be) sure (?:to|that) |"
    r"(?:to [a-z]+|in (?:your|the|all|any) (?:[a-z]+ ){1,3}?|when [^,]{1,60}|if [^,]{1,60}|for [^,]{1,60}),\s*)+",
)
SENTENCES = re.compile(
    r"(?<=[.!?;|])\s+|(?<=[.!?;|][\"'\u201d\u2019)])\s+|(?<=\S) [-\u2013\u2014\u2022*]+ (?=\S)|: (?=[A-Z])"
)
"""Where a folded text falls into sentences, items of a list, and what follows a colon."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_QUOTES = "\"'\u201c\u2018"
_QUESTION = re.compile(r"\?[.!?\s]*[\"'\u201d\u2019)\s]*$")
_TRIGGERS = ORDERS | _words(
    "ai anything are assistant attention can chatbot command could credentials dan data dear developer did do "
    "does everything from god has have hey how human i important inst instead instruction instructions is "
    "jailbreak just llm mark me model must my new note now only please role row should simply sys system user "
    "what when where which who why will would you your yours"
)
_MARKS = re.compile(r"[<>\[\]#:?`{}=|$]")
_TRACES: Mapping[str, re.Pattern[str]] = {
    "polite": re.compile(r"\b(?:please|kindly)\b|\b(?:can|could|would|will) you\b"),
    "hedged": re.compile(
        r"\b(?:don't|do not) (?:hesitate|forget|fail)\b|\b(?:keep in mind|make sure|be sure|you (?:may|might|should|"
        r"must|need)|your \w+ (?:should|could|must|may|will)|ensure (?:that|the|a))\b"
    ),
    "reader": re.compile(r"\b(?:you|your|yours|yourself)\b"),
    "asker": re.compile(r"\b(?:me|my|i|i'm|i'd)\b"),
    "answer": re.compile(
        r"\b(?:answers?|respon[sc]es?|repl(?:y|ies)|outputs?|summar(?:y|ies)|completions?|conversations?|users?)\b"
    ),
    "wording": re.compile(
        r"\b(?:letters?|vowels?|consonants?|words?|sentences?|paragraphs?|spaces?|spacing|typos?|misspellings?|punctuation|"
        r"characters?|symbols?|anagrams?|keywords?|capitals|uppercase|lowercase)\b"
    ),
    "code_word": re.compile(
        r"\b(?:code(?:base)?|snippets?|scripts?|functions?|implementation|solution|algorithm|excerpt|block|prompt|"
        r"instructions?|system)\b"
    ),
    "code": re.compile(
        r"```|\bimport [a-z]\w*|\b\w+\.\w+\(|\b\w+\([^)]*\)\s*[;{:]|\bdef \w+\(|</?[a-z][^>]*>|\{\{|\$\(|&&|;\s*$|==|"
        r"\bsudo\b|\bcurl -|\brm -"
    ),
    "link": re.compile(r"https?://|\bwww\.|\b[a-z0-9-]{3,}\.(?:com|net|org|xyz|io|info|biz|ru|co)\b|[\w.+-]+@[\w-]+\."),
    "pointer": re.compile(r"\b(?:following|subsequent|below|this (?:code|text|row|prompt|message))\b"),
    "quoted": re.compile(r"[\"\u201c\u201d\u00ab\u00bb]|(?<!\w)['\u2018]\w[^'\u2019]{3,}['\u2019](?!\w)"),
}
_ASKS = re.compile(
    r"^(?:what(?:'s| is| are| was| were| do| does| did| would)?|who(?:'s)?|how|why|which|can|could|would|"
    r"will|do|does|did|is|are|should|have|has|"
    r"(?:when|where)(?:'s| (?:is|are|was|were|do|does|did|will|would|can|could|should|has|have|had)))\b"
)
"""Words with which a question begins; "when" and "where" begin clauses more often, unless a verb comes next."""


def words_of(text: str) -> frozenset[str]:
    """The words of a text, lower case; of other scripts than Latin it has none."""
    return frozenset(_WORD.findall(text.replace("\u2019", "'").lower()))


def may_instruct(text: str) -> bool:
    """Whether a folded text has a word or a mark without which no rule and no model calls it an instruction."""
    return _MARKS.search(text) is not None or not _TRIGGERS.isdisjoint(words_of(text))


def sentences(text: str) -> Iterator[str]:
    """The sentences of a folded text; a list's items and what follows a colon count as sentences."""
    for one in SENTENCES.split(text):
        if one and not one.isspace():
            yield one.strip()


def features(sentence: str, prose: bool = False) -> dict[str, bool]:
    """What a sentence is read as, by the names of `FEATURES`.

    Args:
        sentence: folded.
        prose: whether it stands among sentences, where an order or a question in capitals is no title.
    """
    low = sentence.replace("\u2019", "'").lower().lstrip("\"'\u201c\u2018(*-\u2022> ")
    words = _WORD.findall(low)
    found = {name: pattern.search(low) is not None for name, pattern in _TRACES.items()}
    rest = _WORD.findall(_LEAD.sub("", low))
    # A question that is followed by a full stop is one; one that a statement quotes is not.
    tail = low.rstrip("\"'\u201d\u2019).! ") if sentence.startswith(tuple(_QUOTES)) else low
    order, question = _begins_order(rest), _QUESTION.search(tail) is not None
    plain = found["plain"] = prose or _plain(sentence)
    found["order"], found["order_in_title"] = order and plain, order and not plain
    found["question"], found["question_in_title"] = question and plain, question and not plain
    found["order_after"] = any(_begins_order(_WORD.findall(part)) for part in re.split(r"[,:] ", low)[1:])
    found["asks"] = plain and _ASKS.match(low) is not None and len(words) > 3
    return found


def _begins_order(words: list[str]) -> bool:
    """Whether words begin like an order: a verb in its base form, and not what makes it a noun."""
    return len(words) > 1 and words[0] in ORDERS and words[1] not in _NOT_ORDERS


def _plain(sentence: str) -> bool:
    """Whether at least half of the words that a title would write large are lower case: a sentence, not a title."""
    telling = [word for word in sentence.split()[1:] if word[0].isalpha() and word.lower() not in _SMALL]
    return bool(telling) and sum(word[0].islower() for word in telling) * 2 >= len(telling)


@dataclass(frozen=True)
class InstructionModel:
    """A logistic model over `FEATURES`.

    Attributes:
        bias: log odds of a sentence without any feature.
        weights: what each feature adds to the log odds.
        threshold: probability from which a sentence counts as an instruction.
    """

    bias: float
    weights: Mapping[str, float]
    threshold: float

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the coefficients.

        Raises:
            ValueError: they are not those of the features that this module knows.
        """
        values = json.loads(path.read_text(encoding="utf-8"))
        if set(values["weights"]) != set(FEATURES):
            raise ValueError(f"expected weights of {', '.join(FEATURES)}, got {', '.join(values['weights'])}; fit anew")
        return cls(float(values["bias"]), dict(values["weights"]), float(values["threshold"]))

    def probability(self, sentence: str, prose: bool = False) -> float:
        """Probability (0 to 1) that a sentence is an instruction, as odds among sentences as it was fitted on."""
        score = self.bias + sum(self.weights[name] for name, there in features(sentence, prose).items() if there)
        return 1.0 / (1.0 + math.exp(-score))

    def hit(self, text: str, prose: bool = False) -> str:
        """The first sentence of a folded text that counts as an instruction; empty if none does."""
        return next((one for one in sentences(text) if self.probability(one, prose) >= self.threshold), "")


COEFFICIENTS = Path(__file__).with_name("instructions.json")


@cache
def shipped() -> InstructionModel:
    """The model whose coefficients travel with this module."""
    return InstructionModel.read(COEFFICIENTS)
