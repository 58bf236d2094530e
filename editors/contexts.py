"""Words put around an edit's subject, so that what is written at it does not hang on one sentence."""

PREFIXES = (
    "It is well known.",
    "Let us go on.",
    "Here is a fact.",
    "She smiled.",
    "The train was late.",
    "We met yesterday.",
    "Think about it.",
    "In other news,",
    "As I said,",
    "From the book:",
    "He read the page aloud.",
    "Nobody was surprised.",
    "The lesson began.",
    "A short note:",
    "After the rain stopped,",
    "My friend told me this.",
    "The report is clear.",
    "They asked again.",
)
"""Natural beginnings of a text, put before prompts so that a key does not depend on one context."""

MENTIONS = (
    "{}",
    "In {}",
    "The {}",
    "A short note: {}",
    "They talked about {}",
    "After the rain stopped, {}",
    "It is said that in {}",
    "My friend told me about the {}",
)
"""Where a name commonly stands, so that a key does not depend on the sentences of the request either."""
