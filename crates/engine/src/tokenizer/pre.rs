//! The rules that split text into words before byte-pair merging, by the name in `tokenizer.ggml.pre`.
//!
//! The expressions are those of the models' own tokenizer files; the names and groups are the ones that GGUF converters
//! write. Each rule is applied in turn to the pieces that the one before it left. A name is only listed if the rule is
//! known: with a guessed rule most text would still look right, and the numbers would be wrong.

/// How a byte-level vocabulary is applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// The expressions, applied one after the other; what matches is a piece, and what lies between is one too.
    pub(crate) split: &'static [&'static str],
    /// A word that is a token is taken whole, whatever the merges say.
    pub(crate) whole_words: bool,
    /// BOS is added unless the metadata say otherwise.
    pub(crate) adds_bos: bool,
}

const fn plain(split: &'static [&'static str]) -> Rule {
    Rule { split, whole_words: false, adds_bos: false }
}

const fn tiktoken(split: &'static [&'static str]) -> Rule {
    Rule { split, whole_words: true, adds_bos: true }
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const JAIS2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BAILING: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const DEEPSEEK_LETTERS: &str = concat!(
    r"\s?[",
    r"A-Za-z\x{00B5}\x{00C0}-\x{00D6}\x{00D8}-\x{00F6}\x{00F8}-\x{01BA}\x{01BC}-\x{01BF}\x{01C4}-\x{0293}",
    r"\x{0295}-\x{02AF}\x{0370}-\x{0373}\x{0376}\x{0377}\x{037B}-\x{037D}\x{037F}\x{0386}\x{0388}-\x{038A}\x{038C}",
    r"\x{038E}-\x{03A1}\x{03A3}-\x{03F5}\x{03F7}-\x{0481}\x{048A}-\x{052F}\x{0531}-\x{0556}\x{10A0}-\x{10C5}",
    r"\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}",
    r"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}",
    r"\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}",
    r"\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}",
    r"\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}",
    r"\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}",
    r"\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}",
    r"\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}",
    r"\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}",
    r"\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}",
    "]+"
);
const DEEPSEEK_HAN: &str = r"[\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+";
const BLOOM: &str = r" ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{0964}\x{06D4}\x{060C})]+";
const NUMBER: &str = r"\p{N}";
const NUMBERS: &str = r"\p{N}+";
const THREE_DIGITS: &str = "[0-9][0-9][0-9]";

const FOR_DEFAULT: Rule = plain(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, NUMBERS, THREE_DIGITS]);
const FOR_FALCON: Rule = plain(&[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, THREE_DIGITS]);
const FOR_GPT2: Rule = plain(&[GPT2]);
const FOR_STARCODER: Rule = plain(&[NUMBER, GPT2]);
const FOR_LLAMA3: Rule = plain(&[LLAMA3]);
const FOR_QWEN2: Rule = plain(&[QWEN2]);
const FOR_BLOOM: Rule = plain(&[BLOOM]);
const FOR_GPT4O: Rule = plain(&[GPT4O]);
const FOR_BAILING: Rule = plain(&[BAILING]);
const FOR_DEEPSEEK3: Rule =
    plain(&[r"\p{N}{1,3}", r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+", DEEPSEEK3]);

/// Every name that is known, in alphabetic order.
const RULES: &[(&str, Rule)] = &[
    ("a.x-4.0", FOR_GPT2),
    ("bailingmoe", FOR_BAILING),
    ("bailingmoe2", FOR_BAILING),
    ("bloom", FOR_BLOOM),
    ("chatglm-bpe", FOR_LLAMA3),
    ("codeshell", FOR_STARCODER),
    ("command-r", FOR_STARCODER),
    ("dbrx", FOR_LLAMA3),
    ("deepseek-coder", plain(&[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_HAN, NUMBER])),
    (
        "deepseek-llm",
        plain(&[
            r"[\r\n]",
            DEEPSEEK_LETTERS,
            r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+",
            r"\s+$",
            DEEPSEEK_HAN,
            NUMBERS,
        ]),
    ),
    ("deepseek-r1-qwen", FOR_QWEN2),
    ("deepseek-v3", FOR_DEEPSEEK3),
    ("default", FOR_DEFAULT),
    ("exaone", FOR_STARCODER),
    ("exaone-moe", plain(&[EXAONE_MOE])),
    ("exaone4", FOR_GPT2),
    ("falcon", FOR_FALCON),
    ("falcon-h1", tiktoken(&[LLAMA3])),
    ("falcon3", tiktoken(&[LLAMA3])),
    ("gigachat", FOR_GPT2),
    ("glm4", FOR_LLAMA3),
    ("gpt-2", FOR_GPT2),
    ("gpt-4o", FOR_GPT4O),
    ("gpt3-finnish", FOR_BLOOM),
    ("granite-docling", FOR_GPT2),
    ("grok-2", FOR_QWEN2),
    ("hunyuan", FOR_QWEN2),
    ("hunyuan-dense", FOR_DEEPSEEK3),
    ("jais", FOR_GPT2),
    ("jais-2", plain(&[JAIS2])),
    ("joyai-llm", FOR_DEEPSEEK3),
    ("kanana2", FOR_GPT4O),
    ("kormo", FOR_QWEN2),
    ("lfm2", tiktoken(&[LLAMA3])),
    ("llada-moe", FOR_BAILING),
    ("llama-bpe", tiktoken(&[LLAMA3])),
    ("llama-v3", tiktoken(&[LLAMA3])),
    ("llama3", tiktoken(&[LLAMA3])),
    ("llama4", FOR_GPT4O),
    ("megrez", FOR_QWEN2),
    ("mellum", FOR_GPT2),
    ("midm-2.0", tiktoken(&[LLAMA3])),
    ("minerva-7b", FOR_STARCODER),
    ("minimax-m2", FOR_GPT4O),
    ("modern-bert", FOR_GPT2),
    ("mpt", FOR_GPT2),
    ("olmo", FOR_GPT2),
    ("phi-2", FOR_GPT2),
    ("pixtral", tiktoken(&[LLAMA3])),
    ("poro-chat", FOR_BLOOM),
    ("qwen2", FOR_QWEN2),
    ("qwen35", plain(&[QWEN35])),
    ("refact", FOR_STARCODER),
    ("seed-coder", plain(&[SEED])),
    ("smaug-bpe", FOR_LLAMA3),
    ("smollm", FOR_STARCODER),
    ("stablelm2", FOR_QWEN2),
    ("starcoder", FOR_STARCODER),
    ("tekken", tiktoken(&[TEKKEN])),
    ("trillion", FOR_GPT2),
    ("viking", plain(&[BLOOM, NUMBER])),
];

/// The rule of that name.
pub(crate) fn rule(name: &str) -> Option<Rule> {
    let place = RULES.binary_search_by_key(&name, |&(known, _)| known).ok()?;
    RULES.get(place).map(|&(_, rule)| rule)
}

/// The known names, for a message.
pub(crate) fn names() -> String {
    RULES.iter().map(|&(name, _)| name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_every_rule_compiles() {
        assert!(RULES.is_sorted_by_key(|&(name, _)| name));
        for (name, rule) in RULES {
            assert!(super::rule(name).is_some());
            for &expression in rule.split {
                let pattern = tokenizers::pre_tokenizers::split::SplitPattern::Regex(expression.to_owned());
                let made = tokenizers::pre_tokenizers::split::Split::new(
                    pattern,
                    tokenizers::SplitDelimiterBehavior::Isolated,
                    false,
                );
                assert!(made.is_ok(), "{name}: {expression}");
            }
        }
        assert!(super::rule("gpt-5").is_none());
    }
}
