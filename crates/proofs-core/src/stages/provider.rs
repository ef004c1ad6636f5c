//! Whose code runs where there are two: ours, or upstream's.

use std::env;
use std::sync::OnceLock;

/// The variable that says so: `ours` (as without it) or `upstream`.
const SP_PROOFS: &str = "SP_PROOFS";

/// Whose code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    Ours,
    Upstream,
}

/// What `SP_PROOFS` said at the first call, or why that is nothing.
pub(super) fn provider() -> Result<Provider, &'static str> {
    static CHOSEN: OnceLock<Result<Provider, String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| parse(env::var_os(SP_PROOFS).map(|v| v.to_string_lossy().into_owned())));
    chosen.as_ref().copied().map_err(String::as_str)
}

fn parse(value: Option<String>) -> Result<Provider, String> {
    match value.as_deref() {
        None | Some("" | "ours") => Ok(Provider::Ours),
        Some("upstream") => Ok(Provider::Upstream),
        Some(other) => Err(format!("{SP_PROOFS} is `{other}`; it may be `ours` or `upstream`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_taken() {
        let parse = |text: &str| parse(Some(text.to_owned()));
        assert_eq!((parse("upstream"), parse("ours")), (Ok(Provider::Upstream), Ok(Provider::Ours)));
        assert!(parse("mine").unwrap_err().contains("`mine`"));
    }
}
