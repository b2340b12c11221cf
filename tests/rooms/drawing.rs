//! The drawings in a page: each stands between two lines, `<!-- drawn: WHAT -->` and `<!-- end -->`.

use crate::graph::Graph;

const BEGIN: &str = "<!-- drawn: ";
const END: &str = "<!-- end -->";

/// The graph as a Mermaid block. An arrow points from a thing to one that it uses; an arrow that follows from
/// others is left out.
pub fn mermaid(graph: &Graph) -> String {
    let mut block = String::from("```mermaid\nflowchart TD\n");
    for (name, used) in &graph.shortest().0 {
        let is_used = graph.0.values().any(|used| used.contains(name));
        if used.is_empty() && !is_used {
            block += &format!("    {name}\n");
        }
        for used in used {
            block += &format!("    {name} --> {used}\n");
        }
    }
    block + "```\n"
}

/// What a page draws, in its order.
pub fn drawn(page: &str) -> Vec<&str> {
    page.lines().filter_map(subject).collect()
}

/// The page with each drawing made anew by `draw`.
pub fn redrawn(page: &str, draw: impl Fn(&str) -> String) -> String {
    let mut fresh = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        fresh += line;
        fresh.push('\n');
        if let Some(subject) = subject(line) {
            fresh += &draw(subject);
            // The old drawing goes.
            lines.by_ref().find(|line| *line == END);
            fresh += END;
            fresh.push('\n');
        }
    }
    fresh
}

fn subject(line: &str) -> Option<&str> {
    line.strip_prefix(BEGIN)?.strip_suffix(" -->")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::CrateSource;

    #[test]
    fn a_drawing_is_replaced_and_the_rest_of_the_page_stays() {
        let page = "before\n<!-- drawn: a -->\nold\n<!-- end -->\nafter\n";
        assert_eq!(drawn(page), ["a"]);
        let fresh = redrawn(page, |subject| format!("new {subject}\n"));
        assert_eq!(
            fresh,
            "before\n<!-- drawn: a -->\nnew a\n<!-- end -->\nafter\n"
        );
    }

    #[test]
    fn a_drawing_has_every_room_and_the_arrows_that_are_needed() {
        let text = "
            mod a { use crate::b::B; use crate::c::C; }
            mod b { use crate::c::C; pub struct B(C); }
            mod c { pub struct C; }
            mod alone {}";
        let rooms = Graph::of_rooms(&CrateSource::parse(text).unwrap()).without("crate");
        assert_eq!(
            mermaid(&rooms),
            "```mermaid\nflowchart TD\n    a --> b\n    alone\n    b --> c\n```\n"
        );
    }
}
