//! The last number of the answer, in the many ways in which numbers are written.
//!
//! A comma groups thousands; `3,5` can be a decimal or two numbers, and is not read. Per cent are compared as they
//! stand and as hundredths.

use super::Verdict;

/// A number with the way in which it was written.
#[derive(Clone, Debug, PartialEq)]
struct Number {
    value: f64,
    /// Sign and digits without idle zeros, where it is a plain decimal: exact however long it is.
    plain: Option<String>,
    percent: bool,
}

/// What can be wrong with the last number of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unread {
    NoNumber,
    Comma,
    NotFinite,
}

pub(super) fn score(tolerance: f64, answer: &str, targets: &[String]) -> Verdict {
    let read = match last(answer) {
        Ok(read) => read,
        Err(Unread::NoNumber) => return Verdict::Unread("there is no number in the answer".into()),
        Err(Unread::Comma) => {
            return Verdict::Unread("the last number can be a decimal with a comma or two numbers".into());
        }
        Err(Unread::NotFinite) => return Verdict::Unread("the last number divides by zero or is too large".into()),
    };
    let targets: Vec<Number> = targets.iter().filter_map(|target| last(target).ok()).collect();
    if targets.is_empty() {
        return Verdict::Failed("the target of the sample is no number".into());
    }
    let shown = read.plain.clone().unwrap_or_else(|| read.value.to_string());
    Verdict::right_or_wrong(targets.iter().any(|target| equal(&read, target, tolerance)), &shown)
}

fn equal(a: &Number, b: &Number, tolerance: f64) -> bool {
    let near = |x: f64, y: f64| (x - y).abs() <= tolerance.max(1e-12 * x.abs().max(y.abs()));
    let same = match (&a.plain, &b.plain) {
        (Some(x), Some(y)) => x == y || (tolerance > 0.0 && (a.value - b.value).abs() <= tolerance),
        _ => near(a.value, b.value),
    };
    let hundredths = |x: &Number| if x.percent { x.value / 100.0 } else { x.value };
    same || (a.percent != b.percent && near(hundredths(a), hundredths(b)))
}

/// The last number of a text.
fn last(text: &str) -> Result<Number, Unread> {
    let chars = plain_chars(text);
    let mut at = 0;
    let mut found = Err(Unread::NoNumber);
    while at < chars.len() {
        let starts = begins(&chars, at);
        // Digits within a word, as in H2O, are no number.
        if starts && (at == 0 || !(chars[at - 1].is_ascii_alphabetic() || chars[at - 1] == '_')) {
            let (number, end) = read(&chars, at);
            found = number;
            at = end;
        } else if starts {
            at = skip_digits(&chars, at + 1);
        } else {
            at += 1;
        }
    }
    found
}

fn begins(chars: &[char], at: usize) -> bool {
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    digit(at) || (chars[at] == '.' && digit(at + 1) && (at == 0 || !digit(at - 1))) || vulgar(chars[at]).is_some()
}

fn skip_digits(chars: &[char], mut at: usize) -> usize {
    while chars.get(at).is_some_and(char::is_ascii_digit) {
        at += 1;
    }
    at
}

/// Reads the number at `at`, with its sign before it, and says where it ends.
fn read(chars: &[char], at: usize) -> (Result<Number, Unread>, usize) {
    let negative = is_negative(chars, at);
    let (first, end) = decimal(chars, at);
    let Some(first) = first else { return (Err(Unread::Comma), end) };
    let (value, plain, mut end) = fraction(chars, at, first, end);
    let mut percent_at = end;
    while chars.get(percent_at).is_some_and(|c| matches!(c, ' ' | '\\')) {
        percent_at += 1;
    }
    let percent = chars.get(percent_at) == Some(&'%');
    if percent {
        end = percent_at + 1;
    }
    if !value.is_finite() {
        return (Err(Unread::NotFinite), end);
    }
    let value = if negative { -value } else { value };
    let plain = plain.map(|digits| if negative && digits != "0" { format!("-{digits}") } else { digits });
    (Ok(Number { value, plain, percent }), end)
}

/// Goes on after a decimal with what makes it a fraction or a mixed number.
fn fraction(chars: &[char], at: usize, first: Decimal, end: usize) -> (f64, Option<String>, usize) {
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    // 1½
    if let Some(part) = chars.get(end).copied().and_then(vulgar) {
        return (first.value + part, None, end + 1);
    }
    // 3/4, but neither 1/2/2024 nor a part of it.
    let over = |i: usize| chars.get(i) == Some(&'/') && digit(i + 1);
    let dated = at > 1 && chars[at - 1] == '/' && digit(at - 2);
    if over(end) && !dated && first.whole {
        let (below, after) = decimal(chars, end + 1);
        if let Some(below) = below
            && !over(after)
        {
            return (first.value / below.value, None, after);
        }
    }
    // 1 1/2
    if first.whole && chars.get(end) == Some(&' ') && digit(end + 1) {
        let (above, middle) = decimal(chars, end + 1);
        if let Some(above) = above.filter(|above| above.whole && above.digits.len() <= 3)
            && over(middle)
        {
            let (below, after) = decimal(chars, middle + 1);
            if let Some(below) = below.filter(|below| below.whole && above.value < below.value)
                && !over(after)
            {
                return (first.value + above.value / below.value, None, after);
            }
        }
    }
    (first.value, first.plain.then_some(first.digits), end)
}

struct Decimal {
    value: f64,
    /// Without idle zeros.
    digits: String,
    /// Digits alone, without a point, an exponent or a fraction.
    whole: bool,
    /// Without an exponent or a fraction.
    plain: bool,
}

/// Digits with commas, a point and an exponent; `None` where a comma can be read in two ways.
fn decimal(chars: &[char], at: usize) -> (Option<Decimal>, usize) {
    if let Some(value) = vulgar(chars[at]) {
        return (Some(Decimal { value, digits: String::new(), whole: false, plain: false }), at + 1);
    }
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    let mut end = skip_digits(chars, at);
    let mut digits: String = chars[at..end].iter().collect();
    let mut comma_unclear = false;
    if (1..=3).contains(&digits.len()) {
        while chars.get(end) == Some(&',') && digit(end + 1) {
            let group = skip_digits(chars, end + 1);
            let count = group - end - 1;
            // Groups of three, or of two as in India where a group of three ends them.
            let indian = count == 2 && chars.get(group) == Some(&',') && skip_digits(chars, group + 1) - group >= 3;
            if count != 3 && !indian {
                comma_unclear = count < 3;
                end = if comma_unclear { group } else { end };
                break;
            }
            digits.extend(&chars[end + 1..group]);
            end = group;
        }
    }
    if comma_unclear {
        return (None, end);
    }
    let mut whole = true;
    // 1.2.3 is a version or a section, whose first two parts are read.
    if chars.get(end) == Some(&'.') && digit(end + 1) {
        let after = skip_digits(chars, end + 1);
        digits.push('.');
        digits.extend(&chars[end + 1..after]);
        end = after;
        whole = false;
    }
    let mut plain = true;
    let mut number = digits.clone();
    if matches!(chars.get(end), Some('e' | 'E')) {
        let signed = usize::from(matches!(chars.get(end + 1), Some('-' | '+')));
        let after = skip_digits(chars, end + 1 + signed);
        let is_word = chars.get(after).is_some_and(char::is_ascii_alphabetic);
        if after > end + 1 + signed && !is_word {
            number.extend(&chars[end..after]);
            end = after;
            whole = false;
            plain = false;
        }
    }
    let value = number.parse().unwrap_or(f64::NAN);
    (Some(Decimal { value, digits: without_idle_zeros(&digits), whole, plain }), end)
}

fn without_idle_zeros(digits: &str) -> String {
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let digits = digits.trim_start_matches('0');
    match digits {
        "" => "0".into(),
        _ if digits.starts_with('.') => format!("0{digits}"),
        _ => digits.into(),
    }
}

/// Whether a sign stands before the number: not after a digit, a letter or a bracket, where it subtracts or joins.
fn is_negative(chars: &[char], at: usize) -> bool {
    let mut before = at;
    while before > 0 && (currency(chars[before - 1]) || chars[before - 1] == '\\') {
        before -= 1;
    }
    // A currency can be said in letters before its sign: US$5.
    if before == 0 || chars[before - 1] != '-' {
        return false;
    }
    let joined = |c: char| c.is_alphanumeric() || matches!(c, ')' | ']' | '}' | '%' | '-');
    before == 1 || !joined(chars[before - 2])
}

fn currency(c: char) -> bool {
    matches!(c, '$' | '€' | '£' | '¥' | '₹' | '₽' | '₩' | '฿' | '৳')
}

fn vulgar(c: char) -> Option<f64> {
    let (above, below) = match c {
        '½' => (1.0, 2.0),
        '⅓' => (1.0, 3.0),
        '⅔' => (2.0, 3.0),
        '¼' => (1.0, 4.0),
        '¾' => (3.0, 4.0),
        '⅕' => (1.0, 5.0),
        '⅖' => (2.0, 5.0),
        '⅗' => (3.0, 5.0),
        '⅘' => (4.0, 5.0),
        '⅙' => (1.0, 6.0),
        '⅚' => (5.0, 6.0),
        '⅛' => (1.0, 8.0),
        '⅜' => (3.0, 8.0),
        '⅝' => (5.0, 8.0),
        '⅞' => (7.0, 8.0),
        _ => return None,
    };
    Some(above / below)
}

/// The characters of a text with one sign for minus, one kind of digits, one kind of comma and without TeX.
fn plain_chars(text: &str) -> Vec<char> {
    /// The zeros of scripts that have their own digits.
    const ZEROS: [char; 9] = ['٠', '۰', '०', '০', '௦', '౦', '๐', '၀', '０'];
    let text = text.replace("{,}", ",").replace("\\!", "").replace("\\,", "");
    let text = without_tex_fractions(&text);
    text.chars()
        .map(|c| match c {
            '−' | '–' | '‒' | '－' | '﹣' => '-',
            '\u{a0}' | '\u{202f}' | '\u{2009}' => ' ',
            '，' | '٬' => ',',
            '．' | '٫' => '.',
            '％' | '٪' => '%',
            '⁄' | '∕' => '/',
            _ => {
                let own = ZEROS.into_iter().find_map(|zero| {
                    let value = u32::from(c).wrapping_sub(u32::from(zero));
                    (value < 10).then(|| char::from_digit(value, 10)).flatten()
                });
                own.unwrap_or(c)
            }
        })
        .collect()
}

/// `\frac{3}{4}` as `3/4`.
fn without_tex_fractions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\frac{").or_else(|| rest.find("\\dfrac{")).or_else(|| rest.find("\\tfrac{")) {
        out.push_str(&rest[..at]);
        let inner = &rest[at + rest[at..].find('{').unwrap_or(0) + 1..];
        let parts = inner.split_once("}{").and_then(|(above, after)| {
            let (below, after) = after.split_once('}')?;
            let simple = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
            (simple(above) && simple(below)).then_some((above, below, after))
        });
        if let Some((above, below, after)) = parts {
            // A whole number before it makes a mixed number.
            if out.ends_with(|c: char| c.is_ascii_digit()) {
                out.push(' ');
            }
            out.push_str(above);
            out.push('/');
            out.push_str(below);
            rest = after;
        } else {
            out.push(' ');
            rest = inner;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_they_are_written() {
        let check = |text: &str, expect: Result<f64, Unread>| {
            assert_eq!(last(text).map(|number| number.value), expect, "{text}");
        };
        check("18", Ok(18.0));
        check("The answer is 1,234.", Ok(1234.0));
        check("she makes $1,234,567.50 a day.", Ok(1_234_567.5));
        check("1,00,000", Ok(100_000.0));
        check("first 3, then 4", Ok(4.0));
        check("-7", Ok(-7.0));
        check("−7", Ok(-7.0));
        check("-$7", Ok(-7.0));
        check("$-7", Ok(-7.0));
        check("10-4", Ok(4.0));
        check("10 - 4 = 6", Ok(6.0));
        check("3–5", Ok(5.0));
        check("1e3", Ok(1000.0));
        check("2.5E-1", Ok(0.25));
        check("3 eggs", Ok(3.0));
        check("3eggs", Ok(3.0));
        check("3/4", Ok(0.75));
        check("1 1/2", Ok(1.5));
        check("1½ cups", Ok(1.5));
        check("½", Ok(0.5));
        check("\\frac{3}{4}", Ok(0.75));
        check("1\\frac{1}{2}", Ok(1.5));
        check("$\\boxed{1{,}000}$", Ok(1000.0));
        check("5/6/2024", Ok(2024.0));
        check("50%", Ok(50.0));
        check(".5", Ok(0.5));
        check("18.", Ok(18.0));
        check("18.0", Ok(18.0));
        check("২৪", Ok(24.0));
        check("答案是18", Ok(18.0));
        check("it is 5 for H2O", Ok(5.0));
        check("3,5", Err(Unread::Comma));
        check("1/0", Err(Unread::NotFinite));
        check("none", Err(Unread::NoNumber));
        check("", Err(Unread::NoNumber));
    }

    #[test]
    fn numbers_against_targets() {
        let check = |tolerance: f64, answer: &str, target: &str, expect: bool| {
            let (a, b) = (last(answer).expect("number"), last(target).expect("number"));
            assert_eq!(equal(&a, &b, tolerance), expect, "{answer} {target}");
        };
        check(0.0, "18.00", "18", true);
        check(0.0, "018", "18", true);
        check(0.0, "-0", "0", true);
        check(0.0, "1e3", "1000", true);
        check(0.0, "50%", "50", true);
        check(0.0, "50%", "0.5", true);
        check(0.0, "0.5", "50%", true);
        check(0.0, "5%", "0.5", false);
        check(0.0, "1/3", "0.333", false);
        check(0.001, "1/3", "0.333", true);
        check(0.0, "12345678901234567890", "12345678901234567891", false);
        check(0.0, "1234567890", "1234567891", false);
        check(0.01, "3.14", "3.15", true);
        check(0.001, "3.14", "3.15", false);
    }
}
