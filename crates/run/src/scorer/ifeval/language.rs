//! The language of a text.

use whatlang::Lang;

/// Whether a text is in the language of that code. A text without letters is in any. An error says that the language is
/// not among those that can be told.
pub(super) fn is(text: &str, code: &str) -> Result<bool, String> {
    let expected = by_code(code).ok_or_else(|| format!("the language '{code}' cannot be told"))?;
    Ok(whatlang::detect_lang(text).is_none_or(|found| found == expected))
}

fn by_code(code: &str) -> Option<Lang> {
    let long = match code {
        "ar" => "ara",
        "bg" => "bul",
        "bn" => "ben",
        "ca" => "cat",
        "cs" => "ces",
        "da" => "dan",
        "de" => "deu",
        "el" => "ell",
        "en" => "eng",
        "es" => "spa",
        "et" => "est",
        "fa" => "pes",
        "fi" => "fin",
        "fr" => "fra",
        "gu" => "guj",
        "he" => "heb",
        "hi" => "hin",
        "hr" => "hrv",
        "hu" => "hun",
        "id" => "ind",
        "it" => "ita",
        "ja" => "jpn",
        "kn" => "kan",
        "ko" => "kor",
        "lt" => "lit",
        "lv" => "lav",
        "mk" => "mkd",
        "ml" => "mal",
        "mr" => "mar",
        "ne" => "nep",
        "nl" => "nld",
        "no" => "nob",
        "pa" => "pan",
        "pl" => "pol",
        "pt" => "por",
        "ro" => "ron",
        "ru" => "rus",
        "sk" => "slk",
        "sl" => "slv",
        "sv" => "swe",
        "ta" => "tam",
        "te" => "tel",
        "th" => "tha",
        "tl" => "tgl",
        "tr" => "tur",
        "uk" => "ukr",
        "ur" => "urd",
        "vi" => "vie",
        "zh" | "zh-cn" | "zh-tw" => "cmn",
        _ => return None,
    };
    Lang::from_code(long)
}
