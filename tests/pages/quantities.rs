//! Checks that the record's page contains the table of quantities; `REDRAW=1 cargo test --test pages quantities` writes
//! it.

use crate::page::root;
use sharpness_record::{Against, Quantity, Scale};

const BEGIN: &str = "<!-- quantities -->\n";
const END: &str = "<!-- end -->\n";

fn table() -> String {
    let mut table = String::from(
        "| field | metric | symbol | unit | axis | compared with | is |\n|---|---|---|---|---|---|---|\n",
    );
    for quantity in Quantity::TABLE {
        let about = quantity.about();
        let axis = match about.scale {
            Some(Scale::Linear) => "linear",
            Some(Scale::Log) => "logarithmic",
            None => "",
        };
        let against = match about.against {
            Some(Against::Quantity(other)) => {
                let all = std::iter::once(&other).chain(quantity.thresholds());
                let symbols: Vec<&str> = all.map(|other| other.about().symbol).collect();
                symbols.join(", ")
            }
            Some(Against::Line(value, _)) => value.to_string(),
            None => String::new(),
        };
        let (field, name, symbol) = (about.field, about.name, about.symbol);
        let (unit, words) = (about.unit, about.words);
        let row =
            format!("| `{field}` | {name} | {symbol} | {unit} | {axis} | {against} | {words} |\n");
        table += &row.replace("|  |", "| |").replace("|  |", "| |");
    }
    table
}

#[test]
fn the_table_of_quantities_is_that_of_the_library() {
    let path = root().join("docs/record.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os("REDRAW").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        let how = "`REDRAW=1 cargo test --test pages quantities` writes it again";
        assert_eq!(found, table, "docs/record.md: {how}");
    }
}
