//! Tables for people.

use comfy_table::{ContentArrangement, Table};

/// Rows under headings, two spaces between columns, no lines: easy to read and to cut.
pub fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["alice@dev.test".to_owned(), "dpop".to_owned()],
            vec!["bob".to_owned(), "none".to_owned()],
        ];
        assert_eq!(
            table(&["ACCOUNT", "BINDING"], rows),
            "ACCOUNT         BINDING\nalice@dev.test  dpop\nbob             none"
        );
    }
}
