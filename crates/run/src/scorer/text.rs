//! Words as SQuAD compares them: lower case, without ASCII punctuation and English articles.

/// The normal form of a text: its words, one space apart.
pub(super) fn normal(text: &str) -> String {
    let lower = text.to_lowercase();
    let mut words = String::with_capacity(lower.len());
    let mut word = String::new();
    for c in lower.chars().filter(|c| !c.is_ascii_punctuation()).chain([' ']) {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        if matches!(word.as_str(), "a" | "an" | "the") {
            words.push(' ');
        } else {
            words.push_str(&word);
        }
        word.clear();
        words.push(c);
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether two texts are the same in their normal form. Texts of which nothing remains there are compared as they stand.
pub(super) fn same(a: &str, b: &str) -> bool {
    let (normal_a, normal_b) = (normal(a), normal(b));
    if normal_a.is_empty() || normal_b.is_empty() {
        return a.trim().to_lowercase() == b.trim().to_lowercase();
    }
    normal_a == normal_b
}

/// A text for a report: one line, not long.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        let check = |text: &str, expect: &str| assert_eq!(normal(text), expect, "{text}");
        check("  The Cat, sat. ", "cat sat");
        check("an apple a day", "apple day");
        check("there's theory", "theres theory");
        check("U.S.A.", "usa");
        check("the-end", "theend");
        check("«the» end", "« » end");
        check("A", "");
    }

    #[test]
    fn sameness() {
        assert!(same("The", "the"));
        assert!(!same("A", "the"));
        assert!(same("Paris.", "paris"));
        assert!(same("+", " + "));
        assert!(!same("+", "-"));
    }
}
