"""Patterns of personal data, secrets, instructions to a model, and code, as data: one line each, with a name.

What counts as personal data is what reaches a private person or opens what is theirs: addresses of mail, network and
home, phone numbers, cards, bank accounts, identity documents, dates of birth. The name of a person does not: who leads
a country is a fact, and names are what facts are about. Ages, nationalities, titles, places and years do not either.
"""

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


_CAP = r"(?-i:[A-Z\u00c0-\u00de\u0100-\u024f\u0370-\u03ab\u0400-\u042f])[\w.\u2019'-]*"
_NOT_A_MONTH = (
    r"(?!(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)[a-z]*\b|(?:est|census|km|sq|m|ft|mi|nm|gmt|utc)\b)"
)
_STREET = (
    r"(?:street|str|st|avenue|ave|av|road|rd|lane|ln|drive|dr|crescent|cres|terrace|ter|boulevard|blvd|court|ct|circle|"
    r"cir|place|pl|square|sq|way|loop|cove|coves|bypass|trail|trl|parkway|pkwy|highway|hwy|alley|row|mews|close|walk|"
    r"turnpike|tpke|pike|plaza|expressway|freeway|route|path|grove|heights|gardens|manor|landing|crossing|creek|glen|"
    r"hollow|junction|ridge|spur|springs|stravenue|trafficway|tunnel|viaduct|vista|meadows|mills|motorway|orchard|"
    r"overpass|underpass|throughway|estates?|extension|ferry|knolls?|inlet|ramp|shoals?|skyway)"
)
_STREET_WORD = (
    r"[^\W\d_][\w.-]*(?:stra(?:\u00df|ss)e|str\.|straat|gatan|gata|gade|v(?:\u00e4|a)gen|vegen|veien|vej|weg|gasse|platz|"
    r"allee|laan|plein|kade|katu|kuja|polku|puisto|puistotie|str(?:\u00e6|ae)ti|ger(?:\u00f0|d)i|braut|t(?:\u00fa|u)n|"
    r"vegur|(?<=[a-z])tie|tee|iela|utca|ulice|ulica)"
)
_STREET_TITLE = (
    r"(?:rue|avenida|calle|via|viale|vicolo|corso|piazza|largo|rua|travessa|pra(?:\u00e7|c)a|quai|all(?:\u00e9|e)e|chemin|"
    r"impasse|carrer|calz(?:\u00e1|a)da|paseo|plaza|ul\.|ulica|ulice|al\.|os\.|pl\.|aleja|trg|cesta)"
)
_AFTER_A_NAME = (
    r"(?:u\.|utca|\u00fatja|(?:\u00fat|ut)|t\u00e9r|k\u00f6z|ulice|n\u00e1m(?:\u011bst\u00ed|\.)|t\u0159\u00edda|trg|cesta|"
    r"tee|t\u00e4nav|pst|mnt|iela|gatv\u0117)"
)
_DWELLS = (
    r"\b(?:address(?:es)?|lives?|living|lived|resid(?:es?|ing)|moved?|moving|deliver(?:ed|y)?|ship(?:ped|ping)?|sent|send|mail"
    r"(?:ed)?|drops? (?:you|me|us|him|her|them) off|picks? (?:you|me|us|him|her|them) up|meet (?:me|us|him|her)|"
    r"(?:please )?return(?: it)?|stop|office|located|house)\b"
)
_HOUSE = rf"(?:\d{{1,6}}[a-z]?,? {_CAP}|{_CAP} {_NOT_A_MONTH}\d{{1,5}}[a-z]?)"

PERSONAL = (
    _pattern("an e-mail address", r"(?<![\w.+-])[\w.+-]+\s?(?:@|\(at\)|\[at\])\s?[\w-]+(?:\.[\w-]+)+"),
    _pattern("a card number", r"(?<![\w.-])(?<!isbn )(?<!isbn: )(?:\d[ -]?){11,18}\d(?![\w-])", "luhn"),
    _pattern("a bank account number", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", "iban"),
    _pattern("a national identity number", r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
    _pattern("a national identity number", r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b"),
    _pattern(
        "an identity document",
        r"\b(?:ssn|social security|passport|driv(?:er'?s?|ing) licen[cs]e|national id(?:entity)?|id card|tax id|nino|"
        r"insurance number|personnummer)\b[^\d]{0,20}[A-Z]{0,3}[\d][\d -]{4,}",
    ),
    _pattern(
        "a network address",
        r"(?<![\w.:])(?<!version )(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.]\d|\w)",
    ),
    _pattern(
        "a network address",
        r"(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])|\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b",
    ),
    _pattern(
        "a phone number",
        r"(?<![\w+.-])(?:\+|00)\d{1,3}[ ./-]?(?:\(0\))?\(?\d{1,4}\)?(?:[ ./-]?\d{2,4}){2,4}(?![\w-])",
        "phone",
    ),
    _pattern(
        "a phone number", r"(?<![\w.,-])(?<!isbn )0\d{1,4}(?:[ ./-]?\d{2,4}){2,4}(?: ?x\d{1,5})?(?![\w-])", "phone"
    ),
    _pattern("a phone number", r"(?<!\w)\(\d{2,5}\) ?\d{2,4}[ -]?\d{2,4}(?![\w-])"),
    _pattern("a phone number", r"(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?: ?x\d{1,5})?(?!\w)"),
    _pattern("a phone number", r"\b(?:tel|phone|mobile|cell|call|fax)\b[.:]?[^\d+]{0,12}\+?\d[\d ()./-]{5,}\d"),
    _pattern(
        "a phone number",
        r"\b(?:call(?:ed|ing)?|dial(?:l?ed)?|ring|text(?:ed|ing)?|messages?|sms|answer(?:ing|ed)?|reach(?:ed|able)?|"
        r"contact(?:ed)?|registered|my number|phone|mobile|extension|line)\b[^\d.!?]{0,24}"
        r"(?<![\w.,-])\(?\d{2,4}\)?(?:[ -]\d{2,4}){1,4}(?![\w,-]|\.\d)",
        "local",
    ),
    _pattern(
        "a postal address of a home",
        rf"\b\d{{1,6}}[a-z]?,? (?:(?:[nsew]|north|south|east|west)\.? )?(?:{_CAP} ){{1,3}}{_STREET}\b\.?",
        "house",
    ),
    _pattern(
        "a postal address of a home",
        r"\b\d{1,6} (?:[^\W\d_][\w.'-]* ){1,3}(?:\d{1,5}[a-z]? )?(?:st|str|street)\b\.?(?! [A-Z])",
    ),
    _pattern("a postal address of a home", r"\b(?:apt|apartment|flat|suite|unit|room|bldg)\.? ?(?:no\.? ?)?#? ?\d+\b"),
    _pattern("a postal address of a home", rf"\b(?=[\w.-]{{4,40}} \d){_STREET_WORD} \d{{1,5}}[a-z]?\b"),
    _pattern("a postal address of a home", rf"\b{_STREET_TITLE} (?:[^\W\d_][\w.'-]* ?){{1,4}},? \d{{1,5}}\b", "house"),
    _pattern("a postal address of a home", rf"\b{_CAP} {_AFTER_A_NAME} \d{{1,4}}\b"),
    _pattern(
        "a postal address of a home",
        rf"(?<![\w.,-])\d{{1,6}} {_NOT_A_MONTH}(?:{_CAP} ){{1,4}}{_NOT_A_MONTH}\d{{1,4}}[a-z]?\b"
        r"(?![,.]?\d| (?:km|est))",
        "house",
    ),
    _pattern(
        "a postal address of a home",
        r"\b(?:PSC|CMR|Unit|USNS|USCGC|USNV|USS) [\w ]{1,20},? (?:Box \d+|(?:APO|FPO|DPO) (?:AA|AE|AP)\b)|"
        r"\b(?:APO|FPO|DPO),? (?:AA|AE|AP) \d{5}\b",
    ),
    _pattern("a postal address of a home", rf"\bcorner of {_CAP}[^.!?]{{0,40}} and {_CAP}"),
    _pattern(
        "a postal address of a home", rf"{_DWELLS}[^\d.!?;]{{0,48}}?(?<![\w.,-]){_HOUSE}(?![\w%]|[,.]\d)", "house"
    ),
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

MAY_BE_PERSONAL = re.compile(
    r"\d|@|\((?:at|AT)\)|\[(?:at|AT)\]|(?i:address|lives at|corner of|private key|pass(?:word|wd)|pwd|api|secret|"
    r"(?:sk|pk|rk|ghp|gho|glpat|xox[abp])[-_]|AKIA|ASIA|eyJ)"
)
"""What every hit of `PERSONAL` and `SECRETS` has; a text without it need not be compared with them."""
