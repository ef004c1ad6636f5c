//! Tables for people: columns as wide as they need, two blanks apart, nothing after the last word of a line.

/// The lines of a table whose first row is its head.
pub(crate) fn table_lines(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The table as one text. Columns that are empty in every row but the head are left out.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let used =
        |column: &usize| rows.is_empty() || rows.iter().any(|row| row.get(*column).is_some_and(|c| !c.is_empty()));
    let kept: Vec<usize> = (0..head.len()).filter(used).collect();
    let mut all = vec![kept.iter().map(|column| head[*column].to_owned()).collect::<Vec<_>>()];
    all.extend(rows.iter().map(|row| kept.iter().map(|column| row[*column].clone()).collect()));
    table_lines(&all).iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_empty_ones_disappear() {
        let rows = [["1", "", "good"], ["200", "", "bad (x)"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(table(&["sector", "none", "status"], &rows), "sector  status\n1       good\n200     bad (x)\n");
    }
}
