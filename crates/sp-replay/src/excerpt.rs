//! Two long texts that differ: only the part where they do.

/// Characters before the difference ...
const BEFORE: usize = 120;
/// ... and all in all.
const LENGTH: usize = 600;

/// Both texts around the first place where they differ, or their beginnings when they do not.
pub(crate) fn around_difference(left: &str, right: &str) -> (String, String) {
    let same = left.chars().zip(right.chars()).take_while(|(l, r)| l == r).count();
    let longest = left.chars().count().max(right.chars().count());
    let from = if longest <= LENGTH { 0 } else { same.saturating_sub(BEFORE) };
    (part(left, from), part(right, from))
}

/// The beginning of a long text.
pub(crate) fn beginning(text: &str) -> String {
    part(text, 0)
}

fn part(text: &str, from: usize) -> String {
    let cut: String = text.chars().skip(from).take(LENGTH).collect();
    let before = if from > 0 { "... " } else { "" };
    let after = if text.chars().nth(from + LENGTH).is_some() { " ..." } else { "" };
    format!("{before}{cut}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_inside() {
        assert_eq!(around_difference("abc", "abd"), ("abc".to_owned(), "abd".to_owned()));
        let (left, right) = (format!("{}one", "x".repeat(9_000)), format!("{}two", "x".repeat(9_000)));
        let (left, right) = around_difference(&left, &right);
        assert!(left.starts_with("... x") && left.ends_with("xone"), "{left}");
        assert!(right.ends_with("xtwo") && right.len() < 200, "{right}");
        assert!(beginning(&"ü".repeat(700)).ends_with("ü ..."));
    }
}
