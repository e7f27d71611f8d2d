//! Whether two answers in the notation of the MATH data set are the same, by their text.
//!
//! Reference: `lm_eval/tasks/hendrycks_math/utils.py` of 0.4.13 (`is_equiv`, after Hendrycks et al. 2021), with what it does
//! where it stumbles: then the two texts are compared as they are.

/// Where the function in Python raises.
#[derive(Debug)]
struct Stumbled;

/// `is_equiv`.
pub(crate) fn equivalent(a: &str, b: &str) -> bool {
    match (normal(a), normal(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// What stands between the first and the last dollar sign; the whole text where there are fewer than two.
pub(crate) fn between_dollars(text: &str) -> &str {
    match (text.find('$'), text.rfind('$')) {
        (Some(first), Some(last)) if first < last => &text[first + 1..last],
        _ => text,
    }
}

/// The content of the last `\boxed` (or `\fbox`) of a solution.
pub(crate) fn last_boxed(solution: &str) -> Option<&str> {
    if let Some((_, rest)) = solution.rsplit_once("\\boxed ") {
        return rest.split('$').next();
    }
    let start = solution.rfind("\\boxed").or_else(|| solution.rfind("\\fbox"))?;
    let mut open = 0;
    for (at, c) in solution[start..].char_indices() {
        match c {
            '{' => open += 1,
            '}' => {
                open -= 1;
                if open == 0 {
                    return solution[start..start + at].strip_prefix("\\boxed{");
                }
            }
            _ => {}
        }
    }
    None
}

/// `strip_string`.
fn normal(text: &str) -> Result<String, Stumbled> {
    let mut text = text.to_owned();
    for (old, new) in [
        ("\n", ""),
        ("\\!", ""),
        ("\\\\", "\\"),
        ("tfrac", "frac"),
        ("dfrac", "frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("\\$", ""),
    ] {
        text = text.replace(old, new);
    }
    // Units.
    let mut parts = text.split("\\text{ ");
    if let (Some(before), Some(_)) = (parts.next(), parts.next()) {
        if parts.next().is_some() {
            return Err(Stumbled);
        }
        let kept = before.len();
        text.truncate(kept);
    }
    text = text.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.");
    if text.is_empty() {
        return Ok(text);
    }
    if text.starts_with('.') {
        text.insert(0, '0');
    }
    // A name before one equals sign.
    if let [name, _] = text.split('=').collect::<Vec<_>>()[..]
        && name.chars().count() <= 2
    {
        let end = name.len();
        text.drain(..=end);
    }
    text = braced_roots(&text)?.replace(' ', "");
    text = braced_fractions(&text)?;
    if text == "0.5" {
        "\\frac{1}{2}".clone_into(&mut text);
    }
    slash(text)
}

/// `\sqrt3` becomes `\sqrt{3}`.
fn braced_roots(text: &str) -> Result<String, Stumbled> {
    let mut parts = text.split("\\sqrt");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let first = part.chars().next().ok_or(Stumbled)?;
        out.push_str("\\sqrt");
        if first == '{' {
            out.push_str(part);
        } else {
            out.extend(['{', first, '}']);
            out.push_str(&part[first.len_utf8()..]);
        }
    }
    Ok(out)
}

/// `\frac12` becomes `\frac{1}{2}`, `\frac1{72}` becomes `\frac{1}{72}`.
fn braced_fractions(text: &str) -> Result<String, Stumbled> {
    let mut parts = text.split("\\frac");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut chars = part.chars();
        let first = chars.next().ok_or(Stumbled)?;
        out.push_str("\\frac");
        if first == '{' {
            out.push_str(part);
            continue;
        }
        let Some(second) = chars.next() else { return Ok(text.to_owned()) };
        out.extend(['{', first, '}']);
        if second == '{' {
            out.push('{');
        } else {
            out.extend(['{', second, '}']);
        }
        out.push_str(chars.as_str());
    }
    Ok(out)
}

/// `1/2` becomes `\frac{1}{2}`; anything but whole numbers at a single slash makes the function in Python stumble.
fn slash(text: String) -> Result<String, Stumbled> {
    let [above, below] = text.split('/').collect::<Vec<_>>()[..] else { return Ok(text) };
    let plain = |number: &str| {
        let digits = number.strip_prefix('-').unwrap_or(number);
        let canonical = !digits.starts_with('0') || number == "0";
        canonical && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    // What `int` reads: a sign, and digits with single underscores between them.
    let whole = |number: &str| {
        let number = super::pattern::strip(number);
        let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
        digits.split('_').all(|run| !run.is_empty() && run.chars().all(char::is_numeric))
    };
    if !whole(above) || !whole(below) {
        return Err(Stumbled);
    }
    Ok(if plain(above) && plain(below) { format!("\\frac{{{above}}}{{{below}}}") } else { text })
}
