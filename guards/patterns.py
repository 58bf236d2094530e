"""Patterns of personal data, secrets, instructions to a model, and code, as data: one line each, with a name."""

import re
from typing import NamedTuple


class Pattern(NamedTuple):
    """A named pattern.

    Attributes:
        name: what it finds, for a person.
        regex: compared without regard to case.
        check: name of a test on its digits that a hit must also pass; empty for none.
    """

    name: str
    regex: re.Pattern[str]
    check: str = ""


def _pattern(name: str, regex: str, check: str = "") -> Pattern:
    return Pattern(name, re.compile(regex, re.IGNORECASE), check)


PERSONAL = (
    _pattern("an e-mail address", r"[\w.+-]+\s?(?:@|\(at\)|\[at\])\s?[\w-]+(?:\.[\w-]+)+"),
    _pattern("a card number", r"(?<![\w.-])(?:\d[ -]?){11,18}\d(?![\w-])", "luhn"),
    _pattern("a bank account number", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", "iban"),
    _pattern("a national identity number", r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
    _pattern("a national identity number", r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b"),
    _pattern(
        "an identity document",
        r"\b(?:ssn|social security|passport|driv(?:er'?s?|ing) licen[cs]e|national id(?:entity)?|id card|tax id|nino|"
        r"insurance number|personnummer)\b[^\d]{0,20}[A-Z]{0,3}[\d][\d -]{4,}",
    ),
    _pattern(
        "a phone number",
        r"(?<![\w+.-])(?:\+|00)\d{1,3}[ ./-]?(?:\(0\))?\(?\d{1,4}\)?(?:[ ./-]?\d{2,4}){2,4}(?![\w-])",
        "phone",
    ),
    _pattern("a phone number", r"(?<![\w.,-])0\d{1,4}(?:[ ./-]?\d{2,4}){2,4}(?: ?x\d{1,5})?(?![\w-])", "phone"),
    _pattern("a phone number", r"(?<!\w)\(\d{2,5}\) ?\d{2,4}[ -]?\d{2,4}(?![\w-])"),
    _pattern("a phone number", r"(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?: ?x\d{1,5})?(?!\w)"),
    _pattern("a phone number", r"\b(?:tel|phone|mobile|cell|call|fax)\b[.:]?[^\d+]{0,12}\+?\d[\d ()./-]{5,}\d"),
    _pattern(
        "a postal address of a home",
        r"\b\d{1,5}[a-z]?,? (?:(?:[nsew]|north|south|east|west)\.? )?(?:(?-i:[A-Z\u00c0-\u00de])[\w.'-]* ){1,3}"
        r"(?:street|str|st|avenue|ave|road|rd|lane|ln|drive|crescent|terrace|boulevard|blvd)\b\.?",
    ),
    _pattern("a postal address of a home", r"\b(?:apt|apartment|flat|suite|unit)\.? ?(?:no\.? ?)?#? ?\d+\b"),
    _pattern("a postal address of a home", r"\b[\w.-]*(?:stra(?:ß|ss)e|straat|gatan|weg|gasse) \d{1,4}[a-z]?\b"),
    _pattern("a postal address of a home", r"\b(?:rue|avenida|calle|via|rua) (?:[^\W\d_][\w.'-]* ?){1,4},? \d{1,4}\b"),
    _pattern("a postal address of a home", r"\b(?:home|private|residential)[ _]address\b|\blives at\b"),
    _pattern("a date of birth with a name", r"\b(?:date of birth|d\.?o\.?b\.?)\b\W{0,3}\d"),
)

SECRETS = (
    _pattern("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    _pattern("an access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    _pattern("an access token", r"\b(?:sk|pk|rk|ghp|gho|glpat|xox[abp])[-_][\w-]{16,}"),
    _pattern("an access token", r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"),
    _pattern("a password", r"\b(?:password|passwd|pwd|api[_ -]?key|secret[_ -]?key)\b\s*(?:is|[:=])\s*\S{4,}"),
)

_OLD = r"(?:previous|prior|above|earlier|preceding|other|former|existing|system|your|all)"
_ORDERS = r"(?:instructions?|rules?|prompts?|guidelines?|directions?|commands?|context|facts?|policy|policies|orders?)"
INSTRUCTIONS = (
    _pattern(
        "an instruction to ignore others",
        rf"\b(?:ignore|disregard|forget|override|bypass|skip|overrule|discard)\b.{{0,30}}\b{_OLD}\b.{{0,30}}\b{_ORDERS}\b",
    ),
    _pattern("an instruction to ignore others", r"\b(?:ignore|disregard|forget) (?:everything|anything|all of|what) "),
    _pattern(
        "a new role", r"\b(?:you are now|from now on|pretend (?:to be|you)|act as (?:an?|if|the)|new instructions?)\b"
    ),
    _pattern("a mention of the system prompt", r"\b(?:system|developer) (?:prompt|message|instruction|override)\b"),
    _pattern(
        "an instruction how to answer",
        r"\b(?:always|only|instead|just|must|simply|please)\W+(?:\w+\W+)?"
        r"(?:answer|reply|respond|say|output|print|write|tell|return|repeat|recommend|mention|state|claim)\b",
    ),
    _pattern(
        "an instruction how to answer",
        r"\b(?:answer|reply|respond|output|return)\b.{0,20}\b(?:with|only|exactly|instead|as follows|that)\b",
    ),
    _pattern(
        "a word about the answer",
        r"\byour (?:next |final |whole )?(?:answers?|respon[sc]es?|repl(?:y|ies)|messages?|outputs?|summary)\b",
    ),
    _pattern(
        "a request",
        r"^\W*(?:(?:can|could|would|will) you|(?:please )?(?:explain|describe|write|draft|compose|provide|develop|"
        r"translate|summari[sz]e|convert|replace|render|introduce|generate|rewrite|encode|list|suggest|recommend|promote|"
        r"advertise|insert|append|offer|respond|analy[sz]e|identify|outline))\b (?:\w+ ){2,}",
    ),
    _pattern(
        "a question", r"^\W*(?:what|who|how|why|when|where|which|can|could|should|does)\b.{0,12}(?: \w+){5,}.*\?\W*$"
    ),
    _pattern("an instruction to act", r"\b(?:do not|don't|never) (?:tell|mention|reveal|answer|verify|check|report)\b"),
    _pattern(
        "an instruction to act",
        r"\b(?:approve|accept|admit|mark|treat|delete|remove|drop|execute|run|send|forward|reveal|leak|publish|"
        r"exfiltrate|set)\b.{0,30}\b(?:this row|this fact|all (?:rows|facts|other)|rows below|following rows|prompt|"
        r"command|credentials|passwords?|data to|as trusted|as verified|without (?:check|review|approval))\b",
    ),
    _pattern(
        "a word to an assistant",
        r"\b(?:attention|note to|dear|hey|important),? (?:the )?(?:ai|llm|assistant|model|chatbot)\b",
    ),
    _pattern(
        "a role tag", r"<\|?/?(?:im_start|im_end|system|user|assistant|endoftext|eot_id|s|inst|tool)\b[^>]{0,20}\|?>"
    ),
    _pattern(
        "a role tag", r"\[/?(?:INST|SYS|SYSTEM|ASSISTANT|USER)\]|<</?SYS>>|^\W{0,3}(?:system|assistant|user|human)\s*:"
    ),
    _pattern("a role tag", r"#{2,} ?(?:instruction|system|response|user|assistant|input)\b"),
    _pattern("a jailbreak", r"\b(?:jailbreak|DAN mode|developer mode|god mode|do anything now)\b"),
)

CODE = (
    _pattern("a link", r"(?:https?|ftp|file|javascript|data|vbscript):(?://|\S)|\bwww\.\w"),
    _pattern("markup", r"<\s*/?\s*[a-z!][^>]{0,200}>|&(?:#\d+|#x[0-9a-f]+|lt|gt);"),
    _pattern("a template", r"\{\{.*?\}\}|\{%.*?%\}|\$\{.*?\}|<%.*?%>"),
    _pattern("a code block", r"```|`[^`]+`"),
    _pattern(
        "code",
        r"\b(?:eval|exec|system|subprocess|__import__|require|fetch|print)\s*\(|\bimport (?:os|sys|subprocess)\b",
    ),
    _pattern(
        "a database command",
        r"\b(?:drop|truncate|alter) table\b|\bdelete from\b|\bunion select\b|'\s*or\s+'?1'?\s*=|;\s*--",
    ),
    _pattern("a shell command", r"\brm -[rf]+\b|\b(?:curl|wget|sudo|chmod|bash -c|powershell)\s+\S|\$\([^)]+\)"),
    _pattern("a spreadsheet formula", r"^\s*[=@+]\s*(?:[A-Z]{2,}\(|cmd\b)"),
    _pattern("encoded text", r"(?:[A-Za-z0-9+/]{48,}={0,2})"),
)
