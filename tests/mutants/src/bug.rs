//! A bug as its file describes it: what it is, where it goes, and which test has to catch it.

use std::path::Path;

/// One bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bug {
    /// Name of its file.
    pub(crate) name: String,
    /// File of the tree that it goes into.
    pub(crate) file: String,
    /// Arguments of `cargo test` that run the one test that has to fail.
    pub(crate) test: String,
    /// Text that is in the file once.
    pub(crate) is: String,
    /// What it becomes.
    pub(crate) becomes: String,
}

impl Bug {
    /// Every bug of the directory, by name.
    pub(crate) fn all(dir: &Path) -> Result<Vec<Self>, String> {
        let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|e| e.path()).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "bug"));
        paths.sort();
        let read = |path: &std::path::PathBuf| {
            let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let name = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            Self::parse(&name, &text).map_err(|e| format!("{}: {e}", path.display()))
        };
        paths.iter().map(read).collect()
    }

    /// Lines `# why`, `file PATH`, `test ARGUMENTS`, then the two texts between `--- is`, `--- becomes` and `--- end`.
    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let (head, rest) = text.split_once("--- is\n").ok_or("no line `--- is`")?;
        let (is, rest) = rest.split_once("--- becomes\n").ok_or("no line `--- becomes`")?;
        let (becomes, _) = rest.split_once("--- end").ok_or("no line `--- end`")?;
        let field = |key: &str| {
            let found = head.lines().find_map(|line| line.strip_prefix(key));
            found.map(|value| value.trim().to_owned()).ok_or_else(|| format!("no line `{key}...`"))
        };
        if !head.starts_with("# ") {
            return Err("the first line says why it is a bug: `# ...`".to_owned());
        }
        if is == becomes {
            return Err("nothing is changed".to_owned());
        }
        let (file, test) = (field("file ")?, field("test ")?);
        Ok(Self { name: name.to_owned(), file, test, is: is.to_owned(), becomes: becomes.to_owned() })
    }

    /// The text of its file with the bug in it.
    pub(crate) fn planted(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.is).count() {
            1 => Ok(text.replacen(&self.is, &self.becomes, 1)),
            n => Err(format!("{}: its text is {n} times in {}, not once", self.name, self.file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# why\nfile a.rs\ntest -p a b\n--- is\none\n--- becomes\ntwo\n--- end\n";

    #[test]
    fn a_bug_is_read_and_planted_where_its_text_is_once() {
        let bug = Bug::parse("x", TEXT).unwrap();
        assert_eq!((bug.file.as_str(), bug.test.as_str()), ("a.rs", "-p a b"));
        assert_eq!(bug.planted("zero\none\n").unwrap(), "zero\ntwo\n");
        assert!(bug.planted("zero\n").unwrap_err().contains("0 times"));
        assert!(bug.planted("one\none\n").unwrap_err().contains("2 times"));
    }

    #[test]
    fn what_is_no_bug_is_refused() {
        assert!(Bug::parse("x", "file a\n").is_err());
        assert!(Bug::parse("x", &TEXT.replace("two", "one")).unwrap_err().contains("nothing"));
        assert!(Bug::parse("x", &TEXT.replace("# why\n", "")).unwrap_err().contains("why"));
        assert!(Bug::parse("x", &TEXT.replace("test ", "")).unwrap_err().contains("test"));
    }
}
