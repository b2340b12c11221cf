use super::{Area, SCALE, font, px, text};
use plotters::prelude::*;
use sharpness_record::shown::one_line;

const LEFT: i32 = 86;
const RIGHT: i32 = 14;
const TITLE_SIZE: i32 = 18;
const ENTRY_SIZE: i32 = 14;
const FIRST_ROW: i32 = 44;
const ROW: i32 = 21;
const BELOW: i32 = 18;
const SPACE: i32 = 22;

pub(super) struct Entry {
    pub(super) sample: i32,
    pub(super) name: String,
}

impl Entry {
    pub(super) fn new(sample: i32, name: &str) -> Self {
        let name = name.to_string();
        Self { sample, name }
    }
}

pub(super) struct Legend {
    title: String,
    /// With the left end of each sample and the middle of its row.
    entries: Vec<(Entry, (i32, i32))>,
    rows: i32,
}

impl Legend {
    pub(super) fn new(title: &str, entries: Vec<Entry>, width: i32) -> Result<Self, String> {
        let room = width - LEFT - RIGHT;
        let mut placed = Vec::new();
        let (mut x, mut row) = (0, 0);
        for entry in entries {
            let name = fit(&one_line(&entry.name), ENTRY_SIZE, room - entry.sample)?;
            let own = entry.sample + text_width(&name, ENTRY_SIZE)?;
            if x > 0 && x + own > room {
                (x, row) = (0, row + 1);
            }
            let at = (LEFT + x, FIRST_ROW + ROW * row);
            placed.push((Entry { name, ..entry }, at));
            x += own + SPACE;
        }
        Ok(Self {
            title: fit(&one_line(title), TITLE_SIZE, room)?,
            entries: placed,
            rows: row + 1,
        })
    }

    pub(super) fn height(&self) -> i32 {
        FIRST_ROW + ROW * (self.rows - 1) + BELOW
    }

    pub(super) fn more_height(&self) -> i32 {
        ROW * (self.rows - 1)
    }

    pub(super) fn draw(
        &self,
        area: &Area<'_>,
        sample: impl Fn(usize, (i32, i32)) -> Result<(), String>,
    ) -> Result<(), String> {
        let title = Text::new(self.title.clone(), (px(LEFT), px(10)), font(TITLE_SIZE));
        area.draw(&title).map_err(text)?;
        for (index, (entry, (x, y))) in self.entries.iter().enumerate() {
            sample(index, (px(*x), px(*y)))?;
            let at = (px(x + entry.sample), px(y - 8));
            let name = Text::new(entry.name.clone(), at, font(ENTRY_SIZE));
            area.draw(&name).map_err(text)?;
        }
        Ok(())
    }
}

fn text_width(entry: &str, size: i32) -> Result<i32, String> {
    let (width, _) = font(size).into_font().box_size(entry).map_err(text)?;
    Ok(width as i32 / SCALE)
}

fn fit(full: &str, size: i32, room: i32) -> Result<String, String> {
    let mut fitting = full.to_string();
    let mut kept = full.chars().count();
    while text_width(&fitting, size)? > room && kept > 0 {
        kept -= 1;
        fitting = shortened(full, kept);
    }
    Ok(fitting)
}

/// Keeps so many characters of both ends, since names of runs differ there.
pub(crate) fn shortened(full: &str, kept: usize) -> String {
    let chars: Vec<char> = full.chars().collect();
    let (head, tail) = (kept - kept / 2, kept / 2);
    let head: String = chars[..head].iter().collect();
    let tail: String = chars[chars.len() - tail..].iter().collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_room_in_its_row() {
        let long = "gpt-pretrain-adamw-lr3e-4-wd0.1-warmup400-seed0";
        let names = [long, "λ_c", "2/η", long, &long.repeat(9), "code"];
        let entries = names.map(|name| Entry::new(35, name));
        let legend = Legend::new(long, entries.into(), 860).unwrap();
        let mut ends: Vec<(i32, i32)> = Vec::new();
        for (entry, (x, y)) in &legend.entries {
            let end = x + entry.sample + text_width(&entry.name, ENTRY_SIZE).unwrap();
            assert!(end <= 860 - RIGHT, "{} ends at {end}", entry.name);
            let before = ends.iter().filter(|(row, _)| row == y);
            assert!(before.map(|(_, end)| *end).max().unwrap_or(0) < *x);
            ends.push((*y, end));
        }
        assert!(legend.rows > 2 && legend.height() > ROW * legend.rows);
        let shortened = &legend.entries[4].0.name;
        assert!(shortened.starts_with("gpt-pre") && shortened.ends_with("seed0"));
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(fit("λ_c of code", 14, 200).unwrap(), "λ_c of code");
        assert_eq!(fit("", 14, 0).unwrap(), "");
        assert_eq!(fit("name", 14, -5).unwrap(), "…");
    }
}
