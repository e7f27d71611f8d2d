//! Patterns of model names: '*' stands for any characters, '?' for one, and nothing else is special. Case does not matter.

/// Whether `name` is of the form `pattern`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last '*' stood, and what it has swallowed so far: it takes one more where the rest does not fit.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || c.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, swallowed)) = star else { return false };
                star = Some((at, swallowed + 1));
                (p, n) = (at + 1, swallowed + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Why a pattern cannot be meant, if it cannot.
pub(crate) fn problem(pattern: &str) -> Option<&'static str> {
    if pattern.contains("**") {
        Some("has two '*' in a row")
    } else if pattern.contains(|c: char| c.is_whitespace() || c.is_control() || "[]{}!|,".contains(c)) {
        Some("has a character that no name has; only '*' and '?' are special")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_name() {
        for (pattern, name, expected) in [
            ("gpt-5*", "gpt-5", true),
            ("gpt-5*", "gpt-5.6-sol", true),
            ("gpt-5*", "my-gpt-5", false),
            ("gpt-5", "gpt-5.1", false),
            ("*", "", true),
            ("*", "anything/at:all", true),
            ("*non-reasoning*", "grok-4.20-0309-non-reasoning", true),
            ("*non-reasoning", "grok-4.20-non-reasoning-latest", false),
            ("o?-mini", "o4-mini", true),
            ("o?-mini", "o-mini", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("MiniMax-M*", "minimax-m3", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_meant_is_told() {
        assert_eq!(problem("gpt-4o*-preview"), None);
        assert!(problem("gpt-**").is_some());
        assert!(problem("gpt-[45]").is_some());
        assert!(problem("gpt 5").is_some());
    }
}
